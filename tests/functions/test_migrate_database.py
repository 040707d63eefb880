"""The table of the original recipe is adopted in place, and migrating twice or at once does no harm."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pg8000.native
import pytest

from local.processes.children import LOOPBACK
from local.services.postgres import USER
from recorder.postgres.repository import COLUMNS
from tests.support.sites import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import Stack

HEAD = "0003"
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
