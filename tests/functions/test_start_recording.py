"""Start: what each option makes LiveKit do, and that every option is checked before anything is written or called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from livekit.protocol.models import AudioCodec

if TYPE_CHECKING:
    from livekit.protocol.egress import EgressInfo

    from tests.support.deployment import Deployment, User


def info(deployment: Deployment) -> EgressInfo:
    """The request of the one egress that was started, as LiveKit holds it."""
    [egress] = deployment.livekit.world.egresses()
    return egress.info


def test_room_is_recorded_as_composite_into_a_folder_of_its_own(deployment: Deployment, alice: User) -> None:
    started = alice.start(roomName="demo")

    assert started.status == 201
    assert started.headers["Location"] == f"/api/video/recordings/{started['recordingId']}"
    assert started.json == {
        "recordingId": started["recordingId"],
        "egressId": info(deployment).egress_id,
        "status": "starting",
    }
    request = info(deployment).room_composite
    [output] = request.file_outputs
    assert output.filepath == f"recordings/{started['recordingId']}/1/recording.mp4"
    assert output.s3.bucket == deployment.site.name
    [webhook] = request.webhooks
    assert webhook.url == f"https://{deployment.domain}/api/video/livekit/webhook/{started['recordingId']}"
    assert webhook.signing_key == "devkey"


@pytest.mark.parametrize(
    ("resolution", "width", "height"), [("1080p", 1920, 1080), ("720p", 1280, 720), ("480p", 854, 480)]
)
def test_resolution_is_a_true_one(
    deployment: Deployment, alice: User, resolution: str, width: int, height: int
) -> None:
    alice.start(roomName="demo", resolution=resolution)

    encoding = info(deployment).room_composite.advanced
    assert (encoding.width, encoding.height, encoding.framerate) == (width, height, 30)


def test_every_option_of_a_composite_is_honoured(deployment: Deployment, alice: User) -> None:
    started = alice.start(
        roomName="demo",
        layout="speaker",
        resolution="720p",
        codec="h264",
        audioCodec="opus",
        audioBitrate=96,
        videoBitrate=2500,
        maxDuration=600,
    )

    request = info(deployment).room_composite
    encoding = request.advanced
    assert request.layout == "speaker"
    assert (encoding.audio_bitrate, encoding.video_bitrate) == (96, 2500)
    assert encoding.audio_codec == AudioCodec.OPUS
    recording = alice.get(started["recordingId"]).recording
    expected = {
        "layout": "speaker",
        "resolution": "720p",
        "codec": "h264",
        "audioCodec": "opus",
        "audioBitrate": 96,
        "videoBitrate": 2500,
        "maxDuration": 600,
        "source": "room_composite",
        "userId": "alice",
    }
    assert {name: recording[name] for name in expected} == expected


@pytest.mark.parametrize("layout", ["grid-light", "speaker-dark", "single-speaker"])
def test_each_layout_of_livekits_page_is_taken(deployment: Deployment, alice: User, layout: str) -> None:
    assert alice.start(roomName="demo", layout=layout).status == 201
    assert info(deployment).room_composite.layout == layout


def test_a_page_of_ones_own_has_layouts_of_its_own(deployment: Deployment, alice: User) -> None:
    deployment.configure(EGRESS_TEMPLATE_URL="https://page.example.com")

    assert alice.start(roomName="demo", layout="two_columns").status == 201
    request = info(deployment).room_composite
    assert (request.custom_base_url, request.layout) == ("https://page.example.com", "two_columns")
    assert alice.start(roomName="demo", layout="two columns").details == ["layout"]


def test_track_keeps_its_own_codec(deployment: Deployment, alice: User) -> None:
    track = deployment.livekit.track("camera_vp8")
    started = alice.start(roomName="demo", trackBased=True, trackSid=track, codec="vp8")
    assert started.status == 201
    deployment.advance(60)
    alice.stop(started["recordingId"])
    deployment.advance(5)

    recording = alice.get(started["recordingId"]).recording
    assert recording["storageKey"] == f"recordings/{started['recordingId']}/1/recording.webm"
    assert (recording["status"], recording["source"]) == ("completed", "track")
    assert (recording["trackSid"], recording["codec"], recording["mimeType"]) == (track, "vp8", "video/webm")
    assert (recording["layout"], recording["resolution"], recording["videoBitrate"]) == (None, None, None)


def test_room_and_its_tracks_are_targets_of_their_own(deployment: Deployment, alice: User) -> None:
    tracks = [deployment.livekit.track(kind) for kind in ("camera_vp8", "camera_h264")]

    answers = [alice.start(roomName="demo")]
    answers += [alice.start(roomName="demo", trackBased=True, trackSid=track) for track in tracks]

    assert [answer.status for answer in answers] == [201, 201, 201]
    assert alice.start(roomName="demo", trackBased=True, trackSid=tracks[0]).status == 409


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({}, ["roomName"]),
        ({"roomName": ""}, ["roomName"]),
        ({"roomName": "  "}, ["roomName"]),
        ({"roomName": "a\nb"}, ["roomName"]),
        ({"roomName": 7}, ["roomName"]),
        ({"roomName": "x" * 513}, ["roomName"]),
        ({"roomName": "demo", "layout": "../grid"}, ["layout"]),
        ({"roomName": "demo", "layout": "speeker"}, ["layout"]),
        ({"roomName": "demo", "layout": "Speaker"}, ["layout"]),
        ({"roomName": "demo", "resolution": "4k"}, ["resolution"]),
        ({"roomName": "demo", "codec": "av1"}, ["codec"]),
        ({"roomName": "demo", "audioCodec": "mp3"}, ["audioCodec"]),
        ({"roomName": "demo", "audioBitrate": 15}, ["audioBitrate"]),
        ({"roomName": "demo", "audioBitrate": 513}, ["audioBitrate"]),
        ({"roomName": "demo", "audioBitrate": "128"}, ["audioBitrate"]),
        ({"roomName": "demo", "videoBitrate": 99}, ["videoBitrate"]),
        ({"roomName": "demo", "videoBitrate": 20_001}, ["videoBitrate"]),
        ({"roomName": "demo", "maxDuration": 0}, ["maxDuration"]),
        ({"roomName": "demo", "maxDuration": 10**30}, ["maxDuration"]),
        ({"roomName": "demo", "trackBased": "yes"}, ["trackBased"]),
        ({"roomName": "demo", "trackBased": True}, ["trackSid"]),
        ({"roomName": "demo", "trackSid": "TR_abc"}, ["trackBased"]),
        ({"roomName": "demo", "trackBased": True, "trackSid": "../x"}, ["trackSid"]),
        ({"roomName": "demo", "rommName": "demo"}, ["rommName"]),
        ({"room_name": "demo"}, ["roomName", "room_name"]),
        ({"roomName": "demo", "audio_bitrate": 96}, ["audio_bitrate"]),
        ({"roomName": "demo", "resolution": "4k", "audioBitrate": 0}, ["resolution", "audioBitrate"]),
    ],
)
def test_wrong_option_is_named_and_nothing_is_started(
    deployment: Deployment, alice: User, options: dict[str, object], fields: list[str]
) -> None:
    answer = alice.send("start_recording_room", body=json.dumps(options).encode())

    assert (answer.status, answer["code"]) == (400, "invalid_request")
    assert sorted(answer.details) == sorted(fields)
    assert not deployment.rows("select id from recordings")
    assert not deployment.livekit.world.egresses()


def test_vp8_of_a_composite_is_refused_with_the_way_out(deployment: Deployment, alice: User) -> None:
    answer = alice.start(roomName="demo", codec="vp8")

    assert (answer.status, answer["code"]) == (422, "unsupported_codec")
    assert "track" in answer["error"]
    assert not deployment.rows("select id from recordings")


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "ключ"])
def test_idempotency_key_is_checked(deployment: Deployment, alice: User, key: str) -> None:
    answer = alice.start(roomName="demo", headers={"idempotency-key": key})

    assert (answer.status, answer.details) == (400, ["Idempotency-Key"])
    assert not deployment.rows("select id from recordings")


def test_deployments_longest_recording_bounds_what_a_request_asks_for(
    deployment: Deployment, alice: User
) -> None:
    deployment.configure(MAX_DURATION_SECONDS="60")

    started = alice.start(roomName="demo", maxDuration=600)

    assert alice.get(started["recordingId"]).recording["maxDuration"] == 60


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_livekit_that_refuses_the_connection_has_started_nothing(
    deployment: Deployment, alice: User, scheme: str
) -> None:
    key = {"idempotency-key": "a wish"}
    deployment.configure(LIVEKIT_URL=f"{scheme}://127.0.0.1:9")

    refused = alice.start(roomName="demo", headers=key)

    assert (refused.status, refused["code"]) == (503, "egress_unavailable")
    assert "Retry-After" in refused.headers
    deployment.configure(LIVEKIT_URL=deployment.livekit.url)
    assert alice.start(roomName="demo", headers=key).status == 201
