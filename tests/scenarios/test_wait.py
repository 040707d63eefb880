"""Prefer: wait=N, on GET until the status changes and on PATCH until it is final."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from livekit_standin.timing import Delay, Timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.deployment import Answer, Deployment, Row, User


def _timed(deployment: Deployment, call: Callable[[], Answer]) -> tuple[Answer, float]:
    began = deployment.livekit.clock.now()
    answer = call()
    return answer, (deployment.livekit.clock.now() - began).total_seconds()


def test_stop_waits_for_the_file(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    stopped, seconds = _timed(deployment, lambda: alice.stop(recording_id, wait=20))
    assert stopped["status"] == "completed"
    assert stopped["fileUrl"]
    assert stopped.json["duration"] == alice.get(recording_id).recording["duration"]
    assert seconds < 2


def test_stop_without_the_wish_does_not_wait(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    stopped, seconds = _timed(deployment, lambda: alice.stop(recording_id))
    assert stopped.json == {
        "recordingId": recording_id,
        "egressId": stopped["egressId"],
        "status": "stopping",
        "fileUrl": None,
        "duration": None,
    }
    assert seconds < 0.5


@pytest.mark.parametrize(("wish", "longest"), [(3, 3), (20, 20), (21, 20), (999999999, 20)])
@pytest.mark.parametrize("timing", [Timing(late_upload=Delay(300))], ids=["slow_upload"])
def test_stop_waits_no_longer_than_wished_and_at_most_20_seconds(
    deployment: Deployment, alice: User, wish: int, longest: int
) -> None:
    deployment.livekit.world.faults.upload_late.next()
    recording_id = alice.record()
    stopped, seconds = _timed(deployment, lambda: alice.stop(recording_id, wait=wish))
    assert (stopped.status, stopped["status"]) == (200, "stopping")
    assert longest <= seconds < longest + 1


def test_get_does_not_wait_for_what_has_changed_already(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.webhook_lost.always()
    recording_id = alice.start(roomName="demo")["recordingId"]
    deployment.advance(60)
    answer, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert answer.recording["status"] == "active"
    assert seconds < 1


def test_stop_again_waits_too(alice: User) -> None:
    recording_id = alice.record()
    assert alice.stop(recording_id)["status"] == "stopping"
    assert alice.stop(recording_id, wait=20)["status"] == "completed"


def test_get_waits_for_the_next_status(deployment: Deployment, alice: User) -> None:
    recording_id = alice.start(roomName="demo")["recordingId"]
    active, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert active.recording["status"] == "active"
    assert 3 < seconds < 6
    unchanged, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=4))
    assert unchanged.recording["status"] == "active"
    assert 4 <= seconds < 5
    deployment.livekit.at(2, lambda: deployment.livekit.stop(recording_id))
    ending, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert ending.recording["status"] in {"stopping", "completed"}
    assert 2 <= seconds < 3


def test_get_of_a_final_recording_does_not_wait(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    alice.stop(recording_id)
    deployment.advance(2)
    _, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert seconds == 0


def test_wait_also_learns_what_no_webhook_told(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.webhook_lost.always()
    stopped, seconds = _timed(deployment, lambda: alice.stop(recording_id, wait=20))
    assert stopped["status"] == "completed"
    assert seconds < 10


def test_wait_holds_no_transaction_and_no_lock(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    seen: list[Row] = []
    sessions = """select state from pg_stat_activity
                  where datname = current_database() and application_name = 'recorder'"""
    deployment.livekit.at(5, lambda: seen.extend(deployment.rows(sessions)))
    deployment.livekit.at(6, lambda: deployment.execute("update recordings set layout = 'speaker'"))
    answer = alice.get(recording_id, wait=10)
    assert {row["state"] for row in seen} == {"idle"}
    assert answer.recording["layout"] == "speaker"


def test_wait_ends_when_the_recording_is_deleted_meanwhile(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.at(3, lambda: alice.delete(recording_id))
    answer, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert answer.status == 404
    assert seconds < 4
