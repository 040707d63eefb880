"""An environment that SnapStart restored has no keys: it asks for them, as botocore does."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qs, urlsplit

import pytest
from botocore.credentials import ContainerProvider

from recorder.aws.calls import presigned_get, secret
from recorder.aws.storage import S3Storage
from recorder.errors import AwsError, StorageUnavailableError
from recorder.settings import AwsSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from local.stack import Stack
    from tests.support.deployment import Deployment, User

TOKEN: Final = "what-lambda-put-into-the-environment"


class Runtime:
    """Lambda's answer to a restored environment: keys of the role, which expire."""

    def __init__(self, access_key: str, secret_key: str) -> None:
        self.keys = {"AccessKeyId": access_key, "SecretAccessKey": secret_key, "Token": "session"}
        self.expires_at = datetime.now(UTC) + timedelta(hours=1)
        self.asked = 0
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of a restored environment."""
        return {
            "AWS_REGION": "us-east-1",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{self._server.server_port}/credentials",
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": TOKEN,
        }

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        runtime = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                runtime.asked += 1
                allowed = (self.path, self.headers["Authorization"]) == ("/credentials", TOKEN)
                body = runtime.keys | {"Expiration": f"{runtime.expires_at:%Y-%m-%dT%H:%M:%SZ}"}
                self.send_response(200 if allowed else 403)
                self.end_headers()
                self.wfile.write(json.dumps(body if allowed else {}).encode())

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


@pytest.fixture
def runtime(stack: Stack) -> Iterator[Runtime]:
    with Runtime(stack.aws.access_key, stack.aws.secret_key) as running:
        yield running


def link(settings: AwsSettings, seconds: int = 60) -> dict[str, list[str]]:
    url, good_for = presigned_get(settings, "https://b.s3.amazonaws.com/key", {}, seconds)
    query = parse_qs(urlsplit(url).query)
    assert query["X-Amz-Expires"] == [str(good_for)]
    return query


def test_the_keys_are_those_that_botocore_gets(runtime: Runtime) -> None:
    loaded = ContainerProvider(environ=runtime.environment).load()
    assert loaded is not None
    expected = loaded.get_frozen_credentials()
    query = link(AwsSettings.from_environment(runtime.environment))
    assert query["X-Amz-Credential"][0].startswith(f"{expected.access_key}/")
    assert query["X-Amz-Security-Token"] == [expected.token]


def test_a_secret_is_read_with_them(runtime: Runtime, stack: Stack) -> None:
    arn = stack.aws.put_secret("restored", {"password": "p"})
    endpoint = {"AWS_ENDPOINT_URL": stack.aws.endpoint}
    settings = AwsSettings.from_environment({**runtime.environment, **endpoint})
    assert secret(settings, arn, "password") == {"password": "p"}


def test_they_are_kept_until_shortly_before_they_expire(runtime: Runtime) -> None:
    runtime.expires_at = datetime.now(UTC) + timedelta(minutes=4)
    link(AwsSettings.from_environment(runtime.environment))
    runtime.expires_at = datetime.now(UTC) + timedelta(hours=1)
    runtime.keys["Token"] = "renewed"
    tokens = [
        link(AwsSettings.from_environment(runtime.environment))["X-Amz-Security-Token"] for _ in range(3)
    ]
    assert (tokens, runtime.asked) == ([["renewed"]] * 3, 2)


def test_they_are_renewed_for_a_link_that_would_outlive_them(runtime: Runtime) -> None:
    settings = AwsSettings.from_environment(runtime.environment)
    runtime.expires_at = datetime.now(UTC) + timedelta(minutes=6)
    link(settings)
    runtime.expires_at = datetime.now(UTC) + timedelta(hours=2)
    runtime.keys["Token"] = "renewed"

    links = [link(settings, 3600) for _ in range(2)]

    assert [(each["X-Amz-Security-Token"], each["X-Amz-Expires"]) for each in links] == [
        (["renewed"], ["3600"])
    ] * 2
    assert runtime.asked == 2


def test_a_link_promises_no_more_than_its_keys(runtime: Runtime) -> None:
    settings = AwsSettings.from_environment(runtime.environment)
    runtime.expires_at = datetime.now(UTC) + timedelta(minutes=6)

    [promised] = link(settings, 3600)["X-Amz-Expires"]

    assert 300 < int(promised) <= 360


def test_without_them_nothing_is_signed(runtime: Runtime) -> None:
    settings = AwsSettings.from_environment(
        {**runtime.environment, "AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong"}
    )
    with pytest.raises(AwsError, match="403") as caught:
        link(settings)
    assert "wrong" not in str(caught.value)
    storage = S3Storage("b", settings)
    with pytest.raises(StorageUnavailableError):
        storage.link("key", file_name="a.mp4", mime_type=None, seconds=60)


def test_keys_of_its_own_are_used_where_there_are_any(runtime: Runtime) -> None:
    own = {"AWS_ACCESS_KEY_ID": "own", "AWS_SECRET_ACCESS_KEY": "own"}
    assert link(AwsSettings.from_environment({**runtime.environment, **own}))["X-Amz-Credential"][
        0
    ].startswith("own/")
    assert runtime.asked == 0


def test_an_answer_tells_when_its_link_ends(runtime: Runtime, deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=20)
    alice.stop(recording_id)
    deployment.advance(2)
    runtime.expires_at = datetime.now(UTC) + timedelta(minutes=6)
    deployment.configure(AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="", **runtime.environment)

    answer = alice.get(recording_id)

    ends = datetime.fromisoformat(answer["downloadUrlExpiresAt"])
    assert ends - deployment.livekit.clock.now() <= timedelta(minutes=6)
