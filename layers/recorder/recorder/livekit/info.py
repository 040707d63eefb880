"""LiveKit's EgressInfo as a domain snapshot: the one place that reads it, from protobuf and from JSON alike.

JSON is read without protobuf's library, whose import a webhook and a read would wait for.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from recorder.domain.egress import EgressFile, EgressSnapshot, EgressStatus
from recorder.domain.recording import PREFIX
from recorder.untrusted import cleaned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from livekit.protocol import egress as protocol

    from recorder.settings import StorageSettings

DEPLOYMENT_METADATA: Final = "deployment"
"""S3 metadata of every upload, echoed in EgressInfo: tells apart the stacks that share a LiveKit project."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_OUR_PATH: Final = re.compile(rf"{PREFIX}([0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}})/[^/]+")
_STATUSES: Final = tuple(status for status in EgressStatus if status is not EgressStatus.UNKNOWN)
"""By LiveKit's numbers."""


def snapshot_of(info: protocol.EgressInfo, storage: StorageSettings) -> EgressSnapshot:
    """Translate an EgressInfo."""
    results = info.file_results
    result = results[0] if results else info.file
    return EgressSnapshot(
        egress_id=cleaned(info.egress_id),
        status=_status(info.status),
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


def _status(status: int) -> EgressStatus:
    return _STATUSES[status] if 0 <= status < len(_STATUSES) else EgressStatus.UNKNOWN


def _recording_id(info: protocol.EgressInfo, storage: StorageSettings) -> UUID | None:
    for filepath, s3 in _outputs(info):
        match = _OUR_PATH.fullmatch(filepath)
        deployment = s3.metadata.get(DEPLOYMENT_METADATA, storage.deployment)
        if match is not None and s3.bucket == storage.bucket and deployment == storage.deployment:
            return UUID(match[1])
    return None


def _outputs(info: protocol.EgressInfo) -> Iterator[tuple[str, protocol.S3Upload]]:
    """Yield where an egress of whatever kind was asked to write its files."""
    for encoded in (info.room_composite, info.web, info.track_composite):
        for output in (*encoded.file_outputs, encoded.file):
            yield output.filepath, output.s3
    for output in info.participant.file_outputs:
        yield output.filepath, output.s3
    yield info.track.file.filepath, info.track.file.s3
    for each in info.egress.outputs:
        yield each.file.filepath, each.storage.s3 if each.storage.s3.bucket else info.egress.storage.s3


def _time(nanoseconds: int) -> datetime | None:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds else None


# EgressInfo in protobuf's JSON: names in either case, zero values omitted or null, 64-bit numbers as text.


def info_in(message: object) -> protocol.EgressInfo:
    """Return what `snapshot_of` reads of an EgressInfo that came as JSON. Raises ValueError where it is none."""
    return cast("protocol.EgressInfo", _EGRESS_INFO(message))


def infos_in(message: object) -> list[protocol.EgressInfo]:
    """Return the same of every item of a ListEgressResponse."""
    return cast("protocol.ListEgressResponse", _LIST_EGRESS_RESPONSE(message)).items  # type: ignore[return-value]


type _Reader = Callable[[object], object]


def _message(fields: Mapping[str, _Reader]) -> _Reader:
    def read(value: object) -> SimpleNamespace:
        given = _mapping(value)
        return SimpleNamespace(
            {name: reader(given.get(name, given.get(_camel_case(name)))) for name, reader in fields.items()}
        )

    return read


def _repeated(reader: _Reader) -> _Reader:
    def read(value: object) -> list[object]:
        if not isinstance(value, list | None):
            raise ValueError("not a list")  # noqa: TRY004 - it is the text that is wrong
        return [reader(each) for each in cast("list[object]", value or [])]

    return read


def _mapping(value: object) -> dict[str, object]:
    if not isinstance(value, dict | None):
        raise ValueError("not an object")  # noqa: TRY004 - it is the text that is wrong
    return cast("dict[str, object]", value or {})


def _text(value: object) -> str:
    if not isinstance(value, str | None):
        raise ValueError("not a text")  # noqa: TRY004 - it is the text that is wrong
    return value or ""


def _whole(value: object) -> int:
    number = int(value) if isinstance(value, str | int) else 0 if value is None else None
    if number is None or not -(2**63) <= number < 2**63:
        raise ValueError("not a whole number")
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, bool | None):
        raise ValueError("not true or false")  # noqa: TRY004 - it is the text that is wrong
    return bool(value)


def _status_number(value: object) -> int:
    if isinstance(value, str):
        return _STATUSES.index(EgressStatus(value)) if value in _STATUSES else -1
    return _whole(value)


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


_FILE: Final = _message(
    {"filename": _text, "size": _whole, "duration": _whole, "location": _text, "started_at": _whole}
)
_STORAGE: Final = {"s3": _message({"bucket": _text, "metadata": _mapping})}
_OUTPUT: Final = _message({"filepath": _text, **_STORAGE})
_ENCODED: Final = _message({"file": _OUTPUT, "file_outputs": _repeated(_OUTPUT)})
_EGRESS_INFO: Final = _message(
    {
        "egress_id": _text,
        "status": _status_number,
        "room_name": _text,
        "room_id": _text,
        "started_at": _whole,
        "ended_at": _whole,
        "error": _text,
        "error_code": _whole,
        "details": _text,
        "backup_storage_used": _flag,
        "file": _FILE,
        "file_results": _repeated(_FILE),
        "room_composite": _ENCODED,
        "web": _ENCODED,
        "track_composite": _ENCODED,
        "participant": _message({"file_outputs": _repeated(_OUTPUT)}),
        "track": _message({"file": _OUTPUT}),
        "egress": _message(
            {
                "outputs": _repeated(
                    _message({"file": _message({"filepath": _text}), "storage": _message(_STORAGE)})
                ),
                "storage": _message(_STORAGE),
            }
        ),
    }
)
_LIST_EGRESS_RESPONSE: Final = _message({"items": _repeated(_EGRESS_INFO)})
