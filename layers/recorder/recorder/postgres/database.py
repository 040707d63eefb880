"""One Postgres connection per warm environment, replaced when it is stale."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Literal, Protocol

from pg8000 import core, native
from pg8000.converters import make_params
from pg8000.exceptions import DatabaseError, InterfaceError

from recorder import outbound as https
from recorder.errors import DatabaseUnavailableError
from recorder.telemetry import Code, log

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from recorder.settings import DatabaseSettings

type Row = list[object]
type Parameter = object

# Classes of SQLSTATE after which a fresh connection may help: connection exceptions, operator intervention
# (shutdown, failover), insufficient resources (too many connections), invalid transaction state.
_TRANSIENT: Final = ("08", "57P", "53", "25")
_READ_ONLY: Final = "25006"
_STATEMENT_SECONDS: Final = 8.0


class Connection(Protocol):
    """What this module needs of a connection; `open_connection` makes one of pg8000."""

    def execute(self, statement: str, values: tuple[Parameter, ...]) -> list[Row]:
        """Run one statement with `$1` parameters in a transaction of its own."""

    def close(self) -> None:
        """Close the connection; never raises."""


class Database:
    """Runs single statements, each a transaction of its own; there is no other kind.

    A statement that meets a broken connection is tried once more on a fresh one, so every statement must be safe
    to run twice: reads are, and writes compare a version or meet their own primary key.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None

    def run(self, sql: str, **parameters: Parameter) -> list[Row]:
        """Run `sql`, whose parameters are written `:name`.

        Raises DatabaseUnavailableError when Postgres does not answer, also not on a fresh connection.
        """
        statement, values_of = _statement(sql)
        values = values_of(parameters)
        try:
            return self._run(statement, values)
        except DatabaseUnavailableError:
            return self._run(statement, values)

    def _run(self, statement: str, values: tuple[Parameter, ...]) -> list[Row]:
        try:
            return self._open().execute(statement, values)
        except DatabaseError as error:
            if not _transient(error):
                raise
            self.close()
            raise DatabaseUnavailableError("the database is not available") from error
        except (InterfaceError, OSError) as error:
            self.close()
            raise DatabaseUnavailableError("the database is not available") from error

    def _open(self) -> Connection:
        if self._connection is None:
            try:
                self._connection = self._connect()
            except DatabaseError as error:
                # A refused login: the password may be rotating, and what Postgres says is for the operators.
                log.error(Code.DATABASE_LOGIN_REFUSED, state=_state(error))
                raise DatabaseUnavailableError("the database is not available") from error
        return self._connection

    def close(self) -> None:
        """Forget the connection; the next statement opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _state(error: DatabaseError) -> str:
    details: object = error.args[0] if error.args else None
    return str(details.get("C", "")) if isinstance(details, dict) else ""


def _transient(error: DatabaseError) -> bool:
    state = _state(error)
    return state.startswith(_TRANSIENT) or state == _READ_ONLY


@lru_cache(maxsize=64)
def _statement(sql: str) -> tuple[str, Callable[[dict[str, Parameter]], tuple[Parameter, ...]]]:
    # pg8000 would parse the text anew, character by character, at each run.
    return native.to_statement(sql)


class _Pg8000Connection(native.Connection):
    def execute(self, statement: str, values: tuple[Parameter, ...]) -> list[Row]:
        # pg8000's own way waits for the server three times, and between them a pooler may change the server.
        context = core.Context(statement)
        self.send_PARSE(core.NULL_BYTE, statement)
        self.send_BIND(core.NULL_BYTE, make_params(self.py_types, values))
        self._send_message(core.DESCRIBE, core.PORTAL + core.NULL_BYTE)
        self.send_EXECUTE()
        core._write(self._sock, core.SYNC_MSG)  # noqa: SLF001
        core._flush(self._sock)  # noqa: SLF001
        self.handle_messages(context)
        return context.rows or []

    def close(self) -> None:
        with suppress(InterfaceError, OSError, AttributeError):
            super().close()


def _timestamptz(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def tls_context(settings: DatabaseSettings) -> ssl.SSLContext | Literal[False]:
    """Return what verifies the server's name and certificate, or False for plaintext on loopback.

    pg8000 would take None as leave to go on in plaintext, and True as leave to accept any certificate.
    """
    return https.tls_context(settings.ca_bundle) if settings.tls else False


def open_connection(settings: DatabaseSettings, password: str) -> Connection:
    """Open a connection over verified TLS (or, for a Postgres on loopback, without).

    Raises pg8000's InterfaceError or OSError when the server cannot be reached or its certificate is not trusted.
    """
    connection = _Pg8000Connection(
        user=settings.user,
        host=settings.host,
        port=settings.port,
        database=settings.name,
        password=password,
        ssl_context=tls_context(settings),
        # The bound on every statement: a SET or an option at start-up would pin an RDS Proxy session.
        timeout=_STATEMENT_SECONDS,
        application_name="recorder",
    )
    # pg8000's own reader goes through strptime.
    connection.register_in_adapter(native.TIMESTAMPTZ, _timestamptz)
    return connection
