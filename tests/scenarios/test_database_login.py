"""Ways to Postgres that only production takes, and why each may fail, as the operators read it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import pytest

from local.processes.children import LOOPBACK, free_port
from local.services.authority import Authority
from local.stack import Part, Stack
from recorder import bootstrap
from tests.support.events import http_event
from tests.support.forwarder import Forwarder
from tests.support.rds import Rds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.conftest import Deploy
    from tests.support.deployment import Answer, Deployment, User
    from tests.support.logs import Logs

DATABASE: Final = (
    "DATABASE_AUTHENTICATION",
    "DATABASE_CA_BUNDLE",
    "DATABASE_HOST",
    "DATABASE_NAME",
    "DATABASE_PORT",
    "DATABASE_SECRET_ARN",
    "DATABASE_TLS",
    "DATABASE_USER",
)


@contextlib.contextmanager
def _elsewhere(deployment: Deployment, **settings: str) -> Iterator[None]:
    """Have the functions look for Postgres otherwise."""
    own = {name: deployment.settings[name] for name in DATABASE if name in deployment.settings}
    deployment.configure(**settings)
    try:
        yield
    finally:
        defaults = {"DATABASE_AUTHENTICATION": "password", "DATABASE_CA_BUNDLE": ""}
        deployment.configure(**(defaults | own))


def _unavailable(answer: Answer) -> None:
    assert (answer.status, answer["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Authority]]:
    """A Postgres that speaks TLS, and the authority that signed its certificate."""
    directory = tmp_path_factory.mktemp("tls")
    with Stack(directory / "stack", parts=Part.POSTGRES, durable=False) as stack:
        authority = Authority(directory / "authority")
        authority.certify(stack.postgres, LOOPBACK)
        yield stack, authority


TELLING: Final = ("CREDENTIALS_", "DATABASE_")
CAUSES: Final[dict[str, tuple[dict[str, str], str, dict[str, str]]]] = {
    "DNS": (
        {"DATABASE_HOST": "nowhere.invalid"},
        "DATABASE_NAME_UNKNOWN",
        {},
    ),
    "refused": (
        {"DATABASE_PORT": "{free}"},
        "DATABASE_UNREACHABLE",
        {"reason": "ConnectionRefusedError"},
    ),
    "secret": (
        {"DATABASE_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:000000000000:secret:absent"},
        "CREDENTIALS_UNREADABLE",
        {"cause": "aws_refused", "aws": "ResourceNotFoundException"},
    ),
    "no TLS": ({"DATABASE_TLS": "verify"}, "DATABASE_TLS_FAILED", {"reason": "the server refuses TLS"}),
    "authority": (
        {"DATABASE_TLS": "verify", "DATABASE_PORT": "{encrypted}"},
        "DATABASE_CERTIFICATE_REFUSED",
        {"reason": "unable to get local issuer certificate"},
    ),
    "name": (
        {
            "DATABASE_TLS": "verify",
            "DATABASE_PORT": "{encrypted}",
            "DATABASE_CA_BUNDLE": "{bundle}",
            "DATABASE_HOST": "localhost",
        },
        "DATABASE_CERTIFICATE_REFUSED",
        {"reason": "Hostname mismatch, certificate is not valid for 'localhost'."},
    ),
    "password": ({"DATABASE_SECRET_ARN": "{wrong}"}, "DATABASE_LOGIN_REFUSED", {"state": "28P01"}),
    "database": ({"DATABASE_NAME": "absent"}, "DATABASE_LOGIN_REFUSED", {"state": "3D000"}),
    "role": ({"DATABASE_USER": "nobody"}, "DATABASE_LOGIN_REFUSED", {"state": "28P01"}),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_failed_connection_tells_its_cause(
    deployment: Deployment,
    alice: User,
    logs: Logs,
    encrypted: tuple[Stack, Authority],
    cause: str,
) -> None:
    settings, code, facts = CAUSES[cause]
    values = {
        "free": str(free_port()),
        "encrypted": str(encrypted[0].postgres.port),
        "bundle": str(encrypted[1].bundle),
        "wrong": deployment.site.aws.put_secret("wrong", {"password": "canary-of-a-password"}),
    }
    with _elsewhere(deployment, **{name: value.format(**values) for name, value in settings.items()}):
        _unavailable(alice.list())

    lines = logs.of(code)
    assert lines
    assert [{name: line[name] for name in facts} for line in lines] == [facts] * len(lines)
    # Of the causes it is the only one that is told, and nothing secret with it.
    others = {str(line["message"]) for line in logs.all() if str(line["message"]).startswith(TELLING)}
    assert others == {code}
    assert "canary" not in logs.text
    assert alice.list().status == 200


PASSWORDS: Final = {
    "control character": "pass\u0007word",
    "unassigned": "pass\u0378word",
    "both directions": "a\u0627b",
    "private use": "\ue000",
    "mapped to nothing": "\u00ad",
    "normalized": "ﬁ ª Ⅸ",
    "blank": " pass word ",
}


@pytest.mark.parametrize("password", PASSWORDS.values(), ids=PASSWORDS)
def test_password_that_psql_takes_logs_in(deployment: Deployment, alice: User, password: str) -> None:
    role = f"scram_{deployment.site.name[5:]}"
    quoted = password.replace("'", "''")
    deployment.execute(f"create role {role} login superuser password '{quoted}'")
    try:
        arn = deployment.site.aws.put_secret("scram", {"password": password})
        with _elsewhere(deployment, DATABASE_USER=role, DATABASE_SECRET_ARN=arn):
            assert alice.list().status == 200
    finally:
        deployment.execute(f"drop role {role}")


@pytest.fixture
def rds(deployment: Deployment, tmp_path: Path) -> Iterator[tuple[Rds, Authority]]:
    authority = Authority(tmp_path / "authority")
    settings = deployment.settings
    rds = Rds(
        deployment.site.postgres,
        authority.certificate(LOOPBACK),
        secret_key=settings["AWS_SECRET_ACCESS_KEY"],
        region=settings["AWS_REGION"],
    )
    with rds:
        yield rds, authority


def test_iam_authentication_over_tls_logs_in_with_what_rds_takes(
    deployment: Deployment, alice: User, rds: tuple[Rds, Authority]
) -> None:
    server, authority = rds
    with _elsewhere(
        deployment,
        DATABASE_AUTHENTICATION="iam",
        DATABASE_CA_BUNDLE=str(authority.bundle),
        DATABASE_HOST=LOOPBACK,
        DATABASE_PORT=str(server.port),
        DATABASE_SECRET_ARN="",
        DATABASE_TLS="verify",
    ):
        recording_id = alice.record()
        # A failover: each new connection has a token of its own.
        server.cut()
        assert alice.stop(recording_id).status == 200
        deployment.advance(10)
        assert alice.get(recording_id).recording["status"] == "completed"
    assert server.refusals == []
    assert server.logins > 1


# A server that does not answer costs a caller no more than API Gateway allows.


class Slow:
    """Accepts connections and does with each what `serve` does, until the end."""

    def __init__(self, serve: Callable[[socket.socket, threading.Event], None]) -> None:
        self._listener = socket.create_server((LOOPBACK, 0))
        self._serve = serve
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _begin(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._begin(partial(self._answer, self._listener.accept()[0]))

    def _answer(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._serve(client, self._over)


def _silent(_: socket.socket, over: threading.Event) -> None:
    over.wait()


def _silent_after_tls_was_agreed(client: socket.socket, over: threading.Event) -> None:
    client.recv(8)
    client.sendall(b"S")
    over.wait()


def _trickling(client: socket.socket, over: threading.Event) -> None:
    """Send a notice of a gigabyte, a byte every half second."""
    client.sendall(b"N\x3f\xff\xff\xff")
    while not over.wait(0.5):
        client.sendall(b" ")


@pytest.mark.parametrize(
    ("serve", "tls"),
    [(_silent, "verify"), (_silent_after_tls_was_agreed, "verify"), (_trickling, "disable")],
    ids=["silent", "silent in the handshake", "trickling"],
)
def test_server_that_never_answers_is_given_up_while_somebody_still_waits(
    deployment: Deployment,
    alice: User,
    logs: Logs,
    serve: Callable[[socket.socket, threading.Event], None],
    tls: str,
) -> None:
    request = http_event("list_recordings_first_page", claims={"sub": "alice"}, domain=deployment.domain)
    with Slow(serve) as server, _elsewhere(deployment, DATABASE_PORT=str(server.port), DATABASE_TLS=tls):
        # By the real clock: raises where Lambda would have ended the function.
        answer = deployment.invoke("list_recordings", request, clock=time.time_ns)
    assert isinstance(answer, dict)
    assert answer["statusCode"] == 503
    assert {line["reason"] for line in logs.of("DATABASE_UNREACHABLE")} == {"TimeoutError"}
    assert alice.list().status == 200


class Stalling(Forwarder):
    """Lets the login through, and of later answers a byte every half second."""

    def __init__(self, target: Callable[[], int]) -> None:
        super().__init__(target)
        self.stalls = threading.Event()
        self.over = threading.Event()

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        from_client = source.getsockname()[1] == self.port
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if from_client or not self.stalls.is_set():
                    sink.sendall(data)
                    continue
                for number in range(len(data)):
                    sink.sendall(data[number : number + 1])
                    if self.over.wait(0.5):
                        return


def test_answer_that_trickles_in_is_given_up_while_somebody_still_waits(deploy: Deploy, logs: Logs) -> None:
    deployment = deploy()
    alice = deployment.as_user("alice")
    # Enough for an answer to last.
    for number in range(3):
        deployment.livekit.world.open_room(f"room {number}")
        alice.start(roomName=f"room {number}")
    request = http_event("list_recordings_first_page", claims={"sub": "alice"}, domain=deployment.domain)
    with (
        Stalling(lambda: deployment.site.postgres.port) as wire,
        _elsewhere(deployment, DATABASE_PORT=str(wire.port)),
    ):
        assert alice.list().status == 200
        wire.stalls.set()
        answer = deployment.invoke("list_recordings", request, clock=time.time_ns)
        wire.over.set()
    assert isinstance(answer, dict)
    assert answer["statusCode"] == 503
    assert logs.of("DATABASE_CONNECTION_LOST")[0]["reason"] == "TimeoutError"


# Work that a cold start does ahead, while a request waits for it.


def _sessions(deployment: Deployment) -> set[object]:
    rows = deployment.rows(
        "select pid from pg_stat_activity where datname = current_database() and application_name = 'recorder'"
    )
    return {row["pid"] for row in rows}


def test_connection_that_was_begun_ahead_is_handed_out_once(
    deployment: Deployment, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording_id = alice.record()
    deployment.configure(AWS_LAMBDA_INITIALIZATION_TYPE="on-demand")
    for name, value in deployment.settings.items():
        monkeypatch.setenv(name, value)
    before = _sessions(deployment)
    bootstrap.expect_database()
    first, second = deployment.cold(), deployment.cold()

    def get(environment: bootstrap.Environment) -> int:
        return alice.send(
            "get_recording_completed", recording_id=recording_id, environment=environment
        ).status

    assert get(first) == 200
    [early] = _sessions(deployment) - before
    # Another environment, or the same one after the connection broke, makes its own.
    assert get(second) == 200
    assert len(_sessions(deployment) - before) == 2
    deployment.rows(
        "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'recorder'"
    )
    assert get(first) == 200
    assert get(second) == 200
    assert early not in _sessions(deployment)
    assert len(_sessions(deployment)) == 2
    deployment.configure(AWS_LAMBDA_INITIALIZATION_TYPE="")


def test_connection_that_could_not_be_made_ahead_is_made_when_it_is_needed(
    deployment: Deployment, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand")
    for name, value in (deployment.settings | {"DATABASE_PORT": str(free_port())}).items():
        monkeypatch.setenv(name, value)
    bootstrap.expect_database()
    answer = alice.send("list_recordings_first_page", environment=deployment.cold())
    assert answer.status == 200
