"""Time that stands still until somebody moves it, for the product, for LiveKit and for the wait between them."""

from __future__ import annotations

import asyncio
import selectors
import socket
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextvars import Context

type _Address = (
    tuple[Literal[socket.AddressFamily.AF_INET], socket.SocketKind, int, str, tuple[str, int]]
    | tuple[
        Literal[socket.AddressFamily.AF_INET6],
        socket.SocketKind,
        int,
        str,
        tuple[str, int, int, int] | tuple[int, bytes],
    ]
)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000_000
_FLOAT = 1000
"""The most by which a float of Unix seconds may be off, in ns."""


class VirtualClock:
    """Begins at the real time, since AWS checks the signatures that the product makes by its own clock."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._now = time.time_ns()

    def ns(self) -> int:
        return self._now

    def now(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self._now // 1000)

    def move_to(self, ns: int) -> None:
        self._now = max(self._now, ns)


class _Selector(selectors.DefaultSelector):
    """Where nobody moves the clock while somebody waits for it, it goes as the real one does."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self._clock = clock

    def select(  # type: ignore[explicit-any]
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout)
        if timeout and not ready:
            self._clock.move_to(self._clock.ns() + int(timeout * SECOND) + _FLOAT)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    """An event loop on a virtual clock."""

    def __init__(self, clock: VirtualClock, names: Mapping[str, str]) -> None:
        self._virtual = clock
        self._names = names
        self._deadlines: list[asyncio.TimerHandle] = []
        super().__init__(_Selector(clock))

    def time(self) -> float:
        return self._virtual.ns() / SECOND

    def call_at[*Arguments](
        self,
        when: float,
        callback: Callable[[*Arguments], object],
        *args: *Arguments,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = super().call_at(when, callback, *args, context=context)
        if isinstance(getattr(callback, "__self__", None), asyncio.Timeout):
            self._deadlines.append(handle)
        return handle

    async def getaddrinfo(
        self,
        host: bytes | str | None,
        port: bytes | str | int | None,
        *,
        family: int = 0,
        type: int = 0,  # noqa: A002 - as in asyncio
        proto: int = 0,
        flags: int = 0,
    ) -> list[_Address]:
        known = self._names.get(host, host) if isinstance(host, str) else host
        return await super().getaddrinfo(known, port, family=family, type=type, proto=proto, flags=flags)

    def deadlines(self) -> Iterator[int]:
        """Give when (ns) each `asyncio.timeout` that is being waited in ends."""
        self._deadlines = [
            each for each in self._deadlines if not each.cancelled() and each.when() > self.time()
        ]
        return (int(each.when() * SECOND) + _FLOAT for each in self._deadlines)


class VirtualLoops(asyncio.DefaultEventLoopPolicy):
    """Gives every caller of asyncio a loop on a virtual clock, so that waiting for LiveKit takes no real time.

    `names` are host names with the addresses that the loops find for them.
    """

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__()
        self.names: dict[str, str] = {}
        self._clock = clock
        self._loops: WeakSet[_Loop] = WeakSet()

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        loop = _Loop(self._clock, self.names)
        self._loops.add(loop)
        return loop

    def next_deadline(self) -> int | None:
        """Return when (ns) the first of all callers stops waiting."""
        return min((each for loop in list(self._loops) for each in loop.deadlines()), default=None)

    def wake(self) -> None:
        """Let the loops see that the clock has moved."""
        for loop in list(self._loops):
            if loop.is_running():
                loop.call_soon_threadsafe(lambda: None)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        # Deprecated from 3.14 on, and the one way to reach the loops that the product makes.
        before = asyncio.get_event_loop_policy()  # type: ignore[deprecated]
        asyncio.set_event_loop_policy(self)  # type: ignore[deprecated]
        try:
            yield
        finally:
            asyncio.set_event_loop_policy(before)  # type: ignore[deprecated]
