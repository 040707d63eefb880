"""The kinds of recording: what LiveKit is asked for each, and the fields that each has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from livekit.protocol import egress as protocol
from livekit.protocol.models import AudioCodec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livekit.protocol.egress import EgressInfo

    from tests.conftest import Deploy
    from tests.support.deployment import Deployment, User

PAGE = "https://app.example.com/board?id=7"
ORIGINS = "https://app.example.com, http://localhost:3000"


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    return deploy(WEB_RECORDING_ORIGINS=ORIGINS, SAFETY_SEGMENTS="on")


def info(deployment: Deployment) -> EgressInfo:
    """The request of the one egress that was started, as LiveKit holds it."""
    [egress] = deployment.livekit.world.egresses()
    return egress.info


def kinds(deployment: Deployment) -> dict[str, dict[str, object]]:
    """A valid start of each kind, with the fields that it has of its own."""
    livekit = deployment.livekit
    return {
        "room_composite": {"layout": "speaker"},
        "participant": {"participantIdentity": "ada", "screenShare": False},
        "track_composite": {
            "audioTrackSid": livekit.track("microphone"),
            "videoTrackSid": livekit.track("camera_vp8"),
        },
        "track": {"trackSid": livekit.track("camera_vp8")},
        "web": {"pageUrl": PAGE},
    }


FIELDS: Mapping[str, object] = {
    "layout": "grid",
    "resolution": "720p",
    "orientation": "portrait",
    "framerate": 25,
    "codec": "h264",
    "audioCodec": "aac",
    "audioBitrate": 64,
    "videoBitrate": 2000,
    "media": "audio_video",
    "onWorkerLost": "end",
    "participantIdentity": "ada",
    "screenShare": True,
    "audioTrackSid": "TR_A",
    "videoTrackSid": "TR_V",
    "trackSid": "TR_V",
    "pageUrl": PAGE,
}
ENCODED = {"resolution", "orientation", "framerate", "codec", "audioCodec", "audioBitrate", "videoBitrate"}
HAS: Mapping[str, set[str]] = {
    "room_composite": ENCODED | {"layout", "media", "onWorkerLost"},
    "participant": ENCODED | {"participantIdentity", "screenShare", "onWorkerLost"},
    "track_composite": ENCODED | {"audioTrackSid", "videoTrackSid"},
    "track": {"trackSid", "codec"},
    "web": ENCODED | {"pageUrl", "media"},
}


@pytest.mark.parametrize("source", HAS)
def test_every_field_that_a_kind_does_not_have_is_named(
    deployment: Deployment, alice: User, source: str
) -> None:
    own = kinds(deployment)[source]
    for field, value in FIELDS.items():
        answer = alice.ask(roomName="demo", source=source, **{field: value, **own})
        if field in HAS[source]:
            assert answer.status in {201, 409}, (field, answer.text)
            continue
        assert (answer.status, answer["code"]) == (400, "invalid_request")
        assert field in answer.details or (field, answer.details) == ("trackSid", ["trackBased"])
    everything = alice.ask(roomName="demo", source=source, **{**FIELDS, **own})
    foreign = FIELDS.keys() - HAS[source] - ({"trackSid"} if source == "room_composite" else set())
    assert foreign <= set(everything.details)


def test_each_kind_is_started_and_answered(deployment: Deployment, alice: User) -> None:
    for source, own in kinds(deployment).items():
        started = alice.ask(roomName="demo", source=source, **own)
        assert started.status == 201, started.text
        recording = alice.get(started["recordingId"]).recording
        assert recording["source"] == source
        assert own.items() <= recording.items()
    assert sorted(
        protocol.EgressSourceType.Name(each.info.source_type) for each in deployment.livekit.world.egresses()
    ) == sorted(["EGRESS_SOURCE_TYPE_WEB"] * 2 + ["EGRESS_SOURCE_TYPE_SDK"] * 3)


@pytest.mark.parametrize("source", HAS)
def test_a_target_is_recorded_once(deployment: Deployment, alice: User, bob: User, source: str) -> None:
    own = kinds(deployment)[source]
    assert alice.ask(roomName="demo", source=source, **own).status == 201
    assert bob.ask(roomName="demo", source=source, **own).status == 409
    assert alice.start(roomName="demo", source="participant", participantIdentity="grace").status == 201


def test_what_a_kind_needs_is_named(alice: User) -> None:
    for source, field in {
        "participant": "participantIdentity",
        "track_composite": "audioTrackSid",
        "track": "trackSid",
        "web": "pageUrl",
    }.items():
        assert alice.start(roomName="demo", source=source).details == [field]
    assert alice.start(roomName="demo", source="screen").details == ["source"]
    assert alice.start(roomName="demo", source="room_composite", trackBased=True).details == ["trackBased"]


def test_a_client_of_the_original_recipe_may_send_all_that_it_knows_with_a_track(
    deployment: Deployment, alice: User
) -> None:
    options = {"layout": "grid", "resolution": "1080p", "audioCodec": "aac", "videoBitrate": 3000}
    sid = deployment.livekit.track("camera_vp8")
    assert alice.ask(roomName="demo", trackBased=True, trackSid=sid, **options).status == 201


@pytest.mark.parametrize(
    ("media", "audio_only", "video_only"), [("audio", True, False), ("video", False, True)]
)
@pytest.mark.parametrize("source", ["room_composite", "web"])
def test_sound_or_picture_alone(
    deployment: Deployment, alice: User, source: str, media: str, *, audio_only: bool, video_only: bool
) -> None:
    page = {"pageUrl": PAGE} if source == "web" else {}
    started = alice.ask(roomName="demo", source=source, media=media, **page)

    request = info(deployment).web if source == "web" else info(deployment).room_composite
    assert (request.audio_only, request.video_only) == (audio_only, video_only)
    # LiveKit refuses images of sound.
    assert len(request.image_outputs) == (0 if audio_only else 1)
    assert alice.get(started["recordingId"]).recording["media"] == media
    for field in ("layout", "framerate", "videoBitrate") if audio_only else ("audioCodec", "audioBitrate"):
        value = FIELDS[field]
        named = alice.ask(roomName="demo", media=media, **{field: value})
        assert named.details == [field]


@pytest.mark.parametrize(
    ("codec", "key", "named"),
    [("aac", "recording.mp4", (".m4a", "audio/mp4")), ("opus", "recording.ogg", (".ogg", "audio/ogg"))],
)
def test_sound_alone_is_mp4_or_ogg(
    deployment: Deployment, alice: User, codec: str, key: str, named: tuple[str, str]
) -> None:
    started = alice.start(roomName="demo", media="audio", audioCodec=codec)
    deployment.advance(20)
    alice.stop(started["recordingId"])
    deployment.advance(20)

    found = alice.get(started["recordingId"]).recording
    assert str(found["storageKey"]).endswith(key)
    assert (str(found["fileName"])[-4:], found["mimeType"]) == named
    assert (found["status"], found["codec"]) == ("completed", None)


def test_orientation_frame_rate_and_bitrates_are_asked_for(deployment: Deployment, alice: User) -> None:
    alice.start(
        roomName="demo",
        orientation="portrait",
        framerate=24,
        resolution="720p",
        audioCodec="opus",
        audioBitrate=96,
    )

    options = info(deployment).room_composite.advanced
    assert (options.width, options.height, options.framerate) == (720, 1280, 24)
    assert (options.audio_codec, options.audio_bitrate) == (AudioCodec.OPUS, 96)


@pytest.mark.parametrize("source", ["participant", "track_composite", "web"])
def test_vp8_of_what_is_encoded_is_refused(deployment: Deployment, alice: User, source: str) -> None:
    answer = alice.ask(roomName="demo", source=source, codec="vp8", **kinds(deployment)[source])
    assert (answer.status, answer["code"]) == (422, "unsupported_codec")


@pytest.mark.parametrize(
    "page",
    [
        "https://app.example.com",
        "https://app.example.com:443/x",
        "https://APP.example.com/x",
        "https://app.example.com?x#y",
        "http://localhost:3000/board",
    ],
)
def test_a_page_of_an_allowed_origin_is_recorded(deployment: Deployment, alice: User, page: str) -> None:
    assert alice.start(roomName="demo", source="web", pageUrl=page).status == 201
    assert info(deployment).web.url == page


@pytest.mark.parametrize(
    ("page", "status"),
    [
        ("http://app.example.com/", 403),
        ("https://app.example.com:8443/", 403),
        ("https://app.example.com.evil.example/", 403),
        ("https://evil.example/app.example.com", 403),
        ("https://evil.example/?https://app.example.com", 403),
        ("http://localhost/", 403),
        ("https://169.254.169.254/latest", 403),
        ("https://app.example.com@evil.example/", 400),
        ("https://user:secret@app.example.com/", 400),
        ("https://evil.example\\@app.example.com/", 400),
        ("https://app.example.com\\@evil.example/", 400),
        ("https://app.example.com\t.evil.example/", 400),
        ("https://app.example.com/\\evil", 400),
        ("https://app.exämple.com/", 400),
        ("https:app.example.com/", 400),
        ("file:///etc/passwd", 400),
        ("javascript:alert(1)", 400),
        (f"https://app.example.com/{'a' * 2048}", 400),
    ],
)
def test_any_other_page_is_refused(deployment: Deployment, alice: User, page: str, status: int) -> None:
    answer = alice.start(roomName="demo", source="web", pageUrl=page)
    assert answer.status == status
    assert answer["code"] == {403: "forbidden", 400: "invalid_request"}[status]
    assert deployment.livekit.world.egresses() == ()


def test_without_a_setting_no_page_may_be_recorded(deploy: Deploy) -> None:
    deployment = deploy()
    answer = deployment.as_user("alice").start(roomName="demo", source="web", pageUrl=PAGE)
    assert (answer.status, answer["code"]) == (403, "forbidden")


@pytest.mark.parametrize("source", HAS)
def test_the_claim_of_rooms_holds_for_every_kind(deployment: Deployment, source: str) -> None:
    deployment.configure(ROOM_CLAIM="rooms")
    answer = deployment.as_user("alice").ask(roomName="demo", source=source, **kinds(deployment)[source])
    assert (answer.status, answer["code"]) in {(403, "forbidden"), (401, "unauthorized")}


def test_names_as_long_as_they_may_be_make_a_target(deployment: Deployment, alice: User) -> None:
    room, identity = "🎥" * 512, "🎤" * 512
    deployment.livekit.world.open_room(room, identities=(identity,))
    options: dict[str, object] = {"roomName": room, "source": "participant", "participantIdentity": identity}
    assert alice.ask(**options).status == 201
    assert alice.ask(**options).status == 409
    assert alice.start(roomName="demo", source="web", pageUrl=f"{PAGE}{'a' * 1900}").status == 201
