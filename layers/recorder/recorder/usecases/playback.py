"""Links with which a person plays or saves what a recording has in the bucket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime

    from recorder.domain.recording import Recording
    from recorder.usecases.ports import Adapters

LINK_SECONDS: Final = 3600
"""How long a link is good at most; it ends sooner where the keys that signed it do."""


class Playback:
    """Makes links to a recording's file that end at `ends_at` at the latest. Raises StorageUnavailableError."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def playback_url(self, recording: Recording, ends_at: datetime) -> str | None:
        """Return the address that a player opens; None until there is a file."""
        return self._link(recording, None, ends_at)

    def download_url(self, recording: Recording, ends_at: datetime) -> str | None:
        """Return the address that saves the file; None until there is one."""
        return self._link(recording, recording.file_name or str(recording.id), ends_at)

    def _link(self, recording: Recording, file_name: str | None, ends_at: datetime) -> str | None:
        key, left = recording.storage_key, int((ends_at - self._adapters.clock.now()).total_seconds())
        if not recording.downloadable or key is None or left < 1:
            return None
        url, _ = self._adapters.storage.link(
            key, file_name=file_name, mime_type=recording.mime_type, seconds=min(left, LINK_SECONDS)
        )
        return url
