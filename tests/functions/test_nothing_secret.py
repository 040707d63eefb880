"""No secret, token, header, body, link or name of a room is logged, whatever goes right or wrong."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

import pytest

from recorder.telemetry import Code
from tests.functions.test_errors import CASES
from tests.support.deployment import sign
from tests.support.livekit import API_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.deployment import Answer, Deployment
    from tests.support.logs import Logs

ROOM: Final = "canary of a room\n"
KEY: Final = "canary-of-a-key"
PASSWORD: Final = "canary-of-a-password"
# The form of every token, signature and link.
SHAPES: Final = ("eyJ", "X-Amz-Signature", "AWS4-HMAC-SHA256", "Bearer", "authorization")


def secrets(deployment: Deployment) -> tuple[str, ...]:
    site = deployment.site
    return (API_SECRET, site.aws.secret_key, site.postgres.password, PASSWORD)


def assert_untold(deployment: Deployment, logs: Logs) -> None:
    for canary in (*secrets(deployment), *SHAPES, "canary"):
        assert canary not in logs.text


@pytest.mark.parametrize(("provoke", "status"), CASES, ids=[each.__name__ for each, _ in CASES])
def test_no_error_tells_a_secret(
    deployment: Deployment, logs: Logs, provoke: Callable[[Deployment], Answer], status: int
) -> None:
    answer = provoke(deployment)

    assert answer.status == status
    assert_untold(deployment, logs)
    for canary in (*secrets(deployment), *SHAPES):
        assert canary not in answer.text


def test_a_recordings_whole_life_tells_only_ids(deployment: Deployment, logs: Logs) -> None:
    room = ROOM.strip()
    deployment.livekit.world.open_room(room)
    alice = deployment.as_user("alice")
    started = alice.start(roomName=room, headers={"idempotency-key": KEY})
    recording_id = started["recordingId"]
    deployment.advance(60)
    deployment.sweep()
    alice.stop(recording_id)
    deployment.advance(10)
    link = alice.get(recording_id)["downloadUrl"]
    alice.list(f"roomName={room.replace(' ', '%20')}")
    alice.delete(recording_id)
    deployment.sweep()

    assert "X-Amz-Signature" in link
    assert recording_id in logs.text
    assert_untold(deployment, logs)


@pytest.mark.parametrize("body", [{"roomName": ROOM}, {"canary": "canary"}, {"roomName": ROOM * 100}, [ROOM]])
def test_no_invalid_body_is_told(deployment: Deployment, logs: Logs, body: object) -> None:
    alice = deployment.as_user("alice")
    headers = {"prefer": "wait=canary", "idempotency-key": KEY + "\n"}
    answers = [
        alice.send("start_recording_room", body=json.dumps(body).encode(), headers=headers),
        alice.stop("canary", body=json.dumps(body).encode()),
        alice.list("canary=canary"),
        deployment.post_webhook("/api/video/livekit/webhook", b"canary", sign(b"canary")),
        deployment.post_webhook("/api/video/livekit/webhook", b"canary", "canary"),
    ]

    assert {answer.status for answer in answers} <= {400, 401, 404}
    assert_untold(deployment, logs)


@pytest.mark.parametrize(
    "setting",
    [
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "DATABASE_HOST",
        "DATABASE_PORT",
        "DATABASE_SECRET_ARN",
        "EGRESS_S3_SECRET_ARN",
        "LIVEKIT_SECRET_ARN",
        "LIVEKIT_URL",
        "RECORDINGS_BUCKET",
        "RETENTION_DAYS",
    ],
)
def test_no_wrong_setting_is_told(deployment: Deployment, logs: Logs, setting: str) -> None:
    recording_id = deployment.as_user("alice").record()
    wrong = deployment.site.aws.put_secret(
        "wrong", {"password": PASSWORD, "api_key": "k", "api_secret": PASSWORD}
    )
    deployment.configure(**{setting: wrong if "ARN" in setting else "canary"})
    alice = deployment.as_user("alice")
    answers = [
        alice.start(roomName="demo"),
        alice.list(),
        alice.get(recording_id),
        alice.stop(recording_id),
        alice.delete(recording_id),
        deployment.post_webhook("/api/video/livekit/webhook", b"{}", sign(b"{}")),
    ]

    raised = raised_by_the_sweep(deployment)

    assert_untold(deployment, logs)
    for told in (*(answer.text for answer in answers), raised):
        assert "canary" not in told


def raised_by_the_sweep(deployment: Deployment) -> str:
    """Return what the Lambda runtime would log of an exception."""
    try:
        deployment.sweep()
    except Exception as error:  # noqa: BLE001 - as the runtime catches whatever a handler raises
        return f"{type(error).__name__}: {error}"
    return ""


def test_what_is_logged_are_the_codes(deployment: Deployment, logs: Logs) -> None:
    alice = deployment.as_user("alice")
    alice.record()
    alice.start(roomName="nobody is here")
    deployment.sweep()

    messages = {json.loads(line)["message"] for line in logs.lines.getvalue().splitlines()}
    assert messages
    assert messages <= {*Code}


def test_what_is_printed_is_looked_at_too(logs: Logs) -> None:
    # Lambda's log has both.
    sys.stdout.write("canary")
    sys.stderr.write("canary")

    assert logs.text.count("canary") == 2
