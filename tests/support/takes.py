"""Takes as a user sees them, and the file that they become."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

import av
import pytest

from tests.support.livekit import MEDIA

if TYPE_CHECKING:
    from tests.support.deployment import Answer, Deployment, User


def takes_of(user: User, recording_id: str) -> list[dict[str, object]]:
    """Return the takes of a recording."""
    return cast("list[dict[str, object]]", user.get(recording_id).json["takes"])


def ends_of(user: User, recording_id: str) -> list[object]:
    """Return why each take ended; None for one that records."""
    return [take["end"] for take in takes_of(user, recording_id)]


def status_of(user: User, recording_id: str) -> object:
    """Return the status of a recording."""
    return user.get(recording_id).recording["status"]


def stop_and_finish(deployment: Deployment, user: User, recording_id: str) -> Answer:
    """Stop a recording, let its takes become a file, and return it."""
    assert user.stop(recording_id).status == 200
    deployment.advance(10)
    deployment.sweeps(3)
    return user.get(recording_id)


def pause(deployment: Deployment, user: User, recording_id: str) -> None:
    """Pause a recording, and wait until nothing is recorded."""
    assert user.pause(recording_id).status == 200
    deployment.advance(5)
    assert status_of(user, recording_id) == "paused"


def resume(deployment: Deployment, user: User, recording_id: str) -> None:
    """Resume a recording, and wait until it records."""
    assert user.resume(recording_id).status == 200
    deployment.advance(8)
    assert status_of(user, recording_id) == "active"


def assert_whole(deployment: Deployment, answer: Answer) -> None:
    """Hold a recording to its takes: one file with the seconds of all of them, and no part beside it.

    The file that a worker of the tests stores is no real media: where it is the only one, its seconds are not counted.
    Its segments are left to the bucket's own rules.
    """
    recording = answer.recording
    assert recording["status"] == "completed"
    seconds = [
        cast("float", take["duration"]) for take in cast("list[dict[str, object]]", answer.json["takes"])
    ]
    assert all(seconds), f"a take without seconds: {seconds}"
    key = cast("str", recording["storageKey"])
    # A take that begins at a seam may do so a picture later.
    expected = pytest.approx(sum(seconds), abs=0.3 * (len(seconds) + 1))
    assert recording["duration"] == expected
    if len(seconds) == 1 and content(deployment, key) == MEDIA:
        return
    assert mp4_seconds(deployment, key) == expected
    assert media_objects(deployment) == {key}, "a part is left"
    assert open_uploads(deployment, recording["id"]) == []


def media_objects(deployment: Deployment) -> set[str]:
    """Return the keys of all objects but posters and manifests."""
    return {each for each in deployment.objects() if not each.endswith((".jpeg", ".json"))}


def open_uploads(deployment: Deployment, recording_id: object) -> list[str]:
    """Return the keys of a recording's multipart uploads that are neither completed nor aborted."""
    found = deployment.site.aws.s3.list_multipart_uploads(
        Bucket=deployment.site.name, Prefix=f"recordings/{recording_id}/"
    )
    return [each["Key"] for each in found.get("Uploads", [])]


def content(deployment: Deployment, key: str) -> bytes:
    """Return a stored object."""
    return deployment.site.aws.s3.get_object(Bucket=deployment.site.name, Key=key)["Body"].read()


def mp4_seconds(deployment: Deployment, key: str) -> float:
    """Return for how long the video of a stored file lasts, by its packets."""
    with av.open(io.BytesIO(content(deployment, key)), "r") as file:
        [stream] = file.streams.video
        times = [float(each.pts * each.time_base) for each in file.demux(stream) if each.pts is not None]
    return max(times) - min(times)


def assert_free(deployment: Deployment, user: User) -> None:
    """Hold a room to be free: it is recorded anew, for a moment."""
    started = user.start(roomName="demo")
    assert started.status == 201, started.text
    deployment.advance(10)
    user.stop(started["recordingId"])
    deployment.advance(10)
