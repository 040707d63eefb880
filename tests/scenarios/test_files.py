"""Files: the key is where the object lies, the duration is the file's own, and nothing else is taken for the file."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import httpx
import pytest

from livekit_standin.options import WorkerOptions
from tests.support.deployment import sign
from tests.support.livekit import MEDIA
from tests.support.media import mp4, ogg

if TYPE_CHECKING:
    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs

DAY = 25 * 3600
LOST = pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])


def _lose(deployment: Deployment, webhooks: str) -> None:
    if webhooks == "are_lost":
        deployment.livekit.world.faults.webhook_lost.always()


def _record(deployment: Deployment, user: User, webhooks: str = "arrive", *, track: str | None = None) -> str:
    """Have something recorded and stopped, with two sweeps afterwards."""
    recording_id = _start(deployment, user, track)
    _lose(deployment, webhooks)
    user.stop(recording_id)
    deployment.advance(5)
    deployment.sweeps(2)
    return recording_id


def _start(deployment: Deployment, user: User, track: str | None) -> str:
    if track is None:
        started = user.start(roomName="demo")
    else:
        started = user.start(roomName="demo", trackBased=True, trackSid=deployment.livekit.track(track))
    assert started.status == 201, started.text
    deployment.advance(60)
    return started["recordingId"]


# T50: strange objects.

STRANGERS = {
    "marker": ("", b""),
    "marker_of_the_file": ("recording.mp4/", b""),
    "poster": ("poster.jpg", b"picture"),
    "manifest": ("EG_1.json", b"{}"),
    "thumbnail": ("thumbnails/image_00000.jpeg", b"picture"),
    "segment": ("hls/segment_00000.ts", b"segment"),
    "partial_upload": ("recording.mp4.part", b"half"),
    "empty_file": ("recording.mp4", b""),
    "media_of_another_output": ("hls/recording.mp4", b"media"),
}


@pytest.mark.usefixtures("ends_with_its_worker")
@pytest.mark.parametrize("stranger", STRANGERS)
def test_t50_strange_object_completes_nothing(deployment: Deployment, alice: User, stranger: str) -> None:
    recording_id = alice.record(sweep=True)
    name, content = STRANGERS[stranger]
    deployment.put_object(f"recordings/{recording_id}/1/{name}", content)
    _lose(deployment, "are_lost")
    deployment.livekit.kill_host(recording_id)
    deployment.livekit.world.lose_records()
    deployment.advance(DAY)

    deployment.sweeps(3)

    answer = alice.get(recording_id)
    assert (answer.recording["status"], answer.recording["failureCode"]) == ("failed", "egress_lost")
    assert answer.json["downloadUrl"] is None


@pytest.mark.parametrize("stranger", [name for name in STRANGERS if name != "empty_file"])
@pytest.mark.parametrize("track", [None, "camera_h264", "microphone"])
def test_t50_file_is_found_among_strange_objects(
    deployment: Deployment, alice: User, stranger: str, track: str | None
) -> None:
    recording_id = _start(deployment, alice, track)
    deployment.sweep()
    name, content = STRANGERS[stranger]
    deployment.put_object(f"recordings/{recording_id}/1/{name}", content)
    _lose(deployment, "are_lost")
    deployment.livekit.stop(recording_id)
    deployment.advance(DAY)

    deployment.sweeps(2)

    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    assert str(answer.recording["storageKey"]).startswith(f"recordings/{recording_id}/1/recording.")
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


# T62, T63: what a worker's configuration makes of the location.


@LOST
@pytest.mark.parametrize("prefix", ["pre", "recordings", "a/b/"])
def test_t62_file_behind_a_workers_prefix_is_linked_and_deleted(
    deployment: Deployment, alice: User, webhooks: str, prefix: str
) -> None:
    deployment.livekit.world.settings.worker = WorkerOptions(storage_prefix=prefix)
    recording_id = _record(deployment, alice, webhooks)

    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    [key] = deployment.objects()
    assert answer.recording["storageKey"] == key
    assert key == f"{prefix.strip('/')}/recordings/{recording_id}/1/recording.mp4"
    assert httpx.get(answer["downloadUrl"]).content == MEDIA

    deployment.put_object(key.replace("recording.mp4", "poster.jpg"))
    assert alice.delete(recording_id).json == {"success": True}
    assert deployment.objects() == []


@pytest.mark.parametrize("style", ["path", "host"])
def test_t62_key_is_read_from_the_location_however_the_bucket_stands_in_it(
    deployment: Deployment, alice: User, style: str
) -> None:
    recording_id = alice.record()
    bucket = deployment.site.name
    key = f"a b/{bucket}/recordings/{recording_id}/1/recording.mp4"
    deployment.put_object(key, MEDIA)
    path = key.replace(" ", "%20")
    location = {
        "path": f"https://s3.example.com/{bucket}/{path}",
        "host": f"https://{bucket}.s3.example.com/{path}",
    }[style]

    _report_end(deployment, recording_id, location=location)

    answer = alice.get(recording_id)
    assert answer.recording["storageKey"] == key
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


@pytest.mark.parametrize("location", ["https://cdn.example.com/x.mp4", "https://[", "", "/out/recording.mp4"])
def test_t62_bucket_decides_where_the_location_says_nothing(
    deployment: Deployment, alice: User, location: str
) -> None:
    recording_id = alice.record()
    key = f"recordings/{recording_id}/1/recording.mp4"
    deployment.put_object(key, MEDIA)

    _report_end(deployment, recording_id, location=location)

    answer = alice.get(recording_id)
    assert (answer.recording["status"], answer.recording["storageKey"]) == ("completed", key)
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


@pytest.mark.parametrize("bucket", ["answers", "is_silent_at_first"])
def test_t62_file_that_is_nowhere_in_the_bucket_gets_no_link(
    deployment: Deployment, alice: User, bucket: str
) -> None:
    recording_id = alice.record()
    _lose(deployment, "are_lost")
    deployment.livekit.stop(recording_id)
    deployment.advance(5)
    [key] = deployment.objects()
    deployment.site.aws.s3.delete_object(Bucket=deployment.site.name, Key=key)
    working = deployment.settings["AWS_ENDPOINT_URL"]
    if bucket == "is_silent_at_first":
        deployment.configure(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")

    _report_end(deployment, recording_id, location="https://cdn.example.com/x.mp4")
    deployment.configure(AWS_ENDPOINT_URL_S3=working)
    deployment.sweeps(2)
    # Nothing that LiveKit repeats brings the link back.
    _report_end(deployment, recording_id, location="https://cdn.example.com/x.mp4")

    answer = alice.get(recording_id)
    assert (answer.recording["status"], answer.recording["failureCode"]) == ("completed", "stored_elsewhere")
    assert (answer.recording["storageKey"], answer.json["downloadUrl"]) == (None, None)
    assert answer.recording["fileUrl"] == "https://cdn.example.com/x.mp4"


@LOST
@pytest.mark.parametrize("prefix", ["", "pre"])
def test_t63_presigned_location_shows_nowhere_what_opens_it(
    deployment: Deployment, alice: User, logs: Logs, *, webhooks: str, prefix: str
) -> None:
    deployment.livekit.world.settings.worker = WorkerOptions(
        generate_presigned_url=True, storage_prefix=prefix
    )
    recording_id = _record(deployment, alice, webhooks)

    ends = [each.body for each, _ in deployment.livekit.deliveries if b"EGRESS_COMPLETE" in each.body]
    assert all(b"X-Amz-Signature" in body for body in ends)
    assert bool(ends) is (webhooks == "arrive")
    answer = alice.get(recording_id)
    url = urlsplit(str(answer.recording["fileUrl"]))
    assert (url.query, url.path.endswith("/recording.mp4")) == ("", True)
    row = deployment.row(recording_id)
    told = (json.dumps(answer.recording), alice.list().text, json.dumps(row), logs.text)
    for text in (*told, json.dumps(deployment.events())):
        assert "X-Amz" not in text
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


# T64: why it ended.

END_REASONS = {
    "End reason: StopEgress API": "stopped",
    "End reason: Source closed": "source_closed",
    "End reason: CPU exhausted": "cpu_exhausted",
    "End reason: Process killed": "process_killed",
    "End reason: All streams stopped": "streams_stopped",
    "End reason: Failure": "failure",
    "End reason: Moon in Leo at http://10.0.0.7/x?token=canary": "ended_by_worker",
}


@pytest.mark.usefixtures("ends_with_its_worker")
@pytest.mark.parametrize("details", END_REASONS)
def test_t64_reason_of_the_end_is_told(deployment: Deployment, alice: User, logs: Logs, details: str) -> None:
    recording_id = alice.record()
    deployment.put_object(f"recordings/{recording_id}/1/recording.mp4", MEDIA)

    _report_end(deployment, recording_id, details=details)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("completed", END_REASONS[details])
    assert "canary" not in logs.text
    told = END_REASONS[details] in {"stopped", "source_closed", "streams_stopped"}
    assert ("EGRESS_ENDED_BADLY" in logs.text) is not told


ERRORS = {
    'S3 upload failed: Put "https://10.0.0.7:9000/bucket/key?X-Amz-Signature=canary": dial tcp 10.0.0.7': 400,
    "signal: killed": 500,
    "server is shutting down": 403,
    "recording ended early: connection to room failed": 503,
    "track TR_canary not found": 404,
    "could not create element: faac": 500,
    "rtmp://canary.example/live/canary: Connection refused": 503,
    "Moon in Leo at 10.0.0.7": 0,
}


@pytest.mark.usefixtures("ends_with_its_worker")
@pytest.mark.parametrize("error", ERRORS)
def test_t64_reason_of_a_failure_is_told_in_plain_words(
    deployment: Deployment, alice: User, logs: Logs, error: str
) -> None:
    recording_id = alice.record()

    _report_end(deployment, recording_id, status="EGRESS_FAILED", error=error, code=ERRORS[error], file=False)

    recording = alice.get(recording_id).recording
    reason = str(recording["failureReason"])
    assert recording["status"] == "failed"
    assert len(reason) > 10
    for raw in ("10.0.0.7", "canary", "S3", "signal", "faac", "TR_", "://", "Moon"):
        assert raw not in reason
    assert "EGRESS_ENDED_BADLY" in logs.text
    assert "X-Amz-Signature" not in logs.text
    assert "live/canary" not in logs.text


@pytest.mark.usefixtures("ends_with_its_worker")
def test_t64_stop_of_a_worker_at_its_limit_is_told(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.worker_ends_it.next()
    recording_id = alice.record()
    deployment.advance(60)
    answer = alice.get(recording_id)
    assert (answer.recording["status"], answer.recording["endReason"]) == ("completed", "cpu_exhausted")
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


# T65: backup storage.


@LOST
def test_t65_file_in_a_backup_storage_is_told_of(
    deployment: Deployment, alice: User, logs: Logs, webhooks: str
) -> None:
    deployment.livekit.world.faults.backup_storage.always()
    recording_id = _record(deployment, alice, webhooks)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("completed", "stored_elsewhere")
    assert "bucket" in str(recording["failureReason"])
    assert (recording["storageKey"], recording["fileSize"]) == (None, len(MEDIA))
    where = f"https://backup.invalid/backup/recordings/{recording_id}/1/recording.mp4"
    assert recording["fileUrl"] == where
    assert alice.get(recording_id).json["downloadUrl"] is None
    assert alice.start(roomName="demo").status == 201

    assert alice.delete(recording_id).json == {"success": True, "notDeleted": [where]}
    assert "FILE_ELSEWHERE" in logs.text
    assert alice.get(recording_id).status == 404


def test_t65_file_that_reached_our_bucket_beside_a_backup_has_its_link(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    key = f"recordings/{recording_id}/1/recording.mp4"
    deployment.put_object(key, MEDIA)

    location = f"https://s3.example.com/{deployment.site.name}/{key}"
    _report_end(deployment, recording_id, location=location, backup=True)

    answer = alice.get(recording_id)
    assert (answer.recording["storageKey"], answer.recording["failureCode"]) == (key, None)
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


# T66: how long it lasts.


@LOST
@pytest.mark.parametrize(("header_first", "long"), [(False, False), (True, False), (False, True)])
def test_t66_duration_of_a_composite_is_its_files(
    deployment: Deployment, alice: User, *, webhooks: str, header_first: bool, long: bool
) -> None:
    deployment.livekit.media = mp4(57.25, header_first=header_first, long=long)
    recording_id = _record(deployment, alice, webhooks)

    assert alice.get(recording_id).recording["duration"] == pytest.approx(57.25, abs=0.001)
    if webhooks == "arrive":
        completed = [each for each in deployment.events() if each["type"] == "RecordingCompleted"]
        told = cast("dict[str, object]", completed[-1]["recording"])
        assert told["duration"] == pytest.approx(57.25, abs=0.001)


def test_t66_duration_of_a_track_is_its_files(deployment: Deployment, alice: User) -> None:
    deployment.livekit.media = ogg(58.5)
    recording_id = _record(deployment, alice, track="microphone")
    assert alice.get(recording_id).recording["duration"] == pytest.approx(58.5, abs=0.001)


def test_t66_bucket_that_does_not_answer_is_asked_again(deployment: Deployment, alice: User) -> None:
    deployment.livekit.media = mp4(57.25)
    recording_id = alice.record()
    working = deployment.settings["AWS_ENDPOINT_URL"]
    alice.stop(recording_id)
    deployment.configure(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")
    deployment.advance(5)
    completed = alice.list().recordings[0]
    assert (completed["status"], completed["fileSize"]) == ("completed", len(deployment.livekit.media))
    assert completed["duration"] == pytest.approx(60, abs=5)
    assert completed["duration"] != pytest.approx(57.25, abs=0.001)
    deployment.sweeps(2)

    deployment.configure(AWS_ENDPOINT_URL_S3=working)
    deployment.sweeps(4)

    corrected = alice.get(recording_id).recording
    assert corrected["duration"] == pytest.approx(57.25, abs=0.001)
    assert corrected["status"] == "completed"


def test_t66_duration_of_a_forgotten_egress_is_its_files(deployment: Deployment, alice: User) -> None:
    deployment.livekit.media = mp4(57.25)
    recording_id = alice.record(sweep=True)
    _lose(deployment, "are_lost")
    deployment.livekit.stop(recording_id)
    deployment.advance(DAY)
    deployment.sweeps(1)
    assert alice.get(recording_id).recording["duration"] == pytest.approx(57.25, abs=0.001)


def test_t66_file_that_says_nothing_of_its_length_keeps_livekits(deployment: Deployment, alice: User) -> None:
    recording_id = _record(deployment, alice)
    assert alice.get(recording_id).recording["duration"] == pytest.approx(60, abs=5)


def _report_end(
    deployment: Deployment,
    recording_id: str,
    *,
    status: str = "EGRESS_COMPLETE",
    location: str = "",
    details: str = "",
    error: str = "",
    code: int = 0,
    backup: bool = False,
    file: bool = True,
) -> None:
    """Report the end of a recording's egress as LiveKit would."""
    row = deployment.row(recording_id)
    assert row is not None
    result = {
        "filename": f"recordings/{recording_id}/1/recording.mp4",
        "size": str(len(MEDIA)),
        "duration": "5000000000",
        "location": location,
    }
    info = {
        "egressId": row["egress_id"],
        "roomName": "demo",
        "status": status,
        "details": details,
        "error": error,
        "errorCode": code,
        "backupStorageUsed": backup,
        "fileResults": [result] if file else [],
    }
    body = json.dumps({"event": "egress_ended", "egressInfo": info}).encode()
    path = f"/api/video/livekit/webhook/{recording_id}"
    assert deployment.post_webhook(path, body, sign(body)).status == 200
