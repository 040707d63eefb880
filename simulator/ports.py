"""The ports of the product as processes see them: every call is a place to wait, to fail and to be killed at."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from recorder.errors import DatabaseBusyError, DatabaseUnavailableError, StorageUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from recorder.usecases.ports import Events, Joiner, Recordings, Storage, StoredEvent
    from simulator.faults import Faults
    from simulator.kernel import Kernel

_LATENCY_SECONDS: Final = 0.004
_CONFLICT_TRIES: Final = 5


class Gate:
    """Where calls of all processes pass."""

    def __init__(self, kernel: Kernel, random: Random, faults: Faults) -> None:
        self.kernel = kernel
        self.random = random
        self.faults = faults

    def latency(self) -> float:
        """Draw how long (s) one way of a call takes the process that runs; some take no time, and nobody passes."""
        return max(0.0, self.random.uniform(-1.0, 1.0)) * _LATENCY_SECONDS * self.kernel.current.pace

    def survives(self) -> bool:
        """Pass a point; where this is False, the process must not do anything any more."""
        process = self.kernel.current
        if self.faults.killed.fires(self.random):
            process.die()
        return process.passes()

    def point(self) -> None:
        """Pass a point, or never come back from it."""
        if not self.survives():
            self.kernel.leave()

    def call[T](self, effect: Callable[[], T]) -> T:
        """Make a call: time passes, it has its effect, time passes."""
        self.wait()
        self.point()
        result = effect()
        self.point()
        self.wait()
        return result

    def wait(self) -> None:
        """Let one way of a call take its time."""
        seconds = self.latency()
        if seconds:
            self.kernel.sleep(seconds)

    def database[T](self, statement: Callable[[], T]) -> T:
        """Run a statement as `recorder.postgres.database.Database` does."""
        faults, random = self.faults, self.random

        def effect() -> T:
            if faults.database_conflicts.fires(random):
                raise DatabaseBusyError
            if faults.database_refuses.fires(random):
                raise DatabaseUnavailableError
            result = statement()
            if faults.database_silent.fires(random):
                raise DatabaseUnavailableError
            return result

        if faults.database_retried.fires(random):
            self.call(statement)
        for _ in range(_CONFLICT_TRIES - 1):
            with suppress(DatabaseBusyError):
                return self.call(effect)
        return self.call(effect)

    def storage[T](self, request: Callable[[], T]) -> T:
        """Make a request of the bucket."""
        faults, random = self.faults, self.random

        def effect() -> T:
            if faults.storage_refuses.fires(random):
                raise StorageUnavailableError
            result = request()
            if faults.storage_silent.fires(random):
                raise StorageUnavailableError
            return result

        return self.call(effect)


def recordings(gate: Gate, target: Recordings) -> Recordings:
    """Have every statement of `target` pass the gate."""
    return cast("Recordings", _Gated(target, gate.database))


def storage(gate: Gate, target: Storage) -> Storage:
    """Have every request of `target` pass the gate; a link needs none."""
    return cast("Storage", _Gated(target, gate.storage, local=("link",)))


def joiner(gate: Gate, target: Joiner) -> Joiner:
    """Have a join pass the gate as one request of the bucket: it reads and writes there."""
    return cast("Joiner", _Gated(target, gate.storage))


class _Gated:
    """Stands before `target`: whatever method it has, now or later."""

    def __init__(
        self,
        target: object,
        gate: Callable[[Callable[[], object]], object],
        local: Sequence[str] = (),
    ) -> None:
        for name in dir(target):
            if not name.startswith("_") and callable(method := getattr(target, name)):
                setattr(self, name, method if name in local else partial(_through, gate, method))


def _through[**P](
    gate: Callable[[Callable[[], object]], object],
    method: Callable[P, object],
    *arguments: P.args,
    **named: P.kwargs,
) -> object:
    return gate(lambda: method(*arguments, **named))


class GatedEvents:
    """A bus that passes the gate; an event that it does not say it took may have been taken."""

    def __init__(self, gate: Gate, target: Events) -> None:
        self._gate = gate
        self._target = target

    def publish(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        faults, random = self._gate.faults, self._gate.random

        def effect() -> Sequence[int]:
            if faults.bus_refuses.fires(random):
                return []
            some = list(events)
            if faults.bus_takes_some.fires(random):
                some = random.sample(some, random.randint(0, len(some)))
            taken = self._target.publish(some)
            return [] if faults.bus_silent.fires(random) else taken

        return self._gate.call(effect)
