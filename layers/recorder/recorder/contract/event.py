"""The JSON of an event, as EventBridge carries it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from recorder.contract.answers import Id, RecordingJson, Time, recording_json, time_json
from recorder.domain.events import EventType

if TYPE_CHECKING:
    from recorder.domain.events import Event
    from recorder.domain.recording import Recording


class EventJson(TypedDict):
    """The detail of an event on the bus, version 1.

    `sequence` orders the events of one recording; `id` is the same each time an event is delivered.
    """

    version: int
    id: str
    type: EventType
    recordingId: Id
    sequence: int
    occurredAt: Time
    take: int
    """The number of the take that the recording had then."""
    recording: RecordingJson


def event_json(event: Event, recording: Recording) -> EventJson:
    """Return the event with its recording as it was then."""
    return {
        "version": 1,
        "id": event.id,
        "type": event.type,
        "recordingId": str(event.recording_id),
        "sequence": event.sequence,
        "occurredAt": time_json(event.occurred_at) or "",
        "take": recording.take,
        "recording": recording_json(recording),
    }
