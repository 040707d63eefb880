"""The stand-in over HTTP: LiveKit's own client against it, real webhooks, real files in S3."""

import asyncio
import json
import re
import socket
import subprocess
import sys
from base64 import b64decode
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from time import time
from typing import TYPE_CHECKING

import boto3
import httpx
import jwt
import pytest
import uvicorn
from aiohttp import web
from imageio_ffmpeg import get_ffmpeg_exe
from livekit import api
from livekit.protocol.models import WebhookConfig
from moto.server import ThreadedMotoServer

from livekit_standin import __main__ as command_line
from livekit_standin.server import DEMO_ROOM, Options, build
from livekit_standin.timing import Delay, Timing
from recorder.livekit import client as product
from tests.livekit.recorded import KEY, SECRET, Step, load
from tests.livekit.replay import masked

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PATIENCE_S = 60
FAST = Timing(
    accept=Delay(0.01),
    answer=Delay(0.01),
    refuse=Delay(0.01),
    active=Delay(0.1),
    active_web=Delay(0.1),
    join_web=Delay(0.05),
    stop_unreachable=Delay(0.01),
    no_worker=Delay(0.01),
)
SMALL = api.EncodingOptions(width=160, height=90, framerate=10, video_bitrate=100, audio_bitrate=32)


@dataclass
class Received:
    """A webhook receiver, with the bodies that it got; it answers with `statuses` in turn, then 200."""

    url: str
    requests: list[tuple[dict[str, str], str]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    def events(self) -> list[str]:
        bodies = [json.loads(body) for _, body in self.requests]
        return [body["egressInfo"].get("status", "EGRESS_STARTING") for body in bodies]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Generator[str]:
    """A stand-in in real time, on a free port."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    # A call before the server is up waits for it.
    listener.listen()
    application = build(Options(KEY, SECRET, tmp_path_factory.mktemp("livekit"), timing=FAST))
    # A connection that the server closes after some idle seconds may be reset just when a client uses it again.
    server = uvicorn.Server(
        uvicorn.Config(application, log_level="warning", timeout_graceful_shutdown=1, timeout_keep_alive=3600)
    )
    thread = Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def endpoint() -> Generator[str]:
    """An S3 with the bucket `recordings`."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    _client(address).create_bucket(Bucket="recordings")
    yield address
    server.stop()


@pytest.fixture(autouse=True)
def as_before(url: str) -> Generator[None]:
    yield
    for kind in ("faults", "settings"):
        httpx.delete(f"{url}/_control/{kind}").raise_for_status()


def configure(url: str, **settings: object) -> dict[str, object]:
    answer: dict[str, object] = (
        httpx.patch(f"{url}/_control/settings", json=settings).raise_for_status().json()
    )
    return answer


def _client(endpoint: str) -> "S3Client":
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id="key",
        aws_secret_access_key="word",
        region_name="us-east-1",
    )


def run(work: Callable[[api.LiveKitAPI], Awaitable[None]], url: str) -> None:
    async def main() -> None:
        async with (
            api.LiveKitAPI(url, KEY, SECRET, failover=False) as livekit,
            asyncio.timeout(2 * PATIENCE_S),
        ):
            await work(livekit)

    asyncio.run(main())


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncGenerator[Received]:
    received = Received("", statuses=list(statuses))

    async def receive(request: web.Request) -> web.Response:
        received.requests.append((dict(request.headers), await request.text()))
        return web.Response(status=received.statuses.pop(0) if received.statuses else 200)

    application = web.Application()
    application.router.add_post("/hook", receive)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    received.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield received
    await runner.cleanup()


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.01)


async def until_status(livekit: api.LiveKitAPI, egress_id: str, *wanted: int) -> api.EgressInfo:
    found: list[api.EgressInfo] = []

    async def reached() -> bool:
        listed = (await livekit.egress.list_egress(api.ListEgressRequest())).items
        found[:] = [info for info in listed if info.egress_id == egress_id and info.status in wanted]
        return bool(found)

    await until(reached)
    return found[0]


def s3(endpoint: str, bucket: str = "recordings") -> api.S3Upload:
    return api.S3Upload(
        access_key="key",
        secret="word",
        region="us-east-1",
        bucket=bucket,
        endpoint=endpoint,
        force_path_style=True,
        metadata={"recording-id": "1"},
        tagging="a=b",
    )


def composite(upload: api.S3Upload, hook: str = "") -> api.RoomCompositeEgressRequest:
    return api.RoomCompositeEgressRequest(
        room_name=DEMO_ROOM,
        layout="grid",
        advanced=SMALL,
        file_outputs=[api.EncodedFileOutput(filepath="recordings/1/file", s3=upload)],
        webhooks=[WebhookConfig(url=hook, signing_key=KEY)] if hook else [],
    )


def test_livekits_client_records_a_room_to_a_file_and_hears_of_it(url: str, endpoint: str) -> None:
    async def record(livekit: api.LiveKitAPI) -> None:
        async with receiver(500) as received:
            started = await livekit.egress.start_room_composite_egress(composite(s3(endpoint), received.url))
            await until_status(livekit, started.egress_id, api.EgressStatus.EGRESS_ACTIVE)
            rooms = await livekit.room.list_rooms(api.ListRoomsRequest(names=[DEMO_ROOM]))
            assert rooms.rooms[0].active_recording
            stopped = await livekit.egress.stop_egress(api.StopEgressRequest(egress_id=started.egress_id))
            assert stopped.status == api.EgressStatus.EGRESS_ENDING
            ended = await until_status(livekit, started.egress_id, api.EgressStatus.EGRESS_COMPLETE)

            async def heard() -> bool:
                return received.events()[-1:] == ["EGRESS_COMPLETE"]

            await until(heard)
            statuses = ["STARTING", "STARTING", "ACTIVE", "ENDING", "COMPLETE"]
            assert received.events() == [f"EGRESS_{status}" for status in statuses]
            first, again = received.requests[:2]
            assert (first[1], first[0]["Authorization"]) == (again[1], again[0]["Authorization"])
            reader = api.WebhookReceiver(api.TokenVerifier(KEY, SECRET))
            for headers, body in received.requests:
                assert headers["Content-Type"] == "application/webhook+json"
                assert reader.receive(body, headers["Authorization"]).egress_info.room_name == DEMO_ROOM
        _check_stored(endpoint, ended)

    run(record, url)


def _check_stored(endpoint: str, ended: api.EgressInfo) -> None:
    store = _client(endpoint)
    stored = store.get_object(Bucket="recordings", Key=ended.file.filename)
    content = stored["Body"].read()
    assert (len(content), content[4:8]) == (ended.file.size, b"ftyp")
    assert (stored["ContentType"], stored["Metadata"]) == ("video/mp4", {"recording-id": "1"})
    tags = store.get_object_tagging(Bucket="recordings", Key=ended.file.filename)
    assert tags["TagSet"] == [{"Key": "a", "Value": "b"}]
    key = f"recordings/1/{ended.egress_id}.json"
    manifest = json.loads(store.get_object(Bucket="recordings", Key=key)["Body"].read())
    assert manifest["ended_at"] == ended.ended_at
    assert manifest["files"] == [{"filename": ended.file.filename, "location": ended.file.location}]


def test_a_track_of_the_demo_room_is_recorded_as_it_is(url: str, endpoint: str) -> None:
    async def record(livekit: api.LiveKitAPI) -> None:
        request = api.ListParticipantsRequest(room=DEMO_ROOM)
        participants = (await livekit.room.list_participants(request)).participants
        sound = next(track for track in participants[0].tracks if track.mime_type == "audio/opus")
        output = api.DirectFileOutput(filepath="t/{track_id}", s3=s3(endpoint))
        start = api.TrackEgressRequest(room_name=DEMO_ROOM, track_id=sound.sid, file=output)
        started = await livekit.egress.start_track_egress(start)
        assert started.file.filename == ""
        await until_status(livekit, started.egress_id, api.EgressStatus.EGRESS_ACTIVE)
        await livekit.egress.stop_egress(api.StopEgressRequest(egress_id=started.egress_id))
        ended = await until_status(livekit, started.egress_id, api.EgressStatus.EGRESS_COMPLETE)
        assert ended.file.filename == f"t/{sound.sid}.ogg"

    run(record, url)


@pytest.mark.parametrize("case", ["s3_wrong_bucket", "s3_unreachable"])
def test_a_failed_upload_has_the_real_text(case: str, url: str, endpoint: str) -> None:
    # The real delays between attempts take their time.
    configure(url, worker={"max_retry_delay_s": 0.01})
    upload = s3(endpoint, "absent") if case == "s3_wrong_bucket" else s3("http://127.0.0.1:1")
    recorded = next(json.loads(step.response_body) for step in load(case).steps if step.label == "end")[
        "items"
    ][0]

    async def record(livekit: api.LiveKitAPI) -> None:
        started = await livekit.egress.start_room_composite_egress(composite(upload))
        await until_status(livekit, started.egress_id, api.EgressStatus.EGRESS_ACTIVE)
        await livekit.egress.stop_egress(api.StopEgressRequest(egress_id=started.egress_id))
        info = await until_status(livekit, started.egress_id, api.EgressStatus.EGRESS_FAILED)
        assert (info.error_code, info.details) == (recorded["error_code"], recorded["details"])
        assert (info.file.size, info.file.location, info.manifest_location) == (0, "", "")
        assert plain(info.error) == plain(recorded["error"])

    run(record, url)


def plain(text: str) -> str:
    """Take out of an upload error what each attempt has of its own."""
    text = re.sub(r"(RequestID|HostID): [^,]*", r"\1: ", text)
    return re.sub(r'Put "[^"]*": .*, status', 'Put "", status', text)


def test_a_caller_that_gives_up_has_started_an_egress_all_the_same(url: str, endpoint: str) -> None:
    httpx.patch(f"{url}/_control/faults", json={"start.answer_lost": {"times": 1}}).raise_for_status()

    async def give_up(livekit: api.LiveKitAPI) -> None:
        before = len((await livekit.egress.list_egress(api.ListEgressRequest(active=True))).items)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await livekit.egress.start_room_composite_egress(composite(s3(endpoint)))

        async def there() -> bool:
            active = await livekit.egress.list_egress(api.ListEgressRequest(active=True))
            return len(active.items) == before + 1

        await until(there)

    run(give_up, url)


def token(secret: str = SECRET, key: str = KEY, lifetime_s: int = 3600, **video: object) -> str:
    claims = {"iss": key, "nbf": int(time()) - 600, "exp": int(time()) + lifetime_s, "video": video}
    return jwt.encode(claims, secret, "HS256")


WRONG = "another-secret-that-is-long-enough-for-hs256"
AUTHORIZATIONS = {
    "no Authorization header": "",
    "token is not a JWT": "Bearer not-a-jwt",
    "signed with a wrong secret": "Bearer " + token(WRONG, roomRecord=True),
    "unknown API key": "Bearer " + token(key="nokey", roomRecord=True),
    "no roomRecord grant": "Bearer " + token(),
    "roomAdmin but no roomRecord": "Bearer " + token(roomAdmin=True),
    "expired 300 s ago": "Bearer " + token(lifetime_s=-300, roomRecord=True),
    "start without roomRecord": "Bearer " + token(),
    "stop without roomRecord": "Bearer " + token(),
    'Authorization without "Bearer "': token(roomRecord=True),
}


@pytest.mark.parametrize("step", load("errors_auth_and_transport").calls(), ids=lambda step: step.label)
def test_authentication_and_transport_errors_are_those_recorded(step: Step, url: str) -> None:
    authorization = AUTHORIZATIONS.get(step.label, "Bearer " + token(roomRecord=True))
    headers = {"Content-Type": step.request_headers["Content-Type"]}
    if authorization:
        headers["Authorization"] = authorization
    answer = httpx.post(url + step.path, content=_body(step), headers=headers)
    assert answer.status_code == step.status
    assert answer.headers["Content-Type"] == step.response_headers["Content-Type"]
    assert answer.headers["Vary"] == step.response_headers["Vary"]
    sent = authorization.removeprefix("Bearer ")
    if step.label in {"JSON with an unknown field", "protobuf content type, empty message"}:
        return
    assert masked(answer.text.replace(sent, "REDACTED") if sent else answer.text) == masked(
        step.response_body
    )


def _body(step: Step) -> bytes:
    if "base64" in step.request:
        return b64decode(str(step.request["base64"]))
    return json.dumps(step.request).encode()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_only_post_is_served(method: str, url: str) -> None:
    path = "/twirp/livekit.Egress/ListEgress"
    answer = httpx.request(method, url + path, headers={"Authorization": f"Bearer {token(roomRecord=True)}"})
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert answer.json() == {
        "code": "bad_route",
        "msg": f'unsupported method "{method}" (only POST is allowed)',
        "meta": {"twirp_invalid_route": f"{method} {path}"},
    }


def test_a_doubled_slash_in_front_counts_as_one(url: str) -> None:
    headers = {"Authorization": f"Bearer {token(roomRecord=True)}"}
    answer = httpx.post(url + "//twirp/livekit.Egress/ListEgress", json={}, headers=headers)
    assert (answer.status_code, answer.json()["next_page_token"]) == (200, None)
    refused = httpx.post(url + "//twirp/livekit.Egress/Nothing", json={}, headers=headers)
    assert refused.json()["meta"] == {"twirp_invalid_route": "POST /twirp/livekit.Egress/Nothing"}


def test_an_administrator_administers_the_room_of_the_token_only(url: str) -> None:
    path = f"{url}/twirp/livekit.RoomService/ListParticipants"
    statuses = []
    for name in (DEMO_ROOM, "another"):
        headers = {"Authorization": "Bearer " + token(roomAdmin=True, room=name)}
        statuses.append(httpx.post(path, json={"room": DEMO_ROOM}, headers=headers).status_code)
    assert statuses == [200, 401]


def test_the_controls_change_the_world(url: str, endpoint: str) -> None:
    async def control(livekit: api.LiveKitAPI) -> None:
        await livekit.room.create_room(api.CreateRoomRequest(name="a/b"))
        request = composite(s3(endpoint))
        request.room_name = "a/b"
        first = (await livekit.egress.start_room_composite_egress(request)).egress_id
        second = (await livekit.egress.start_room_composite_egress(request)).egress_id
        for egress_id in (first, second):
            await until_status(livekit, egress_id, api.EgressStatus.EGRESS_ACTIVE)
        async with httpx.AsyncClient(base_url=f"{url}/_control") as controls:
            listed = (await controls.get("/egress")).json()
            assert {"egressId": first, "roomName": "a/b", "status": "EGRESS_ACTIVE"} in listed
            for action in ("suspend-host", "go-on", "freeze-handler", "go-on", "kill-handler"):
                assert (await controls.post(f"/egress/{first}/{action}")).status_code == 204
            await until_status(livekit, first, api.EgressStatus.EGRESS_FAILED)
            third = (await livekit.egress.start_room_composite_egress(request)).egress_id
            await until_status(livekit, third, api.EgressStatus.EGRESS_ACTIVE)
            assert (await controls.post(f"/egress/{third}/end")).status_code == 204
            ended = await until_status(livekit, third, api.EgressStatus.EGRESS_COMPLETE)
            assert ended.details == "End reason: CPU exhausted"
            assert (await controls.post(f"/egress/{second}/lose-record")).status_code == 204
            active = await livekit.egress.list_egress(api.ListEgressRequest(active=True))
            assert second not in [info.egress_id for info in active.items]
            assert (await controls.post("/rooms/a/b/leave", json={"identity": "ada"})).status_code == 204
            assert (await controls.post("/rooms/a/b/join", json={"identity": "alan"})).status_code == 204
            screen = {"identity": "grace", "source": "SCREEN_SHARE"}
            assert (await controls.post("/rooms/a/b/publish", json=screen)).status_code == 204
            camera = {"identity": "grace", "source": "CAMERA"}
            assert (await controls.post("/rooms/a/b/unpublish", json=camera)).status_code == 204
            assert (await controls.post("/rooms/a/b/publish", json={"identity": "grace"})).status_code == 400
            participants = await livekit.room.list_participants(api.ListParticipantsRequest(room="a/b"))
            grace = next(each for each in participants.participants if each.identity == "grace")
            assert [track.name for track in grace.tracks] == ["microphone", "screen_share"]
            assert {p.identity for p in participants.participants} >= {"grace", "alan"}
            assert (await controls.delete("/rooms/a/b")).status_code == 204
            await until_status(livekit, second, api.EgressStatus.EGRESS_COMPLETE)

    run(control, url)


def test_the_server_can_be_away(url: str) -> None:
    headers = {"Authorization": f"Bearer {token(roomRecord=True)}"}

    def ask() -> httpx.Response:
        return httpx.post(f"{url}/twirp/livekit.Egress/ListEgress", json={}, headers=headers)

    with httpx.Client(base_url=f"{url}/_control/server") as controls:
        assert controls.post("/stop").status_code == 204
        assert (ask().status_code, ask().headers["Content-Type"]) == (502, "text/plain; charset=utf-8")
        assert controls.post("/start", json={"back": []}).status_code == 400
        assert controls.post("/start", json={"gone": ["nobody"]}).status_code == 204
        assert ask().status_code == 200


def test_faults_are_named_and_switched_by_http(url: str) -> None:
    with httpx.Client(base_url=f"{url}/_control") as controls:
        names = controls.get("/faults").json()
        assert {"no_worker", "start.answer_lost", "webhook_lost"} <= names.keys()
        changed = controls.patch(
            "/faults", json={"no_worker": {"times": 2}, "list.slow": {"probability": 0.5}}
        )
        assert changed.json()["no_worker"] == {"probability": 0.0, "times": 2}
        assert controls.get("/faults").json()["list.slow"] == {"probability": 0.5, "times": 0}
        assert controls.patch("/faults", json={"nonsense": {"times": 1}}).status_code == 400
        assert controls.patch("/faults", json={"no_worker": {"probability": 2}}).status_code == 400
        assert controls.post("/egress/EG_x/explode").status_code == 404
        assert controls.delete("/faults").json()["no_worker"] == {"probability": 0.0, "times": 0}


def test_a_worker_can_be_configured_by_http(url: str, endpoint: str) -> None:
    store = _client(endpoint)
    store.create_bucket(Bucket="backup")
    backup = {"endpoint": endpoint, "bucket": "backup", "access_key": "key", "secret": "word"}
    shown = configure(url, worker={"storage_prefix": "pre", "generate_presigned_url": True, "backup": backup})
    assert "word" not in json.dumps(shown)
    configure(url, page_size=1)

    async def record(livekit: api.LiveKitAPI, upload: api.S3Upload) -> api.EgressInfo:
        started = await livekit.egress.start_room_composite_egress(composite(upload))
        await until_status(livekit, started.egress_id, api.EgressStatus.EGRESS_ACTIVE)
        await livekit.egress.stop_egress(api.StopEgressRequest(egress_id=started.egress_id))
        return await until_status(livekit, started.egress_id, api.EgressStatus.EGRESS_COMPLETE)

    async def work(livekit: api.LiveKitAPI) -> None:
        ended = await record(livekit, s3(endpoint))
        assert ended.file.filename.startswith("recordings/1/")
        assert store.head_object(Bucket="recordings", Key=f"pre/{ended.file.filename}")
        link = await asyncio.to_thread(httpx.get, ended.file.location)
        assert (link.status_code, len(link.content)) == (200, ended.file.size)
        ended = await record(livekit, s3(endpoint, "absent"))
        assert ended.backup_storage_used
        assert store.head_object(Bucket="backup", Key=ended.file.filename)["ContentLength"] == ended.file.size
        assert ended.file.location.endswith(f"/backup/{ended.file.filename}")

    run(work, url)


@pytest.mark.parametrize(
    "wrong", ["[]", "no JSON", '{"page_size": 0}', '{"worker": {"speed": 1}}', '{"worker": 1}']
)
def test_wrong_settings_are_refused(wrong: str, url: str) -> None:
    before = httpx.get(f"{url}/_control/settings").text
    assert httpx.patch(f"{url}/_control/settings", content=wrong).status_code == 400
    assert httpx.get(f"{url}/_control/settings").text == before


def test_segments_and_images_lie_in_the_bucket_while_it_records(url: str, endpoint: str) -> None:
    store = _client(endpoint)
    segments = api.SegmentedFileOutput(
        filename_prefix="live/seg",
        playlist_name="live/all.m3u8",
        live_playlist_name="live/last.m3u8",
        segment_duration=1,
        s3=s3(endpoint),
    )
    images = api.ImageOutput(filename_prefix="live/shot", capture_interval=1, s3=s3(endpoint))
    request = composite(s3(endpoint))
    request.segment_outputs.append(segments)
    request.image_outputs.append(images)

    def keys() -> set[str]:
        listed = store.list_objects_v2(Bucket="recordings", Prefix="live/")
        return {found["Key"] for found in listed.get("Contents", [])}

    async def work(livekit: api.LiveKitAPI) -> None:
        started = await livekit.egress.start_room_composite_egress(request)

        wanted = {"seg_00000.ts", "seg_00001.ts", "all.m3u8", "last.m3u8", "shot_00000.jpeg"}

        async def they_are_there() -> bool:
            return {f"live/{name}" for name in wanted} <= await asyncio.to_thread(keys)

        await until(they_are_there)
        listed = await livekit.egress.list_egress(api.ListEgressRequest(egress_id=started.egress_id))
        assert listed.items[0].status == api.EgressStatus.EGRESS_ACTIVE
        async with httpx.AsyncClient(base_url=f"{url}/_control") as controls:
            assert (await controls.post(f"/egress/{started.egress_id}/kill-host")).status_code == 204
        segment = store.get_object(Bucket="recordings", Key="live/seg_00001.ts")
        assert segment["ContentType"] == "video/mp2t"
        # A transport stream has this byte at the head of every packet.
        assert set(segment["Body"].read()[::188]) == {0x47}
        playlist = store.get_object(Bucket="recordings", Key="live/all.m3u8")
        assert playlist["ContentType"] == "application/x-mpegurl"
        assert b"ENDLIST" not in playlist["Body"].read()

    run(work, url)


@asynccontextmanager
async def rtmp_receiver(file: Path) -> AsyncGenerator[str]:
    """Listen for one stream, and write it into a file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"rtmp://127.0.0.1:{free.getsockname()[1]}/live/secretkey"
    process = await asyncio.create_subprocess_exec(
        *(get_ffmpeg_exe(), "-v", "error", "-nostdin", "-listen", "1", "-i", address),
        *("-c", "copy", "-flush_packets", "1", "-f", "flv", str(file)),
    )
    try:
        yield address
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def until_streams(livekit: api.LiveKitAPI, egress_id: str, *statuses: str) -> api.EgressInfo:
    found: list[api.EgressInfo] = []

    async def reached() -> bool:
        listed = await livekit.egress.list_egress(api.ListEgressRequest(egress_id=egress_id))
        found[:] = listed.items
        results = listed.items[0].stream_results
        begun = all(result.started_at for result in results)
        return begun and [api.StreamInfo.Status.Name(result.status) for result in results] == [*statuses]

    await until(reached)
    return found[0]


def test_a_stream_is_pushed_to_a_receiver_and_fails_where_nobody_listens(url: str, tmp_path: Path) -> None:
    file = tmp_path / "received.flv"

    async def work(livekit: api.LiveKitAPI) -> None:
        async with rtmp_receiver(file) as address:
            request = api.RoomCompositeEgressRequest(
                room_name=DEMO_ROOM,
                advanced=SMALL,
                stream_outputs=[api.StreamOutput(protocol=api.StreamProtocol.RTMP, urls=[address])],
            )
            started = await livekit.egress.start_room_composite_egress(request)
            await until_streams(livekit, started.egress_id, "ACTIVE")
            nobody = api.UpdateStreamRequest(
                egress_id=started.egress_id, add_output_urls=["rtmp://127.0.0.1:1/live/nobody"]
            )
            await livekit.egress.update_stream(nobody)
            info = await until_streams(livekit, started.egress_id, "ACTIVE", "FAILED")
            assert "Connection refused" in info.stream_results[1].error

            async def something_has_arrived() -> bool:
                return await asyncio.to_thread(lambda: file.exists() and file.stat().st_size > 10_000)

            await until(something_has_arrived)
            await livekit.egress.stop_egress(api.StopEgressRequest(egress_id=started.egress_id))
            ended = await until_status(livekit, started.egress_id, api.EgressStatus.EGRESS_COMPLETE)
            assert "secretkey" not in str(ended)

    run(work, url)
    told = subprocess.run(
        [get_ffmpeg_exe(), "-hide_banner", "-i", str(file)], capture_output=True, check=False
    )
    assert all(part in told.stderr.decode() for part in ("h264 (Main)", "160x90", "aac (LC)"))


def test_the_application_starts_and_stops(tmp_path: Path) -> None:
    application = build(Options(KEY, SECRET, tmp_path, timing=FAST))

    async def main() -> None:
        async with application.router.lifespan_context(application):
            transport = httpx.ASGITransport(application)
            async with httpx.AsyncClient(transport=transport, base_url="http://livekit") as client:
                assert (await client.get("/")).text == "OK"

    asyncio.run(main())


def test_a_connection_is_kept_longer_than_the_functions_use_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: given.update(options))
    monkeypatch.setattr(sys, "argv", ["livekit", "--state-dir", str(tmp_path)])
    command_line.main()
    kept = given["timeout_keep_alive"]
    assert isinstance(kept, int)
    assert kept > product._IDLE_SECONDS
