"""Bring the database to this version's schema: at each deploy before new code takes traffic, and by hand."""

import hashlib
import json
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Final, NotRequired, TypedDict, cast

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from recorder.bootstrap import database_login
from recorder.postgres.inspection import FINDINGS
from recorder.postgres.login import open_dbapi_connection
from recorder.telemetry import Code, log

if TYPE_CHECKING:
    from collections.abc import Callable

    from aws_lambda_powertools.utilities.typing import LambdaContext
    from pg8000 import dbapi

MIGRATIONS: Final = Path(__file__).parent / "migrations"
# Two deploys at once: the second waits, and then finds nothing left to do.
LOCK: Final = text("select pg_advisory_xact_lock(hashtext('recorder.migrate_database'))")
# Whoever waits for a table's lock makes everybody else wait behind it: better that the deploy fails.
PATIENCE: Final = text("set local lock_timeout = '4s'")
# No default of the role leads elsewhere, or takes digits from what is converted.
OWN: Final = (text("set local search_path = public"), text("set local extra_float_digits = 1"))
ELSEWHERE: Final = text("""
select nspname from pg_class join pg_namespace on pg_namespace.oid = relnamespace
where pg_class.oid = to_regclass('recordings') and nspname <> 'public'""")
_ANSWER_SECONDS: Final = 10.0
"""What is kept of the function's time for telling CloudFormation how it went."""
_REASON_LENGTH: Final = 1000
"""CloudFormation takes 4 KiB for the whole answer."""


class _Properties(TypedDict):
    Revision: str
    Database: NotRequired[str]
    Configuration: NotRequired[list[str]]


class CustomResourceRequest(TypedDict):
    """What CloudFormation asks of a custom resource, as far as it matters here."""

    RequestType: str
    ResponseURL: str
    StackId: str
    RequestId: str
    LogicalResourceId: str
    PhysicalResourceId: NotRequired[str]
    ResourceProperties: _Properties
    OldResourceProperties: NotRequired[_Properties]


@log.logger.inject_lambda_context
def lambda_handler(event: dict[str, object], context: "LambdaContext") -> dict[str, object]:
    """Migrate in one transaction; returns the revision before and after.

    A deploy's event is answered to CloudFormation, a failure with its reason. Otherwise raises what went wrong.
    """
    seconds = context.get_remaining_time_in_millis() / 1000 - _ANSWER_SECONDS
    if "ResponseURL" in event:
        return _answer_deploy(cast("CustomResourceRequest", event), seconds)
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
    # Postgres ends what takes too long; this is for one that says nothing any more.
    over = None if seconds is None else seconds + _ANSWER_SECONDS / 4
    return open_dbapi_connection(*database_login(), seconds=over)


def _report(before: str | None, after: str | None) -> dict[str, object]:
    log.info(Code.MIGRATED, before=before, after=after)
    return {"before": before, "after": after}


def _answer_deploy(request: CustomResourceRequest, seconds: float) -> dict[str, object]:
    report: dict[str, object] = {}
    status, reason = "SUCCESS", ""
    try:
        if _asks_for_migration(request):
            report = _report(*migrate(seconds))
    except Exception as error:  # noqa: BLE001 - whatever it is, CloudFormation must hear of it, or waits in vain
        status, reason = "FAILED", _reason(error)
        log.error(Code.MIGRATION_FAILED, reason=reason)
    _send(request, status, reason)
    return report


def _asks_for_migration(request: CustomResourceRequest) -> bool:
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
        return f"Postgres refused it: {fields['M']} (SQLSTATE {fields.get('C')})"[:_REASON_LENGTH]
    words = str(cause).splitlines()
    return f"{type(cause).__name__}: {words[0] if words else ''}"[:_REASON_LENGTH]


def _digest(configuration: list[str]) -> str:
    """Return what differs whenever the functions are set up otherwise."""
    return hashlib.sha256(json.dumps(configuration).encode()).hexdigest()


def _send(request: CustomResourceRequest, status: str, reason: str) -> None:
    answer = {
        "Status": status,
        "Reason": reason,
        "PhysicalResourceId": request.get("PhysicalResourceId", request["LogicalResourceId"]),
        "StackId": request["StackId"],
        "RequestId": request["RequestId"],
        "LogicalResourceId": request["LogicalResourceId"],
        # A template of before, to which a deploy goes back, has none.
        "Data": {"Configuration": _digest(request["ResourceProperties"].get("Configuration", []))},
    }
    put = urllib.request.Request(  # noqa: S310 - the address is CloudFormation's
        request["ResponseURL"],
        data=json.dumps(answer).encode(),
        # The address is signed for an empty content type, and urllib would choose one.
        headers={"Content-Type": ""},
        method="PUT",
    )
    with urllib.request.urlopen(put, timeout=_ANSWER_SECONDS / 2):  # noqa: S310 - as above
        pass
