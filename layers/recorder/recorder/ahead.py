"""A value that waits for the network, made in the background while a cold start still imports its code.

Only an environment that Lambda starts because a request waits works ahead: a SnapStart snapshot must hold neither a
connection nor a key, and a connection of provisioned concurrency may be stale when it is needed.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from recorder.settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Callable


class Ahead[T]:
    """A value that takes time to make: `begin` makes one in the background, `take` returns it, or a new one."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._thread: Thread | None = None

    def begin(self) -> None:
        """Begin to make the first value, where a request waits for this environment."""
        if RuntimeSettings.from_environment().on_demand:
            self._thread = Thread(target=self._run, daemon=True)
            self._thread.start()

    def take(self) -> T:
        """Return the value made ahead to the first caller, and a new one to every other.

        Raises what making it raises.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
            made, self._made = self._made, None
            if made is not None:
                return made
        return self._make()

    def _run(self) -> None:
        # Errors are dropped here: the first caller of `take` makes the value again and gets the error.
        with suppress(Exception):
            self._made = self._make()
