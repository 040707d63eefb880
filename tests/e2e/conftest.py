from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

# Another address of this machine, as Docker's bridge is one.
BRIDGE = "127.0.0.2"


@pytest.fixture(scope="session")
def bridge() -> str:
    """The address under which a container would reach the stack's services."""
    return BRIDGE


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack, as `make run` starts it."""
    with Stack(tmp_path_factory.mktemp("e2e"), bind=BRIDGE, fast=True, durable=False) as stack:
        yield stack
