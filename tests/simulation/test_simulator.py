"""The simulator itself: it runs, it repeats itself, it finds bugs and makes them short."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from recorder.contract.event import event_json
from recorder.postgres.database import Database
from recorder.postgres.repository import Repository
from simulator import plan
from simulator.saboteurs import SABOTEURS
from simulator.shrink import failure, kind, shrink
from simulator.simulation import Simulation
from tests.support.database import connect, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from local.stack import Stack
    from recorder.domain.events import Event
    from recorder.domain.recording import Recording
    from simulator.loops import VirtualLoops

    type EventJson = Callable[[Event, Recording], Mapping[str, object]]

CHUNK = 50
QUICKLY_FOUND = (
    "a final status is not final",
    "LiveKit is asked before the row is stored",
    "the row is removed before the objects",
    "the listing is enough",
    "a stop is tried only once",
    "events are forgotten before they are told",
)


@pytest.mark.parametrize("first", range(0, 6 * CHUNK, CHUNK))
def test_no_history_breaks_an_invariant(first: int, virtual: VirtualLoops) -> None:
    for seed in range(first, first + CHUNK):
        error = failure(plan.generate(seed), virtual)
        assert error is None, f"make simulate HISTORIES=1 SEED={seed}"


class SpoilableRepository(Repository):
    """Spoils a row with a time that Python has not."""

    def __init__(self, database: Database, *, event_json: EventJson) -> None:
        super().__init__(database, event_json=event_json)
        self._tables = database
        self._before: dict[UUID, object] = {}

    def spoil(self, recording_id: UUID) -> None:
        [[absent_since]] = self._tables.run(
            "select to_json(absent_since)::text from public.recordings where id = :id", id=recording_id
        )
        self._before[recording_id] = absent_since
        self._set(recording_id, "infinity")

    def mend(self) -> None:
        for recording_id, absent_since in self._before.items():
            before = None if absent_since is None else json.loads(str(absent_since))
            self._set(recording_id, before)
        self._before.clear()

    def save(self, before: Recording, after: Recording) -> bool:
        written = super().save(before, after)
        if written:
            self._before.pop(after.id, None)
        return written

    def _set(self, recording_id: UUID, absent_since: object) -> None:
        self._tables.run(
            "update public.recordings set absent_since = :at where id = :id", id=recording_id, at=absent_since
        )


@pytest.fixture
def database(stack: Stack) -> Iterator[Database]:
    name = f"simulation_{uuid4().hex}"
    stack.postgres.create_database(name)
    migrate(stack.postgres, name)
    with closing(Database(lambda: connect(stack.postgres, name))) as database:
        yield database


def test_no_history_over_real_postgres_breaks_an_invariant(database: Database, virtual: VirtualLoops) -> None:
    for seed in range(1000, 1015):
        database.run("truncate recordings, recording_events, recording_takes, recording_links")
        Simulation(plan.generate(seed), virtual, SpoilableRepository(database, event_json=event_json)).run()


def test_a_history_repeats_itself_over_postgres_and_in_memory(
    database: Database, virtual: VirtualLoops
) -> None:
    for seed in range(2000, 2005):
        database.run("truncate recordings, recording_events, recording_takes, recording_links")
        stored = Simulation(
            plan.generate(seed), virtual, SpoilableRepository(database, event_json=event_json)
        )
        in_memory = [Simulation(plan.generate(seed), virtual) for _ in range(2)]
        told = []
        for simulation in (stored, *in_memory):
            simulation.run()
            told.append(simulation.told)
        assert told[0] == told[1] == told[2]


@pytest.mark.parametrize("name", QUICKLY_FOUND)
def test_finds_a_bug(name: str, virtual: VirtualLoops) -> None:
    with SABOTEURS[name]():
        assert any(failure(plan.generate(seed), virtual) for seed in range(1_000_000, 1_000_100))


def test_has_ten_bugs_to_find() -> None:
    assert len(SABOTEURS) >= 10


def test_makes_what_it_found_short(virtual: VirtualLoops) -> None:
    with SABOTEURS["a stop is tried only once"]():
        history, error = next(
            (history, error)
            for history in map(plan.generate, range(100))
            if (error := failure(history, virtual)) is not None and len(history.steps) > 8
        )
        kept = shrink(history, kind(error), virtual)
        again = failure(plan.only(history, kept), virtual)
    assert len(kept) < len(history.steps)
    assert again is not None
    assert kind(again) == kind(error)
