"""Bring the database to this version's schema: at each deploy before new code takes traffic, and by hand."""

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from pg8000 import dbapi
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from recorder.bootstrap import database_login
from recorder.database import tls_context
from recorder.telemetry import Code, log

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

MIGRATIONS = Path(__file__).parent / "migrations"
# Two deploys at once: the second waits, and then finds nothing left to do.
LOCK = text("select pg_advisory_xact_lock(hashtext('recorder.migrate_database'))")


@log.logger.inject_lambda_context
def lambda_handler(_event: dict[str, object], _context: "LambdaContext") -> dict[str, object]:
    """Migrate in one transaction; returns the revision before and after. Raises what Postgres refused."""
    before, after = migrate()
    log.info(Code.MIGRATED, before=before, after=after)
    return {"before": before, "after": after}


def migrate() -> tuple[str | None, str | None]:
    """Run what is missing, all of it or nothing."""
    engine = create_engine("postgresql+pg8000://", creator=_connect, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(LOCK)
        before = _revision(connection)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        return before, _revision(connection)


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _connect() -> dbapi.Connection:
    settings, password = database_login()
    return dbapi.connect(
        user=settings.user,
        host=settings.host,
        port=settings.port,
        database=settings.name,
        password=password,
        ssl_context=tls_context(settings),
        application_name="recorder-migrate",
    )
