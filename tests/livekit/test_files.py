"""File names, keys, locations and manifests against those recorded."""

import re
from datetime import UTC, datetime
from itertools import pairwise
from random import Random
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from google.protobuf import json_format
from livekit.protocol import egress

from livekit_standin.files import Stored, manifest, presigned
from livekit_standin.jobs import StartRequest
from livekit_standin.timing import SECOND
from livekit_standin.uploads import Upload
from livekit_standin.world import World
from tests.livekit.recorded import Step, load

IDS = re.compile(r"\b(EG|RM)_[0-9A-Za-z]{12}")
TIMES = re.compile(r"2026-?11-?22T?\d{6,9}")


def alike(text: str) -> str:
    return TIMES.sub("<time>", IDS.sub(r"\1_", text))


def pairs(case: str) -> list[tuple[Step, Step]]:
    """Give each start with what became of it."""
    steps = [step for step in load(case).steps if "CreateRoom" not in step.path]
    return [(start, end) for start, end in pairwise(steps) if start.kind == "call" and end.kind == "result"]


def record(step: Step, identity: str) -> tuple[egress.EgressInfo, egress.EgressInfo, list[Upload]]:
    """Record for two seconds; give the info at the start and at the end, and the uploads."""
    now = 1_795_337_218_000_000_000
    world = World(lambda: now, Random(1), identities=(identity,))
    request = _request(step)
    camera, microphone = world.open_room(str(step.request["room_name"])).participants[identity].tracks
    if isinstance(request, egress.TrackEgressRequest):
        (microphone if request.track_id.startswith("TR_AM") else camera).sid = request.track_id
    started = world.call("Egress", step.path.rpartition("/")[2], request).outcome
    assert isinstance(started, egress.EgressInfo)
    now += 2 * SECOND
    world.advance()
    world.call("Egress", "StopEgress", egress.StopEgressRequest(egress_id=started.egress_id))
    now += SECOND
    uploads: list[Upload] = []
    while waiting := [effect for effect in world.advance() if isinstance(effect, Upload)]:
        uploads += waiting
        world.uploaded(waiting[0].id, 100)
    listed = world.call("Egress", "ListEgress", egress.ListEgressRequest(egress_id=started.egress_id)).outcome
    assert isinstance(listed, egress.ListEgressResponse)
    return started, listed.items[0], uploads


def _request(step: Step) -> StartRequest:
    kind = egress.TrackEgressRequest if "StartTrack" in step.path else egress.RoomCompositeEgressRequest
    return json_format.ParseDict(step.request, kind())


@pytest.mark.parametrize(("start", "end"), pairs("file_names"), ids=lambda step: step.label)
def test_file_names_are_those_recorded(start: Step, end: Step) -> None:
    started, ended, _ = record(start, "alice")
    file = ended.file_results[0]
    assert alike(started.file_results[0].filename) == alike(start.start_filename[0])
    assert alike(file.filename) == alike(end.filename[0])
    assert alike(file.location) == alike(end.location[0])
    assert alike(ended.manifest_location) == alike(end.manifest_location)


@pytest.mark.parametrize(
    ("start", "end"), pairs("room_names"), ids=lambda step: str(step.request.get("room_name", ""))[:20]
)
def test_odd_room_names_and_identities_end_where_the_real_ones_did(start: Step, end: Step) -> None:
    _, ended, (file_upload, manifest_upload) = record(start, "ali/../ce")
    file = ended.file_results[0]
    assert alike(file.filename) == alike(end.filename[0])
    assert alike(file.location) == alike(end.location[0])
    assert alike(ended.manifest_location) == alike(end.manifest_location)
    stored = {alike(found.key) for step in load("room_names").steps for found in step.objects}
    assert alike(file_upload.key) in stored
    # The list of what the bucket held leaves out what lay at its root.
    manifest_key = alike(manifest_upload.key)
    assert manifest_key in stored or "/" not in manifest_key


def test_manifests_are_those_recorded() -> None:
    compared = 0
    for case in ("limit_reached", "manifest_and_s3_options"):
        steps = load(case).steps
        bodies = {found.key: found.body for step in steps for found in step.objects if found.body}
        for step in steps:
            if "ListEgress" not in step.path:
                continue
            answer = json_format.Parse(
                step.response_body, egress.ListEgressResponse(), ignore_unknown_fields=True
            )
            for info in answer.items:
                key = info.manifest_location.partition("/recordings/")[2]
                files = [{"filename": file.filename, "location": file.location} for file in info.file_results]
                if key in bodies:
                    assert manifest(info, Stored(files)).decode() == bodies[key]
                    compared += 1
    assert compared >= 5


def test_a_presigned_location_is_signed_as_botocore_would(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 11, 26, 5, 16, 19, tzinfo=UTC)
    monkeypatch.setattr(auth, "get_current_datetime", lambda: now)
    s3 = egress.S3Upload(
        access_key="local",
        secret="word",
        bucket="recordings",
        endpoint="http://127.0.0.1:19300",
        force_path_style=True,
    )
    link = presigned(s3, "recordings/a b/ü.ogg", int(now.timestamp()) * SECOND)
    place, _, query = link.partition("?")
    request = AWSRequest("GET", f"{place}?x-id=GetObject")
    auth.S3SigV4QueryAuth(Credentials("local", "word"), "s3", "us-east-1", 604_800).add_auth(request)
    assert parse_qs(query) == parse_qs(urlsplit(str(request.url)).query)
    recorded = next(
        step.response_body
        for step in load("worker_storage_options").calls()
        if "X-Amz-Signature" in step.response_body
    )
    wanted = parse_qs(recorded.partition(".ogg?")[2].partition('"')[0])
    mine = parse_qs(query)
    assert mine.keys() == wanted.keys()
    assert {key for key in wanted if mine[key] != wanted[key]} == {"X-Amz-Signature"}
