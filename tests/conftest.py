from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import pg8000.native
import pytest

from local.postgres import USER
from local.processes import LOOPBACK
from local.stack import Part, Stack
from tests.support import invariants
from tests.support.clock import VirtualClock, VirtualLoops
from tests.support.deployment import Deployment, migrate
from tests.support.livekit import LiveKit, LiveKitServer

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def livekit(livekit_server: LiveKitServer, stack: Stack, clock: VirtualClock) -> Iterator[LiveKit]:
    """A LiveKit with the room `demo`."""
    loops = VirtualLoops(clock)
    with loops.in_use():
        livekit = LiveKit(livekit_server, stack.aws.s3, loops, clock)
        livekit.world.open_room("demo", permanent=True)
        yield livekit


class Deploy(Protocol):
    """Make a deployment; `settings` are environment variables of its functions."""

    def __call__(self, **settings: str) -> Deployment: ...


@pytest.fixture
def deploy(
    stack: Stack, livekit: LiveKit, template: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Deploy]:
    with ExitStack() as ends:

        def make(**settings: str) -> Deployment:
            made = Deployment(stack, livekit, monkeypatch, template, **settings)
            ends.callback(made.close)
            return made

        yield make


@pytest.fixture
def deployment(deploy: Deploy) -> Deployment:
    return deploy()
