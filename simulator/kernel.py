"""Virtual time, and processes that are interleaved in it and can be killed at any point."""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

from greenlet import getcurrent, greenlet

if TYPE_CHECKING:
    from collections.abc import Callable

    from livekit_standin.world import World

SECOND: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Killed(BaseException):
    """The process is gone: whatever of it still runs must not reach the outside."""


class Process(greenlet):
    """One invocation of a function: it runs until its work is done, its time is over or it is killed.

    `kill_at` is the number of the point, of those that `passes` counts, behind which nothing of it runs any more.
    `ended` is called once, with whether the work was done.
    """

    def __init__(
        self,
        kernel: Kernel,
        work: Callable[[], None],
        *,
        seconds: float,
        pace: float,
        kill_at: int | None,
        ended: Callable[[bool], None],
    ) -> None:
        super().__init__(parent=kernel.hub)
        self.gone = False
        self.done = False
        self.pace = pace
        self.points = 0
        self.ends_at = kernel.now_ns + int(seconds * SECOND)
        self._kernel = kernel
        self._work = work
        self._kill_at = kill_at
        self._ended = ended

    def run(self) -> None:
        self._work()
        self.done = True
        self._kernel.processes.discard(self)
        self._ended(True)

    def resume(self) -> None:
        if not self.gone:
            self.switch()

    def passes(self) -> bool:
        """Count a point, and say whether the process is still there behind it."""
        self.points += 1
        if self.points == self._kill_at:
            self.die()
        return not self.gone

    def die(self) -> None:
        """Let nothing of the process run any more; one that dies by its own doing must `leave` at once."""
        if not self.gone and not self.done:
            self.gone = True
            self._ended(False)


class Kernel:
    """Runs what is due, in order of time; whoever sleeps lets the others run."""

    def __init__(self, now_ns: int) -> None:
        self.now_ns = now_ns
        self.hub = getcurrent()
        self.processes: set[Process] = set()
        self._actions: list[tuple[int, int, Callable[[], object]]] = []
        self._serial = 0
        self._world: World | None = None
        self._advance: Callable[[], None] = lambda: None

    def drives(self, world: World, advance: Callable[[], None]) -> None:
        """Call `advance` whenever the world has something to do."""
        self._world, self._advance = world, advance

    def ns(self) -> int:
        return self.now_ns

    def now(self) -> datetime:
        return _EPOCH + timedelta(microseconds=self.now_ns // 1000)

    @property
    def current(self) -> Process:
        """The process that runs; raises Killed in one that is gone."""
        process = cast("Process", getcurrent())
        if process.gone:
            raise Killed
        return process

    @property
    def dying(self) -> bool:
        """Whether the process that runs has died and must `leave`."""
        return cast("Process", getcurrent()).gone

    def after(self, seconds: float, action: Callable[[], object]) -> None:
        """Have something done when so many seconds have passed."""
        self._serial += 1
        heapq.heappush(self._actions, (self.now_ns + int(seconds * SECOND), self._serial, action))

    def spawn(
        self,
        work: Callable[[], None],
        *,
        seconds: float,
        pace: float,
        kill_at: int | None,
        ended: Callable[[bool], None],
    ) -> Process:
        """Begin a process that has so many seconds."""
        process = Process(self, work, seconds=seconds, pace=pace, kill_at=kill_at, ended=ended)
        self.processes.add(process)
        self.after(0, process.resume)
        self.after(seconds, process.die)
        return process

    def sleep(self, seconds: float) -> None:
        """Let time pass in the process that runs."""
        self.after(seconds, self.current.resume)
        self.leave()

    def leave(self) -> None:
        """Let the others run; a process that died does not come back."""
        self.hub.switch()
        if cast("Process", getcurrent()).gone:
            raise Killed

    def run_until(self, at_ns: int) -> None:
        """Do all that is due by then."""
        world, actions = self._world, self._actions
        while True:
            due = world.next_at() if world is not None else None
            if actions and (due is None or actions[0][0] <= due):
                if actions[0][0] > at_ns:
                    break
                self.now_ns, _, action = heapq.heappop(actions)
                action()
            elif due is not None and due <= at_ns:
                self.now_ns = max(self.now_ns, due)
                self._advance()
            else:
                break
        self.now_ns = at_ns

    def close(self) -> None:
        """Free what the processes hold that never ended."""
        for process in list(self.processes):
            process.gone = True
            process.throw()
        self.processes.clear()
