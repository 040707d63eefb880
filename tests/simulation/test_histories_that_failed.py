"""Histories that the simulator found and made short, each of which once broke an invariant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator.plan import (
    POLICIES,
    ROOMS,
    Delete,
    Foreign,
    Get,
    History,
    InRoom,
    List,
    Pause,
    Pry,
    Resume,
    Start,
    Step,
    Stop,
    Strike,
    Sweep,
    Trouble,
)
from simulator.simulation import Simulation

if TYPE_CHECKING:
    from simulator.loops import VirtualLoops

ROOM = ROOMS[0]


def history(
    *steps: Step,
    seed: int = 1,
    webhooks: str = "own",
    policy: int = 0,
    clock_skew: float = 0.0,
    calm_sweeps: int = 3,
    worker: str = "",
    page_size: int | None = None,
) -> History:
    opened = tuple(InRoom(at=0.0, room=room, action="open") for room in ROOMS)
    return History(
        seed=seed,
        policy=POLICIES[policy],
        webhooks=webhooks,
        clock_skew=clock_skew,
        calm_sweeps=calm_sweeps,
        worker=worker,
        page_size=page_size,
        steps=(*opened, *steps),
    )


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
    "LiveKit took what it refused, and forgot it": history(
        Trouble(at=0.0, fault="options_refused", seconds=60.0, probability=0.5),
        Trouble(at=20.65096422611187, fault="start_doubled", seconds=90.0, probability=0.5),
        Foreign(at=20.655565600715388, room=ROOMS[1], kind="deployment"),
        Start(
            at=24.42034211698107,
            user="alice",
            room=ROOMS[1],
            track=True,
            key="key",
            retries=3,
            max_duration=30,
        ),
        Strike(at=59.62988268356693, what="lose_record", which=6),
        seed=4194,
        policy=1,
    ),
    "a stop is answered with the limit, before there is a file": history(
        Sweep(at=21.376754491312823),
        Sweep(at=81.37675449131282),
        Sweep(at=81.37887742629036),
        Sweep(at=141.37675449131282),
        Sweep(at=149.33702071785584),
        Start(at=151.23200936190088, user="alice", room=ROOM, key="key-22", retries=2),
        Sweep(at=153.55337722446671),
        Stop(at=203.37405435954585, user="alice", which=6, wait=5),
        Start(at=203.40888933466525, user="alice", room=ROOM),
        Trouble(at=203.83622358598473, fault="webhook_lost", seconds=400.0, probability=0.5),
        Sweep(at=261.3767544913128, pace=2000.0),
        Sweep(at=321.3767544913128),
        Start(at=332.3938310384883, user="bob", room=ROOMS[1], max_duration=30),
        Trouble(at=332.5261529518211, fault="limit_reached", seconds=2.0, probability=1.0),
        Stop(at=337.31978132374945, pace=2000.0, user="bob", which=11),
        Sweep(at=381.3767544913128, kill_at=6),
        seed=5615,
    ),
    "a handler that stood still goes on while it is given up": history(
        Start(at=1.0, user="alice", room=ROOM),
        Sweep(at=60.0),
        Strike(at=65.0, what="freeze_handler", which=0),
        *(Sweep(at=120.0 + 60.0 * minute) for minute in range(15)),
        seed=189,
    ),
    "a take of which only the end is heard is dropped": history(
        Start(
            at=0.059077445571737996, user="bob", room="demo", key="key-39", retries=1, worker_lost="continue"
        ),
        Start(
            at=16.27234529237453,
            user="bob",
            room="o'brien / ☃",
            max_duration=30,
            opus=True,
            worker_lost="continue",
        ),
        List(at=18.25699691109051, user="bob", room=None, limit=2, oldest_first=False, pause=0.0),
        Sweep(at=40.800795673013006),
        Pause(at=74.97387692315789, user="bob", which=4),
        Resume(at=77.97387692315789, user="bob", which=9),
        Sweep(at=100.800795673013),
        Strike(at=112.38981699869515, what="shut_down_host", which=3),
        Sweep(at=160.800795673013),
        Stop(at=186.5628718125166, user="bob", which=2),
        seed=1448,
        webhooks="none",
        worker="presigned",
    ),
    "what a paused take recorded is left out where its clock is wrong": history(
        Trouble(at=0.0, fault="rooms.request_lost", seconds=90.0, probability=1.0),
        Start(at=7.270117413803909, user="bob", room="demo"),
        Sweep(at=21.993504529392368),
        Sweep(at=22.000241326689807),
        Pause(at=79.91965305067686, user="bob", which=5),
        Sweep(at=81.99350452939237),
        Sweep(at=82.00032805727614, pace=2000.0),
        Resume(at=109.91965305067686, user="bob", which=5),
        Sweep(at=141.99350452939237, pace=2000.0),
        Sweep(at=141.99676606016487),
        Pause(at=144.33617143600148, user="bob", which=0),
        Resume(at=147.33617143600148, user="bob", which=10),
        Strike(at=221.63017810851719, what="lose_records", which=9),
        seed=4248,
        webhooks="none",
        clock_skew=-900.0,
        worker="presigned",
        page_size=2,
    ),
    "what a take that nobody heard of recorded beside the next one is left out": history(
        Trouble(at=0.0, fault="update_coalesced", seconds=90.0, probability=0.1),
        Sweep(at=23.52708637771175),
        List(at=49.14058731997823, user="alice", room="demo", limit=2, oldest_first=False, pause=0.0),
        Start(at=52.487640117350935, user="bob", room="demo", worker_lost="continue"),
        Sweep(at=83.52708637771175),
        Sweep(at=83.53266768360643),
        Strike(at=87.01195667904061, what="suspend_host", which=6),
        Sweep(at=143.52708637771175),
        Foreign(at=178.26584392473842, room="o'brien / ☃", kind="automatic"),
        Start(
            at=178.2670433671101,
            user="bob",
            room="o'brien / ☃",
            key="key-58",
            retries=1,
            max_duration=30,
            worker_lost="continue",
        ),
        Start(at=178.2987053824898, user="alice", room="demo", key="key-45", retries=2, choice=1),
        Strike(at=190.3369681605082, what="suspend_host", which=4),
        Sweep(at=203.52708637771175),
        Strike(at=208.47033950437188, what="freeze_handler", which=8),
        InRoom(at=219.83732937707825, room="o'brien / ☃", action="refill"),
        Pause(at=254.99757274634612, user="bob", which=7),
        Sweep(at=263.5270863777117),
        Resume(at=284.9975727463461, user="bob", which=3),
        Strike(at=316.78197200226634, what="kill_host", which=5),
        Sweep(at=323.5270863777117),
        Sweep(at=323.5338296024029),
        Sweep(at=383.5270863777117),
        seed=926007300,
        policy=3,
    ),
    "a late report moves no end that was our own verdict": history(
        Trouble(at=0.0, fault="list.request_lost", seconds=90.0, probability=1.0),
        Trouble(at=18.03272354326644, fault="full_worker", seconds=90.0, probability=0.5),
        Start(
            at=18.21713790538833, user="alice", room="o'brien / ☃", max_duration=30, worker_lost="continue"
        ),
        Start(at=24.265298482951167, user="bob", room="demo", key="key", retries=3, worker_lost="continue"),
        Trouble(at=40.540978147489355, fault="start.request_lost", seconds=150.0, probability=0.8),
        Trouble(at=42.855704769589586, fault="list.request_lost", seconds=2.0, probability=0.1),
        Sweep(at=43.12005578615311),
        Pry(at=44.483117444294834, user="bob", which=2, action="get"),
        Strike(at=58.65869654411103, what="suspend_host", which=3),
        Pause(at=69.95476039925762, user="bob", which=11),
        Resume(at=99.95476039925762, user="bob", which=2),
        Sweep(at=103.1200557861531, pace=300.0),
        Get(at=136.70299047452565, pace=30.0, user="bob", which=5),
        Trouble(at=137.16033395083582, fault="killed", seconds=150.0, probability=0.15),
        Start(at=138.69248381593485, user="alice", room="o'brien / ☃"),
        Start(at=140.30444111462046, pace=300.0, user="alice", room="demo", choice=2),
        Strike(at=145.24035710940208, what="freeze_handler", which=5),
        Pause(at=148.39744077467392, user="bob", which=4),
        Resume(at=151.39744077467392, user="bob", which=4),
        seed=926107933,
    ),
    "a slow sweep keeps the deadlines of rows that it has just handled": history(
        Start(at=2.4225387605683215, user="bob", room="demo", worker_lost="continue"),
        Sweep(at=41.65651447097375, pace=300.0),
        Stop(at=51.09574564892096, pace=300.0, kill_at=4, user="bob", which=5),
        Trouble(at=85.64499213028387, fault="database_silent", seconds=2.0, probability=0.5),
        Start(at=85.78863340862718, kill_at=2, user="alice", room="demo", max_duration=30, choice=5),
        Strike(at=98.43133270138239, what="freeze_handler", which=3),
        Start(
            at=135.0098201877757,
            kill_at=4,
            user="bob",
            room="o'brien / ☃",
            track=True,
            worker_lost="continue",
        ),
        seed=926201719,
        webhooks="none",
        clock_skew=-900.0,
        calm_sweeps=15,
        worker="prefix",
        policy=1,
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_no_longer_fails(name: str, virtual: VirtualLoops) -> None:
    Simulation(HISTORIES[name], virtual).run()
