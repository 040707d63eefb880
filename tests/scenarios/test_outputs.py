"""Outputs: HLS, thumbnails and streams beside the file, or in its place."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, cast
from urllib.request import urlopen

import av
import pytest

from tests.support import invariants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Deploy
    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs

KEY = "live_KEY_38f2c1"
STREAM = f"rtmp://stream.example.com/app/{KEY}"
DEAF = "rtmps://deaf.example.com:1936/app/other_KEY_38f2c1"
HLS = {"hls": {"segmentSeconds": 4}}


@pytest.fixture
def deployment(deploy: Deploy) -> Iterator[Deployment]:
    """A deployment whose takes have safety segments."""
    made = deploy(SAFETY_SEGMENTS="on")
    yield made
    invariants.check(made)


def begun(deployment: Deployment, user: User, seconds: float = 20, **options: object) -> str:
    """Start a recording and return its id once it is active."""
    started = user.ask(**{"roomName": "demo", **options})
    assert started.status == 201, started.text
    deployment.advance(seconds)
    assert user.get(started["recordingId"]).recording["status"] == "active"
    return started["recordingId"]


def stopped(deployment: Deployment, user: User, recording_id: str) -> dict[str, object]:
    user.stop(recording_id)
    deployment.advance(10)
    deployment.sweep()
    recording = user.get(recording_id).recording
    assert recording["status"] == "completed", recording
    return recording


def files(user: User, recording_id: str) -> list[dict[str, object]]:
    return cast("list[dict[str, object]]", user.get(recording_id).json["files"])


def content(file: dict[str, object]) -> bytes:
    with urlopen(str(file["url"])) as answer:
        return bytes(answer.read())


def keys(deployment: Deployment, recording_id: str, folder: str) -> list[str]:
    return [key for key in deployment.objects() if f"{recording_id}/{folder}" in key]


def test_all_outputs_in_one_egress(deployment: Deployment, alice: User) -> None:
    outputs = {"file": True, **HLS, "thumbnails": {"everySeconds": 5, "width": 320}, "streams": [STREAM]}
    recording_id = begun(deployment, alice, outputs=outputs)
    live = alice.get(recording_id).recording
    [egress] = deployment.livekit.world.egresses()
    request = egress.info.room_composite
    [segments] = request.segment_outputs
    assert segments.filename_prefix == f"recordings/{recording_id}/1/hls/segment"
    assert segments.segment_duration == 4
    assert [each.filename_prefix for each in request.image_outputs] == [
        f"recordings/{recording_id}/poster",
        f"recordings/{recording_id}/1/thumbnails/image",
    ]
    assert live["streams"] == [{"url": "rtmp://stream.example.com/…", "status": "active"}]
    # LiveKit's own count is still 0.
    assert live["thumbnailCount"] == len(keys(deployment, recording_id, "1/thumbnails/")) > 2

    recording = stopped(deployment, alice, recording_id)

    assert recording["thumbnailCount"] == len(keys(deployment, recording_id, "1/thumbnails/"))
    assert recording["streams"] == [{"url": "rtmp://stream.example.com/…", "status": "finished"}]
    file, playlist = files(alice, recording_id)
    assert (file["kind"], playlist["kind"]) == ("file", "playlist")
    assert playlist["mimeType"] == "application/vnd.apple.mpegurl"
    assert b"#EXT-X-ENDLIST" in content(playlist)
    assert cast("int", playlist["size"]) > 0
    assert str(recording["storageKey"]).endswith("/1/recording.mp4")


def test_hls_without_a_file_is_completed_by_its_playlist(deployment: Deployment, alice: User) -> None:
    recording_id = begun(deployment, alice, outputs={"file": False, "hls": True})
    assert alice.get(recording_id).json["files"] == []
    recording = stopped(deployment, alice, recording_id)

    assert str(recording["storageKey"]) == f"recordings/{recording_id}/1/hls/playlist.m3u8"
    assert recording["mimeType"] == "application/vnd.apple.mpegurl"
    [playlist] = files(alice, recording_id)
    assert playlist["kind"] == "playlist"
    assert cast("float", recording["duration"]) > 15
    assert alice.get(recording_id).json["downloadUrl"] is None
    segments = keys(deployment, recording_id, "1/hls/segment")
    assert len(segments) > 3
    assert all(key.rpartition("/")[2].encode() in content(playlist) for key in segments)


def test_hls_without_a_file_keeps_a_playlist_of_each_take(deployment: Deployment, alice: User) -> None:
    recording_id = begun(deployment, alice, outputs={"file": False, "hls": True})
    alice.pause(recording_id)
    deployment.advance(20)
    alice.resume(recording_id)
    deployment.advance(20)
    recording = stopped(deployment, alice, recording_id)

    assert (recording["storageKey"], recording["takeCount"]) == (None, 2)
    assert [(each["kind"], each["take"]) for each in files(alice, recording_id)] == [
        ("playlist", 1),
        ("playlist", 2),
    ]
    assert all(cast("float", each["duration"]) > 10 for each in files(alice, recording_id))


@pytest.mark.parametrize("file", [True, False], ids=["with a file", "without"])
def test_hls_of_the_callers_own_is_the_safety_net(deployment: Deployment, alice: User, *, file: bool) -> None:
    recording_id = begun(deployment, alice, outputs={"file": file, "hls": True}, onWorkerLost="end")
    assert not keys(deployment, recording_id, "1/playlist")
    deployment.livekit.kill_host(recording_id)
    deployment.sweeps(3)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["endReason"]) == ("completed", "worker_lost"), recording
    kinds = [each["kind"] for each in files(alice, recording_id)]
    assert kinds == (["file", "playlist"] if file else ["playlist"])
    assert cast("float", recording["duration"]) >= 8
    if file:
        with av.open(io.BytesIO(content(files(alice, recording_id)[0]))) as joined:
            assert {stream.type for stream in joined.streams} == {"audio", "video"}
    # It was asked for: assembling does not remove it.
    assert keys(deployment, recording_id, "1/hls/segment")


def test_t96_safety_segments_go_and_what_was_asked_for_stays(deployment: Deployment, alice: User) -> None:
    outputs = {"thumbnails": {"everySeconds": 5}}
    recording_id = begun(deployment, alice, outputs=outputs)
    deployment.livekit.kill_host(recording_id)
    deployment.sweeps(3)
    deployment.advance(20)
    alice.stop(recording_id)
    # A next take that the product began by itself has no address for webhooks here: the sweep sees its end.
    deployment.sweeps(2)
    recording = alice.get(recording_id).recording
    assert recording["status"] == "completed"

    assert recording["takeCount"] == 2
    assert not [key for key in deployment.objects() if key.startswith("segments/")]
    thumbnails = keys(deployment, recording_id, "1/thumbnails/") + keys(
        deployment, recording_id, "2/thumbnails/"
    )
    assert recording["thumbnailCount"] == len(thumbnails) > 4


@pytest.mark.parametrize("while_live", [True, False], ids=["live", "ended"])
def test_t96_a_delete_leaves_nothing(deployment: Deployment, alice: User, *, while_live: bool) -> None:
    outputs = {"hls": True, "thumbnails": True, "streams": [STREAM]}
    recording_id = begun(deployment, alice, outputs=outputs)
    if not while_live:
        stopped(deployment, alice, recording_id)
    assert alice.delete(recording_id).status == 200
    deployment.sweeps(3)
    deployment.advance(3700)
    deployment.sweeps(2)

    assert deployment.objects() == []
    assert deployment.row(recording_id) is None


def test_t96_the_end_of_the_retention_leaves_nothing(deploy: Deploy) -> None:
    deployment = deploy(RETENTION_DAYS="1")
    alice = deployment.as_user("alice")
    recording_id = begun(deployment, alice, outputs={"file": False, "hls": True, "thumbnails": True})
    stopped(deployment, alice, recording_id)
    deployment.advance(25 * 3600)
    deployment.sweeps(3)

    assert deployment.objects() == []


def test_t92_a_stream_that_fails_shows_and_harms_nothing(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    deployment.livekit.deaf_hosts.add("deaf.example.com")
    recording_id = begun(deployment, alice, outputs={"streams": [DEAF, STREAM]})
    deployment.sweeps(1)
    failed = {
        "url": "rtmps://deaf.example.com:1936/…",
        "status": "failed",
        "failureReason": "its receiver could not be reached, or closed the connection",
    }
    live = alice.get(recording_id).recording
    assert live["streams"] == [failed, {"url": "rtmp://stream.example.com/…", "status": "active"}]

    # The next take streams to the same addresses.
    alice.pause(recording_id)
    deployment.advance(20)
    assert alice.resume(recording_id).status == 200
    deployment.advance(20)
    last = deployment.livekit.world.egresses()[-1].info
    assert [each.status for each in last.stream_results] == [2, 0]
    recording = stopped(deployment, alice, recording_id)
    assert recording["streams"] == [failed, {"url": "rtmp://stream.example.com/…", "status": "finished"}]
    deployment.sweeps(1)

    # Its key is nowhere, and in the row no longer than a take may need it.
    everything = [
        json.dumps(deployment.events()),
        logs.text,
        json.dumps(deployment.row(recording_id)),
        alice.get(recording_id).text,
        alice.list().text,
    ]
    assert not [text for text in everything if "KEY_38f2c1" in text]


def test_t92_a_receiver_that_dies_is_told_as_lost(deploy: Deploy) -> None:
    deployment = deploy()
    alice = deployment.as_user("alice")
    recording_id = begun(deployment, alice, outputs={"streams": [STREAM]})
    [push] = deployment.livekit.pushes
    deployment.livekit.world.stream_lost(push.id, "gone")
    deployment.sweeps(1)
    assert alice.get(recording_id).recording["streams"] == [
        {"url": "rtmp://stream.example.com/…", "status": "retrying"}
    ]
    deployment.livekit.world.stream_connected(push.id)
    deployment.sweeps(3)
    assert alice.get(recording_id).recording["streams"] == [
        {"url": "rtmp://stream.example.com/…", "status": "active"}
    ]


def test_t92_keys_of_refused_streams_are_not_told(deployment: Deployment, alice: User, logs: Logs) -> None:
    for url in (
        f"http://stream.example.com/app/{KEY}",
        f"rtmp://user:{KEY}@stream.example.com/app/x",
        f"rtmp://stream.example.com/app/{KEY} x",
        f"rtmp://{KEY}",
    ):
        answer = alice.ask(roomName="demo", outputs={"streams": [url]})
        assert (answer.status, answer.details) == (400, ["outputs.streams.0"])
        assert KEY not in answer.text
    twice = alice.ask(roomName="demo", outputs={"streams": [STREAM, STREAM]})
    assert (twice.status, twice.details) == (400, ["outputs.streams"])
    deployment.livekit.world.faults.options_refused.next()
    refused = alice.ask(roomName="demo", outputs={"streams": [STREAM]})
    assert (refused.status, refused["code"]) == (422, "egress_refused")
    assert KEY not in refused.text + logs.text + json.dumps(deployment.rows("select * from recordings"))


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"outputs": {"file": False}}, "outputs"),
        ({"outputs": {"file": False, "streams": [STREAM]}}, "outputs"),
        ({"outputs": {"hls": {"segmentSeconds": 1}}}, "outputs.hls.segmentSeconds"),
        ({"outputs": {"hls": {"seconds": 2}}}, "outputs.hls.seconds"),
        ({"outputs": {"thumbnails": {"everySeconds": 601}}}, "outputs.thumbnails.everySeconds"),
        ({"outputs": {"streams": [f"{STREAM}{n}" for n in range(5)]}}, "outputs.streams"),
        ({"outputs": {"gif": True}}, "outputs.gif"),
        ({"outputs": {"thumbnails": True}, "media": "audio"}, "outputs.thumbnails"),
        (
            {"outputs": {"thumbnails": True}, "source": "track_composite", "audioTrackSid": "TR_A"},
            "outputs.thumbnails",
        ),
        ({"outputs": {"file": True}, "source": "track", "trackSid": "TR_A"}, "outputs"),
    ],
)
def test_what_an_output_cannot_be_is_named(alice: User, options: dict[str, object], field: str) -> None:
    answer = alice.ask(**{"roomName": "demo", **options})
    assert (answer.status, answer["code"], answer.details) == (400, "invalid_request", [field])


@pytest.mark.parametrize("outputs", [{"hls": True}, {"streams": [STREAM]}])
def test_opus_with_hls_or_streams_is_refused(alice: User, outputs: dict[str, object]) -> None:
    answer = alice.ask(roomName="demo", audioCodec="opus", outputs=outputs)
    assert (answer.status, answer["code"]) == (422, "unsupported_codec")


@pytest.mark.parametrize("codec", ["aac", "opus"])
def test_sound_alone_in_two_takes(deployment: Deployment, alice: User, codec: str) -> None:
    recording_id = begun(deployment, alice, media="audio", audioCodec=codec)
    alice.pause(recording_id)
    deployment.advance(20)
    alice.resume(recording_id)
    deployment.advance(20)
    alice.stop(recording_id)
    deployment.advance(20)
    deployment.sweeps(5, minutes=20)
    recording = alice.get(recording_id).recording

    assert recording["status"] == "completed", recording
    found = files(alice, recording_id)
    if codec == "aac":
        assert (str(recording["fileName"])[-4:], recording["mimeType"]) == (".m4a", "audio/mp4")
        with av.open(io.BytesIO(content(found[0]))) as joined:
            assert [stream.type for stream in joined.streams] == ["audio"]
    else:
        assert [(each["take"], each["mimeType"]) for each in found] == [(1, "audio/ogg"), (2, "audio/ogg")]
