"""Pause and resume: nothing of a pause is captured, and the recording goes on as one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast

import pytest

from tests.support.takes import (
    assert_free,
    assert_whole,
    ends_of,
    media_objects,
    pause,
    resume,
    status_of,
    stop_and_finish,
    takes_of,
)

if TYPE_CHECKING:
    from tests.conftest import Deploy
    from tests.support.deployment import Deployment, User


@pytest.fixture
def deployment(segmented: Deployment) -> Deployment:
    return segmented


# T82: pause.


def test_t82_pause_ends_the_egress_and_resume_begins_another(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    pause(deployment, alice, recording_id)
    assert not deployment.livekit.world.unended()
    assert alice.start(roomName="demo")["code"] == "recording_in_progress"
    deployment.advance(60)
    resumed = alice.resume(recording_id)
    assert (resumed.status, resumed["status"]) == (200, "resuming")
    deployment.advance(5)
    assert status_of(alice, recording_id) == "active"
    deployment.advance(20)
    answer = stop_and_finish(deployment, alice, recording_id)
    assert_whole(deployment, answer)
    assert ends_of(alice, recording_id) == ["paused", "stopped"]
    assert answer["downloadUrl"]


@pytest.mark.parametrize("status", ["starting", "resuming", "stopping", "completed", "failed"])
def test_t82_pause_is_refused_while_nothing_is_recorded(
    deployment: Deployment, alice: User, status: str
) -> None:
    livekit = deployment.livekit
    if status == "starting":
        livekit.world.faults.never_active.next()
    if status == "stopping":
        livekit.world.faults.upload_late.next()
    if status == "failed":
        alice.defaults |= {"trackBased": True, "trackSid": livekit.track("camera_h264")}
    recording_id = alice.record()
    if status == "resuming":
        livekit.world.faults.no_worker.always()
        livekit.world.kill_handler(livekit.egress_of(recording_id))
        deployment.advance(1)
    elif status == "failed":
        livekit.world.kill_handler(livekit.egress_of(recording_id))
        deployment.advance(1)
    elif status != "starting":
        alice.stop(recording_id)
        deployment.advance(10)
    assert status_of(alice, recording_id) == status
    refused = alice.pause(recording_id)
    assert (refused.status, refused["code"]) == (409, "not_possible_now")
    assert status_of(alice, recording_id) == status
    livekit.world.faults.off()


def test_t82_pause_again_changes_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    assert alice.pause(recording_id).status == 200
    assert alice.pause(recording_id).status == 200
    deployment.advance(5)
    assert alice.pause(recording_id)["status"] == "paused"
    assert deployment.livekit.calls.count("Egress.StopEgress") == 1
    resume(deployment, alice, recording_id)
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


def test_t82_two_pauses_at_once_are_one(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    answers = deployment.at_once(lambda: alice.pause(recording_id), lambda: alice.pause(recording_id))
    assert {each.status for each in answers} == {200}
    deployment.advance(5)
    assert status_of(alice, recording_id) == "paused"
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


@pytest.mark.parametrize("lost", ["answer_lost", "request_lost"])
@pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])
def test_t82_pause_whose_stop_is_not_answered_is_paused_once_that_is_confirmed(
    deployment: Deployment, alice: User, *, lost: str, webhooks: str
) -> None:
    faults = deployment.livekit.world.faults
    recording_id = alice.record()
    if webhooks == "are_lost":
        faults.webhook_lost.always()
    faults.by_name()[f"stop.{lost}"].next()
    answer = alice.pause(recording_id)
    assert (answer.status, answer["status"]) == (200, "active")
    [listed] = alice.list().recordings
    assert listed["pauseRequestedAt"] or listed["status"] == "paused"
    deployment.sweeps(2)
    deployment.advance(2)
    deployment.sweeps(1)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["pauseRequestedAt"]) == ("paused", None)
    assert not deployment.livekit.world.unended()
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


def test_t82_pause_while_livekit_is_down_is_no_pause_yet(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    world = deployment.livekit.world
    world.stop_server()
    assert alice.pause(recording_id)["status"] == "active"
    deployment.advance(20)
    assert alice.list().recordings[0]["status"] == "active"
    world.start_server()
    deployment.sweeps(2)
    deployment.advance(15)
    deployment.sweeps(1)
    assert status_of(alice, recording_id) == "paused"
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


def test_t82_pause_of_an_egress_that_has_died_is_a_pause(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.kill_host(recording_id)
    assert alice.pause(recording_id)["status"] == "active"
    deployment.sweeps(4)
    assert status_of(alice, recording_id) == "paused"
    resume(deployment, alice, recording_id)
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


def test_t82_recording_of_one_track_has_no_pause(deployment: Deployment, alice: User) -> None:
    started = alice.start(roomName="demo", trackBased=True, trackSid=deployment.livekit.track("camera_h264"))
    deployment.advance(20)
    refused = alice.pause(started["recordingId"])
    assert (refused.status, refused["code"]) == (409, "not_possible_now")


# T83: resume.


def test_t83_resume_while_the_take_before_still_uploads(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.upload_late.next()
    recording_id = alice.record()
    pause(deployment, alice, recording_id)
    resume(deployment, alice, recording_id)
    deployment.advance(20)
    alice.stop(recording_id)
    deployment.advance(10)
    # The file of the first take is awaited.
    deployment.sweeps(4)
    answer = alice.get(recording_id)
    assert_whole(deployment, answer)
    assert ends_of(alice, recording_id) == ["paused", "stopped"]


def test_t83_resume_in_an_empty_room_stays_paused(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    pause(deployment, alice, recording_id)
    deployment.livekit.world.close_room("demo")
    refused = alice.resume(recording_id)
    assert (refused.status, refused["code"]) == (404, "room_not_found")
    assert status_of(alice, recording_id) == "paused"
    # Opened anew, it is recorded again.
    deployment.livekit.world.open_room("demo", permanent=True, identities=("pat",))
    resume(deployment, alice, recording_id)
    deployment.sweeps(3)
    assert status_of(alice, recording_id) == "active"
    answer = stop_and_finish(deployment, alice, recording_id)
    assert_whole(deployment, answer)
    assert answer.recording["takeCount"] == 2


def test_t83_resume_without_a_free_worker_stays_paused(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    pause(deployment, alice, recording_id)
    deployment.livekit.world.faults.no_worker.next()
    refused = alice.resume(recording_id)
    assert (refused.status, refused["code"]) == (503, "egress_unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert status_of(alice, recording_id) == "paused"
    resume(deployment, alice, recording_id)
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


def test_t83_two_resumes_at_once_begin_one_take(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    pause(deployment, alice, recording_id)
    answers = deployment.at_once(*[lambda: alice.resume(recording_id)] * 3)
    assert {each.status for each in answers} == {200}
    assert len(deployment.livekit.world.unended()) == 1
    assert deployment.livekit.calls.count("Egress.StartRoomCompositeEgress") == 2
    deployment.advance(20)
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


@pytest.mark.parametrize("lost", ["answer_lost", "request_lost"])
def test_t83_resume_whose_answer_is_lost_is_adopted_or_taken_back(
    deployment: Deployment, alice: User, lost: str
) -> None:
    faults = deployment.livekit.world.faults
    recording_id = alice.record()
    pause(deployment, alice, recording_id)
    faults.webhook_lost.always()
    faults.by_name()[f"start.{lost}"].next()
    answer = alice.resume(recording_id)
    assert (answer.status, answer["status"], answer.json["egressId"]) == (200, "resuming", None)
    deployment.sweeps(2)
    if lost == "request_lost":
        assert status_of(alice, recording_id) == "paused"
        resume(deployment, alice, recording_id)
    assert status_of(alice, recording_id) == "active"
    assert len(deployment.livekit.world.unended()) == 1
    faults.webhook_lost.off()
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


@pytest.mark.parametrize("status", ["starting", "stopping", "completed"])
def test_t83_resume_is_refused_where_nothing_is_paused(
    deployment: Deployment, alice: User, status: str
) -> None:
    if status == "starting":
        deployment.livekit.world.faults.never_active.next()
    if status == "stopping":
        deployment.livekit.world.faults.upload_late.next()
    recording_id = alice.record()
    if status != "starting":
        alice.stop(recording_id)
        deployment.advance(10)
    refused = alice.resume(recording_id)
    assert (refused.status, refused["code"]) == (409, "not_possible_now")


def test_t83_resume_of_one_that_records_changes_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    assert alice.resume(recording_id)["status"] == "active"
    alice.pause(recording_id)
    if alice.list().recordings[0]["status"] == "active":
        assert alice.resume(recording_id).status == 409
    deployment.advance(5)
    assert status_of(alice, recording_id) == "paused"
    assert deployment.livekit.calls.count("Egress.StartRoomCompositeEgress") == 1


# T84, T85: what ends a pause.


@pytest.mark.parametrize("waiting", ["paused", "resuming", "rescuing"])
@pytest.mark.parametrize("ended_by", ["stop", "delete"])
def test_t84_end_that_is_wished_while_nothing_records_is_the_end(
    deployment: Deployment, alice: User, *, waiting: str, ended_by: str
) -> None:
    livekit = deployment.livekit
    recording_id = alice.record()
    if waiting == "rescuing":
        livekit.world.faults.no_worker.always()
        livekit.world.kill_handler(livekit.egress_of(recording_id))
        deployment.advance(1)
    else:
        pause(deployment, alice, recording_id)
        if waiting == "resuming":
            livekit.world.faults.never_active.next()
            alice.resume(recording_id)
    assert status_of(alice, recording_id) == ("paused" if waiting == "paused" else "resuming")
    assert (alice.stop if ended_by == "stop" else alice.delete)(recording_id).status == 200
    livekit.world.faults.off()
    deployment.advance(10)
    deployment.sweeps(4)
    assert not livekit.world.unended()
    if ended_by == "delete":
        assert alice.get(recording_id).status == 404
        assert media_objects(deployment) == set()
    else:
        answer = alice.get(recording_id)
        assert (answer.recording["endReason"], answer.recording["takeCount"]) == ("stopped", 1)
        assert_whole(deployment, answer)
    assert alice.resume(recording_id).status in {404, 409}
    assert_free(deployment, alice)


@pytest.mark.parametrize("waiting", ["paused", "resuming"])
def test_t84_maximum_duration_passes_only_while_something_is_recorded(
    deployment: Deployment, alice: User, waiting: str
) -> None:
    livekit = deployment.livekit
    recording_id = alice.start(roomName="demo", maxDuration=100)["recordingId"]
    deployment.advance(40)
    pause(deployment, alice, recording_id)
    deployment.sweeps(4)
    if waiting == "resuming":
        livekit.world.faults.never_active.next()
        alice.resume(recording_id)
        deployment.sweeps(2)
        assert status_of(alice, recording_id) == "resuming"
        # It is taken back at the deadline of a start.
        deployment.sweeps(6)
    assert status_of(alice, recording_id) == "paused"
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


@pytest.mark.parametrize("waiting", ["paused", "resuming"])
def test_t84_expiry_while_nothing_records_is_the_end(
    deployment: Deployment, alice: User, waiting: str
) -> None:
    livekit = deployment.livekit
    recording_id = alice.record()
    pause(deployment, alice, recording_id)
    if waiting == "resuming":
        livekit.world.faults.never_active.next()
        alice.resume(recording_id)
    # Only somebody else gives a live recording a time at which it expires.
    past = (deployment.livekit.clock.now() - timedelta(seconds=1)).isoformat()
    deployment.execute_unseen(
        f"update recordings set expires_at = :past, due_at = :past where id = '{recording_id}'", past=past
    )
    assert alice.resume(recording_id).status == 410
    deployment.advance(10)
    deployment.sweeps(4)
    assert not livekit.world.unended()
    assert alice.get(recording_id).status == 404
    assert media_objects(deployment) == set()
    assert_free(deployment, alice)


def test_t85_pause_without_an_end_is_stopped(deploy: Deploy) -> None:
    deployment = deploy(SAFETY_SEGMENTS="on", PAUSE_TIMEOUT_SECONDS="600")
    deployment.livekit.world.join("demo", "pat")
    alice = deployment.as_user("alice")
    recording_id = alice.record()
    pause(deployment, alice, recording_id)
    deployment.sweeps(9)
    assert status_of(alice, recording_id) == "paused"
    deployment.sweeps(3)
    answer = alice.get(recording_id)
    assert answer.recording["endReason"] == "pause_timeout"
    assert_whole(deployment, answer)
    assert_free(deployment, alice)


# T55: the longest duration counts recorded seconds.


@pytest.mark.parametrize("wish", [61, 75, 100, 200])
@pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])
def test_t55_maximum_duration_is_kept_to_within_two_seconds_over_pauses(
    deployment: Deployment, alice: User, *, wish: int, webhooks: str
) -> None:
    recording_id = alice.start(roomName="demo", maxDuration=wish)["recordingId"]
    deployment.advance(40)
    pause(deployment, alice, recording_id)
    deployment.advance(100)
    if webhooks == "are_lost":
        deployment.livekit.world.faults.webhook_lost.always()
    assert alice.resume(recording_id).status == 200
    for minute in range(1, wish // 60 + 3):
        deployment.livekit.at(60 * minute, deployment.sweep)
    deployment.advance(wish + 90)
    deployment.sweeps(3)
    answer = alice.get(recording_id)
    assert answer.recording["endReason"] == "max_duration"
    assert_whole(deployment, answer)
    assert wish - 1 <= _recorded(alice, recording_id) <= wish + 2


def _recorded(alice: User, recording_id: str) -> float:
    """Return for how long takes recorded, by the clock."""
    seconds = 0.0
    for take in takes_of(alice, recording_id):
        began, ended = (datetime.fromisoformat(str(take[name])) for name in ("startedAt", "stoppedAt"))
        seconds += (ended - began).total_seconds()
    return seconds


def test_t55_maximum_duration_of_a_rescued_take_is_kept(deployment: Deployment, alice: User) -> None:
    recording_id = alice.start(roomName="demo", maxDuration=150)["recordingId"]
    deployment.advance(100)
    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(recording_id))
    # No sweep of the schedule runs.
    deployment.advance(100)
    recording = alice.get(recording_id).recording
    assert recording["endReason"] == "max_duration"
    deployment.sweeps(2)
    answer = alice.get(recording_id)
    assert_whole(deployment, answer)
    # The last seconds of the killed one were not known when the next take began.
    assert 148 <= cast("float", answer.recording["duration"]) <= 155
