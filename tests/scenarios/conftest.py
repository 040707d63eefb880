from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import invariants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Deploy
    from tests.support.deployment import Deployment, User


@pytest.fixture
def deployment(deploy: Deploy) -> Iterator[Deployment]:
    """A deployment on which the seven invariants hold afterwards, whatever the scenario did."""
    made = deploy()
    yield made
    invariants.check(made)


@pytest.fixture
def segmented(deploy: Deploy) -> Iterator[Deployment]:
    """The same, with safety segments, in a room with people."""
    made = deploy(SAFETY_SEGMENTS="on")
    made.livekit.world.join("demo", "pat")
    yield made
    invariants.check(made)


@pytest.fixture
def ends_with_its_worker(alice: User) -> None:
    """Have what Alice records end where its worker is lost, instead of going on with another take."""
    alice.defaults["onWorkerLost"] = "end"
