"""Deleting leaves nothing behind, nobody sees what is another's, and a list shows each recording once."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import uuid4

import httpx
import pytest

from livekit_standin.timing import Delay, Timing
from tests.support.forwarder import Forwarder
from tests.support.livekit import MEDIA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Deploy
    from tests.support.deployment import Answer, Deployment, User
    from tests.support.logs import Logs

DAY = 24 * 3600


def _completed(deployment: Deployment, user: User, room: str = "demo") -> str:
    recording_id = user.record(room, seconds=20)
    user.stop(recording_id)
    deployment.advance(2)
    assert user.get(recording_id).recording["status"] == "completed"
    return recording_id


@pytest.fixture
def storage(deployment: Deployment) -> Iterator[Forwarder]:
    """The bucket behind an address that can be cut off."""
    with Forwarder(lambda: deployment.site.aws.port) as forwarder:
        deployment.configure(AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{forwarder.port}")
        yield forwarder
        deployment.configure(AWS_ENDPOINT_URL_S3=deployment.site.aws.endpoint)


@pytest.fixture
def database(deployment: Deployment) -> Iterator[Forwarder]:
    """The database behind an address that counts what is sent to it."""
    with Forwarder(lambda: deployment.site.postgres.port) as forwarder:
        deployment.configure(DATABASE_PORT=str(forwarder.port))
        yield forwarder
        deployment.configure(DATABASE_PORT=deployment.site.settings["DATABASE_PORT"])


def test_t21_delete_that_s3_refuses_leaves_a_tombstone_that_is_tried_again(
    deployment: Deployment, alice: User, storage: Forwarder, logs: Logs
) -> None:
    recording_id = _completed(deployment, alice)
    [key] = deployment.objects()
    storage.cut_off()

    refused = alice.delete(recording_id)

    assert (refused.status, refused["code"]) == (503, "storage_unavailable")
    assert logs.of("OBJECTS_NOT_REMOVED")[0]["recording_id"] == recording_id
    assert alice.get(recording_id).status == 404
    assert alice.list().recordings == []
    for _ in range(2):
        deployment.advance(61)
        assert deployment.sweep()["postponed"] == 1
    row = deployment.row(recording_id)
    assert row is not None
    assert row["deleted_at"] is not None
    assert deployment.objects() == [key]

    storage.mend()
    deployment.advance(600)
    deployment.sweeps(1)
    assert deployment.objects() == []
    deployment.advance(2 * 3600)
    deployment.sweeps(1)
    assert deployment.row(recording_id) is None


def test_t21_one_failure_of_s3_is_made_up_for_by_the_next_sweep(
    deployment: Deployment, alice: User, storage: Forwarder
) -> None:
    recording_id = _completed(deployment, alice)
    storage.cut_off()
    alice.delete(recording_id)
    storage.mend()
    deployment.sweeps(1)
    assert deployment.objects() == []


def test_t21_egress_that_ended_without_a_row_leaves_nothing_behind(
    deployment: Deployment, alice: User
) -> None:
    # No sweep runs while it does, so its webhooks are all that is heard of it.
    recording_id = alice.record(seconds=20)
    deployment.execute("delete from recordings")
    deployment.livekit.stop(recording_id)
    deployment.advance(2)
    assert deployment.objects() == [f"recordings/{recording_id}/1/recording.mp4"]

    deployment.sweeps(1)

    assert deployment.objects() == []
    deployment.advance(2 * 3600)
    deployment.sweeps(1)
    assert deployment.row(recording_id) is None


def test_t21_webhook_of_an_egress_that_never_recorded_makes_no_row(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    recording_id = alice.start(roomName="demo")["recordingId"]
    deployment.execute("delete from recordings")
    deployment.livekit.world.close_room("demo")
    deployment.advance(60)

    assert logs.of("WEBHOOK_OF_NO_RECORDING")
    assert deployment.row(recording_id) is None


def test_t21_row_goes_last(deployment: Deployment, alice: User, storage: Forwarder) -> None:
    recording_id = _completed(deployment, alice)
    # No upload can follow any more: nothing but the objects keeps the row.
    deployment.advance(2 * 3600)
    storage.cut_off()
    assert alice.delete(recording_id).status == 503
    assert deployment.row(recording_id) is not None
    assert len(deployment.objects()) == 1

    storage.mend()
    deployment.sweeps(1)
    assert deployment.objects() == []
    assert deployment.row(recording_id) is None


def test_recording_is_hidden_before_its_objects_go(deployment: Deployment, alice: User) -> None:
    recording_id = _completed(deployment, alice)
    with deployment.row_locked(recording_id) as waiting:
        # The first write hides the recording, and only then do its objects go.
        deleted = deployment.begin(lambda: alice.delete(recording_id).status)
        waiting(1)
        assert len(deployment.objects()) == 1
    assert deleted.result() == 200
    assert deployment.objects() == []


def test_t22_delete_while_recording(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    assert alice.delete(recording_id).status == 200
    _never_reappears(deployment, alice, recording_id)
    assert deployment.livekit.world.unended() == {}
    assert alice.start(roomName="demo").status == 201


@pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])
@pytest.mark.parametrize("timing", [Timing(late_upload=Delay(20 * 60))], ids=["20_minutes"])
def test_t22_delete_while_uploading(deployment: Deployment, alice: User, webhooks: str) -> None:
    deployment.livekit.world.faults.upload_late.next()
    recording_id = alice.record()
    if webhooks == "are_lost":
        deployment.livekit.world.faults.webhook_lost.always()
    alice.stop(recording_id)
    deployment.advance(2)
    assert alice.delete(recording_id).status == 200
    assert deployment.objects() == []
    deployment.advance(19 * 60)
    _never_reappears(deployment, alice, recording_id)


def test_t22_delete_while_the_egress_cannot_be_stopped(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.stop.internal.always()
    assert alice.delete(recording_id).status == 200
    deployment.sweeps(2)
    assert alice.start(roomName="demo").status == 409
    deployment.livekit.world.faults.off()
    _never_reappears(deployment, alice, recording_id)
    assert deployment.livekit.world.unended() == {}


def test_t22_object_that_comes_after_all_is_swept(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(sweep=True)
    deployment.livekit.kill_host(recording_id)
    assert alice.delete(recording_id).status == 200
    deployment.sweeps(3)
    deployment.put_object(f"recordings/{recording_id}/1/recording.mp4")
    deployment.advance(2 * 3600)
    deployment.sweeps(1)
    assert deployment.objects() == []
    assert alice.get(recording_id).status == 404
    assert alice.list().recordings == []


def _never_reappears(deployment: Deployment, user: User, recording_id: str) -> None:
    for _ in range(8):
        assert user.get(recording_id).status == 404
        assert recording_id not in user.list().text
        assert user.stop(recording_id).status == 404
        assert user.delete(recording_id).status == 404
        deployment.advance(10 * 60)
        deployment.sweep()
    assert deployment.objects() == []
    deployment.advance(2 * 3600)
    deployment.sweeps(1)
    assert deployment.row(recording_id) is None


def test_t23_delete_removes_everything_in_the_folder_and_nothing_else(
    deployment: Deployment, alice: User
) -> None:
    recording_id, other = _completed(deployment, alice), _completed(deployment, alice)
    for name in ("EG_abc.json", "thumbnails/1.jpg", "thumbnails/2.jpg", "recording 2.mp4", "ümlaut+%20.mp4"):
        deployment.put_object(f"recordings/{recording_id}/{name}")
    assert len(deployment.objects()) == 7

    assert alice.delete(recording_id).status == 200

    assert deployment.objects() == [f"recordings/{other}/1/recording.mp4"]
    assert alice.get(recording_id).status == 404
    assert httpx.get(alice.get(other)["downloadUrl"]).content == MEDIA


STATUSES: dict[str, Callable[[Deployment, User], str]] = {}


def _status(make: Callable[[Deployment, User], str]) -> Callable[[Deployment, User], str]:
    STATUSES[make.__name__] = make
    return make


@_status
def starting(_: Deployment, user: User) -> str:
    return user.start(roomName="demo")["recordingId"]


@_status
def starting_without_an_egress(deployment: Deployment, user: User) -> str:
    deployment.livekit.world.faults.start.request_lost.next()
    return user.start(roomName="demo")["recordingId"]


@_status
def starting_with_an_unknown_egress(deployment: Deployment, user: User) -> str:
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.world.faults.start.answer_lost.next()
    return user.start(roomName="demo")["recordingId"]


@_status
def active(_: Deployment, user: User) -> str:
    return user.record()


@_status
def stopping(deployment: Deployment, user: User) -> str:
    deployment.livekit.world.faults.upload_late.next()
    recording_id = user.record()
    user.stop(recording_id)
    return recording_id


@_status
def completed(deployment: Deployment, user: User) -> str:
    return _completed(deployment, user)


@_status
def failed(deployment: Deployment, user: User) -> str:
    recording_id = user.record()
    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(recording_id))
    deployment.advance(1)
    return recording_id


@_status
def failed_with_a_file(deployment: Deployment, user: User) -> str:
    recording_id = user.record()
    deployment.livekit.world.shut_down_host(deployment.livekit.egress_of(recording_id))
    deployment.advance(1)
    return recording_id


@pytest.mark.usefixtures("ends_with_its_worker")
@pytest.mark.parametrize("status", STATUSES)
def test_t24_every_status_can_be_deleted(deployment: Deployment, alice: User, status: str) -> None:
    recording_id = STATUSES[status](deployment, alice)
    assert str(alice.list().recordings[0]["status"]) == status.partition("_")[0]

    assert alice.delete(recording_id).json == {"success": True}

    assert alice.get(recording_id).status == 404
    assert alice.list().recordings == []
    deployment.livekit.world.faults.off()
    deployment.advance(10)
    deployment.sweeps(5)
    assert alice.start(roomName="demo").status == 201
    deployment.advance(10)
    assert len(deployment.livekit.world.unended()) == 1
    assert deployment.objects() == []
    deployment.advance(3 * 3600)
    deployment.sweeps(2)
    assert deployment.row(recording_id) is None


def test_t25_answers_are_not_stored_and_links_are_private_and_short_lived(
    deployment: Deployment, alice: User
) -> None:
    recording_id = _completed(deployment, alice)
    detail = alice.get(recording_id)
    answers = [
        detail,
        alice.list(),
        alice.stop(recording_id),
        alice.start(roomName="demo"),
        alice.start(roomName="nowhere"),
        alice.get(str(uuid4())),
        alice.delete(recording_id),
    ]
    assert {answer.headers["Cache-Control"] for answer in answers} == {"no-store"}

    url = urlsplit(detail["downloadUrl"])
    assert parse_qs(url.query)["X-Amz-Expires"] == ["3600"]
    expires_at = datetime.fromisoformat(detail["downloadUrlExpiresAt"])
    assert expires_at - deployment.livekit.clock.now() <= timedelta(hours=1)


def test_t25_object_is_not_public(deployment: Deployment, alice: User) -> None:
    url = alice.get(_completed(deployment, alice))["downloadUrl"]
    assert httpx.get(url).status_code == 200
    assert httpx.get(url.partition("?")[0]).status_code == 403
    assert httpx.get(re.sub(r"X-Amz-Expires=\d+", "X-Amz-Expires=604800", url)).status_code == 403
    assert httpx.get(url.replace("recording.mp4", "other.mp4")).status_code == 403
    assert httpx.put(url, content=b"").status_code == 403


@pytest.mark.parametrize(
    "room_name",
    [
        'He said "hi"',
        "naïve 日本語 🎥",
        "a/b\\c",
        "100%22; filename=x.exe",
        "semi;colon, comma",
        "…" * 200,
        "a\u202egpm",
    ],
)
def test_t26_download_has_a_safe_file_name(deployment: Deployment, alice: User, room_name: str) -> None:
    deployment.livekit.world.open_room(room_name)
    answer = alice.get(_completed(deployment, alice, room_name))

    headers = httpx.get(answer["downloadUrl"]).headers
    disposition = headers["content-disposition"]

    found = re.fullmatch(
        r"attachment; filename=\"([^\"\\\r\n]*)\"; filename\*=UTF-8''([\w.~!$&+^`|#%-]+)", disposition
    )
    assert found, disposition
    plain, extended = found.groups()
    assert plain.isascii()
    name = unquote(extended, errors="strict")
    assert name == answer.recording["fileName"]
    assert name.endswith(".mp4")
    assert not {*name} & {*"/\\\u202e"}
    # Other characters stay as they are.
    assert name.startswith(re.split(r"[/\\\u202e]", room_name)[0][:60])
    assert headers["content-type"] == "video/mp4"


def test_t26_download_serves_ranges(deployment: Deployment, alice: User) -> None:
    url = alice.get(_completed(deployment, alice))["downloadUrl"]
    part = httpx.get(url, headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, MEDIA[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(MEDIA)}"


@pytest.mark.parametrize("order", ["desc", "asc"])
@pytest.mark.parametrize("seed", range(3))
def test_t27_paging_through_inserts_and_deletes_shows_each_once(
    deployment: Deployment, alice: User, order: str, seed: int
) -> None:
    random = Random(seed)
    rooms = (f"room {number}" for number in range(100))

    def start() -> str:
        room = next(rooms)
        deployment.livekit.world.open_room(room)
        return alice.start(roomName=room)["recordingId"]

    lasting = {start() for _ in range(16)}
    # Many of the same moment: only the id tells them apart.
    deployment.execute("update recordings set created_at = date_trunc('minute', created_at)")
    seen: list[str] = []
    cursor = ""
    while True:
        page = alice.list(
            f"order={order}&limit={random.randint(1, 5)}" + (f"&cursor={cursor}" if cursor else "")
        )
        assert page.status == 200
        seen += [str(recording["id"]) for recording in page.recordings]
        if page.json["nextCursor"] is None:
            break
        cursor = page["nextCursor"]
        if len(seen) < 25:
            start()
        if random.random() < 0.7:
            victim = random.choice(sorted(lasting))
            lasting.remove(victim)
            assert alice.delete(victim).status == 200

    assert len(seen) == len(set(seen))
    assert lasting <= set(seen)


def test_t28_expired_recordings_are_gone(deploy: Deploy) -> None:
    deployment = deploy(RETENTION_DAYS="1")
    alice = deployment.as_user("alice")
    alice.defaults["onWorkerLost"] = "end"
    good, bad = completed(deployment, alice), failed(deployment, alice)
    kept = alice.record()
    recording = alice.get(good).recording
    lifetime = datetime.fromisoformat(str(recording["expiresAt"])) - datetime.fromisoformat(
        str(recording["stoppedAt"])
    )
    assert timedelta(days=1) <= lifetime < timedelta(days=1, seconds=5)

    deployment.advance(DAY - 300)
    deployment.sweep()
    assert [alice.get(each).status for each in (good, bad, kept)] == [200, 200, 200]

    deployment.advance(400)
    for recording_id in (good, bad):
        for answer in (alice.get(recording_id), alice.stop(recording_id), alice.delete(recording_id)):
            assert (answer.status, answer["code"]) == (410, "recording_gone")
    assert [each["id"] for each in alice.list().recordings] == [kept]
    assert deployment.as_user("bob").get(good).status == 404

    deployment.sweeps(2)
    deployment.advance(2 * 3600)
    deployment.sweeps(2)
    assert [alice.get(each).status for each in (good, bad, kept)] == [404, 404, 200]
    assert [row["id"] for row in deployment.rows("select id from recordings")] == [kept]
    assert deployment.objects() == []


def _by_id(method: str) -> Callable[[User, str], Answer]:
    calls: dict[str, Callable[[User, str], Answer]] = {
        "GET": lambda user, recording_id: user.get(recording_id),
        "GET waiting": lambda user, recording_id: user.get(recording_id, wait=20),
        "PATCH": lambda user, recording_id: user.stop(recording_id),
        "PATCH waiting": lambda user, recording_id: user.stop(recording_id, wait=20),
        "DELETE": lambda user, recording_id: user.delete(recording_id),
    }
    return calls[method]


@pytest.mark.parametrize("method", ["GET", "GET waiting", "PATCH", "PATCH waiting", "DELETE"])
@pytest.mark.parametrize("status", ["active", "failed"])
def test_t34_recording_of_another_is_like_one_that_never_was(
    deployment: Deployment, alice: User, bob: User, database: Forwarder, *, method: str, status: str
) -> None:
    theirs = STATUSES[status](deployment, alice)
    deployment.livekit.world.open_room("other")
    deleted = bob.record("other")
    deployment.livekit.world.faults.stop.internal.next()
    assert bob.delete(deleted).status == 200
    assert deployment.row(deleted) is not None
    before = alice.get(theirs).recording
    call = _by_id(method)

    costs = []
    for recording_id in (theirs, deleted, str(uuid4())):
        sent, calls, now = database.sent, len(deployment.livekit.calls), deployment.livekit.clock.ns()
        answer = call(bob, recording_id)
        # The same statements, no more calls, no waiting: it cannot take another time.
        assert (len(deployment.livekit.calls), deployment.livekit.clock.ns()) == (calls, now)
        text = answer.text.replace(answer["requestId"], "")
        costs.append((database.sent - sent, answer.status, dict(answer.headers), text))

    assert costs[0] == costs[1] == costs[2]
    assert costs[0][1] == 404
    assert alice.get(theirs).recording == before


def test_t34_list_and_start_tell_nothing_of_another(alice: User, bob: User) -> None:
    theirs = alice.record()
    assert bob.list().json == {"recordings": [], "nextCursor": None}
    assert bob.list("roomName=demo&status=active").json == {"recordings": [], "nextCursor": None}
    refused = bob.start(roomName="demo")
    assert refused.json.keys() == {"error", "code", "requestId"}
    assert theirs not in refused.text
    assert "alice" not in refused.text
