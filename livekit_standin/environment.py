"""The environment that everything in a World shares: its time, its chance, its delays, faults and settings."""

from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from livekit_standin.faults import Fault, Faults
from livekit_standin.options import Settings
from livekit_standin.schedule import Schedule
from livekit_standin.timing import Delay, Timing

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Environment:
    """The one source of time and chance."""

    schedule: Schedule
    random: Random
    timing: Timing
    faults: Faults
    settings: Settings

    def now(self) -> int:
        """Give the time in ns."""
        return self.schedule.now()

    def draw(self, delay: Delay) -> int:
        """Draw a delay, in ns."""
        return delay.draw(self.random)

    def fires(self, fault: Fault) -> bool:
        """Say whether a fault strikes this time."""
        return fault.fires(self.random)

    def after(self, delay: Delay, action: "Callable[[], None]") -> None:
        """Have `action` done after a drawn delay."""
        self.schedule.after(delay.draw(self.random), action)
