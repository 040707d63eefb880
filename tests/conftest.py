from __future__ import annotations

import gc
import warnings
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

import pytest

from livekit_standin.timing import Timing
from local.stack import Part, Stack
from tests.support import invariants
from tests.support.deployment import Deployment, User
from tests.support.forwarder import Forwarder
from tests.support.livekit import LiveKit, LiveKitServer
from tests.support.logs import Logs, captured
from tests.support.sites import Site, Sites, make_template

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.clock import VirtualLoops


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Postgres and AWS, once for all tests of a process."""
    parts = Part.POSTGRES | Part.AWS
    with Stack(tmp_path_factory.mktemp("stack"), parts=parts, durable=False) as running:
        yield running


@pytest.fixture(scope="session")
def livekit_server() -> Iterator[LiveKitServer]:
    with LiveKitServer() as server:
        yield server


@pytest.fixture(scope="session")
def sites(stack: Stack, livekit_server: LiveKitServer) -> Iterator[Sites]:
    template = make_template(stack)
    sites = Sites(lambda: Site(stack, template, livekit_server.url))
    yield sites
    sites.close()


@pytest.fixture
def loops(livekit_server: LiveKitServer) -> Iterator[VirtualLoops]:
    with livekit_server.loops.in_use():
        yield livekit_server.loops


@pytest.fixture
def timing() -> Timing:
    """How long things take in LiveKit; a test may parametrize it."""
    return Timing()


@pytest.fixture
def livekit(livekit_server: LiveKitServer, stack: Stack, loops: VirtualLoops, timing: Timing) -> LiveKit:
    """A LiveKit with the room `demo`."""
    assert loops is livekit_server.loops
    livekit = LiveKit(livekit_server, stack.aws.s3, timing)
    livekit.world.open_room("demo", permanent=True)
    return livekit


class RestartablePostgres:
    """A cluster of its own behind an address that stays."""

    def __init__(self, stack: Stack) -> None:
        self._server = stack.postgres
        self.forwarder = Forwarder(lambda: self._server.port)

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server.start()


@pytest.fixture(scope="session")
def second_sites(
    stack: Stack, livekit_server: LiveKitServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Stack, Sites]]:
    with Stack(tmp_path_factory.mktemp("second"), parts=Part.POSTGRES, durable=False) as second:
        second.aws = stack.aws
        template = make_template(second)
        sites = Sites(lambda: Site(second, template, livekit_server.url))
        yield second, sites
        sites.close()


@contextmanager
def _refused_connections() -> Iterator[None]:
    """pg8000 leaves the socket of a connection that Postgres refuses to the garbage collector."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture
def refused_connections() -> Iterator[None]:
    with _refused_connections():
        yield


@pytest.fixture
def restartable_postgres(second_sites: tuple[Stack, Sites]) -> Iterator[RestartablePostgres]:
    postgres = RestartablePostgres(second_sites[0])
    with _refused_connections(), postgres.forwarder:
        yield postgres


@pytest.fixture
def restartable_deployment(
    second_sites: tuple[Stack, Sites],
    restartable_postgres: RestartablePostgres,
    livekit: LiveKit,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Deployment]:
    """A deployment whose database can be stopped and started."""
    with second_sites[1].lent() as site:
        port = str(restartable_postgres.forwarder.port)
        made = Deployment(site, livekit, monkeypatch, {"DATABASE_PORT": port})
        yield made
        invariants.check(made)
        made.close()


class Deploy(Protocol):
    """Make a deployment; `settings` are environment variables of its functions."""

    def __call__(self, **settings: str) -> Deployment: ...


@pytest.fixture
def deploy(sites: Sites, livekit: LiveKit, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deploy]:
    with ExitStack() as ends:

        def make(**settings: str) -> Deployment:
            made = Deployment(ends.enter_context(sites.lent()), livekit, monkeypatch, settings)
            ends.callback(made.close)
            return made

        yield make


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    return deploy()


@pytest.fixture
def alice(deployment: Deployment) -> User:
    return deployment.as_user("alice")


@pytest.fixture
def bob(deployment: Deployment) -> User:
    return deployment.as_user("bob")


@pytest.fixture
def logs(capsys: pytest.CaptureFixture[str]) -> Iterator[Logs]:
    with captured(capsys) as logs:
        yield logs
