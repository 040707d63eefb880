"""Where everything is measured: the built functions and the bare ones, on the same database and the same LiveKit.

Postgres is verified by the authorities of a region of RDS', the AWS API by the system's, as deployed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pg8000 import native

from bench.livekit import InstantLiveKit
from local.functions import emulator
from local.functions.build import architecture, built
from local.functions.deployment import Deployment
from local.functions.emulator import Lambda
from local.processes.children import LOOPBACK, Processes
from local.processes.environments import ROOT, environment
from local.services.authority import Authority
from local.services.livekit import API_KEY, API_SECRET
from local.services.postgres import DATABASE, USER
from local.stack import Part, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

    from local.template.application import Function

ROOM_CLAIM = "room"
_CLAIMS = (
    base64.urlsafe_b64encode(json.dumps({"sub": "alice", ROOM_CLAIM: True}).encode()).decode().rstrip("=")
)
BARE = ROOT / "bench" / "bare"
EVENTS = ROOT / "events"
REGIONAL = ROOT / "layers" / "recorder" / "certificates" / "rds" / "eu-central-1.pem"
SYSTEM = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Invocation:
    """One invocation of an environment: milliseconds, and the answer."""

    milliseconds: float
    answer: JsonValue


class Laboratory:
    """Postgres, AWS and an instant LiveKit run while the block lasts; `report` is told what is being done."""

    functions: Mapping[str, Function]
    """The product's, as built, by their logical ids."""

    def __init__(self, directory: Path, report: Callable[[str], None]) -> None:
        self._directory = directory
        self._report = report

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            template = undo.enter_context(built(self._report))
            self.livekit = undo.enter_context(InstantLiveKit())
            self._report("Starting Postgres and AWS ...")
            authority = Authority(self._directory / "authority")
            stack = Stack(
                self._directory,
                parts=Part.POSTGRES | Part.AWS,
                durable=False,
                certificate=authority.certificate(LOOPBACK),
            )
            self.stack = undo.enter_context(stack)
            authority.certify(stack.postgres, LOOPBACK)
            self._regional = self._with(REGIONAL, authority, "regional.pem")
            self._system = self._with(SYSTEM, authority, "system.pem")
            self._processes = undo.enter_context(Processes(self._directory / "logs"))
            self._runner = undo.enter_context(asyncio.Runner())
            self.functions = self._deployment().load(template).functions
            self.layer = self.functions["ListRecordings"].layers[0] / "python"
            with self.environment(self.functions["MigrateDatabase"]) as migration:
                migration.invoke({})
            self._exit = undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._exit.close()

    def bare(self, name: str) -> Function:
        """Return the bare handler in `bench/bare/<name>.py`, with the same layer and its password at hand."""
        return replace(
            self.functions["StartRecording"],
            name=name,
            handler=f"{name}.lambda_handler",
            directory=BARE,
            environment={
                "DATABASE_HOST": LOOPBACK,
                "DATABASE_PORT": str(self.stack.postgres.port),
                "DATABASE_NAME": DATABASE,
                "DATABASE_USER": USER,
                "DATABASE_PASSWORD": self.stack.postgres.password,
                "DATABASE_CA_BUNDLE": str(self._regional),
                "LIVEKIT_URL": self.livekit.url,
                "LIVEKIT_API_KEY": API_KEY,
                "LIVEKIT_API_SECRET": API_SECRET,
                "RECORDINGS_BUCKET": self.stack.aws.bucket,
                "BUCKET_URL": f"{self.stack.aws.endpoint}/{self.stack.aws.bucket}",
            },
        )

    def _with(self, authorities: Path, own: Authority, name: str) -> Path:
        """Write a file with the laboratory's own authority beside others: how many there are is what loading costs."""
        file = self._directory / name
        file.write_text(f"{authorities.read_text()}{own.bundle.read_text()}")
        return file

    def environment(self, function: Function) -> Environment:
        """Start an environment of a function, in which nothing has run yet."""
        return Environment(emulator.start(function, self._processes, self.platform), self._runner)

    def connect(self, database: str = DATABASE) -> native.Connection:
        """Open a connection on which a statement may take its time."""
        return native.Connection(
            USER, LOOPBACK, database, self.stack.postgres.port, self.stack.postgres.password
        )

    def make_rows(self, statement: str, **parameters: object) -> None:
        """Empty the table and fill it with what a statement makes."""
        with self.connect() as connection:
            connection.run("truncate recordings, recording_events, recording_takes, recording_links")
            connection.run(statement, **parameters)
            connection.run("vacuum analyze recordings")

    @cached_property
    def platform(self) -> Lambda:
        """Packages that Lambda itself brings to every function."""
        aws = self.stack.aws
        return Lambda(
            environment("runtime"), aws.access_key, aws.secret_key, aws.region, self._directory / "logs"
        )

    def _deployment(self) -> Deployment:
        postgres, aws = self.stack.postgres, self.stack.aws
        livekit_keys = {"api_key": API_KEY, "api_secret": API_SECRET}
        return Deployment(
            parameters={
                "Architecture": architecture(),
                "Deployment": "recorder",
                "JwtIssuer": "https://issuer.example.com",
                "JwtAudience": "recordings",
                "RoomClaim": ROOM_CLAIM,
                "EgressCredentials": "worker",
                "Console": "on",
                "ConsoleClientId": "console",
                "DatabaseHost": LOOPBACK,
                "DatabasePort": str(postgres.port),
                "DatabaseName": DATABASE,
                "DatabaseUser": USER,
                "DatabaseCaBundle": str(self._regional),
                "DatabaseSecretArn": aws.put_secret("database", {"password": postgres.password}),
                "LiveKitUrl": self.livekit.url,
                "LiveKitSecretArn": aws.put_secret("livekit", livekit_keys),
            },
            resources={"RecordingsBucket": aws.bucket, "HttpApi.ApiEndpoint": ""},
            environment={"AWS_ENDPOINT_URL": aws.endpoint, "SSL_CERT_FILE": str(self._system)},
            region=aws.region,
            access_key=aws.access_key,
            secret_key=aws.secret_key,
        )


class Environment:
    """One execution environment, ended with the block."""

    def __init__(self, started: emulator.Environment, runner: asyncio.Runner) -> None:
        self._started = started
        self._runner = runner

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.stop()

    def invoke(self, event: JsonValue) -> Invocation:
        """Invoke the function; the first time includes its initialisation. Raises RuntimeError where it fails."""
        start = time.perf_counter()
        answer = self._runner.run(self._started.invoke(event))
        milliseconds = (time.perf_counter() - start) * 1000
        failed = isinstance(answer, dict) and (
            "errorType" in answer or answer.get("statusCode", 200) not in range(200, 300)
        )
        if failed:
            raise RuntimeError(f"{self._started.process.name} answered {answer}")
        return Invocation(milliseconds, answer)

    @cached_property
    def pid(self) -> int:
        """The process id of the function's Python, once it has been invoked."""
        session = self._started.process.pid
        for status in Path("/proc").glob("[0-9]*/stat"):
            fields = status.read_text().rpartition(")")[2].split()
            if int(fields[1]) == session:
                return int(status.parent.name)
        raise RuntimeError(f"{self._started.process.name} has no Python running")

    def memory(self, figure: str) -> float:
        """Return a figure of Linux's in MiB: `VmHWM` is the peak of the resident memory, `VmRSS` what it is now."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == figure:
                return int(value.split()[0]) / 1024
        raise KeyError(figure)

    def processor_milliseconds(self) -> float:
        """Return how long the function's Python has had a processor: other people's work does not count."""
        threads = Path(f"/proc/{self.pid}/task").glob("*/schedstat")
        return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e6


def event(name: str) -> dict[str, JsonValue]:
    """Return `events/<name>.json` with a token that allows to record every room, in every release."""
    text = re.sub(
        r"Bearer [^\"]+", f"Bearer e30.{_CLAIMS}.c2lnbmF0dXJl", (EVENTS / f"{name}.json").read_text()
    )
    read: dict[str, JsonValue] = json.loads(text)
    return read
