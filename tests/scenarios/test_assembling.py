"""Assembling: the takes of a recording become one file, or parts that are told as such; nothing is lost on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import pytest

from recorder.errors import RecorderError
from tests.assembling.media import Recorded, Store
from tests.support.killer import Killer
from tests.support.takes import (
    assert_whole,
    content,
    media_objects,
    mp4_seconds,
    open_uploads,
    pause,
    resume,
    status_of,
    takes_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs

SECONDS: Final = 6
UNREACHABLE: Final = "http://127.0.0.1:9"


@pytest.fixture
def deployment(segmented: Deployment) -> Deployment:
    return segmented


@pytest.fixture
def killer() -> Iterator[Killer]:
    with Killer() as killer:
        yield killer


def wait_to_be_assembled(deployment: Deployment, alice: User, *takes: Recorded, file: bool = False) -> str:
    """Have takes recorded, and leave them as their workers did; by default two of six seconds."""
    made = takes or (Recorded(number=1, seconds=SECONDS), Recorded(number=2, seconds=SECONDS))
    recording_id = alice.record(seconds=20)
    for _ in made[1:]:
        pause(deployment, alice, recording_id)
        resume(deployment, alice, recording_id)
    deployment.hints.lost = True
    alice.stop(recording_id)
    deployment.advance(10)
    assert status_of(alice, recording_id) == "stopping"
    for key in media_objects(deployment):
        deployment.site.aws.s3.delete_object(Bucket=deployment.site.name, Key=key)
    store = Store()
    for number, recorded in enumerate(made, 1):
        store.record(recorded, file=file)
        for key, body in store.contents.items():
            name = key.removeprefix(f"{recorded.number}/")
            folder = "recordings" if name.endswith(".mp4") else "segments"
            if key.startswith(f"{recorded.number}/"):
                deployment.put_object(f"{folder}/{recording_id}/{number}/{name}", body)
    deployment.hints.lost = False
    return recording_id


def assemble(deployment: Deployment, recording_id: str) -> None:
    """Run the function once, as Lambda does: an error of it is a run that failed."""
    try:
        deployment.invoke("assemble_recording", {"recordingId": recording_id})
    except RecorderError:
        return


# T86: killed, twice at once, repeated, and with trouble in the bucket.


def test_t86_assembling_that_is_killed_anywhere_is_made_up_for(
    deployment: Deployment, alice: User, killer: Killer
) -> None:
    found: list[str] = []
    kill_at = 1
    while kill_at == 1 or kill_at <= len(found):
        recording_id = wait_to_be_assembled(deployment, alice)
        with killer.process(kill_at if found else None):
            assemble(deployment, recording_id)
        if not found:
            found = list(killer.points)
        else:
            kill_at += 1
            before = {key for key in media_objects(deployment) if key.startswith("segments/")}
            # As long as no file is verified, each part is there.
            assert before or status_of(alice, recording_id) == "completed"
        deployment.sweeps(1)
        deployment.sweeps(2, minutes=17)
        answer = alice.get(recording_id)
        assert_whole(deployment, answer)
        assert answer.recording["duration"] == pytest.approx(2 * SECONDS, abs=0.3)
        assert alice.delete(recording_id).status == 200
    assert len(found) > 5


def test_t86_two_runs_at_once_leave_one_file(deployment: Deployment, alice: User) -> None:
    recording_id = wait_to_be_assembled(deployment, alice)
    deployment.at_once(lambda: assemble(deployment, recording_id), lambda: assemble(deployment, recording_id))
    deployment.sweeps(2)
    assert_whole(deployment, alice.get(recording_id))


def test_t86_run_that_is_overtaken_by_another_removes_its_own_file(
    deployment: Deployment, alice: User
) -> None:
    recording_id = wait_to_be_assembled(deployment, alice)
    with deployment.row_locked(recording_id) as wait_until:
        runs = [deployment.begin(lambda: assemble(deployment, recording_id)) for _ in range(2)]
        wait_until(2)
    for run in runs:
        run.result(60)
    deployment.sweeps(2)
    assert_whole(deployment, alice.get(recording_id))


def test_t86_run_that_is_repeated_changes_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = wait_to_be_assembled(deployment, alice)
    assemble(deployment, recording_id)
    before = alice.get(recording_id).recording
    for _ in range(2):
        assemble(deployment, recording_id)
    assert alice.get(recording_id).recording == before
    assert_whole(deployment, alice.get(recording_id))


def test_t86_take_whose_last_segments_are_missing_gives_its_file(deployment: Deployment, alice: User) -> None:
    recording_id = wait_to_be_assembled(deployment, alice, file=True)
    *_, second_to_last, last = sorted(key for key in media_objects(deployment) if key.endswith(".ts"))
    for key in (second_to_last, last):
        deployment.site.aws.s3.delete_object(Bucket=deployment.site.name, Key=key)
    deployment.sweeps(2)
    answer = alice.get(recording_id)
    assert answer.recording["duration"] == pytest.approx(2 * SECONDS, abs=0.5)


def test_t86_bucket_that_fails_is_tried_again(deployment: Deployment, alice: User, logs: Logs) -> None:
    recording_id = wait_to_be_assembled(deployment, alice)
    working = deployment.settings["AWS_ENDPOINT_URL"]
    deployment.configure(AWS_ENDPOINT_URL_S3=UNREACHABLE)
    assemble(deployment, recording_id)
    deployment.configure(AWS_ENDPOINT_URL_S3=working)
    assert status_of(alice, recording_id) == "stopping"
    assert logs.metrics("AssemblingFailed")
    deployment.sweeps(2, minutes=17)
    assert_whole(deployment, alice.get(recording_id))


def test_t86_listing_of_three_thousand_segments_is_read_whole(deployment: Deployment, alice: User) -> None:
    recording_id = wait_to_be_assembled(deployment, alice)
    [first] = [key for key in media_objects(deployment) if key.endswith("/1/segment_00000.ts")]
    body = content(deployment, first)
    # Numbers without media, as a worker leaves whose pipeline stands still.
    for number in range(100, 3100):
        deployment.put_object(first.replace("00000", f"{number:05}"), b"" if number < 3099 else body)
    assemble(deployment, recording_id)
    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    [one, _] = takes_of(alice, recording_id)
    assert cast("float", one["duration"]) == pytest.approx(SECONDS + 2, abs=0.3)
    deployment.sweeps(2)
    assert_whole(deployment, answer)


@pytest.mark.parametrize("damage", ["empty", "cut", "missing"])
def test_t86_segment_that_is_damaged_costs_itself(deployment: Deployment, alice: User, damage: str) -> None:
    recording_id = wait_to_be_assembled(deployment, alice)
    key = f"segments/{recording_id}/1/segment_00001.ts"
    body = content(deployment, key)
    if damage == "missing":
        deployment.site.aws.s3.delete_object(Bucket=deployment.site.name, Key=key)
    else:
        deployment.put_object(key, b"" if damage == "empty" else body[: len(body) // 2 - 31])
    assemble(deployment, recording_id)
    deployment.sweeps(2)
    answer = alice.get(recording_id)
    assert_whole(deployment, answer)
    assert 2 * SECONDS - 2.5 <= cast("float", answer.recording["duration"]) <= 2 * SECONDS


def test_t86_segment_that_arrives_after_the_file_is_removed(deployment: Deployment, alice: User) -> None:
    recording_id = wait_to_be_assembled(deployment, alice)
    key = f"segments/{recording_id}/1/segment_00001.ts"
    body = content(deployment, key)
    assemble(deployment, recording_id)
    deployment.sweeps(2)
    whole = alice.get(recording_id).recording
    deployment.put_object(key, body)
    deployment.sweeps(3)
    assert alice.get(recording_id).recording == whole
    assert alice.delete(recording_id).status == 200
    assert media_objects(deployment) == set()


# T87, T88: takes that differ, and takes that cannot be joined.

ONE_FILE: Final = {
    "another SPS": {"options": ("-bf", "0", "-refs", "3")},
    "another size": {"width": 640, "height": 360},
    "mono": {"channels": 1},
    "no sound": {"channels": 0},
    "no picture": {"video": False},
}
PARTS: Final = {"another rate": {"samples": 48_000}}


@pytest.mark.parametrize("different", ONE_FILE.values(), ids=ONE_FILE)
def test_t87_takes_of_different_settings_are_one_file(
    deployment: Deployment, alice: User, different: dict[str, object]
) -> None:
    second = Recorded(number=2, seconds=SECONDS, **different)  # type: ignore[arg-type]
    recording_id = wait_to_be_assembled(deployment, alice, Recorded(number=1, seconds=SECONDS), second)
    deployment.sweeps(2)
    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    assert answer.recording["duration"] == pytest.approx(2 * SECONDS, abs=0.5)
    key = cast("str", answer.recording["storageKey"])
    assert media_objects(deployment) == {key}
    assert mp4_seconds(deployment, key) == pytest.approx(2 * SECONDS, abs=0.5)


@pytest.mark.parametrize("file", [True, False], ids=["files", "segments"])
@pytest.mark.parametrize("different", PARTS.values(), ids=PARTS)
def test_t87_takes_that_would_stop_in_the_middle_are_parts(
    deployment: Deployment, alice: User, logs: Logs, different: dict[str, object], *, file: bool
) -> None:
    second = Recorded(number=2, seconds=SECONDS, **different)  # type: ignore[arg-type]
    recording_id = wait_to_be_assembled(
        deployment, alice, Recorded(number=1, seconds=SECONDS), second, file=file
    )
    deployment.sweeps(2)
    assert_in_parts(deployment, alice, recording_id, logs)
    assert_each_plays(deployment, alice, recording_id)


def assert_in_parts(deployment: Deployment, alice: User, recording_id: str, logs: Logs) -> None:
    answer = alice.get(recording_id)
    assert (answer.recording["status"], answer.recording["storageKey"]) == ("completed", None)
    assert answer.json["downloadUrl"] is None
    files = cast("list[dict[str, object]]", answer.json["files"])
    assert [each["take"] for each in files] == [1, 2]
    assert all(each["url"] and each["size"] for each in files)
    assert logs.metrics("RecordingsInParts")
    assert "COMPLETED_IN_PARTS" in logs.text
    assert open_uploads(deployment, recording_id) == []
    deployment.sweeps(2)
    assert len([key for key in media_objects(deployment) if key.startswith("recordings/")]) == 2


def assert_each_plays(deployment: Deployment, alice: User, recording_id: str) -> None:
    kept = sorted(key for key in media_objects(deployment) if key.startswith("recordings/"))
    assert [mp4_seconds(deployment, key) for key in kept] == pytest.approx([SECONDS] * 2, abs=0.5)
    files = cast("list[dict[str, object]]", alice.get(recording_id).json["files"])
    assert [each["duration"] for each in files] == pytest.approx([SECONDS] * 2, abs=0.5)


@pytest.mark.parametrize("file", [True, False], ids=["files", "segments"])
def test_t88_takes_that_are_too_large_are_parts(
    deployment: Deployment, alice: User, logs: Logs, *, file: bool
) -> None:
    recording_id = wait_to_be_assembled(deployment, alice, file=file)
    together = sum(len(content(deployment, key)) for key in media_objects(deployment))
    deployment.configure(ASSEMBLE_MAX_BYTES=str(together - 1 if not file else 1000))
    deployment.sweeps(2)
    assert_in_parts(deployment, alice, recording_id, logs)
    assert_each_plays(deployment, alice, recording_id)


def test_t88_take_of_segments_that_is_too_large_by_itself_is_told(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    recording_id = wait_to_be_assembled(deployment, alice)
    before = media_objects(deployment)
    deployment.configure(ASSEMBLE_MAX_BYTES="1000")
    deployment.sweeps(6)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["storageKey"]) == ("failed", None)
    assert media_objects(deployment) == before
    assert "TAKE_LEFT_IN_SEGMENTS" in logs.text
    assert logs.metrics("RecordingsInParts")


def test_t88_take_that_nobody_heard_of_is_a_part_too(deployment: Deployment, alice: User, logs: Logs) -> None:
    world = deployment.livekit.world
    recording_id = alice.record(seconds=20)
    pause(deployment, alice, recording_id)
    assert alice.resume(recording_id).json["status"] == "resuming"
    # It is cut off before LiveKit hears that it records.
    [second] = world.unended()
    world.suspend_host(second)
    deployment.sweeps(4)
    assert status_of(alice, recording_id) == "paused"
    world.go_on(second)
    deployment.sweeps(2)
    deployment.advance(10)
    deployment.configure(ASSEMBLE_MAX_BYTES="1000")
    alice.stop(recording_id)
    deployment.sweeps(3)
    assert_in_parts(deployment, alice, recording_id, logs)
    assert [take["take"] for take in takes_of(alice, recording_id)] == [1, 2]
    kept = {key for key in media_objects(deployment) if key.startswith("recordings/")}
    deployment.sweeps(3, minutes=60)
    assert kept <= media_objects(deployment)


def test_t88_assembling_that_fails_for_good_leaves_the_parts(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    recording_id = wait_to_be_assembled(deployment, alice, file=True)
    # Nothing of the second take can be read.
    for key in media_objects(deployment):
        if "/2/" in key:
            deployment.put_object(key, b"no media at all")
    deployment.sweeps(8, minutes=17)
    assert_in_parts(deployment, alice, recording_id, logs)


def test_t88_parts_are_all_that_runs_leave_that_failed_with_a_file(
    deployment: Deployment, alice: User, killer: Killer, logs: Logs
) -> None:
    for _ in range(2):
        # The first run has the points of a cold start too.
        waits = wait_to_be_assembled(deployment, alice, file=True)
        with killer.process(None):
            assemble(deployment, waits)
        assert alice.delete(waits).status == 200
        deployment.sweeps(2)
    stored = len(killer.points) - 2
    recording_id = wait_to_be_assembled(deployment, alice, file=True)
    for _ in range(3):
        with killer.process(stored):
            assemble(deployment, recording_id)
    assert len([key for key in media_objects(deployment) if key.count("/") == 2 and recording_id in key]) == 3
    deployment.sweeps(8, minutes=17)
    assert_in_parts(deployment, alice, recording_id, logs)


def test_t88_take_of_which_nothing_can_be_read_keeps_nothing_up(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    recording_id = wait_to_be_assembled(deployment, alice, file=True)
    for key in media_objects(deployment):
        if key.startswith(f"recordings/{recording_id}/1/"):
            deployment.site.aws.s3.delete_object(Bucket=deployment.site.name, Key=key)
        else:
            deployment.put_object(key, b"no media at all")
    deployment.sweeps(10, minutes=17)
    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    files = cast("list[dict[str, object]]", answer.json["files"])
    assert [each["take"] for each in files] == [2]
    assert "TAKE_LEFT_IN_SEGMENTS" in logs.text


# T89: deleted meanwhile.


def test_t89_delete_while_it_is_assembled_leaves_nothing(
    deployment: Deployment, alice: User, killer: Killer
) -> None:
    points = 0
    kill_at = 1
    while kill_at == 1 or kill_at <= points:
        recording_id = wait_to_be_assembled(deployment, alice)
        with killer.process(kill_at if points else None):
            assemble(deployment, recording_id)
        kill_at += 3 if points else 0
        points = points or len(killer.points)
        assert alice.delete(recording_id).status == 200
        assemble(deployment, recording_id)
        deployment.sweeps(2)
        assert alice.get(recording_id).status == 404
        assert media_objects(deployment) == set()


def test_t89_delete_before_the_run_stores_its_file(deployment: Deployment, alice: User) -> None:
    recording_id = wait_to_be_assembled(deployment, alice)
    with deployment.row_locked(recording_id) as wait_until:
        deleted = deployment.begin(lambda: alice.delete(recording_id))
        wait_until(1)
        run = deployment.begin(lambda: assemble(deployment, recording_id))
        wait_until(2)
    assert deleted.result(60).status == 200
    run.result(60)
    deployment.sweeps(3)
    assert alice.get(recording_id).status == 404
    assert media_objects(deployment) == set()


@pytest.mark.parametrize("lost", ["answer_lost", "request_lost"])
def test_t89_delete_while_a_take_begins_leaves_nothing(
    deployment: Deployment, alice: User, lost: str
) -> None:
    faults = deployment.livekit.world.faults
    recording_id = alice.record()
    pause(deployment, alice, recording_id)
    faults.by_name()[f"start.{lost}"].next()
    alice.resume(recording_id)
    assert alice.delete(recording_id).status == 200
    deployment.sweeps(4)
    deployment.advance(10)
    deployment.sweeps(1)
    assert not deployment.livekit.world.unended()
    assert alice.get(recording_id).status == 404
    assert alice.list().recordings == []
    # Objects that the worker uploaded meanwhile go as well.
    deployment.advance(2 * 3600)
    deployment.sweeps(2)
    assert deployment.objects() == []
