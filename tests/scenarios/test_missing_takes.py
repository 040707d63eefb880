"""No take is left out in silence of what its recording becomes, wherever its file lies and whatever became of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, cast

import pytest

from tests.assembling.media import Recorded, Store
from tests.support import invariants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Deploy
    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs

SECONDS: Final = 6


@pytest.fixture
def deployment(deploy: Deploy) -> Iterator[Deployment]:
    made = deploy(SAFETY_SEGMENTS="on")
    made.livekit.world.join("demo", "pat")
    yield made
    invariants.check(made)


@pytest.fixture
def alice(deployment: Deployment) -> User:
    return deployment.as_user("alice")


def two_takes(deployment: Deployment, alice: User) -> str:
    """Have a recording of two takes of some 20 seconds stopped, of which no run of the assembler has begun."""
    recording_id = alice.record(seconds=20)
    alice.pause(recording_id)
    deployment.advance(10)
    alice.resume(recording_id)
    deployment.advance(20)
    deployment.hints.lost = True
    alice.stop(recording_id)
    deployment.advance(10)
    assert alice.get(recording_id).recording["status"] == "stopping"
    deployment.hints.lost = False
    return recording_id


def remove(deployment: Deployment, *folders: str) -> None:
    """Remove the objects in these folders."""
    for key in deployment.objects():
        if key.startswith(folders):
            deployment.site.aws.s3.delete_object(Bucket=deployment.site.name, Key=key)


@pytest.mark.parametrize(("missing", "kept"), [(1, 2), (2, 1)])
def test_t88_take_that_the_bucket_does_not_list_is_told(
    deployment: Deployment, alice: User, logs: Logs, missing: int, kept: int
) -> None:
    recording_id = two_takes(deployment, alice)
    remove(
        deployment,
        *(f"{folder}/{recording_id}/{missing}/" for folder in ("recordings", "segments")),
    )
    deployment.sweeps(1)
    # A bucket may list late.
    assert alice.get(recording_id).recording["status"] == "stopping"
    deployment.sweeps(4, minutes=17)
    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    assert answer.json["downloadUrl"] is None
    assert [each["take"] for each in cast("list[dict[str, object]]", answer.json["files"])] == [kept]
    assert answer.recording["takeCount"] == 2
    assert len(logs.metrics("AssemblingFailed")) == 3
    assert logs.metrics("RecordingsInParts")


def test_t71_take_that_has_left_nothing_is_lost_from_its_beginning(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record(seconds=6)
    [first] = deployment.livekit.world.unended()
    deployment.livekit.world.kill_handler(first)
    deployment.advance(30)
    told = takes_of(alice, recording_id)
    assert (told[0]["end"], told[0]["duration"]) == ("worker_lost", 0.0)
    lost = (instant(told[1]["startedAt"]) - instant(told[0]["startedAt"])).total_seconds()
    assert told[0]["lostSeconds"] == pytest.approx(lost, abs=0.01)

    alice.stop(recording_id)
    deployment.advance(10)
    deployment.sweeps(2)
    recording = alice.get(recording_id).recording
    [nothing, whole] = takes_of(alice, recording_id)
    assert (recording["status"], recording["duration"]) == ("completed", whole["duration"])
    assert nothing["duration"] == 0.0
    assert nothing["lostSeconds"] == pytest.approx(lost, abs=0.01)


def takes_of(alice: User, recording_id: str) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", alice.get(recording_id).json["takes"])


def instant(text: object) -> datetime:
    return datetime.fromisoformat(cast("str", text))


def test_t90_take_that_the_release_before_has_begun_is_in_the_file(
    deployment: Deployment, alice: User
) -> None:
    recording_id = two_takes(deployment, alice)
    remove(deployment, f"recordings/{recording_id}/", f"segments/{recording_id}/")
    store = Store()
    for number in (1, 2):
        store.record(Recorded(number=number, seconds=SECONDS), file=True)
    # It put the file into the recording's folder itself, and had no segments.
    before = f"recordings/{recording_id}/recording.mp4"
    deployment.put_object(before, store.contents["1/recording.mp4"])
    for key in (each for each in store.contents if each.startswith("2/")):
        folder = "recordings" if key.endswith(".mp4") else "segments"
        deployment.put_object(f"{folder}/{recording_id}/{key}", store.contents[key])
    deployment.execute(
        "update recording_takes set storage_key = :key, segments = false where recording_id = :id and take = 1",
        key=before,
        id=recording_id,
    )
    deployment.sweeps(2)
    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    assert answer.recording["duration"] == pytest.approx(2 * SECONDS, abs=0.3)
    kept = {each for each in deployment.objects() if not each.endswith((".jpeg", ".json"))}
    assert kept == {answer.recording["storageKey"]}
