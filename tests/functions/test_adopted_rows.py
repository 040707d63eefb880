"""Rows that the original recipe left behind work like those of this product, through every door."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest
from livekit.protocol import egress as protocol

from tests.support.deployment import sign
from tests.support.livekit import MEDIA

if TYPE_CHECKING:
    from tests.support.deployment import Deployment, User

KEY = "rooms/demo/2025-01-01 10:00.mp4"


def _adopt(deployment: Deployment, status: str, **columns: object) -> str:
    """Insert a row as the migration leaves it: nothing but what the recipe's table had."""
    recording_id = str(uuid4())
    row = {
        "id": recording_id,
        "room_name": "demo",
        "user_id": "alice",
        "status": status,
        "layout": "grid",
        "codec": "vp8",
        "resolution": "hd",
        "started_at": "2025-01-01T10:00:00Z",
        "created_at": "2025-01-01T10:00:00Z",
        "updated_at": "2025-01-01T11:00:00Z",
        "status_at": "2025-01-01T11:00:00Z",
        "target": "room:demo" if status in {"starting", "active", "stopping"} else None,
        "due_at": "2025-01-01T11:00:00Z" if status in {"starting", "active", "stopping"} else None,
    } | columns
    deployment.execute(
        f"""insert into recordings ({", ".join(row)})
            select {", ".join(row)} from json_populate_record(null::recordings, cast(:row as json))""",
        row=json.dumps(row),
    )
    return recording_id


def _egress(deployment: Deployment) -> str:
    """Start an egress as the recipe did: to a path of its own, without a webhook."""
    output = protocol.EncodedFileOutput(filepath=KEY, s3=protocol.S3Upload(bucket=deployment.site.name))
    request = protocol.RoomCompositeEgressRequest(room_name="demo", file_outputs=[output])
    info = deployment.livekit.world.call("Egress", "StartRoomCompositeEgress", request).outcome
    assert isinstance(info, protocol.EgressInfo)
    deployment.advance(10)
    return info.egress_id


def test_finished_recording_is_listed_played_and_deleted(deployment: Deployment, alice: User) -> None:
    deployment.put_object(KEY, MEDIA)
    deployment.put_object("rooms/demo/another.mp4", MEDIA)
    recording_id = _adopt(
        deployment, "completed", storage_key=KEY, file_size=len(MEDIA), duration=61.5, egress_id="EG_old"
    )
    [listed] = alice.list().recordings
    assert (listed["id"], listed["duration"], listed["codec"]) == (recording_id, 61.5, "vp8")
    assert httpx.get(alice.get(recording_id)["downloadUrl"]).content == MEDIA
    assert alice.stop(recording_id)["status"] == "completed"

    assert alice.delete(recording_id).status == 200
    assert deployment.objects() == ["rooms/demo/another.mp4"]
    assert alice.list().recordings == []


def test_row_without_anything_can_be_read_and_deleted(deployment: Deployment, alice: User) -> None:
    recording_id = _adopt(deployment, "failed", layout=None, codec=None, resolution=None, started_at=None)
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["fileSize"], recording["mimeType"]) == ("failed", None, None)
    assert alice.delete(recording_id).status == 200
    assert deployment.rows("select id from recordings") == []


@pytest.mark.parametrize("status", ["starting", "active", "stopping"])
def test_running_egress_of_the_recipe_is_followed_to_its_end(
    deployment: Deployment, alice: User, status: str
) -> None:
    egress_id = _egress(deployment)
    recording_id = _adopt(
        deployment, status, egress_id=egress_id, status_at=deployment.livekit.clock.now().isoformat()
    )
    deployment.sweeps(2)
    assert alice.get(recording_id).recording["status"] in {"active", "stopping"}
    assert alice.start(roomName="demo").status == 409

    assert alice.stop(recording_id).status == 200
    deployment.livekit.world.call("Egress", "StopEgress", protocol.StopEgressRequest(egress_id=egress_id))
    deployment.advance(2)
    deployment.sweeps(1)

    answer = alice.get(recording_id)
    assert (answer.recording["status"], answer.recording["storageKey"]) == ("completed", KEY)
    assert httpx.get(answer["downloadUrl"]).content == MEDIA
    assert alice.start(roomName="demo").status == 201


def test_webhook_of_the_recipes_egress_is_correlated_by_its_id(deployment: Deployment, alice: User) -> None:
    recording_id = _adopt(deployment, "active", egress_id="EG_old")
    deployment.put_object(KEY, MEDIA)
    info = {
        "egressId": "EG_old",
        "roomName": "demo",
        "status": "EGRESS_COMPLETE",
        "fileResults": [{"filename": KEY, "size": "20", "location": f"https://s3.example.com/{KEY}"}],
    }
    body = json.dumps({"event": "egress_ended", "egressInfo": info}).encode()
    assert deployment.post_webhook("/api/video/livekit/webhook", body, sign(body)).status == 200
    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["storageKey"], recording["fileSize"]) == ("completed", KEY, 20)


@pytest.mark.parametrize("file", ["there", "missing"])
def test_live_row_whose_egress_is_long_gone_is_settled(
    deployment: Deployment, alice: User, file: str
) -> None:
    columns = {"storage_key": KEY} if file == "there" else {}
    if file == "there":
        deployment.put_object(KEY, MEDIA)
    recording_id = _adopt(deployment, "active", egress_id="EG_old", **columns)
    deployment.sweeps(2)
    deployment.sweeps(2, minutes=60)
    answer = alice.get(recording_id)
    if file == "there":
        assert answer.recording["status"] == "completed"
        assert httpx.get(answer["downloadUrl"]).content == MEDIA
    else:
        assert (answer.recording["status"], answer.recording["failureCode"]) == ("failed", "egress_lost")
    assert alice.start(roomName="demo").status == 201


def test_live_row_without_an_egress_is_settled(deployment: Deployment, alice: User) -> None:
    recording_id = _adopt(deployment, "starting")
    deployment.sweeps(1)
    assert alice.get(recording_id).recording["failureCode"] == "start_lost"


def test_of_several_live_rows_each_is_settled(deployment: Deployment, alice: User) -> None:
    older = _adopt(deployment, "active", egress_id="EG_old", target=None)
    newer = _adopt(deployment, "active", egress_id="EG_older")
    deployment.sweeps(2)
    deployment.sweeps(2, minutes=60)
    assert [alice.get(each).recording["status"] for each in (older, newer)] == ["failed", "failed"]
    assert alice.start(roomName="demo").status == 201


SWEEPS_TO_SETTLE = {"ends": 1, "is_forgotten": 1, "is_stopped": 1, "dies": 3}


@pytest.mark.parametrize("end", SWEEPS_TO_SETTLE)
def test_t61_rows_that_share_an_egress_are_all_settled(deployment: Deployment, alice: User, end: str) -> None:
    egress_id, now = _egress(deployment), deployment.livekit.clock.now().isoformat()
    ids = [
        _adopt(deployment, "active", egress_id=egress_id, status_at=now, created_at=now, target=target)
        for target in ("room:demo", None, None)
    ]
    deployment.sweeps(1)
    assert set(alice.statuses()) == {"active"}
    world = deployment.livekit.world
    if end == "is_stopped":
        for recording_id in ids:
            assert alice.stop(recording_id).status == 200
    elif end == "dies":
        world.kill_host(egress_id)
    else:
        world.call("Egress", "StopEgress", protocol.StopEgressRequest(egress_id=egress_id))
    deployment.advance(2)
    if end == "is_forgotten":
        world.lose_records()
    # All at once, and not one at each sweep.
    deployment.sweeps(SWEEPS_TO_SETTLE[end])
    assert set(alice.statuses()) == {"failed" if end == "dies" else "completed"}
    assert alice.start(roomName="demo").status == 201
