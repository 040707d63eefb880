"""The requests for each kind and output: none that a real LiveKit has not been seen to accept."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Final
from uuid import UUID

import pytest
from google.protobuf import json_format
from livekit.protocol import egress as protocol
from livekit.protocol import models

from recorder.domain.egress import EgressStatus
from recorder.domain.outputs import File, Output, Segments, Streams, TakeId, Thumbnails
from recorder.domain.sources import (
    Encoding,
    Kind,
    Participant,
    RoomComposite,
    Track,
    TrackComposite,
    Web,
)
from recorder.errors import EgressRefusedError
from recorder.livekit.client import connect
from recorder.livekit.egress import LiveKitEgress
from recorder.livekit.requests import Delivery, start_request
from recorder.settings import StorageSettings, UploadSettings
from tests.livekit.recorded import CASES, load
from tests.support.livekit import API_KEY, API_SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import JsonValue

    from tests.support.livekit import LiveKit

RECORDING: Final = UUID(int=7)
FOLDER_OF_TAKE: Final = f"recordings/{RECORDING}/3/"
FILE: Final = File(path=f"{FOLDER_OF_TAKE}recording.mp4")
SEGMENTS: Final = Segments(folder=f"segments/{RECORDING}/3/", seconds=2)
THUMBNAILS: Final = Thumbnails(
    path=f"{FOLDER_OF_TAKE}thumbnails/image", every_seconds=10, width=320, height=180
)
POSTER: Final = Thumbnails(path=f"{FOLDER_OF_TAKE}poster", every_seconds=10, only_latest=True)
STREAMS: Final = Streams(urls=("rtmp://a.example/live/key", "rtmps://b.example/live/key"))
ALL: Final[tuple[Output, ...]] = (FILE, SEGMENTS, THUMBNAILS, POSTER, STREAMS)
DIRECT: Final = File(path=f"{FOLDER_OF_TAKE}recording")
ENCODING: Final = Encoding(resolution="720p", audio_bitrate=64)

KINDS: Final[Mapping[str, tuple[Kind, tuple[Output, ...]]]] = {
    "StartRoomCompositeEgress": (RoomComposite(room_name="demo", layout="speaker", encoding=ENCODING), ALL),
    "StartParticipantEgress": (Participant(room_name="demo", identity="ada", encoding=ENCODING), ALL),
    "StartTrackCompositeEgress": (
        TrackComposite(room_name="demo", audio_track_sid="TR_A", video_track_sid="TR_V", encoding=ENCODING),
        ALL,
    ),
    "StartTrackEgress": (Track(room_name="demo", track_sid="TR_V"), (DIRECT,)),
    "StartWebEgress": (Web(page_url="https://example.com/", room_name="a page", encoding=ENCODING), ALL),
}
DELIVERY: Final = Delivery(
    s3=protocol.S3Upload(bucket="recordings", region="us-east-1", access_key="key", secret="secret"),
    template_url="https://page.example",
    webhooks=[models.WebhookConfig(url="https://api.example/hook", signing_key="devkey")],
)
STORAGE: Final = StorageSettings("recordings", "test")
UPLOAD: Final = UploadSettings(
    endpoint="http://127.0.0.1:9",
    region="us-east-1",
    secret_arn="",
    assume_role_arn="",
    assume_role_external_id="",
    template_url="",
)


def requested(method: str) -> dict[str, JsonValue]:
    kind, outputs = KINDS[method]
    message = start_request(kind, outputs, DELIVERY)
    fields: dict[str, JsonValue] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return fields


def outputs_of(request: Mapping[str, JsonValue], kind: str) -> list[dict[str, JsonValue]]:
    outputs = request[f"{kind}_outputs"]
    assert isinstance(outputs, list)
    return [each for each in outputs if isinstance(each, dict)]


def fields_of(value: JsonValue, path: str = "") -> Iterator[str]:
    """Yield the paths of all fields, whatever the number of things in a list."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from fields_of(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for each in value:
            yield from fields_of(each, path)
    else:
        yield path


def accepted() -> dict[str, set[str]]:
    """Return the fields of every start that a real LiveKit accepted, by method."""
    found: dict[str, set[str]] = {}
    for case in CASES:
        for step in load(case).steps:
            method = step.path.rpartition("/")[2]
            if step.status == 200 and method.startswith("Start"):
                found.setdefault(method, set()).update(fields_of(step.request))
    return found


ACCEPTED: Final = accepted()
# Fields that the requests of all kinds share were seen with some of the kinds only.
SHARED: Final = (
    "advanced.",
    "file_outputs.",
    "segment_outputs.",
    "image_outputs.",
    "stream_outputs.",
    "webhooks.",
)


@pytest.mark.parametrize("method", KINDS)
def test_livekit_is_asked_for_nothing_that_no_livekit_was_seen_to_accept(method: str) -> None:
    anywhere = {field for fields in ACCEPTED.values() for field in fields}
    shared = {field for field in anywhere if field.startswith(SHARED)}
    # A manifest was switched off for a track and for images: an option that every output has.
    shared |= {f"{output}.disable_manifest" for output in ("file_outputs", "segment_outputs")}
    assert {"file.disable_manifest", "image_outputs.disable_manifest"} <= anywhere
    # Every output has the same S3 settings.
    s3 = {field.rpartition(".s3.")[2] for field in anywhere if ".s3." in field}
    asked = {field for field in fields_of(requested(method)) if ".s3." not in field}

    assert asked <= ACCEPTED[method] | shared
    assert {field.rpartition(".s3.")[2] for field in fields_of(requested(method)) if ".s3." in field} <= s3


@pytest.mark.parametrize("method", KINDS)
def test_every_output_goes_to_the_take_and_to_our_bucket(method: str) -> None:
    request = requested(method)
    outputs = (
        [request["file"]]
        if method == "StartTrackEgress"
        else [each for name in ("file", "segment", "image") for each in outputs_of(request, name)]
    )
    assert len(outputs) == (1 if method == "StartTrackEgress" else 4)
    for output in outputs:
        assert isinstance(output, dict)
        assert output["disable_manifest"] is True
        assert isinstance(output["s3"], dict)
        assert output["s3"]["bucket"] == "recordings"
        path = str(output.get("filepath") or output["filename_prefix"])
        assert path.startswith((FOLDER_OF_TAKE, SEGMENTS.folder))


@pytest.mark.parametrize("method", [method for method in KINDS if method != "StartTrackEgress"])
def test_what_is_asked_of_an_encoded_kind(method: str) -> None:
    request = requested(method)
    assert request["advanced"] == {
        "width": 1280,
        "height": 720,
        "framerate": 30,
        "video_codec": "H264_MAIN",
        "video_bitrate": 3000,
        "audio_codec": "AAC",
        "audio_bitrate": 64,
    }
    [segments] = outputs_of(request, "segment")
    assert {name: segments[name] for name in segments if name != "s3"} == {
        "filename_prefix": f"{SEGMENTS.folder}segment",
        "playlist_name": f"{SEGMENTS.folder}playlist.m3u8",
        "live_playlist_name": f"{SEGMENTS.folder}live.m3u8",
        "segment_duration": 2,
        "disable_manifest": True,
    }
    thumbnails, poster = outputs_of(request, "image")
    assert (thumbnails["width"], thumbnails["height"], thumbnails["capture_interval"]) == (320, 180, 10)
    assert "filename_suffix" not in thumbnails
    assert poster["filename_suffix"] == "IMAGE_SUFFIX_NONE_OVERWRITE"
    assert request["stream_outputs"] == [{"protocol": "RTMP", "urls": list(STREAMS.urls)}]


@pytest.mark.parametrize("outputs", [(), (DIRECT, DIRECT), (DIRECT, SEGMENTS), (STREAMS,)])
def test_a_track_goes_into_one_file_and_nothing_else(outputs: tuple[Output, ...]) -> None:
    with pytest.raises(EgressRefusedError):
        start_request(Track(room_name="demo", track_sid="TR_V"), outputs, DELIVERY)


@pytest.mark.parametrize("method", KINDS)
def test_every_kind_is_started_and_known_as_the_take(livekit: LiveKit, method: str) -> None:
    room = livekit.world.open_room("demo", permanent=True, identities=("ada",))
    camera, microphone = room.participants["ada"].tracks
    kind, _ = KINDS[method]
    if isinstance(kind, TrackComposite):
        kind = TrackComposite(
            room_name="demo", audio_track_sid=microphone.sid, video_track_sid=camera.sid, encoding=ENCODING
        )
    elif isinstance(kind, Track):
        kind = Track(room_name="demo", track_sid=camera.sid)
    output = DIRECT if isinstance(kind, Track) else FILE
    egress = LiveKitEgress(
        lambda: connect(livekit.url, API_KEY, API_SECRET), api_key=API_KEY, storage=STORAGE, upload=UPLOAD
    )
    with closing(egress):
        started = egress.start(kind, [output], "https://api.example/hook")
        livekit.advance(20)
        active = egress.find(started.egress_id)

    assert livekit.calls[-2:] == [f"Egress.{method}", "Egress.ListEgress"]
    assert (started.status, active.status) == (EgressStatus.STARTING, EgressStatus.ACTIVE)
    assert started.owner == active.owner == TakeId(RECORDING, 3)
    assert output.names(active.file.name or "")
