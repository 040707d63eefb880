"""What a cold start waits for on the network, begun while the code is still being imported.

Only an environment that Lambda starts because a request waits begins ahead: a SnapStart snapshot must hold neither
connection nor key, and what was made for provisioned concurrency may be stale when it is needed.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Final

from .login import database_login
from .settings import RuntimeSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from .database import Connection


class Ahead[T]:
    """Something that takes time to make, made in the background from now on."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: T | None = None
        self._thread: Thread | None = None
        if RuntimeSettings.from_environment().on_demand:
            self._thread = Thread(target=self._run, daemon=True)
            self._thread.start()

    def take(self) -> T:
        """Return what was made ahead to the first who asks, and to everybody else something new.

        Raises what making it raises.
        """
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()
            if self._made is not None:
                return self._made
        return self._make()

    def _run(self) -> None:
        # Whoever asks tries again, and is told what is wrong.
        with suppress(Exception):
            self._made = self._make()


def _connection() -> Connection:
    login = database_login()
    from .database import open_connection  # noqa: PLC0415 - it is imported while the password is on its way

    return open_connection(*login)


CONNECTION: Final = Ahead(_connection)
"""Connections to Postgres; whoever imports this module first begins the first of them."""
