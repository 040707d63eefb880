"""The tables `recordings` and `recording_events`: every statement of the product, each one transaction.

A change and its event are written by one statement, compare-and-set on `version`. docs/architecture.md names the
index that serves each statement.
"""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

from recorder.domain.events import EventType, event_of
from recorder.domain.recording import Recording, Status, StopReason
from recorder.domain.sources import Source
from recorder.usecases.ports import Backlog, Owner, StoredEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from recorder.domain.events import Event
    from recorder.postgres.database import Database, Parameter, Row
    from recorder.usecases.ports import Page

_COLUMNS: Final = """
    id, user_id, room_name, source, status, created_at, updated_at, status_at, layout, resolution, codec,
    audio_codec, audio_bitrate, video_bitrate, track_sid, room_sid, egress_id, started_at, stopped_at, storage_key,
    file_url, file_size, duration, failure_code, failure_reason, end_reason, max_duration, expires_at, target,
    idempotency_key, idempotency_fingerprint, stop_reason, stop_requested_at, deleted_at, late_upload_until,
    recorder_seen_at, absent_since, handler_silent_since, handler_answered_at, refreshed_at, due_at, attempts,
    version"""
COLUMNS: Final = tuple(name.strip() for name in _COLUMNS.split(","))
# One JSON array a row: Python's parser of those is written in C, pg8000's of rows is not.
_RECORDING: Final = f"json_build_array({_COLUMNS})"
_TIMES: Final = tuple(
    (COLUMNS.index(each.name), each.name)
    for each in fields(Recording)
    if str(each.type).startswith("datetime")
)
_SOURCES: Final = {source.value: source for source in Source}
_STATUSES: Final = {status.value: status for status in Status}
_ID, _SOURCE, _STATUS, _STOP_REASON = map(COLUMNS.index, ("id", "source", "status", "stop_reason"))

_EVENT: Final = """
    insert into recording_events (id, recording_id, sequence, type, occurred_at, body)
    select cast(:event_id as text), written.id, :version, :event_type, :event_at, cast(:event_body as json)
    from written where cast(:event_id as text) is not null"""

INSERT: Final = f"""
with written as (
    insert into recordings ({_COLUMNS})
    values ({", ".join(f":{name}" for name in COLUMNS)})
    on conflict do nothing
    returning id
), event as ({_EVENT})
select (select count(*) from written), existing.recording
from (select) as always left join lateral (
    select {_RECORDING} as recording from recordings
    where id = :id
       or (user_id = :user_id and idempotency_key = :idempotency_key)
       or (target = :target and status in ('starting', 'active', 'stopping'))
    order by id = :id desc, (user_id = :user_id and idempotency_key = :idempotency_key) desc nulls last
    limit 1
) as existing on true"""

SAVE: Final = f"""
with written as (
    update recordings set
        status = :status, updated_at = :updated_at, status_at = :status_at, room_sid = :room_sid,
        egress_id = :egress_id, started_at = :started_at, stopped_at = :stopped_at, storage_key = :storage_key,
        file_url = :file_url, file_size = :file_size, duration = :duration, failure_code = :failure_code,
        failure_reason = :failure_reason, end_reason = :end_reason, expires_at = :expires_at,
        idempotency_key = :idempotency_key, stop_reason = :stop_reason, stop_requested_at = :stop_requested_at,
        deleted_at = :deleted_at, late_upload_until = :late_upload_until, recorder_seen_at = :recorder_seen_at,
        absent_since = :absent_since, handler_silent_since = :handler_silent_since,
        handler_answered_at = :handler_answered_at, refreshed_at = :refreshed_at, due_at = :due_at,
        attempts = :attempts, version = :version
    where id = :id and version = :expected_version
    returning id
), event as ({_EVENT})
select count(*) from written"""

# Beside the versions: whoever has read the row may still write to it, and the sweep's lease stays as it is.
REFRESHED: Final = "update recordings set refreshed_at = :now where id = :id"

GET: Final = f"select {_RECORDING} from recordings where id = :id"

GET_BY_EGRESS_ID: Final = f"select {_RECORDING} from recordings where egress_id = :egress_id limit 1"

_LIST: Final = f"""
select {_RECORDING} from recordings
where user_id = :user_id and deleted_at is null
  and (expires_at is null or expires_at > :now)
  and (cast(:room_name as text) is null or room_name = :room_name)
  and (cast(:status as text) is null or status = :status)
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
update recordings set due_at = :until, refreshed_at = coalesce(:refreshed_at, refreshed_at)
where id = any(array(
    select id from recordings where due_at <= :now order by due_at limit :limit for update skip locked
))
returning {_RECORDING}"""

# As long as it has not begun, `started_at` says when it was asked for. Every live row is due again within a minute.
LIMITED: Final = f"""
select {_RECORDING} from recordings
where due_at <= :until and status in ('starting', 'active')
  and started_at + make_interval(secs => max_duration) <= :until
order by due_at limit :limit"""

OWNERS: Final = "select id, status, egress_id from recordings where id = any(cast(:ids as uuid[]))"

MAKE_DUE: Final = """
update recordings set due_at = :now
where id = any(cast(:ids as uuid[])) and attempts = 0 and status in ('completed', 'failed')"""

REMOVE: Final = """
with removed as (delete from recordings where id = :id and version = :version returning id)
select count(*) from removed"""

LEASE_EVENTS: Final = """
update recording_events set leased_until = :until
where position = any(array(
    select position from recording_events as event
    where leased_until <= :now and not exists (
        select from recording_events as earlier
        where earlier.recording_id = event.recording_id and earlier.sequence < event.sequence
    )
    order by position limit :limit for update skip locked
))
returning position, type, body::text"""

DELETE_EVENTS: Final = "delete from recording_events where position = any(cast(:positions as bigint[]))"

BACKLOG: Final = """
select (select min(due_at) from recordings where due_at <= :now),
       (select count(*) from (select from recording_events order by position limit :most) as unpublished)"""


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
        while True:
            parameters = _parameters(recording) | self._event(None, recording)
            [[inserted, found]] = self._database.run(INSERT, **parameters)
            existing = None if found is None else _recording(found)
            # A statement that was retried on a fresh connection meets the row of its first attempt.
            if inserted or (existing is not None and existing.id == recording.id):
                return None
            # What stood in the way may have been committed after this statement's snapshot, or be gone again.
            if existing is not None:
                return existing

    def save(self, before: Recording, after: Recording) -> bool:
        parameters = _parameters(after) | self._event(before, after)
        [[written]] = self._database.run(SAVE, **parameters, expected_version=before.version)
        return bool(written)

    def refreshed(self, recording_id: UUID, now: datetime) -> None:
        self._database.run(REFRESHED, id=recording_id, now=now)

    def get(self, recording_id: UUID) -> Recording | None:
        return _first(self._database.run(GET, id=recording_id))

    def get_by_egress_id(self, egress_id: str) -> Recording | None:
        return _first(self._database.run(GET_BY_EGRESS_ID, egress_id=egress_id))

    def page(self, page: Page, now: datetime) -> list[Recording]:
        after_at, after_id = page.after or (None, None)
        rows = self._database.run(
            LIST_OLDEST_FIRST if page.oldest_first else LIST_NEWEST_FIRST,
            user_id=page.user_id,
            now=now,
            room_name=page.room_name,
            status=page.status.value if page.status else None,
            created_from=page.created_from,
            created_to=page.created_to,
            after_at=after_at,
            after_id=after_id,
            limit=page.limit,
        )
        return [_recording(row[0]) for row in rows]

    def lease(
        self, now: datetime, until: datetime, limit: int, *, refreshed_at: datetime | None
    ) -> list[Recording]:
        rows = self._database.run(LEASE, now=now, until=until, limit=limit, refreshed_at=refreshed_at)
        return sorted(
            (_recording(row[0]) for row in rows), key=lambda each: (each.attempts, each.created_at, each.id)
        )

    def limited(self, until: datetime, limit: int) -> list[Recording]:
        return [_recording(row[0]) for row in self._database.run(LIMITED, until=until, limit=limit)]

    def owners(self, recording_ids: Sequence[UUID]) -> dict[UUID, Owner]:
        rows = self._database.run(OWNERS, ids=[str(each) for each in recording_ids])
        owners = (
            Owner(
                id=cast("UUID", id_), status=Status(cast("str", status)), egress_id=cast("str | None", egress)
            )
            for id_, status, egress in rows
        )
        return {owner.id: owner for owner in owners}

    def make_due(self, recording_ids: Sequence[UUID], now: datetime) -> None:
        self._database.run(MAKE_DUE, ids=[str(each) for each in recording_ids], now=now)

    def remove(self, recording: Recording) -> bool:
        [[removed]] = self._database.run(REMOVE, id=recording.id, version=recording.version)
        return bool(removed)

    def lease_events(self, now: datetime, until: datetime, limit: int) -> list[StoredEvent]:
        rows = self._database.run(LEASE_EVENTS, now=now, until=until, limit=limit)
        return [
            StoredEvent(
                position=cast("int", position), type=EventType(cast("str", kind)), body=cast("str", body)
            )
            for position, kind, body in sorted(rows, key=lambda row: cast("int", row[0]))
        ]

    def delete_events(self, positions: Sequence[int]) -> None:
        self._database.run(DELETE_EVENTS, positions=list(positions))

    def backlog(self, now: datetime) -> Backlog:
        [[oldest, events]] = self._database.run(BACKLOG, now=now, most=10_000)
        return Backlog(oldest_due_at=cast("datetime | None", oldest), events=cast("int", events))

    def _event(self, before: Recording | None, after: Recording) -> dict[str, Parameter]:
        event = event_of(before, after)
        if event is None or self._event_json is None:
            return dict.fromkeys(("event_id", "event_type", "event_at", "event_body"))
        return {
            "event_id": event.id,
            "event_type": event.type.value,
            "event_at": event.occurred_at,
            "event_body": json.dumps(self._event_json(event, after)),
        }


def _parameters(recording: Recording) -> dict[str, Parameter]:
    return {name: cast("object", getattr(recording, name)) for name in COLUMNS}


def _first(rows: list[Row]) -> Recording | None:
    return _recording(rows[0][0]) if rows else None


def _recording(row: object) -> Recording:
    columns = cast("list[str]", row)
    values: dict[str, object] = dict(zip(COLUMNS, columns, strict=True))
    for position, name in _TIMES:
        if columns[position] is not None:
            values[name] = datetime.fromisoformat(columns[position]).astimezone(UTC)
    values["id"] = UUID(columns[_ID])
    values["source"] = _SOURCES[columns[_SOURCE]]
    values["status"] = _STATUSES[columns[_STATUS]]
    if columns[_STOP_REASON] is not None:
        values["stop_reason"] = StopReason(columns[_STOP_REASON])
    # As copy and pickle do it: 41 assignments to a frozen object would cost more than all of the above.
    recording = object.__new__(Recording)
    object.__setattr__(recording, "__dict__", values)
    return recording
