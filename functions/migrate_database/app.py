"""Bring the database to this version's schema: at each deploy before new code takes traffic, and by hand."""

import hashlib
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, NotRequired, TypedDict, cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pg8000.exceptions import DatabaseError
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from recorder.api.custom_resource import ANSWER_SECONDS, REASON_LENGTH, CustomResourceRequest, answer
from recorder.bootstrap import database_login
from recorder.errors import AwsError
from recorder.postgres.inspection import FINDINGS
from recorder.postgres.login import open_dbapi_connection
from recorder.settings import DatabaseSettings
from recorder.telemetry import Code, log

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext
    from pg8000 import dbapi

MIGRATIONS: Final = Path(__file__).parent / "migrations"
# Two deploys at once: the second waits, and then finds nothing left to do.
LOCK: Final = text("select pg_advisory_xact_lock(hashtext('recorder.migrate_database'))")
# A statement that waits for a table's lock makes all others wait behind it: better that the deploy fails.
PATIENCE: Final = text("set local lock_timeout = '4s'")
# No default of the role leads elsewhere, or takes digits from what is converted.
OWN: Final = (text("set local search_path = public"), text("set local extra_float_digits = 1"))
ELSEWHERE: Final = text("""
select nspname from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where pg_class.oid = to_regclass('recordings') and nspname <> 'public'""")
# At a first deploy the role is seconds old, and IAM may not have told everybody of it yet.
_IAM_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 1.0
_INVALID_AUTHORIZATION: Final = "28"


class _Properties(TypedDict):
    Revision: str
    Database: NotRequired[str]
    Configuration: NotRequired[list[str]]


class MigrationRequest(CustomResourceRequest):
    """A request of CloudFormation, with the properties that the resource had and is to have."""

    ResourceProperties: _Properties
    OldResourceProperties: NotRequired[_Properties]


@log.logger.inject_lambda_context
def lambda_handler(event: dict[str, object], context: "LambdaContext") -> dict[str, object]:
    """Migrate in one transaction; returns the revision before and after.

    A deploy's event is answered to CloudFormation, a failure with its reason. Otherwise raises what went wrong.
    """
    seconds = context.get_remaining_time_in_millis() / 1000 - ANSWER_SECONDS
    if "ResponseURL" in event:
        return _answer_deploy(cast("MigrationRequest", event), seconds)
    return _report(*migrate(seconds))


def migrate(seconds: float | None = None) -> tuple[str | None, str | None]:
    """Run what is missing, all of it or nothing, in at most so many seconds.

    A database that a later version of this function has migrated stays as it is: what came later is made to be
    usable by the version before.
    """
    engine = create_engine("postgresql+pg8000://", creator=lambda: _connect(seconds), poolclass=NullPool)
    if seconds is not None:
        event.listen(engine, "before_cursor_execute", _bounded(time.monotonic() + seconds))
    with engine.begin() as connection:
        connection.execute(LOCK)
        connection.execute(PATIENCE)
        for schema in connection.execute(ELSEWHERE).scalars():
            raise LookupError(f"the tables belong into the schema public, and recordings is in {schema}")
        for setting in OWN:
            connection.execute(setting)
        before = MigrationContext.configure(connection).get_current_revision()
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if before is None or before in known:
            command.upgrade(config, "head")
        for kind, name in connection.execute(text(FINDINGS)):
            log.warning(Code.FOREIGN_OBJECT, kind=kind, object=name)
        return before, MigrationContext.configure(connection).get_current_revision()


def _bounded(over: float) -> "Callable[[object, dbapi.Cursor, str, object, object, bool], None]":
    """Have Postgres end whatever statement still runs at that time, so that there is a reason to tell."""

    def bound(_: object, cursor: "dbapi.Cursor", *_statement: object) -> None:
        left = max(1, int((over - time.monotonic()) * 1000))
        cursor.execute(f"set local statement_timeout = {left}")

    return bound


def _connect(seconds: float | None) -> "dbapi.Connection":
    """Open a connection; for a minute try again where IAM does not know yet what the function's role may do."""
    until = time.monotonic() + min(_IAM_SECONDS, _IAM_SECONDS if seconds is None else seconds)
    while True:
        try:
            return _open(seconds)
        except (AwsError, DatabaseError) as error:
            if not _may_pass(error) or time.monotonic() + _PAUSE_SECONDS > until:
                raise
            log.info(Code.MIGRATION_WAITS, reason=_reason(error))
        time.sleep(_PAUSE_SECONDS)


def _may_pass(error: AwsError | DatabaseError) -> bool:
    if isinstance(error, AwsError):
        return "AccessDenied" in str(error)
    fields: object = error.args[0] if error.args else None
    refused = isinstance(fields, dict) and str(fields.get("C", "")).startswith(_INVALID_AUTHORIZATION)
    return refused and DatabaseSettings.from_environment().iam


def _open(seconds: float | None) -> "dbapi.Connection":
    # Postgres ends what takes too long; this is for one that says nothing any more.
    over = None if seconds is None else seconds + ANSWER_SECONDS / 4
    return open_dbapi_connection(*database_login(), seconds=over)


def _report(before: str | None, after: str | None) -> dict[str, object]:
    log.info(Code.MIGRATED, before=before, after=after)
    return {"before": before, "after": after}


def _answer_deploy(request: MigrationRequest, seconds: float) -> dict[str, object]:
    report: dict[str, object] = {}
    status, reason = "SUCCESS", ""
    try:
        if _asks_for_migration(request):
            report = _report(*migrate(seconds))
    except Exception as error:  # noqa: BLE001 - whatever it is, CloudFormation must hear of it, or waits in vain
        status, reason = "FAILED", _reason(error)
        log.error(Code.MIGRATION_FAILED, reason=reason)
    # A template of before, to which a deploy goes back, has no configuration.
    configuration = request["ResourceProperties"].get("Configuration", [])
    answer(request, status, reason, {"Configuration": _digest(configuration)})
    return report


def _asks_for_migration(request: MigrationRequest) -> bool:
    """Tell whether there may be something to do: not when the stack goes, nor when it goes back.

    A deploy that failed, and one that only sets the functions up otherwise, needs no database that can be reached.
    """
    if request["RequestType"] == "Delete":
        return False
    before, after = request.get("OldResourceProperties"), request["ResourceProperties"]
    if before is None:
        return True
    moved = before.get("Database") != after.get("Database")
    return after["Revision"] > before["Revision"] or (moved and after["Revision"] == before["Revision"])


def _reason(error: Exception) -> str:
    """Return what went wrong in one line, of Postgres' own errors without the detail that quotes rows."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    fields: object = cause.args[0] if cause is not None and cause.args else None
    if isinstance(fields, dict) and "M" in fields:
        return f"Postgres refused it: {fields['M']} (SQLSTATE {fields.get('C')})"[:REASON_LENGTH]
    words = str(cause).splitlines()
    return f"{type(cause).__name__}: {words[0] if words else ''}"[:REASON_LENGTH]


def _digest(configuration: list[str]) -> str:
    """Return what differs whenever the functions are set up otherwise."""
    return hashlib.sha256(json.dumps(configuration).encode()).hexdigest()
