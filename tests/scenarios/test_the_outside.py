"""Answers and logs where something outside is slow, refuses, or is not there."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import pytest

from local.services.authority import Authority
from tests.support.deployment import Deployment
from tests.support.events import http_event
from tests.support.functions import function_of
from tests.support.livekit import API_SECRET
from tests.support.outside import LOOPBACK, before, listening, silent, trickling

if TYPE_CHECKING:
    from tests.support.deployment import User
    from tests.support.livekit import LiveKit
    from tests.support.logs import Logs

ABSENT: Final = "arn:aws:secretsmanager:us-east-1:000000000000:secret:absent"
_LEFT: Final = 3.5
"""Seconds that a function has left which began long ago."""


def late_clock() -> Callable[[], int]:
    """Return a clock by which a function of 29 s has few left as soon as it begins."""
    readings = iter([time.monotonic_ns() - int((29 - _LEFT) * 1e9)])
    return lambda: next(readings, time.monotonic_ns())


def answered_in_time(deployment: Deployment, name: str, recording_id: str | None = None) -> tuple[int, str]:
    """Send a request of alice's to a function with few seconds left, which fails where Lambda would end it."""
    body = b'{"roomName": "demo"}' if name.startswith("start") else None
    request = http_event(
        name, claims={"sub": "alice"}, recording_id=recording_id, body=body, domain=deployment.domain
    )
    answer = cast("dict[str, object]", deployment.invoke(function_of(name), request, clock=late_clock()))
    said = cast("dict[str, object]", json.loads(str(answer["body"])))
    return cast("int", answer["statusCode"]), str(said.get("code"))


@contextmanager
def told(deployment: Deployment, **settings: str) -> Iterator[None]:
    """Give the functions other settings for a while."""
    whole = dict.fromkeys(settings, "") | {
        name: value for name, value in deployment.settings.items() if name in settings
    }
    deployment.configure(**settings)
    yield
    deployment.configure(**whole)


@pytest.fixture
def completed(deployment: Deployment, alice: User) -> str:
    recording_id = alice.record(seconds=10)
    alice.stop(recording_id)
    deployment.advance(2)
    return recording_id


# One deadline for each call


SECRET: Final = json.dumps({"SecretString": json.dumps({"password": "p" * 40})}).encode()


def test_t49_a_secret_that_trickles_is_a_503_in_time(deployment: Deployment) -> None:
    with (
        listening(trickling(SECRET)) as port,
        told(deployment, AWS_ENDPOINT_URL_SECRETS_MANAGER=f"http://{LOOPBACK}:{port}"),
    ):
        assert answered_in_time(deployment, "list_recordings_first_page") == (503, "database_unavailable")


def test_t49_keys_that_trickle_are_a_503_in_time(deployment: Deployment, completed: str) -> None:
    keys = {"AccessKeyId": "a", "SecretAccessKey": "s", "Token": "t", "Expiration": "2099-01-01T00:00:00Z"}
    with listening(trickling(json.dumps(keys).encode())) as port:
        none = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
        address = f"http://{LOOPBACK}:{port}"
        with told(deployment, AWS_CONTAINER_CREDENTIALS_FULL_URI=address, **none):
            answer = answered_in_time(deployment, "get_recording_completed", completed)
    assert answer == (503, "database_unavailable")


def test_t49_a_bucket_that_trickles_is_a_503_in_time_and_the_recording_is_gone(
    deployment: Deployment, alice: User, completed: str
) -> None:
    with (
        listening(trickling(b"<ListBucketResult></ListBucketResult>" * 2)) as port,
        told(deployment, AWS_ENDPOINT_URL_S3=f"http://{LOOPBACK}:{port}"),
    ):
        answer = answered_in_time(deployment, "delete_recording_one", completed)
    assert answer == (503, "storage_unavailable")
    assert alice.get(completed).status == 404
    deployment.sweeps(2)
    assert deployment.objects() == []


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_t49_a_livekit_that_says_nothing_leaves_the_row_to_answer(
    deployment: Deployment, alice: User, scheme: str
) -> None:
    recording_id = alice.record()
    deployment.execute("update recordings set refreshed_at = null")
    with listening(silent) as port, told(deployment, LIVEKIT_URL=f"{scheme}://{LOOPBACK}:{port}"):
        assert alice.get(recording_id).recording["status"] == "active"


def test_t49_a_listing_that_trickles_is_not_believed(
    deployment: Deployment, alice: User, livekit: LiveKit
) -> None:
    recording_id = alice.record()
    deployment.execute("update recordings set refreshed_at = null")
    ended = {"items": [{"egress_id": livekit.egress_of(recording_id), "status": "EGRESS_FAILED"}]}
    with (
        listening(trickling(json.dumps(ended).encode())) as port,
        told(deployment, LIVEKIT_URL=f"http://{LOOPBACK}:{port}"),
    ):
        assert alice.get(recording_id).recording["status"] == "active"


# The causes


type Outside = Callable[[Deployment, Path], AbstractContextManager[Mapping[str, str]]]


@contextmanager
def nobody_listens(_: Deployment, __: Path) -> Iterator[Mapping[str, str]]:
    yield {"AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://{LOOPBACK}:1"}


@contextmanager
def nobody_has_the_name(_: Deployment, __: Path) -> Iterator[Mapping[str, str]]:
    yield {"AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://nobody.invalid"}


@contextmanager
def the_certificate_is_another_authoritys(_: Deployment, directory: Path) -> Iterator[Mapping[str, str]]:
    context = Authority(directory).server_context(LOOPBACK)
    with listening(trickling(SECRET, context)) as port:
        yield {"AWS_ENDPOINT_URL_SECRETS_MANAGER": f"https://{LOOPBACK}:{port}"}


@contextmanager
def it_does_not_speak_tls(_: Deployment, __: Path) -> Iterator[Mapping[str, str]]:
    with listening(trickling(SECRET)) as port:
        yield {"AWS_ENDPOINT_URL_SECRETS_MANAGER": f"https://{LOOPBACK}:{port}"}


@contextmanager
def it_hangs_up(_: Deployment, __: Path) -> Iterator[Mapping[str, str]]:
    with listening(lambda connection, _: connection.shutdown(socket.SHUT_WR)) as port:
        yield {"AWS_ENDPOINT_URL_SECRETS_MANAGER": f"http://{LOOPBACK}:{port}"}


@contextmanager
def the_role_may_not(_: Deployment, __: Path) -> Iterator[Mapping[str, str]]:
    refusal = b'{"__type": "AccessDeniedException", "Message": "canary is not authorized"}'
    with before("http://unused", lambda *_: (400, refusal)) as endpoint:
        yield {"AWS_ENDPOINT_URL_SECRETS_MANAGER": endpoint}


@contextmanager
def the_secret_is_gone(_: Deployment, __: Path) -> Iterator[Mapping[str, str]]:
    yield {"LIVEKIT_SECRET_ARN": ABSENT}


@contextmanager
def the_egress_secret_is_gone(_: Deployment, __: Path) -> Iterator[Mapping[str, str]]:
    yield {"EGRESS_S3_SECRET_ARN": ABSENT}


@contextmanager
def a_field_is_missing(deployment: Deployment, _: Path) -> Iterator[Mapping[str, str]]:
    yield {"LIVEKIT_SECRET_ARN": deployment.site.aws.put_secret("other", {"api_key": "canary"})}


CAUSES: Final[Mapping[Outside, tuple[str, Mapping[str, str]]]] = {
    nobody_listens: (
        "DATABASE_SECRET_ARN",
        {"cause": "connection_refused", "error": "ConnectionRefusedError"},
    ),
    nobody_has_the_name: ("DATABASE_SECRET_ARN", {"cause": "name_not_found", "error": "gaierror"}),
    the_certificate_is_another_authoritys: (
        "DATABASE_SECRET_ARN",
        {
            "cause": "certificate_refused",
            "error": "SSLCertVerificationError",
            "tls": "unable to get local issuer certificate",
        },
    ),
    it_does_not_speak_tls: (
        "DATABASE_SECRET_ARN",
        {"cause": "tls_failed", "error": "SSLError", "tls": "WRONG_VERSION_NUMBER"},
    ),
    it_hangs_up: ("DATABASE_SECRET_ARN", {"cause": "connection_lost"}),
    the_role_may_not: (
        "DATABASE_SECRET_ARN",
        {"cause": "aws_refused", "error": "AwsError", "aws": "AccessDeniedException"},
    ),
    the_secret_is_gone: (
        "LIVEKIT_SECRET_ARN",
        {"cause": "aws_refused", "error": "AwsError", "aws": "ResourceNotFoundException"},
    ),
    the_egress_secret_is_gone: (
        "EGRESS_S3_SECRET_ARN",
        {"cause": "aws_refused", "error": "AwsError", "aws": "ResourceNotFoundException"},
    ),
    a_field_is_missing: (
        "LIVEKIT_SECRET_ARN",
        {"cause": "secret_incomplete", "error": "SecretIncompleteError", "field": "api_secret"},
    ),
}


@pytest.mark.parametrize("outside", CAUSES, ids=[each.__name__ for each in CAUSES])
def test_an_operator_is_told_why_a_key_cannot_be_read(
    deployment: Deployment, alice: User, logs: Logs, tmp_path: Path, outside: Outside
) -> None:
    with outside(deployment, tmp_path) as settings, told(deployment, **settings):
        answer = alice.start(roomName="demo")

    setting, facts = CAUSES[outside]
    lines = logs.of("CREDENTIALS_INCOMPLETE" if "field" in facts else "CREDENTIALS_UNREADABLE")
    assert answer.status == 503
    assert {line["setting"] for line in lines} == {setting}
    for line in (*lines, *logs.of("REQUEST_FAILED")):
        assert facts.items() <= line.items()
    assert "canary" not in logs.text


def test_line_breaks_in_secrets_are_of_no_matter(deployment: Deployment, alice: User) -> None:
    aws, password = deployment.site.aws, deployment.site.postgres.password
    keys = {"api_key": "devkey\n", "api_secret": f"{API_SECRET}\r\n"}
    deployment.configure(
        DATABASE_SECRET_ARN=aws.put_secret("other", {"password": f"{password}\n"}),
        LIVEKIT_SECRET_ARN=aws.put_secret("more", keys),
    )
    assert alice.start(roomName="demo").status == 201


def test_an_operator_is_told_why_livekit_and_the_bucket_did_not_answer(
    deployment: Deployment, alice: User, logs: Logs, completed: str
) -> None:
    live, nobody = alice.record(seconds=10), f"http://{LOOPBACK}:1"
    deployment.execute("update recordings set refreshed_at = null")
    with told(deployment, LIVEKIT_URL=nobody, AWS_ENDPOINT_URL_S3=nobody):
        assert alice.get(live).status == 200
        assert alice.stop(live).status == 200
        assert alice.delete(completed).status == 503
    for code in ("LOOKUP_UNANSWERED", "STOP_UNANSWERED", "OBJECTS_NOT_REMOVED"):
        assert {line["cause"] for line in logs.of(code)} == {"connection_refused"}, code


def test_a_webhook_that_no_key_can_verify_is_sent_again(deployment: Deployment, alice: User) -> None:
    recording_id = alice.start(roomName="demo")["recordingId"]
    with told(deployment, LIVEKIT_SECRET_ARN=ABSENT):
        answer = deployment.post_webhook(f"/api/video/livekit/webhook/{recording_id}", b"{}", "Bearer x")
    assert (answer.status, answer["code"]) == (503, "egress_unavailable")
