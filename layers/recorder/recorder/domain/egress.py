"""LiveKit's reports of its egress and rooms, as values."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from recorder.domain.outputs import FileResult, SegmentsResult, StreamResult, TakeId, ThumbnailsResult


class EgressStatus(StrEnum):
    """LiveKit's status of an egress; UNKNOWN is every value that this version does not know."""

    STARTING = "EGRESS_STARTING"
    ACTIVE = "EGRESS_ACTIVE"
    ENDING = "EGRESS_ENDING"
    COMPLETE = "EGRESS_COMPLETE"
    FAILED = "EGRESS_FAILED"
    ABORTED = "EGRESS_ABORTED"
    LIMIT_REACHED = "EGRESS_LIMIT_REACHED"
    UNKNOWN = "UNKNOWN"


ENDING: Final = frozenset({EgressStatus.ENDING, EgressStatus.COMPLETE, EgressStatus.LIMIT_REACHED})
"""Statuses of an egress that no longer records, while its file is on its way."""


ENDED: Final = frozenset(
    {EgressStatus.COMPLETE, EgressStatus.FAILED, EgressStatus.ABORTED, EgressStatus.LIMIT_REACHED}
)
"""Statuses of an egress that is over."""


STOPPED: Final = "stopped"
"""The end reason of an egress that somebody stopped."""
_UNKNOWN_END: Final = "ended_by_worker"

# `EgressInfo.details` of LiveKit egress 1.14, as recorded or read in its source.
_END_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "End reason: StopEgress API": STOPPED,
        "End reason: Source closed": "source_closed",
        "End reason: Session limit reached": "limit_reached",
        "End reason: CPU exhausted": "cpu_exhausted",
        "End reason: Process killed": "process_killed",
        "End reason: All streams stopped": "streams_stopped",
        "End reason: Failure": "failure",
    }
)

_GOOD_ENDS: Final = frozenset({None, STOPPED, "source_closed", "limit_reached", "streams_stopped"})

# Beginnings of LiveKit's errors, and their meaning for a person. The text itself names hosts and buckets.
_FAILURES: Final = (
    ("S3 upload failed", "the file could not be uploaded to the storage"),
    ("signal: killed", "the process that recorded was killed"),
    ("server is shutting down", "the worker that recorded was shut down"),
    ("recording ended early", "the recorder lost its connection to the room"),
    ("Start signal not received", "it ended before anything was recorded"),
    ("Stop called before pipeline could start", "it was stopped before anything was recorded"),
)
_FAILURES_BY_CODE: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "the recorder could not do what was asked of it",
        403: "the recorder was not allowed to go on",
        404: "what was to be recorded did not appear in the room",
        408: "the recorder waited too long",
        412: "it ended before anything was recorded",
        413: "LiveKit's limit for one recording was reached",
        503: "the recorder lost a connection that it needs",
    }
)
_FAILURE: Final = "the recorder failed"


class EgressSnapshot(NamedTuple):
    """LiveKit's report of one egress at one moment."""

    egress_id: str
    status: EgressStatus
    owner: TakeId | None = None
    """The take in whose folder the egress writes, if it is one of this deployment."""
    room_name: str = ""
    room_sid: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    error_code: int = 0
    details: str = ""
    files: tuple[FileResult, ...] = ()
    segments: tuple[SegmentsResult, ...] = ()
    thumbnails: tuple[ThumbnailsResult, ...] = ()
    streams: tuple[StreamResult, ...] = ()
    backup_storage_used: bool = False
    """The worker could not write to our bucket, and put some of the results into one of its own."""

    @property
    def recording_id(self) -> UUID | None:
        """The recording in whose folder the egress writes, if it is one of this deployment."""
        return None if self.owner is None else self.owner.recording_id

    @property
    def ended(self) -> bool:
        """Whether the egress is over."""
        return self.status in ENDED

    @property
    def end_reason(self) -> str | None:
        """Why the egress ended, in one word; None where LiveKit gives no reason."""
        if self.status is EgressStatus.LIMIT_REACHED:
            return "limit_reached"
        return _END_REASONS.get(self.details, _UNKNOWN_END) if self.details else None

    @property
    def has_recorded(self) -> bool:
        """Whether it records, or has recorded."""
        return self.file.started_at is not None or self.status in {EgressStatus.ACTIVE, EgressStatus.ENDING}

    @property
    def ended_badly(self) -> bool:
        """Whether the egress ended otherwise than by a wish, a limit, or with what it recorded."""
        return self.ended and (bool(self.error) or self.end_reason not in _GOOD_ENDS)

    @property
    def failure_reason(self) -> str:
        """Why the egress failed, for a person: without LiveKit's own text, which names what is internal."""
        for beginning, reason in _FAILURES:
            if self.error.startswith(beginning):
                return reason
        return _FAILURES_BY_CODE.get(self.error_code, _FAILURE)

    @property
    def file(self) -> FileResult:
        """The file of the recording, or its playlist where no file was asked for; empty where LiveKit reports none."""
        return self.files[0] if self.files else FileResult()

    @property
    def hls(self) -> SegmentsResult | None:
        """The HLS that the caller asked for."""
        return next((each for each in self.segments if each.kept), None)

    @property
    def thumbnail_count(self) -> int | None:
        """How many thumbnails there are; it lags behind until the egress ends. None where none were asked for."""
        counts = [each.image_count for each in self.thumbnails if each.kept]
        return counts[0] if counts else None

    @property
    def has_file(self) -> bool:
        """Whether the egress has put its file somewhere."""
        return self.file.stored


class OpenRoom(NamedTuple):
    """A room that exists, as LiveKit reports it; a room that is opened anew gets another `sid`."""

    sid: str
    recorded: bool
    """Whether a recorder takes part in it."""
    silent: bool
    """Whether nobody in it publishes anything."""
