"""Web applications and other coroutines on one event loop in a thread of its own."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Self

import anyio
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal

from local.processes.children import LOOPBACK, LocalStackError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from concurrent.futures import Future
    from types import TracebackType

    from anyio.abc import ByteStream, Listener, SocketStream
    from starlette.types import ASGIApp

    from local.processes.certificate import Certificate


class Server:
    """Serves on loopback until the block is left; an exception cancels what `run` still waits for."""

    def __enter__(self) -> Self:
        self._exit = ExitStack()
        self._portal: BlockingPortal = self._exit.enter_context(start_blocking_portal())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The portal waits for what still runs, unless it is told of an exception.
        self._exit.__exit__(kind, error, trace)

    def listen(self, port: int = 0, *, preferred: int = 0) -> socket.socket:
        """Take a port, or if that is 0 any, the preferred one if it is free.

        Raises LocalStackError if somebody else has the port.
        """
        # asyncio switches Nagle's algorithm off only where the socket says that it is TCP: else answers take 40 ms.
        listener = self._exit.enter_context(socket.socket(proto=socket.IPPROTO_TCP))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((LOOPBACK, port or preferred))
            listener.listen()
        except (OSError, OverflowError) as error:
            if not port:
                return self.listen()
            reason = error.strerror if isinstance(error, OSError) else "ports are 1 to 65535"
            raise LocalStackError(
                f"Port {port} cannot be used ({reason}). Choose another: make run PORT=..."
            ) from None
        return listener

    def serve(self, app: ASGIApp, listener: socket.socket, certificate: Certificate | None = None) -> None:
        """Serve an application, over TLS if there is a certificate; requests wait in the listener's queue for it."""
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=1,
            ssl_certfile=certificate.file if certificate else None,
            ssl_keyfile=certificate.key if certificate else None,
        )
        server = uvicorn.Server(config)
        finished = self._portal.start_task_soon(server.serve, [listener])
        self._exit.callback(self._end, server, finished)

    def forward(self, address: str, port: int) -> None:
        """Let this port of another address of this machine lead to the same one on loopback.

        Raises LocalStackError if the address is not this machine's, or somebody else has the port there.
        """
        listening = partial(anyio.create_tcp_listener, local_host=address, local_port=port)
        try:
            listener = self.run(listening)
        except OSError as error:
            raise LocalStackError(
                f"Port {port} of {address} cannot be used ({error.strerror}). BIND must be one address of this machine."
            ) from None
        self.background(partial(_forward, listener, port))

    def run[T](self, function: Callable[[], Awaitable[T]]) -> T:
        """Run a coroutine function on the loop and return its result."""
        return self._portal.call(function)

    def background(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine function on the loop until the block is left."""
        self._exit.callback(self._portal.start_task_soon(function).cancel)

    def _end(self, server: uvicorn.Server, finished: Future[None]) -> None:
        server.should_exit = True
        finished.result()


async def _forward(listener: Listener[SocketStream], port: int) -> None:
    async with listener:
        await listener.serve(partial(_connect, port))


async def _connect(port: int, client: SocketStream) -> None:
    async with client:
        with suppress(OSError):
            target = await anyio.connect_tcp(LOOPBACK, port)
            async with target, anyio.create_task_group() as both:
                both.start_soon(_copy, client, target)
                both.start_soon(_copy, target, client)


async def _copy(source: ByteStream, sink: ByteStream) -> None:
    gone = suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)
    with gone:
        async for data in source:
            await sink.send(data)
    with gone:
        await sink.send_eof()
