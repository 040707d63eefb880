"""The release before runs on the new schema: during a roll-out, and where it is rolled back to.

These are its statements as it sent them, when it still named the live statuses and had no schema in them.
"""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

import pytest

from recorder.domain.recording import BegunBy, Status, Take, TakeEnd
from recorder.postgres.database import Database
from recorder.postgres.repository import Repository
from tests.support.database import connect
from tests.support.recordings import T0, recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import Stack
    from recorder.domain.recording import Recording
    from recorder.postgres.login import Connection

COLUMNS: Final = """
    id, user_id, room_name, source, status, created_at, updated_at, status_at, layout, resolution, codec,
    audio_codec, audio_bitrate, video_bitrate, track_sid, room_sid, egress_id, started_at, stopped_at, storage_key,
    file_url, file_size, duration, failure_code, failure_reason, end_reason, max_duration, expires_at, target,
    idempotency_key, idempotency_fingerprint, stop_reason, stop_requested_at, deleted_at, late_upload_until,
    recorder_seen_at, absent_since, refreshed_at, due_at, attempts, version"""
NAMES: Final = tuple(name.strip() for name in COLUMNS.split(","))
EVENT: Final = """
    insert into recording_events (id, recording_id, sequence, type, occurred_at, body)
    select cast(:event_id as text), written.id, :version, :event_type, :event_at, cast(:event_body as json)
    from written where cast(:event_id as text) is not null"""
IN_THE_WAY: Final = f"""
    select json_build_array({COLUMNS}) as recording from recordings
    where id = :id
       or (user_id = :user_id and idempotency_key = :idempotency_key)
       or (target = :target and status in ('starting', 'active', 'stopping'))
    order by id = :id desc, (user_id = :user_id and idempotency_key = :idempotency_key) desc nulls last
    limit 1"""
INSERT: Final = f"""
with written as (
    insert into recordings ({COLUMNS})
    values ({", ".join(f":{name}" for name in NAMES)})
    on conflict do nothing
    returning id
), event as ({EVENT})
select (select count(*) from written), existing.recording
from (select) as always left join lateral ({IN_THE_WAY}
) as existing on true"""
SAVE: Final = f"""
with written as (
    update recordings set status = :status, updated_at = :updated_at, status_at = :status_at, due_at = :due_at,
        version = :version
    where id = :id and version = :expected_version
    returning id
), event as ({EVENT})
select count(*) from written"""
LEASE: Final = f"""
update recordings set due_at = :until, refreshed_at = coalesce(:refreshed_at, refreshed_at)
where id = any(array(
    select id from recordings where due_at <= :now order by due_at limit :limit for update skip locked
))
returning json_build_array({COLUMNS})"""
# The release before takes: it names the final statuses, and leaves alone a row whose status it does not know.
BEFORE_TAKES: Final = f"""{COLUMNS}, handler_silent_since, handler_answered_at"""
HOLDS_TARGET: Final = f"""
    select json_build_array({BEFORE_TAKES}) from public.recordings
    where target = :target and status not in ('completed', 'failed') limit 1"""
LIST: Final = f"""
select json_build_array({BEFORE_TAKES}) from public.recordings
where user_id = :user_id and deleted_at is null and (expires_at is null or expires_at > :now)
order by created_at desc, id desc limit 50"""
LEASE_BEFORE_TAKES: Final = f"""
update public.recordings set due_at = :until, refreshed_at = coalesce(:refreshed_at, refreshed_at)
where id = any(array(
    select id from public.recordings where due_at <= :now order by due_at limit :limit for update skip locked
))
returning json_build_array({BEFORE_TAKES})"""
OWNERS: Final = f"""
select json_build_array({BEFORE_TAKES}) from public.recordings where id = any(cast(:ids as uuid[]))"""
NO_EVENT: Final = dict.fromkeys(("event_id", "event_type", "event_at", "event_body"))


@pytest.fixture
def connection(stack: Stack) -> Iterator[Connection]:
    name = f"before_{uuid4().hex}"
    stack.postgres.create_database(name, template="migrated")
    with closing(connect(stack.postgres, name)) as connection:
        yield connection


@pytest.fixture
def database(connection: Connection) -> Database:
    return Database(lambda: connection)


def parameters(new: Recording) -> dict[str, object]:
    return {name: cast("object", getattr(new, name)) for name in NAMES} | NO_EVENT


def test_release_before_goes_on_inserting_saving_and_leasing(database: Database) -> None:
    new = recording(target="room:demo", due_at=T0)
    assert database.run(INSERT, **parameters(new))[0][0] == 1
    [[inserted, existing]] = database.run(INSERT, **parameters(recording(target="room:demo", user_id="bob")))
    assert (inserted, cast("list[str]", existing)[0]) == (0, str(new.id))
    [[leased]] = database.run(LEASE, now=T0, until=T0, limit=9, refreshed_at=None)
    assert cast("list[str]", leased)[0] == str(new.id)
    changed = parameters(new) | {"status": "failed", "version": 1}
    wanted = ("id", "status", "updated_at", "status_at", "due_at", "version", *NO_EVENT)
    saved = database.run(SAVE, **{name: changed[name] for name in wanted}, expected_version=0)
    assert saved == [[1]]
    # The target is free, for both releases.
    assert database.run(INSERT, **parameters(recording(target="room:demo")))[0][0] == 1


def test_release_before_finds_what_holds_a_target_by_the_new_index(
    database: Database, connection: Connection
) -> None:
    connection.execute("set enable_seqscan = off", ())
    new = recording(target="room:demo")
    [[plan]] = database.run(
        f"explain (format json) {IN_THE_WAY}",
        id=new.id,
        user_id=new.user_id,
        idempotency_key="key",
        target=new.target,
    )
    assert "recordings_live_target" in json.dumps(plan)


@pytest.mark.parametrize("status", [Status.PAUSED, Status.RESUMING])
def test_t90_release_before_takes_shows_and_leaves_what_waits_for_a_take(
    database: Database, status: Status
) -> None:
    repository = Repository(database, event_json=None)
    take = Take(
        take=1,
        egress_id="EG_1",
        begun_by=BegunBy.START,
        requested_at=T0,
        started_at=T0,
        stopped_at=T0,
        end_reason=TakeEnd.PAUSED,
        reported=True,
    )
    started = recording(target="room:demo", due_at=T0)
    assert repository.insert(started) is None
    waiting = started._replace(status=status, take_ended_at=T0, takes=(take,), egress_id="EG_1", version=1)
    assert repository.save(started, waiting)
    other = recording(target="room:other", due_at=T0, user_id="bob")
    assert repository.insert(other) is None

    # It holds its target, is listed, and takes part in a sweep that goes on to the others.
    assert _ids(database.run(HOLDS_TARGET, target="room:demo")) == [str(waiting.id)]
    assert _ids(database.run(LIST, user_id=waiting.user_id, now=T0)) == [str(waiting.id)]
    leased = database.run(LEASE_BEFORE_TAKES, now=T0, until=T0, limit=9, refreshed_at=None)
    assert sorted(_ids(leased)) == sorted([str(waiting.id), str(other.id)])
    # Its egress has an owner that is live: it is no orphan.
    [[owner]] = database.run(OWNERS, ids=[str(waiting.id)])
    assert str(status) in cast("list[object]", owner)
    # The release with takes finds it as it was.
    [back] = [each for each in repository.lease(T0, T0, 9, refreshed_at=None) if each.id == waiting.id]
    assert back == waiting
    assert repository.get(waiting.id) == waiting


def _ids(rows: list[list[object]]) -> list[str]:
    return [cast("list[str]", row)[0] for [row] in rows]
