from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from local.stack import Part, Stack
from tests.support.database import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Postgres, whose database `migrated` is a template, and AWS."""
    parts = Part.POSTGRES | Part.AWS
    with Stack(tmp_path_factory.mktemp("stack"), parts=parts, durable=False) as running:
        running.postgres.create_database("migrated")
        migrate(running.postgres, "migrated")
        yield running
