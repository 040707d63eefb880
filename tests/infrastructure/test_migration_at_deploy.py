"""The migration as a deploy runs it: what CloudFormation asks, and what it is answered."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, cast, override
from uuid import uuid4

import pg8000.exceptions
import pg8000.native
import pytest

from local.processes.children import LOOPBACK, free_port
from local.services.postgres import USER
from tests.support.database import HEAD
from tests.support.events import EVENTS, event
from tests.support.functions import LambdaContext, handler

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import Stack

WEAK_PASSWORD = "canary-of-a-password"


@dataclass
class CloudFormation:
    """Asks the function, and takes its answers where `ResponseURL` says."""

    url: str
    answers: list[dict[str, object]] = field(default_factory=list)
    content_types: list[str | None] = field(default_factory=list)

    def ask(
        self,
        kind: str = "Create",
        *,
        revision: str = HEAD,
        before: str | None = None,
        database: str = "db:5432/recorder",
        level: str = "INFO",
        seconds: float | None = None,
        properties: dict[str, object] | None = None,
    ) -> dict[str, object]:
        """Invoke the function as a deploy does, and return what it answered; `properties` are all the resource has."""
        event: dict[str, object] = {
            "RequestType": kind,
            "ResponseURL": self.url,
            "StackId": "arn:aws:cloudformation:eu-central-1:123456789012:stack/recorder/1",
            "RequestId": str(uuid4()),
            "ResourceType": "Custom::Migration",
            "LogicalResourceId": "Migration",
            "ResourceProperties": properties
            or {"Revision": revision, "Database": database, "Configuration": [level]},
        }
        if kind != "Create":
            event["PhysicalResourceId"] = "migration-of-a-release-before"
        if before is not None:
            old = {"Revision": before, "Database": "db:5432/recorder", "Configuration": ["INFO"]}
            event["OldResourceProperties"] = old
        invoke(event, seconds)
        answer = self.answers.pop()
        assert self.answers == []
        for name in ("StackId", "RequestId", "LogicalResourceId"):
            assert answer[name] == event[name]
        # Another id would make CloudFormation delete the resource of the old one.
        assert answer["PhysicalResourceId"] == event.get("PhysicalResourceId", answer["PhysicalResourceId"])
        assert answer["PhysicalResourceId"]
        return answer


def invoke(event: dict[str, object], seconds: float | None = None) -> dict[str, object]:
    result = handler("migrate_database")(event, LambdaContext("migrate_database", time.time_ns, seconds))
    return cast("dict[str, object]", result)


@pytest.fixture
def cloudformation() -> Iterator[CloudFormation]:
    class Receiver(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked.answers.append(json.loads(body))
            asked.content_types.append(self.headers["Content-Type"])
            self.send_response(200)
            self.end_headers()

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    with HTTPServer((LOOPBACK, 0), Receiver) as server:
        asked = CloudFormation(f"http://{LOOPBACK}:{server.server_port}/answer")
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield asked
        server.shutdown()
        serving.join()


@pytest.fixture
def database(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[pg8000.native.Connection]:
    """An empty database, of which the function knows."""
    name = f"deploy-{uuid4().hex[:12]}"
    stack.postgres.create_database(name)
    secret = stack.aws.put_secret("deploy-database", {"password": stack.postgres.password})
    settings = {
        "AWS_ACCESS_KEY_ID": stack.aws.access_key,
        "AWS_ENDPOINT_URL": stack.aws.endpoint,
        "AWS_REGION": stack.aws.region,
        "AWS_SECRET_ACCESS_KEY": stack.aws.secret_key,
        "DATABASE_HOST": LOOPBACK,
        "DATABASE_NAME": name,
        "DATABASE_PORT": str(stack.postgres.port),
        "DATABASE_SECRET_ARN": secret,
        "DATABASE_TLS": "disable",
        "DATABASE_USER": USER,
    }
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    with pg8000.native.Connection(
        USER, LOOPBACK, name, stack.postgres.port, stack.postgres.password
    ) as connection:
        yield connection
    stack.postgres.drop_database(name)


@pytest.fixture
def weak_role(
    stack: Stack, database: pg8000.native.Connection, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """A role that may log in and nothing else; the function is to use it."""
    database.run(f"create role weak login password '{WEAK_PASSWORD}'")
    monkeypatch.setenv("DATABASE_USER", "weak")
    arn = stack.aws.put_secret("deploy-weak", {"password": WEAK_PASSWORD})
    monkeypatch.setenv("DATABASE_SECRET_ARN", arn)
    yield "weak"
    database.run("drop role weak")


def tables(database: pg8000.native.Connection) -> set[object]:
    rows = database.run("select tablename from pg_tables where schemaname = 'public'")
    return {name for [name] in rows or ()}


def test_a_first_deploy_makes_the_tables(
    cloudformation: CloudFormation, database: pg8000.native.Connection
) -> None:
    answer = cloudformation.ask()

    assert answer["Status"] == "SUCCESS"
    assert tables(database) >= {"recordings", "recording_events"}
    # The address is signed for an empty one.
    assert cloudformation.content_types == [""]


def test_deploying_again_changes_nothing(
    cloudformation: CloudFormation, database: pg8000.native.Connection
) -> None:
    cloudformation.ask()
    database.run(
        "insert into recordings (user_id, room_name, status, status_at) values ('a', 'b', 'failed', now())"
    )

    answer = cloudformation.ask("Update", before="0001")

    assert answer["Status"] == "SUCCESS"
    assert database.run("select count(*) from recordings") == [[1]]


@pytest.mark.usefixtures("weak_role")
def test_a_failed_migration_fails_the_deploy_with_its_reason(
    cloudformation: CloudFormation,
    database: pg8000.native.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    answer = cloudformation.ask()

    assert answer["Status"] == "FAILED"
    assert answer["Reason"] == "Postgres refused it: permission denied for schema public (SQLSTATE 42501)"
    assert tables(database) == set()
    assert "MIGRATION_FAILED" in caplog.messages
    assert WEAK_PASSWORD not in str(answer["Reason"]) + "".join(
        str(vars(record)) for record in caplog.records
    )


def test_a_wrong_password_is_told_without_the_password(
    cloudformation: CloudFormation, stack: Stack, weak_role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = stack.aws.put_secret("deploy-wrong", {"password": "another-canary"})
    monkeypatch.setenv("DATABASE_SECRET_ARN", wrong)

    answer = cloudformation.ask()

    assert (answer["Status"], weak_role in str(answer["Reason"])) == ("FAILED", True)
    assert "SQLSTATE 28P01" in str(answer["Reason"])
    assert "another-canary" not in str(answer["Reason"])


@pytest.mark.usefixtures("database")
def test_an_absent_secret_is_told(cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_SECRET_ARN", "arn:aws:secretsmanager:us-east-1:000000000000:secret:absent")

    answer = cloudformation.ask()

    assert answer["Status"] == "FAILED"
    assert "ResourceNotFoundException" in str(answer["Reason"])


class Refusing:
    """A Secrets Manager to which a role is still unknown so many times."""

    def __init__(self, secret: str, refusals: int) -> None:
        self._secret = json.dumps({"SecretString": json.dumps({"password": secret})}).encode()
        self._refusals = refusals
        self.asked = 0

    @contextmanager
    def serving(self) -> Iterator[str]:
        secrets = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                secrets.asked += 1
                refused = secrets.asked <= secrets._refusals
                self.send_response(400 if refused else 200)
                self.end_headers()
                self.wfile.write(b'{"__type": "AccessDeniedException"}' if refused else secrets._secret)

            @override
            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        with HTTPServer((LOOPBACK, 0), Handler) as server:
            serving = threading.Thread(target=server.serve_forever)
            serving.start()
            yield f"http://{LOOPBACK}:{server.server_port}"
            server.shutdown()
            serving.join()


def test_a_role_that_iam_does_not_know_yet_is_tried_again(
    cloudformation: CloudFormation,
    database: pg8000.native.Connection,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secrets = Refusing(stack.postgres.password, refusals=2)
    with secrets.serving() as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        answer = cloudformation.ask()

    assert (answer["Status"], secrets.asked) == ("SUCCESS", 3)
    assert tables(database) >= {"recordings"}


@pytest.mark.usefixtures("database")
def test_a_role_that_iam_refuses_for_good_is_told_in_time(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = Refusing("", refusals=1000)
    with secrets.serving() as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        # Ten seconds of which are kept for the answer.
        answer = cloudformation.ask(seconds=12.5)

    assert answer["Status"] == "FAILED"
    assert "AccessDeniedException" in str(answer["Reason"])
    assert 1 < secrets.asked < 5


@pytest.mark.usefixtures("database")
def test_iam_authentication_that_postgres_refuses_is_tried_again(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DATABASE_AUTHENTICATION", "iam")

    answer = cloudformation.ask(seconds=12.5)

    assert "SQLSTATE 28P01" in str(answer["Reason"])
    assert "MIGRATION_WAITS" in caplog.messages


@pytest.mark.usefixtures("database")
def test_an_unreachable_database_fails_what_goes_on_and_not_what_goes_back(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PORT", str(free_port()))

    assert cloudformation.ask("Update", revision=HEAD, before="0001")["Status"] == "FAILED"
    assert cloudformation.ask("Update", revision="0001", before=HEAD)["Status"] == "SUCCESS"
    assert cloudformation.ask("Delete")["Status"] == "SUCCESS"


def test_a_deploy_that_sets_functions_up_otherwise_needs_no_database(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PORT", str(free_port()))

    one = cloudformation.ask("Update", before=HEAD)
    other = cloudformation.ask("Update", before=HEAD, level="DEBUG")

    assert one["Status"] == other["Status"] == "SUCCESS"
    assert one["Data"] == cloudformation.ask("Update", before=HEAD)["Data"] != other["Data"]
    assert cloudformation.ask("Update", before=HEAD, database="other:5432/recorder")["Status"] == "FAILED"


def test_going_back_to_a_template_that_knew_less_is_answered(
    cloudformation: CloudFormation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PORT", str(free_port()))

    assert cloudformation.ask("Update", before=HEAD, properties={"Revision": "0001"})["Status"] == "SUCCESS"
    assert cloudformation.ask("Delete", properties={"Revision": HEAD})["Status"] == "SUCCESS"


def test_a_migration_that_takes_too_long_is_told_before_the_function_ends(
    cloudformation: CloudFormation, database: pg8000.native.Connection
) -> None:
    database.run("create table recordings (id text)")
    database.run("begin")
    database.run("lock table recordings")

    answer = cloudformation.ask(seconds=10.5)

    assert answer["Status"] == "FAILED"
    assert "statement timeout (SQLSTATE 57014)" in str(answer["Reason"])
    assert tables(database) == {"recordings"}


def test_deleting_the_stack_leaves_the_tables(
    cloudformation: CloudFormation, database: pg8000.native.Connection
) -> None:
    cloudformation.ask()

    assert cloudformation.ask("Delete")["Status"] == "SUCCESS"
    assert tables(database) >= {"recordings", "recording_events"}


def test_an_older_version_leaves_a_newer_schema_alone(
    cloudformation: CloudFormation, database: pg8000.native.Connection
) -> None:
    cloudformation.ask()
    database.run("update alembic_version set version_num = '9999'")

    assert cloudformation.ask("Update")["Status"] == "SUCCESS"
    assert invoke({}) == {"before": "9999", "after": "9999"}


def test_by_hand_it_tells_what_it_did_or_raises(
    database: pg8000.native.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert invoke({}) == {"before": None, "after": HEAD}
    assert tables(database) >= {"recordings"}

    monkeypatch.setenv("DATABASE_NAME", "absent")
    with pytest.raises(Exception, match='database "absent" does not exist'):
        invoke({})


@pytest.mark.parametrize("name", sorted(path.stem for path in EVENTS.glob("migrate_database_*.json")))
def test_what_cloudformation_did_not_send_makes_it_migrate_and_answer_nobody(
    cloudformation: CloudFormation, database: pg8000.native.Connection, name: str
) -> None:
    told = json.loads(
        json.dumps(event(name)).replace("https://example.com/somebody-elses", cloudformation.url)
    )

    assert invoke(told) == {"before": None, "after": HEAD}
    assert tables(database) >= {"recordings", "recording_events"}
    assert cloudformation.answers == []
