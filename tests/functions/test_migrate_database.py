"""The table of the original recipe is adopted in place, and migrating twice or at once does no harm."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pg8000.native
import pytest

from local.processes.children import LOOPBACK
from local.services.postgres import USER
from recorder.postgres.database import Database
from recorder.postgres.repository import COLUMNS
from tests.support import database as schema
from tests.support.database import HEAD
from tests.support.sites import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import Stack
    from tests.support.logs import Logs

RECIPE = """
create table recordings (
    id {id} primary key,
    room_name text not null,
    room_sid text,
    egress_id text not null,
    status text not null default 'starting',
    layout text not null default 'grid',
    codec text not null default 'h264',
    resolution text not null default '1080p',
    started_at {time} not null default now(),
    stopped_at {time},
    file_url text,
    storage_key text,
    file_size integer,
    duration real,
    user_id text not null,
    created_at {time} not null default now(),
    updated_at {time} not null default now(),
    favourite boolean not null default false
)"""
ROW = """
insert into recordings (
    id, room_name, egress_id, status, started_at, stopped_at, storage_key, file_size, duration, user_id, created_at
) values (:id, :room, :egress, :status, :at, :stopped, :key, :size, :duration, :owner, :at)"""


class Old:
    """A database of its own, as a team has it that used the recipe."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.name = f"old_{uuid4().hex[:12]}"
        stack.postgres.create_database(self.name)
        self._connection = pg8000.native.Connection(
            USER, LOOPBACK, self.name, stack.postgres.port, stack.postgres.password
        )

    def run(self, statement: str, **parameters: object) -> list[list[object]]:
        return self._connection.run(statement, **parameters) or []

    def recording(
        self,
        room: str,
        status: str,
        at: str = "2026-01-01 10:00:00",
        *,
        stopped: str | None = None,
        key: str | None = None,
    ) -> str:
        recording_id = str(uuid4())
        self.run(
            ROW,
            id=recording_id,
            room=room,
            egress=f"EG_{recording_id[:8]}",
            status=status,
            at=at,
            stopped=stopped,
            key=key,
            size=1_000_000 if key else None,
            duration=61.5 if key else None,
            owner="alice",
        )
        return recording_id

    def migrate(self) -> dict[str, object]:
        return cast("dict[str, object]", migrate(self.stack, self.name))

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def old(stack: Stack) -> Iterator[Old]:
    database = Old(stack)
    yield database
    database.close()


def test_fresh_database_gets_the_tables(old: Old) -> None:
    assert old.migrate() == {"before": None, "after": HEAD}
    columns = old.run("select column_name from information_schema.columns where table_name = 'recordings'")
    assert {name for [name] in columns} == set(COLUMNS)


def test_second_migration_changes_nothing(old: Old) -> None:
    old.migrate()
    assert old.migrate() == {"before": HEAD, "after": HEAD}


def test_two_migrations_at_once_are_one(old: Old) -> None:
    # In threads of one process, each with a connection of its own: Postgres makes the second wait.
    with ThreadPoolExecutor(2) as threads:
        results = [future.result() for future in [threads.submit(old.migrate) for _ in range(2)]]
    assert sorted(str(result["before"]) for result in results) == [HEAD, "None"]


@pytest.mark.parametrize("time", ["timestamp", "timestamptz"])
@pytest.mark.parametrize("id_", ["uuid", "text", "varchar(36)"])
def test_table_of_the_recipe_is_adopted_without_losing_a_row(old: Old, id_: str, time: str) -> None:
    old.run(RECIPE.format(id=id_, time=time))
    done = old.recording("a", "completed", stopped="2026-01-01 10:01:02", key="somewhere/a.mp4")
    old.run("update recordings set favourite = true")

    old.migrate()

    [row] = old.run(
        "select id::text, egress_id, status, storage_key, file_size, duration, favourite, source, "
        "to_char(started_at at time zone 'UTC', 'HH24:MI'), version, due_at from recordings"
    )
    assert row == [
        done,
        f"EG_{done[:8]}",
        "completed",
        "somewhere/a.mp4",
        1_000_000,
        61.5,
        True,
        "room_composite",
        "10:00",
        0,
        None,
    ]
    types = old.run(
        "select column_name, data_type, is_nullable from information_schema.columns "
        "where table_name = 'recordings' and column_name in ('id', 'file_size', 'duration', 'egress_id')"
    )
    assert sorted(types, key=str) == [
        ["duration", "double precision", "YES"],
        ["egress_id", "text", "YES"],
        ["file_size", "bigint", "YES"],
        ["id", "uuid", "NO"],
    ]


def test_of_several_live_rows_the_newest_holds_the_room_and_all_are_due(old: Old) -> None:
    old.run(RECIPE.format(id="uuid", time="timestamptz"))
    rows = [
        old.recording("a", status, f"2026-01-01 1{hour}:00:00")
        for hour, status in enumerate(["starting", "active", "stopping"])
    ]
    other = old.recording("b", "active")

    old.migrate()

    found = {
        str(each): (target, due)
        for each, target, due in old.run("select id, target, due_at is not null from recordings")
    }
    assert found == {
        rows[0]: (None, True),
        rows[1]: (None, True),
        rows[2]: ("room:a", True),
        other: ("room:b", True),
    }


@pytest.mark.parametrize(
    ("status", "stopped", "key", "expected"),
    [
        ("processing", None, None, "stopping"),
        ("done", "2026-01-01 10:01:00", "a.mp4", "completed"),
        ("error", "2026-01-01 10:01:00", None, "failed"),
    ],
)
def test_status_of_somebody_elses_becomes_one_that_the_sweep_can_settle(
    old: Old, status: str, stopped: str | None, key: str | None, expected: str
) -> None:
    old.run(RECIPE.format(id="uuid", time="timestamptz"))
    old.recording("a", status, stopped=stopped, key=key)

    old.migrate()

    assert old.run("select status from recordings") == [[expected]]


def test_what_cannot_be_converted_fails_the_migration_and_changes_nothing(old: Old) -> None:
    old.run(RECIPE.format(id="text", time="timestamptz"))
    old.run(
        "insert into recordings (id, room_name, egress_id, user_id) values ('cuid_1', 'a', 'EG_1', 'alice')"
    )

    with pytest.raises(Exception, match="invalid input syntax for type uuid"):
        old.migrate()

    assert old.run("select id, egress_id from recordings") == [["cuid_1", "EG_1"]]
    assert old.run("select to_regclass('recording_events')") == [[None]]


# The columns that the recipe's code inserts, as far as they have no default there.
LEAST = """
insert into recordings (id, room_name, egress_id, user_id) values (:id, 'a', :egress, 'alice')"""


@pytest.mark.parametrize("time", ["timestamp", "timestamptz"])
@pytest.mark.parametrize("id_", ["uuid", "text", "varchar(36)"])
def test_t58_recipe_goes_on_inserting_after_the_adoption(old: Old, id_: str, time: str) -> None:
    old.run(RECIPE.format(id=id_, time=time))
    old.recording("a", "active")

    old.migrate()

    full = old.recording("b", "active")
    least = str(uuid4())
    old.run(LEAST, id=least, egress="EG_least")
    # Both are due: the sweep will settle them.
    found = old.run(
        "select id::text, status, due_at <= now(), status_at is not null, version from recordings "
        "where id::text = any(cast(:ids as text[])) order by id::text = :least",
        ids=[full, least],
        least=least,
    )
    assert found == [[full, "active", True, True, 0], [least, "starting", True, True, 0]]


def test_t58_recipe_that_left_ids_to_its_database_goes_on_inserting(old: Old) -> None:
    old.run(RECIPE.format(id="text default gen_random_uuid()::text", time="timestamptz"))

    old.migrate()

    old.run("insert into recordings (room_name, egress_id, user_id) values ('a', 'EG_1', 'alice')")
    assert old.run("select count(*) from recordings where id is not null") == [[1]]


def test_t48_foreign_things_on_an_adopted_table_are_told(old: Old, logs: Logs) -> None:
    old.run(RECIPE.format(id="uuid", time="timestamptz"))
    old.run("create unique index own_egress on recordings (egress_id)")
    old.run("alter table recordings add constraint own_check check (room_name <> '')")
    old.run("create function own() returns trigger language plpgsql as $$ begin return new; end $$")
    old.run("create trigger own_trigger before insert on recordings for each row execute function own()")
    old.run("create rule own_rule as on delete to recordings do also select 1")
    old.run("alter table recordings enable row level security")
    old.run(f'alter role {USER} in database "{old.name}" set statement_timeout = 5000')

    old.migrate()

    assert [(line["kind"], line["object"]) for line in logs.of("FOREIGN_OBJECT")] == [
        ("constraint", "own_check"),
        ("role setting", "statement_timeout"),
        ("row security", "recordings"),
        ("rule", "own_rule"),
        ("trigger", "own_trigger"),
        ("unique index", "own_egress"),
    ]


def test_t48_of_its_own_table_nothing_is_told(old: Old, logs: Logs) -> None:
    old.migrate()
    assert logs.of("FOREIGN_OBJECT") == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DateStyle", "'German'"),
        ("TimeZone", "'Asia/Kathmandu'"),
        ("client_encoding", "'LATIN1'"),
        ("search_path", "'nowhere'"),
        ("default_transaction_isolation", "'serializable'"),
        ("extra_float_digits", "-15"),
    ],
)
def test_t52_default_of_the_role_changes_nothing_of_an_adoption(old: Old, name: str, value: str) -> None:
    old.run(RECIPE.format(id="text", time="timestamp"))
    done = old.recording("Größe ☃ 😀", "completed", stopped="2026-01-01 10:01:02", key="a.mp4")
    old.run(f'alter role {USER} in database "{old.name}" set {name} = {value}')

    assert old.migrate()["after"] == HEAD

    shown = "to_char(started_at at time zone 'UTC', 'HH24:MI:SS')"
    assert old.run(f"select id::text, room_name, {shown}, duration from public.recordings") == [
        [done, "Größe ☃ 😀", "10:00:00", 61.5]
    ]


def test_table_in_another_schema_is_told_where_it_belongs(old: Old) -> None:
    old.run("create schema elsewhere")
    old.run(f'alter role {USER} in database "{old.name}" set search_path = elsewhere')
    old.run("set search_path = elsewhere")
    old.run(RECIPE.format(id="uuid", time="timestamptz"))

    with pytest.raises(LookupError, match="recordings is in elsewhere"):
        old.migrate()

    assert old.run("select to_regclass('public.recordings')") == [[None]]


def _at(old: Old, revision: str) -> None:
    schema.migrate(old.stack.postgres, old.name, revision)


def test_statuses_of_a_later_release_are_taken_and_hold_their_targets(old: Old) -> None:
    _at(old, "0002")
    columns = "room_name, user_id, status, status_at, target"
    insert = f"insert into recordings ({columns}) values ('a', 'x', :status, now(), 'a')"
    with pytest.raises(pg8000.native.DatabaseError, match="recordings_status_known"):
        old.run(insert, status="paused")

    old.migrate()

    old.run(insert, status="paused")
    with pytest.raises(pg8000.native.DatabaseError, match="recordings_live_target"):
        old.run(insert, status="resuming")
    old.run(insert, status="failed")


def test_starts_that_were_refused_are_listed_no_more(old: Old) -> None:
    _at(old, "0002")
    columns = "room_name, user_id, status, status_at, failure_code, egress_id"
    for code, egress in (
        ("room_not_found", None),
        ("egress_refused", None),
        ("500", "EG_1"),
        ("start_lost", None),
    ):
        old.run(
            f"insert into recordings ({columns}) values ('a', 'x', 'failed', now(), :code, :egress)",
            code=code,
            egress=egress,
        )

    old.migrate()

    listed = old.run("select failure_code from recordings where deleted_at is null order by failure_code")
    assert listed == [["500"], ["start_lost"]]
    assert old.run("select count(*) from recordings where due_at <= now()") == [[2]]


def test_migration_gives_up_before_users_who_wait_with_it_do(old: Old) -> None:
    """A lock that is waited for keeps everybody behind it waiting, also those who only read."""
    _at(old, "0002")
    postgres = old.stack.postgres
    with (
        closing(Database(lambda: schema.connect(postgres, old.name))) as database,
        pg8000.native.Connection(USER, LOOPBACK, old.name, postgres.port, postgres.password) as reader,
        ThreadPoolExecutor() as threads,
    ):
        reader.run("begin")
        reader.run("select count(*) from recordings")

        migration = threads.submit(old.migrate)
        waiting = "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and not granted"
        while old.run(waiting) == [[0]]:
            assert not migration.done()
        assert database.run("select count(*) from public.recordings") == [[0]]

        with pytest.raises(Exception, match="lock timeout"):
            migration.result()
        reader.run("commit")
        assert old.migrate() == {"before": "0002", "after": HEAD}
