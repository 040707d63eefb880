"""The JSON of the HTTP contract that is given out: names in camelCase, times ISO 8601 in UTC.

TypedDicts, because they cost nothing at cold start; what comes in is validated by `recorder.requests`.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from .domain import Recording


class RecordingJson(TypedDict):
    """A recording: durations in seconds, sizes in bytes, bitrates in kbit/s."""

    id: str
    roomName: str
    roomSid: str | None
    egressId: str | None
    status: str
    layout: str | None
    codec: str | None
    resolution: str | None
    startedAt: str | None
    stoppedAt: str | None
    fileUrl: str | None
    storageKey: str | None
    fileSize: int | None
    duration: float | None
    userId: str
    createdAt: str
    updatedAt: str
    source: str
    trackSid: str | None
    audioCodec: str | None
    audioBitrate: int | None
    videoBitrate: int | None
    failureCode: str | None
    failureReason: str | None
    endReason: str | None
    maxDuration: int | None
    expiresAt: str | None
    fileName: str | None
    mimeType: str | None


class StartedJson(TypedDict):
    """The answer of Start; `egressId` is null where LiveKit's answer was lost (202)."""

    recordingId: str
    egressId: str | None
    status: str


class StoppedJson(TypedDict):
    """The answer of Stop."""

    recordingId: str
    egressId: str | None
    status: str
    fileUrl: str | None
    duration: float | None


class RecordingDetailJson(TypedDict):
    """One recording with its presigned link, which is null until there is a file."""

    recording: RecordingJson
    downloadUrl: str | None
    downloadUrlExpiresAt: str | None


class RecordingListJson(TypedDict):
    """One page of a caller's recordings; `nextCursor` is null on the last."""

    recordings: list[RecordingJson]
    nextCursor: str | None


class SuccessJson(TypedDict):
    """The answer of Delete."""

    success: bool


class EventJson(TypedDict):
    """The detail of an event on the bus, version 1.

    `sequence` orders the events of one recording; `id` is the same each time an event is delivered.
    """

    version: int
    id: str
    type: str
    recordingId: str
    sequence: int
    occurredAt: str
    recording: RecordingJson


class ErrorDetailJson(TypedDict):
    """One thing wrong with a request."""

    field: str
    message: str


class ErrorJson(TypedDict, total=False):
    """Every error's body; `details` and `recordingId` only where they apply."""

    error: str
    code: str
    requestId: str
    details: list[ErrorDetailJson]
    recordingId: str


def recording_json(recording: Recording) -> RecordingJson:
    """Return the recording as a client sees it."""
    return {
        "id": str(recording.id),
        "roomName": recording.room_name,
        "roomSid": recording.room_sid,
        "egressId": recording.egress_id,
        "status": recording.status.value,
        "layout": recording.layout,
        "codec": recording.codec,
        "resolution": recording.resolution,
        "startedAt": time_json(recording.started_at),
        "stoppedAt": time_json(recording.stopped_at),
        "fileUrl": recording.file_url,
        "storageKey": recording.storage_key,
        "fileSize": recording.file_size,
        "duration": recording.duration,
        "userId": recording.user_id,
        "createdAt": _time(recording.created_at),
        "updatedAt": _time(recording.updated_at),
        "source": recording.source.value,
        "trackSid": recording.track_sid,
        "audioCodec": recording.audio_codec,
        "audioBitrate": recording.audio_bitrate,
        "videoBitrate": recording.video_bitrate,
        "failureCode": recording.failure_code,
        "failureReason": recording.failure_reason,
        "endReason": recording.end_reason,
        "maxDuration": recording.max_duration,
        "expiresAt": time_json(recording.expires_at),
        "fileName": recording.file_name,
        "mimeType": recording.mime_type,
    }


def started_json(recording_id: UUID, egress_id: str | None) -> StartedJson:
    """Return the answer of Start: the status is that of the moment in which it was accepted."""
    return {"recordingId": str(recording_id), "egressId": egress_id, "status": "starting"}


def stopped_json(recording: Recording) -> StoppedJson:
    """Return the answer of Stop."""
    return {
        "recordingId": str(recording.id),
        "egressId": recording.egress_id,
        "status": recording.status.value,
        "fileUrl": recording.file_url,
        "duration": recording.duration,
    }


def time_json(time: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with milliseconds and Z."""
    return None if time is None else _time(time)


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
