"""Waiting for a recording to change: bounded for each user and for all, and without a connection meanwhile."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NamedTuple
from uuid import uuid4

from recorder.errors import DatabaseUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from recorder.domain.recording import Recording
    from recorder.usecases.ports import Adapters

MAXIMUM_WAIT_SECONDS: Final = 20
WAITS_PER_USER: Final = 4
"""How many requests of one user may wait at once: some pages of theirs, and no more of Lambda's environments."""
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 2.0
_GROWTH: Final = 1.5
"""Each look needs a new connection, so a long wait looks less often."""
_MARGIN: Final = timedelta(seconds=10)
"""How long after its end a wait that nobody ended, since its function was killed, is counted still."""


class Waited(NamedTuple):
    """A recording after a wait; `granted` is False where so many wait already that it was answered at once."""

    recording: Recording
    granted: bool


class Waiting:
    """Waits on behalf of callers."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def until(self, wait: int) -> datetime:
        """Return when a wait of so many seconds that begins now ends: what LiveKit takes to answer is part of it."""
        return self._adapters.clock.now() + timedelta(seconds=min(wait, MAXIMUM_WAIT_SECONDS))

    def wait(
        self,
        recording: Recording,
        until: datetime,
        look: Callable[[], Recording],
        done: Callable[[Recording], bool],
    ) -> Waited:
        """Return the recording once it is final or `done`, or at `until`, as `look` then returns it."""
        if not self._goes_on(recording, until, done):
            return Waited(recording=recording, granted=True)
        with self._counted(recording.user_id, until) as granted:
            pause = _FIRST_PAUSE
            while granted and self._goes_on(recording, until, done):
                self._adapters.waits.release()
                self._adapters.clock.sleep(min(pause, (until - self._adapters.clock.now()).total_seconds()))
                pause = min(pause * _GROWTH, _LONGEST_PAUSE)
                recording = look()
        return Waited(recording=recording, granted=granted)

    def _goes_on(self, recording: Recording, until: datetime, done: Callable[[Recording], bool]) -> bool:
        return recording.live and not done(recording) and self._adapters.clock.now() < until

    @contextmanager
    def _counted(self, user_id: str, until: datetime) -> Iterator[bool]:
        waits, clock, policy = self._adapters.waits, self._adapters.clock, self._adapters.policy
        # The microseconds tell waits apart that end at the same time.
        ends_at = until + _MARGIN + timedelta(microseconds=uuid4().int % 1_000_000)
        granted = waits.begin(user_id, ends_at, clock.now(), of_user=WAITS_PER_USER, of_all=policy.waits)
        try:
            yield granted
        finally:
            if granted:
                # It ends by itself some seconds later.
                with suppress(DatabaseUnavailableError):
                    waits.end(user_id, ends_at)
