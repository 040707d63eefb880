"""The tables `recordings` and `recording_events`: every statement of the product, each one transaction.

A change and its event are written by one statement, compare-and-set on `version`. docs/architecture.md names the
index that serves each statement. No statement depends on a session's defaults (docs/decisions.md): tables carry their
schema, and everything comes back as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import reduce
from math import isfinite
from operator import itemgetter, or_
from struct import Struct
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Final, cast, get_args, get_origin
from uuid import UUID

from recorder.domain.events import event_of
from recorder.domain.recording import (
    FINAL,
    BegunBy,
    OnWorkerLost,
    Recording,
    Status,
    StopReason,
    Take,
    TakeEnd,
    Unknown,
)
from recorder.domain.sources import Media, Source
from recorder.domain.takes import lost_egress
from recorder.errors import RecordingInProgressError, RowRefusedError
from recorder.telemetry import Code, count, log
from recorder.usecases.ports import Backlog, Owner, StoredEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from enum import StrEnum

    from recorder.domain.events import Event
    from recorder.postgres.database import Database
    from recorder.postgres.login import Parameter, Row
    from recorder.usecases.ports import Page

_INSERT_TRIES: Final = 5
"""A row that is in the way may be committed after a statement's snapshot, or be gone again: a second look tells."""
_PAGE_READS: Final = 10
"""Bound on the reads of one page, of which more than one is needed only where rows cannot be read."""


_DOUBLE: Final = Struct(">d")

type _Decoder = Callable[[str], object]
type _Decoded = tuple[int, _Decoder]


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def _fraction(bits: str) -> float:
    [number] = _DOUBLE.unpack(bytes.fromhex(bits))
    if not isfinite(number):
        # JSON has neither infinity nor NaN.
        raise ValueError(bits)
    return float(number)


class _Members(dict[str, object]):
    """The members of an enumeration by their values; every other value is of a later release."""

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__((member.value, member) for member in kind)

    def __missing__(self, text: str) -> Unknown:
        return Unknown(text)


def _pairs(value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise ValueError(value)
    return cast("dict[str, str]", value)


# How the value of a column is read, by the type of the field of the same name; None: as JSON has it.
_DECODERS: Final[Mapping[object, Callable[[str], object] | None]] = {
    str: None,
    int: None,
    bool: None,
    float: _fraction,
    datetime: _time,
    UUID: UUID,
    Mapping[str, str]: _pairs,
    tuple[str, ...]: tuple,
    Source | Unknown: _Members(Source).__getitem__,
    Media | Unknown: _Members(Media).__getitem__,
    Status | Unknown: _Members(Status).__getitem__,
    StopReason | Unknown: _Members(StopReason).__getitem__,
    TakeEnd | Unknown: _Members(TakeEnd).__getitem__,
    BegunBy | Unknown: _Members(BegunBy).__getitem__,
    OnWorkerLost | Unknown: _Members(OnWorkerLost).__getitem__,
}
_TAKES: Final = "takes"


def _types(values: type[Recording | Take]) -> dict[str, object]:
    """Return the fields of a value and their types."""
    types: dict[str, object] = values.__annotations__
    return {name: kind for name, kind in types.items() if name != _TAKES}


def _present(kind: object) -> object:
    """Return a type without None."""
    if not isinstance(kind, UnionType):
        return kind
    return reduce(or_, (each for each in get_args(kind) if each is not NoneType))


_FIELDS: Final = _types(Recording)
_TAKE_FIELDS: Final = _types(Take)


def _decoded(kinds: Mapping[str, object]) -> tuple[_Decoded, ...]:
    """Return which values have to be decoded, and how."""
    return tuple(
        (position, decode)
        for position, kind in enumerate(kinds.values())
        # A type that is not in the table fails here, when the module is imported.
        if (decode := _DECODERS[_present(kind)]) is not None
    )


def _json_array(kinds: Mapping[str, object]) -> str:
    return "json_build_array({})".format(
        ", ".join(
            f"encode(float8send({name}), 'hex')" if _present(kind) is float else name
            for name, kind in kinds.items()
        )
    )


_DECODED: Final = _decoded(_FIELDS)
_DECODED_TAKE: Final = _decoded(_TAKE_FIELDS)
_REQUIRED: Final = tuple(position for position, kind in enumerate(_FIELDS.values()) if kind == _present(kind))
_LISTS: Final = tuple(name for name, kind in _FIELDS.items() if get_origin(kind) is tuple)
COLUMNS: Final = tuple(_FIELDS)
"""The columns of `recordings` are the fields of Recording."""
_required = itemgetter(*_REQUIRED)
_ID, _STATUS, _EGRESS_ID, _CREATED_AT = map(COLUMNS.index, ("id", "status", "egress_id", "created_at"))

# One JSON array a row: Python's parser of those is written in C, pg8000's of rows is not. A fraction comes as its bits,
# exact, as no session's extra_float_digits changes them. The ended takes come with it, where there are any: of an
# ordinary recording nothing else than its row is read.
_RECORDING: Final = f"""json_build_array({_json_array(_FIELDS)}, case when take > 1 or take_ended_at is not null then (
    select json_agg({_json_array(_TAKE_FIELDS)} order by recording_takes.take) from public.recording_takes
    where recording_takes.recording_id = recordings.id) end)"""

# The types of the columns of `recording_takes`, by the types of the fields of Take.
_SQL_TYPES: Final[Mapping[object, str]] = {
    int: "bigint",
    float: "double precision",
    datetime: "timestamptz",
    bool: "boolean",
}
_TAKE_COLUMNS: Final = ", ".join(
    f"{name} {_SQL_TYPES.get(_present(kind), 'text')}" for name, kind in _TAKE_FIELDS.items()
)

_EVENT: Final = """
    insert into public.recording_events (id, recording_id, sequence, type, occurred_at, body)
    select cast(:event_id as text), written.id, :version, :event_type, :event_at, cast(:event_body as json)
    from written where cast(:event_id as text) is not null"""

INSERT: Final = f"""
with written as (
    insert into public.recordings ({", ".join(COLUMNS)})
    values ({", ".join(f":{name}" for name in COLUMNS)})
    on conflict do nothing
    returning id
), event as ({_EVENT})
select (select count(*) from written), existing.recording
from (select) as always left join lateral (
    select {_RECORDING} as recording from public.recordings
    where id = :id
       or (user_id = :user_id and idempotency_key = :idempotency_key)
       or (target = :target and status not in ('completed', 'failed'))
    order by id = :id desc, (user_id = :user_id and idempotency_key = :idempotency_key) desc nulls last
    limit 1
) as existing on true"""

SAVE: Final = f"""
with written as (
    update public.recordings set {", ".join(f"{name} = :{name}" for name in COLUMNS if name != "id")}
    where id = :id and version = :expected_version
    returning id
), takes as (
    insert into public.recording_takes (recording_id, {", ".join(_TAKE_FIELDS)})
    select written.id, {", ".join(f"each.{name}" for name in _TAKE_FIELDS)}
    from written, json_to_recordset(cast(:takes as json)) as each ({_TAKE_COLUMNS})
    on conflict (recording_id, take) do update set
        {", ".join(f"{name} = excluded.{name}" for name in _TAKE_FIELDS if name != "take")}
), event as ({_EVENT})
select count(*) from written"""

# The table's own row type reads the changes. The keys come as an array too, so that they are found by their index.
SAVE_ALL: Final = f"""
with written as (
    update public.recordings set {", ".join(f"{name} = changed.{name}" for name in COLUMNS if name != "id")}
    from json_populate_recordset(cast(null as public.recordings), cast(:rows as json)) as changed
    where recordings.id = any(cast(:ids as uuid[])) and recordings.id = changed.id
      and recordings.version = changed.version - 1
    returning recordings.id, recordings.version
), event as (
    insert into public.recording_events (id, recording_id, sequence, type, occurred_at, body)
    select each.event_id, written.id, written.version, each.event_type, each.event_at, cast(each.event_body as json)
    from json_to_recordset(cast(:events as json))
        as each (event_id text, event_recording uuid, event_type text, event_at timestamptz, event_body text)
    join written on written.id = each.event_recording
)
select id::text from written"""

# Leaves `version` and `due_at` alone, so concurrent writers and the sweep's lease are unaffected.
REFRESHED: Final = "update public.recordings set refreshed_at = :now where id = :id"

GET: Final = f"select {_RECORDING} from public.recordings where id = :id"

FIND_BY_EGRESS_ID: Final = f"""
select {_RECORDING} from public.recordings where egress_id = :egress_id limit 100"""

_LIST: Final = f"""
select {_RECORDING} from public.recordings
where user_id = :user_id and deleted_at is null
  and (expires_at is null or expires_at > :now)
  and (cast(:room_name as text) is null or room_name = :room_name)
  and (cast(:status as text) is null or status = :status)
  and (cast(:source as text) is null or source = :source)
  and (cast(:reference as text) is null or reference = :reference)
  and (cast(:created_from as timestamptz) is null or created_at >= :created_from)
  and (cast(:created_to as timestamptz) is null or created_at < :created_to)"""
LIST_NEWEST_FIRST: Final = f"""{_LIST}
  and (cast(:after_at as timestamptz) is null or (created_at, id) < (:after_at, cast(:after_id as uuid)))
order by created_at desc, id desc limit :limit"""
LIST_OLDEST_FIRST: Final = f"""{_LIST}
  and (cast(:after_at as timestamptz) is null or (created_at, id) > (:after_at, cast(:after_id as uuid)))
order by created_at, id limit :limit"""

# The keys come as an array: of a join Postgres may think that reading the whole table is the cheaper way.
LEASE: Final = f"""
update public.recordings set due_at = :until, refreshed_at = coalesce(:refreshed_at, refreshed_at)
where id = any(array(
    select id from public.recordings where due_at <= :now order by due_at limit :limit for update skip locked
))
returning {_RECORDING}"""

# As long as it has not begun, `started_at` says when it was asked for, and pauses make the end later than said here.
# Every row that records, or is about to, is due again within a minute.
LIMITED: Final = f"""
select {_RECORDING} from public.recordings
where due_at <= :until and status in ('starting', 'active', 'resuming')
  and started_at + make_interval(secs => max_duration) <= :until
order by due_at limit :limit"""

GET_ALL: Final = f"select {_RECORDING} from public.recordings where id = any(cast(:ids as uuid[]))"

MAKE_DUE: Final = """
update public.recordings set due_at = :now
where id = any(cast(:ids as uuid[])) and attempts = 0 and status in ('completed', 'failed')"""

REMOVE: Final = f"""
with written as (
    delete from public.recordings where id = :id and version = :expected_version returning id
), event as ({_EVENT})
select count(*) from written"""

LEASE_EVENTS: Final = """
update public.recording_events set leased_until = :until
where position = any(array(
    select position from public.recording_events as event
    where leased_until <= :now and not exists (
        select from public.recording_events as earlier
        where earlier.recording_id = event.recording_id and earlier.sequence < event.sequence
    )
    order by position limit :limit for update skip locked
))
returning position, type, body::text"""

DELETE_EVENTS: Final = (
    "delete from public.recording_events where position = any(cast(:positions as bigint[]))"
)

# A row that was due before all time is as late as one that Python has a time for.
BACKLOG: Final = """
select json_build_array(
    (select case when min(due_at) is not null
                 then greatest(min(due_at), cast(:now as timestamptz) - interval '100 years') end
     from public.recordings where due_at <= :now),
    (select count(*) from (select from public.recording_events order by position limit :most) as unpublished))"""


class Repository:
    """The recordings of this deployment, as `usecases.ports.Recordings`."""

    def __init__(
        self, database: Database, *, event_json: Callable[[Event, Recording], Mapping[str, object]] | None
    ) -> None:
        """Take the JSON that an event is stored as; None switches events off."""
        self._database = database
        self._event_json = event_json

    def close(self) -> None:
        """Close the connection; the next statement opens a new one."""
        self._database.close()

    def insert(self, recording: Recording) -> Recording | None:
        parameters = _parameters(recording) | self._event(None, recording)
        for _ in range(_INSERT_TRIES):
            [[inserted, standing]] = self._database.run(INSERT, **parameters)
            # A statement that was retried on a fresh connection meets the row of its first attempt.
            if inserted or (standing is not None and _id_of(standing) == str(recording.id)):
                return None
            if standing is not None:
                existing = _recording(standing)
                if existing is None:
                    raise RecordingInProgressError(None)
                return existing
        log.error(Code.ROW_REFUSED, recording_id=recording.id)
        raise RowRefusedError("the database does not take the recording")

    def save(self, before: Recording, after: Recording) -> bool:
        parameters = (
            _parameters(after) | self._event(before, after) | {"takes": _changed_takes(before, after)}
        )
        [[written]] = self._database.run(SAVE, **parameters, expected_version=before.version)
        return bool(written)

    def save_all(self, changes: Sequence[tuple[Recording, Recording]]) -> frozenset[UUID]:
        events = [self._event(before, after) for before, after in changes]
        rows = self._database.run(
            SAVE_ALL,
            ids=[str(after.id) for _, after in changes],
            rows=json.dumps([_parameters(after) for _, after in changes], default=str),
            events=json.dumps([each for each in events if each["event_id"] is not None], default=str),
        )
        return frozenset(UUID(str(id_)) for [id_] in rows)

    def get_all(self, recording_ids: Sequence[UUID]) -> dict[UUID, Recording]:
        rows = self._database.run(GET_ALL, ids=[str(each) for each in recording_ids])
        return {each.id: each for each in _readable(rows)}

    def refreshed(self, recording_id: UUID, now: datetime) -> None:
        self._database.run(REFRESHED, id=recording_id, now=now)

    def get(self, recording_id: UUID) -> Recording | None:
        found = _readable(self._database.run(GET, id=recording_id))
        return found[0] if found else None

    def find_by_egress_id(self, egress_id: str) -> Sequence[Recording]:
        found = _readable(self._database.run(FIND_BY_EGRESS_ID, egress_id=egress_id))
        return sorted(found, key=lambda each: each.id)

    def page(self, page: Page, now: datetime) -> list[Recording]:
        found: list[Recording] = []
        # As texts, since the position of a row that cannot be read may be no time of Python's.
        after: tuple[datetime | str, UUID | str] | tuple[None, None] = page.after or (None, None)
        for _ in range(_PAGE_READS):
            wanted = page.limit - len(found)
            rows = self._database.run(
                LIST_OLDEST_FIRST if page.oldest_first else LIST_NEWEST_FIRST,
                user_id=page.user_id,
                now=now,
                room_name=page.room_name,
                status=page.status,
                source=page.source,
                reference=page.reference,
                created_from=page.created_from,
                created_to=page.created_to,
                after_at=after[0],
                after_id=after[1],
                limit=wanted,
            )
            found += _readable(rows)
            if len(found) == page.limit or len(rows) < wanted:
                break
            after = _position(rows[-1][0])
        return found

    def lease(
        self, now: datetime, until: datetime, limit: int, *, refreshed_at: datetime | None
    ) -> list[Recording]:
        rows = self._database.run(LEASE, now=now, until=until, limit=limit, refreshed_at=refreshed_at)
        return sorted(_readable(rows, known=True), key=lambda each: (each.attempts, each.created_at, each.id))

    def limited(self, until: datetime, limit: int) -> list[Recording]:
        return _readable(self._database.run(LIMITED, until=until, limit=limit), known=True)

    def owners(self, recording_ids: Sequence[UUID]) -> dict[UUID, Owner]:
        rows = self._database.run(GET_ALL, ids=[str(each) for each in recording_ids])
        owners = (_owner(row[0]) for row in rows)
        return {owner.id: owner for owner in owners}

    def make_due(self, recording_ids: Sequence[UUID], now: datetime) -> None:
        self._database.run(MAKE_DUE, ids=[str(each) for each in recording_ids], now=now)

    def remove(self, recording: Recording, *, last: Recording | None = None) -> bool:
        after = last or recording
        parameters = {"version": after.version} | self._event(recording, after)
        [[removed]] = self._database.run(
            REMOVE, id=recording.id, expected_version=recording.version, **parameters
        )
        return bool(removed)

    def lease_events(self, now: datetime, until: datetime, limit: int) -> list[StoredEvent]:
        rows = self._database.run(LEASE_EVENTS, now=now, until=until, limit=limit)
        return [
            StoredEvent(position=cast("int", position), type=cast("str", kind), body=cast("str", body))
            for position, kind, body in sorted(rows, key=lambda row: cast("int", row[0]))
        ]

    def delete_events(self, positions: Sequence[int]) -> None:
        self._database.run(DELETE_EVENTS, positions=list(positions))

    def backlog(self, now: datetime) -> Backlog:
        [[answer]] = self._database.run(BACKLOG, now=now, most=10_000)
        oldest, events = cast("tuple[str | None, int]", answer)
        return Backlog(oldest_due_at=None if oldest is None else _time(oldest), events=events)

    def _event(self, before: Recording | None, after: Recording) -> dict[str, Parameter]:
        event = event_of(before, after)
        if event is None or self._event_json is None:
            return dict.fromkeys(("event_id", "event_recording", "event_type", "event_at", "event_body"))
        return {
            "event_id": event.id,
            "event_recording": event.recording_id,
            "event_type": event.type.value,
            "event_at": event.occurred_at,
            "event_body": json.dumps(self._event_json(event, after)),
        }


def _parameters(recording: Recording) -> dict[str, Parameter]:
    values = {name: cast("object", getattr(recording, name)) for name in COLUMNS}
    return values | {name: list(getattr(recording, name)) for name in _LISTS}


def _changed_takes(before: Recording, after: Recording) -> str | None:
    changed = [take for take in after.takes if take not in before.takes]
    if not changed:
        return None
    return json.dumps([{name: getattr(take, name) for name in _TAKE_FIELDS} for take in changed], default=str)


def _columns(row: object) -> list[str]:
    return cast("tuple[list[str], object]", row)[0]


def _id_of(row: object) -> str:
    return _columns(row)[_ID]


def _position(row: object) -> tuple[str, str]:
    columns = _columns(row)
    return columns[_CREATED_AT], columns[_ID]


def _owner(row: object) -> Owner:
    columns, recording = _columns(row), _recording(row)
    if recording is None:
        live = columns[_STATUS] not in FINAL
        return Owner(id=UUID(columns[_ID]), live=live, egress_id=columns[_EGRESS_ID], known=False)
    return Owner(
        id=recording.id,
        live=recording.live,
        egress_id=recording.egress_id,
        take=recording.take,
        between_takes=recording.between_takes,
        lost=lost_egress(recording),
        known=recording.known,
    )


def _readable(rows: list[Row], *, known: bool = False) -> list[Recording]:
    """Return the recordings that can be read and, where that is asked for, are known in every value."""
    recordings = [recording for [row] in rows if (recording := _recording(row)) is not None]
    for each in recordings if known else ():
        if not each.known:
            unknown = [name for name in COLUMNS if isinstance(getattr(each, name), Unknown)]
            log.error(Code.RECORDING_UNREADABLE, recording_id=each.id, columns=", ".join(unknown))
    if known:
        recordings = [each for each in recordings if each.known]
    if len(recordings) < len(rows):
        count("RecordingsUnreadable", len(rows) - len(recordings))
    return recordings


def _recording(row: object) -> Recording | None:
    """Return the recording that a row holds, or None, and the row's id in the log, where it cannot be read."""
    columns, takes = cast("tuple[list[str], list[list[str]] | None]", row)
    values: list[object] = [*columns]
    missing = _REQUIRED if None in _required(columns) else ()
    unreadable = [COLUMNS[position] for position in missing if columns[position] is None]
    for position, decode in _DECODED:
        value = columns[position]
        if value is not None:
            try:
                values[position] = decode(value)
            except (ValueError, OverflowError):
                unreadable.append(COLUMNS[position])
    ended: tuple[Take, ...] = ()
    try:
        ended = tuple(map(_take, takes or ()))
    except (ValueError, OverflowError):
        unreadable.append(_TAKES)
    if unreadable:
        log.error(Code.RECORDING_UNREADABLE, recording_id=columns[_ID], columns=", ".join(unreadable))
        return None
    # The takes are the last field.
    return Recording._make((*values, ended))


def _take(columns: list[str]) -> Take:
    values: list[object] = [*columns]
    for position, decode in _DECODED_TAKE:
        if columns[position] is not None:
            values[position] = decode(columns[position])
    return Take._make(values)
