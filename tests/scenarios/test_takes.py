"""A recording outlives its worker: the next take goes on where one was lost."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import permutations
from typing import TYPE_CHECKING, cast

import pytest
from livekit.protocol.egress import RoomCompositeEgressRequest

from tests.assembling.media import Recorded, Store
from tests.support.deployment import sign
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
    from livekit_standin.webhooks import Webhook
    from tests.conftest import Deploy
    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs

SEGMENT_SECONDS = 5
"""The most that is lost before a worker's death."""
LOST = pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])


@pytest.fixture
def deployment(segmented: Deployment) -> Deployment:
    return segmented


def lose_webhooks(deployment: Deployment, webhooks: str) -> None:
    if webhooks == "are_lost":
        deployment.livekit.world.faults.webhook_lost.always()


def starts(deployment: Deployment) -> int:
    return deployment.livekit.calls.count("Egress.StartRoomCompositeEgress")


# T70, T71: the host dies, or the handler.


@LOST
def test_t70_host_that_dies_costs_seconds_not_the_recording(
    deployment: Deployment, alice: User, webhooks: str
) -> None:
    recording_id = alice.record()
    lose_webhooks(deployment, webhooks)
    [first] = deployment.livekit.world.unended()
    deployment.livekit.world.kill_host(first)
    seen = []
    for _ in range(3):
        deployment.sweeps(1)
        seen.append(status_of(alice, recording_id))
    assert seen[-1] in {"resuming", "active"}
    deployment.sweeps(1)
    assert status_of(alice, recording_id) == "active"
    assert ends_of(alice, recording_id) == ["worker_lost", None]

    deployment.advance(20)
    answer = stop_and_finish(deployment, alice, recording_id)
    assert_whole(deployment, answer)
    lost, last = takes_of(alice, recording_id)
    # It recorded for the minute, less what a worker had not uploaded.
    assert 50 < cast("float", lost["duration"]) < 60
    missing = cast("float", lost["lostSeconds"])
    assert missing > 0
    assert "lostSeconds" not in last
    assert first not in {take["egressId"] for take in [last]}


def test_t70_seconds_lost_before_the_death_are_few(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=43)
    [first] = deployment.livekit.world.unended()
    began = datetime.fromisoformat(str(takes_of(alice, recording_id)[0]["startedAt"]))
    recorded = (deployment.livekit.clock.now() - began).total_seconds()
    deployment.livekit.world.kill_host(first)
    deployment.sweeps(4)
    stop_and_finish(deployment, alice, recording_id)
    [lost, _] = takes_of(alice, recording_id)
    assert recorded - SEGMENT_SECONDS <= cast("float", lost["duration"]) <= recorded


def test_t71_handler_that_is_killed_costs_seconds_not_the_recording(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    [first] = deployment.livekit.world.unended()
    deployment.livekit.world.kill_handler(first)
    deployment.advance(10)
    answer = alice.get(recording_id)
    assert answer.recording["status"] == "active"
    [second] = deployment.livekit.world.unended()
    assert second != first
    assert answer.recording["egressId"] == second
    assert ends_of(alice, recording_id) == ["worker_lost", None]

    deployment.advance(20)
    answer = stop_and_finish(deployment, alice, recording_id)
    assert answer.recording["takeCount"] == 2
    assert_whole(deployment, answer)


def test_t71_hint_that_is_lost_is_made_up_for_by_the_sweep(deployment: Deployment, alice: User) -> None:
    deployment.hints.lost = True
    recording_id = alice.record()
    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(recording_id))
    deployment.advance(10)
    assert status_of(alice, recording_id) == "resuming"
    deployment.hints.lost = False
    deployment.sweeps(1)
    deployment.advance(8)
    assert status_of(alice, recording_id) == "active"
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


# T72: no worker is free.


def test_t72_without_a_free_worker_the_takes_so_far_are_the_recording(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.no_worker.always()
    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(recording_id))
    deployment.advance(2)
    before = starts(deployment)
    seen = set()
    for _ in range(3):
        deployment.sweeps(1)
        seen.add(status_of(alice, recording_id))
    assert seen == {"resuming"}
    deployment.sweeps(5)
    # Each attempt waits longer than the one before.
    assert 2 <= starts(deployment) - before <= 8
    answer = alice.get(recording_id)
    assert answer.recording["endReason"] == "worker_lost"
    assert_whole(deployment, answer)
    assert alice.get(recording_id).recording["takeCount"] == 1
    deployment.livekit.world.faults.off()
    assert_free(deployment, alice)


def test_t72_worker_that_is_free_again_goes_on(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.no_worker.next(2)
    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(recording_id))
    deployment.sweeps(3)
    deployment.advance(8)
    assert status_of(alice, recording_id) == "active"
    assert ends_of(alice, recording_id) == ["worker_lost", None]
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


def test_t72_thirty_that_lose_their_worker_at_once_do_not_take_the_sweeps_time(deploy: Deploy) -> None:
    deployment = deploy()
    alice = deployment.as_user("alice")
    for number in range(30):
        deployment.livekit.world.open_room(f"room {number}")
        assert alice.start(roomName=f"room {number}").status == 201
    deployment.advance(60)
    deployment.hints.lost = True
    for egress_id in list(deployment.livekit.world.unended()):
        deployment.livekit.world.kill_handler(egress_id)
    deployment.advance(61)
    began = deployment.livekit.clock.now()
    assert deployment.sweep()["take_called"] == 30
    assert (deployment.livekit.clock.now() - began).total_seconds() < 5
    for row in deployment.rows("select id from recordings"):
        deployment.invoke("begin_take", {"recordingId": row["id"]})
    deployment.advance(20)
    assert set(alice.statuses()) == {"active"}
    assert len(deployment.livekit.world.unended()) == 30


# T73: nobody is left to record.


@pytest.mark.parametrize("room", ["closed", "agents_only"])
def test_t73_no_take_is_begun_where_nobody_is_left(deployment: Deployment, alice: User, room: str) -> None:
    world = deployment.livekit.world
    recording_id = alice.record()
    if room == "agents_only":
        for participant in world.open_room("demo").participants.values():
            participant.kind = participant.AGENT
    before = starts(deployment)
    world.kill_host(deployment.livekit.egress_of(recording_id))
    if room == "closed":
        world.close_room("demo")
    deployment.sweeps(6)
    assert starts(deployment) == before
    answer = alice.get(recording_id)
    assert (answer.recording["endReason"], answer.recording["takeCount"]) == ("worker_lost", 1)
    assert_whole(deployment, answer)


# T74: the dead come back.


@LOST
def test_t74_lost_egress_that_comes_back_beside_the_next_take_is_stopped(
    deployment: Deployment, alice: User, webhooks: str
) -> None:
    livekit = deployment.livekit
    recording_id = alice.record(sweep=True)
    [first] = livekit.world.unended()
    livekit.world.suspend_host(first)
    deployment.sweeps(4)
    assert status_of(alice, recording_id) == "active"
    lose_webhooks(deployment, webhooks)
    second = alice.get(recording_id).recording["egressId"]
    assert second != first

    livekit.world.go_on(first)
    deployment.sweeps(2)
    deployment.advance(10)

    assert list(livekit.world.unended()) == [second]
    assert status_of(alice, recording_id) == "active"
    answer = stop_and_finish(deployment, alice, recording_id)
    assert answer.recording["status"] == "completed"
    assert media_objects(deployment) == {answer.recording["storageKey"]}


def test_t74_list_entry_of_a_lost_take_costs_a_sweep_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.world.kill_host(deployment.livekit.egress_of(recording_id))
    deployment.sweeps(4)
    stop_and_finish(deployment, alice, recording_id)
    deployment.sweeps(4, minutes=60)
    assert len(deployment.livekit.world.unended()) == 1
    calls, began = len(deployment.livekit.calls), deployment.livekit.clock.now()
    for _ in range(10):
        assert deployment.sweep() == {}
    assert (deployment.livekit.clock.now() - began).total_seconds() < 1
    assert set(deployment.livekit.calls[calls:]) <= {"Egress.ListEgress", "RoomService.ListRooms"}
    # Nor does it hold up the burial.
    assert alice.delete(recording_id).status == 200
    assert media_objects(deployment) == set()


def test_t74_list_entry_of_a_take_that_died_while_ending_costs_a_sweep_nothing(
    deployment: Deployment, alice: User
) -> None:
    world = deployment.livekit.world
    recording_id = alice.record(sweep=True)
    [ending] = world.unended()
    deployment.livekit.storage_away = True
    pause(deployment, alice, recording_id)
    world.kill_host(ending)
    deployment.livekit.storage_away = False
    resume(deployment, alice, recording_id)
    [second] = world.unended().keys() - {ending}
    world.suspend_host(second)
    alice.stop(recording_id)
    deployment.sweeps(4)
    world.go_on(second)
    deployment.sweeps(2)
    deployment.sweeps(6, minutes=20)
    assert status_of(alice, recording_id) == "completed"
    deployment.sweeps(6, minutes=60)
    assert world.unended().keys() == {ending}
    for _ in range(10):
        deployment.advance(60)
        assert deployment.sweep() == {}


# T75, T76, T77: workers that die again and again, that end by themselves, and a LiveKit that is away.


def test_t75_worker_that_dies_again_and_again_ends_the_recording(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=20)
    for _ in range(10):
        for egress_id in list(deployment.livekit.world.unended()):
            deployment.livekit.world.kill_handler(egress_id)
        deployment.sweeps(1, minutes=0.7)
    deployment.sweeps(3)
    answer = alice.get(recording_id)
    assert (answer.recording["takeCount"], answer.recording["endReason"]) == (6, "worker_lost")
    assert ends_of(alice, recording_id) == ["worker_lost"] * 6
    assert_whole(deployment, answer)


@pytest.mark.parametrize("reason", ["CPU exhausted", "Process killed"])
@LOST
def test_t76_worker_that_ends_it_by_itself_is_followed_by_another(
    deployment: Deployment, alice: User, *, reason: str, webhooks: str
) -> None:
    recording_id = alice.record()
    [first] = deployment.livekit.world.unended()
    lose_webhooks(deployment, webhooks)
    deployment.livekit.world.end_by_itself(first, reason)
    deployment.sweeps(2)
    deployment.advance(8)
    assert status_of(alice, recording_id) == "active"
    [ended, _] = takes_of(alice, recording_id)
    assert (ended["end"], ended["duration"]) == ("worker_lost", pytest.approx(57, abs=4))
    answer = stop_and_finish(deployment, alice, recording_id)
    assert_whole(deployment, answer)
    # All of the first take is there.
    assert takes_of(alice, recording_id)[0]["duration"] == pytest.approx(
        cast("float", ended["duration"]), abs=2
    )


def test_t77_livekit_that_is_away_for_more_than_a_minute_costs_that_time(
    deployment: Deployment, alice: User
) -> None:
    world = deployment.livekit.world
    recording_id = alice.record()
    world.stop_server()
    deployment.advance(75)
    world.start_server()
    deployment.advance(20)
    deployment.sweeps(2)
    deployment.advance(8)
    assert status_of(alice, recording_id) == "active"
    assert ends_of(alice, recording_id) == ["worker_lost", None]
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


def test_t77_livekit_that_is_away_for_five_seconds_ends_no_composite(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    [first] = deployment.livekit.world.unended()
    deployment.livekit.world.stop_server()
    deployment.advance(5)
    deployment.livekit.world.start_server()
    deployment.sweeps(3)
    assert status_of(alice, recording_id) == "active"
    assert list(deployment.livekit.world.unended()) == [first]
    assert_whole(deployment, stop_and_finish(deployment, alice, recording_id))


# T78, T79, T80: the storage is away, and takes without segments.


def test_t78_storage_that_is_away_costs_the_outage_and_some_seconds(
    deployment: Deployment, alice: User
) -> None:
    livekit = deployment.livekit
    store = Store()
    store.record(Recorded(number=2, seconds=20), file=True)
    livekit.media = store.contents["2/recording.mp4"]
    recording_id = alice.record()
    livekit.storage_away = True
    deployment.advance(30)
    livekit.storage_away = False
    deployment.advance(15)
    deployment.sweeps(1)
    assert status_of(alice, recording_id) == "active"
    assert ends_of(alice, recording_id) == ["upload_failed", None]
    # A file alone survives the next outage.
    [second] = livekit.world.unended()
    assert not livekit.world.unended()[second].segment_results
    [ended, _] = takes_of(alice, recording_id)
    assert cast("float", ended["duration"]) > 40
    answer = stop_and_finish(deployment, alice, recording_id)
    assert_whole(deployment, answer)
    [ended, _] = takes_of(alice, recording_id)
    assert 0 < cast("float", ended["lostSeconds"]) <= 50


def test_t78_without_segments_an_outage_loses_nothing(deploy: Deploy) -> None:
    deployment = deploy()
    alice = deployment.as_user("alice")
    recording_id = alice.record()
    deployment.livekit.storage_away = True
    deployment.advance(30)
    deployment.livekit.storage_away = False
    deployment.sweeps(2)
    assert (status_of(alice, recording_id), alice.get(recording_id).recording["takeCount"]) == ("active", 1)
    alice.stop(recording_id)
    deployment.advance(10)
    assert status_of(alice, recording_id) == "completed"


def test_t79_recording_whose_upload_fails_at_the_end_is_made_from_its_segments(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.upload_fails.next()
    answer = stop_and_finish(deployment, alice, recording_id)
    assert_whole(deployment, answer)
    assert answer.recording["duration"] == pytest.approx(57, abs=5)
    assert "EGRESS_ENDED_BADLY" in logs.text


@pytest.mark.parametrize("kept", [False, True], ids=["the_only_one", "after_another"])
def test_t80_take_without_segments_goes_with_its_worker(deploy: Deploy, *, kept: bool) -> None:
    deployment = deploy()
    alice = deployment.as_user("alice")
    alice.defaults["onWorkerLost"] = "end"
    recording_id = alice.record(sweep=True)
    if kept:
        pause(deployment, alice, recording_id)
        resume(deployment, alice, recording_id)
        deployment.sweeps(1)
    deployment.livekit.kill_host(recording_id)
    deployment.sweeps(5)
    recording = alice.get(recording_id).recording
    if kept:
        assert (recording["status"], recording["endReason"]) == ("completed", "worker_lost")
        assert recording["storageKey"] == f"recordings/{recording_id}/1/recording.mp4"
    else:
        assert (recording["status"], recording["failureCode"]) == ("failed", "worker_lost")


# T81: reports about another take.

REPORTS = {"ACTIVE": "egress_updated", "COMPLETE": "egress_ended", "FAILED": "egress_ended"}


@pytest.mark.parametrize("order", list(permutations(REPORTS)), ids="-".join)
@pytest.mark.parametrize("moment", ["starting", "active", "stopping"])
def test_t81_report_about_an_ended_take_fills_in_that_take_only(
    deployment: Deployment, alice: User, *, moment: str, order: tuple[str, ...]
) -> None:
    livekit = deployment.livekit
    recording_id = alice.record()
    held = livekit.hold_webhooks(deployment.domain)
    alice.pause(recording_id)
    deployment.advance(5)
    deployment.sweeps(1)
    assert status_of(alice, recording_id) == "paused"
    ended = next(each for each in held if b"egress_ended" in each.body)
    livekit.connect(deployment.domain, deployment.deliver)
    alice.resume(recording_id)
    if moment != "starting":
        deployment.advance(20)
    if moment == "stopping":
        alice.stop(recording_id)
    expected = {"starting": "resuming", "active": "active", "stopping": "stopping"}[moment]
    before = (starts(deployment), livekit.calls.count("Egress.StopEgress"))
    for status in order:
        _report(deployment, ended, status)
        assert alice.list().recordings[0]["status"] == expected
    assert (starts(deployment), livekit.calls.count("Egress.StopEgress")) == before
    assert len(livekit.world.unended()) == 1
    deployment.advance(20)
    answer = stop_and_finish(deployment, alice, recording_id)
    assert_whole(deployment, answer)
    assert ends_of(alice, recording_id) == ["paused", "stopped"]


def _report(deployment: Deployment, ended: Webhook, status: str) -> None:
    """Deliver LiveKit's report of an egress once more, with another status."""
    body = json.loads(ended.body)
    body["event"], info = REPORTS[status], body["egressInfo"]
    info["status"] = f"EGRESS_{status}"
    if status != "COMPLETE":
        info["details"] = ""
    if status == "FAILED":
        info |= {"error": "signal: killed", "errorCode": 500}
    raw = json.dumps(body).encode()
    path = "/api/video/livekit/webhook/" + info["roomComposite"]["fileOutputs"][0]["filepath"].split("/")[1]
    assert deployment.post_webhook(path, raw, sign(raw)).status == 200


def test_t81_start_of_take_2_that_turns_up_beside_take_3_is_stopped(
    deployment: Deployment, alice: User
) -> None:
    livekit = deployment.livekit
    recording_id = alice.record()
    pause(deployment, alice, recording_id)
    livekit.world.faults.start.request_lost.next()
    assert alice.resume(recording_id)["status"] == "resuming"
    [*_, lost] = [each for each in livekit.world.requests if isinstance(each, RoomCompositeEgressRequest)]
    deployment.sweeps(2)
    assert status_of(alice, recording_id) == "paused"
    resume(deployment, alice, recording_id)
    third = livekit.egress_of(recording_id)
    # The second start arrives after all.
    livekit.world.call("Egress", "StartRoomCompositeEgress", lost)
    deployment.advance(2)
    assert len(livekit.world.unended()) == 2
    deployment.sweeps(2)
    deployment.advance(5)
    assert list(livekit.world.unended()) == [third]
    assert status_of(alice, recording_id) == "active"
    answer = stop_and_finish(deployment, alice, recording_id)
    assert answer.recording["status"] == "completed"
    assert [take["take"] for take in takes_of(alice, recording_id)] == [1, 3]


# T91: a hundred takes.


def test_t91_recording_of_a_hundred_takes_ends_with_a_reason(deploy: Deploy) -> None:
    deployment = deploy()
    alice = deployment.as_user("alice")
    recording_id = alice.record(seconds=10)
    for _ in range(99):
        assert alice.pause(recording_id).status == 200
        deployment.advance(3)
        assert alice.resume(recording_id).status == 200
        deployment.advance(8)
    assert status_of(alice, recording_id) == "active"
    deployment.sweeps(1)
    assert len(alice.get(recording_id).text) < 100_000
    assert len(alice.list().text) < 5_000
    deployment.hints.lost = True
    alice.pause(recording_id)
    deployment.advance(3)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("stopping", "take_limit")
    assert alice.resume(recording_id).status == 409
    deployment.hints.lost = False
    deployment.sweeps(60)
    answer = alice.get(recording_id)
    assert answer.recording["takeCount"] == 100
    assert (answer.recording["status"], answer.recording["endReason"]) == ("completed", "take_limit")
    assert not deployment.livekit.world.unended()
