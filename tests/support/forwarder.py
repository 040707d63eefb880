"""A TCP address that stays while what is behind it goes away, moves or comes back."""

from __future__ import annotations

import contextlib
import socket
import threading
from functools import partial
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 65536


class Forwarder:
    """Forwards connections to a port on loopback; refused by the target means closed for the client.

    `sent` counts the bytes from clients to the target.
    """

    def __init__(self, target: Callable[[], int]) -> None:
        self._target = target
        self._reachable = True
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]
        self.sent = 0

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()

    def cut_off(self) -> None:
        """Break every connection, and let no new one through."""
        self._reachable = False
        self.cut()

    def mend(self) -> None:
        """Let connections through again."""
        self._reachable = True

    def cut(self) -> None:
        """Break every connection."""
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _begin(self, run: Callable[[], None]) -> None:
        thread = threading.Thread(target=run, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._reachable:
                client.close()
                continue
            try:
                target = socket.create_connection(("127.0.0.1", self._target()))
            except OSError:
                client.close()
                continue
            self._sockets += [client, target]
            self._begin(partial(self._copy, client, target))
            self._begin(partial(self._copy, target, client))

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        from_client = source.getsockname()[1] == self.port
        with contextlib.suppress(OSError):
            while data := source.recv(_CHUNK):
                self.sent += len(data) if from_client else 0
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_WR)
