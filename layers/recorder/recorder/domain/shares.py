"""Links by which somebody without an account watches one recording."""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from recorder.domain.recording import Recording


class ShareLink(NamedTuple):
    """A link to one recording until `expires_at`; whoever has its token may watch."""

    id: UUID
    recording_id: UUID
    expires_at: datetime
    may_download: bool


class Shared(NamedTuple):
    """A recording as its link shows it; presigned links are None where there is no file."""

    recording: Recording
    expires_at: datetime
    may_download: bool
    playback_url: str | None
    download_url: str | None
    poster_url: str | None
