"""The worker and its record: LiveKit's list is neither proof of life nor of death."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest
from livekit.protocol import egress as protocol

from livekit_standin.timing import SECOND, Delay, Timing
from livekit_standin.twirp import Answer as TwirpAnswer
from livekit_standin.twirp import TwirpError
from tests.support.deployment import sign
from tests.support.livekit import API_SECRET, MEDIA

if TYPE_CHECKING:
    from collections.abc import Callable

    from google.protobuf.message import Message

    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs

# `test_takes.py` is about recordings that outlive their workers.
pytestmark = pytest.mark.usefixtures("ends_with_its_worker")

GATEWAY_SECONDS = 29
REFUSALS = {
    "slow": TwirpAnswer(TwirpError("deadline_exceeded", "request timed out", 408), 15 * SECOND),
    "unreachable": TwirpAnswer(TwirpError("unavailable", "no healthy upstream", 503), 0),
}
"""Answers of LiveKit, or of a proxy before it, to a call of a handler, which say nothing about it."""


# The second witness.


def test_t39_host_that_dies_is_noticed_within_three_sweeps(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.kill_host(recording_id)
    assert alice.get(recording_id).recording["status"] == "active"

    deployment.sweeps(3)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "worker_lost")
    assert recording["failureReason"]
    assert recording["stoppedAt"]
    # LiveKit's record goes on saying otherwise, for ever.
    [record] = deployment.livekit.world.unended().values()
    assert record.status == protocol.EGRESS_ACTIVE
    assert alice.start(roomName="demo").status == 201
    assert alice.delete(recording_id).status == 200


def test_t39_one_denial_is_not_enough(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    for _ in range(4):
        # Hidden once, shown again: never twice in a row.
        deployment.livekit.world.faults.recorders_hidden.next()
        deployment.sweeps(1)
        assert alice.get(recording_id).recording["status"] == "active"
        deployment.sweeps(1)
    row = deployment.row(recording_id)
    assert row is not None
    assert row["absent_since"] is None


def test_t39_livekit_that_hides_its_recorders_costs_no_recording(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.recorders_hidden.always()
    recording_id = alice.record(sweep=True)
    deployment.sweeps(9, minutes=10)
    assert alice.get(recording_id).recording["status"] == "active"
    assert alice.stop(recording_id)["status"] == "stopping"
    deployment.advance(2)
    assert alice.get(recording_id).recording["status"] == "completed"


def test_t39_worker_that_is_lost_with_its_record_and_its_room_is_noticed_unseen(
    deployment: Deployment, alice: User
) -> None:
    # As when LiveKit itself is started anew: no sweep has seen the recorder, and the room is another one.
    livekit = deployment.livekit
    livekit.world.open_room("other")
    recording_id = alice.record("other", seconds=20)
    livekit.kill_host(recording_id)
    livekit.world.lose_records()
    livekit.world.close_room("other")
    livekit.world.open_room("other")
    deployment.sweeps(3)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "egress_lost")
    assert alice.start(roomName="other").status == 201


def test_t39_many_workers_that_die_at_once_are_all_noticed(deployment: Deployment, alice: User) -> None:
    for number in range(6):
        deployment.livekit.world.open_room(f"room {number}")
        alice.start(roomName=f"room {number}")
    deployment.sweeps(1)
    for egress_id in list(deployment.livekit.world.unended()):
        deployment.livekit.world.kill_host(egress_id)
    deployment.sweeps(3)
    assert set(alice.statuses()) == {"failed"}


def test_t39_who_polls_keeps_no_dead_recording_alive(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.kill_host(recording_id)
    deployment.advance(30)
    for _ in range(3):
        deployment.advance(61)
        # The room's answer takes longer than a status stays fresh.
        deployment.livekit.world.faults.rooms.slow.next()
        deployment.livekit.at(7, lambda: alice.get(recording_id))
        deployment.sweep()
        deployment.sweep()
    deployment.sweeps(3)
    assert alice.get(recording_id).recording["failureCode"] == "worker_lost"


def test_t39_denials_close_to_each_other_count_once(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.world.faults.recorders_hidden.always()
    deployment.advance(61)
    deployment.sweep()
    for _ in range(5):
        deployment.execute("update recordings set due_at = :now", now=deployment.livekit.clock.now())
        deployment.advance(2)
        deployment.sweep()
    assert alice.get(recording_id).recording["status"] == "active"


@pytest.mark.parametrize("where", ["before", "after"])
def test_t39_file_of_a_worker_that_was_lost_is_looked_for(
    deployment: Deployment, alice: User, where: str
) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.kill_host(recording_id)
    if where == "before":
        deployment.put_object(f"recordings/{recording_id}/1/recording.mp4", MEDIA)
    deployment.sweeps(3)
    if where == "after":
        assert alice.get(recording_id).json["downloadUrl"] is None
        deployment.put_object(f"recordings/{recording_id}/1/recording.mp4", MEDIA)
        deployment.advance(3600)
        deployment.sweeps(1)

    answer = alice.get(recording_id)
    assert answer.recording["status"] == ("completed" if where == "before" else "failed")
    assert answer.recording["fileSize"] == len(MEDIA)
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


def test_t39_of_several_recordings_in_a_room_only_the_dead_one_fails(
    deployment: Deployment, alice: User
) -> None:
    tracks = [deployment.livekit.track(kind) for kind in ("camera_vp8", "camera_h264")]
    started = [alice.start(roomName="demo", trackBased=True, trackSid=track) for track in tracks]
    composite = alice.record(sweep=True)
    dead, alive = (answer["recordingId"] for answer in started)
    deployment.livekit.kill_host(dead)
    calls = len(deployment.livekit.calls)

    deployment.sweeps(3)

    statuses = {each["id"]: each["status"] for each in alice.list().recordings}
    assert statuses == {dead: "failed", alive: "active", composite: "active"}
    asked = deployment.livekit.calls[calls:]
    assert "RoomService.ListParticipants" in asked
    # Once a sweep, and once more for what still runs after the verdict.
    assert asked.count("RoomService.ListRooms") == 4
    # Twice, and once more after the verdict; the two that live are not asked.
    assert asked.count("Egress.UpdateStream") == 3


def test_t39_rooms_are_asked_in_one_call_however_many_there_are(deployment: Deployment, alice: User) -> None:
    for number in range(12):
        deployment.livekit.world.open_room(f"room {number}")
        alice.start(roomName=f"room {number}")
    deployment.advance(61)
    calls = len(deployment.livekit.calls)
    deployment.sweep()
    assert deployment.livekit.calls[calls:] == ["Egress.ListEgress", "RoomService.ListRooms"]


def test_t39_rooms_that_have_to_say_who_records_are_asked_together(
    deployment: Deployment, alice: User
) -> None:
    livekit = deployment.livekit
    for number in range(12):
        livekit.world.open_room(f"room {number}")
        alice.start(roomName=f"room {number}")
    deployment.advance(61)
    deployment.sweep()
    deployment.advance(11 * 60)
    livekit.world.participants_after = 2 * SECOND
    asked = []
    for _ in range(2):
        calls = len(livekit.calls)
        deployment.sweep()
        asked.append(livekit.calls[calls:].count("RoomService.ListParticipants"))
        deployment.advance(61)
    # One after the other, most of them would have no time.
    assert asked == [12, 0]
    assert set(alice.statuses()) == {"active"}


@pytest.mark.parametrize("hidden", [False, True], ids=["rooms_show", "rooms_hide"])
@pytest.mark.parametrize("seconds", [2, 10, 30, 58])
def test_t45_host_that_dies_before_any_sweep_saw_the_recorder_is_noticed_within_three_sweeps(
    deployment: Deployment, alice: User, seconds: int, *, hidden: bool
) -> None:
    if hidden:
        deployment.livekit.world.faults.recorders_hidden.always()
    recording_id = alice.record(seconds=seconds)
    deployment.livekit.kill_host(recording_id)
    deployment.sweeps(3)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "worker_lost")
    assert alice.start(roomName="demo").status == 201
    deployment.livekit.world.faults.recorders_hidden.off()


def test_t45_handlers_are_not_asked_where_their_room_shows_them(deployment: Deployment, alice: User) -> None:
    alice.record(sweep=True)
    deployment.sweeps(10)
    assert "Egress.UpdateStream" not in deployment.livekit.calls


def test_t45_livekit_that_hides_its_recorders_is_not_asked_for_each_at_each_sweep(
    deployment: Deployment, alice: User
) -> None:
    deployment.livekit.world.faults.recorders_hidden.always()
    recording_id = alice.record()
    deployment.sweeps(60)
    assert alice.get(recording_id).recording["status"] == "active"
    assert deployment.livekit.calls.count("Egress.UpdateStream") <= 7


def test_t45_one_silence_of_a_handler_is_not_enough(deployment: Deployment, alice: User) -> None:
    livekit = deployment.livekit
    livekit.world.faults.recorders_hidden.always()
    recording_id = alice.record()
    egress_id = livekit.egress_of(recording_id)
    for _ in range(4):
        livekit.world.suspend_host(egress_id)
        deployment.sweeps(1, minutes=11)
        livekit.world.go_on(egress_id)
        deployment.sweeps(1)
    assert alice.get(recording_id).recording["status"] == "active"


@pytest.mark.parametrize("answer", ["slow", "unreachable", "frozen"])
def test_t45_handler_that_gives_no_evidence_costs_no_recording(
    deployment: Deployment, alice: User, answer: str
) -> None:
    livekit = deployment.livekit
    livekit.world.faults.recorders_hidden.always()
    recording_id = alice.record()
    if answer == "frozen":
        livekit.world.freeze_handler(livekit.egress_of(recording_id))
    else:
        livekit.world.update_stream = REFUSALS[answer]
    deployment.sweeps(9, minutes=10)
    assert alice.get(recording_id).recording["status"] == "active"


def test_t45_dead_worker_is_noticed_beside_a_recorder_that_livekit_does_not_list(
    deployment: Deployment, alice: User
) -> None:
    livekit = deployment.livekit
    livekit.world.open_room("other")
    stranger = _automatic(deployment, "auto/{room_name}-{time}", "RoomComposite")
    # With its last report, that it is active, LiveKit lists it again.
    deployment.advance(10)
    livekit.world.lose_record(stranger)
    recording_id = alice.record("other", sweep=True)
    livekit.kill_host(recording_id)
    deployment.sweeps(14)
    assert alice.get(recording_id).recording["failureCode"] == "worker_lost"
    assert stranger in livekit.world.unended()


@pytest.mark.parametrize("ended_by", ["stop", "delete"])
@pytest.mark.parametrize("hidden", [False, True], ids=["rooms_show", "rooms_hide"])
@pytest.mark.parametrize("listed", [True, False], ids=["listed", "forgotten"])
def test_t67_target_of_a_dead_worker_is_free_within_three_sweeps(
    deployment: Deployment, alice: User, ended_by: str, *, hidden: bool, listed: bool
) -> None:
    if hidden:
        deployment.livekit.world.faults.recorders_hidden.always()
    recording_id = alice.record(seconds=10)
    deployment.livekit.kill_host(recording_id)
    if not listed:
        deployment.livekit.world.lose_records()
    deployment.advance(10)
    assert (alice.stop if ended_by == "stop" else alice.delete)(recording_id).status == 200

    refused = alice.start(roomName="demo")
    assert (refused.status, refused["code"]) == (409, "recording_in_progress")
    assert "is still being stopped" in refused["error"]
    assert "try again" in refused["error"]
    # It names a recording that the caller can read, or none.
    named = refused.json.get("recordingId")
    assert named == (recording_id if ended_by == "stop" else None)
    assert named is None or alice.get(recording_id).status == 200

    deployment.sweeps(3)
    assert alice.start(roomName="demo").status == 201
    deployment.livekit.world.faults.recorders_hidden.off()


def test_t67_answer_of_a_handler_does_not_hold_where_somebody_waits(
    deployment: Deployment, alice: User
) -> None:
    deployment.livekit.world.faults.recorders_hidden.always()
    recording_id = alice.record(sweep=True)
    assert "Egress.UpdateStream" in deployment.livekit.calls
    deployment.livekit.kill_host(recording_id)
    assert alice.stop(recording_id).status == 200
    deployment.sweeps(3)
    assert alice.start(roomName="demo").status == 201
    deployment.livekit.world.faults.recorders_hidden.off()


@pytest.mark.parametrize("away", [3, 20])
@pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])
def test_t74_dead_worker_that_comes_back_is_stopped_within_two_sweeps(
    deployment: Deployment, alice: User, away: int, webhooks: str
) -> None:
    livekit = deployment.livekit
    recording_id = alice.record(sweep=True)
    egress_id = livekit.egress_of(recording_id)
    if webhooks == "are_lost":
        livekit.world.faults.webhook_lost.always()
    livekit.world.suspend_host(egress_id)
    deployment.sweeps(away)
    assert alice.get(recording_id).recording["failureCode"] == "worker_lost"
    second = alice.start(roomName="demo")["recordingId"]
    deployment.sweeps(2)

    livekit.world.go_on(egress_id)
    deployment.sweeps(2)
    deployment.advance(2)

    assert list(livekit.world.unended()) == [livekit.egress_of(second)]
    assert alice.get(second).recording["status"] == "active"
    # Its late file is kept where the recording is.
    deployment.sweeps(5, minutes=15)
    answer = alice.get(recording_id)
    assert answer.recording["status"] == "failed"
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


def test_t74_listed_egress_of_the_dead_costs_a_sweep_nothing(deployment: Deployment, alice: User) -> None:
    dead = []
    for number in range(5):
        room = f"room {number}"
        deployment.livekit.world.open_room(room)
        dead.append(alice.record(room, seconds=1))
    deployment.sweep()
    for recording_id in dead:
        deployment.livekit.kill_host(recording_id)
    deployment.sweeps(3)
    assert set(alice.statuses()) == {"failed"}
    for recording_id in dead[:2]:
        assert alice.delete(recording_id).status == 200
    deployment.sweeps(12, minutes=60)
    calls, began = len(deployment.livekit.calls), deployment.livekit.clock.now()
    for _ in range(10):
        assert deployment.sweep() == {}
    assert (deployment.livekit.clock.now() - began).total_seconds() < 1
    assert set(deployment.livekit.calls[calls:]) == {"Egress.ListEgress", "RoomService.ListRooms"}


def test_t40_running_egress_that_livekit_forgot_stays_active(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.world.lose_records()
    for _ in range(6):
        deployment.sweeps(1)
        assert alice.get(recording_id).recording["status"] == "active"
        assert alice.start(roomName="demo").status == 409

    stopped = alice.stop(recording_id)
    assert (stopped.status, stopped["status"]) == (200, "stopping")
    deployment.advance(2)
    assert alice.get(recording_id).recording["status"] == "completed"
    assert httpx.get(alice.get(recording_id)["downloadUrl"]).content == MEDIA


def test_t40_egress_that_livekit_forgot_before_it_was_active_is_active(
    deployment: Deployment, alice: User
) -> None:
    deployment.livekit.world.faults.webhook_lost.always()
    recording_id = alice.record(seconds=10)
    deployment.livekit.world.lose_records()
    deployment.sweeps(8)
    assert alice.get(recording_id).recording["status"] == "active"
    assert alice.stop(recording_id)["status"] == "stopping"


def test_t40_later_updates_of_a_forgotten_egress_apply(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.world.lose_records()
    deployment.sweeps(2)
    deployment.livekit.world.close_room("demo")
    deployment.advance(2)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("completed", "source_closed")


@pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])
def test_t41_handler_that_dies_leaves_its_reason_and_the_known_name(
    deployment: Deployment, alice: User, webhooks: str
) -> None:
    started = alice.start(roomName="demo", trackBased=True, trackSid=deployment.livekit.track("camera_vp8"))
    recording_id = started["recordingId"]
    deployment.advance(60)
    deployment.sweep()
    known = alice.get(recording_id).recording["storageKey"]
    assert known == f"recordings/{recording_id}/1/recording.webm"
    if webhooks == "are_lost":
        deployment.livekit.world.faults.webhook_lost.always()

    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(recording_id))
    deployment.advance(1)
    deployment.sweeps(1)

    answer = alice.get(recording_id)
    assert (answer.recording["status"], answer.recording["failureCode"]) == ("failed", "500")
    assert answer.recording["failureReason"] == "the process that recorded was killed"
    assert answer.recording["storageKey"] == known
    assert answer.json["downloadUrl"] is None


def test_t41_what_a_dead_handler_had_uploaded_is_found(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(recording_id))
    deployment.put_object(f"recordings/{recording_id}/1/recording.mp4", MEDIA)
    deployment.advance(1)
    deployment.sweeps(2)
    answer = alice.get(recording_id)
    assert answer.recording["status"] == "failed"
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


def test_t41_what_a_dead_handler_had_uploaded_is_swept_with_its_recording(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(recording_id))
    deployment.advance(1)
    alice.delete(recording_id)
    deployment.put_object(f"recordings/{recording_id}/1/recording.mp4", MEDIA)
    deployment.advance(2 * 3600)
    deployment.sweeps(2)
    assert deployment.objects() == []


# An answer in time.


def _seconds(deployment: Deployment, call: Callable[[], object]) -> float:
    began = deployment.livekit.clock.now()
    call()
    return (deployment.livekit.clock.now() - began).total_seconds()


def test_t42_no_worker_is_answered_in_time(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.no_worker.next()
    answers = []
    seconds = _seconds(deployment, lambda: answers.append(alice.start(roomName="demo")))
    assert 20 <= seconds < GATEWAY_SECONDS
    [answer] = answers
    assert (answer.status, answer["code"]) == (503, "egress_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    # Nothing was started, and LiveKit said so: the target is free at once.
    assert alice.start(roomName="demo").status == 201
    assert alice.list("status=failed").recordings == []


def test_t42_full_worker_is_waited_for(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.full_worker.next()
    answers = []
    seconds = _seconds(deployment, lambda: answers.append(alice.start(roomName="demo")))
    assert 13 < seconds < GATEWAY_SECONDS
    assert answers[0].status == 201


@pytest.mark.parametrize("lost", ["request_lost", "answer_lost", "slow"])
def test_t42_call_without_an_answer_ends_by_our_own_deadline(
    deployment: Deployment, alice: User, lost: str
) -> None:
    deployment.livekit.world.faults.by_name()[f"start.{lost}"].next()
    answers = []
    seconds = _seconds(deployment, lambda: answers.append(alice.start(roomName="demo")))
    assert seconds < GATEWAY_SECONDS
    assert answers[0].status == 202


@pytest.mark.parametrize("lost", ["request_lost", "answer_lost", "slow"])
def test_t42_every_endpoint_answers_in_time_while_livekit_does_not(
    deployment: Deployment, alice: User, lost: str
) -> None:
    deployment.livekit.world.open_room("other")
    first, second = alice.record(), alice.record("other")
    faults = deployment.livekit.world.faults.by_name()
    for kind in ("list", "stop", "rooms"):
        faults[f"{kind}.{lost}"].always()
    calls: list[Callable[[], int]] = [
        lambda: alice.get(first).status,
        lambda: alice.get(first, wait=20).status,
        lambda: alice.stop(first).status,
        lambda: alice.stop(first, wait=20).status,
        lambda: alice.stop(second, wait=20).status,
        lambda: alice.list().status,
        lambda: alice.delete(first).status,
    ]
    for call in calls:
        deployment.advance(10)
        statuses: list[int] = []
        assert _seconds(deployment, lambda: statuses.append(call())) < GATEWAY_SECONDS  # noqa: B023 - called at once
        assert statuses == [200]
    deployment.advance(61)
    assert _seconds(deployment, deployment.sweep) < 55


@pytest.mark.parametrize("timing", [Timing(accept=Delay(23))], ids=["slow_to_take"])
def test_t42_start_whose_end_was_wished_meanwhile_is_answered_in_time(
    deployment: Deployment, alice: User
) -> None:
    deployment.livekit.world.faults.stop.request_lost.next()
    deployment.livekit.world.faults.webhook_lost.next()
    deployment.livekit.at(5, lambda: alice.stop(str(alice.list().recordings[0]["id"])))
    answers = []
    seconds = _seconds(deployment, lambda: answers.append(alice.start(roomName="demo")))
    assert seconds < GATEWAY_SECONDS
    assert answers[0].status == 201
    deployment.sweeps(2)
    deployment.advance(2)
    assert deployment.livekit.world.unended() == {}


# Texts of LiveKit that must not be told.

S3_KEY, S3_SECRET, TURN_PASSWORD = "AKIAUNMASKEDKEY00000", "unmasked-s3-secret", "turn-password-of-a-room"


def _everything(deployment: Deployment, alice: User, logs: Logs) -> str:
    rows = deployment.rows("select * from recordings") + deployment.rows("select * from recording_events")
    answers = alice.list().text + "".join(alice.get(str(each["id"])).text for each in alice.list().recordings)
    return logs.text + json.dumps(rows) + json.dumps(deployment.events()) + answers


@pytest.mark.parametrize("egress", ["of_ours", "automatic"])
def test_t43_unmasked_keys_in_a_webhook_go_nowhere(
    deployment: Deployment, alice: User, logs: Logs, egress: str
) -> None:
    recording_id = alice.record()
    held = deployment.livekit.hold_webhooks(deployment.domain)
    deployment.livekit.stop(recording_id)
    deployment.advance(2)
    webhook = json.loads(held[-1].body)
    keys = {"accessKey": S3_KEY, "secret": S3_SECRET, "sessionToken": S3_SECRET}
    if egress == "of_ours":
        webhook["egressInfo"]["roomComposite"]["fileOutputs"][0]["s3"] |= keys
    else:
        webhook["egressInfo"] = {
            "roomName": "demo",
            "status": "EGRESS_FAILED",
            "error": "no response from servers",
            "trackComposite": {"fileOutputs": [{"filepath": "auto/{time}", "s3": keys}]},
        }
    body = json.dumps(webhook).encode()
    for path in ("/api/video/livekit/webhook", f"/api/video/livekit/webhook/{recording_id}"):
        assert deployment.post_webhook(path, body, sign(body)).status == 200
    deployment.sweeps(1)

    told = _everything(deployment, alice, logs)
    assert recording_id in told
    for secret in (S3_KEY, S3_SECRET, API_SECRET, deployment.site.aws.secret_key):
        assert secret not in told


@pytest.mark.parametrize("event", ["room_started", "room_finished", "participant_joined", "egress_updated"])
def test_t43_turn_password_of_a_room_goes_nowhere(
    deployment: Deployment, alice: User, logs: Logs, event: str
) -> None:
    recording_id = alice.record()
    room = {"sid": "RM_abc", "name": "demo", "turnPassword": TURN_PASSWORD}
    body = json.dumps({"event": event, "room": room, "id": "EV_1"}).encode()
    before = deployment.row(recording_id)
    assert deployment.post_webhook("/api/video/livekit/webhook", body, sign(body)).status == 200
    assert deployment.row(recording_id) == before
    assert TURN_PASSWORD not in _everything(deployment, alice, logs)


@pytest.fixture
def wrong_key(deployment: Deployment) -> str:
    return deployment.site.aws.put_secret("wrong", {"api_key": "devkey", "api_secret": "y" * 40})


def test_t43_token_that_livekit_echoes_goes_nowhere(
    deployment: Deployment, alice: User, wrong_key: str, logs: Logs
) -> None:
    recording_id = alice.record()
    deployment.configure(LIVEKIT_SECRET_ARN=wrong_key)
    deployment.advance(10)
    refused = alice.start(roomName="another")
    assert (refused.status, refused["code"]) == (500, "internal")
    assert alice.get(recording_id).recording["status"] == "active"
    assert alice.stop(recording_id)["status"] == "stopping"
    deployment.sweep()
    assert alice.delete(recording_id).status == 200
    deployment.configure(LIVEKIT_SECRET_ARN=deployment.site.settings["LIVEKIT_SECRET_ARN"])
    told = _everything(deployment, alice, logs) + refused.text
    # Every JSON Web Token begins with it.
    assert "eyJ" not in told
    assert "y" * 40 not in told


def test_t44_automatic_egress_is_left_alone(deployment: Deployment, alice: User) -> None:
    livekit = deployment.livekit
    recording_id = alice.record(sweep=True)
    automatic = _automatic(deployment, "auto/{room_name}-{time}")
    deployment.advance(10)
    for path in ("/api/video/livekit/webhook", f"/api/video/livekit/webhook/{recording_id}"):
        info = livekit.world.unended()[automatic]
        body = json.dumps(
            {"event": "egress_ended", "egressInfo": {"egressId": automatic, "roomName": "other", "status": 5}}
        ).encode()
        assert info.egress_id == automatic
        assert deployment.post_webhook(path, body, sign(body)).status == 200

    deployment.sweeps(3)

    assert automatic in livekit.world.unended()
    assert [each["id"] for each in alice.list().recordings] == [recording_id]
    assert alice.get(recording_id).recording["status"] == "active"
    assert len(deployment.rows("select id from recordings")) == 1


KINDS: dict[str, Callable[[str, str, protocol.S3Upload], Message]] = {
    "Track": lambda track, path, s3: protocol.TrackEgressRequest(
        room_name="other", track_id=track, file=protocol.DirectFileOutput(filepath=path, s3=s3)
    ),
    "TrackComposite": lambda track, path, s3: protocol.TrackCompositeEgressRequest(
        room_name="other",
        audio_track_id=track,
        file_outputs=[protocol.EncodedFileOutput(filepath=path, s3=s3)],
    ),
    "RoomComposite": lambda _, path, s3: protocol.RoomCompositeEgressRequest(
        room_name="other", file=protocol.EncodedFileOutput(filepath=path, s3=s3)
    ),
    "Participant": lambda _, path, s3: protocol.ParticipantEgressRequest(
        room_name="other", identity="alice", file_outputs=[protocol.EncodedFileOutput(filepath=path, s3=s3)]
    ),
    "Web": lambda _, path, s3: protocol.WebEgressRequest(
        url="https://example.com", file_outputs=[protocol.EncodedFileOutput(filepath=path, s3=s3)]
    ),
    "": lambda _, path, s3: protocol.StartEgressRequest(
        room_name="other",
        template=protocol.TemplateSource(),
        outputs=[protocol.Output(file=protocol.FileOutput(filepath=path))],
        storage=protocol.StorageConfig(s3=s3),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_t44_automatic_egress_that_writes_under_our_prefix_is_stopped_and_swept(
    deployment: Deployment, kind: str
) -> None:
    automatic = _automatic(deployment, "recordings/0b7a3d52-8f64-4c1e-a2d9-5e3c1b9f7d40/automatic", kind)
    deployment.advance(10)
    assert deployment.livekit.world.unended()[automatic].status == protocol.EGRESS_ACTIVE
    deployment.sweeps(2)
    deployment.advance(2)
    assert deployment.livekit.world.unended() == {}
    deployment.advance(2 * 3600)
    deployment.sweeps(2)
    assert deployment.objects() == []


def _automatic(deployment: Deployment, filepath: str, kind: str = "Track") -> str:
    """Start an egress as LiveKit does by itself for a room that is set up so."""
    deployment.livekit.world.open_room("other", identities=("alice",))
    track = deployment.livekit.track("microphone", "other")
    upload = protocol.S3Upload(bucket=deployment.site.name, access_key="k", secret="s")
    request = KINDS[kind](track, filepath, upload)
    answer = deployment.livekit.world.call("Egress", f"Start{kind}Egress", request)
    assert isinstance(answer, TwirpAnswer)
    assert not isinstance(answer.outcome, TwirpError)
    assert isinstance(answer.outcome, protocol.EgressInfo)
    return answer.outcome.egress_id
