from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Protocol

import pg8000.native
import pytest

from local.postgres import USER
from local.processes import LOOPBACK
from local.stack import Part, Stack
from tests.support import invariants
from tests.support.deployment import Deployment, Site, User, migrate
from tests.support.livekit import LiveKit, LiveKitServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.clock import VirtualLoops

TEMPLATE = "deployment_template"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Postgres and AWS, once for all tests of a process."""
    parts = Part.POSTGRES | Part.AWS
    with Stack(tmp_path_factory.mktemp("stack"), parts=parts, durable=False) as running:
        yield running


@pytest.fixture(scope="session")
def template(stack: Stack) -> str:
    """The name of a migrated database to copy, in which every change of a recording is observed."""
    stack.postgres.create_database(TEMPLATE)
    migrate(stack, TEMPLATE)
    with pg8000.native.Connection(
        USER, LOOPBACK, TEMPLATE, stack.postgres.port, stack.postgres.password
    ) as database:
        database.run(invariants.INSTRUMENT)
    return TEMPLATE


@pytest.fixture(scope="session")
def livekit_server() -> Iterator[LiveKitServer]:
    with LiveKitServer() as server:
        yield server


class Sites:
    """Deployments' databases, buckets and buses: as many as one test has needed at once so far."""

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


@pytest.fixture(scope="session")
def sites(stack: Stack, template: str, livekit_server: LiveKitServer) -> Iterator[Sites]:
    sites = Sites(lambda: Site(stack, template, livekit_server.url))
    yield sites
    sites.close()


@pytest.fixture
def loops(livekit_server: LiveKitServer) -> Iterator[VirtualLoops]:
    with livekit_server.loops.in_use():
        yield livekit_server.loops


@pytest.fixture
def livekit(livekit_server: LiveKitServer, stack: Stack, loops: VirtualLoops) -> LiveKit:
    """A LiveKit with the room `demo`."""
    assert loops is livekit_server.loops
    livekit = LiveKit(livekit_server, stack.aws.s3)
    livekit.world.open_room("demo", permanent=True)
    return livekit


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
