"""Deadlines that a request or the deployment sets, and a sweep that stays within its own."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING, cast

import pytest

from livekit_standin.options import WorkerOptions
from livekit_standin.timing import SECOND
from tests.support.events import event

if TYPE_CHECKING:
    from tests.conftest import Deploy
    from tests.support.deployment import Deployment, User


@pytest.mark.parametrize("wish", [45, 57, 60, 70, 104, 109, 116, 121, 150, 600])
@pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])
def test_t55_maximum_duration_is_kept_to_within_two_seconds(
    deployment: Deployment, alice: User, wish: int, webhooks: str
) -> None:
    if webhooks == "are_lost":
        deployment.livekit.world.faults.webhook_lost.always()
    recording_id = alice.start(roomName="demo", maxDuration=wish)["recordingId"]
    deployment.advance(8)
    # The schedule, which does not wait for the end of a sweep.
    for minute in range(wish // 60 + 2):
        deployment.livekit.at(60 * minute, deployment.sweep)
    deployment.advance(wish + 62)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("completed", "max_duration")
    assert recording["maxDuration"] == wish
    assert wish <= cast("float", recording["duration"]) <= wish + 2


def test_t55_sweep_keeps_the_deadlines_of_what_begins_and_of_several_at_once(
    deployment: Deployment, alice: User
) -> None:
    # One sweep keeps them all, and not one that each start wakes.
    deployment.hints.lost = True
    wishes = {"a": 20, "b": 20, "c": 41}
    ids = {}
    for room, wish in wishes.items():
        deployment.livekit.world.open_room(room)
        ids[room] = alice.start(roomName=room, maxDuration=wish)["recordingId"]
    # While it waits for these, another begins and soon ends.
    deployment.livekit.world.open_room("d")
    deployment.livekit.at(11, lambda: ids.update(d=alice.start(roomName="d", maxDuration=1)["recordingId"]))
    assert deployment.sweep()["stopped"] == 4
    # The same sweep tells of the recording that it stopped.
    assert {event["type"] for event in _last_events(deployment)} >= {"RecordingStopping"}
    deployment.advance(2)
    for room, wish in (wishes | {"d": 1}).items():
        duration = cast("float", alice.get(ids[room]).recording["duration"])
        assert wish <= duration <= wish + 2, room
    deployment.sweeps(1)
    assert {event["type"] for event in _last_events(deployment)} == {"RecordingCompleted"}


@pytest.mark.parametrize("wish", [3, 10, 30, 90])
def test_t55_duration_of_some_seconds_is_kept_where_no_sweep_is_running(
    deployment: Deployment, alice: User, wish: int
) -> None:
    # The schedule's sweep has just ended, with nothing to wait for.
    deployment.sweep()
    recording_id = alice.start(roomName="demo", maxDuration=wish)["recordingId"]
    deployment.livekit.at(60, deployment.sweep)
    deployment.advance(wish + 15)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("completed", "max_duration")
    assert wish <= cast("float", recording["duration"]) <= wish + 2


def test_t55_start_wakes_no_sweep_for_a_deadline_that_the_schedule_keeps(
    deployment: Deployment, alice: User
) -> None:
    alice.start(roomName="demo", maxDuration=600)
    deployment.livekit.world.open_room("other")
    alice.start(roomName="other")
    deployment.advance(50)
    assert "Egress.ListEgress" not in deployment.livekit.calls


def test_t55_sweep_does_not_wait_where_nothing_ends_soon(deployment: Deployment, alice: User) -> None:
    alice.start(roomName="demo", maxDuration=600)
    deployment.livekit.world.open_room("other")
    alice.start(roomName="other")
    deployment.advance(10)
    began = deployment.livekit.clock.now()
    deployment.sweep()
    assert deployment.livekit.clock.now() - began < timedelta(seconds=1)


def test_t55_two_sweeps_that_wait_stop_a_recording_once(deployment: Deployment, alice: User) -> None:
    recording_id = alice.start(roomName="demo", maxDuration=30)["recordingId"]
    deployment.advance(8)
    deployment.at_once(deployment.sweep, deployment.sweep)
    deployment.advance(2)
    assert alice.get(recording_id).recording["status"] == "completed"
    assert deployment.livekit.calls.count("Egress.StopEgress") == 1


@pytest.mark.parametrize(("wish", "granted"), [(None, 100), (60, 60), (600, 100)])
def test_deployment_caps_the_duration(deploy: Deploy, wish: int | None, granted: int) -> None:
    deployment = deploy(MAX_DURATION_SECONDS="100")
    alice = deployment.as_user("alice")
    recording_id = alice.start(roomName="demo", maxDuration=wish)["recordingId"]
    assert alice.get(recording_id).recording["maxDuration"] == granted
    deployment.sweeps(3)
    deployment.advance(2)
    assert alice.get(recording_id).recording["endReason"] == "max_duration"


def test_shorter_deadlines_of_a_deployment_count(deploy: Deploy) -> None:
    deployment = deploy(
        STARTING_TIMEOUT_SECONDS="60", STOPPING_TIMEOUT_SECONDS="120", UPLOAD_GRACE_SECONDS="60"
    )
    alice = deployment.as_user("alice")
    deployment.livekit.world.faults.never_active.next()
    alice.start(roomName="demo")
    deployment.sweeps(2)
    deployment.advance(2)
    [recording] = alice.list().recordings
    assert (recording["status"], recording["failureCode"]) == ("failed", "start_timeout")


@pytest.mark.parametrize("skew", [-900, 3600, None], ids=["behind", "ahead", "year_1970"])
@pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])
def test_t56_worker_whose_clock_is_wrong_moves_no_deadline(
    deployment: Deployment, alice: User, skew: int | None, webhooks: str
) -> None:
    livekit = deployment.livekit
    clock_skew = -livekit.clock.ns() if skew is None else skew * SECOND
    livekit.world.settings.worker = WorkerOptions(clock_skew=clock_skew)
    if webhooks == "are_lost":
        livekit.world.faults.webhook_lost.always()
    asked_at = livekit.clock.now()
    recording_id = alice.start(roomName="demo", maxDuration=600)["recordingId"]
    deployment.sweeps(8)
    recording = alice.get(recording_id).recording
    assert recording["status"] == "active"
    started_at = datetime.fromisoformat(str(recording["startedAt"]))
    latest = asked_at + timedelta(seconds=10 if webhooks == "arrive" else 70)
    assert asked_at - timedelta(milliseconds=1) <= started_at <= latest

    deployment.sweeps(4)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("completed", "max_duration")
    stopped_at = datetime.fromisoformat(str(recording["stoppedAt"]))
    assert started_at + timedelta(seconds=600) <= stopped_at <= livekit.clock.now()


def test_sweep_out_of_time_leaves_the_rest_to_the_next(deployment: Deployment) -> None:
    # Finished recordings whose idempotency key is to be forgotten.
    deployment.execute("alter table recordings disable trigger observe")
    deployment.execute(
        """insert into recordings (id, room_name, user_id, source, status, status_at, created_at, updated_at, due_at,
                                   idempotency_key)
           select gen_random_uuid(), 'demo', 'alice', 'room_composite', 'completed', at, at, at, at, 'key ' || number
           from generate_series(1, 1100) as number, cast(:at as timestamptz) as at""",
        at=deployment.livekit.clock.now(),
    )
    deployment.execute("alter table recordings enable trigger observe")
    deployment.advance(25 * 3600)
    # Each look at the time takes its own.
    looks = count()
    slow = deployment.invoke(
        "reconcile_recordings",
        event("reconcile_recordings_scheduled"),
        clock=lambda: deployment.livekit.clock.ns() + next(looks) * 50_000_000,
    )
    deployment.advance(61)
    reports = [cast("dict[str, object]", each) for each in (slow, _sweep(deployment))]
    assert [report["finished"] for report in reports] == [False, True]
    outcomes = [cast("dict[str, int]", report["outcomes"]) for report in reports]
    assert 0 < outcomes[0]["cleared"] < 1000
    assert sum(each["cleared"] for each in outcomes) == 1100
    assert cast("float", reports[0]["oldestDueSeconds"]) > 3600
    assert reports[1]["oldestDueSeconds"] == 0
    assert deployment.rows("select id from recordings where due_at is not null") == []


def test_sweep_that_nobody_answers_ends_in_time_and_tells_and_stops_all_the_same(
    deployment: Deployment, alice: User
) -> None:
    livekit = deployment.livekit
    rooms = [f"room {number}" for number in range(40)]
    for room in rooms:
        livekit.world.open_room(room)
        assert alice.start(roomName=room).status == 201
    orphan = alice.start(roomName="demo")
    deployment.advance(60)
    deployment.execute(
        """alter table recordings disable trigger observe;
           update recordings set status = 'failed', failure_code = 'worker_lost', due_at = '2020-01-01'
           where room_name <> 'demo';
           alter table recordings enable trigger observe;
           delete from recordings where room_name = 'demo'"""
    )
    livekit.world.faults.stop.request_lost.always()
    # FunctionTimeoutError says that it did not end in time.
    report = cast("dict[str, object]", _sweep(deployment))
    outcomes = cast("dict[str, int]", report["outcomes"])
    assert report["finished"] is False
    assert outcomes["orphan"] == 1
    assert outcomes["published"] > 0
    assert outcomes["stop_unanswered"] > 0
    # Rooms that were not asked have their turn before the others are asked again.
    asked = "select id from recordings where status = 'failed' and attempts > 0"
    first = deployment.rows(asked)
    deployment.advance(61)
    _sweep(deployment)
    assert len(deployment.rows(asked)) > len(first) > 0
    livekit.world.faults.off()
    deployment.sweeps(3)
    assert orphan["egressId"] not in livekit.world.unended()


def test_sweep_is_not_ended_by_one_recording(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.webhook_lost.always()
    recording_id = alice.record()
    deployment.execute(
        """alter table recordings disable trigger observe;
           insert into recordings (room_name, user_id, source, status, status_at, created_at, updated_at, due_at)
           values ('other', 'bob', 'room_composite', 'starting', now(), '9999-12-31 23:59:59', now(), '2020-01-01');
           alter table recordings enable trigger observe"""
    )
    assert deployment.sweep()["error"] == 1
    assert alice.statuses() == ["active"]
    deployment.execute("delete from recordings where user_id = 'bob'")
    assert alice.stop(recording_id).status == 200


def _sweep(deployment: Deployment) -> object:
    return deployment.invoke("reconcile_recordings", event("reconcile_recordings_scheduled"))


def _last_events(deployment: Deployment) -> list[dict[str, object]]:
    last = {event["recordingId"]: event for event in deployment.events()}
    return list(last.values())
