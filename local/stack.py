"""The stack, or the parts of it that somebody needs, as one context manager.

A test that needs a database and S3, on free ports, gone afterwards:

    with Stack(tmp_path, parts=Part.POSTGRES | Part.AWS, durable=False) as stack:
        url = stack.postgres.url()                                      # postgresql://recorder:...@127.0.0.1:.../recorder
        own = stack.postgres.create_database("test_1", template="recorder")
        stack.aws.s3.put_object(Bucket=stack.aws.bucket, Key="a", Body=b"")
        arn = stack.aws.put_secret("database", {"password": stack.postgres.password})
        stack.aws.endpoint, stack.aws.access_key, stack.aws.secret_key, stack.aws.region

And one that needs everything, functions and HTTP API included:

    with Stack(tmp_path, durable=False, fast=True, parameters={"StartingTimeoutSeconds": "5"}) as stack:
        headers = {"authorization": f"Bearer {stack.token('alice')}"}
        httpx.get(f"{stack.endpoints.api_url}/api/video/recordings", headers=headers)
        stack.invoke("ReconcileRecordings", {})
        stack.livekit.url, stack.livekit.api_key, stack.livekit.api_secret
"""

from __future__ import annotations

import enum
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from local.endpoints import Endpoints
from local.functions import schedule
from local.functions.build import architecture, built
from local.functions.deployment import Deployment
from local.functions.emulator import Emulator, FunctionError, Lambda
from local.functions.lambda_api import LambdaApi
from local.gateway.http_api import Gateway
from local.processes import state
from local.processes.children import LOOPBACK, LocalStackError, Process, Processes
from local.processes.environments import environment
from local.processes.server import Server
from local.services import aws, issuer, sign_in
from local.services import livekit as livekit_server
from local.services.aws import Aws
from local.services.external import Bucket, Database, External, LiveKitServer
from local.services.issuer import Issuer
from local.services.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path
    from socket import socket
    from types import TracebackType

    from pydantic import JsonValue

    from local.processes.certificate import Certificate


class Part(enum.Flag):
    """The parts of a stack."""

    POSTGRES = enum.auto()
    AWS = enum.auto()
    LIVEKIT = enum.auto()
    API = enum.auto()
    """The functions and all that stands before them; needs the other parts, or external ones in their place."""

    ALL = POSTGRES | AWS | LIVEKIT | API


@dataclass(frozen=True)
class Ports:
    """The ports to take where they are free; 0 is any."""

    api: int = 0
    issuer: int = 0
    postgres: int = 0
    aws: int = 0
    livekit: int = 0


class Stack:
    """The running parts, with all state in `directory`, which one stack at a time may have.

    `parameters` go to the template, over the stack's own. `port` is the API's, and no other will do. `bind` is one more
    address under which Postgres, S3 and LiveKit are reached, for containers; the API is not.
    `durable=False` and `fast=True` are for tests: no protection against power failures, a tenth of LiveKit's delays.
    With a `certificate` the AWS services speak TLS. `report` is told what the start is at. A part that was not
    asked for is not there as an attribute.
    """

    postgres: Postgres
    aws: Aws
    livekit: LiveKitServer
    endpoints: Endpoints

    def __init__(
        self,
        directory: Path,
        *,
        parts: Part = Part.ALL,
        external: External | None = None,
        parameters: Mapping[str, str] | None = None,
        port: int = 0,
        ports: Ports | None = None,
        bind: str = "",
        durable: bool = True,
        fast: bool = False,
        certificate: Certificate | None = None,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.directory = directory
        self._parts = parts
        self._external = external or External()
        self._parameters = parameters or {}
        self._port = port
        self._ports = ports or Ports()
        self._bind = bind
        self._durable = durable
        self._fast = fast
        self._certificate = certificate
        self._report = report

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            lock = undo.enter_context(state.exclusive(self.directory))
            (self.directory / "endpoints.json").unlink(missing_ok=True)
            self._logs = self.directory / "logs"
            shutil.rmtree(self._logs, ignore_errors=True)
            self._processes = undo.enter_context(Processes(self._logs, keep_open=[lock]))
            if Part.API in self._parts:
                self._server = undo.enter_context(Server())
                # Before all else, which takes seconds: the API's port may be somebody else's.
                listener = self._server.listen(self._port, preferred=self._ports.api)
                with self._starting_services():
                    template = undo.enter_context(built(self._report))
                    # This takes as long as the services do, and most of what they do is not on this processor.
                    import_module("local.template.application")
                if self._bind:
                    self._open_to(self._bind)
                self._start_api(template, listener, undo)
            else:
                with self._starting_services():
                    pass
            self._exit = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    def token(self, subject: str, **claims: JsonValue) -> str:
        """Return an access token for the API; `claims` add to the standard ones, or replace them."""
        return self._issuer.token(subject, **claims)

    def invoke(self, function: str, event: JsonValue) -> JsonValue:
        """Invoke a function by its logical id, and return its answer; raise FunctionError if it fails."""
        return self._server.run(partial(self._emulator.invoke, function, event))

    def environments(self) -> int:
        """Return how many execution environments of functions wait for a request."""
        return self._emulator.environments()

    def process(self, name: str) -> Process:
        """Return the process that writes the log of this name, such as `postgres`."""
        return self._processes.named(name)

    def ended(self) -> Process | None:
        """Return a service of the stack that has ended by itself, if one has."""
        return self._processes.ended()

    def restart(self, service: Process) -> None:
        """Start a service that has ended again, where it was; what it kept in memory is lost."""
        service.stop()
        self._starts[service.name]()

    @contextmanager
    def _starting_services(self) -> Iterator[None]:
        """Start the services while the block runs; they have started when it is left."""
        self._starts: dict[str, Callable[[], None]] = {}
        if Part.POSTGRES in self._parts and not self._external.database:
            directory = self.directory / "postgres"
            self.postgres = Postgres(
                directory, self._processes, durable=self._durable, port=self._ports.postgres
            )
            self._starts["postgres"] = self.postgres.start
        if Part.AWS in self._parts:
            self.aws = self._local_aws()
            self._starts["aws"] = self.aws.start
        if Part.LIVEKIT in self._parts:
            self._starts["livekit"] = self._start_livekit
        self._report("Starting Postgres, S3 and LiveKit ...")
        with ThreadPoolExecutor() as pool:
            started = [pool.submit(start) for start in self._starts.values()]
            yield
        for each in started:
            each.result()

    def _local_aws(self) -> Aws:
        bucket = self._external.bucket
        return Aws(
            self.directory / "s3",
            self._processes,
            access_key=bucket.access_key if bucket else aws.ACCESS_KEY,
            secret_key=bucket.secret_key if bucket else aws.SECRET_KEY,
            region=bucket.region if bucket else aws.REGION,
            port=self._ports.aws,
            certificate=self._certificate,
        )

    def _start_livekit(self) -> None:
        again = urlsplit(self.livekit.url).port if hasattr(self, "livekit") else None
        self.livekit = self._external.livekit or livekit_server.start(
            self.directory / "livekit", self._processes, port=again or self._ports.livekit, fast=self._fast
        )

    def _open_to(self, address: str) -> None:
        services = [self.aws.endpoint]
        if not self._external.database:
            services.append(self.postgres.url())
        if not self._external.livekit:
            services.append(self.livekit.url)
        for url in services:
            self._server.forward(address, urlsplit(url).port or 0)

    def _start_api(self, template: Path, api: socket, undo: ExitStack) -> None:
        openid = self._server.listen(preferred=self._ports.issuer)
        self._issuer = Issuer(self.directory / "issuer", _url(openid))
        self._server.serve(self._issuer.app(), openid)
        lambda_api = self._server.listen()
        deployment = self._deployment(_url(api), _url(lambda_api))
        application = deployment.load(template)
        platform = Lambda(
            environment("runtime"),
            deployment.access_key,
            deployment.secret_key,
            deployment.region,
            self._logs,
        )
        self._emulator = Emulator(application.functions, self._processes, platform)
        self._server.serve(LambdaApi(self._emulator.invoke, deployment.access_key).app(), lambda_api)
        self._report("Migrating the database ...")
        self._migrate()
        self._server.serve(Gateway(application, self._emulator.invoke), api)
        for each in application.schedules:
            self._server.background(partial(schedule.fire, each, self._emulator.invoke, deployment.region))
        deployment.write(self.directory / "deployment.json")
        self.endpoints = self._endpoints(_url(api))
        self.endpoints.write(self.directory / "endpoints.json")
        for name in ("deployment.json", "endpoints.json"):
            undo.callback((self.directory / name).unlink, missing_ok=True)

    def _migrate(self) -> None:
        try:
            self.invoke("MigrateDatabase", {})
        except FunctionError as error:
            log = self._logs / "MigrateDatabase.log"
            reasons = [line for line in log.read_text().splitlines() if line.startswith("[ERROR] ")]
            reason = reasons[-1] if reasons else error
            raise LocalStackError(f"The database could not be migrated: {reason}\nAll of it: {log}") from None

    @property
    def database(self) -> str:
        """The database's URL to be printed, without the password where that is not the stack's own."""
        return self._external.database.masked if self._external.database else self._database.url

    @property
    def _database(self) -> Database:
        return self._external.database or Database(self.postgres.url())

    @property
    def _bucket(self) -> Bucket:
        local = Bucket(
            self.aws.bucket, self.aws.endpoint, self.aws.region, self.aws.access_key, self.aws.secret_key
        )
        return self._external.bucket or local

    def _deployment(self, api_url: str, lambda_url: str) -> Deployment:
        """Return what a deployment into this stack's services is made with; their secrets are stored on the way."""
        database, bucket = self._database, self._bucket
        overrides = {
            "AWS_ENDPOINT_URL": self.aws.endpoint,
            "AWS_ENDPOINT_URL_LAMBDA": lambda_url,
            "AWS_ENDPOINT_URL_S3": bucket.url,
        }
        if not database.tls:
            overrides["DATABASE_TLS"] = "disable"
        return Deployment(
            parameters={
                "Architecture": architecture(),
                "JwtIssuer": self._issuer.url,
                "JwtAudience": issuer.AUDIENCE,
                "RoomClaim": "*",
                "AllowedOrigins": "*",
                "Console": "on",
                "ConsoleClientId": sign_in.CLIENT,
                "ConsoleAuthorizeParameters": "scope=openid+offline_access",
                "PublicUrl": self._external.public_url,
                "EgressTemplateUrl": self._external.template_url,
                "WebRecordingOrigins": "https://example.com",
                "DatabaseHost": database.host,
                "DatabasePort": str(database.port),
                "DatabaseName": database.name,
                "DatabaseUser": database.user,
                "DatabaseSecretArn": self.aws.put_secret("database", {"password": database.password}),
                "LiveKitUrl": self.livekit.url,
                "LiveKitSecretArn": self.aws.put_secret(
                    "livekit", {"api_key": self.livekit.api_key, "api_secret": self.livekit.api_secret}
                ),
                "EgressCredentials": "given",
                "EgressS3Endpoint": bucket.endpoint,
                "EgressS3SecretArn": self.aws.put_secret(
                    "egress", {"access_key": bucket.access_key, "secret": bucket.secret_key}
                ),
                **self._parameters,
            },
            resources={"RecordingsBucket": bucket.name, "HttpApi.ApiEndpoint": api_url},
            environment=overrides,
            region=bucket.region,
            access_key=bucket.access_key,
            secret_key=bucket.secret_key,
        )

    def _endpoints(self, api_url: str) -> Endpoints:
        return Endpoints(
            api_url=api_url,
            console_url=f"{api_url}/console",
            tokens={user: self.token(user) for user in issuer.USERS},
            issuer=self._issuer.url,
            livekit_url=self.livekit.url,
            livekit_api_key=self.livekit.api_key,
            livekit_api_secret=self.livekit.api_secret,
            s3_endpoint=self._bucket.url,
            s3_access_key=self._bucket.access_key,
            s3_secret_key=self._bucket.secret_key,
            bucket=self._bucket.name,
            database_url=self._database.url,
        )


def _url(listener: socket) -> str:
    return f"http://{LOOPBACK}:{listener.getsockname()[1]}"
