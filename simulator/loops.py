"""asyncio in virtual time: an event loop that waits by letting the other processes run."""

from __future__ import annotations

import asyncio
import signal
from asyncio import events
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final
from unittest.mock import patch

from simulator.kernel import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from simulator.kernel import Kernel

_TICK: Final = 1e-6
_LONG: Final = 1e6


class _Waiting:
    """The place where the loop waits, instead of a selector."""

    def __init__(self, kernel: Kernel, loop: asyncio.AbstractEventLoop) -> None:
        self._kernel = kernel
        self._loop = loop

    def select(self, timeout: float | None) -> tuple[()]:
        if timeout == 0 and not self._kernel.dying:
            return ()
        # Another process's loop may run meanwhile, and asyncio knows one of a thread.
        events._set_running_loop(None)
        if self._kernel.dying:
            self._kernel.leave()
        self._kernel.sleep(_LONG if timeout is None else max(timeout, _TICK))
        events._set_running_loop(self._loop)
        return ()


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop of one environment."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self._kernel = kernel
        self._began_ns = kernel.now_ns
        self._selector = _Waiting(kernel, self)
        self.set_exception_handler(lambda *_: None)

    def time(self) -> float:
        return (self._kernel.now_ns - self._began_ns) / SECOND

    def _process_events(self, event_list: tuple[()]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass

    def __del__(self) -> None:
        # It holds nothing of the system's, and of a killed environment nobody closes it.
        pass


class VirtualLoops:
    """Gives whoever asks asyncio for a loop a virtual one."""

    def __init__(self) -> None:
        self.kernel: Kernel | None = None

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        if self.kernel is None:
            raise RuntimeError("no history is running")
        return VirtualLoop(self.kernel)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def virtual_loops() -> Iterator[VirtualLoops]:
    """Give asyncio virtual loops for a while."""
    loops = VirtualLoops()
    # asyncio.Runner takes Ctrl-C over unless somebody else has, and a killed process would not give it back.
    handler = signal.signal(signal.SIGINT, _interrupt)
    try:
        with patch("asyncio.events.new_event_loop", loops.new_event_loop):
            yield loops
    finally:
        signal.signal(signal.SIGINT, handler)
