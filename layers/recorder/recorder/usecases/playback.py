"""Links with which a person plays or saves what a recording has in the bucket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from recorder.domain.links import Link, Media, MediaFile
from recorder.domain.outputs import playlists_of, poster_of
from recorder.domain.recording import file_name_of, mime_type_of

if TYPE_CHECKING:
    from datetime import datetime

    from recorder.domain.recording import Recording, StoredPart
    from recorder.usecases.ports import Adapters

LINK_SECONDS: Final = 3600
"""How long a link is good at most; it ends sooner where the keys that signed it do."""


@dataclass(frozen=True, slots=True)
class Playback:
    """Makes links to a recording's files. Every method may raise StorageUnavailableError."""

    adapters: Adapters

    def media(self, recording: Recording, ends_at: datetime | None = None) -> Media:
        """Return links that are good for one hour, for as long as what signed them, or until `ends_at`."""
        seconds = LINK_SECONDS
        if ends_at is not None:
            seconds = min(int((ends_at - self.adapters.clock.now()).total_seconds()), LINK_SECONDS)
        files = [
            self._file(part, recording, seconds) for part in (*recording.parts, *playlists_of(recording))
        ]
        whole = next((file for file in files if file.take is None and not file.is_playlist), None)
        key, playback = recording.storage_key, None
        if whole is not None and key is not None:
            playback = self._link(key, None, whole.mime_type, seconds).url
        poster = None
        if self.adapters.policy.poster and recording.has_poster:
            poster = self._link(poster_of(recording.id).key, None, "image/jpeg", seconds).url
        return Media(download=whole, playback_url=playback, poster_url=poster, files=files)

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
        url, lasting = self.adapters.storage.link(
            key, file_name=file_name, mime_type=mime_type, seconds=seconds
        )
        return Link(url=url, expires_at=self.adapters.clock.now() + timedelta(seconds=lasting))
