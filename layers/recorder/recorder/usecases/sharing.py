"""Sharing: links by which somebody without an account watches one recording."""

from __future__ import annotations

import hashlib
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from recorder.domain.shares import Shared, ShareLink
from recorder.errors import LinkNotFoundError, TooManyLinksError
from recorder.telemetry import Code, log
from recorder.usecases.ledger import Ledger
from recorder.usecases.playback import Playback

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from recorder.domain.recording import Recording
    from recorder.usecases.ports import Adapters, Links

TOKEN_BYTES: Final = 32
MAXIMUM_LINKS: Final = 100
"""The most links of a recording that have not expired: GET names each."""
_LEAST: Final = timedelta(seconds=1)
"""A presigned link lasts for a whole second at least, and may not outlast the link that gives it."""


class Sharing:
    """Make, list, revoke and open links. Every method may raise DatabaseUnavailableError."""

    def __init__(self, adapters: Adapters, links: Links) -> None:
        self._adapters = adapters
        self._links = links
        self._ledger = Ledger(adapters)
        self._playback = Playback(adapters)

    def create(
        self, recording_id: UUID, *, user_id: str, seconds: int, may_download: bool
    ) -> tuple[ShareLink, str]:
        """Make a link that is good for so long; returns it with its token, which is kept nowhere.

        Raises RecordingNotFoundError, RecordingGoneError or TooManyLinksError.
        """
        self._ledger.own(recording_id, user_id)
        now, token = self._adapters.clock.now(), secrets.token_urlsafe(TOKEN_BYTES)
        link = ShareLink(
            id=uuid4(),
            recording_id=recording_id,
            expires_at=now + timedelta(seconds=seconds),
            may_download=may_download,
        )
        if not self._links.insert(link, _hash(token), now, most=MAXIMUM_LINKS):
            # It may have been deleted meanwhile.
            self._ledger.own(recording_id, user_id)
            raise TooManyLinksError(MAXIMUM_LINKS)
        log.info(Code.LINK_CREATED, recording_id=recording_id, link_id=link.id)
        return link, token

    def links_of(self, recording: Recording) -> Sequence[ShareLink]:
        """Return the links of a recording that have not expired, oldest first."""
        return self._links.of_recording(recording.id, self._adapters.clock.now())

    def revoke(self, recording_id: UUID, link_id: UUID, *, user_id: str) -> None:
        """End a link at once. Raises RecordingNotFoundError, RecordingGoneError or LinkNotFoundError."""
        self._ledger.own(recording_id, user_id)
        if not self._links.remove(link_id, recording_id):
            raise LinkNotFoundError
        log.info(Code.LINK_REVOKED, recording_id=recording_id, link_id=link_id)

    def open(self, token: str, api_url: str) -> Shared:
        """Return what a link shows; a live playlist is that of the API at `api_url`.

        Raises LinkNotFoundError where it is wrong, has expired or was revoked, or its recording is gone: one look-up by
        the hash in each case. Raises StorageUnavailableError.
        """
        link = self._links.find(_hash(token), self._adapters.clock.now() + _LEAST)
        recording = self._adapters.repository.get(link.recording_id) if link is not None else None
        if link is None or recording is None or recording.deleted_at is not None:
            raise LinkNotFoundError
        ends_at = min(link.expires_at, recording.expires_at or link.expires_at)
        media = self._playback.media(recording, api_url, ends_at=ends_at, link_id=link.id)
        download = media.download if link.may_download else None
        return Shared(
            recording=recording,
            expires_at=ends_at,
            may_download=link.may_download,
            playback_url=media.playback_url,
            download_url=download.url if download is not None else None,
            poster_url=media.poster_url,
        )


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
