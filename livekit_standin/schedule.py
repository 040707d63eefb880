"""Things to be done at their time, by a clock that somebody else moves."""

from collections.abc import Callable
from heapq import heappop, heappush


class Schedule:
    """Actions in order of their due time; equal times in order of their making."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._actions: list[tuple[int, int, Callable[[], None]]] = []
        self._serial = 0
        self._acting_at: int | None = None

    def now(self) -> int:
        """Give the time in ns: of the action that is being done, else of the clock."""
        return self._clock() if self._acting_at is None else self._acting_at

    def after(self, delay: int, action: Callable[[], None]) -> None:
        """Have `action` done `delay` ns from now."""
        self._serial += 1
        heappush(self._actions, (self.now() + delay, self._serial, action))

    def next_at(self) -> int | None:
        """Say when the next action is due."""
        return self._actions[0][0] if self._actions else None

    def run_due(self, after_each: Callable[[], None]) -> None:
        """Do all that is due, each at its own time, and `after_each` one at the same time."""
        limit = self._clock()
        try:
            while self._actions and self._actions[0][0] <= limit:
                self._acting_at, _, action = heappop(self._actions)
                action()
                after_each()
        finally:
            self._acting_at = None
