"""LiveKit's EgressInfo as a domain snapshot: the one place that reads it, from protobuf and from JSON alike.

JSON is read without protobuf's library, whose import a webhook and a read would wait for.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Final, Protocol, cast
from urllib.parse import unquote, urlsplit

from recorder.domain.egress import EgressSnapshot, EgressStatus
from recorder.domain.outputs import (
    FileResult,
    SegmentsResult,
    StreamResult,
    TakeId,
    ThumbnailsResult,
    owner_of,
    shown_address,
)
from recorder.untrusted import cleaned, hosts_only

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from urllib.parse import SplitResult

    from livekit.protocol import egress as protocol

    from recorder.settings import StorageSettings

DEPLOYMENT_METADATA: Final = "deployment"
"""S3 metadata of every upload, echoed in EgressInfo: tells apart the stacks that share a LiveKit project."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STATUSES: Final = tuple(status for status in EgressStatus if status is not EgressStatus.UNKNOWN)
"""By LiveKit's numbers."""
_STREAM_STATUSES: Final = ("ACTIVE", "FINISHED", "FAILED")
"""By LiveKit's numbers."""


def snapshot_of(info: protocol.EgressInfo, storage: StorageSettings) -> EgressSnapshot:
    """Translate an EgressInfo."""
    # Servers before 1.5 have the result of a single output in a field of its own.
    results = info.file_results or ([info.file] if info.file.filename else [])
    backup = info.backup_storage_used
    files = tuple(_file(each, storage.bucket, backup=backup) for each in results)
    segments = tuple(_segments(each, storage.bucket, backup=backup) for each in info.segment_results)
    if segments and not files and not _asks_file(info):
        files = (segments[0].file,)
    return EgressSnapshot(
        egress_id=cleaned(info.egress_id),
        status=_status(info.status),
        owner=_owner(info, storage),
        room_name=cleaned(info.room_name),
        room_sid=cleaned(info.room_id) or None,
        started_at=_time(info.started_at),
        ended_at=_time(info.ended_at),
        error=hosts_only(cleaned(info.error)),
        error_code=info.error_code,
        details=hosts_only(cleaned(info.details)),
        files=files,
        segments=segments,
        thumbnails=tuple(
            ThumbnailsResult(path=cleaned(each.filename_prefix), image_count=each.image_count)
            for each in info.image_results
        ),
        streams=tuple(_stream(each) for each in info.stream_results),
        backup_storage_used=backup,
    )


def _status(status: int) -> EgressStatus:
    return _STATUSES[status] if 0 <= status < len(_STATUSES) else EgressStatus.UNKNOWN


def _file(result: protocol.FileInfo, bucket: str, *, backup: bool) -> FileResult:
    name, location = cleaned(result.filename), public_address(cleaned(result.location))
    return FileResult(
        name=name or None,
        keys=_keys(name, location, bucket, backup=backup) if name else (),
        size=_positive(result.size),
        duration=_seconds(result.duration),
        location=location or None,
        started_at=_time(result.started_at),
    )


def _keys(name: str, location: str, bucket: str, *, backup: bool) -> tuple[str, ...]:
    """Return the keys under which a file may lie in our bucket, the likeliest first.

    `name` is the key that was asked for. A worker that is configured with a prefix writes elsewhere and tells so in
    the location only, where the bucket stands in the host name or in the path. A file in the worker's backup
    storage may lie in no bucket of ours.
    """
    address = _split(location)
    if address is None or not address.hostname:
        return () if backup else (name,)
    path = unquote(address.path).removeprefix("/")
    readings = [path.removeprefix(f"{bucket}/")] if path.startswith(f"{bucket}/") else []
    if address.hostname.startswith(f"{bucket}."):
        readings.append(path)
    exact = [key for key in readings if key == name]
    prefixed = [key for key in readings if key.endswith(f"/{name}")]
    asked = [] if backup else [name]
    return tuple(dict.fromkeys([*exact, *prefixed, *asked]))


def _segments(result: protocol.SegmentsInfo, bucket: str, *, backup: bool) -> SegmentsResult:
    name, location = cleaned(result.playlist_name), public_address(cleaned(result.playlist_location))
    return SegmentsResult(
        playlist=name or None,
        keys=_keys(name, location, bucket, backup=backup) if name else (),
        segment_count=result.segment_count,
        size=_positive(result.size),
        duration=_seconds(result.duration),
        location=location or None,
        started_at=_time(result.started_at),
    )


def _stream(result: protocol.StreamInfo) -> StreamResult:
    known = 0 <= result.status < len(_STREAM_STATUSES)
    return StreamResult(
        url=shown_address(cleaned(result.url)),
        status=_STREAM_STATUSES[result.status] if known else "UNKNOWN",
        duration=_seconds(result.duration),
        started_at=_time(result.started_at),
        retried_at=_time(result.last_retry_at),
    )


def public_address(location: str) -> str:
    """Return an address without whatever opens it: user, signature, fragment; empty where it cannot be read."""
    address = _split(location)
    if address is None:
        return ""
    return address._replace(netloc=address.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _split(address: str) -> SplitResult | None:
    try:
        return urlsplit(address)
    except ValueError:
        return None


def _owner(info: protocol.EgressInfo, storage: StorageSettings) -> TakeId | None:
    for path, s3 in _paths(info):
        if s3.bucket != storage.bucket:
            continue
        if s3.metadata.get(DEPLOYMENT_METADATA, storage.deployment) != storage.deployment:
            continue
        owner = owner_of(path)
        if owner is not None:
            return owner
    return None


def _asks_file(info: protocol.EgressInfo) -> bool:
    """Tell whether an egress was asked for a file: one that failed may no longer name it among its results."""
    encoded = (info.room_composite, info.web, info.track_composite)
    return bool(
        any(each.file_outputs or each.file.filepath for each in encoded)
        or info.participant.file_outputs
        or info.track.file.filepath
        or any(each.file.filepath for each in info.egress.outputs)
    )


def _paths(info: protocol.EgressInfo) -> Iterator[tuple[str, protocol.S3Upload]]:
    """Yield where an egress of whatever kind was asked to write, for each output."""
    for encoded in (info.room_composite, info.web, info.track_composite):
        yield from _outputs(encoded)
        yield encoded.file.filepath, encoded.file.s3
        yield encoded.segments.filename_prefix, encoded.segments.s3
    yield from _outputs(info.participant)
    yield info.track.file.filepath, info.track.file.s3
    for each in info.egress.outputs:
        s3 = each.storage.s3 if each.storage.s3.bucket else info.egress.storage.s3
        for path in (each.file.filepath, each.segments.filename_prefix, each.images.filename_prefix):
            yield path, s3


def _outputs(
    request: protocol.RoomCompositeEgressRequest
    | protocol.WebEgressRequest
    | protocol.TrackCompositeEgressRequest
    | protocol.ParticipantEgressRequest,
) -> Iterator[tuple[str, protocol.S3Upload]]:
    for file in request.file_outputs:
        yield file.filepath, file.s3
    for segments in request.segment_outputs:
        yield segments.filename_prefix, segments.s3
    for images in request.image_outputs:
        yield images.filename_prefix, images.s3


def _positive(number: int) -> int | None:
    # An egress that ends in mid-upload reports 0 or a negative number.
    return number if number > 0 else None


def _seconds(nanoseconds: int) -> float | None:
    return nanoseconds / 1e9 if nanoseconds > 0 else None


def _time(nanoseconds: int) -> datetime | None:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000) if nanoseconds else None


# EgressInfo in protobuf's JSON: names in either case, zero values omitted or null, 64-bit numbers as text.


def info_in(message: object) -> protocol.EgressInfo:
    """Return what `snapshot_of` reads of an EgressInfo that came as JSON. Raises ValueError where it is none."""
    return cast("protocol.EgressInfo", _EGRESS_INFO(message))


def infos_in(message: object) -> list[protocol.EgressInfo]:
    """Return the same of every item of a ListEgressResponse."""
    return cast("protocol.ListEgressResponse", _LIST_EGRESS_RESPONSE(message)).items  # type: ignore[return-value]


def rooms_in(message: object) -> list[str]:
    """Return the names of the rooms in a ListRoomsResponse."""
    return [room.name for room in cast("_Rooms", _LIST_ROOMS_RESPONSE(message)).rooms]


def people_in(message: object) -> list[str]:
    """Return the identities of the participants in a ListParticipantsResponse that are no egress and no agent."""
    answer = cast("_Participants", _LIST_PARTICIPANTS_RESPONSE(message))
    return [each.identity for each in answer.participants if each.kind not in {"EGRESS", "AGENT"}]


class _Room(Protocol):
    name: str


class _Rooms(Protocol):
    rooms: list[_Room]


class _Participant(Protocol):
    identity: str
    kind: str


class _Participants(Protocol):
    participants: list[_Participant]


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


def _stream_status_number(value: object) -> int:
    if isinstance(value, str):
        return _STREAM_STATUSES.index(value) if value in _STREAM_STATUSES else -1
    return _whole(value)


_FILE: Final = _message(
    {"filename": _text, "size": _whole, "duration": _whole, "location": _text, "started_at": _whole}
)
_SEGMENTS: Final = _message(
    {
        "playlist_name": _text,
        "segment_count": _whole,
        "size": _whole,
        "duration": _whole,
        "playlist_location": _text,
        "started_at": _whole,
    }
)
_IMAGES: Final = _message({"filename_prefix": _text, "image_count": _whole})
_STREAM: Final = _message(
    {
        "url": _text,
        "status": _stream_status_number,
        "duration": _whole,
        "started_at": _whole,
        "last_retry_at": _whole,
    }
)
_STORAGE: Final = {"s3": _message({"bucket": _text, "metadata": _mapping})}
_FILE_OUTPUT: Final = _message({"filepath": _text, **_STORAGE})
_PREFIXED_OUTPUT: Final = _message({"filename_prefix": _text, **_STORAGE})
_OUTPUTS: Final = {
    "file_outputs": _repeated(_FILE_OUTPUT),
    "segment_outputs": _repeated(_PREFIXED_OUTPUT),
    "image_outputs": _repeated(_PREFIXED_OUTPUT),
}
_ENCODED: Final = _message({"file": _FILE_OUTPUT, "segments": _PREFIXED_OUTPUT, **_OUTPUTS})
_OUTPUT: Final = _message(
    {
        "file": _message({"filepath": _text}),
        "segments": _message({"filename_prefix": _text}),
        "images": _message({"filename_prefix": _text}),
        "storage": _message(_STORAGE),
    }
)
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
        "segment_results": _repeated(_SEGMENTS),
        "image_results": _repeated(_IMAGES),
        "stream_results": _repeated(_STREAM),
        "room_composite": _ENCODED,
        "web": _ENCODED,
        "track_composite": _ENCODED,
        "participant": _message(_OUTPUTS),
        "track": _message({"file": _FILE_OUTPUT}),
        "egress": _message({"outputs": _repeated(_OUTPUT), "storage": _message(_STORAGE)}),
    }
)
_LIST_EGRESS_RESPONSE: Final = _message({"items": _repeated(_EGRESS_INFO)})
_LIST_ROOMS_RESPONSE: Final = _message({"rooms": _repeated(_message({"name": _text}))})
_LIST_PARTICIPANTS_RESPONSE: Final = _message(
    {"participants": _repeated(_message({"identity": _text, "kind": _text}))}
)
