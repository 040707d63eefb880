"""Deadlines that a request or the deployment sets, and a sweep that stays within its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tests.support.events import event

if TYPE_CHECKING:
    from tests.conftest import Deploy
    from tests.support.deployment import Deployment, User


def test_maximum_duration_ends_a_recording(deployment: Deployment, alice: User) -> None:
    recording_id = alice.start(roomName="demo", maxDuration=150)["recordingId"]
    deployment.sweeps(2)
    assert alice.statuses() == ["active"]
    deployment.sweeps(1)
    deployment.advance(2)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("completed", "max_duration")
    assert recording["maxDuration"] == 150
    assert 150 <= cast("float", recording["duration"]) < 150 + 61


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


def test_sweep_out_of_time_leaves_the_rest_to_the_next(deployment: Deployment) -> None:
    # More than one batch of finished recordings whose idempotency key is to be forgotten.
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
    reports = [cast("dict[str, object]", _sweep(deployment, seconds)) for seconds in (15, 55)]
    assert [report["finished"] for report in reports] == [False, True]
    outcomes = [cast("dict[str, int]", report["outcomes"]) for report in reports]
    assert [each["tidied"] for each in outcomes] == [1000, 100]
    assert cast("float", reports[0]["oldestDueSeconds"]) > 3600
    assert reports[1]["oldestDueSeconds"] == 0
    assert deployment.rows("select id from recordings where due_at is not null") == []


def _sweep(deployment: Deployment, seconds: float) -> object:
    return deployment.invoke("reconcile_recordings", event("reconcile_recordings_scheduled"), seconds=seconds)
