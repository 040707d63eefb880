"""An Idempotency-Key: one recording for one wish, however often it is sent."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Literal

import pytest

from recorder.contract.requests import StartRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit_standin.faults import Faults
    from tests.support.deployment import Answer, Deployment, User

START = "Egress.StartRoomCompositeEgress"
KEY = {"idempotency-key": "a wish"}


def _start(user: User, room: str = "demo") -> Answer:
    return user.start(headers=KEY, roomName=room)


def test_retry_while_the_first_attempt_is_running(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.full_worker.next()
    during: list[Answer] = []
    deployment.livekit.at(5, lambda: during.append(_start(alice)))
    first = _start(alice)
    assert (first.status, during[0].status) == (201, 202)
    assert during[0].json == {"recordingId": first["recordingId"], "egressId": None, "status": "starting"}
    assert _start(alice).json == first.json
    assert deployment.livekit.calls.count(START) == 1


@pytest.mark.parametrize("fault", ["request_lost", "answer_lost", "slow", "internal"])
def test_retry_after_the_first_answer_was_lost(deployment: Deployment, alice: User, fault: str) -> None:
    deployment.livekit.world.faults.by_name()[f"start.{fault}"].next()
    first, second = _start(alice), _start(alice)
    assert first.status == 202
    assert second.status in {201, 202}
    assert second["recordingId"] == first["recordingId"]
    deployment.sweeps(2)
    assert _start(alice)["recordingId"] == first["recordingId"]
    assert deployment.livekit.calls.count(START) == 1


REFUSALS: dict[str, Callable[[Faults], None]] = {
    "egress_refused": lambda faults: faults.options_refused.next(),
    "egress_unavailable": lambda faults: faults.no_worker.next(),
}


def test_refusal_of_the_options_is_repeated(deployment: Deployment, alice: User) -> None:
    REFUSALS["egress_refused"](deployment.livekit.world.faults)
    first, second = _start(alice), _start(alice)
    assert (first.status, first["code"]) == (second.status, second["code"]) == (422, "egress_refused")
    assert first["error"] == second["error"]
    assert deployment.livekit.calls.count(START) == 1


def test_t54_missing_room_is_asked_for_again(deployment: Deployment, alice: User) -> None:
    first = _start(alice, "later")
    assert (first.status, first["code"]) == (404, "room_not_found")
    deployment.livekit.world.open_room("later")
    second, third = _start(alice, "later"), _start(alice, "later")
    assert (second.status, third.status) == (201, 201)
    assert second.json == third.json


def test_refusal_that_a_second_try_may_lift_is_not_repeated(deployment: Deployment, alice: User) -> None:
    REFUSALS["egress_unavailable"](deployment.livekit.world.faults)
    first, second, third = _start(alice), _start(alice), _start(alice)
    assert (first.status, second.status, third.status) == (503, 201, 201)
    assert second.json == third.json
    assert deployment.livekit.calls.count(START) == 2


@pytest.mark.usefixtures("ends_with_its_worker")
@pytest.mark.parametrize("end", ["completed", "failed"])
def test_answer_is_the_same_after_the_recording_has_ended(
    deployment: Deployment, alice: User, end: str
) -> None:
    first = _start(alice)
    deployment.advance(10)
    if end == "completed":
        alice.stop(first["recordingId"])
    else:
        deployment.livekit.world.kill_handler(first["egressId"])
    deployment.advance(2)
    assert alice.statuses() == [end]
    again = _start(alice)
    assert (again.status, again.json) == (201, first.json)


def test_key_lives_for_a_day(deployment: Deployment, alice: User) -> None:
    first = _start(alice)
    deployment.advance(10)
    alice.stop(first["recordingId"])
    deployment.advance(23 * 3600)
    deployment.sweep()
    assert _start(alice).json == first.json

    deployment.advance(3600)
    deployment.sweep()
    later = _start(alice)
    assert later.status == 201
    assert later["recordingId"] != first["recordingId"]


def test_key_of_a_deleted_recording_is_free(deployment: Deployment, alice: User) -> None:
    first = _start(alice)
    deployment.advance(10)
    alice.delete(first["recordingId"])
    deployment.sweeps(2)
    again = _start(alice)
    assert again.status == 201
    assert again["recordingId"] != first["recordingId"]


# As release 1.0 made it of {"roomName": "demo"}: of all fields that it had.
_FINGERPRINT_OF_1_0 = hashlib.sha256(
    b'{"room_name":"demo","layout":"grid","resolution":"1080p","codec":"h264","audio_codec":"aac",'
    b'"audio_bitrate":null,"video_bitrate":null,"track_based":false,"track_sid":null,"max_duration":null}'
).hexdigest()


def test_t59_key_that_the_release_before_took_is_answered_again(deployment: Deployment, alice: User) -> None:
    first = _start(alice)
    deployment.execute("update recordings set idempotency_fingerprint = :old", old=_FINGERPRINT_OF_1_0)

    assert _start(alice).json == first.json
    other = alice.start(headers=KEY, roomName="demo", layout="speaker")
    assert (other.status, other["code"]) == (422, "idempotency_mismatch")


class _LaterRequest(StartRequest):
    """A start request of a later release, which has one more optional field, and another default."""

    resolution: Literal["1080p", "720p", "480p"] = "720p"
    title: str | None = None


def test_t59_fields_that_are_added_later_change_no_key() -> None:
    body: dict[str, object] = {"roomName": "demo", "maxDuration": 60}
    now, later = StartRequest.model_validate(body), _LaterRequest.model_validate(body)
    assert later.fingerprint == now.fingerprint
    assert _LaterRequest.model_validate(dict(reversed(body.items()))).fingerprint == now.fingerprint

    titled = _LaterRequest.model_validate(body | {"title": "a"})
    assert titled.fingerprint != now.fingerprint
    assert titled.fingerprint_of_1_0 is None


def test_without_a_key_each_request_is_a_wish_of_its_own(deployment: Deployment, alice: User) -> None:
    first = alice.start(roomName="demo")
    assert alice.start(roomName="demo").status == 409
    deployment.advance(10)
    alice.stop(first["recordingId"])
    deployment.advance(2)
    again = alice.start(roomName="demo")
    assert again.status == 201
    assert again["recordingId"] != first["recordingId"]


def test_key_is_good_for_tracks_too(deployment: Deployment, alice: User) -> None:
    def start(track: str) -> Answer:
        return alice.start(
            headers=KEY, roomName="demo", trackBased=True, trackSid=deployment.livekit.track(track)
        )

    first = start("camera_vp8")
    assert (first.status, start("camera_vp8").json) == (201, first.json)
    refused = start("microphone")
    assert (refused.status, refused["code"]) == (422, "idempotency_mismatch")
