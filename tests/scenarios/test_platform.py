"""The platform: several environments at once, a database that comes and goes, webhooks from anybody."""

from __future__ import annotations

import base64
import json
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.deployment import sign
from tests.support.events import event, http_event
from tests.support.livekit import API_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import RestartablePostgres
    from tests.support.deployment import Answer, Deployment, User
    from tests.support.logs import Logs


def test_t36_two_sweeps_at_once_handle_no_row_twice(deployment: Deployment, alice: User) -> None:
    rooms = [f"room {number}" for number in range(6)]
    for room in rooms:
        deployment.livekit.world.open_room(room)
    deployment.livekit.world.faults.webhook_lost.always()
    ids = [alice.record(room, seconds=10) for room in rooms]
    for recording_id in ids:
        deployment.livekit.stop(recording_id)
    deployment.advance(60)

    reports = deployment.at_once(*[deployment.sweep] * 4)

    total = sum((Counter(report) for report in reports), Counter())
    assert total["completed"] == len(ids)
    assert set(alice.statuses()) == {"completed"}
    deployment.sweep()
    identities = [event["id"] for event in deployment.events()]
    assert len(identities) == len(set(identities))
    # Started and completed; active was never seen.
    assert len(identities) == 2 * len(ids)


def test_t36_row_that_somebody_holds_is_left_to_them(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.open_room("other")
    deployment.livekit.world.faults.webhook_lost.always()
    held, free = alice.record(), alice.record("other")
    for recording_id in (held, free):
        deployment.livekit.stop(recording_id)
    deployment.advance(61)
    with deployment.row_locked(held) as waiting:
        report = deployment.begin(deployment.sweep).result(timeout=20)
        waiting(0)
    assert report["completed"] == 1
    statuses = {each["id"]: each["status"] for each in alice.list().recordings}
    assert (statuses[held], statuses[free]) == ("starting", "completed")
    deployment.sweep()
    assert set(alice.statuses()) == {"completed"}


@pytest.mark.usefixtures("ends_with_its_worker")
def test_t36_two_sweeps_at_once_delete_and_fail_once(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.open_room("other")
    deployment.livekit.world.faults.webhook_lost.always()
    lost = alice.record(sweep=True)
    deployment.livekit.kill_host(lost)
    deleted = alice.record("other")
    alice.delete(deleted)
    for _ in range(4):
        deployment.advance(61)
        deployment.at_once(deployment.sweep, deployment.sweep)
    assert alice.get(lost).recording["status"] == "failed"
    events = Counter((event["recordingId"], event["type"]) for event in deployment.events())
    assert events[lost, "RecordingFailed"] == 1
    assert events[deleted, "RecordingDeleted"] == 1
    assert max(events.values()) == 1


def test_t36_events_that_another_sweep_is_about_to_lease_are_left_to_it(
    deployment: Deployment, alice: User
) -> None:
    deployment.livekit.world.open_room("other")
    ids = [alice.record(room, seconds=5) for room in ("demo", "other")]
    with deployment.site.connect() as holder:
        holder.run("begin")
        # As it stands before the other sweep has committed.
        rows = holder.run(
            """update recording_events set leased_until = now() + interval '1 hour'
               where position = (select min(position) from recording_events) returning recording_id"""
        )
        [[held]] = rows or []
        # This sweep neither waits, nor publishes what it left out of order.
        assert deployment.sweep()["published"] == 2
        assert {event["recordingId"] for event in deployment.events()} == {*ids} - {str(held)}
        holder.run("rollback")
    assert deployment.sweep()["published"] == 2
    told = [event["type"] for event in deployment.events() if event["recordingId"] == str(held)]
    assert told == ["RecordingStarted", "RecordingActive"]


def test_t36_a_sweep_that_is_still_running_keeps_its_rows(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.webhook_lost.always()
    alice.record()
    inner: list[dict[str, int]] = []
    # The first sweep has leased the row and waits for LiveKit, when the next minute's begins.
    deployment.livekit.world.faults.rooms.answer_lost.next()
    deployment.livekit.at(5, lambda: inner.append(deployment.sweep()))
    deployment.sweep()
    assert len(inner) == 1
    assert inner[0].keys() <= {"published"}


def test_t36_a_look_at_a_recording_gives_its_row_to_no_second_sweep(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record(sweep=True)
    deployment.advance(61)
    inner: list[dict[str, int]] = []
    deployment.livekit.world.faults.rooms.answer_lost.next()
    # Old enough for LiveKit to be asked, while the sweep that has leased the row waits.
    deployment.livekit.at(6, lambda: alice.get(recording_id))
    deployment.livekit.at(8, lambda: inner.append(deployment.sweep()))
    deployment.sweep()
    assert inner == [{}]


def test_t37_next_request_succeeds_after_postgres_was_restarted(
    restartable_deployment: Deployment, restartable_postgres: RestartablePostgres
) -> None:
    alice = restartable_deployment.as_user("alice")
    recording_id = alice.record()
    restartable_postgres.stop()
    assert alice.list().status == 503
    restartable_postgres.start()
    answers = [
        alice.list(),
        alice.get(recording_id),
        alice.stop(recording_id),
        alice.start(roomName="demo"),
        alice.delete(recording_id),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200, 409, 200]
    restartable_deployment.sweep()


def test_t37_while_postgres_is_away_every_call_says_so(
    restartable_deployment: Deployment, restartable_postgres: RestartablePostgres
) -> None:
    deployment = restartable_deployment
    alice = deployment.as_user("alice")
    recording_id = alice.record()
    calls = len(deployment.livekit.calls)
    restartable_postgres.stop()
    webhook = deployment.livekit.deliveries[0][0]
    answers = [
        alice.list(),
        alice.get(recording_id),
        alice.stop(recording_id),
        alice.start(roomName="demo"),
        alice.delete(recording_id),
        deployment.post_webhook("/api/video/livekit/webhook", webhook.body, sign(webhook.body)),
    ]
    restartable_postgres.start()
    for answer in answers:
        assert (answer.status, answer["code"]) == (503, "database_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
    # Nothing was asked of LiveKit that could not have been stored.
    assert len(deployment.livekit.calls) == calls
    assert alice.get(recording_id).recording["status"] == "active"


@pytest.mark.parametrize("call", ["start", "list", "get", "stop", "delete", "webhook", "sweep"])
def test_t37_next_call_succeeds_after_the_connection_was_ended(
    deployment: Deployment, alice: User, call: str
) -> None:
    deployment.livekit.world.open_room("other")
    recording_id = alice.record()
    webhook = deployment.livekit.deliveries[0][0]
    # As at a shutdown, a failover, or where somebody ends idle sessions.
    assert deployment.rows(
        "select pg_terminate_backend(pid) as ended from pg_stat_activity"
        " where datname = current_database() and application_name = 'recorder'"
    )
    calls: dict[str, Callable[[], object]] = {
        "start": lambda: alice.start(roomName="other").status,
        "list": lambda: alice.list().status,
        "get": lambda: alice.get(recording_id).status,
        "stop": lambda: alice.stop(recording_id).status,
        "delete": lambda: alice.delete(recording_id).status,
        "webhook": lambda: deployment.deliver(webhook),
        "sweep": deployment.sweep,
    }
    result = calls[call]()
    assert isinstance(result, dict) or result in {200, 201}
    assert len(deployment.rows("select id from recordings")) == (2 if call == "start" else 1)


@pytest.mark.usefixtures("refused_connections")
def test_t37_password_that_was_rotated_is_taken_up(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    secret, password = deployment.settings["DATABASE_SECRET_ARN"], deployment.site.postgres.password
    deployment.execute("create role rotating login superuser password 'first'")
    try:
        deployment.site.aws.secrets.put_secret_value(
            SecretId=secret, SecretString=json.dumps({"password": "first"})
        )
        deployment.configure(DATABASE_USER="rotating")
        assert alice.get(recording_id).status == 200
        deployment.execute("alter role rotating password 'second'")
        deployment.rows("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'rotating'")
        refused = alice.get(recording_id)
        assert (refused.status, refused["code"]) == (503, "database_unavailable")
        deployment.site.aws.secrets.put_secret_value(
            SecretId=secret, SecretString=json.dumps({"password": "second"})
        )
        assert alice.get(recording_id).status == 200
    finally:
        deployment.configure(DATABASE_USER=deployment.site.settings["DATABASE_USER"])
        deployment.site.aws.secrets.put_secret_value(
            SecretId=secret, SecretString=json.dumps({"password": password})
        )
        deployment.execute("drop role rotating")


def _ended(recording_id: str, egress_id: str) -> bytes:
    info = {"egressId": egress_id, "roomName": "demo", "status": "EGRESS_FAILED", "error": "forged"}
    return json.dumps({"event": "egress_ended", "egressInfo": info, "recording": recording_id}).encode()


def _unsigned_token(body: bytes) -> str:
    header = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{header}.{sign(body).split('.')[1]}."


BAD_SIGNATURES: dict[str, Callable[[bytes], str | None]] = {
    "none": lambda _: None,
    "empty": lambda _: "",
    "garbage": lambda _: "not a token",
    "bearer_prefix": lambda body: f"Bearer {sign(body)}",
    "wrong_key": lambda body: sign(body, secret="a-key-of-somebody-else-that-is-long-enough"),
    "wrong_issuer": lambda body: sign(body, iss="somebody"),
    # Clocks may differ by some seconds, and not by minutes: a webhook that somebody kept must not be heard again.
    "expired": lambda body: sign(body, exp=int(time.time()) - 180),
    "not_yet_valid": lambda body: sign(body, nbf=int(time.time()) + 180),
    "without_expiry": lambda body: sign(body, exp=None),
    "of_another_body": lambda body: sign(body + b" "),
    "without_a_digest": lambda body: sign(body, sha256=None),
    "digest_that_is_no_base64": lambda body: sign(body, sha256="***"),
    "algorithm_none": _unsigned_token,
}


@pytest.mark.parametrize(
    ("signature", "route"),
    [*((each, "own") for each in BAD_SIGNATURES), ("none", "global"), ("wrong_key", "global")],
)
def test_t38_webhook_that_livekit_did_not_sign_is_refused(
    deployment: Deployment, alice: User, logs: Logs, *, signature: str, route: str
) -> None:
    recording_id = alice.record()
    before = deployment.row(recording_id)
    body = _ended(recording_id, deployment.livekit.egress_of(recording_id))
    token = BAD_SIGNATURES[signature](body)
    path = "/api/video/livekit/webhook" + (f"/{recording_id}" if route == "own" else "")

    answer = deployment.post_webhook(path, body, token)

    assert (answer.status, answer["code"]) == (401, "unauthorized")
    assert deployment.row(recording_id) == before
    # No operator has to hear of a request that anybody may send to an open address.
    unsigned = signature in {"none", "empty", "garbage"}
    _refused_quietly(logs, token, answer, "unsigned" if unsigned else "wrong_signature")
    # Signed as LiveKit does, it is heard: the signature made the difference.
    assert deployment.post_webhook(path, body, sign(body)).status == 200
    assert alice.list().recordings[0]["failureReason"] == "the recorder failed"


def _refused_quietly(logs: Logs, token: str | None, answer: Answer, reason: str) -> None:
    [rejected] = logs.of("WEBHOOK_REJECTED")
    assert rejected["reason"] == reason
    for secret in (API_SECRET, token, "forged"):
        if secret:
            assert secret not in logs.text
            assert secret not in answer.text


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"not json", 400, "invalid_request"),
        (b"[]", 400, "invalid_request"),
        (b"\xff\xfe", 400, "invalid_request"),
        (b'{"egressInfo": {"egressId": 5}}', 400, "invalid_request"),
        (b'{"egressInfo": {"egressId": "EG_x", "startedAt": "soon"}}', 400, "invalid_request"),
        (b'{"egressInfo": "EG_x"}', 400, "invalid_request"),
        (b'{"event": "room_started", "room": {"name": "demo"}}', 200, None),
    ],
)
def test_t38_signed_webhook_with_a_strange_body_changes_nothing(
    deployment: Deployment, alice: User, *, body: bytes, status: int, code: str | None
) -> None:
    recording_id = alice.record()
    before = deployment.row(recording_id)
    answer = deployment.post_webhook(f"/api/video/livekit/webhook/{recording_id}", body, sign(body))
    assert answer.status == status
    assert answer.json.get("code") == code
    assert deployment.row(recording_id) == before


@pytest.mark.parametrize("encoded", [True, False], ids=["base64", "text"])
@pytest.mark.parametrize("token", ["signed", "none"])
def test_t38_body_of_a_mebibyte_is_refused(
    deployment: Deployment, alice: User, logs: Logs, *, encoded: bool, token: str
) -> None:
    recording_id = alice.record()
    before = deployment.row(recording_id)
    body = _ended(recording_id, "EG_x").ljust(1024 * 1024)
    authorization = sign(body) if token == "signed" else None
    path = f"/api/video/livekit/webhook/{recording_id}"
    answer = deployment.post_webhook(path, body, authorization, encoded=encoded)
    assert answer.status == (400 if token == "signed" else 401)
    assert deployment.row(recording_id) == before
    _refused_quietly(logs, authorization, answer, "not_a_webhook" if token == "signed" else "unsigned")


@pytest.mark.parametrize("encoded", [True, False], ids=["base64", "text"])
@pytest.mark.parametrize("route", ["own", "global"])
def test_t38_good_webhook_is_taken_however_the_gateway_encodes_it(
    deployment: Deployment, alice: User, *, encoded: bool, route: str
) -> None:
    recording_id = alice.record()
    held = deployment.livekit.hold_webhooks(deployment.domain)
    deployment.livekit.stop(recording_id)
    deployment.advance(2)
    path = "/api/video/livekit/webhook" + (f"/{recording_id}" if route == "own" else "")
    body = held[-1].body
    assert deployment.post_webhook(path, body, sign(body), encoded=encoded).status == 200
    assert alice.list().recordings[0]["status"] == "completed"


def test_t38_webhook_at_the_address_of_another_recording_changes_neither(
    deployment: Deployment, alice: User
) -> None:
    deployment.livekit.world.open_room("other")
    first, second = alice.record(), alice.record("other")
    held = deployment.livekit.hold_webhooks(deployment.domain)
    deployment.livekit.stop(first)
    deployment.advance(2)
    before = [deployment.row(first), deployment.row(second)]
    body = held[-1].body
    path = f"/api/video/livekit/webhook/{second}"
    assert deployment.post_webhook(path, body, sign(body)).status == 200
    assert [deployment.row(first), deployment.row(second)] == before


def test_t38_signature_is_checked_before_anything_is_asked_of_the_database(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    deployment.configure(DATABASE_PORT="9")
    body = b"{}"
    path = f"/api/video/livekit/webhook/{recording_id}"
    assert deployment.post_webhook(path, body, sign(body, secret="x" * 32)).status == 401
    assert deployment.post_webhook(path, b"{", sign(b"{")).status == 400
    deployment.configure(DATABASE_PORT=deployment.site.settings["DATABASE_PORT"])


def test_t38_events_of_the_folder_behave_as_their_names_say(deployment: Deployment) -> None:
    expected = {
        "receive_livekit_webhook_ended": 200,
        "receive_livekit_webhook_base64": 200,
        "receive_livekit_webhook_global_route": 200,
        "receive_livekit_webhook_not_json": 400,
        "receive_livekit_webhook_unsigned": 401,
        "receive_livekit_webhook_wrong_key": 401,
    }
    for name, status in expected.items():
        answer = deployment.invoke("receive_livekit_webhook", event(name))
        assert isinstance(answer, dict)
        assert answer["statusCode"] == status, name
    assert http_event("receive_livekit_webhook_ended")["rawPath"].startswith("/api/video/livekit/webhook/")


def test_t48_change_that_a_foreign_trigger_undoes_is_a_named_error_and_no_loop(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    recording_id = alice.record(sweep=True)
    # A sequence counts also what is undone.
    deployment.execute(
        """create sequence tries;
           create function undo() returns trigger language plpgsql as
               $$ begin perform nextval('tries'); return null; end $$;
           create trigger undo before update on recordings for each row execute function undo()"""
    )
    answer = alice.stop(recording_id)
    assert (answer.status, answer["code"]) == (503, "database_unavailable")
    assert len(logs.of("RECORDING_CONTENDED")) == 1
    assert deployment.rows("select true from tries where last_value <= 25")
    deployment.execute("drop function undo() cascade; drop sequence tries")
    assert alice.stop(recording_id)["status"] == "stopping"
