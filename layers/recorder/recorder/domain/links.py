"""Links to what a recording has in the bucket."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from recorder.domain.recording import MIME_TYPES


class Link(NamedTuple):
    """A link to an object, and when it ends at the latest."""

    url: str
    expires_at: datetime


class MediaFile(NamedTuple):
    """A file of a recording with a link that saves it, as in `Link`; `take` is set where the recording is in parts."""

    url: str
    expires_at: datetime
    size: int
    mime_type: str | None
    file_name: str
    duration: float | None
    take: int | None = None

    @property
    def is_playlist(self) -> bool:
        """Whether it is the playlist of HLS, whose segments lie beside it."""
        return self.mime_type == MIME_TYPES["m3u8"]


class Media(NamedTuple):
    """Links to a recording's files in the bucket; None where there is none."""

    download: MediaFile | None
    playback_url: str | None
    poster_url: str | None
    files: Sequence[MediaFile]
