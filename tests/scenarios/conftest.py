from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import invariants

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Deploy
    from tests.support.deployment import Deployment


@pytest.fixture
def deployment(deploy: Deploy) -> Iterator[Deployment]:
    """A deployment on which the seven invariants hold afterwards, whatever the scenario did."""
    made = deploy()
    yield made
    invariants.check(made)
