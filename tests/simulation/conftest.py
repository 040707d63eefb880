from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from simulator.simulation import simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.loops import VirtualLoops


@pytest.fixture
def virtual() -> Iterator[VirtualLoops]:
    with simulator() as running:
        yield running
