"""Migrated databases on a local Postgres, and repositories on them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from pg8000 import dbapi
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from local.processes.children import LOOPBACK
from local.services.postgres import USER
from recorder.postgres.login import Connection, open_connection
from recorder.settings import DatabaseSettings

if TYPE_CHECKING:
    from local.services.postgres import Postgres

MIGRATIONS = Path(__file__).parents[2] / "functions" / "migrate_database" / "migrations"
HEAD = max(path.name[:4] for path in (MIGRATIONS / "versions").glob("*.py"))
"""The newest revision."""
NEXT = f"{int(HEAD) + 1:04}"


def migrate(postgres: Postgres, database: str, revision: str = "head") -> None:
    """Bring a database to the newest schema, or to an older one."""

    def connect() -> dbapi.Connection:
        return dbapi.connect(
            user=USER, host=LOOPBACK, port=postgres.port, database=database, password=postgres.password
        )

    engine = create_engine("postgresql+pg8000://", creator=connect, poolclass=NullPool)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def connect(postgres: Postgres, database: str) -> Connection:
    """Open a connection as the functions do."""
    settings = DatabaseSettings(
        host=LOOPBACK,
        port=postgres.port,
        name=database,
        user=USER,
        iam=False,
        secret_arn="",
        tls=False,
        ca_bundle="",
    )
    return open_connection(settings, postgres.password)
