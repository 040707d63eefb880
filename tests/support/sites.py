"""Databases, buckets and event buses for deployments, made once and used again."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import httpx
import pg8000.native
import pytest
from pg8000.exceptions import InterfaceError

from local.processes.children import LOOPBACK
from local.services.postgres import USER
from recorder.aws.storage import S3Storage
from recorder.livekit.egress import LiveKitEgress
from recorder.postgres.repository import Repository
from tests.support.events import event
from tests.support.functions import LambdaContext, handler
from tests.support.invariants import INSTRUMENT
from tests.support.livekit import API_KEY, API_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from local.stack import Stack
    from recorder import bootstrap

TEMPLATE = "deployment_template"


class Site:
    """A migrated database, a bucket and an event bus for a deployment; used again and again, emptied."""

    def __init__(self, stack: Stack, template: str, livekit_url: str) -> None:
        self.name = f"site-{uuid4().hex[:12]}"
        self.aws = stack.aws
        self.postgres = stack.postgres
        stack.postgres.create_database(self.name, template=template)
        stack.aws.create_bucket(self.name)
        self.queue = Queue(stack, self.name)
        keys = {"access_key": stack.aws.access_key, "secret": stack.aws.secret_key}
        livekit_keys = {"api_key": API_KEY, "api_secret": API_SECRET}
        self.domain = f"{self.name}.execute-api.us-east-1.amazonaws.com"
        self.settings = _database_settings(stack, self.name) | {
            "API_URL": f"https://{self.domain}",
            "DEPLOYMENT": self.name,
            "EGRESS_S3_ENDPOINT": stack.aws.endpoint,
            "EGRESS_S3_REGION": stack.aws.region,
            "EGRESS_S3_SECRET_ARN": stack.aws.put_secret("egress", keys),
            # Segments are many objects: the tests that are about them switch them on.
            "SAFETY_SEGMENTS": "off",
            "EVENT_BUS_NAME": self.name,
            "LIVEKIT_SECRET_ARN": stack.aws.put_secret("livekit", livekit_keys),
            "LIVEKIT_URL": livekit_url,
            "RECORDINGS_BUCKET": self.name,
            "ROOM_CLAIM": "*",
        }
        self._database: pg8000.native.Connection | None = None
        self.warm: list[bootstrap.Environment] = []
        """Execution environments that were made by these very settings."""

    def connect(self) -> pg8000.native.Connection:
        return pg8000.native.Connection(
            USER, LOOPBACK, self.name, self.postgres.port, self.postgres.password, timeout=30
        )

    def run(self, statement: str, **parameters: object) -> list[list[object]]:
        """Run a statement, also after the database has been away."""
        for fresh in (False, True):
            if fresh or self._database is None:
                self._database = self.connect()
            try:
                return self._database.run(statement, **parameters) or []
            except (InterfaceError, OSError):
                if fresh:
                    raise
        raise AssertionError

    def empty(self) -> None:
        """Make it as new."""
        # Faster than TRUNCATE, which makes new files.
        self.run(
            "delete from recordings; delete from recording_events; delete from recording_waits;"
            " delete from observed_change"
        )
        for key in self.objects():
            self.aws.s3.delete_object(Bucket=self.name, Key=key)
        if self.queue.used:
            self.queue.purge()

    def objects(self) -> list[str]:
        """Return the keys of all objects in the bucket."""
        pages = self.aws.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def close(self) -> None:
        if self._database is not None:
            self._database.close()
        self.queue.close()
        close_all(self.warm)


def close_all(environments: Iterable[bootstrap.Environment]) -> None:
    """Give back what execution environments hold."""
    for environment in environments:
        for made in vars(environment).values():
            if isinstance(made, Repository | LiveKitEgress | S3Storage):
                made.close()


class Sites:
    """As many sites as one test has needed at once so far."""

    def __init__(self, make: Callable[[], Site]) -> None:
        self._make = make
        self._free: list[Site] = []

    @contextmanager
    def lent(self) -> Iterator[Site]:
        site = self._free.pop() if self._free else self._make()
        yield site
        site.empty()
        self._free.append(site)

    def close(self) -> None:
        for site in self._free:
            site.close()


def make_template(stack: Stack) -> str:
    """Make a migrated database to copy, in which every change of a recording is observed."""
    stack.postgres.create_database(TEMPLATE)
    migrate(stack, TEMPLATE)
    with pg8000.native.Connection(
        USER, LOOPBACK, TEMPLATE, stack.postgres.port, stack.postgres.password
    ) as database:
        database.run(INSTRUMENT)
    return TEMPLATE


def migrate(stack: Stack, database: str) -> object:
    """Bring a database to this version's schema, as `sam deploy` does: by the function."""
    settings = _database_settings(stack, database)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        context = LambdaContext("migrate_database", time.time_ns)
        return handler("migrate_database")(event("migrate_database_by_hand"), context)


def _database_settings(stack: Stack, database: str) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": stack.aws.access_key,
        "AWS_DEFAULT_REGION": stack.aws.region,
        "AWS_ENDPOINT_URL": stack.aws.endpoint,
        "AWS_REGION": stack.aws.region,
        "AWS_SECRET_ACCESS_KEY": stack.aws.secret_key,
        "DATABASE_HOST": LOOPBACK,
        "DATABASE_NAME": database,
        "DATABASE_PORT": str(stack.postgres.port),
        "DATABASE_SECRET_ARN": stack.aws.put_secret(
            f"database-{database}", {"password": stack.postgres.password}
        ),
        "DATABASE_TLS": "disable",
        "DATABASE_USER": USER,
    }


class Queue:
    """An SQS queue that a rule on an event bus of its own fills."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._http = httpx.Client(base_url=stack.aws.endpoint)
        self._received: list[dict[str, object]] = []
        self.used = False
        """Whether an event may have come."""
        events = stack.aws.events
        events.create_event_bus(Name=name)
        # A message that was received once stays hidden for longer than any test takes.
        attributes = {"VisibilityTimeout": "43200"}
        self._url = self._call("CreateQueue", QueueName=name, Attributes=attributes)["QueueUrl"]
        arn = f"arn:aws:sqs:{stack.aws.region}:000000000000:{name}"
        events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps({"source": ["recorder"]}))
        events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])

    def receive(self) -> list[dict[str, object]]:
        """Return the details of all events so far, in order of arrival."""
        while messages := self._call("ReceiveMessage", QueueUrl=self._url, MaxNumberOfMessages=10).get(
            "Messages"
        ):
            bodies = (json.loads(message["Body"]) for message in cast("list[dict[str, str]]", messages))
            self._received += (body["detail"] for body in bodies)
        return self._received

    def purge(self) -> None:
        """Forget all messages."""
        self._received, self.used = [], False
        self._call("PurgeQueue", QueueUrl=self._url)

    def close(self) -> None:
        self._http.close()

    def _call(self, operation: str, **parameters: object) -> dict[str, object]:
        # The local server wants to be told a credential, and does not check its signature.
        headers = {
            "Authorization": "AWS4-HMAC-SHA256 Credential=local/20260101/us-east-1/sqs/aws4_request, "
            "SignedHeaders=host, Signature=0",
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"AmazonSQS.{operation}",
        }
        answer = self._http.post("/", headers=headers, content=json.dumps(parameters)).raise_for_status()
        result: dict[str, object] = json.loads(answer.content or b"{}")
        return result
