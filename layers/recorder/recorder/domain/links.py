"""Links to what a recording has in the bucket."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from recorder.domain.recording import MIME_TYPES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link to an object, and when it ends at the latest."""

    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFile(Link):
    """A file of a recording with a link that saves it; `take` is set where the recording is in parts."""

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
