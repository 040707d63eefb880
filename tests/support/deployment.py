"""The product as a user has it: the functions' handlers with real Postgres, S3, EventBridge and LiveKit's API.

alice = deployment.as_user("alice")
started = alice.start(roomName="demo")
deployment.advance(60)      # LiveKit's webhooks arrive, its workers upload, all in virtual time
deployment.sweep()
alice.get(started["recordingId"])
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import jwt
import pg8000.native
import pytest

from local.postgres import USER
from local.processes import LOOPBACK
from recorder import bootstrap
from recorder.database import Database
from recorder.egress import LiveKitEgress
from recorder.ports import Clock
from tests.support.events import event, http_event
from tests.support.livekit import API_KEY, API_SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from local.livekit.webhooks import Webhook
    from local.stack import Stack
    from tests.support.events import HttpEvent
    from tests.support.livekit import LiveKit

FUNCTIONS: Final = Path(__file__).parents[2] / "functions"
TIMEOUTS: Final = {"reconcile_recordings": 55.0, "migrate_database": 300.0}
"""Seconds that a function may run, where they are not the 29 of the endpoints; as in template.yaml."""
ENDPOINT_TIMEOUT: Final = 29.0
EPOCH_SECOND: Final = 1_000_000_000

type Handler = Callable[[object, object], object]
type Row = dict[str, object]


class FunctionTimeoutError(Exception):
    """Lambda would have ended the function before it answered."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> dict[str, object]:
        body: dict[str, object] = json.loads(self.text)
        return body

    def __getitem__(self, name: str) -> str:
        """Return a text of the body."""
        value = self.json[name]
        assert isinstance(value, str), f"{name} is {value!r}"
        return value

    @property
    def details(self) -> list[str]:
        """The fields that an error names."""
        value = cast("list[dict[str, str]]", self.json["details"])
        assert all(each["message"] for each in value)
        return [each["field"] for each in value]

    @property
    def recording(self) -> dict[str, object]:
        value = self.json["recording"]
        assert isinstance(value, dict)
        return value

    @property
    def recordings(self) -> list[dict[str, object]]:
        value = self.json["recordings"]
        assert isinstance(value, list)
        return value


class _LambdaContext:
    """What the Lambda runtime hands to a handler."""

    function_version = "$LATEST"
    memory_limit_in_mb = 512

    def __init__(self, function: str, clock: Callable[[], int]) -> None:
        self.function_name = function
        self.invoked_function_arn = f"arn:aws:lambda:us-east-1:123456789012:function:{function}"
        self.aws_request_id = str(uuid4())
        self._clock = clock
        self._began = clock()
        self._timeout = TIMEOUTS.get(function, ENDPOINT_TIMEOUT)

    def get_remaining_time_in_millis(self) -> int:
        return int((self._timeout - (self._clock() - self._began) / EPOCH_SECOND) * 1000)


@cache
def handler(function: str) -> Handler:
    """Load `functions/<function>/app.py` as the Lambda runtime does."""
    spec = importlib.util.spec_from_file_location(f"functions_{function}", FUNCTIONS / function / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return cast("Handler", module.lambda_handler)


def migrate(stack: Stack, database: str) -> object:
    """Bring a database to this version's schema, as `sam deploy` does: by the function."""
    settings = _database_settings(stack, database)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        context = _LambdaContext("migrate_database", time.time_ns)
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
        "DATABASE_SECRET_ARN": stack.aws.put_secret("database", {"password": stack.postgres.password}),
        "DATABASE_TLS": "disable",
        "DATABASE_USER": USER,
    }


class User:
    """Somebody with a valid access token."""

    def __init__(self, deployment: Deployment, name: str, **claims: str) -> None:
        self.name = name
        self._deployment = deployment
        self._claims = {"iss": "https://issuer.example.com", "aud": "recordings", "sub": name} | claims

    def start(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        environment: bootstrap.Environment | None = None,
        **options: object,
    ) -> Answer:
        """POST with these options as the body."""
        body = json.dumps(options).encode()
        return self.send("start_recording_room", body=body, headers=headers, environment=environment)

    def list(self, query: str = "") -> Answer:
        """GET the list."""
        return self.send("list_recordings_first_page", query=query)

    def get(self, recording_id: str, *, wait: int | None = None) -> Answer:
        """GET one."""
        return self.send("get_recording_one", recording_id=recording_id, headers=_prefer(wait))

    def stop(self, recording_id: str, *, wait: int | None = None, body: bytes | None = None) -> Answer:
        """PATCH."""
        return self.send(
            "stop_recording_no_body", recording_id=recording_id, headers=_prefer(wait), body=body
        )

    def delete(self, recording_id: str) -> Answer:
        """DELETE."""
        return self.send("delete_recording_one", recording_id=recording_id)

    def send(
        self,
        name: str,
        *,
        recording_id: str | None = None,
        body: bytes | None = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        environment: bootstrap.Environment | None = None,
    ) -> Answer:
        """Send the request that a file in `events/` holds, with these parts and this user's token instead."""
        request = http_event(
            name,
            claims=self._claims,
            recording_id=recording_id,
            body=body,
            query=query,
            headers=headers,
            domain=self._deployment.domain,
        )
        return self._deployment.request(function_of(name), request, environment)

    def statuses(self) -> Sequence[object]:
        """Return the statuses in this user's list, newest first."""
        return [recording["status"] for recording in self.list().recordings]


class Site:
    """What a deployment stands on: a migrated database, a bucket, an event bus; used again and again, emptied."""

    def __init__(self, stack: Stack, template: str, livekit_url: str) -> None:
        self.name = f"site-{uuid4().hex[:12]}"
        self.aws = stack.aws
        self.postgres = stack.postgres
        stack.postgres.create_database(self.name, template=template)
        stack.aws.create_bucket(self.name)
        self.queue = Queue(stack, self.name)
        keys = {"access_key": stack.aws.access_key, "secret": stack.aws.secret_key}
        livekit_keys = {"api_key": API_KEY, "api_secret": API_SECRET}
        self.settings = _database_settings(stack, self.name) | {
            "DEPLOYMENT": self.name,
            "EGRESS_S3_ENDPOINT": stack.aws.endpoint,
            "EGRESS_S3_REGION": stack.aws.region,
            "EGRESS_S3_SECRET_ARN": stack.aws.put_secret("egress", keys),
            "EVENT_BUS_NAME": self.name,
            "LIVEKIT_SECRET_ARN": stack.aws.put_secret("livekit", livekit_keys),
            "LIVEKIT_URL": livekit_url,
            "RECORDINGS_BUCKET": self.name,
        }
        self.database = pg8000.native.Connection(
            USER, LOOPBACK, self.name, stack.postgres.port, stack.postgres.password, timeout=30
        )
        self.warm: list[bootstrap.Environment] = []
        """Execution environments that were made by these very settings."""

    def empty(self) -> None:
        """Make it as new."""
        self.database.run("truncate recordings, recording_events, observed_change restart identity")
        for key in self.objects():
            self.aws.s3.delete_object(Bucket=self.name, Key=key)
        self.queue.purge()

    def objects(self) -> list[str]:
        """Return the keys of all objects in the bucket."""
        found = self.aws.s3.list_objects_v2(Bucket=self.name)
        return [each["Key"] for each in found.get("Contents", [])]

    def close(self) -> None:
        self.database.close()
        self.queue.close()
        close_all(self.warm)


def close_all(environments: Iterable[bootstrap.Environment]) -> None:
    """Give back what execution environments hold."""
    for environment in environments:
        for made in environment.made.values():
            if isinstance(made, Database | LiveKitEgress):
                made.close()
        environment.made.clear()


class Deployment:
    """One deployment; its LiveKit may be shared with others. `settings` differ from the site's."""

    def __init__(
        self, site: Site, livekit: LiveKit, monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str]
    ) -> None:
        self.site = site
        self.livekit = livekit
        self.domain = f"{site.name}.execute-api.us-east-1.amazonaws.com"
        self.settings = site.settings
        self._monkeypatch = monkeypatch
        self._lock = threading.Lock()
        self._own: list[bootstrap.Environment] = []
        self._idle = site.warm
        if settings:
            self.configure(**settings)
        livekit.connect(self.domain, self.deliver)

    def configure(self, **settings: str) -> None:
        """Change environment variables of the functions, which are then started anew."""
        self.settings = self.settings | settings
        self._idle = []

    def close(self) -> None:
        """End the execution environments, but for those that the next deployment on this site can use."""
        close_all(self._own)
        if self._idle is not self.site.warm:
            close_all(self._idle)

    # The doors.

    def as_user(self, name: str, **claims: str) -> User:
        """Return somebody who has a token with this subject."""
        return User(self, name, **claims)

    def request(
        self, function: str, request: HttpEvent, environment: bootstrap.Environment | None = None
    ) -> Answer:
        """Invoke a function with a request."""
        answer = cast("dict[str, object]", self.invoke(function, request, environment))
        assert answer.keys() == {"statusCode", "headers", "body"}
        return Answer(
            cast("int", answer["statusCode"]),
            cast("dict[str, str]", answer["headers"]),
            cast("str", answer["body"]),
        )

    def sweep(self) -> dict[str, int]:
        """Run the schedule's sweep; returns how many recordings had which outcome."""
        report = cast(
            "dict[str, object]", self.invoke("reconcile_recordings", event("reconcile_recordings_scheduled"))
        )
        return cast("dict[str, int]", report["outcomes"])

    def sweeps(self, number: int) -> None:
        """Let minutes pass, with a sweep at the end of each."""
        for _ in range(number):
            self.advance(61)
            self.sweep()

    def deliver(self, webhook: Webhook) -> int:
        """Hand a webhook of LiveKit's to its function, as API Gateway does."""
        # In virtual time its token may be of another day than the clock by which the function verifies it.
        return self.post_webhook(urlsplit(webhook.url).path, webhook.body, sign(webhook.body)).status

    def post_webhook(
        self, path: str, body: bytes, authorization: str | None, *, encoded: bool = True
    ) -> Answer:
        """POST to one of the webhook's two addresses; API Gateway encodes bodies of LiveKit's content type."""
        recording_id = path.rpartition("/webhook")[2].strip("/")
        name = "receive_livekit_webhook_base64" if recording_id else "receive_livekit_webhook_global_route"
        request = http_event(
            name,
            recording_id=recording_id or None,
            body=body,
            base64_encoded=encoded,
            domain=self.domain,
        )
        del request["headers"]["authorization"]
        if authorization is not None:
            request["headers"]["authorization"] = authorization
        return self.request("receive_livekit_webhook", request)

    def invoke(
        self, function: str, event: object, environment: bootstrap.Environment | None = None
    ) -> object:
        """Invoke a function in an environment that is free, or in a new one."""
        for name, value in self.settings.items():
            self._monkeypatch.setenv(name, value)
        context = _LambdaContext(function, self.livekit.clock.ns)
        with self._entered(environment):
            result = handler(function)(event, context)
        if context.get_remaining_time_in_millis() < 0:
            raise FunctionTimeoutError(f"{function} was not done in time")
        json.dumps(result)
        return result

    def cold(self) -> bootstrap.Environment:
        """Return a new execution environment, for this test only."""
        made = self._environment()
        self._own.append(made)
        return made

    def _environment(self) -> bootstrap.Environment:
        return bootstrap.Environment(Clock(self.livekit.clock.now, self.livekit.server.advance))

    @contextmanager
    def _entered(self, chosen: bootstrap.Environment | None) -> Iterator[None]:
        with self._lock:
            idle = self._idle
            entered = chosen or (idle.pop() if idle else self._environment())
        token = bootstrap.environment.set(entered)
        try:
            yield
        finally:
            bootstrap.environment.reset(token)
            if chosen is None:
                with self._lock:
                    idle.append(entered)

    # Time and the outside.

    def advance(self, seconds: float) -> None:
        """Let time pass, with everything that LiveKit does meanwhile."""
        self.livekit.advance(seconds)

    def at_once[T](self, *calls: Callable[[], T]) -> list[T]:
        """Do several things at the same time, each in an execution environment of its own."""
        barrier = threading.Barrier(len(calls))

        def begin(call: Callable[[], T]) -> T:
            barrier.wait()
            return call()

        with ThreadPoolExecutor(len(calls)) as threads:
            return list(threads.map(begin, calls))

    def row(self, recording_id: str) -> Row | None:
        """Return a recording's row."""
        rows = self.rows("select * from recordings where id = cast(:id as uuid)", id=recording_id)
        return rows[0] if rows else None

    def rows(self, query: str, **parameters: object) -> list[Row]:
        """Query the database; the rows are as in JSON."""
        found = self.site.database.run(f"select to_jsonb(found)::text from ({query}) as found", **parameters)
        return [json.loads(cast("str", text)) for [text] in found or ()]

    def execute(self, statement: str, **parameters: object) -> None:
        """Change the database behind the product's back."""
        self.site.database.run(statement, **parameters)

    def objects(self) -> list[str]:
        """Return the keys of all objects in the bucket."""
        return self.site.objects()

    def put_object(self, key: str, body: bytes = b"late") -> None:
        """Store an object as somebody else than LiveKit's worker."""
        self.site.aws.s3.put_object(Bucket=self.site.name, Key=key, Body=body)

    def events(self) -> list[dict[str, object]]:
        """Return every event that has reached the bus, in order of arrival."""
        return self.site.queue.receive()


class Queue:
    """An SQS queue that a rule on an event bus of its own fills."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._http = httpx.Client(base_url=stack.aws.endpoint)
        self._received: list[dict[str, object]] = []
        events = stack.aws.events
        events.create_event_bus(Name=name)
        # What was received once stays hidden for longer than any test takes.
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
        self._received = []
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


def sign(body: bytes, *, secret: str = API_SECRET, **claims: object) -> str:
    """Sign a webhook as LiveKit does; `claims` replace its own."""
    now = int(time.time())
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    own = {"iss": API_KEY, "iat": now, "nbf": now, "exp": now + 300, "sha256": digest}
    return jwt.encode(own | claims, secret, algorithm="HS256")


def function_of(event_name: str) -> str:
    """Return which function a file in `events/` is for."""
    return next(each.name for each in FUNCTIONS.iterdir() if event_name.startswith(f"{each.name}_"))


def _prefer(wait: int | None) -> dict[str, str]:
    return {} if wait is None else {"prefer": f"wait={wait}"}
