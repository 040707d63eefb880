"""Kinds: what happens to participants, tracks and pages while they are recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from livekit.protocol import models
from livekit.protocol.room import ListParticipantsRequest, ListParticipantsResponse

from tests.support import invariants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Deploy
    from tests.support.deployment import Deployment, User

PAGE = "https://app.example.com/board"


@pytest.fixture
def deployment(deploy: Deploy) -> Iterator[Deployment]:
    """A deployment whose takes have safety segments, and which records pages."""
    made = deploy(SAFETY_SEGMENTS="on", WEB_RECORDING_ORIGINS="https://app.example.com")
    yield made
    invariants.check(made)


@pytest.fixture
def plain(deploy: Deploy) -> Iterator[Deployment]:
    """A deployment whose takes have no segments: hours of them cost nothing."""
    made = deploy(WEB_RECORDING_ORIGINS="https://app.example.com")
    yield made
    invariants.check(made)


def begun(deployment: Deployment, user: User, **options: object) -> str:
    """Start a recording and return its id once it is active."""
    started = user.ask(**{"roomName": "demo", **options})
    assert started.status == 201, started.text
    deployment.advance(15)
    assert user.get(started["recordingId"]).recording["status"] == "active"
    return started["recordingId"]


def web(deployment: Deployment, user: User, **options: object) -> str:
    """Start recording a page and return the recording's id once it is active."""
    return begun(deployment, user, source="web", pageUrl=PAGE, **options)


def ends(user: User, recording_id: str) -> list[object]:
    takes = cast("list[dict[str, object]]", user.get(recording_id).json["takes"])
    return [take["end"] for take in takes]


def test_t93_a_participant_who_mutes_and_unpublishes_is_recorded_on(
    plain: Deployment,
) -> None:
    deployment, alice = plain, plain.as_user("alice")
    recording_id = begun(deployment, alice, source="participant", participantIdentity="ada")
    world = deployment.livekit.world
    world.unpublish("demo", "ada", models.CAMERA)
    deployment.sweeps(3)
    assert alice.get(recording_id).recording["status"] == "active"
    world.publish("demo", "ada", models.CAMERA)
    deployment.sweeps(2)

    alice.stop(recording_id)
    deployment.advance(20)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"], recording["takeCount"]) == (
        "completed",
        "stopped",
        1,
    )


def test_t93_a_participant_who_leaves_ends_the_recording_and_a_return_does_not_resume_it(
    deployment: Deployment, alice: User
) -> None:
    recording_id = begun(deployment, alice, source="participant", participantIdentity="ada")
    deployment.livekit.world.leave("demo", "ada")
    deployment.advance(10)
    deployment.livekit.world.join("demo", "ada")
    deployment.sweeps(3)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("completed", "source_closed")
    assert alice.start(roomName="demo", source="participant", participantIdentity="ada").status == 201


def test_t93_a_screen_that_nobody_shares_fails_with_its_reason(deployment: Deployment, alice: User) -> None:
    started = alice.start(roomName="demo", source="participant", participantIdentity="ada", screenShare=True)
    deployment.sweeps(2)

    recording = alice.get(started["recordingId"]).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "404")
    assert recording["failureReason"] == "what was to be recorded did not appear in the room"


def test_t93_a_track_composite_ends_with_its_track(deployment: Deployment, alice: User) -> None:
    sid = deployment.livekit.track("camera_vp8")
    room = deployment.livekit.world.call(
        "RoomService", "ListParticipants", ListParticipantsRequest(room="demo")
    ).outcome
    assert isinstance(room, ListParticipantsResponse)
    [identity] = [each.identity for each in room.participants if sid in {track.sid for track in each.tracks}]
    recording_id = begun(deployment, alice, source="track_composite", videoTrackSid=sid)
    assert alice.get(recording_id).recording["media"] == "video"
    deployment.livekit.world.unpublish("demo", identity, models.CAMERA)
    deployment.sweeps(2)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("completed", "source_closed")


@pytest.mark.parametrize("stays", [True, False], ids=["stays", "leaves"])
def test_t93_a_lost_worker_is_replaced_while_the_participant_is_there(
    deployment: Deployment, alice: User, *, stays: bool
) -> None:
    recording_id = begun(deployment, alice, source="participant", participantIdentity="ada")
    deployment.advance(20)
    if not stays:
        # A worker that is dead does not tell that its participant left.
        deployment.livekit.kill_host(recording_id)
        deployment.livekit.world.leave("demo", "ada")
    else:
        deployment.livekit.kill_host(recording_id)
    deployment.sweeps(3)
    deployment.advance(10)

    recording = alice.get(recording_id).recording
    assert recording["status"] == ("active" if stays else "completed"), recording
    assert recording["takeCount"] == (2 if stays else 1)
    assert recording["participantIdentity"] == "ada"
    alice.stop(recording_id)
    deployment.sweeps(2)
    assert alice.get(recording_id).recording["status"] == "completed"


@pytest.mark.parametrize("source", ["track_composite", "web"])
def test_t93_a_lost_worker_ends_what_cannot_be_taken_up_again(
    deployment: Deployment, alice: User, source: str
) -> None:
    own = {"pageUrl": PAGE} if source == "web" else {"videoTrackSid": deployment.livekit.track("camera_vp8")}
    recording_id = begun(deployment, alice, source=source, **own)
    deployment.advance(20)
    deployment.livekit.kill_host(recording_id)
    deployment.sweeps(4)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["takeCount"]) == ("completed", 1)
    assert ends(alice, recording_id) == ["worker_lost"]


@pytest.mark.parametrize("source", ["participant", "track_composite", "web"])
def test_t82_every_kind_but_a_track_pauses(deployment: Deployment, alice: User, source: str) -> None:
    own: dict[str, dict[str, object]] = {
        "participant": {"participantIdentity": "ada"},
        "track_composite": {"videoTrackSid": deployment.livekit.track("camera_vp8")},
        "web": {"pageUrl": PAGE, "media": "video"},
    }
    recording_id = begun(deployment, alice, source=source, **own[source])
    before = alice.get(recording_id).recording
    alice.pause(recording_id)
    deployment.advance(20)
    assert alice.get(recording_id).recording["status"] == "paused"
    assert alice.resume(recording_id).status == 200
    deployment.advance(20)

    after = alice.get(recording_id).recording
    assert (after["status"], after["takeCount"]) == ("active", 2)
    for field in ("source", "media", "pageUrl", "participantIdentity", "videoTrackSid", "resolution"):
        assert after[field] == before[field]
    alice.stop(recording_id)
    deployment.sweeps(2)
    assert alice.get(recording_id).recording["status"] == "completed"
    assert ends(alice, recording_id) == ["paused", "stopped"]


@pytest.mark.parametrize("label", ["demo", "no such room"])
def test_t94_a_page_is_recorded_whatever_the_room_that_labels_it(plain: Deployment, label: str) -> None:
    deployment, alice = plain, plain.as_user("alice")
    recording_id = web(deployment, alice, roomName=label)
    deployment.sweeps(5)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["roomName"], recording["pageUrl"]) == ("active", label, PAGE)
    # Of rooms nothing was asked.
    assert "RoomService.ListRooms" not in deployment.livekit.calls
    alice.stop(recording_id)
    deployment.advance(20)
    assert alice.get(recording_id).recording["status"] == "completed"


@pytest.mark.parametrize("label", ["demo", "no such room"])
def test_t94_a_dead_page_is_noticed_within_three_sweeps(
    deployment: Deployment, alice: User, label: str
) -> None:
    recording_id = web(deployment, alice, roomName=label)
    deployment.sweeps(2)
    deployment.livekit.kill_host(recording_id)
    deployment.sweeps(3)
    deployment.advance(5)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("completed", "worker_lost")
    assert alice.start(roomName=label, source="web", pageUrl=PAGE).status == 201


def test_t94_a_dead_page_without_segments_fails(plain: Deployment) -> None:
    deployment, alice = plain, plain.as_user("alice")
    recording_id = web(deployment, alice)
    deployment.livekit.kill_host(recording_id)
    deployment.sweeps(3)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "worker_lost")
    calls = len(deployment.livekit.calls)
    deployment.sweeps(3)
    # Its record stays ACTIVE for ever, and costs the sweeps hardly anything.
    assert len(deployment.livekit.calls) - calls <= 9


def test_t94_a_page_that_cannot_be_loaded_fails_with_its_reason(plain: Deployment) -> None:
    deployment, alice = plain, plain.as_user("alice")
    deployment.livekit.world.faults.page_fails.next()
    started = alice.start(roomName="demo", source="web", pageUrl=PAGE)
    deployment.sweeps(2)

    recording = alice.get(started["recordingId"]).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "400")
    assert recording["failureReason"] == "the recorder could not do what was asked of it"
    assert alice.start(roomName="demo", source="web", pageUrl=PAGE).status == 201


def test_t94_a_page_that_never_begins_fails_at_the_starting_deadline(
    plain: Deployment,
) -> None:
    deployment, alice = plain, plain.as_user("alice")
    deployment.livekit.world.faults.never_active.always()
    started = alice.start(roomName="demo", source="web", pageUrl=PAGE)
    deployment.sweeps(8)

    recording = alice.get(started["recordingId"]).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "start_timeout")


def test_t94_a_page_whose_start_was_not_answered_is_adopted(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.start.answer_lost.next()
    started = alice.start(roomName="demo", source="web", pageUrl=PAGE)
    assert started.status == 202, started.text
    deployment.sweeps(2)

    recording = alice.get(started["recordingId"]).recording
    assert (recording["status"], recording["egressId"] is not None) == ("active", True)


def test_t94_a_deleted_page_is_stopped(deployment: Deployment, alice: User) -> None:
    recording_id = web(deployment, alice)
    assert alice.delete(recording_id).status == 200
    deployment.sweeps(2)

    assert deployment.livekit.world.unended() == {}
