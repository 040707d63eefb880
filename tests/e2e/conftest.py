from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole stack, as `make run` starts it."""
    with Stack(tmp_path_factory.mktemp("e2e"), fast=True, durable=False) as stack:
        yield stack
