"""RDS as far as IAM authentication goes: TLS only, and a token that it verifies as AWS documents it.

Behind it is a real Postgres: after the login every byte is passed on.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import socket
import ssl
import struct
import threading
from datetime import UTC, datetime, timedelta
from functools import partial, reduce
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import parse_qs, parse_qsl, quote, urlsplit

import pg8000.native

from local.processes.children import LOOPBACK
from local.services.postgres import USER

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.processes.certificate import Certificate
    from local.services.postgres import Postgres

LONGEST: Final = 900
"""Seconds: RDS takes no token that is signed for longer."""
_OK: Final = b"R\0\0\0\x08\0\0\0\0" + b"S\0\0\0\x19client_encoding\0UTF8\0" + b"Z\0\0\0\x05I"


class Rds:
    """Listens on a port of loopback; `refusals` says why tokens were refused."""

    def __init__(self, postgres: Postgres, certificate: Certificate, *, secret_key: str, region: str) -> None:
        self._postgres = postgres
        self._secret_key = secret_key
        self._region = region
        self._tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._tls.load_cert_chain(certificate.file, certificate.key)
        self._listener = socket.create_server((LOOPBACK, 0))
        self._threads: list[threading.Thread] = []
        self._ends: list[socket.socket] = []
        self.port: int = self._listener.getsockname()[1]
        self.refusals: list[str] = []
        self.logins = 0

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def cut(self) -> None:
        """Break every connection."""
        for each in self._ends:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _begin(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._begin(partial(self._serve, self._listener.accept()[0]))

    def _serve(self, plain: socket.socket) -> None:
        with plain, contextlib.suppress(OSError):
            assert plain.recv(8) == struct.pack("!ii", 8, 80877103)
            plain.sendall(b"S")
            with self._tls.wrap_socket(plain, server_side=True) as client:
                parameters = _message(client, coded=False)[4:].split(b"\0")
                startup = dict(zip(parameters[::2], parameters[1::2], strict=False))
                client.sendall(b"R" + struct.pack("!ii", 8, 3))
                token = _message(client, coded=True).rstrip(b"\0").decode()
                refusal = self._refusal(token, startup[b"user"].decode())
                if refusal:
                    self.refusals.append(refusal)
                    fields = b"SFATAL\0VFATAL\0C28P01\0MPAM authentication failed\0\0"
                    client.sendall(b"E" + struct.pack("!i", len(fields) + 4) + fields)
                    return
                self.logins += 1
                self._relay(client, startup[b"database"].decode())

    def _relay(self, client: socket.socket, database: str) -> None:
        behind = pg8000.native.Connection(
            USER, LOOPBACK, database, self._postgres.port, self._postgres.password
        )
        server: socket.socket = behind._usock  # type: ignore[assignment]
        self._ends += [client, server]
        client.sendall(_OK)
        thread = threading.Thread(target=_copy, args=(server, client), daemon=True)
        thread.start()
        _copy(client, server)
        thread.join()
        with contextlib.suppress(pg8000.native.InterfaceError, OSError):
            behind.close()

    def _refusal(self, token: str, user: str) -> str | None:
        """Say what is wrong with a token."""
        url = urlsplit(f"https://{token}")
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        made_at = datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        seconds, now = int(query["X-Amz-Expires"]), datetime.now(UTC)
        if url.netloc != f"{LOOPBACK}:{self.port}":
            return "host"
        if (query["Action"], query["DBUser"]) != ("connect", user):
            return "user"
        if seconds > LONGEST:
            return "signed for too long"
        if not made_at - timedelta(minutes=5) <= now <= made_at + timedelta(seconds=seconds):
            return "expired"
        signed = self._signature(url.netloc, url.query)
        return None if hmac.compare_digest(query["X-Amz-Signature"], signed) else "signature"

    def _signature(self, host: str, query: str) -> str:
        pairs = dict(parse_qsl(query))
        del pairs["X-Amz-Signature"]
        signed = "&".join(f"{quote(name, safe='')}={quote(pairs[name], safe='')}" for name in sorted(pairs))
        empty = hashlib.sha256().hexdigest()
        canonical = f"GET\n/\n{signed}\nhost:{host}\n\nhost\n{empty}"
        date = pairs["X-Amz-Date"]
        scope = [date[:8], self._region, "rds-db", "aws4_request"]
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{'/'.join(scope)}\n{digest}"
        key = reduce(_hmac, scope, f"AWS4{self._secret_key}".encode())
        return _hmac(key, text).hex()


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _message(client: socket.socket, *, coded: bool) -> bytes:
    if coded:
        client.recv(1)
    [length] = struct.unpack("!i", client.recv(4))
    body = b""
    while len(body) < length - 4 and (more := client.recv(length - 4 - len(body))):
        body += more
    return body


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
