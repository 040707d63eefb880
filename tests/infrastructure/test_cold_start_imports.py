"""The modules that a function has imported when its first answer is given, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

import pytest

from tests.support.events import event, http_event
from tests.support.functions import FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.deployment import Deployment, User

MIGRATIONS: Final = {"alembic", "sqlalchemy"}
# Of botocore Powertools imports the first file, for its version.
CLIENTS: Final = {"boto3", "botocore.session", "botocore.client", "botocore.auth"}
LIVEKIT: Final = {"livekit.api", "google.protobuf", "aiohttp"}
VALIDATION: Final = {"pydantic", "pydantic_core"}
TOKENS: Final = {"jwt"}

# Prints what is loaded once the module is, what once the first request is answered, and who was spoken to meanwhile.
PROGRAM: Final = """
import json, sys, threading

spoken_to = []
sys.addaudithook(lambda name, arguments: name == "socket.connect" and spoken_to.append(str(arguments[1])))
import app
for thread in threading.enumerate():
    if thread.daemon:
        thread.join()
loading = {"modules": sorted(sys.modules), "spoken_to": list(spoken_to)}


class Context:
    function_name = invoked_function_arn = aws_request_id = function_version = "first"
    memory_limit_in_mb = 512

    @staticmethod
    def get_remaining_time_in_millis():
        return 29_000


request = json.load(sys.stdin)
answer = app.lambda_handler(request, Context) if request else None
print(json.dumps({"loading": loading, "modules": sorted(sys.modules), "answer": answer}))
"""


@dataclass(frozen=True)
class Start:
    """A cold start: the modules and peers of loading, and the modules and the answer of the first request."""

    loaded: frozenset[str]
    spoken_to: tuple[str, ...]
    modules: frozenset[str]
    answer: Mapping[str, object]


def cold_start(deployment: Deployment, function: str, request: object, **settings: str) -> Start:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=FUNCTIONS / function,
        env={"PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1", **deployment.settings, **settings},
        input=json.dumps(request),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = cast("dict[str, object]", json.loads(done.stdout.splitlines()[-1]))
    loading = cast("dict[str, list[str]]", said["loading"])
    return Start(
        loaded=frozenset(loading["modules"]),
        spoken_to=tuple(loading["spoken_to"]),
        modules=frozenset(cast("list[str]", said["modules"])),
        answer=cast("dict[str, object]", said["answer"]),
    )


def request_of(deployment: Deployment, name: str, recording_id: str | None = None) -> object:
    body = b'{"roomName": "demo"}' if name.startswith("start") else None
    claims = {"sub": "alice"}
    return http_event(name, claims=claims, recording_id=recording_id, body=body, domain=deployment.domain)


@pytest.fixture
def live(deployment: Deployment, alice: User) -> str:
    """A live recording that nobody has asked LiveKit of."""
    recording_id = alice.record()
    deployment.execute("update recordings set refreshed_at = null")
    return recording_id


@pytest.fixture
def completed(deployment: Deployment, alice: User) -> str:
    recording_id = alice.record()
    alice.stop(recording_id)
    deployment.advance(60)
    return recording_id


def test_list_imports_no_vendors_client(deployment: Deployment) -> None:
    start = cold_start(deployment, "list_recordings", request_of(deployment, "list_recordings_first_page"))
    assert start.answer["statusCode"] == 200
    assert not start.modules & (LIVEKIT | CLIENTS | VALIDATION | TOKENS | MIGRATIONS)


def test_get_of_a_live_recording_asks_livekit_without_its_client(deployment: Deployment, live: str) -> None:
    calls = len(deployment.livekit.calls)
    request = request_of(deployment, "get_recording_completed", live)
    start = cold_start(deployment, "get_recording", request)
    assert start.answer["statusCode"] == 200
    assert deployment.livekit.calls[calls:] == ["Egress.ListEgress"]
    assert not start.modules & (LIVEKIT | CLIENTS | VALIDATION | TOKENS | MIGRATIONS)


def test_get_of_a_completed_recording_signs_its_link_without_a_client(
    deployment: Deployment, completed: str
) -> None:
    request = request_of(deployment, "get_recording_completed", completed)
    start = cold_start(deployment, "get_recording", request)
    assert "X-Amz-Signature" in str(start.answer["body"])
    assert not start.modules & (LIVEKIT | CLIENTS | VALIDATION | TOKENS | MIGRATIONS)


def test_a_live_playlist_is_made_without_a_client(deployment: Deployment, alice: User) -> None:
    deployment.configure(SAFETY_SEGMENTS="on")
    alice.defaults["resolution"] = "480p"
    url = urlsplit(alice.get(alice.record(seconds=14))["playbackUrl"])
    request = http_event(
        "play_recording_live", recording_id=url.path.split("/")[-2], query=url.query, domain=deployment.domain
    )
    start = cold_start(deployment, "play_recording", request)
    assert start.answer["statusCode"] == 200
    assert not start.modules & (LIVEKIT | CLIENTS | VALIDATION | TOKENS | MIGRATIONS)


def test_a_webhook_is_read_without_livekits_client(deployment: Deployment) -> None:
    deployment.configure(RECORDINGS_BUCKET="recordings", DEPLOYMENT="recorder")
    start = cold_start(deployment, "receive_livekit_webhook", event("receive_livekit_webhook_ended"))
    assert start.answer["statusCode"] == 200
    assert not start.modules & (LIVEKIT | CLIENTS | VALIDATION | MIGRATIONS)


def test_start_imports_what_it_needs_of_livekit_and_pydantic_while_it_is_loaded(
    deployment: Deployment,
) -> None:
    start = cold_start(deployment, "start_recording", request_of(deployment, "start_recording_room"))
    assert start.answer["statusCode"] == 201
    assert start.loaded >= LIVEKIT | VALIDATION
    assert not start.modules & (CLIENTS | MIGRATIONS)


def test_stop_imports_what_it_needs_of_livekit_while_it_is_loaded(deployment: Deployment, live: str) -> None:
    request = request_of(deployment, "stop_recording_no_body", live)
    start = cold_start(deployment, "stop_recording", request)
    assert start.answer["statusCode"] == 200
    assert start.loaded >= LIVEKIT
    assert not start.modules & (CLIENTS | VALIDATION | MIGRATIONS)


def test_a_sweep_imports_no_client_of_aws_before_there_is_something_to_publish(
    deployment: Deployment,
) -> None:
    start = cold_start(deployment, "reconcile_recordings", event("reconcile_recordings_scheduled"))
    assert start.answer["finished"] is True
    assert start.loaded >= LIVEKIT
    assert not start.modules & (CLIENTS | VALIDATION | MIGRATIONS)


def test_delete_imports_no_livekit_for_what_has_ended(deployment: Deployment, completed: str) -> None:
    request = request_of(deployment, "delete_recording_one", completed)
    start = cold_start(deployment, "delete_recording", request)
    assert start.answer["statusCode"] == 200
    assert not start.modules & (LIVEKIT | VALIDATION | MIGRATIONS)


# For those that deployments run nobody waits, and the page has no layer.
APART: Final = {"migrate_database", "check_deployment", "serve_console"}
NAMES: Final = sorted(
    path.parent.name for path in FUNCTIONS.glob("*/app.py") if path.parent.name not in APART
)


@pytest.mark.parametrize("function", NAMES)
def test_a_snapshot_is_taken_before_anybody_is_spoken_to(deployment: Deployment, function: str) -> None:
    assert cold_start(deployment, function, None, AWS_LAMBDA_INITIALIZATION_TYPE="snap-start").spoken_to == ()


@pytest.mark.parametrize("function", NAMES)
def test_where_a_request_waits_secrets_are_read_while_the_code_is_loaded(
    deployment: Deployment, function: str
) -> None:
    start = cold_start(deployment, function, None, AWS_LAMBDA_INITIALIZATION_TYPE="on-demand")
    assert str(deployment.site.aws.port) in start.spoken_to[0]


def test_what_was_begun_in_vain_is_tried_again_by_the_request(deployment: Deployment) -> None:
    settings = {"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "DATABASE_PORT": "1"}
    request = request_of(deployment, "list_recordings_first_page")
    start = cold_start(deployment, "list_recordings", request, **settings)
    assert start.answer["statusCode"] == 503


def test_a_request_is_answered_by_what_was_begun_ahead(deployment: Deployment) -> None:
    request = request_of(deployment, "list_recordings_first_page")
    start = cold_start(deployment, "list_recordings", request, AWS_LAMBDA_INITIALIZATION_TYPE="on-demand")
    assert start.answer["statusCode"] == 200
