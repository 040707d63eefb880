"""A look-up with the standard library gives what livekit-api gives; JSON says what protobuf says."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Final, cast
from uuid import UUID

import pytest
from google.protobuf import json_format
from livekit.protocol import egress as protocol

from recorder.domain.egress import EgressSnapshot, EgressStatus
from recorder.domain.outputs import TakeId, owner_of
from recorder.errors import EgressNotFoundError, EgressUnansweredError
from recorder.livekit.client import connect
from recorder.livekit.egress import LiveKitEgress
from recorder.livekit.info import info_in, infos_in, snapshot_of
from recorder.livekit.lookup import EgressLookup
from recorder.settings import StorageSettings
from tests.livekit.recorded import CASES, load
from tests.support.livekit import API_KEY, API_SECRET

if TYPE_CHECKING:
    from tests.support.livekit import LiveKit

STORAGE: Final = StorageSettings("recordings", "test")
RECORDING: Final = UUID(int=7)


def record_of(livekit: LiveKit, *, secret: str = API_SECRET, url: str | None = None) -> EgressLookup:
    return EgressLookup(url or livekit.url, api_key=API_KEY, api_secret=secret, storage=STORAGE)


def started(livekit: LiveKit) -> str:
    output = protocol.EncodedFileOutput(
        filepath=f"recordings/{RECORDING}/recording.mp4",
        s3=protocol.S3Upload(bucket=STORAGE.bucket, metadata={"deployment": STORAGE.deployment}),
    )
    request = protocol.RoomCompositeEgressRequest(room_name="demo", layout="grid", file_outputs=[output])
    answer = livekit.world.call("Egress", "StartRoomCompositeEgress", request).outcome
    assert isinstance(answer, protocol.EgressInfo)
    return answer.egress_id


def test_it_finds_what_livekit_api_finds(livekit: LiveKit) -> None:
    egress_id = started(livekit)
    livekit.advance(10)

    found = record_of(livekit).find(egress_id)

    with closing(
        LiveKitEgress(lambda: connect(livekit.url, API_KEY, API_SECRET), api_key=API_KEY, storage=STORAGE)
    ) as egress:
        assert found == egress.find(egress_id)
    assert (found.status, found.recording_id) == (EgressStatus.ACTIVE, RECORDING)


@pytest.mark.parametrize("scheme", ["ws", "http"])
def test_the_address_may_be_that_of_the_websocket(livekit: LiveKit, scheme: str) -> None:
    egress_id = started(livekit)
    livekit.advance(10)
    url = livekit.url.replace("http", scheme) + "/"
    assert record_of(livekit, url=url).find(egress_id).egress_id == egress_id


def test_an_unknown_egress_is_not_found(livekit: LiveKit) -> None:
    with pytest.raises(EgressNotFoundError):
        record_of(livekit).find("EG_unknown")


def test_a_refused_token_is_no_answer_and_is_not_repeated(livekit: LiveKit) -> None:
    with pytest.raises(EgressUnansweredError) as caught:
        record_of(livekit, secret="another-secret-that-is-long-enough-to-be-one").find("EG_1")
    assert "ey" not in str(caught.value)


def test_a_server_that_is_not_there_is_no_answer(livekit: LiveKit) -> None:
    with pytest.raises(EgressUnansweredError):
        record_of(livekit, url="http://127.0.0.1:1").find("EG_1")


@pytest.mark.parametrize("case", CASES)
def test_whatever_was_recorded_reads_the_same_as_json_and_as_protobuf(case: str) -> None:
    for message in recorded_infos(case):
        parsed = json_format.ParseDict(message, protocol.EgressInfo(), ignore_unknown_fields=True)
        assert snapshot_of(info_in(message), STORAGE) == snapshot_of(parsed, STORAGE)


UPLOAD: Final = protocol.S3Upload(bucket=STORAGE.bucket, metadata={"deployment": STORAGE.deployment})
PATH: Final = f"recordings/{RECORDING}/recording.mp4"
FILE: Final = protocol.EncodedFileOutput(filepath=PATH, s3=UPLOAD)
ELSEWHERE: Final = protocol.EncodedFileOutput(filepath="elsewhere", s3=UPLOAD)
SEGMENTS: Final = protocol.SegmentedFileOutput(filename_prefix=f"segments/{RECORDING}/1/segment", s3=UPLOAD)
IMAGES: Final = protocol.ImageOutput(filename_prefix=f"recordings/{RECORDING}/thumbnails/image", s3=UPLOAD)
OUTPUT: Final = protocol.Output(file=protocol.FileOutput(filepath=PATH))
S3: Final = protocol.StorageConfig(s3=UPLOAD)
OURS: Final = {
    "segments_only": protocol.EgressInfo(
        room_composite=protocol.RoomCompositeEgressRequest(segment_outputs=[SEGMENTS])
    ),
    "segments_of_an_old_server": protocol.EgressInfo(web=protocol.WebEgressRequest(segments=SEGMENTS)),
    "images_only": protocol.EgressInfo(
        track_composite=protocol.TrackCompositeEgressRequest(image_outputs=[IMAGES])
    ),
    "images_of_a_participant": protocol.EgressInfo(
        participant=protocol.ParticipantEgressRequest(file_outputs=[ELSEWHERE], image_outputs=[IMAGES])
    ),
    "version_2_segments": protocol.EgressInfo(
        egress=protocol.StartEgressRequest(
            outputs=[
                protocol.Output(
                    segments=protocol.SegmentedFileOutput(filename_prefix=f"segments/{RECORDING}/1/segment")
                )
            ],
            storage=protocol.StorageConfig(s3=UPLOAD),
        )
    ),
    "room_composite": protocol.EgressInfo(
        room_composite=protocol.RoomCompositeEgressRequest(file_outputs=[ELSEWHERE, FILE])
    ),
    "room_composite_file": protocol.EgressInfo(room_composite=protocol.RoomCompositeEgressRequest(file=FILE)),
    "web": protocol.EgressInfo(web=protocol.WebEgressRequest(file_outputs=[FILE])),
    "web_file": protocol.EgressInfo(web=protocol.WebEgressRequest(file=FILE)),
    "participant": protocol.EgressInfo(participant=protocol.ParticipantEgressRequest(file_outputs=[FILE])),
    "track_composite": protocol.EgressInfo(
        track_composite=protocol.TrackCompositeEgressRequest(file_outputs=[FILE])
    ),
    "track_composite_file": protocol.EgressInfo(
        track_composite=protocol.TrackCompositeEgressRequest(file=FILE)
    ),
    "track": protocol.EgressInfo(
        track=protocol.TrackEgressRequest(file=protocol.DirectFileOutput(filepath=PATH, s3=UPLOAD))
    ),
    "version_2": protocol.EgressInfo(egress=protocol.StartEgressRequest(outputs=[OUTPUT], storage=S3)),
    "version_2_of_its_own_storage": protocol.EgressInfo(
        egress=protocol.StartEgressRequest(
            outputs=[protocol.Output(file=protocol.FileOutput(filepath=PATH), storage=S3)],
            storage=protocol.StorageConfig(s3=protocol.S3Upload(bucket="another")),
        )
    ),
}


@pytest.mark.parametrize("kind", OURS)
def test_whatever_kind_of_egress_writes_into_a_recordings_folder_is_ours(kind: str) -> None:
    info = OURS[kind]
    assert snapshot_of(info, STORAGE).recording_id == RECORDING
    for snake_case in (True, False):
        message = json_format.MessageToDict(info, preserving_proto_field_name=snake_case)
        assert snapshot_of(info_in(message), STORAGE).recording_id == RECORDING


PATHS: Final = {
    f"recordings/{RECORDING}/recording.mp4": TakeId(RECORDING, 1),
    f"recordings/{RECORDING}/1/recording.mp4": TakeId(RECORDING, 1),
    f"recordings/{RECORDING}/17/recording": TakeId(RECORDING, 17),
    f"recordings/{RECORDING}/17/hls/segment": TakeId(RECORDING, 17),
    f"recordings/{RECORDING}/thumbnails/image": TakeId(RECORDING, 1),
    f"segments/{RECORDING}/100/segment": TakeId(RECORDING, 100),
    f"segments/{RECORDING}/segment": TakeId(RECORDING, 1),
    f"recordings/{RECORDING}/0/recording.mp4": TakeId(RECORDING, 1),
    f"recordings/{RECORDING}": None,
    f"recordings/{RECORDING}/": None,
    f"recordings/{RECORDING}/../{UUID(int=8)}/recording.mp4": None,
    f"recordings/{RECORDING}/2/../../x": None,
    f"recordings/{RECORDING}x/recording.mp4": None,
    f"elsewhere/{RECORDING}/recording.mp4": None,
    f"/recordings/{RECORDING}/recording.mp4": None,
    "": None,
}


@pytest.mark.parametrize("path", PATHS)
def test_the_path_says_which_take_of_which_recording_it_is(path: str) -> None:
    assert owner_of(path) == PATHS[path]


@pytest.mark.parametrize("kind", OURS)
@pytest.mark.parametrize(
    "other", [StorageSettings("recordings", "other"), StorageSettings("other", "test")], ids=str
)
def test_of_no_kind_is_anothers_ours(kind: str, other: StorageSettings) -> None:
    info = OURS[kind]
    assert snapshot_of(info, other).recording_id is None
    assert snapshot_of(info_in(json_format.MessageToDict(info)), other).recording_id is None


def reports(case: str, status: str) -> list[EgressSnapshot]:
    infos = [info_in(message) for message in recorded_infos(case)]
    return [each for info in infos if (each := snapshot_of(info, STORAGE)).status == status]


def test_results_of_every_output_are_read() -> None:
    *_, report = reports("file_and_segments_and_images_and_stream", "EGRESS_COMPLETE")
    assert (report.end_reason, report.ended_badly) == ("stopped", False)
    [file], [segments], [images] = report.files, report.segments, report.thumbnails
    assert (file.name, file.size) == ("all/file.mp4", 2705198)
    assert file.duration == pytest.approx(28.42)
    assert file.location == "https://127.0.0.1:5555/captures/all/file.mp4"
    # The capture's bucket is none of ours: where the file lies, only a bucket can say.
    assert file.keys == ("all/file.mp4",)
    assert (segments.playlist, segments.size, segments.segment_count) == ("all/hls/index.m3u8", 3115724, 8)
    assert (images.path, images.image_count) == ("all/img/i", 7)
    assert {(stream.url, stream.status) for stream in report.streams} == {
        ("rtmp://127.0.0.1:19351/…", "FAILED"),
        ("rtmp://127.0.0.1:19352/…", "FINISHED"),
        ("rtmp://127.0.0.1:19359/…", "FAILED"),
    }


def test_numbers_of_an_egress_that_ended_in_mid_upload_are_not_believed() -> None:
    report, *_ = reports("segments_and_s3_outage", "EGRESS_FAILED")
    assert report.failure_reason == "the file could not be uploaded to the storage"
    assert "127.0.0.1" not in report.failure_reason
    [file], [segments] = report.files, report.segments
    assert (file.size, file.duration, file.location, file.stored) == (None, None, None, False)
    assert (segments.duration, segments.segment_count > 0) == (None, True)


def test_recorded_options_of_workers_say_where_the_file_lies() -> None:
    prefixed, presigned = [
        snapshot_of(info_in(message), STORAGE) for message in recorded_infos("worker_storage_options")
    ]
    [file] = prefixed.files
    assert file.keys == (f"pre/{file.name}", file.name)
    [file] = presigned.files
    assert file.keys == (file.name,)
    assert file.location == f"http://127.0.0.1:19300/recordings/{file.name}"


def test_recorded_backup_lies_in_no_bucket_of_ours() -> None:
    *_, report = reports("backup_storage", "EGRESS_COMPLETE")
    [file] = report.files
    assert report.backup_storage_used
    assert (file.keys, file.size, file.stored) == ((), 83993, True)
    assert str(file.location).startswith("https://127.0.0.1:5555/backupbucket/recordings/")


def test_end_by_the_worker_itself_is_read() -> None:
    *_, report = reports("worker_cpu_exhausted", "EGRESS_COMPLETE")
    assert (report.end_reason, report.ended_badly, report.has_file) == ("cpu_exhausted", True, True)


def test_recorded_lists_are_read(livekit: LiveKit) -> None:
    bodies = [
        step.response_body for step in load("track_egress_audio").calls() if step.path.endswith("ListEgress")
    ]
    lists = [infos_in(json.loads(body)) for body in bodies if body.startswith("{")]
    assert {info.egress_id[:3] for infos in lists for info in infos} == {"EG_"}
    assert livekit.calls == []


def recorded_infos(case: str) -> list[dict[str, object]]:
    """Return each EgressInfo that LiveKit sent in a case: in answers, in lists, in webhooks."""
    infos: list[dict[str, object]] = []
    for step in load(case).steps:
        for text in (step.response_body, step.body):
            try:
                value: object = json.loads(text.removesuffix(" (trimmed)"))
            except ValueError:
                continue
            if isinstance(value, dict):
                message = cast("dict[str, object]", value)
                candidates = [
                    message,
                    message.get("egressInfo"),
                    *cast("list[object]", message.get("items") or []),
                ]
                infos += [
                    cast("dict[str, object]", each)
                    for each in candidates
                    if isinstance(each, dict) and each.keys() & {"egress_id", "egressId"}
                ]
    return infos


def test_the_statuses_have_livekits_numbers() -> None:
    for name in protocol.EgressStatus.keys():  # noqa: SIM118 - no mapping
        info = protocol.EgressInfo(status=name)
        assert (
            snapshot_of(info, STORAGE).status
            == snapshot_of(info_in({"status": name}), STORAGE).status
            == name
        )


@pytest.mark.parametrize("status", ["EGRESS_PAUSED", 99, -1])
def test_a_status_that_nobody_knows_is_unknown(status: object) -> None:
    assert snapshot_of(info_in({"status": status}), STORAGE).status is EgressStatus.UNKNOWN


@pytest.mark.parametrize(
    "message",
    [
        [],
        "EG_1",
        {"egressId": 1},
        {"startedAt": "soon"},
        {"startedAt": 2**63},
        {"startedAt": 1.5},
        {"fileResults": {}},
        {"fileResults": ["a"]},
        {"file": []},
        {"backupStorageUsed": "no"},
    ],
)
def test_what_is_no_egress_info_is_refused(message: object) -> None:
    with pytest.raises(ValueError, match=r"not |invalid"):
        info_in(message)
