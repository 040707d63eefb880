"""Opening connections to Postgres: the network, TLS and the login, each wait within one deadline.

This is the only module that uses pg8000's private parts, and pyproject.toml caps its version for that.
"""

from __future__ import annotations

import io
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol, cast

import scramp
from pg8000 import core, native
from pg8000.converters import make_params
from pg8000.exceptions import InterfaceError
from scramp.utils import saslprep

from recorder.outbound import Deadline, connected, secured, tls_context

if TYPE_CHECKING:
    from collections.abc import Buffer

    from pg8000 import dbapi

    from recorder.outbound import BoundedSocket
    from recorder.settings import DatabaseSettings

type Row = list[object]
type Parameter = object

CONNECT_SECONDS: Final = 5.0
"""For the network, TLS and the login together."""
STATEMENT_SECONDS: Final = 8.0
"""For one statement and all of its answer. An API request has 29 seconds, for two tries and what else it does."""

_SSL_REQUEST: Final = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
_SASL: Final = 10
_BUFFER_BYTES: Final = 65536
# The only default of a role that no statement can disregard. As a parameter of the start it costs no statement, poolers
# keep it for the client (pgbouncer knows it, most drivers send it), and RDS Proxy does not pin a session for it.
_STARTUP: Final = {"client_encoding": "UTF8"}


class Connection(Protocol):
    """The part of a connection that `recorder.postgres.database` needs."""

    def execute(self, statement: str, values: tuple[Parameter, ...]) -> list[Row]:
        """Run one statement with `$1` parameters in a transaction of its own.

        Raises pg8000's DatabaseError where Postgres refuses it, OSError or InterfaceError where it does not answer.
        """

    def close(self) -> None:
        """Close the connection; never raises."""


class TlsRefusedError(OSError):
    """The server does not speak TLS."""


class _Wire(io.RawIOBase):
    """A bounded socket for pg8000, which is closed with it."""

    def __init__(self, connected: BoundedSocket) -> None:
        super().__init__()
        self.socket = connected

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, buffer: Buffer, /) -> int:
        return self.socket.recv_into(buffer)

    def write(self, data: Buffer, /) -> int:
        return self.socket.send(data)

    def makefile(self, mode: str) -> io.BufferedRWPair:
        """Return the buffered file that pg8000 reads and writes."""
        del mode
        return io.BufferedRWPair(self, self, _BUFFER_BYTES)

    def close(self) -> None:
        super().close()
        self.socket.close()


class _Login(core.CoreConnection):
    """Logs in with every password with which libpq does, and binds SCRAM to the TLS channel where there is one."""

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: core.Context) -> None:  # noqa: N802 - pg8000's name
        if int.from_bytes(data[:4]) != _SASL:
            super().handle_AUTHENTICATION_REQUEST(data, context)
            return
        mechanisms = [name.decode() for name in data[4:].split(core.NULL_BYTE) if name]
        channel = cast("_Wire", self._usock).socket
        binding = ("tls-server-end-point", channel) if isinstance(channel, ssl.SSLSocket) else None
        # Postgres takes the name of the role from the start of the session, and reads none here.
        self.auth = scramp.ScramClient(mechanisms, "role", "password", channel_binding=binding)
        self.auth.password = _prepared((self.password or b"").decode())
        first = self.auth.get_client_first().encode()
        head = self.auth.mechanism_name.encode() + core.NULL_BYTE + len(first).to_bytes(4)
        self._send_message(core.PASSWORD, head + first)
        core._flush(self._sock)  # noqa: SLF001 - see above


def _prepared(password: str) -> bytes:
    """Return a password as libpq does: as it is where SASLprep (RFC 4013) refuses it."""
    try:
        return (saslprep(password) or password).encode()
    except scramp.ScramException:
        return password.encode()


class _Pg8000Connection(_Login, native.Connection):
    def execute(self, statement: str, values: tuple[Parameter, ...]) -> list[Row]:
        # pg8000's own way waits for the server three times, and between them a pooler may change the server.
        context = core.Context(statement)
        cast("_Wire", self._usock).socket.deadline = Deadline(STATEMENT_SECONDS)
        self.send_PARSE(core.NULL_BYTE, statement)
        self.send_BIND(core.NULL_BYTE, make_params(self.py_types, values))
        self._send_message(core.DESCRIBE, core.PORTAL + core.NULL_BYTE)
        self.send_EXECUTE()
        core._write(self._sock, core.SYNC_MSG)  # noqa: SLF001
        core._flush(self._sock)  # noqa: SLF001
        self.handle_messages(context)
        return context.rows or []

    def close(self) -> None:
        with suppress(InterfaceError, OSError, AttributeError, ValueError):
            super().close()


def open_connection(settings: DatabaseSettings, password: str) -> Connection:
    """Open a connection over verified TLS (or, for a Postgres on loopback, without).

    Raises OSError (ssl.SSLError among them) or pg8000's InterfaceError where the server cannot be reached or is not
    trusted, scramp's ScramException or pg8000's DatabaseError where it refuses the login.
    """
    wire = _reach(settings)
    try:
        return _Pg8000Connection(
            user=settings.user,
            database=settings.name,
            password=password,
            sock=wire,
            ssl_context=False,
            application_name="recorder",
            startup_params=_STARTUP,
        )
    except BaseException:
        wire.close()
        raise


def open_dbapi_connection(
    settings: DatabaseSettings, password: str, *, seconds: float | None
) -> dbapi.Connection:
    """Open a connection for SQLAlchemy; it lasts for so many seconds at most. Raises what `open_connection` does."""
    from pg8000 import dbapi  # noqa: PLC0415 - for the migration only

    class Opened(_Login, dbapi.Connection):
        """A DB-API connection that logs in as every other."""

    wire = _reach(settings)
    wire.socket.settimeout(None)
    wire.socket.deadline = None if seconds is None else Deadline(seconds)
    try:
        return Opened(
            user=settings.user,
            database=settings.name,
            password=password,
            sock=wire,
            ssl_context=False,
            application_name="recorder-migrate",
            startup_params=_STARTUP,
        )
    except BaseException:
        wire.close()
        raise


def _reach(settings: DatabaseSettings) -> _Wire:
    plain = connected(settings.host, settings.port, Deadline(CONNECT_SECONDS))
    try:
        return _Wire(_encrypted(plain, settings) if settings.tls else plain)
    except BaseException:
        plain.close()
        raise


def _encrypted(plain: BoundedSocket, settings: DatabaseSettings) -> BoundedSocket:
    """Ask for TLS, and verify the server's name and certificate: no answer leads to plaintext."""
    plain.sendall(_SSL_REQUEST)
    answer = plain.recv(1)
    if not answer:
        raise ConnectionResetError("the server closed the connection")
    if answer != b"S":
        raise TlsRefusedError("the server refuses TLS")
    return secured(plain, settings.host, tls_context(settings.ca_bundle))
