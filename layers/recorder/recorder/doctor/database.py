"""Postgres: reached over verified TLS, with the rights and the schema that the functions need, nothing in their way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pg8000.exceptions import DatabaseError, InterfaceError
from scramp import ScramException

from recorder.bootstrap import database_login
from recorder.doctor.finding import Verdict, failed, ok, unknown
from recorder.doctor.network import cause
from recorder.errors import AwsError
from recorder.postgres.inspection import FINDINGS
from recorder.postgres.login import TlsRefusedError, open_connection
from recorder.postgres.repository import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recorder.doctor.finding import Finding
    from recorder.postgres.login import Connection, Row
    from recorder.settings import DatabaseSettings

_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
# SQLSTATEs with which Postgres refuses a login, and the remedies.
_REFUSALS: Final = {
    "28P01": "the password in DatabaseSecretArn must be that of DatabaseUser",
    "28000": "pg_hba.conf must let DatabaseUser in; with IAM authentication: grant rds_iam to it",
    "3D000": "DatabaseName must exist: create database …",
    "53300": "raise max_connections, or put RDS Proxy between",
}
_RIGHTS: Final = """
select pg_is_in_recovery(), to_regnamespace('public') is not null,
       coalesce(has_schema_privilege(to_regnamespace('public'), 'CREATE'), false),
       (select string_agg(tablename, ', ' order by tablename desc) from pg_tables
        where schemaname = 'public' and tablename in ('recordings', 'recording_events')
          and not pg_has_role(tableowner, 'USAGE'))"""
_COLUMNS: Final = """
select column_name from information_schema.columns
where table_schema = 'public' and table_name = 'recordings'"""
# Foreign objects on the tables, by kind, and the remedies.
_FOREIGN: Final = {
    "unique index": "a recording that it refuses cannot be stored: drop it",
    "trigger": "it may change or swallow what is stored: drop it, or see that it does not",
    "rule": "it may change or swallow what is stored: drop it",
    "row security": "it may hide rows: alter table … disable row level security",
    "constraint": "see that it refuses no recording",
}
# Of the settings that a role or a database brings along, those that can stop the product's statements.
_SESSION: Final = """
select name || '=' || setting from pg_settings
where source in ('database', 'user', 'database user')
  and ((name = 'default_transaction_read_only' and setting = 'on')
    or (name in ('statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_session_timeout')
        and setting::bigint between 1 and 10000))
order by 1"""


def database() -> Iterator[Finding]:
    """Check from the outside in, and stop at the first door that is closed."""
    check = "Postgres"
    try:
        settings, password = database_login()
    except AwsError as error:
        yield failed(
            check,
            f"its password cannot be read: {cause(error)}",
            "DatabaseSecretArn with its field `password`, SecretsKeyArn, or the way to Secrets Manager",
        )
        return
    try:
        connection = open_connection(settings, password)
    except (DatabaseError, InterfaceError, ScramException, OSError) as error:
        yield _unopened(check, settings, error)
        return
    try:
        yield _transport(check, settings)
        yield from _inside(connection)
    except (DatabaseError, InterfaceError, OSError) as error:
        yield failed(check, f"it breaks off: {_state(error) or cause(error)}", "its log")
    finally:
        connection.close()


def _unopened(check: str, settings: DatabaseSettings, error: Exception) -> Finding:
    where = f"{settings.host}:{settings.port}"
    if state := _state(error):
        advice = _REFUSALS.get(state, "its log says more")
        return failed(check, f"{where} refuses the login of {settings.user} (SQLSTATE {state})", advice)
    if isinstance(error, FileNotFoundError):
        advice = (
            "the layer has RDS' as /opt/certificates/rds/<region>.pem; others are put there before the build"
        )
        return failed(check, f"DatabaseCaBundle is {settings.ca_bundle}, which is not there", advice)
    if isinstance(error, TlsRefusedError):
        return failed(check, f"{where} speaks no TLS", "ssl = on, and a certificate, in postgresql.conf")
    return failed(
        check,
        f"{where} cannot be reached: {cause(error)}",
        "DatabaseHost and DatabasePort, the security groups, DatabaseCaBundle",
    )


def _state(error: Exception) -> str:
    details: object = error.args[0] if error.args else None
    return str(details.get("C", "")) if isinstance(details, dict) else ""


def _transport(check: str, settings: DatabaseSettings) -> Finding:
    if settings.tls:
        return ok(check, f"{settings.user} is logged in to {settings.host} over verified TLS")
    if settings.host in _LOOPBACK:
        return ok(
            check, f"{settings.user} is logged in to {settings.host}, on this machine and so without TLS"
        )
    return failed(check, f"{settings.host} is spoken to without TLS", "DATABASE_TLS must be `verify`")


def _inside(connection: Connection) -> Iterator[Finding]:
    [[standby, schema, create, foreign]] = connection.execute(_RIGHTS, ())
    if standby:
        yield failed(
            "database rights", "it is a standby, which takes no writes", "DatabaseHost must be the writer"
        )
    elif not schema:
        yield failed("database rights", "there is no schema public", "create schema public")
    elif foreign:
        yield failed(
            "database rights", f"the role does not own {foreign}", "alter table … owner to DatabaseUser"
        )
    elif not create:
        yield failed(
            "database rights",
            "the role may not create tables",
            "grant create on schema public to DatabaseUser",
        )
    else:
        yield ok("database rights", "the role owns the tables, and may make new ones")
    schema_of = _schema({str(name) for [name] in connection.execute(_COLUMNS, ())})
    yield schema_of
    if schema_of.verdict is Verdict.OK:
        yield from _foreign(connection.execute(FINDINGS, ()))
    if settings := [str(name) for [name] in connection.execute(_SESSION, ())]:
        yield failed(
            "role settings",
            f"{', '.join(settings)} end statements too early",
            "alter role DatabaseUser reset …",
        )
    else:
        yield ok("role settings", "none that ends statements too early")


def _foreign(rows: list[Row]) -> Iterator[Finding]:
    check, found = "foreign objects", [(str(kind), str(name)) for kind, name in rows]
    refusing = [(kind, name) for kind, name in found if kind in _FOREIGN]
    if not refusing:
        yield ok(check, "nothing on the tables but what is ours")
    for kind, name in refusing:
        # A constraint is as likely as not the team's own rule, which a recording fulfils.
        find = unknown if kind == "constraint" else failed
        yield find(check, f"{kind} {name} is not ours", _FOREIGN[kind])


def _schema(columns: set[str]) -> Finding:
    missing = [name for name in COLUMNS if name not in columns]
    if not columns:
        return failed("schema", "there is no table recordings", "invoke MigrateDatabase, as each deploy does")
    if missing:
        return failed(
            "schema", f"recordings lacks {', '.join(missing)}", "invoke MigrateDatabase, as each deploy does"
        )
    return ok("schema", "the tables are those of this release")
