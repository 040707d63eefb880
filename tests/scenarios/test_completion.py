"""Completion: the final state is the true one, whichever of LiveKit's messages arrive, and in whatever order."""

from __future__ import annotations

import json
from itertools import permutations
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.deployment import sign
from tests.support.livekit import MEDIA

if TYPE_CHECKING:
    from livekit_standin.webhooks import Webhook
    from tests.conftest import RestartablePostgres
    from tests.support.deployment import Deployment, Row, User
    from tests.support.livekit import LiveKit

HOUR = 3600


def _file_of(recording_id: str, extension: str = "mp4") -> str:
    return f"recordings/{recording_id}/1/recording.{extension}"


def test_t07_lost_ended_webhook_is_made_up_for_by_the_sweep(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.webhook_lost.always()
    alice.stop(recording_id)
    deployment.advance(5)
    assert alice.statuses() == ["stopping"]

    deployment.sweeps(1)

    [recording] = alice.list().recordings
    assert recording["status"] == "completed"
    assert recording["fileSize"] == len(MEDIA)
    assert recording["duration"] == pytest.approx(55, abs=5)
    assert recording["storageKey"] == _file_of(recording_id)
    assert recording["stoppedAt"] is not None


@pytest.mark.parametrize("seen", [True, False], ids=["recorder_was_seen", "recorder_was_never_seen"])
def test_t08_egress_forgotten_by_livekit_is_completed_by_its_file(
    deployment: Deployment, alice: User, *, seen: bool
) -> None:
    recording_id = alice.record(sweep=seen)
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.stop(recording_id)
    deployment.advance(25 * HOUR)

    deployment.sweeps(1)

    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    assert answer.recording["storageKey"] == _file_of(recording_id)
    assert answer.recording["fileSize"] == len(MEDIA)
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


@pytest.mark.usefixtures("ends_with_its_worker")
@pytest.mark.parametrize("seen", [True, False], ids=["recorder_was_seen", "recorder_was_never_seen"])
def test_t08_egress_forgotten_by_livekit_without_a_file_fails(
    deployment: Deployment, alice: User, *, seen: bool
) -> None:
    recording_id = alice.record(sweep=seen)
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.kill_host(recording_id)
    deployment.livekit.world.lose_records()
    deployment.advance(25 * HOUR)

    deployment.sweeps(1)
    assert alice.statuses() == ["active"]
    deployment.sweeps(1)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "egress_lost")
    assert recording["failureReason"]
    assert alice.start(roomName="demo").status == 201


@pytest.mark.usefixtures("ends_with_its_worker")
def test_t08_bucket_that_cannot_be_asked_decides_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.kill_host(recording_id)
    deployment.livekit.world.lose_records()
    deployment.advance(25 * HOUR)
    working = deployment.settings["AWS_ENDPOINT_URL"]
    deployment.configure(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")

    deployment.sweeps(3)
    assert alice.statuses() == ["active"]

    deployment.configure(AWS_ENDPOINT_URL_S3=working)
    deployment.sweeps(1)
    assert alice.statuses() == ["failed"]


SILENCE = {
    "list_fails": ["list.internal"],
    "list_is_not_answered": ["list.request_lost"],
    "rooms_fail": ["rooms.internal"],
    "rooms_are_not_answered": ["rooms.request_lost"],
    "everything_fails": ["list.internal", "rooms.internal", "stop.internal"],
}


@pytest.mark.parametrize("record", ["kept", "lost"])
@pytest.mark.parametrize("silence", SILENCE)
def test_t09_error_of_livekit_is_no_verdict(
    deployment: Deployment, alice: User, silence: str, record: str
) -> None:
    recording_id = alice.record(sweep=True)
    world = deployment.livekit.world
    if record == "lost":
        world.lose_records()
    for name in SILENCE[silence]:
        world.faults.by_name()[name].always()

    for _ in range(4):
        deployment.sweeps(1)
        assert alice.get(recording_id).recording["status"] == "active"

    world.faults.off()
    alice.stop(recording_id)
    deployment.advance(5)
    assert alice.get(recording_id).recording["status"] == "completed"


def test_t09_one_negative_answer_changes_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    world = deployment.livekit.world
    world.lose_records()
    world.faults.recorders_hidden.always()
    deployment.sweeps(1)
    assert alice.get(recording_id).recording["status"] == "active"

    world.faults.off()
    for _ in range(3):
        deployment.sweeps(1)
        assert alice.get(recording_id).recording["status"] == "active"


def test_t09_one_denial_at_the_deadline_of_a_stop_changes_nothing(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record(sweep=True)
    faults = deployment.livekit.world.faults
    faults.stop.internal.always()
    alice.stop(recording_id)
    deployment.sweeps(4, minutes=8)
    faults.recorders_hidden.always()
    deployment.sweeps(1)
    assert alice.get(recording_id).recording["status"] == "stopping"
    assert alice.start(roomName="demo").status == 409

    faults.recorders_hidden.off()
    deployment.sweeps(2)
    assert alice.get(recording_id).recording["status"] == "stopping"


def test_t10_webhooks_in_every_order_and_number_give_the_same_recording(
    deployment: Deployment, alice: User
) -> None:
    for order in permutations(range(4)):
        recording_id, webhooks = _held_life(deployment, alice)
        seen = []
        for number in (*order, *order):
            assert deployment.deliver(webhooks[number]) == 200
            seen += [
                row["status"]
                for row in deployment.rows(
                    "select status from recordings where id = cast(:id as uuid)", id=recording_id
                )
            ]
        assert seen[order.index(3) :] == ["completed"] * (8 - order.index(3)), order
        final = alice.get(recording_id).recording
        told = json.loads(webhooks[3].body)["egressInfo"]
        file = told["fileResults"][0]
        assert final["endReason"] == "source_closed"
        assert final["fileSize"] == int(file["size"])
        assert final["duration"] == pytest.approx(int(file["duration"]) / 1e9)
        assert final["storageKey"] == file["filename"]
        assert _nanoseconds(file["startedAt"]) in str(final["startedAt"]), order
        assert _nanoseconds(told["endedAt"]) in str(final["stoppedAt"]), order


def test_t10_failed_after_complete_changes_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.failed_after_complete.next()
    alice.stop(recording_id)
    deployment.advance(0.5)
    completed = alice.get(recording_id).recording
    assert completed["status"] == "completed"

    deployment.advance(10)
    deployment.sweeps(2)

    last, _ = deployment.livekit.deliveries[-1]
    assert json.loads(last.body)["egressInfo"]["status"] == "EGRESS_FAILED"
    assert alice.get(recording_id).recording == completed


def test_t10_complete_after_failed_adds_the_file_and_leaves_the_status(
    deployment: Deployment, alice: User
) -> None:
    recording_id, webhooks = _held_life(deployment, alice)
    failed = json.loads(webhooks[3].body)
    failed["egressInfo"] |= {
        "status": "EGRESS_FAILED",
        "error": "exit status 1",
        "errorCode": 500,
        "fileResults": [{}],
    }
    assert _post(deployment, recording_id, failed) == 200
    assert deployment.deliver(webhooks[3]) == 200

    answer = alice.get(recording_id)
    assert (answer.recording["status"], answer.recording["failureCode"]) == ("failed", "500")
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


def test_t11_webhook_before_the_answer_of_start_is_correlated(deployment: Deployment, alice: User) -> None:
    seen: list[Row] = []
    deployment.livekit.world.faults.start.slow.next()
    deployment.livekit.at(
        20, lambda: seen.extend(deployment.rows("select status, egress_id from recordings"))
    )
    assert alice.start(roomName="demo").status == 202
    [egress_id] = deployment.livekit.world.unended()
    assert seen == [{"status": "active", "egress_id": egress_id}]


@pytest.mark.parametrize("route", ["own", "global"])
def test_t11_webhook_of_an_egress_whose_start_was_lost_is_adopted(
    deployment: Deployment, alice: User, livekit: LiveKit, route: str
) -> None:
    held = livekit.hold_webhooks(deployment.domain)
    livekit.world.faults.start.answer_lost.next()
    recording_id = alice.start(roomName="demo")["recordingId"]
    deployment.advance(10)
    [started, active] = held
    path = "/api/video/livekit/webhook" + (f"/{recording_id}" if route == "own" else "")

    assert deployment.post_webhook(path, active.body, sign(active.body)).status == 200

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["egressId"]) == ("active", started.egress_id)


def test_t11_egress_of_ours_that_no_row_knows_is_stopped(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.execute("delete from recordings")
    deployment.livekit.send_again(deployment.livekit.deliveries[0][0])
    assert [status for _, status in deployment.livekit.deliveries] == [200, 200, 200]

    deployment.sweeps(2)
    deployment.advance(2)

    assert deployment.livekit.world.unended() == {}
    deployment.sweeps(2)
    assert deployment.objects() == []
    assert alice.get(recording_id).status == 404
    assert alice.list().recordings == []


def test_t11_egress_that_outlives_our_verdict_and_livekits_record_is_stopped(
    deployment: Deployment, alice: User
) -> None:
    livekit = deployment.livekit
    livekit.world.faults.start.request_lost.next()
    recording_id = alice.start(roomName="demo")["recordingId"]
    deployment.sweeps(1)
    assert alice.get(recording_id).recording["failureCode"] == "start_lost"
    # A report that was believed lost arrives after all.
    livekit.start_again()
    deployment.advance(10)
    livekit.world.lose_records()

    deployment.sweeps(2)
    deployment.advance(2)

    assert livekit.world.unended() == {}
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "start_lost")


PLAIN_REASONS = {
    "handler_killed": "the process that recorded was killed",
    "host_shut_down": "the worker that recorded was shut down",
    "upload_failed": "the file could not be uploaded to the storage",
    "room_closed_early": "it ended before anything was recorded",
}


@pytest.mark.usefixtures("ends_with_its_worker")
@pytest.mark.parametrize("end", PLAIN_REASONS)
def test_t12_failed_or_aborted_webhook_frees_the_target(
    deployment: Deployment, alice: User, end: str
) -> None:
    world = deployment.livekit.world
    if end == "room_closed_early":
        world.faults.never_active.next()
    recording_id = alice.record()
    [egress_id] = world.unended()
    if end == "handler_killed":
        world.kill_handler(egress_id)
    elif end == "host_shut_down":
        world.shut_down_host(egress_id)
    elif end == "upload_failed":
        world.faults.upload_fails.next()
        world.close_room("demo")
    else:
        world.close_room("demo")
    deployment.advance(2)

    recording = alice.list().recordings[0]
    told = json.loads(deployment.livekit.deliveries[-1][0].body)["egressInfo"]
    assert told["status"] in {"EGRESS_FAILED", "EGRESS_ABORTED"}
    assert recording["status"] == "failed"
    if end == "room_closed_early":
        assert recording["failureCode"] == "stopped_before_start"
    else:
        assert recording["failureCode"] == str(told["errorCode"])
        assert recording["failureReason"] == PLAIN_REASONS[end]
    world.open_room("demo")
    assert alice.start(roomName="demo").status == 201
    assert alice.get(recording_id).recording["status"] == "failed"


def test_t13_database_down_during_a_webhook(
    restartable_deployment: Deployment, restartable_postgres: RestartablePostgres
) -> None:
    deployment = restartable_deployment
    alice = deployment.as_user("alice")
    recording_id = alice.record()
    alice.stop(recording_id)
    restartable_postgres.stop()
    deployment.livekit.at(4, restartable_postgres.start)

    deployment.advance(20)

    statuses = [
        status for webhook, status in deployment.livekit.deliveries if webhook.event != "egress_started"
    ]
    assert statuses[1] == 503
    assert statuses[-1] == 200
    completed = alice.get(recording_id).recording
    assert completed["status"] == "completed"
    deployment.sweep()
    events = len(deployment.events())

    deployment.livekit.send_again(deployment.livekit.deliveries[-1][0])
    deployment.sweep()

    assert alice.get(recording_id).recording == completed
    assert len(deployment.events()) == events


def test_t14_limit_reached_is_a_completed_recording(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.limit_reached.next()
    recording_id = alice.record()
    answer = alice.get(recording_id)
    assert (answer.recording["status"], answer.recording["endReason"]) == ("completed", "limit_reached")
    assert answer.recording["failureCode"] is None
    assert httpx.get(answer["downloadUrl"]).content == MEDIA
    assert alice.start(roomName="demo").status == 201


def test_t14_limit_that_is_told_before_its_file_is_there_completes_nothing(
    deployment: Deployment, alice: User
) -> None:
    faults = deployment.livekit.world.faults
    faults.limit_reached.next()
    faults.upload_late.next()
    recording_id = alice.record()
    # The handler answers by itself: LIMIT_REACHED, and its file is not there yet.
    assert alice.stop(recording_id)["status"] == "stopping"
    assert alice.get(recording_id).json["downloadUrl"] is None

    faults.webhook_lost.always()
    deployment.sweeps(2)
    answer = alice.get(recording_id)
    assert (answer.recording["status"], answer.recording["endReason"]) == ("completed", "limit_reached")
    assert answer.recording["duration"] == pytest.approx(10, abs=1)
    assert httpx.get(answer["downloadUrl"]).content == MEDIA


@pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])
def test_t15_file_in_the_backup_storage_has_no_key_and_no_link(
    deployment: Deployment, alice: User, webhooks: str
) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.backup_storage.next()
    if webhooks == "are_lost":
        deployment.livekit.world.faults.webhook_lost.always()
    alice.stop(recording_id)
    deployment.advance(2)
    deployment.sweeps(2)

    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    assert answer.recording["storageKey"] is None
    assert str(answer.recording["fileUrl"]).startswith("https://backup.invalid/")
    assert (answer.json["downloadUrl"], answer.json["downloadUrlExpiresAt"]) == (None, None)


@pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])
@pytest.mark.parametrize(
    ("track", "extension", "mime_type"),
    [
        ("camera_vp8", "webm", "video/webm"),
        ("camera_h264", "mp4", "video/mp4"),
        ("microphone", "ogg", "audio/ogg"),
    ],
)
def test_t15_stored_key_has_the_extension_that_the_file_has(
    deployment: Deployment, alice: User, *, track: str, extension: str, mime_type: str, webhooks: str
) -> None:
    if webhooks == "are_lost":
        deployment.livekit.world.faults.webhook_lost.always()
    started = alice.start(roomName="demo", trackBased=True, trackSid=deployment.livekit.track(track))
    recording_id = started["recordingId"]
    deployment.advance(10)
    alice.stop(recording_id)
    deployment.advance(2)
    deployment.sweeps(1)

    answer = alice.get(recording_id)
    assert answer.recording["status"] == "completed"
    assert answer.recording["storageKey"] == _file_of(recording_id, extension)
    assert deployment.objects() == [_file_of(recording_id, extension)]
    assert answer.recording["mimeType"] == mime_type
    assert str(answer.recording["fileName"]).endswith(f".{extension}")
    download = httpx.get(answer["downloadUrl"])
    assert (download.content, download.headers["content-type"]) == (MEDIA, mime_type)


@pytest.mark.parametrize("status", ["EGRESS_PAUSED", "", 99, None])
@pytest.mark.parametrize("event", ["egress_updated", "egress_ended"])
def test_t32_status_that_is_unknown_or_omitted_is_read_as_no_other(
    deployment: Deployment, alice: User, event: str, status: object
) -> None:
    recording_id = alice.record()
    before = alice.get(recording_id).recording
    webhook = json.loads(deployment.livekit.deliveries[-1][0].body)
    webhook["event"] = event
    webhook["egressInfo"]["fileResults"][0] |= {
        "size": "100",
        "location": "https://elsewhere.example.com/x.mp4",
    }
    webhook["egressInfo"]["status"] = status
    if status is None:
        del webhook["egressInfo"]["status"]

    assert _post(deployment, recording_id, webhook) == 200

    after = alice.get(recording_id).recording
    assert after == before | {"updatedAt": after["updatedAt"]}
    assert alice.start(roomName="demo").status == 409


def test_t32_omitted_status_of_a_new_egress_is_starting(deployment: Deployment, alice: User) -> None:
    held = deployment.livekit.hold_webhooks(deployment.domain)
    deployment.livekit.world.faults.start.answer_lost.next()
    recording_id = alice.start(roomName="demo")["recordingId"]
    assert "status" not in json.loads(held[0].body)["egressInfo"]
    assert deployment.deliver(held[0]) == 200
    row = deployment.row(recording_id)
    assert row is not None
    assert (row["status"], row["egress_id"]) == ("starting", held[0].egress_id)


@pytest.mark.parametrize("size", [2**31 - 1, 2**31, 2**32 + 1, 2**53 + 1, 2**63 - 1])
@pytest.mark.parametrize("door", ["webhook", "sweep"])
def test_t33_size_of_a_file_is_exact(deployment: Deployment, alice: User, size: int, door: str) -> None:
    if door == "sweep":
        deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.file_size = size
    recording_id = alice.record()
    alice.stop(recording_id)
    deployment.advance(2)
    deployment.sweeps(1)
    assert alice.get(recording_id).recording["fileSize"] == size
    assert f'"fileSize":{size},' in alice.list().text
    assert deployment.rows("select file_size from recordings") == [{"file_size": size}]
    assert f'"fileSize": {size},' in json.dumps(deployment.events())


def _held_life(deployment: Deployment, user: User) -> tuple[str, list[Webhook]]:
    """Record something of which no webhook has arrived: started, active, ending, ended."""
    deployment.livekit.world.open_room("other")
    held = deployment.livekit.hold_webhooks(deployment.domain)
    recording_id = user.start(roomName="other")["recordingId"]
    deployment.advance(20)
    deployment.livekit.world.close_room("other")
    deployment.advance(5)
    assert [webhook.event for webhook in held] == ["egress_started", *["egress_updated"] * 2, "egress_ended"]
    return recording_id, held


def _post(deployment: Deployment, recording_id: str, webhook: object) -> int:
    body = json.dumps(webhook).encode()
    return deployment.post_webhook(f"/api/video/livekit/webhook/{recording_id}", body, sign(body)).status


def _nanoseconds(text: str) -> str:
    """Return the seconds and milliseconds of LiveKit's nanoseconds as an ISO time ends with them."""
    milliseconds = int(text) // 1_000_000
    return f"{milliseconds // 1000 % 60:02d}.{milliseconds % 1000:03d}Z"
