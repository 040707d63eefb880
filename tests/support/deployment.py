"""The product as a user has it: the functions' handlers with real Postgres, S3, EventBridge and LiveKit's API.

alice = deployment.as_user("alice")
started = alice.start(roomName="demo")
deployment.advance(60)      # LiveKit's webhooks arrive, its workers upload, all in virtual time
deployment.sweep()
alice.get(started["recordingId"])
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import jwt

from recorder import bootstrap
from recorder.errors import RecorderError
from recorder.usecases.ports import Clock
from tests.support import contract
from tests.support.events import event, http_event
from tests.support.functions import LambdaContext, function_of, handler
from tests.support.livekit import API_KEY, API_SECRET
from tests.support.sites import close_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from uuid import UUID

    import pytest

    from livekit_standin.webhooks import Webhook
    from tests.support.events import HttpEvent
    from tests.support.livekit import LiveKit
    from tests.support.sites import Site

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


class User:
    """Somebody with a valid access token."""

    def __init__(self, deployment: Deployment, name: str, **claims: str) -> None:
        self.name = name
        self.defaults: dict[str, object] = {}
        """Options that each start has unless told otherwise."""
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
        # A track does not go on, so its start has no such field.
        unfit = {"onWorkerLost"} if "trackBased" in options else set[str]()
        given = {name: value for name, value in self.defaults.items() if name not in unfit} | options
        body = json.dumps(given).encode()
        return self.send("start_recording_room", body=body, headers=headers, environment=environment)

    def ask(self, **options: object) -> Answer:
        """POST exactly these options."""
        return self.send("start_recording_room", body=json.dumps(options).encode())

    def list(self, query: str = "") -> Answer:
        """GET the list."""
        return self.send("list_recordings_first_page", query=query)

    def get(self, recording_id: str, *, wait: int | None = None) -> Answer:
        """GET one."""
        return self.send("get_recording_completed", recording_id=recording_id, headers=_prefer(wait))

    def stop(self, recording_id: str, *, wait: int | None = None, body: bytes | None = None) -> Answer:
        """PATCH."""
        return self.send(
            "stop_recording_no_body", recording_id=recording_id, headers=_prefer(wait), body=body
        )

    def pause(self, recording_id: str) -> Answer:
        """PATCH: pause."""
        return self.stop(recording_id, body=b'{"action":"pause"}')

    def resume(self, recording_id: str) -> Answer:
        """PATCH: resume."""
        return self.stop(recording_id, body=b'{"action":"resume"}')

    def delete(self, recording_id: str) -> Answer:
        """DELETE."""
        return self.send("delete_recording_one", recording_id=recording_id)

    def delete_all(self, *recording_ids: str) -> Answer:
        """POST ids to be deleted."""
        return self.send("delete_recordings_some", body=json.dumps({"ids": recording_ids}).encode())

    def share(self, recording_id: str, **options: object) -> Answer:
        """POST a link."""
        return self.send("create_link_week", recording_id=recording_id, body=json.dumps(options).encode())

    def revoke(self, recording_id: str, link_id: str) -> Answer:
        """DELETE a link."""
        return self.send("delete_link_one", recording_id=recording_id, link_id=link_id)

    def send(
        self,
        name: str,
        *,
        recording_id: str | None = None,
        link_id: str | None = None,
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
            link_id=link_id,
            body=body,
            query=query,
            headers=headers,
            domain=self._deployment.domain,
        )
        return self._deployment.request(function_of(name), request, environment)

    def record(self, room: str = "demo", *, seconds: float = 60, sweep: bool = False) -> str:
        """Have a room recorded for so long, perhaps with a sweep, and return the recording's id."""
        started = self.start(roomName=room)
        assert started.status == 201, started.text
        self._deployment.advance(seconds)
        if sweep:
            self._deployment.sweep()
        return started["recordingId"]

    def statuses(self) -> Sequence[object]:
        """Return the statuses in this user's list, newest first."""
        return [recording["status"] for recording in self.list().recordings]


class QueuedHints:
    """Remembers the calls of functions to functions; `Deployment` makes them when a function has returned."""

    def __init__(self, sweep: Callable[[], None]) -> None:
        self._sweep = sweep
        self.calls: list[tuple[str, UUID]] = []
        self.lost = False
        """Whether no call arrives."""

    def begin_take(self, recording_id: UUID) -> None:
        self._call("begin_take", recording_id)

    def assemble(self, recording_id: UUID) -> None:
        self._call("assemble_recording", recording_id)

    def sweep(self) -> None:
        if not self.lost:
            self._sweep()

    def _call(self, function: str, recording_id: UUID) -> None:
        if not self.lost:
            self.calls.append((function, recording_id))


class Deployment:
    """One deployment; its LiveKit may be shared with others. `settings` differ from the site's."""

    def __init__(
        self, site: Site, livekit: LiveKit, monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str]
    ) -> None:
        self.site = site
        self.livekit = livekit
        self.domain = site.domain
        self.settings = site.settings
        self._monkeypatch = monkeypatch
        self._lock = threading.Lock()
        # A sweep may wait for deadlines: it runs beside, while time passes.
        self.hints = QueuedHints(lambda: livekit.at(0.2, self.sweep))
        self._own: list[bootstrap.Environment] = []
        self._idle = site.warm
        if settings:
            self.configure(**settings)
        livekit.connect(self.domain, self.deliver)

    def configure(self, **settings: str) -> None:
        """Change environment variables of the functions, which are then started anew."""
        self.settings = self.settings | settings
        self._end_own_environments()
        self._idle = []

    def close(self) -> None:
        """End the execution environments, but for those that the next deployment on this site can use."""
        close_all(self._own)
        self._end_own_environments()

    def _end_own_environments(self) -> None:
        if self._idle is not self.site.warm:
            close_all(self._idle)

    # The doors.

    def as_user(self, name: str, **claims: str) -> User:
        """Return somebody who has a token with this subject."""
        return User(self, name, **claims)

    def request(
        self, function: str, request: HttpEvent, environment: bootstrap.Environment | None = None
    ) -> Answer:
        """Invoke a function with a request; its answer must be one that docs/openapi.json promises."""
        answer = cast("dict[str, object]", self.invoke(function, request, environment))
        assert answer.keys() - {"isBase64Encoded"} == {"statusCode", "headers", "body"}
        status, headers = cast("int", answer["statusCode"]), cast("dict[str, str]", answer["headers"])
        body = cast("str", answer["body"])
        if answer.get("isBase64Encoded"):
            assert headers["Content-Encoding"] == "gzip"
            body = gzip.decompress(base64.b64decode(body)).decode()
        contract.check(request["routeKey"], status, headers, body)
        return Answer(status, headers, body)

    def open_link(self, url: str) -> Answer:
        """POST the token of a link, as the page behind it does, without an account."""
        body = json.dumps({"token": url.partition("#")[2]}).encode()
        return self.request("open_link", http_event("open_link_unknown", body=body, domain=self.domain))

    def play(self, url: str, *, headers: Mapping[str, str] | None = None) -> Answer:
        """GET a live playlist, as a player does, without an account."""
        address = urlsplit(url)
        recording_id = address.path.split("/")[-2]
        request = http_event(
            "play_recording_live",
            recording_id=recording_id,
            query=address.query,
            headers=headers,
            domain=self.domain,
        )
        return self.request("play_recording", request)

    def sweep(self) -> dict[str, int]:
        """Run the schedule's sweep; returns how many recordings had which outcome."""
        report = cast(
            "dict[str, object]", self.invoke("reconcile_recordings", event("reconcile_recordings_scheduled"))
        )
        return cast("dict[str, int]", report["outcomes"])

    def sweeps(self, number: int, *, minutes: float = 1) -> None:
        """Let so many minutes pass each time, with a sweep at their end."""
        for _ in range(number):
            self.advance(minutes * 60 + 1)
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
        self,
        function: str,
        event: object,
        environment: bootstrap.Environment | None = None,
        *,
        clock: Callable[[], int] | None = None,
    ) -> object:
        """Invoke a function in an environment that is free, or in a new one; `clock` (ns) bounds how long it runs."""
        for name, value in self.settings.items():
            self._monkeypatch.setenv(name, value)
        context = LambdaContext(function, clock or self.livekit.clock.ns)
        # It may publish, also where it does not live to say so.
        self.site.queue.used |= function == "reconcile_recordings"
        with self._entered(environment):
            result = handler(function)(event, context)
        if context.get_remaining_time_in_millis() < 0:
            raise FunctionTimeoutError(f"{function} was not done in time")
        json.dumps(result)
        self._make_calls()
        return result

    def _make_calls(self) -> None:
        """Invoke the functions that other functions called, as Lambda does: later, and without an answer."""
        while self.hints.calls:
            function, recording_id = self.hints.calls.pop(0)
            with suppress(RecorderError):
                self.invoke(function, {"recordingId": str(recording_id)})

    def cold(self) -> bootstrap.Environment:
        """Return a new execution environment, for this test only."""
        made = self._environment()
        self._own.append(made)
        return made

    def _environment(self) -> bootstrap.Environment:
        made = bootstrap.Environment()
        made.clock = Clock(self.livekit.clock.now, self.livekit.server.advance)
        return made

    @contextmanager
    def _entered(self, chosen: bootstrap.Environment | None) -> Iterator[None]:
        with self._lock:
            idle = self._idle
            entered = chosen or (idle.pop() if idle else self._environment())
            entered.hints = self.hints
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

    @contextmanager
    def row_locked(self, recording_id: str) -> Iterator[Callable[[int], None]]:
        """Keep everybody from writing a row; yields what waits until so many stand in line."""
        with self.site.connect() as holder, ThreadPoolExecutor() as self._threads:
            holder.run("begin")
            holder.run(
                "select 1 from public.recordings where id = cast(:id as uuid) for update", id=recording_id
            )

            def until(number: int) -> None:
                waiting = (
                    "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = :name"
                )
                deadline = time.monotonic() + 20
                while holder.run(waiting, name=self.site.name) != [[number]]:
                    assert time.monotonic() < deadline, f"there are never {number} in line"

            yield until
            holder.run("commit")

    def begin[T](self, call: Callable[[], T]) -> Future[T]:
        """Do something beside, while a row is locked."""
        return self._threads.submit(call)

    def row(self, recording_id: str) -> Row | None:
        """Return a recording's row."""
        rows = self.rows("select * from recordings where id = cast(:id as uuid)", id=recording_id)
        return rows[0] if rows else None

    def rows(self, query: str, **parameters: object) -> list[Row]:
        """Query the database; the rows are as in JSON."""
        found = self.site.run(f"select to_jsonb(found)::text from ({query}) as found", **parameters)
        return [json.loads(cast("str", text)) for [text] in found]

    def execute(self, statement: str, **parameters: object) -> None:
        """Change the database behind the product's back."""
        self.site.run(statement, **parameters)

    def execute_unseen(self, statement: str, **parameters: object) -> None:
        """Do the same, unseen by the invariants, which hold for what this release does."""
        self.execute("set session_replication_role = replica")
        self.execute(statement, **parameters)
        self.execute("reset session_replication_role")

    def objects(self) -> list[str]:
        """Return the keys of all objects in the bucket."""
        return self.site.objects()

    def put_object(self, key: str, body: bytes = b"late") -> None:
        """Store an object as somebody else than LiveKit's worker."""
        self.site.aws.s3.put_object(Bucket=self.site.name, Key=key, Body=body)

    def events(self) -> list[dict[str, object]]:
        """Return every event that has reached the bus, in order of arrival."""
        return self.site.queue.receive()


def sign(body: bytes, *, secret: str = API_SECRET, **claims: object) -> str:
    """Sign a webhook as LiveKit does; `claims` replace its own, and None leaves one out."""
    now = int(time.time())
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    own = {"iss": API_KEY, "iat": now, "nbf": now, "exp": now + 300, "sha256": digest}
    kept = {name: value for name, value in (own | claims).items() if value is not None}
    return jwt.encode(kept, secret, algorithm="HS256")


def _prefer(wait: int | None) -> dict[str, str]:
    return {} if wait is None else {"prefer": f"wait={wait}"}
