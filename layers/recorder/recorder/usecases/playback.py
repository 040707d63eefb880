"""Playback: links to what a recording has in the bucket, and its live playlist while it records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import ceil
from typing import TYPE_CHECKING, Final

from recorder.domain.links import Link, Media, MediaFile
from recorder.domain.outputs import playlists_of, poster_of, segments_of
from recorder.domain.playlist import ENTRY_BYTES, Part, has_ended, live_playlist, part_of, window_of
from recorder.domain.recording import file_name_of, mime_type_of
from recorder.domain.takes import grows_no_more
from recorder.domain.tokens import Permit, permit_of, token_of
from recorder.errors import RecordingNotFoundError

if TYPE_CHECKING:
    from uuid import UUID

    from recorder.domain.recording import Recording, StoredPart
    from recorder.usecases.ports import Adapters, Links

LINK_SECONDS: Final = 3600
"""How long a link is good at most; it ends sooner where the keys that signed it do."""
_PERMIT: Final = timedelta(hours=12)
_PERMIT_STEP: Final = timedelta(hours=1)
"""A token of a recording's owner is good for twelve to thirteen hours, and the same for an hour."""
_PIPELINE: Final = timedelta(seconds=4)
"""How far a worker is behind what it records; the first segment is there that long after its end."""
_MOST_READS: Final = 10
"""How many takes the live playlist shows at most: each costs a call to the bucket."""
_HOUR: Final = 3600
"""LiveKit stores a playlist anew with each segment in the first hour, with every other one in the second, and so on."""


class Playback:
    """Plays what a recording has. Every method may raise StorageUnavailableError."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def media(
        self,
        recording: Recording,
        api_url: str | None,
        *,
        ends_at: datetime | None = None,
        link_id: UUID | None = None,
    ) -> Media:
        """Return links to what a recording has: they end after an hour, at `ends_at`, or with the keys that sign them.

        The live playlist is that of the API at `api_url`; there is none without. Its token ends at `ends_at`, and with
        the share link `link_id` for which it is made; that of the recording's owner ends after half a day.
        """
        seconds = LINK_SECONDS if ends_at is None else min(LINK_SECONDS, self._until(ends_at))
        parts = (*recording.parts, *playlists_of(recording))
        files = [self._file(part, recording, seconds) for part in parts]
        whole = next((file for file in files if file.take is None and not file.is_playlist), None)
        key, playback = recording.storage_key, self._live_url(recording, api_url, ends_at, link_id)
        if whole is not None and key is not None:
            playback = self._link(key, None, whole.mime_type, seconds).url
        poster = self._adapters.policy.poster and recording.has_poster
        return Media(
            download=whole,
            playback_url=playback,
            poster_url=self._link(poster_of(recording.id).key, None, "image/jpeg", seconds).url
            if poster
            else None,
            files=files,
        )

    def _live_url(
        self, recording: Recording, api_url: str | None, ends_at: datetime | None, link_id: UUID | None
    ) -> str | None:
        if api_url is None or not recording.live or not self._has_segments(recording):
            return None
        permit = Permit(expires_at=ends_at or self._owners_end(), link_id=link_id)
        token = token_of(recording, permit)
        return (
            f"{api_url}/api/video/play/{recording.id}/live.m3u8?token={token}" if token is not None else None
        )

    def _has_segments(self, recording: Recording) -> bool:
        """Tell whether a segment should be there by now."""
        counts = recording.segment_counts
        if any(take.segments for take in recording.takes):
            return True
        length = timedelta(seconds=segments_of(recording, recording.take).seconds)
        began_at = recording.take_started_at
        return (
            bool(counts)
            and began_at is not None
            and began_at + length + _PIPELINE <= self._adapters.clock.now()
        )

    def _owners_end(self) -> datetime:
        step = _PERMIT_STEP.total_seconds()
        hours = self._adapters.clock.now().timestamp() // step + 1
        return datetime.fromtimestamp(hours * step, UTC) + _PERMIT

    def _until(self, ends_at: datetime) -> int:
        return max(1, int((ends_at - self._adapters.clock.now()).total_seconds()))

    def _file(self, part: StoredPart, recording: Recording, seconds: int) -> MediaFile:
        name = file_name_of(recording, part.key, part.take) or str(recording.id)
        mime_type = mime_type_of(recording, part.key)
        link = self._link(part.key, name, mime_type, seconds)
        return MediaFile(
            url=link.url,
            expires_at=link.expires_at,
            size=part.size,
            mime_type=mime_type,
            file_name=name,
            duration=part.duration,
            take=part.take,
        )

    def _link(self, key: str, file_name: str | None, mime_type: str | None, seconds: int) -> Link:
        url, good_for = self._adapters.storage.link(
            key, file_name=file_name, mime_type=mime_type, seconds=seconds
        )
        return Link(url=url, expires_at=self._adapters.clock.now() + timedelta(seconds=good_for))


class LivePlaylists:
    """Makes live playlists. Every method may raise DatabaseUnavailableError or StorageUnavailableError."""

    def __init__(self, adapters: Adapters, links: Links) -> None:
        self._adapters = adapters
        self._links = links

    def playlist_of(self, recording_id: UUID, token: str) -> str:
        """Return the live playlist of a recording.

        Raises RecordingNotFoundError where the token does not open it (it was made for another recording, is over, or
        is none, or its share link has ended), where there is no such recording any more, and where nothing is left of
        its segments.
        """
        recording, now = self._adapters.repository.get(recording_id), self._adapters.clock.now()
        permit = permit_of(recording, token) if recording is not None else None
        if recording is None or permit is None or permit.expires_at <= now:
            raise RecordingNotFoundError
        if recording.deleted_at is not None or recording.expired(now):
            raise RecordingNotFoundError
        if permit.link_id is not None and not self._links.stands(permit.link_id, recording.id, now):
            raise RecordingNotFoundError
        parts, closed = self._parts(recording)
        window = self._adapters.policy.playback_window.total_seconds()
        shown = window_of(parts, window)
        if not shown and not recording.live:
            raise RecordingNotFoundError
        keys = [f"{segments_of(recording, each.take).folder}{each.segment.name}" for each in shown]
        length = segments_of(recording, recording.take).seconds
        # LiveKit ends a segment at the next key frame.
        target = length + 1
        hours = shown[-1].segment.number * length // _HOUR if shown else 0
        return live_playlist(
            parts,
            shown,
            self._adapters.storage.links(keys, seconds=LINK_SECONDS),
            target_seconds=target,
            hold_back_seconds=3 * target + hours * length,
            ended=grows_no_more(recording, closed=closed),
        )

    def _parts(self, recording: Recording) -> tuple[list[Part], bool]:
        """Return what each take gives, the last ones with their segments, and whether the last playlist has its end."""
        left, closed = self._adapters.policy.playback_window.total_seconds(), False
        parts: list[Part] = []
        reads = 0
        for take, count in reversed(list(recording.segment_counts.items())):
            if count is not None and (count == 0 or left <= 0 or reads == _MOST_READS):
                parts.append(Part(take, count))
                continue
            text = self._of_take(recording, take)
            part = part_of(take, text, count)
            closed = closed or (take == recording.take and has_ended(text))
            left -= sum(each.seconds for each in part.segments)
            reads += 1
            parts.append(part)
        return parts[::-1], closed

    def _of_take(self, recording: Recording, take: int) -> str:
        """Return the end of LiveKit's playlist of a take, as much of it as may be shown."""
        segments = segments_of(recording, take)
        most = ceil(self._adapters.policy.playback_window.total_seconds() / segments.seconds) + 1
        return self._adapters.storage.read_text(segments.playlist, last=most * ENTRY_BYTES) or ""
