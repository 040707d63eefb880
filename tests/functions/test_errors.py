"""Every code of the error table, reached through the handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from recorder.api.endpoint import ERRORS, HEADERS
from recorder.usecases.sharing import MAXIMUM_LINKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.deployment import Answer, Deployment, User
    from tests.support.logs import Logs


def forbidden(deployment: Deployment) -> Answer:
    deployment.configure(REQUIRED_SCOPE="recordings:write")
    return deployment.as_user("alice").start(roomName="demo")


def invalid(deployment: Deployment) -> Answer:
    return deployment.as_user("alice").start(roomName="demo", unknown=1)


def unauthorized(deployment: Deployment) -> Answer:
    return deployment.post_webhook("/api/video/livekit/webhook", b"{}", "not a token")


def recording_not_found(deployment: Deployment) -> Answer:
    return deployment.as_user("alice").get(str(uuid4()))


def link_not_found(deployment: Deployment) -> Answer:
    return deployment.open_link("https://api.example.com/console/shared#none")


def too_many_links(deployment: Deployment) -> Answer:
    alice = deployment.as_user("alice")
    recording_id = alice.record()
    for _ in range(MAXIMUM_LINKS):
        alice.share(recording_id)
    return alice.share(recording_id)


def room_not_found(deployment: Deployment) -> Answer:
    return deployment.as_user("alice").start(roomName="nobody is here")


def recording_in_progress(deployment: Deployment) -> Answer:
    deployment.as_user("alice").start(roomName="demo")
    return deployment.as_user("alice").start(roomName="demo")


def not_possible_now(deployment: Deployment) -> Answer:
    alice = deployment.as_user("alice")
    recording_id = alice.record(seconds=10)
    alice.stop(recording_id)
    return alice.resume(recording_id)


def recording_gone(deployment: Deployment) -> Answer:
    deployment.configure(RETENTION_DAYS="1")
    alice = deployment.as_user("alice")
    recording_id = alice.record()
    deployment.livekit.stop(recording_id)
    deployment.advance(24 * 60 * 60 + 10)
    return alice.get(recording_id)


def idempotency_mismatch(deployment: Deployment) -> Answer:
    alice, key = deployment.as_user("alice"), {"idempotency-key": "k"}
    alice.start(roomName="demo", headers=key)
    return alice.start(roomName="demo", resolution="720p", headers=key)


def unsupported_codec(deployment: Deployment) -> Answer:
    return deployment.as_user("alice").start(roomName="demo", codec="vp8")


def egress_refused(deployment: Deployment) -> Answer:
    deployment.livekit.world.faults.options_refused.next()
    return deployment.as_user("alice").start(roomName="demo")


def egress_unavailable(deployment: Deployment) -> Answer:
    deployment.livekit.world.faults.no_worker.next()
    return deployment.as_user("alice").start(roomName="demo")


def database_unavailable(deployment: Deployment) -> Answer:
    deployment.configure(DATABASE_PORT="1")
    return deployment.as_user("alice").list()


def storage_unavailable(deployment: Deployment) -> Answer:
    recording_id = deployment.as_user("alice").record()
    deployment.livekit.stop(recording_id)
    deployment.advance(5)
    deployment.configure(AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
    return deployment.as_user("alice").delete(recording_id)


def internal(deployment: Deployment) -> Answer:
    deployment.configure(DATABASE_PORT="not a number: secret")
    return deployment.as_user("alice").list()


CASES: tuple[tuple[Callable[[Deployment], Answer], int], ...] = (
    (invalid, 400),
    (unauthorized, 401),
    (forbidden, 403),
    (recording_not_found, 404),
    (link_not_found, 404),
    (too_many_links, 409),
    (room_not_found, 404),
    (recording_in_progress, 409),
    (not_possible_now, 409),
    (recording_gone, 410),
    (idempotency_mismatch, 422),
    (unsupported_codec, 422),
    (egress_refused, 422),
    (egress_unavailable, 503),
    (database_unavailable, 503),
    (storage_unavailable, 503),
    (internal, 500),
)
CODES = {"invalid": "invalid_request"}


@pytest.mark.parametrize(("provoke", "status"), CASES, ids=[each.__name__ for each, _ in CASES])
def test_error_has_its_status_code_and_shape(
    deployment: Deployment, provoke: Callable[[Deployment], Answer], status: int
) -> None:
    answer = provoke(deployment)

    code = CODES.get(provoke.__name__, provoke.__name__)
    assert (answer.status, answer["code"]) == (status, code)
    assert answer["error"]
    assert answer["requestId"]
    assert set(answer.json) <= {"error", "code", "requestId", "details", "recordingId"}
    assert HEADERS.items() <= answer.headers.items()
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert "secret" not in answer.text


@pytest.mark.parametrize(
    ("secret", "status", "code"),
    [("LIVEKIT_SECRET_ARN", 503, "egress_unavailable"), ("DATABASE_SECRET_ARN", 503, "database_unavailable")],
)
def test_secret_that_cannot_be_read_is_a_service_that_is_not_there(
    deployment: Deployment, alice: User, secret: str, status: int, code: str
) -> None:
    deployment.configure(**{secret: "arn:aws:secretsmanager:us-east-1:000000000000:secret:absent"})

    answer = alice.start(roomName="demo")

    assert (answer.status, answer["code"]) == (status, code)
    assert not deployment.livekit.world.egresses()


def test_live_recording_is_answered_from_its_row_while_livekits_secret_cannot_be_read(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    deployment.configure(LIVEKIT_SECRET_ARN="arn:aws:secretsmanager:us-east-1:000000000000:secret:absent")

    assert alice.get(recording_id).recording["status"] == "active"
    assert alice.stop(recording_id)["status"] == "stopping"
    assert alice.delete(recording_id).status == 200


def test_every_code_of_the_table_is_reached() -> None:
    reached = {CODES.get(each.__name__, each.__name__) for each, _ in CASES}

    assert {code for _, _, code in ERRORS} <= reached


def test_conflict_names_the_recording_only_to_its_owner(alice: User, bob: User) -> None:
    started = alice.start(roomName="demo")

    assert alice.start(roomName="demo")["recordingId"] == started["recordingId"]
    assert "recordingId" not in bob.start(roomName="demo").json


def test_a_failed_request_and_a_refused_webhook_are_logged_with_their_recording(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    recording_id = str(uuid4())
    deployment.post_webhook(f"/api/video/livekit/webhook/{recording_id}", b"{}", "not a token")
    deployment.configure(DATABASE_PORT="1")
    alice.get(recording_id.upper())
    deployment.configure(DATABASE_PORT="not a number")
    alice.stop(recording_id)

    lines = logs.of("WEBHOOK_REJECTED") + logs.of("REQUEST_FAILED")
    assert [line["reason"] for line in lines] == [
        "unsigned",
        "database_unavailable",
        "SettingsError",
    ]
    assert {line["recording_id"] for line in lines} == {recording_id}


def test_what_is_no_recordings_id_is_not_logged(deployment: Deployment, alice: User, logs: Logs) -> None:
    deployment.post_webhook("/api/video/livekit/webhook/canary", b"{}", "not a token")
    deployment.post_webhook("/api/video/livekit/webhook", b"{}", "not a token")
    deployment.configure(DATABASE_PORT="1")
    alice.list()

    lines = logs.of("WEBHOOK_REJECTED") + logs.of("REQUEST_FAILED")
    assert [line.get("recording_id") for line in lines] == [None, None, None]
    assert "canary" not in logs.text
