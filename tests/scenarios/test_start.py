"""Starting: one recording for each wish, whatever becomes of the call to LiveKit."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from livekit_standin.twirp import NO_WORKER, REDIS_DOWN, TIMED_OUT

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit_standin.faults import Faults
    from livekit_standin.twirp import TwirpError
    from recorder.domain.egress import EgressSnapshot
    from recorder.usecases.ports import Egress
    from tests.support.clock import VirtualLoops
    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs

START = "Egress.StartRoomCompositeEgress"

AMBIGUOUS: dict[str, Callable[[Faults], None]] = {
    "no_answer_but_an_egress": lambda faults: faults.start.answer_lost.next(),
    "no_answer_and_no_egress": lambda faults: faults.start.request_lost.next(),
    "a_500": lambda faults: faults.start.internal.next(),
    "an_answer_after_the_deadline": lambda faults: faults.start.slow.next(),
}


@pytest.mark.parametrize("webhooks", ["arrive", "are_lost"])
def test_t01_egress_of_a_start_answered_too_late_is_adopted(
    deployment: Deployment, alice: User, webhooks: str
) -> None:
    deployment.livekit.world.faults.start.slow.next()
    if webhooks == "are_lost":
        deployment.livekit.world.faults.webhook_lost.always()
    started = alice.start(roomName="demo")
    assert started.status == 202
    assert started.json == {"recordingId": started["recordingId"], "egressId": None, "status": "starting"}

    deployment.sweeps(2)

    [egress_id] = deployment.livekit.world.unended()
    recording = alice.get(started["recordingId"]).recording
    assert (recording["status"], recording["egressId"]) == ("active", egress_id)
    assert deployment.livekit.calls.count(START) == 1


def test_t01_egress_of_a_start_answered_too_late_is_stopped_where_nobody_wants_it(
    deployment: Deployment, alice: User
) -> None:
    deployment.livekit.world.faults.start.slow.next()
    deployment.livekit.world.faults.webhook_lost.always()
    started = alice.start(roomName="demo")
    assert alice.delete(started["recordingId"]).status == 200

    deployment.sweeps(2)

    assert deployment.livekit.world.unended() == {}
    assert alice.start(roomName="demo").status == 201
    assert alice.statuses() == ["starting"]


@pytest.mark.parametrize("egress_id", ["known", "not_yet_known"])
def test_t02_target_is_held_while_the_first_start_is_starting(
    deployment: Deployment, alice: User, bob: User, egress_id: str
) -> None:
    faults = deployment.livekit.world.faults
    faults.never_active.next()
    if egress_id == "not_yet_known":
        faults.start.answer_lost.next()
        faults.webhook_lost.next()
    first = alice.start(roomName="demo")
    for _ in range(3):
        again, others = alice.start(roomName="demo"), bob.start(roomName="demo")
        assert (again.status, again["code"]) == (409, "recording_in_progress")
        assert again["recordingId"] == first["recordingId"]
        assert (others.status, others["code"]) == (409, "recording_in_progress")
        assert "recordingId" not in others.json
        deployment.sweeps(1)
    assert alice.get(first["recordingId"]).recording["status"] == "starting"
    assert deployment.livekit.calls.count(START) == 1


@pytest.mark.parametrize("fault", AMBIGUOUS)
def test_t03_start_is_never_replayed_and_matched_before_anything_else(
    deployment: Deployment, alice: User, loops: VirtualLoops, fault: str
) -> None:
    # Only there does the client library replay calls by itself.
    loops.names["project.livekit.cloud"] = "127.0.0.1"
    deployment.configure(LIVEKIT_URL=deployment.livekit.url.replace("127.0.0.1", "project.livekit.cloud"))
    deployment.livekit.world.faults.webhook_lost.always()
    AMBIGUOUS[fault](deployment.livekit.world.faults)

    assert alice.start(roomName="demo").status == 202
    assert deployment.livekit.calls == [START]
    deployment.sweeps(2)
    assert alice.start(roomName="demo").status in {201, 409}

    later = deployment.livekit.calls[1:]
    assert "Egress.ListEgress" in later
    assert START not in later or later.index("Egress.ListEgress") < later.index(START)


@pytest.mark.parametrize("fault", AMBIGUOUS)
def test_t04_ambiguous_start_holds_its_target_until_it_is_reconciled(
    deployment: Deployment, alice: User, fault: str
) -> None:
    deployment.livekit.world.faults.webhook_lost.always()
    AMBIGUOUS[fault](deployment.livekit.world.faults)
    started = alice.start(roomName="demo")
    assert started.status == 202
    assert alice.get(started["recordingId"]).recording["status"] == "starting"
    assert alice.start(roomName="demo").status == 409

    deployment.sweeps(2)

    running = deployment.livekit.world.unended()
    recording = alice.get(started["recordingId"]).recording
    if running:
        assert (recording["status"], recording["egressId"]) == ("active", *running)
        assert alice.start(roomName="demo").status == 409
    else:
        assert (recording["status"], recording["failureCode"]) == ("failed", "start_lost")
        assert alice.start(roomName="demo").status == 201


@pytest.mark.parametrize("error", [TIMED_OUT, REDIS_DOWN], ids=["408", "500"])
def test_t04_answer_that_says_nothing_about_the_egress_is_no_failure(
    deployment: Deployment, alice: User, error: TwirpError
) -> None:
    deployment.livekit.world.refuse_after_effect = error
    started = alice.start(roomName="demo")
    assert started.status == 202
    deployment.sweeps(2)
    assert alice.get(started["recordingId"]).recording["status"] == "active"


class _Killed:
    """The process ends where it would have called LiveKit."""

    def start(self, *_: object) -> EgressSnapshot:
        raise SystemExit


def test_t05_crash_between_the_row_and_the_call_is_resolved_in_one_sweep_after_the_grace_time(
    deployment: Deployment, alice: User
) -> None:
    dying = deployment.cold()
    dying.egress = cast("Egress", _Killed())
    with pytest.raises(SystemExit):
        alice.start(environment=dying, roomName="demo")
    [recording] = alice.list().recordings
    assert (recording["status"], recording["egressId"]) == ("starting", None)

    deployment.advance(40)
    deployment.sweep()
    assert alice.statuses() == ["starting"]
    assert alice.start(roomName="demo").status == 409

    deployment.advance(10)
    deployment.sweep()
    [recording] = alice.list().recordings
    assert (recording["status"], recording["failureCode"]) == ("failed", "start_lost")
    assert alice.start(roomName="demo").status == 201


def test_t06_starting_for_ever_ends_at_the_deadline(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.never_active.next()
    started = alice.start(roomName="demo")
    deployment.sweeps(4)
    assert alice.statuses() == ["starting"]

    deployment.sweeps(2)

    recording = alice.get(started["recordingId"]).recording
    assert (recording["status"], recording["failureCode"]) == ("failed", "start_timeout")
    assert recording["failureReason"]
    assert deployment.livekit.world.unended() == {}
    assert alice.start(roomName="demo").status == 201
    assert alice.delete(started["recordingId"]).status == 200
    assert alice.get(started["recordingId"]).status == 404


def test_t06_starting_for_ever_ends_also_where_the_stop_is_not_answered(
    deployment: Deployment, alice: User
) -> None:
    faults = deployment.livekit.world.faults
    faults.never_active.next()
    started = alice.start(roomName="demo")
    faults.stop.internal.always()
    deployment.sweeps(6)
    assert alice.statuses() == ["stopping"]
    assert alice.start(roomName="demo").status == 409

    faults.stop.internal.off()
    deployment.sweeps(2)

    assert alice.get(started["recordingId"]).recording["failureCode"] == "start_timeout"
    assert deployment.livekit.world.unended() == {}


@pytest.mark.parametrize("users", [1, 2])
def test_t29_of_many_starts_at_once_exactly_one_records(deployment: Deployment, users: int) -> None:
    callers = [deployment.as_user(f"user{number % users}") for number in range(8)]
    answers = deployment.at_once(*((lambda user=user: user.start(roomName="demo")) for user in callers))
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    assert len(deployment.livekit.world.unended()) == 1
    assert deployment.livekit.calls.count(START) == 1
    assert len(deployment.rows("select id from recordings")) == 1


def _key(value: str) -> dict[str, str]:
    return {"idempotency-key": value}


def test_t30_retry_with_the_same_key_gets_the_first_answer_again(deployment: Deployment, alice: User) -> None:
    first = alice.start(headers=_key("k"), roomName="demo")
    again = alice.start(headers=_key("k"), roomName="demo")
    assert (again.status, again.json) == (first.status, first.json)
    assert again.headers["Location"] == first.headers["Location"]
    assert len(deployment.livekit.world.unended()) == 1


def test_t30_retries_at_once_start_once(deployment: Deployment, alice: User) -> None:
    answers = deployment.at_once(*[lambda: alice.start(headers=_key("k"), roomName="demo")] * 6)
    assert {answer.status for answer in answers} <= {201, 202}
    assert len({answer["recordingId"] for answer in answers}) == 1
    assert len(deployment.livekit.world.unended()) == 1


def test_t30_same_key_with_another_body_is_refused(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.open_room("other")
    first = alice.start(headers=_key("k"), roomName="demo")
    for refused in (
        alice.start(headers=_key("k"), roomName="other"),
        alice.start(headers=_key("k"), roomName="demo", layout="speaker"),
    ):
        assert (refused.status, refused["code"]) == (422, "idempotency_mismatch")
    assert alice.start(headers=_key("k"), roomName="demo").json == first.json
    assert len(deployment.livekit.world.unended()) == 1


def test_t30_key_is_the_users_own(deployment: Deployment, alice: User, bob: User) -> None:
    deployment.livekit.world.open_room("other")
    first = alice.start(headers=_key("k"), roomName="demo")
    other = bob.start(headers=_key("k"), roomName="other")
    assert (first.status, other.status) == (201, 201)
    assert first["recordingId"] != other["recordingId"]


ROOM_NAMES = {
    "slash": "a/b",
    "parents": "../../etc/passwd",
    "only_parents": "..",
    "absolute": "/etc",
    "pipe": "a|b",
    "time": "{time}",
    "all_placeholders": "{room_name}{room_id}{utc}{track_id}{publisher_identity}",
    "quotes": '"it\'s"',
    "semicolon": "'; drop table recordings; --",
    "percent": "%2e%2e%2f %s %n",
    "backslash": "a\\..\\b",
    "emoji": "🎥 Besprechung 日本語",
    "right_to_left": "שלום",
    "turned_around": "a\u202egpm.exe",
    "longest": "x" * 512,
    "longest_emoji": "🎥" * 512,
}


@pytest.mark.parametrize("name", ROOM_NAMES)
def test_t31_strange_room_name_is_stored_as_it_is_and_stays_out_of_the_key(
    deployment: Deployment, alice: User, name: str
) -> None:
    room_name = ROOM_NAMES[name]
    deployment.livekit.world.open_room(room_name)
    started = alice.start(roomName=room_name)
    assert started.status == 201
    deployment.advance(30)
    alice.stop(started["recordingId"])
    deployment.advance(5)

    answer = alice.get(started["recordingId"])

    assert answer.recording["roomName"] == room_name
    assert answer.recording["status"] == "completed"
    assert deployment.objects() == [answer.recording["storageKey"]]
    assert answer.recording["storageKey"] == f"recordings/{started['recordingId']}/1/recording.mp4"


@pytest.mark.parametrize("room_name", ["", " ", "x" * 513, "a\nb", "a\0b", "a\x1b[31mb"])
def test_t31_room_name_that_cannot_be_stored_safely_is_refused(
    deployment: Deployment, alice: User, room_name: str
) -> None:
    refused = alice.start(roomName=room_name)
    assert (refused.status, refused["code"]) == (400, "invalid_request")
    assert refused.details == ["roomName"]
    assert deployment.livekit.calls == []
    assert deployment.rows("select id from recordings") == []


REFUSED: dict[str, Callable[[Faults], None]] = {
    "room_not_found": lambda _: None,
    "egress_refused": lambda faults: faults.options_refused.always(),
    "egress_unavailable": lambda faults: faults.no_worker.always(),
}


@pytest.mark.parametrize("key", [None, "key"])
@pytest.mark.parametrize("code", REFUSED)
def test_t54_refused_start_is_no_recording(
    deployment: Deployment, alice: User, logs: Logs, code: str, key: str | None
) -> None:
    room = "demo" if code != "room_not_found" else "nobody is here"
    REFUSED[code](deployment.livekit.world.faults)
    headers = {"idempotency-key": key} if key else {}

    refused = alice.start(roomName=room, headers=headers)

    assert refused["code"] == code
    assert alice.list().recordings == []
    assert alice.list("status=failed").recordings == []
    # A refusal that may be lifted next time leaves nothing, and one for the request's own sake an answer for its key.
    remembered = deployment.rows("select * from recordings")
    assert len(remembered) == (1 if key and code == "egress_refused" else 0)
    assert all(alice.get(str(row["id"])).status == 404 for row in remembered)
    [line] = logs.of("START_REFUSED")
    assert line["reason"] == code
    assert [each["failure_code"] for each in logs.metrics("RecordingsFailed")] == [code]
    # Receivers of events hear of the end.
    deployment.sweep()
    assert [each["type"] for each in deployment.events()] == ["RecordingStarted", "RecordingFailed"]


def test_t54_answer_to_an_idempotency_key_goes_with_it(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.options_refused.next()
    headers = {"idempotency-key": "key"}
    first = alice.start(roomName="demo", headers=headers)
    deployment.sweeps(1, minutes=23 * 60)
    again = alice.start(roomName="demo", headers=headers)
    assert (again.status, again["error"]) == (422, first["error"])
    # The bucket need not be asked for what was never started.
    objects = deployment.settings["AWS_ENDPOINT_URL"]
    deployment.configure(AWS_ENDPOINT_URL_S3="http://127.0.0.1:9")

    deployment.sweeps(1, minutes=61)

    deployment.configure(AWS_ENDPOINT_URL_S3=objects)
    assert deployment.rows("select id from recordings") == []
    assert alice.start(roomName="demo", headers=headers).status == 201


def test_t54_many_refused_starts_leave_nothing(deployment: Deployment, alice: User) -> None:
    for number in range(50):
        headers = {"idempotency-key": f"key {number}"} if number % 2 else {}
        assert alice.start(roomName=f"nobody is here {number}", headers=headers).status == 404
    assert deployment.rows("select id from recordings") == []
    deployment.sweep()
    assert deployment.rows("select id from recording_events") == []


def test_t54_egress_of_a_start_that_livekit_said_to_refuse_is_stopped(
    deployment: Deployment, alice: User
) -> None:
    deployment.livekit.hold_webhooks(deployment.domain)
    deployment.livekit.world.refuse_after_effect = NO_WORKER
    assert alice.start(roomName="demo")["code"] == "egress_unavailable"
    deployment.advance(10)
    [egress_id] = deployment.livekit.world.unended()

    deployment.sweeps(2)
    deployment.advance(5)

    assert egress_id not in deployment.livekit.world.unended()
    assert alice.list().recordings == []
