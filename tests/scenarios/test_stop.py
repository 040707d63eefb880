"""Stopping: asked for once, carried out for certain, and never instead of what really happened."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, cast

import httpx
import pytest

from livekit_standin.timing import Delay, Timing
from tests.support.livekit import MEDIA
from tests.support.template import evaluated

if TYPE_CHECKING:
    from livekit_standin.world import World
    from tests.support.deployment import Answer, Deployment, User
    from tests.support.logs import Logs

STOP = "Egress.StopEgress"


def test_t17_stop_after_the_end_finds_the_end(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.stop(recording_id)
    deployment.advance(2)
    stopped = alice.stop(recording_id)
    assert (stopped.status, stopped["status"]) == (200, "completed")
    assert alice.get(recording_id).recording["endReason"] == "stopped"


@pytest.mark.parametrize("timing", [Timing(stop=Delay(8))])
def test_t17_end_during_a_stop_is_not_undone_by_its_answer(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    # The answer, ENDING, comes when the file has long been stored and reported.
    assert alice.stop(recording_id)["status"] in {"completed", "stopping"}
    assert deployment.livekit.deliveries[-1][0].event == "egress_ended"
    assert alice.get(recording_id).recording["status"] == "completed"
    assert [change["after"] for change in _changes(deployment)] == [
        "starting",
        "active",
        "stopping",
        "completed",
    ]


def test_t17_stop_and_completion_at_the_same_moment(deployment: Deployment, alice: User) -> None:
    for _ in range(10):
        recording_id = alice.record()
        held = deployment.livekit.hold_webhooks(deployment.domain)
        deployment.livekit.stop(recording_id)
        deployment.advance(2)

        both = (partial(deployment.deliver, held[-1]), partial(_stop_status, alice, recording_id))
        assert deployment.at_once(*both) == [200, 200]
        recording = alice.get(recording_id).recording
        assert (recording["status"], recording["fileSize"]) == ("completed", len(MEDIA))
        deployment.livekit.connect(deployment.domain, deployment.deliver)


def test_t17_stop_that_read_before_and_writes_after_the_completion_loses(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    held = deployment.livekit.hold_webhooks(deployment.domain)
    deployment.livekit.stop(recording_id)
    deployment.advance(2)
    completed = held[-1]
    with deployment.row_locked(recording_id) as waiting:
        # Both have read the row as active and wait to write it; Postgres lets them in one after the other.
        first = deployment.begin(lambda: deployment.deliver(completed))
        waiting(1)
        second = deployment.begin(lambda: alice.stop(recording_id).status)
        waiting(2)
    assert (first.result(), second.result()) == (200, 200)
    assert alice.get(recording_id).recording["status"] == "completed"


ENDS = {
    "complete": ("completed", None),
    "failed": ("failed", "500"),
    "aborted": ("failed", "stopped_before_start"),
    "limit_reached": ("completed", None),
}


def _end(world: World, deployment: Deployment, recording_id: str, end: str) -> None:
    if end == "complete":
        deployment.livekit.stop(recording_id)
    elif end == "failed":
        world.kill_handler(deployment.livekit.egress_of(recording_id))
    elif end == "aborted":
        world.close_room("demo")
        world.open_room("demo")
    deployment.advance(30)


@pytest.mark.parametrize("end", ENDS)
def test_t18_stop_of_an_egress_that_has_ended_stores_its_end(
    deployment: Deployment, alice: User, end: str
) -> None:
    world = deployment.livekit.world
    world.faults.webhook_lost.always()
    if end == "aborted":
        world.faults.never_active.next()
    if end == "limit_reached":
        world.faults.limit_reached.next()
    recording_id = alice.record(seconds=5)
    _end(world, deployment, recording_id, end)

    first, second = alice.stop(recording_id), alice.stop(recording_id)

    status, failure_code = ENDS[end]
    assert (first.status, first["status"]) == (200, status)
    assert second.json == first.json
    assert alice.get(recording_id).recording["failureCode"] == failure_code
    assert alice.start(roomName="demo").status == 201


def test_t18_stop_of_an_egress_that_livekit_has_forgotten_is_settled_by_its_file(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.stop(recording_id)
    deployment.advance(25 * 3600)

    first, second = alice.stop(recording_id), alice.stop(recording_id)
    assert (first.status, first["status"]) == (200, "stopping")
    assert second.json == first.json

    deployment.sweeps(2)
    stopped = alice.stop(recording_id)
    assert stopped["status"] == "completed"
    assert httpx.get(alice.get(recording_id)["downloadUrl"]).content == MEDIA


def test_t18_stop_again_changes_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    first = alice.stop(recording_id)
    requested_at = _stop_requested_at(deployment, recording_id)
    again = alice.stop(recording_id)
    assert (first.status, again.status) == (200, 200)
    assert _stop_requested_at(deployment, recording_id) == requested_at
    deployment.advance(2)
    after = alice.stop(recording_id)
    assert (after.status, after["status"]) == (200, "completed")
    assert deployment.livekit.calls.count(STOP) == 1


@pytest.mark.parametrize("room", ["silent", "busy"])
def test_t19_stop_from_starting(deployment: Deployment, alice: User, room: str) -> None:
    if room == "silent":
        deployment.livekit.world.faults.never_active.next()
    recording_id = alice.start(roomName="demo")["recordingId"]
    row = deployment.row(recording_id)
    assert row is not None
    assert row["status"] == "starting"

    stopped = alice.stop(recording_id)
    assert stopped.status == 200
    deployment.advance(2)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "stopped_before_start")
    assert recording["endReason"] == "stopped"
    assert deployment.livekit.world.unended() == {}
    assert alice.start(roomName="demo").status == 201


def test_t19_stop_before_the_egress_is_known_is_carried_out_later(
    deployment: Deployment, alice: User
) -> None:
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.world.faults.start.answer_lost.next()
    recording_id = alice.start(roomName="demo")["recordingId"]
    stopped = alice.stop(recording_id)
    assert (stopped.status, stopped["status"], stopped.json["egressId"]) == (200, "stopping", None)
    assert deployment.livekit.calls.count(STOP) == 0

    deployment.sweeps(2)
    deployment.advance(2)
    deployment.sweeps(1)

    assert alice.get(recording_id).recording["status"] == "completed"
    assert deployment.livekit.world.unended() == {}


def test_t19_stop_while_start_is_on_its_way(deployment: Deployment, alice: User) -> None:
    stops: list[Answer] = []
    deployment.livekit.at(0.2, lambda: stops.append(alice.stop(str(alice.list().recordings[0]["id"]))))
    recording_id = alice.start(roomName="demo")["recordingId"]
    assert [each.status for each in stops] == [200]
    deployment.advance(5)
    assert alice.get(recording_id).recording["status"] == "failed"
    assert deployment.livekit.world.unended() == {}


@pytest.mark.parametrize("fault", ["stop.internal", "stop.request_lost"])
def test_t20_failed_stop_stays_stopping_and_is_tried_again(
    deployment: Deployment, alice: User, logs: Logs, fault: str
) -> None:
    recording_id = alice.record()
    faults = deployment.livekit.world.faults
    faults.by_name()[fault].always()
    stopped = alice.stop(recording_id)
    assert (stopped.status, stopped["status"]) == (200, "stopping")
    assert logs.of("STOP_UNANSWERED")[0]["recording_id"] == recording_id

    for attempt in range(1, 4):
        deployment.advance(61)
        assert deployment.sweep()["stop_unanswered"] == 1
        assert len(logs.of("STOP_UNANSWERED")) == 1 + attempt
        assert {"outcome": "stop_unanswered", "RecordingsReconciled": 1.0} in logs.metrics(
            "RecordingsReconciled"
        )
        assert alice.get(recording_id).recording["status"] == "stopping"
        assert alice.start(roomName="demo").status == 409
    assert _alarm_exists("RecordingsReconciled", "stop_unanswered")

    faults.off()
    deployment.sweeps(2)

    assert alice.get(recording_id).recording["status"] == "completed"
    assert alice.start(roomName="demo").status == 201


def test_t20_target_is_held_as_long_as_the_egress_runs(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    faults = deployment.livekit.world.faults
    faults.stop.internal.always()
    alice.stop(recording_id)
    deployment.sweeps(7, minutes=5)
    assert len(deployment.livekit.world.unended()) == 1
    assert alice.get(recording_id).recording["status"] == "stopping"
    assert alice.start(roomName="demo").status == 409

    faults.off()
    deployment.sweeps(2)
    assert deployment.livekit.world.unended() == {}
    assert alice.get(recording_id).recording["status"] == "completed"


def test_t20_egress_that_outlives_our_verdict_is_asked_again_until_it_ends(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    livekit = deployment.livekit
    livekit.world.faults.start.request_lost.next()
    recording_id = alice.start(roomName="demo")["recordingId"]
    deployment.sweeps(1)
    assert alice.get(recording_id).recording["failureCode"] == "start_lost"
    # A report that was believed lost arrives after all, and LiveKit does not answer the stop.
    livekit.start_again()
    livekit.world.faults.stop.internal.always()
    deployment.sweeps(3)
    for _ in range(20):
        asked = len(logs.of("STOP_UNANSWERED"))
        deployment.sweeps(2)
        assert len(logs.of("STOP_UNANSWERED")) > asked
    assert {"outcome": "stop_unanswered", "RecordingsReconciled": 1.0} in logs.metrics("RecordingsReconciled")

    livekit.world.faults.off()
    deployment.sweeps(2)
    deployment.advance(2)
    assert livekit.world.unended() == {}


@pytest.mark.usefixtures("ends_with_its_worker")
def test_t20_record_of_a_dead_worker_is_not_taken_for_an_egress_that_bills(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.kill_host(recording_id)
    deployment.sweeps(4)
    assert alice.get(recording_id).recording["failureCode"] == "worker_lost"
    told, calls = len(logs.of("STOP_UNANSWERED")), len(deployment.livekit.calls)
    deployment.sweeps(60)
    assert len(logs.of("STOP_UNANSWERED")) == told
    asked = deployment.livekit.calls[calls:]
    assert asked.count("Egress.StopEgress") == 0
    # At intervals that double.
    assert asked.count("Egress.UpdateStream") <= 6


def test_t20_egress_that_neither_its_room_nor_its_handler_shows_is_closed_after_a_bound(
    deployment: Deployment, alice: User
) -> None:
    deployment.livekit.world.faults.recorders_hidden.always()
    recording_id = alice.record()
    # Its handler lets its callers wait, which is no evidence.
    deployment.livekit.world.freeze_handler(deployment.livekit.egress_of(recording_id))
    alice.stop(recording_id)
    deployment.sweeps(4, minutes=7)
    assert alice.get(recording_id).recording["status"] == "stopping"
    assert alice.start(roomName="demo").status == 409

    deployment.sweeps(3)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "stop_timeout")
    assert alice.start(roomName="demo").status == 201
    # An egress that goes on after all is stopped.
    deployment.livekit.world.go_on(deployment.livekit.egress_of(recording_id))


@pytest.mark.parametrize("timing", [Timing(late_upload=Delay(35 * 60))])
def test_t20_upload_that_never_ends_is_closed_after_a_bound_and_its_late_file_found(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.upload_late.next()
    alice.stop(recording_id)
    deployment.sweeps(4, minutes=8)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "stop_timeout")
    assert alice.get(recording_id).json["downloadUrl"] is None

    deployment.sweeps(2, minutes=5)

    answer = alice.get(recording_id)
    assert answer.recording["status"] == "failed"
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


def _changes(deployment: Deployment) -> list[dict[str, object]]:
    return deployment.rows(
        "select * from observed_change where before is distinct from after order by position"
    )


def _stop_requested_at(deployment: Deployment, recording_id: str) -> object:
    row = deployment.row(recording_id)
    assert row is not None
    return row["stop_requested_at"]


def _stop_status(user: User, recording_id: str) -> int:
    return user.stop(recording_id).status


def _alarm_exists(metric: str, outcome: str) -> bool:
    alarms = evaluated().select("AWS::CloudWatch::Alarm", "MetricName", "Dimensions")
    dimension = {"Name": "outcome", "Value": outcome}
    return any(
        alarm.get("MetricName") == metric and dimension in cast("list[object]", alarm["Dimensions"])
        for _, alarm in alarms
    )


def test_t53_stop_before_the_first_frame_is_told_calmly_and_alarms_nobody(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    for _ in range(3):
        recording_id = alice.start(roomName="demo")["recordingId"]
        assert alice.stop(recording_id).status == 200
        deployment.advance(2)
    recordings = alice.list().recordings
    assert [each["failureCode"] for each in recordings] == ["stopped_before_start"] * 3
    assert {each["failureReason"] for each in recordings} == {
        "the recording was stopped before anything was recorded"
    }
    assert {each["fault"] for each in logs.metrics("RecordingsFailed") if "fault" in each} == {"client"}


@pytest.mark.parametrize("end", ["deadline", "stop", "closed"])
def test_t53_room_in_which_nobody_publishes_says_so(
    deployment: Deployment, alice: User, logs: Logs, end: str
) -> None:
    deployment.livekit.world.open_room("empty", identities=(), permanent=True)
    recording_id = alice.start(roomName="empty")["recordingId"]
    deployment.sweeps(4)
    assert alice.statuses() == ["starting"]
    if end == "stop":
        assert alice.stop(recording_id).status == 200
    elif end == "closed":
        deployment.livekit.world.close_room("empty")
    deployment.sweeps(3)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "stopped_before_start")
    told = {"deadline": "nobody in the room published", "stop": "stopped before", "closed": "the room closed"}
    assert told[end] in str(recording["failureReason"])
    assert {each["fault"] for each in logs.metrics("RecordingsFailed") if "fault" in each} == {"client"}


def test_t53_worker_that_is_shut_down_before_the_first_frame_is_not_told_calmly(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    deployment.livekit.world.faults.never_active.next()
    recording_id = alice.start(roomName="demo")["recordingId"]
    deployment.advance(5)
    deployment.livekit.world.shut_down_host(deployment.livekit.egress_of(recording_id))
    deployment.advance(2)
    assert alice.get(recording_id).recording["failureCode"] == "412"
    assert {each["fault"] for each in logs.metrics("RecordingsFailed") if "fault" in each} == {"server"}
