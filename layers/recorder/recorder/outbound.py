"""HTTP requests with the standard library: what a cold start can afford where no client is imported.

A call has one deadline for all that it does (the look-up of the name, each address, the TLS handshake, sending, every
read), so an answer that comes a byte a second does not extend it.
"""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import closing, contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Thread
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPResponse

    from _typeshed import ReadableBuffer, WriteableBuffer

_LONGEST: Final = 16 * 1024 * 1024
"""Bytes of an answer: a page of S3's listing has one megabyte, and a store that ignores ranges sends whole files."""

type Answer = tuple[int, bytes]
"""The status and the body."""


class Deadline:
    """When a call must be over."""

    def __init__(self, seconds: float) -> None:
        """Begin now: the call may take so many `seconds`, and no longer than what `all_within` leaves of them."""
        self._at = min(time.monotonic() + seconds, _LATEST.get())

    def left(self) -> float:
        """Return how many seconds are left. Raises TimeoutError where none are."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError("the deadline of the call is over")
        return left


_LATEST: Final[ContextVar[float]] = ContextVar("latest", default=float("inf"))


@contextmanager
def all_within(seconds: float) -> Iterator[None]:
    """Bound all calls inside the block together: no deadline that begins there is later than `seconds` from now."""
    token = _LATEST.set(min(time.monotonic() + seconds, _LATEST.get()))
    try:
        yield
    finally:
        _LATEST.reset(token)


class BoundedSocket(socket.socket):
    """A TCP connection whose calls share a deadline; another may be set for the next exchange."""

    deadline: Deadline | None = None

    def _allow(self) -> None:
        if self.deadline is not None:
            self.settimeout(self.deadline.left())

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive once."""
        self._allow()
        return super().recv(buflen, flags)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        """Receive once; without `nbytes`, as much as the buffer holds."""
        self._allow()
        # A TLS socket would take 0 for no bytes at all.
        return super().recv_into(buffer, nbytes, flags) if nbytes else super().recv_into(buffer)

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        """Send once."""
        self._allow()
        return super().send(data, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        """Send all of it."""
        self._allow()
        super().sendall(data, flags)


class BoundedTlsSocket(BoundedSocket, ssl.SSLSocket):
    """The same over TLS."""


@cache
def tls_context(ca_bundle: str = "") -> ssl.SSLContext:
    """Return what verifies a server's name and certificate, by the system's authorities or those of a PEM file.

    Its sockets are BoundedTlsSockets. Reading the authorities takes longer than a handshake, so it is done once.
    """
    context = ssl.create_default_context(cafile=ca_bundle or None)
    context.sslsocket_class = BoundedTlsSocket
    return context


def connected(host: str, port: int, deadline: Deadline) -> BoundedSocket:
    """Return a TCP connection to the first address of a host that answers. Raises OSError."""
    refused: OSError | None = None
    for family, kind, protocol, address in _addresses(host, port, deadline):
        connection = BoundedSocket(family, kind, protocol)
        try:
            connection.settimeout(deadline.left())
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            connection.close()
            refused = error
            continue
        connection.deadline = deadline
        return connection
    raise refused or ConnectionError("the host has no address")


type _Found = tuple[socket.AddressFamily, socket.SocketKind, int, tuple[object, ...]]


def _addresses(host: str, port: int, deadline: Deadline) -> list[_Found]:
    found: list[_Found] = []
    failed: list[OSError] = []

    def look_up() -> None:
        try:
            for family, kind, protocol, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                found.append((family, kind, protocol, address))
        except OSError as error:
            failed.append(error)

    # The resolver of the system takes no time-out.
    thread = Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(deadline.left())
    if failed:
        raise failed[0]
    if thread.is_alive():
        raise TimeoutError("the name was not resolved in time")
    return found


def secured(connection: BoundedSocket, host: str, context: ssl.SSLContext) -> BoundedTlsSocket:
    """Return a connection after its TLS handshake, with the deadline that it had. Raises OSError."""
    deadline = connection.deadline
    if deadline is not None:
        connection.settimeout(deadline.left())
    secure = context.wrap_socket(connection, server_hostname=host)
    if not isinstance(secure, BoundedTlsSocket):
        raise TypeError("the context is none of tls_context")
    secure.deadline = deadline
    return secure


def post(url: str, body: bytes, headers: Mapping[str, str], *, seconds: float) -> Answer:
    """POST once and return the answer; all of it takes at most `seconds`.

    Raises OSError where there is no answer, or none in HTTP.
    """
    with closing(Client()) as client:
        return client.request("POST", url, body, headers, seconds=seconds)


def get(url: str, headers: Mapping[str, str], *, seconds: float) -> Answer:
    """Do the same without a body."""
    with closing(Client()) as client:
        return client.request("GET", url, None, headers, seconds=seconds)


class Client:
    """Requests one after the other, which share a connection as long as they go to the same host."""

    def __init__(self) -> None:
        self._origin: tuple[str, str] = ("", "")
        self._connection: HTTPConnection | None = None

    def close(self) -> None:
        """Close the connection; the next request opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def request(
        self, method: str, url: str, body: bytes | None, headers: Mapping[str, str], *, seconds: float
    ) -> Answer:
        """Return the answer to a request that may be sent twice: once more where a kept connection has ended.

        All of it takes at most `seconds`. Raises OSError where there is no answer, or none in HTTP.
        """
        address, deadline = urlsplit(url), Deadline(seconds)
        path = f"{address.path or '/'}{f'?{address.query}' if address.query else ''}"
        if self._connection is not None and self._origin == (address.scheme, address.netloc):
            with suppress(ConnectionError):
                return self._exchange(method, path, body, headers, deadline)
        self.close()
        self._connection = _opened(address, deadline)
        self._origin = address.scheme, address.netloc
        return self._exchange(method, path, body, headers, deadline)

    def _exchange(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], deadline: Deadline
    ) -> Answer:
        connection = self._connection
        if connection is None or not isinstance(connection.sock, BoundedSocket):
            raise ConnectionError("the server has closed the connection")
        connection.sock.deadline = deadline
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return response.status, _body(response)
        except HTTPException as error:
            self.close()
            raise ConnectionError(type(error).__name__) from error
        except BaseException:
            self.close()
            raise


def _body(response: HTTPResponse) -> bytes:
    body = response.read(_LONGEST)
    if response.read(1):
        raise ConnectionError("the answer is too long")
    return body


def _opened(address: SplitResult, deadline: Deadline) -> HTTPConnection:
    host, tls = address.hostname or "", address.scheme == "https"
    made = (
        HTTPSConnection(host, address.port, context=tls_context())
        if tls
        else HTTPConnection(host, address.port)
    )
    connection = connected(host, made.port, deadline)
    try:
        # Already connected, it does not connect by itself, which would begin a time-out for each address.
        made.sock = secured(connection, host, tls_context()) if tls else connection
    except BaseException:
        connection.close()
        raise
    return made
