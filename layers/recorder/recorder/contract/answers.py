"""The JSON of the HTTP contract that is given out, made of the domain's values.

Its types are in `recorder.contract.schemas`; what comes in is validated by `recorder.contract.requests`.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from recorder.domain.outputs import shown_address
from recorder.domain.recording import OnWorkerLost, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from uuid import UUID

    from recorder.contract.schemas import (
        DeletedJson,
        DeletedManyJson,
        FileJson,
        LinkJson,
        NewLinkJson,
        RecordingJson,
        SharedJson,
        StartedJson,
        StoppedJson,
        StreamJson,
        TakeJson,
    )
    from recorder.domain.links import MediaFile
    from recorder.domain.recording import Recording, Take
    from recorder.domain.shares import Shared, ShareLink


def recording_json(recording: Recording) -> RecordingJson:
    """Return the recording as a client sees it."""
    return {
        "id": str(recording.id),
        "roomName": recording.room_name,
        "roomSid": recording.room_sid,
        "egressId": recording.egress_id,
        "status": recording.status,
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
        "source": recording.source,
        "trackSid": recording.track_sid,
        "participantIdentity": recording.participant_identity,
        "screenShare": recording.screen_share,
        "audioTrackSid": recording.audio_track_sid,
        "videoTrackSid": recording.video_track_sid,
        "pageUrl": recording.page_url,
        "media": recording.media,
        "orientation": recording.orientation,
        "framerate": recording.framerate,
        "title": recording.title,
        "reference": recording.reference,
        "metadata": None if recording.metadata is None else dict(recording.metadata),
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
        "onWorkerLost": recording.on_worker_lost or OnWorkerLost.END,
        "takeCount": recording.take_count,
        "pauseRequestedAt": time_json(recording.pause_requested_at),
        "streams": _streams_json(recording),
        "thumbnailCount": recording.thumbnails,
    }


def _streams_json(recording: Recording) -> list[StreamJson]:
    found: list[StreamJson] = []
    for position, url in enumerate(recording.stream_urls):
        told = recording.stream_states[position : position + 1]
        status = told[0] if told else None
        if not recording.live and status in {"connecting", "active", "retrying"}:
            # LiveKit did not report the end of a worker that was lost.
            status = "finished"
        stream: StreamJson = {"url": shown_address(url), "status": status}
        if status == "failed":
            stream["failureReason"] = "its receiver could not be reached, or closed the connection"
        found.append(stream)
    return found


def takes_json(recording: Recording) -> list[TakeJson]:
    """Return the takes of a recording, the current one last."""
    found = [_take_json(take) for take in recording.takes]
    if recording.take_started_at is not None and not recording.between_takes:
        found.append(
            {
                "take": recording.take,
                "egressId": recording.egress_id,
                "startedAt": time_json(recording.take_started_at),
                "stoppedAt": None if recording.live else time_json(recording.stopped_at),
                "end": None if recording.live else recording.end_reason,
                "duration": recording.duration,
            }
        )
    return found


def _take_json(take: Take) -> TakeJson:
    found: TakeJson = {
        "take": take.take,
        "egressId": take.egress_id,
        "startedAt": time_json(take.started_at),
        "stoppedAt": time_json(take.stopped_at),
        "end": take.end_reason,
        "duration": take.duration,
    }
    if take.lost_seconds is not None:
        found["lostSeconds"] = take.lost_seconds
    return found


def file_json(file: MediaFile) -> FileJson:
    """Return a file of a recording."""
    found: FileJson = {
        "kind": "playlist" if file.is_playlist else "file",
        "url": file.url,
        "size": file.size,
        "mimeType": file.mime_type,
        "fileName": file.file_name,
    }
    if file.duration is not None:
        found["duration"] = file.duration
    if file.take is not None:
        found["take"] = file.take
    return found


def started_json(recording_id: UUID, egress_id: str | None) -> StartedJson:
    """Return the answer of Start: the status is that of the moment in which it was accepted."""
    return {"recordingId": str(recording_id), "egressId": egress_id, "status": Status.STARTING}


def stopped_json(recording: Recording) -> StoppedJson:
    """Return the answer of PATCH."""
    return {
        "recordingId": str(recording.id),
        "egressId": recording.egress_id,
        "status": recording.status,
        "fileUrl": recording.file_url,
        "duration": recording.duration,
    }


def link_json(link: ShareLink) -> LinkJson:
    """Return a link without its secret."""
    return {"linkId": str(link.id), "expiresAt": _time(link.expires_at), "mayDownload": link.may_download}


def new_link_json(link: ShareLink, url: str) -> NewLinkJson:
    """Return the answer to a new link."""
    return {"linkId": str(link.id), "url": url, "expiresAt": _time(link.expires_at)}


def shared_json(shared: Shared) -> SharedJson:
    """Return a recording as its link shows it."""
    recording = shared.recording
    found: SharedJson = {
        "title": recording.title,
        "roomName": recording.room_name,
        "startedAt": time_json(recording.started_at),
        "duration": recording.duration,
        "status": recording.status,
        "playbackUrl": shared.playback_url,
        "posterUrl": shared.poster_url,
        "expiresAt": _time(shared.expires_at),
    }
    if shared.may_download:
        found["downloadUrl"] = shared.download_url
    return found


def deleted_json(left: str | None) -> DeletedJson:
    """Return the answer of Delete; `left` is the address of a file that stays."""
    return {"success": True} if left is None else {"success": True, "notDeleted": [left]}


def deleted_many_json(
    outcomes: Mapping[UUID, Exception | None], code_of: Callable[[Exception], str]
) -> DeletedManyJson:
    """Return the answer of the deletion of several, of which each has an error or none."""
    return {
        "deleted": [str(recording_id) for recording_id, error in outcomes.items() if error is None],
        "failed": [
            {"id": str(recording_id), "code": code_of(error), "error": str(error)}
            for recording_id, error in outcomes.items()
            if error is not None
        ],
    }


def time_json(time: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with milliseconds and Z."""
    return None if time is None else _time(time)


def _time(time: datetime) -> str:
    # Half as long as with the offset, which would be there only to be replaced.
    return f"{time.astimezone(UTC).replace(tzinfo=None).isoformat('T', 'milliseconds')}Z"
