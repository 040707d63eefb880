"""The events that changes of a recording emit."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple
from uuid import UUID

from recorder.domain.recording import Recording, Status, Unknown


class EventType(StrEnum):
    """The events that a change of a recording emits."""

    STARTED = "RecordingStarted"
    ACTIVE = "RecordingActive"
    """Once for each take."""
    PAUSED = "RecordingPaused"
    RESUMING = "RecordingResuming"
    STOPPING = "RecordingStopping"
    COMPLETED = "RecordingCompleted"
    FAILED = "RecordingFailed"
    DELETED = "RecordingDeleted"


EVENTS: Final[Mapping[Status, EventType]] = MappingProxyType(
    {
        Status.STARTING: EventType.STARTED,
        Status.ACTIVE: EventType.ACTIVE,
        Status.PAUSED: EventType.PAUSED,
        Status.RESUMING: EventType.RESUMING,
        Status.STOPPING: EventType.STOPPING,
        Status.COMPLETED: EventType.COMPLETED,
        Status.FAILED: EventType.FAILED,
    }
)


class Event(NamedTuple):
    """One state change to tell the world: `sequence` orders the events of a recording, `id` never changes."""

    id: str
    type: EventType
    recording_id: UUID
    sequence: int
    occurred_at: datetime


def event_of(before: Recording | None, after: Recording) -> Event | None:
    """Return the event that this change emits, or None.

    A deletion is the last event of a recording: what happens to its egress afterwards is nobody's news. A start that
    was refused ends as a failure.
    """
    if before is not None and before.deleted_at is not None:
        return None
    if after.deleted_at is not None and not after.refused:
        if before is None:
            return None
        kind = EventType.DELETED
    elif isinstance(after.status, Unknown) or (before is not None and before.status == after.status):
        return None
    else:
        kind = EVENTS[after.status]
    return Event(
        id=f"{after.id}-{after.version}",
        type=kind,
        recording_id=after.id,
        sequence=after.version,
        occurred_at=after.updated_at,
    )
