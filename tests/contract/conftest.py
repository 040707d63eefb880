from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.database import migrate

if TYPE_CHECKING:
    from local.stack import Stack


@pytest.fixture(scope="session")
def stack(stack: Stack) -> Stack:
    """The stack of all tests, with a template `migrated` for databases."""
    stack.postgres.create_database("migrated")
    migrate(stack.postgres, "migrated")
    return stack
