"""One Postgres connection per warm environment, replaced when it is stale."""

from __future__ import annotations

import socket
import ssl
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from pg8000 import native
from pg8000.exceptions import DatabaseError, InterfaceError
from scramp import ScramException

from recorder.errors import AwsError, DatabaseBusyError, DatabaseUnavailableError, StatementRefusedError
from recorder.postgres.login import TlsRefusedError
from recorder.telemetry import Code, log

if TYPE_CHECKING:
    from collections.abc import Callable

    from recorder.postgres.login import Connection, Parameter, Row

_TRIES: Final = 2
_CONFLICT_TRIES: Final = 5
_SECONDS: Final = 12.0
"""After so long nothing is tried again."""

# By SQLSTATE, what passes by itself. A conflict is over with the other transaction: the same connection tries again.
_CONFLICTS: Final = ("40001", "40P01")
# Somebody ended the statement, or it waited for a lock for too long: it may do so once more.
_WAITED: Final = ("57014", "55P03")
# After these another connection may help: connection exceptions, a server that shuts down, starts or ends idle
# sessions, resources (too many connections), a server that is read-only, as the old primary of a failover is.
_ELSEWHERE: Final = ("08", "57P", "53", "25")


class _ConflictError(DatabaseBusyError):
    """Another transaction was in the way."""


class Database:
    """Runs single statements, each a transaction of its own; there is no other kind.

    A statement that meets a broken connection, a conflict or a server that is busy is tried again, so every statement
    must be safe to run twice: reads are, and writes compare a version or meet their own primary key.
    """

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None

    def run(self, sql: str, **parameters: Parameter) -> list[Row]:
        """Run `sql`, whose parameters are written `:name`.

        Raises DatabaseUnavailableError when Postgres does not answer, also not on a fresh connection,
        DatabaseBusyError when it answered that it cannot do it now, and StatementRefusedError for what does not pass.
        The log has the cause each time, with its SQLSTATE where Postgres gave one.
        """
        statement, values_of = _statement(sql)
        values = values_of(parameters)
        over = time.monotonic() + _SECONDS
        for attempt in range(1, _CONFLICT_TRIES):
            try:
                return self._run(statement, values)
            except DatabaseUnavailableError as error:
                tries = _CONFLICT_TRIES if isinstance(error, _ConflictError) else _TRIES
                if attempt >= tries or time.monotonic() >= over:
                    raise
        return self._run(statement, values)

    def _run(self, statement: str, values: tuple[Parameter, ...]) -> list[Row]:
        connection = self._open()
        try:
            return connection.execute(statement, values)
        except DatabaseError as error:
            raise self._refused(error) from error
        except (InterfaceError, OSError) as error:
            self.close()
            log.warning(Code.DATABASE_CONNECTION_LOST, reason=type(error).__name__)
            raise DatabaseUnavailableError("the database is not available") from error
        except BaseException:
            # The rest of an answer that was read halfway must not become the next one's.
            self.close()
            raise

    def _refused(self, error: DatabaseError) -> Exception:
        """Return what a refusal of Postgres means, after it was logged."""
        state = _field(error, "C")
        if state.startswith(_ELSEWHERE):
            self.close()
        if state.startswith((*_CONFLICTS, *_WAITED, *_ELSEWHERE)):
            log.warning(Code.DATABASE_BUSY, state=state)
            busy = _ConflictError if state.startswith(_CONFLICTS) else DatabaseBusyError
            return busy("the database cannot do this now")
        log.error(Code.STATEMENT_REFUSED, state=state, constraint=_field(error, "n"))
        return StatementRefusedError("the database refused a statement")

    def _open(self) -> Connection:
        if self._connection is None:
            try:
                self._connection = self._connect()
            except (DatabaseError, InterfaceError, ScramException, OSError) as error:
                raise _unreachable(error) from error
        return self._connection

    def close(self) -> None:
        """Forget the connection; the next statement opens a new one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _unreachable(error: Exception) -> DatabaseUnavailableError:
    """Log why there is no connection; what the cause says is for the operators."""
    match error:
        case DatabaseError():
            state = _field(error, "C")
            if state.startswith(_ELSEWHERE):
                log.warning(Code.DATABASE_BUSY, state=state)
                return DatabaseBusyError("the database cannot do this now")
            # The password may be rotating just now.
            log.error(Code.DATABASE_LOGIN_REFUSED, state=state)
        case ScramException() | InterfaceError():
            log.error(Code.DATABASE_LOGIN_FAILED, reason=type(error).__name__)
        case AwsError():
            # Its setting and cause have been logged where the secret was read.
            pass
        case ssl.SSLCertVerificationError():
            log.error(Code.DATABASE_CERTIFICATE_REFUSED, reason=error.verify_message)
        case ssl.SSLError():
            log.error(Code.DATABASE_TLS_FAILED, reason=error.reason)
        case TlsRefusedError():
            log.error(Code.DATABASE_TLS_FAILED, reason=str(error))
        case socket.gaierror():
            log.error(Code.DATABASE_NAME_UNKNOWN, reason=error.strerror)
        case _:
            log.error(Code.DATABASE_UNREACHABLE, reason=type(error).__name__)
    return DatabaseUnavailableError("the database is not available")


def _field(error: DatabaseError, name: str) -> str:
    details: object = error.args[0] if error.args else None
    return str(details.get(name, "")) if isinstance(details, dict) else ""


@lru_cache(maxsize=64)
def _statement(sql: str) -> tuple[str, Callable[[dict[str, Parameter]], tuple[Parameter, ...]]]:
    # pg8000 would parse the text anew, character by character, at each run.
    return native.to_statement(sql)
