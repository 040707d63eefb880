"""The configuration of a worker, and its effects."""

import json
from urllib.parse import urlsplit

import pytest
from livekit.protocol import egress

from livekit_standin.options import WorkerOptions
from livekit_standin.timing import SECOND
from tests.livekit.life import DAY, REFUSED, SIZE, START, Life, s3
from tests.livekit.recorded import load


def with_options(options: WorkerOptions) -> Life:
    life = Life()
    life.world.settings.worker = options
    return life


def recorded_file(case: str, label: str) -> dict[str, str]:
    step = next(step for step in load(case).calls() if step.label == label)
    file: dict[str, str] = json.loads(step.response_body)["items"][0]["file_results"][0]
    return file


def test_a_prefix_stands_before_the_key_and_not_in_the_filename() -> None:
    life = with_options(WorkerOptions(storage_prefix="pre"))
    info = life.recorded()
    real = recorded_file("worker_storage_options", "after the end, worker with storage.prefix")
    assert urlsplit(real["location"]).path == f"/recordings/pre/{real['filename']}"
    assert urlsplit(info.file.location).path == f"/pre/{info.file.filename}"
    assert [upload.key for upload in life.uploads] == [
        f"pre/{info.file.filename}",
        f"pre/recordings/1/{info.egress_id}.json",
    ]


def test_a_presigned_location_is_a_link_to_the_file() -> None:
    life = with_options(WorkerOptions(generate_presigned_url=True, storage_prefix="pre"))
    file = life.recorded().file
    real = recorded_file(
        "worker_storage_options", "after the end, worker with storage.generate_presigned_url"
    )
    mine, theirs = urlsplit(file.location), urlsplit(real["location"])
    assert (mine.scheme, mine.path) == (theirs.scheme, f"/pre/{file.filename}")
    assert mine.query.partition("=")[0] == theirs.query.partition("=")[0]


def test_a_refusing_bucket_sends_the_file_to_the_backup_storage() -> None:
    backup = egress.S3Upload(endpoint="https://safe", bucket="backup", force_path_style=True)
    life = with_options(WorkerOptions(backup=backup))
    life.refusing = {"bucket"}
    egress_id = life.active().egress_id
    stopped = life.now
    life.stop(egress_id)
    life.wait(30 * SECOND)
    info = life.read(egress_id)
    assert info is not None
    assert (info.status, info.backup_storage_used, info.file.size) == (egress.EGRESS_COMPLETE, True, SIZE)
    assert info.file.location == f"https://safe/backup/{info.file.filename}"
    assert info.manifest_location == f"https://safe/backup/recordings/1/{egress_id}.json"
    assert 10 * SECOND < life.times[-1] - stopped < 17 * SECOND
    assert all(upload.s3 == backup and upload.backup for upload in life.uploads)


def test_a_manifest_that_nobody_wants_goes_to_the_backup_storage_all_the_same() -> None:
    life = with_options(WorkerOptions(backup=egress.S3Upload(bucket="backup")))
    life.refusing = {"bucket"}
    real = load("backup_storage").calls()[-1].response_body
    assert json.loads(real)["items"][0]["track"]["file"]["disable_manifest"] is True
    assert "/backupbucket/" in json.loads(real)["items"][0]["manifest_location"]
    sid = life.room.participants["ada"].tracks[1].sid
    output = egress.DirectFileOutput(filepath="a", s3=s3(), disable_manifest=True)
    track = egress.TrackEgressRequest(room_name=life.room.name, track_id=sid, file=output)
    egress_id = life.start(track).egress_id
    life.wait(10 * SECOND)
    life.stop(egress_id)
    life.wait(30 * SECOND)
    assert [upload.key for upload in life.uploads] == ["a.ogg", f"{egress_id}.json"]


def test_where_the_backup_storage_refuses_too_the_egress_fails() -> None:
    life = with_options(WorkerOptions(backup=egress.S3Upload(bucket="backup")))
    life.refusing = {"bucket", "backup"}
    info = life.recorded()
    assert (info.status, info.error_code) == (egress.EGRESS_FAILED, 400)
    assert info.error == f"primary: {REFUSED}\nbackup: {REFUSED}"


@pytest.mark.parametrize(("retries", "status"), [(5, egress.EGRESS_FAILED), (40, egress.EGRESS_COMPLETE)])
def test_more_retries_outlive_an_outage_of_30_s(retries: int, status: egress.EgressStatus) -> None:
    life = with_options(WorkerOptions(max_retries=retries))
    life.refusing = {"bucket"}
    egress_id = life.active().egress_id
    life.stop(egress_id)
    life.wait(30 * SECOND)
    life.refusing = set()
    life.wait(6 * SECOND)
    info = life.read(egress_id)
    assert info is not None
    assert (info.status, info.file.size > 0) == (status, status == egress.EGRESS_COMPLETE)


@pytest.mark.parametrize("skew", [-15 * 60 * SECOND, 3600 * SECOND, -START])
def test_every_time_of_a_worker_is_that_of_its_clock(skew: int) -> None:
    life = with_options(WorkerOptions(clock_skew=skew))
    info = life.recorded()
    file = info.file
    for time in (info.started_at, info.updated_at, info.ended_at, file.started_at, file.ended_at):
        assert abs(time - skew - START) < 60 * SECOND
    assert 0 < file.duration < DAY
    # The server's own clock is right.
    for webhook in life.webhooks:
        assert abs(int(json.loads(webhook.body)["createdAt"]) - START // SECOND) < 60
