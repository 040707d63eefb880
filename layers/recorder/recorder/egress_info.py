"""LiveKit's EgressInfo as a domain snapshot: the one place that reads it, from answers and from webhooks alike."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from livekit.protocol import egress as protocol

from .domain import PREFIX, EgressFile, EgressSnapshot, EgressStatus
from .untrusted import cleaned

if TYPE_CHECKING:
    from .settings import StorageSettings

DEPLOYMENT_METADATA: Final = "deployment"
"""S3 metadata of every upload, echoed in EgressInfo: tells apart the stacks that share a LiveKit project."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OUR_PATH: Final = re.compile(rf"{PREFIX}([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})/[^/]+")
_STATUSES: Final = {
    number: EgressStatus(name)
    for name, number in protocol.EgressStatus.items()
    if name in EgressStatus.__members__.values()
}


def snapshot_of(
    info: protocol.EgressInfo, storage: StorageSettings, *, status_known: bool = True
) -> EgressSnapshot:
    """Translate an EgressInfo; `status_known` is False where its JSON carried a status that this version lacks."""
    result = info.file_results[0] if info.file_results else info.file
    status = _STATUSES.get(info.status, EgressStatus.UNKNOWN) if status_known else EgressStatus.UNKNOWN
    return EgressSnapshot(
        egress_id=cleaned(info.egress_id),
        status=status,
        recording_id=_recording_id(info, storage),
        room_name=cleaned(info.room_name),
        room_sid=cleaned(info.room_id) or None,
        started_at=_time(info.started_at),
        ended_at=_time(info.ended_at),
        error=cleaned(info.error),
        error_code=info.error_code,
        details=cleaned(info.details),
        file=EgressFile(
            key=cleaned(result.filename) or None,
            size=result.size or None,
            duration=result.duration / 1e9 if result.duration else None,
            location=cleaned(result.location) or None,
            started_at=_time(result.started_at),
        ),
        backup_storage_used=info.backup_storage_used,
    )


def _recording_id(info: protocol.EgressInfo, storage: StorageSettings) -> UUID | None:
    output: protocol.DirectFileOutput | protocol.EncodedFileOutput
    if info.HasField("track"):
        output = info.track.file
    elif info.HasField("room_composite"):
        outputs = info.room_composite.file_outputs
        output = outputs[0] if outputs else info.room_composite.file
    else:
        return None
    match = _OUR_PATH.fullmatch(output.filepath)
    deployment = output.s3.metadata.get(DEPLOYMENT_METADATA, storage.deployment)
    if match is None or output.s3.bucket != storage.bucket or deployment != storage.deployment:
        return None
    return UUID(match[1])


def _time(nanoseconds: int) -> datetime | None:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds else None
