"""Takes: a recording outlives its worker and its pauses."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

import av
import pytest

from tests.support import invariants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Deploy
    from tests.support.deployment import Answer, Deployment, User


@pytest.fixture
def deployment(deploy: Deploy) -> Iterator[Deployment]:
    made = deploy(SAFETY_SEGMENTS="on")
    made.livekit.world.join("demo", "pat")
    yield made
    invariants.check(made)


@pytest.fixture
def alice(deployment: Deployment) -> User:
    return deployment.as_user("alice")


def statuses_while(deployment: Deployment, alice: User, recording_id: str, sweeps: int) -> list[str]:
    """Sweep so often, and return the statuses that a user sees afterwards."""
    seen = []
    for _ in range(sweeps):
        deployment.sweeps(1)
        seen.append(alice.get(recording_id).recording["status"])
    return cast("list[str]", seen)


def takes(alice: User, recording_id: str) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", alice.get(recording_id).json["takes"])


def assert_whole(deployment: Deployment, answer: Answer) -> None:
    """Hold a recording to its takes: one file with the seconds of all of them, and no part beside it."""
    recording = answer.recording
    assert recording["status"] == "completed"
    seconds = [
        cast("float", take["duration"]) for take in cast("list[dict[str, object]]", answer.json["takes"])
    ]
    assert all(seconds)
    key = cast("str", recording["storageKey"])
    assert mp4_seconds(deployment, key) == pytest.approx(sum(seconds), abs=0.5)
    assert recording["duration"] == pytest.approx(sum(seconds), abs=0.5)
    kept = {each for each in deployment.objects() if not each.endswith((".jpeg", ".json"))}
    assert kept == {key}


def mp4_seconds(deployment: Deployment, key: str) -> float:
    """Return for how long the video of a stored file lasts, by its packets."""
    body = deployment.site.aws.s3.get_object(Bucket=deployment.site.name, Key=key)["Body"].read()
    with av.open(io.BytesIO(body), "r") as file:
        [stream] = file.streams.video
        times = [float(each.pts * each.time_base) for each in file.demux(stream) if each.pts is not None]
    return max(times) - min(times)


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
    assert [take["end"] for take in takes(alice, recording_id)] == ["worker_lost", None]

    deployment.advance(20)
    alice.stop(recording_id)
    deployment.advance(10)
    deployment.sweeps(2)
    answer = alice.get(recording_id)
    assert answer.recording["takeCount"] == 2
    assert_whole(deployment, answer)


def test_t82_pause_ends_the_egress_and_resume_begins_another(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    assert alice.pause(recording_id).status == 200
    deployment.advance(5)
    assert alice.get(recording_id).recording["status"] == "paused"
    assert not deployment.livekit.world.unended()
    assert alice.start(roomName="demo")["code"] == "recording_in_progress"
    deployment.advance(60)

    resumed = alice.resume(recording_id)
    assert (resumed.status, resumed["status"]) == (200, "resuming")
    deployment.advance(5)
    assert alice.get(recording_id).recording["status"] == "active"
    deployment.advance(20)
    alice.stop(recording_id)
    deployment.advance(10)
    deployment.sweeps(2)
    answer = alice.get(recording_id)
    assert_whole(deployment, answer)
    assert [take["end"] for take in takes(alice, recording_id)] == ["paused", "stopped"]
    assert answer["downloadUrl"]
