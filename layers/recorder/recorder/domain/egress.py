"""LiveKit's reports of its egress and rooms, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


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
"""What an egress may be that no longer records, while its file is on its way."""


# `EgressInfo.details` of LiveKit egress 1.14, as recorded; anything else is no reason that a client could act on.
END_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "End reason: StopEgress API": "stopped",
        "End reason: Source closed": "source_closed",
        "End reason: Session limit reached": "limit_reached",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressFile:
    """One result file as LiveKit reports it; size and location are real only on a final status."""

    key: str | None = None
    size: int | None = None
    duration: float | None = None
    location: str | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressSnapshot:
    """What LiveKit says of one egress at one moment."""

    egress_id: str
    status: EgressStatus
    recording_id: UUID | None = None
    """The recording in whose folder the egress writes, if it is one of this deployment."""
    room_name: str = ""
    room_sid: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    error_code: int = 0
    details: str = ""
    file: EgressFile = EgressFile()
    backup_storage_used: bool = False

    @property
    def has_file(self) -> bool:
        """Whether the egress has put its file somewhere."""
        return self.backup_storage_used or self.file.size is not None or self.file.location is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoom:
    """What LiveKit says of a room that exists; a room that is opened anew gets another `sid`."""

    sid: str
    recorded: bool
    """Whether a recorder takes part in it."""
    silent: bool
    """Whether nobody in it publishes anything."""
