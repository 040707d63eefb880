"""Servers on loopback that behave as the network sometimes does: silent, slow, or of another mind."""

from __future__ import annotations

import socket
import threading
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

LOOPBACK: Final = "127.0.0.1"
_PAUSE: Final = 0.1

type Serve = Callable[[socket.socket, threading.Event], None]


@contextmanager
def listening(serve: Serve) -> Iterator[int]:
    """Yield the port of a server that gives each connection to `serve`, with an event that is set at its end."""
    over = threading.Event()
    threads: list[threading.Thread] = []
    connections: list[socket.socket] = []

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                connections.append(connection)
                threads.append(threading.Thread(target=_quietly, args=(serve, connection, over)))
                threads[-1].start()

    with socket.create_server((LOOPBACK, 0)) as server:
        accepting = threading.Thread(target=accept)
        accepting.start()
        try:
            yield server.getsockname()[1]
        finally:
            over.set()
            server.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for connection in connections:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def _quietly(serve: Serve, connection: socket.socket, over: threading.Event) -> None:
    # The other side may go at any time, and the test may end.
    with connection, suppress(OSError):
        serve(connection, over)


def silent(connection: socket.socket, over: threading.Event) -> None:
    """Take the connection, and never say a word."""
    del connection
    over.wait()


def trickling(answer: bytes, context: ssl.SSLContext | None = None) -> Serve:
    """Return what sends the headers of an HTTP answer at once, and ten bytes of its body a second, up to its end."""

    def serve(connection: socket.socket, over: threading.Event) -> None:
        if context is not None:
            connection = context.wrap_socket(connection, server_side=True)
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer))
            for byte in answer:
                if over.wait(_PAUSE):
                    return
                connection.sendall(bytes([byte]))

    return serve


type Reply = tuple[int, bytes]
type Refuse = Callable[[str, str, Mapping[str, str], bytes], Reply | None]
"""Of method, path with query, headers in lower case and body: an answer, or None to pass the request on."""


@contextmanager
def before(origin: str, refuse: Refuse) -> Iterator[str]:
    """Yield the address of a server before another, to which it passes on what `refuse` does not answer.

    A signature stays good: the other is told the host name that was signed.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, text = refuse(self.command, self.path, headers, body) or self._pass_on(headers, body)
            self.send_response(status)
            if status != HTTPStatus.NO_CONTENT:
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def _pass_on(self, headers: Mapping[str, str], body: bytes) -> Reply:
            # No client that would tidy the path up.
            with closing(HTTPConnection(urlsplit(origin).netloc)) as other:
                other.request(self.command, self.path, body, headers)
                answer = other.getresponse()
                return answer.status, answer.read()

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
