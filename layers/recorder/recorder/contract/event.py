"""The JSON of an event, as EventBridge carries it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.contract.answers import recording_json, time_json

if TYPE_CHECKING:
    from recorder.contract.schemas import EventJson
    from recorder.domain.events import Event
    from recorder.domain.recording import Recording


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
