"""Makes a history that fails as short as it can be while it still fails in the same way."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from simulator.journal import ViolationError
from simulator.plan import only
from simulator.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulator.loops import VirtualLoops
    from simulator.plan import History

_IDS: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|EG_\w+|: Recording\(.*")


def failure(history: History, loops: VirtualLoops) -> BaseException | None:
    """Run a history and return what it fails with."""
    try:
        Simulation(history, loops).run()
    except (Exception, ViolationError) as error:  # noqa: BLE001 - a crash of the product is a finding too
        return error
    return None


def kind(error: BaseException) -> str:
    """Name a failure, without the ids in it."""
    text = str(error) if isinstance(error, ViolationError) else f"{type(error).__name__}: {error}"
    return _IDS.sub("#", text)


def shrink(history: History, wanted: str, loops: VirtualLoops) -> tuple[int, ...]:
    """Return the numbers of the steps that are needed for a failure of the wanted kind."""

    def fails(kept: Sequence[int]) -> bool:
        error = failure(only(history, kept), loops)
        return error is not None and kind(error) == wanted

    kept = list(range(len(history.steps)))
    size = len(kept) // 2
    while size:
        start = 0
        while start < len(kept):
            rest = kept[:start] + kept[start + size :]
            if fails(rest):
                kept = rest
            else:
                start += size
        size //= 2
    return tuple(kept)
