"""Histories that the simulator found and made short, each of which once broke an invariant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator.plan import (
    POLICIES,
    ROOMS,
    Delete,
    History,
    InRoom,
    Start,
    Step,
    Stop,
    Strike,
    Sweep,
    Trouble,
    generate,
    only,
)
from simulator.simulation import Simulation

if TYPE_CHECKING:
    from simulator.loops import VirtualLoops

ROOM = ROOMS[0]


def history(*steps: Step, webhooks: str = "own", policy: int = 0) -> History:
    opened = InRoom(at=0.0, room=ROOM, action="open")
    return History(seed=1, policy=POLICIES[policy], webhooks=webhooks, steps=(opened, *steps))


HISTORIES = {
    "a second egress of a recording that has ended runs on": history(
        Trouble(at=0.0, fault="start_doubled", seconds=10.0, probability=1.0),
        Start(at=1.0, user="alice", room=ROOM),
        Stop(at=8.0, user="alice", which=0),
    ),
    "an expired file outlives a dead worker that LiveKit believes alive": history(
        Trouble(at=0.0, fault="start_doubled", seconds=10.0, probability=1.0),
        Start(at=1.0, user="alice", room=ROOM),
        Strike(at=4.8, what="kill_host", which=0),
        policy=1,
    ),
    "a recording is active for ever whose host died before its room showed it": history(
        Trouble(at=0.0, fault="host_dies", seconds=90.0, probability=1.0),
        Start(at=1.0, user="alice", room=ROOM),
    ),
    "a recording is starting beyond its deadline while LiveKit denies its egress": history(
        Trouble(at=0.0, fault="record_lost", seconds=90.0, probability=1.0),
        Start(at=1.0, user="alice", room=ROOM),
        Strike(at=3.0, what="kill_host", which=0),
        webhooks="none",
    ),
    "nobody looks for the file when a failure is all that is heard of a success": history(
        Start(at=1.0, user="alice", room=ROOM),
        Trouble(at=7.0, fault="failed_after_complete", seconds=60.0, probability=1.0),
        Trouble(at=7.0, fault="webhook_lost", seconds=3.0, probability=1.0),
        Stop(at=8.0, user="alice", which=0),
    ),
    "a second egress ends and stores its file when the row is gone": history(
        Trouble(at=0.0, fault="start_doubled", seconds=10.0, probability=1.0),
        Trouble(at=0.0, fault="limit_reached", seconds=10.0, probability=1.0),
        Start(at=1.0, user="alice", room=ROOM),
        Delete(at=8.0, user="alice", which=0),
        Trouble(at=11.0, fault="livekit_hangs_up", seconds=2.0, probability=1.0),
        Sweep(at=12.0),
        Sweep(at=40.0),
    ),
    "a second egress of a deleted recording runs on until its tombstone is due": history(
        Trouble(at=0.0, fault="start_doubled", seconds=10.0, probability=1.0),
        Start(at=1.0, user="alice", room=ROOM),
        Delete(at=8.0, user="alice", which=0),
    ),
}


# By seed and steps, as `make simulate` prints them: these need the chance of their own.
FOUND = {
    "LiveKit took what it refused, and forgot it": (4194, (0, 1, 2, 5, 6, 10, 19)),
    "a stop is answered with the limit, before there is a file": (
        5615,
        (0, 1, 2, 3, 4, 5, 7, 9, 10, 12, 13, 15, 16, 17, 18, 19, 20, 21),
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_no_longer_fails(name: str, virtual: VirtualLoops) -> None:
    Simulation(HISTORIES[name], virtual).run()


@pytest.mark.parametrize("name", FOUND)
def test_no_longer_fails_by_chance(name: str, virtual: VirtualLoops) -> None:
    seed, steps = FOUND[name]
    Simulation(only(generate(seed), steps), virtual).run()
