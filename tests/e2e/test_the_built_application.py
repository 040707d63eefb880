"""The application as it is deployed, over HTTP only: built functions, edge, Postgres, S3, LiveKit and its webhooks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from livekit import api
from livekit.protocol.room import CreateRoomRequest, ListParticipantsRequest

from local import demo
from recorder.usecases.waiting import WAITS_PER_USER
from tests.local.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import JsonValue

    from local.stack import Stack
    from recorder.contract.schemas import (
        ErrorJson,
        RecordingDetailJson,
        RecordingJson,
        RecordingListJson,
        StartedJson,
        StoppedJson,
    )

pytestmark = pytest.mark.xdist_group("e2e")

RECORDINGS = "/api/video/recordings"
WEBHOOK = "/api/video/livekit/webhook"
NOBODYS = "8c6a1f0e-3a52-4d0c-9a38-0f0d3c1b7e55"
EVENT = b'{"event":"room_started", "room":{"name":"demo"}, "id":"EV_1", "createdAt":"1795000070"}'


@dataclass(frozen=True)
class User:
    """Somebody with a token."""

    http: httpx.Client

    def start(self, room: str, **options: JsonValue) -> str:
        answer = self.http.post(RECORDINGS, json={"roomName": room, **options})
        assert answer.status_code == 201, answer.text
        started: StartedJson = answer.json()
        assert started["status"] == "starting"
        assert answer.headers["location"] == f"{RECORDINGS}/{started['recordingId']}"
        return started["recordingId"]

    def get(self, recording_id: str, wait: int = 0) -> RecordingDetailJson:
        answer = self.http.get(f"{RECORDINGS}/{recording_id}", headers={"prefer": f"wait={wait}"})
        assert answer.status_code == 200, answer.text
        details: RecordingDetailJson = answer.json()
        return details

    def wait_until_active(self, recording_id: str) -> None:
        """Return once it is active; the status may have changed before the wait began."""
        status = self.get(recording_id)["recording"]["status"]
        if status == "starting":
            status = self.get(recording_id, wait=5)["recording"]["status"]
        assert status == "active"

    def stop(self, recording_id: str) -> StoppedJson:
        answer = self.http.patch(f"{RECORDINGS}/{recording_id}", headers={"prefer": "wait=20"})
        assert answer.status_code == 200, answer.text
        stopped: StoppedJson = answer.json()
        return stopped

    def change(self, recording_id: str, action: str) -> StoppedJson:
        """Pause or resume."""
        answer = self.http.patch(f"{RECORDINGS}/{recording_id}", json={"action": action})
        assert answer.status_code == 200, answer.text
        changed: StoppedJson = answer.json()
        return changed

    def wait_for(self, recording_id: str, status: str, *, takes: int) -> None:
        """Return once it has this status and so many takes."""

        def reached() -> bool:
            details = self.get(recording_id)
            return details["recording"]["status"] == status and len(details["takes"]) == takes

        eventually(reached)

    def page(self, **query: str | int) -> RecordingListJson:
        answer = self.http.get(RECORDINGS, params=query)
        assert answer.status_code == 200, answer.text
        page: RecordingListJson = answer.json()
        return page

    def recorded(self, room: str, **options: JsonValue) -> RecordingDetailJson:
        """Record for a moment, and return the completed recording."""
        recording_id = self.start(room, **options)
        self.wait_until_active(recording_id)
        assert self.stop(recording_id)["status"] == "completed"
        return self.get(recording_id)


def _user(running: Stack, name: str) -> Iterator[User]:
    headers = {"authorization": f"Bearer {running.token(name)}"}
    with httpx.Client(base_url=running.endpoints.api_url, headers=headers, timeout=40) as client:
        yield User(client)


@pytest.fixture
def alice(running: Stack) -> Iterator[User]:
    yield from _user(running, "alice")


@pytest.fixture
def bob(running: Stack) -> Iterator[User]:
    yield from _user(running, "bob")


@pytest.fixture
def pager(running: Stack) -> Iterator[User]:
    """Somebody who has no other recordings."""
    yield from _user(running, "pager")


@pytest.fixture
def room(running: Stack) -> str:
    """A room of one's own with somebody in it."""
    name = f"room {uuid4()}"

    async def create() -> None:
        livekit = running.livekit
        async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as client:
            await client.room.create_room(CreateRoomRequest(name=name, empty_timeout=600))

    asyncio.run(create())
    return name


def tracks(running: Stack, room: str) -> dict[str, str]:
    """Ask LiveKit's RoomService for the room's tracks: ids by media type."""

    async def ask() -> dict[str, str]:
        livekit = running.livekit
        async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as client:
            listed = await client.room.list_participants(ListParticipantsRequest(room=room))
        return {
            track.mime_type: track.sid for participant in listed.participants for track in participant.tracks
        }

    return asyncio.run(ask())


def code(answer: httpx.Response) -> tuple[int, str]:
    error: ErrorJson = answer.json()
    return answer.status_code, error["code"]


def link_of(details: RecordingDetailJson) -> str:
    assert details["downloadUrl"] is not None
    return details["downloadUrl"]


def size_of(recording: RecordingJson) -> int:
    assert recording["fileSize"] is not None
    return recording["fileSize"]


def downloaded(details: RecordingDetailJson, target: Path) -> Path:
    answer = httpx.get(link_of(details))
    assert answer.status_code == 200
    assert len(answer.content) == details["recording"]["fileSize"]
    target.write_bytes(answer.content)
    return target


def test_a_recording_from_its_start_to_its_end(alice: User, room: str, tmp_path: Path) -> None:
    recording_id = alice.start(room, resolution="480p")
    alice.wait_until_active(recording_id)
    assert alice.get(recording_id)["downloadUrl"] is None
    stopped = alice.stop(recording_id)
    assert (stopped["recordingId"], stopped["status"]) == (recording_id, "completed")

    details = alice.get(recording_id)
    recording, link = details["recording"], link_of(details)
    size = size_of(recording)
    assert (recording["roomName"], recording["userId"]) == (room, "alice")
    assert recording["endReason"] == "stopped"
    decoded = demo._decode(downloaded(details, tmp_path / "recording.mp4"))
    assert decoded.frames > 0
    assert decoded.seconds == pytest.approx(recording["duration"], abs=0.5)
    part = httpx.get(link, headers={"range": f"bytes={size - 10}-"})
    assert (part.status_code, part.headers["content-range"]) == (206, f"bytes {size - 10}-{size - 1}/{size}")
    assert part.content == (tmp_path / "recording.mp4").read_bytes()[-10:]

    deleted = alice.http.delete(f"{RECORDINGS}/{recording_id}")
    assert (deleted.status_code, deleted.json()) == (200, {"success": True})
    for method in ("GET", "PATCH", "DELETE"):
        answer = alice.http.request(method, f"{RECORDINGS}/{recording_id}")
        assert code(answer) == (404, "recording_not_found")
    assert httpx.get(link).status_code == 404


def objects(running: Stack, folder: str) -> list[str]:
    """List what lies below a folder of the bucket."""
    listed = running.aws.s3.list_objects_v2(Bucket=running.aws.bucket, Prefix=folder)
    return [found["Key"] for found in listed.get("Contents", [])]


def has_segments(running: Stack, recording_id: str, take: int) -> bool:
    """Tell whether there are segments of four seconds of a take."""
    return len(objects(running, f"segments/{recording_id}/{take}/segment_")) >= 2


def test_a_pause_and_a_killed_worker_leave_one_file_of_all_takes(
    running: Stack, alice: User, room: str, tmp_path: Path
) -> None:
    recording_id = alice.start(room, resolution="480p")
    for take in (1, 2, 3):
        alice.wait_for(recording_id, "active", takes=take)
        eventually(partial(has_segments, running, recording_id, take))
        if take == 1:
            egress_id = alice.get(recording_id)["recording"]["egressId"]
            httpx.post(f"{running.livekit.url}/_control/egress/{egress_id}/kill-handler").raise_for_status()
        elif take == 2:
            assert alice.change(recording_id, "pause")["status"] in {"active", "paused"}
            alice.wait_for(recording_id, "paused", takes=2)
            # Of a take that no request began LiveKit reports the end all the same.
            eventually(lambda: alice.get(recording_id)["takes"][1]["duration"] is not None)
            assert alice.change(recording_id, "resume")["status"] in {"resuming", "active"}
    alice.stop(recording_id)
    alice.wait_for(recording_id, "completed", takes=3)

    details = alice.get(recording_id)
    takes = details["takes"]
    assert [take["end"] for take in takes] == ["worker_lost", "paused", "stopped"]
    assert all((take["duration"] or 0) >= 3.9 for take in takes)
    assert takes[0].get("lostSeconds", 0) > 0
    decoded = demo._decode(downloaded(details, tmp_path / "recording.mp4"))
    assert decoded.seconds == pytest.approx(sum(take["duration"] or 0 for take in takes), abs=0.2)
    assert decoded.seconds == pytest.approx(details["recording"]["duration"], abs=0.2)


def test_the_picture_of_a_recording_lasts_as_long_as_it_does(
    running: Stack, alice: User, room: str, tmp_path: Path
) -> None:
    recording_id = alice.start(room, resolution="480p")
    alice.wait_until_active(recording_id)
    picture = f"recordings/{recording_id}/poster.jpeg"
    eventually(lambda: picture in objects(running, picture))
    assert shows(alice.get(recording_id), tmp_path)
    alice.change(recording_id, "pause")
    alice.wait_for(recording_id, "paused", takes=1)
    assert shows(alice.get(recording_id), tmp_path)
    alice.change(recording_id, "resume")
    alice.wait_for(recording_id, "active", takes=2)
    alice.stop(recording_id)
    alice.wait_for(recording_id, "completed", takes=2)
    details = alice.get(recording_id)
    assert shows(details, tmp_path)
    # Both takes wrote the one picture, and it stays beside the file that they became.
    assert {picture, details["recording"]["storageKey"]} <= {*objects(running, f"recordings/{recording_id}/")}

    assert alice.http.delete(f"{RECORDINGS}/{recording_id}").status_code == 200
    assert objects(running, f"recordings/{recording_id}/") == []
    assert httpx.get(details["posterUrl"] or "").status_code == 404


def shows(details: RecordingDetailJson, folder: Path) -> bool:
    """Tell whether the link to the recording's picture leads to one of its size."""
    assert details["posterUrl"] is not None
    answer = httpx.get(details["posterUrl"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/jpeg")
    picture = folder / "poster.jpeg"
    picture.write_bytes(answer.content)
    return demo._decode(picture).frames == 1


def test_a_track_is_recorded_as_it_was_published(
    running: Stack, alice: User, room: str, tmp_path: Path
) -> None:
    sid = tracks(running, room)["video/H264"]
    details = alice.recorded(room, trackBased=True, trackSid=sid)
    recording = details["recording"]
    assert (recording["source"], recording["trackSid"]) == ("track", sid)
    decoded = demo._decode(downloaded(details, tmp_path / "recording.mp4"))
    assert decoded.seconds == pytest.approx(recording["duration"], abs=0.5)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", RECORDINGS),
        ("GET", RECORDINGS),
        *((method, f"{RECORDINGS}/{NOBODYS}") for method in ("GET", "PATCH", "DELETE")),
    ],
    ids=str,
)
def test_without_a_good_token_nothing_is_answered(running: Stack, method: str, path: str) -> None:
    good = running.token("alice")
    url = f"{running.endpoints.api_url}{path}"
    for headers in (
        {},
        {"authorization": f"Bearer {good[:-8]}AAAAAAAA"},
        {"authorization": f"Bearer {running.token('alice', exp=1)}"},
    ):
        answer = httpx.request(method, url, headers=headers)
        assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/api/video/recording"), ("PUT", RECORDINGS)]
)
def test_an_unknown_route_is_404(alice: User, method: str, path: str) -> None:
    assert alice.http.request(method, path).status_code == 404


def test_a_recording_is_there_for_its_owner_only(alice: User, bob: User, room: str) -> None:
    recording_id = alice.recorded(room)["recording"]["id"]
    for method in ("GET", "PATCH", "DELETE"):
        answer = bob.http.request(method, f"{RECORDINGS}/{recording_id}")
        assert code(answer) == (404, "recording_not_found")
    assert bob.page(roomName=room)["recordings"] == []
    assert link_of(alice.get(recording_id))


def test_t57_twenty_waits_of_one_user_hold_up_nobody_else(alice: User, bob: User, room: str) -> None:
    recording_id = alice.start(room)
    alice.wait_until_active(recording_id)
    url, wish = f"{RECORDINGS}/{recording_id}", {"prefer": "wait=20"}
    with ThreadPoolExecutor(20) as threads:
        waits = [threads.submit(alice.http.get, url, headers=wish, timeout=60) for _ in range(20)]
        answered = [wait.result() for wait in islice(as_completed(waits), 16)]
        # There are fewer environments here than waits were wished for.
        assert bob.http.get(url).status_code == 404
        assert [wait.done() for wait in waits].count(False) == WAITS_PER_USER
        alice.stop(recording_id)
        answers = [wait.result() for wait in waits]
    assert {answer.status_code for answer in answers} == {200}
    assert not any("preference-applied" in answer.headers for answer in answered)
    assert sum("preference-applied" in answer.headers for answer in answers) == WAITS_PER_USER


def test_a_start_with_a_key_can_be_repeated_as_it_was(alice: User, room: str) -> None:
    headers = {"idempotency-key": str(uuid4())}
    first, again = (alice.http.post(RECORDINGS, json={"roomName": room}, headers=headers) for _ in range(2))
    assert (first.status_code, first.json()) == (again.status_code, again.json())
    other = alice.http.post(RECORDINGS, json={"roomName": room, "layout": "speaker"}, headers=headers)
    assert code(other) == (422, "idempotency_mismatch")
    assert len(alice.page(roomName=room)["recordings"]) == 1


def signed(running: Stack, body: bytes) -> str:
    livekit = running.livekit
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return api.AccessToken(livekit.api_key, livekit.api_secret).with_sha256(digest).to_jwt()


def test_a_webhook_is_taken_from_livekit_only(running: Stack) -> None:
    url = f"{running.endpoints.api_url}{WEBHOOK}"
    headers = {"content-type": "application/webhook+json"}
    assert code(httpx.post(url, content=EVENT, headers=headers)) == (401, "unauthorized")
    headers["authorization"] = signed(running, EVENT)
    assert code(httpx.post(url, content=EVENT + b" ", headers=headers)) == (401, "unauthorized")
    taken = httpx.post(url, content=EVENT, headers=headers)
    assert (taken.status_code, taken.json()) == (200, {"success": True})


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "roomName"),
        ({"roomName": "demo", "resolution": "8k"}, "resolution"),
        ({"roomName": "demo", "trackBased": True}, "trackSid"),
        ({"roomName": "demo", "colour": "red"}, "colour"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_request_is_named(alice: User, body: JsonValue, field: str) -> None:
    answer = alice.http.post(RECORDINGS, json=body)
    assert code(answer) == (400, "invalid_request")
    error: ErrorJson = answer.json()
    assert [detail["field"] for detail in error["details"]] == [field]


def test_pages_follow_each_other_by_their_cursor(pager: User, room: str) -> None:
    ids = []
    for _ in range(3):
        ids.append(pager.start(room))
        pager.stop(ids[-1])
    first = pager.page(limit=2)
    assert first["nextCursor"] is not None
    second = pager.page(limit=2, cursor=first["nextCursor"])
    assert second["nextCursor"] is None
    listed = [recording["id"] for page in (first, second) for recording in page["recordings"]]
    assert listed == ids[::-1]
    mangled = pager.http.get(RECORDINGS, params={"limit": 2, "cursor": first["nextCursor"] + "0"})
    assert code(mangled) == (400, "invalid_request")
