"""The contract of the count of waits, held by Postgres and by the count in memory."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest

from recorder.postgres.database import Database
from recorder.postgres.waits import PostgresWaits
from simulator.memory import MemoryWaits
from tests.support.database import connect
from tests.support.recordings import T0

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import Stack
    from recorder.usecases.ports import Waits

ENDS: Final = [T0 + timedelta(seconds=20, microseconds=each) for each in range(20)]


@pytest.fixture
def database(stack: Stack) -> str:
    name = f"waits_{uuid4().hex}"
    stack.postgres.create_database(name, template="migrated")
    return name


@pytest.fixture(params=["memory", "postgres"])
def waits(request: pytest.FixtureRequest) -> Iterator[Waits]:
    if request.param == "memory":
        yield MemoryWaits()
        return
    stack: Stack = request.getfixturevalue("stack")
    name: str = request.getfixturevalue("database")
    with closing(Database(lambda: connect(stack.postgres, name))) as opened:
        yield PostgresWaits(opened)


def granted(waits: Waits, user: str, *, now: int = 0, of_user: int = 2, of_all: int = 3) -> list[bool]:
    """Begin waits of a user until one is refused."""
    at, answers = T0 + timedelta(seconds=now), [True]
    for ends_at in ENDS:
        if answers[-1]:
            ends_at_then = ends_at + timedelta(seconds=now)
            answers.append(waits.begin(user, ends_at_then, at, of_user=of_user, of_all=of_all))
    return answers[1:]


def test_a_user_waits_so_often_and_all_together_so_often(waits: Waits) -> None:
    assert granted(waits, "alice") == [True, True, False]
    assert granted(waits, "bob") == [True, False]
    assert granted(waits, "carol") == [False]


def test_one_that_was_refused_for_the_sake_of_all_is_not_counted_for_its_user(waits: Waits) -> None:
    assert granted(waits, "alice", of_user=3) == [True, True, True, False]
    assert granted(waits, "bob") == [False]
    waits.end("alice", ENDS[0])
    waits.end("alice", ENDS[1])
    assert granted(waits, "bob") == [True, True, False]


def test_one_that_ended_makes_room_for_one(waits: Waits) -> None:
    assert granted(waits, "alice") == [True, True, False]
    waits.end("alice", ENDS[1])
    waits.end("alice", ENDS[1])
    assert granted(waits, "alice") == [True, False]


def test_one_that_nobody_ended_makes_room_when_its_time_is_over(waits: Waits) -> None:
    assert granted(waits, "alice") == [True, True, False]
    assert granted(waits, "alice", now=20) == [True, False]
    assert granted(waits, "alice", now=60) == [True, True, False]


def test_where_nobody_may_wait_nobody_does(waits: Waits) -> None:
    assert granted(waits, "alice", of_all=0) == [False]
    assert granted(waits, "alice", of_user=0) == [False]


def test_of_many_at_once_exactly_so_many_wait(stack: Stack, database: str) -> None:
    def one(number: int) -> bool:
        with closing(Database(lambda: connect(stack.postgres, database))) as opened:
            return PostgresWaits(opened).begin(f"user {number % 4}", ENDS[number], T0, of_user=3, of_all=10)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(one, range(20))) == 10


def test_nothing_is_kept_of_those_who_waited_long_ago(stack: Stack, database: str) -> None:
    with closing(Database(lambda: connect(stack.postgres, database))) as opened:
        waits = PostgresWaits(opened)
        for user in range(15):
            waits.begin(f"user {user}", ENDS[0], T0, of_user=3, of_all=100)
        later = T0 + timedelta(hours=2)
        for user in range(3):
            waits.begin(f"later {user}", later + timedelta(seconds=20), later, of_user=3, of_all=100)
        [[left]] = opened.run("select array_agg(holder order by holder) from recording_waits")
    assert left == ["", "later 0", "later 1", "later 2"]
