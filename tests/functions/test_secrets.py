"""A canary in every secret: none of them is in a log line, a metric, an answer, a row or an event, whatever fails."""

from __future__ import annotations

import json
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import pg8000.native
import pytest

from local.processes.children import LOOPBACK
from local.services.postgres import USER
from tests.support.deployment import sign
from tests.support.events import bearer, event
from tests.support.livekit import API_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs


def _completed(deployment: Deployment, alice: User) -> str:
    recording_id = alice.record(seconds=10)
    alice.stop(recording_id)
    deployment.advance(2)
    return recording_id


def _everything_works(deployment: Deployment, alice: User) -> None:
    recording_id = _completed(deployment, alice)
    alice.get(recording_id)
    alice.list()
    deployment.sweep()
    alice.delete(recording_id)


def _database_away(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=10)
    deployment.configure(DATABASE_PORT="1")
    _every_call(deployment, alice, recording_id)


def _database_refuses_the_login(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=10)
    deployment.configure(DATABASE_USER="nobody")
    _every_call(deployment, alice, recording_id)


def _database_name_is_wrong(deployment: Deployment, alice: User) -> None:
    deployment.configure(DATABASE_NAME="absent")
    _every_call(deployment, alice, str(uuid4()))


def _table_is_missing(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=10)
    deployment.execute("alter table recordings rename to elsewhere")
    try:
        _every_call(deployment, alice, recording_id)
    finally:
        deployment.execute("alter table elsewhere rename to recordings")


def _livekit_away(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=10)
    deployment.configure(LIVEKIT_URL="http://127.0.0.1:1")
    _every_call(deployment, alice, recording_id)


def _livekit_refuses_us(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=10)
    arn = deployment.site.aws.put_secret(
        "other", {"api_key": "devkey", "api_secret": "canary-of-a-wrong-secret" * 2}
    )
    deployment.configure(LIVEKIT_SECRET_ARN=arn)
    _every_call(deployment, alice, recording_id)


def _livekit_fails(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=10)
    for name, fault in deployment.livekit.world.faults.by_name().items():
        if name.endswith(".internal"):
            fault.always()
    _every_call(deployment, alice, recording_id)


def _storage_away(deployment: Deployment, alice: User) -> None:
    recording_id = _completed(deployment, alice)
    deployment.configure(AWS_ENDPOINT_URL_S3="http://127.0.0.1:1")
    _every_call(deployment, alice, recording_id)


def _bucket_missing(deployment: Deployment, alice: User) -> None:
    recording_id = _completed(deployment, alice)
    deployment.configure(RECORDINGS_BUCKET="there-is-no-such-bucket")
    _every_call(deployment, alice, recording_id)


def _bus_missing(deployment: Deployment, alice: User) -> None:
    deployment.configure(EVENT_BUS_NAME="there-is-no-such-bus")
    _everything_works(deployment, alice)
    deployment.sweep()


def _secrets_away(deployment: Deployment, alice: User) -> None:
    recording_id = _completed(deployment, alice)
    deployment.configure(AWS_ENDPOINT_URL="http://127.0.0.1:1")
    _every_call(deployment, alice, recording_id)


def _settings_missing(deployment: Deployment, alice: User) -> None:
    recording_id = _completed(deployment, alice)
    for name in (
        "RECORDINGS_BUCKET",
        "DEPLOYMENT",
        "DATABASE_HOST",
        "DATABASE_SECRET_ARN",
        "LIVEKIT_SECRET_ARN",
    ):
        whole = deployment.settings[name]
        deployment.configure(**{name: ""})
        _every_call(deployment, alice, recording_id)
        deployment.configure(**{name: whole})


def _bad_requests(deployment: Deployment, alice: User) -> None:
    token = {"authorization": bearer({"sub": "canary-of-a-token"})}
    alice.send("start_recording_room", body=b"{canary-of-a-body", headers=token)
    alice.start(roomName="demo", password="canary-of-a-body", headers=token)
    alice.send("list_recordings_first_page", query="token=canary-of-a-body", headers=token)
    for body in (b"canary-of-a-body", b'{"egressInfo": {"egressId": ["canary-of-a-body"]}}'):
        deployment.post_webhook("/api/video/livekit/webhook", body, sign(body))
        deployment.post_webhook("/api/video/livekit/webhook", body, sign(body, secret="x" * 40))
        deployment.post_webhook("/api/video/livekit/webhook", body, "canary-of-a-token")


def _migration_succeeds(deployment: Deployment, _: User) -> None:
    with _new_database(deployment):
        _migrate(deployment)


def _migration_fails(deployment: Deployment, _: User) -> None:
    whole = deployment.settings
    arn = deployment.site.aws.put_secret("other", {"password": "canary-of-a-wrong-password"})
    for name, wrong in (
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("DATABASE_NAME", "absent"),
        ("DATABASE_PORT", "1"),
        ("DATABASE_SECRET_ARN", arn),
        ("DATABASE_USER", "nobody"),
    ):
        deployment.configure(**{name: wrong})
        _migrate(deployment)
        deployment.configure(**{name: whole[name]})
    with _new_database(deployment) as database:
        database.run("create table recording_events (canary text)")
        _migrate(deployment)


@contextmanager
def _new_database(deployment: Deployment) -> Iterator[pg8000.native.Connection]:
    postgres, name = deployment.site.postgres, f"new_{uuid4().hex[:12]}"
    postgres.create_database(name)
    deployment.configure(DATABASE_NAME=name)
    with pg8000.native.Connection(USER, LOOPBACK, name, postgres.port, postgres.password) as database:
        yield database
    postgres.drop_database(name)


def _migrate(deployment: Deployment) -> None:
    """Run the migration by hand and as a deploy does, whose address to answer at is a secret too."""
    properties = {"Revision": "9999", "Database": "db:5432/recorder", "Configuration": []}
    deploy = {
        "RequestType": "Create",
        "ResponseURL": "http://127.0.0.1:1/answer?X-Amz-Signature=canary-of-a-link",
        "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/recorder/1",
        "RequestId": str(uuid4()),
        "LogicalResourceId": "Migration",
        "ResourceProperties": properties,
    }
    for asked in (event("migrate_database_by_hand"), deploy):
        try:
            deployment.invoke("migrate_database", asked)
        except Exception as error:  # noqa: BLE001 - Lambda logs what a handler raises, whatever it is
            _assert_clean(deployment, "".join(traceback.format_exception(error)))


PATHS: dict[str, Callable[[Deployment, User], None]] = {
    make.__name__.removeprefix("_"): make
    for make in (
        _everything_works,
        _database_away,
        _database_refuses_the_login,
        _database_name_is_wrong,
        _table_is_missing,
        _livekit_away,
        _livekit_refuses_us,
        _livekit_fails,
        _storage_away,
        _bucket_missing,
        _bus_missing,
        _secrets_away,
        _settings_missing,
        _bad_requests,
        _migration_succeeds,
        _migration_fails,
    )
}


def _every_call(deployment: Deployment, alice: User, recording_id: str) -> None:
    deployment.advance(10)
    body = deployment.livekit.deliveries[0][0].body if deployment.livekit.deliveries else b"{}"
    answers = [
        alice.start(roomName="demo"),
        alice.list(),
        alice.get(recording_id),
        alice.stop(recording_id),
        alice.delete(recording_id),
        deployment.post_webhook("/api/video/livekit/webhook", body, sign(body)),
    ]
    for answer in answers:
        assert "Traceback" not in answer.text
        _assert_clean(deployment, answer.text, link=True)
    try:
        deployment.sweep()
    except Exception as error:  # noqa: BLE001 - Lambda logs what a handler raises, whatever it is
        _assert_clean(deployment, f"{error!r}")


def _assert_clean(deployment: Deployment, text: str, *, link: bool = False) -> None:
    site = deployment.site
    secrets = {API_SECRET, site.postgres.password, site.aws.secret_key}
    # How a token begins, and what makes a link one.
    marks = {"canary", "eyJ"} | (set() if link else {"X-Amz-Signature"})
    for secret in secrets | marks:
        assert secret not in text


@pytest.mark.usefixtures("refused_connections")
@pytest.mark.parametrize("path", PATHS)
def test_no_secret_is_told(deployment: Deployment, alice: User, logs: Logs, path: str) -> None:
    PATHS[path](deployment, alice)
    kept = deployment.rows("select * from recordings") + deployment.rows("select * from recording_events")
    _assert_clean(deployment, logs.text)
    _assert_clean(deployment, json.dumps(kept))
    _assert_clean(deployment, json.dumps(deployment.events()))
    assert logs.lines.getvalue()


def test_link_is_in_the_answer_and_nowhere_else(deployment: Deployment, alice: User, logs: Logs) -> None:
    url = alice.get(_completed(deployment, alice))["downloadUrl"]
    [signature] = parse_qs(urlsplit(url).query)["X-Amz-Signature"]
    deployment.sweep()
    assert signature not in logs.text
    assert signature not in json.dumps(deployment.events())
