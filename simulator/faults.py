"""Faults between the product and its services; those of LiveKit are the stand-in's."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

from livekit_standin.faults import Fault

if TYPE_CHECKING:
    from livekit_standin.faults import Faults as LiveKitFaults


@dataclass(slots=True)
class Faults:
    """Everything is off until it is switched on."""

    database_refuses: Fault = field(default_factory=Fault)
    """A statement is not run."""
    database_silent: Fault = field(default_factory=Fault)
    """A statement is run, and its answer lost for good."""
    database_retried: Fault = field(default_factory=Fault)
    """A statement is run, its answer lost, and it is run again."""
    database_conflicts: Fault = field(default_factory=Fault)
    """A statement meets another transaction, is not run, and is tried again."""
    row_unreadable: Fault = field(default_factory=Fault)
    """Drawn for each change of a row: from then on, until it is mended, it holds what cannot be read."""
    storage_refuses: Fault = field(default_factory=Fault)
    storage_silent: Fault = field(default_factory=Fault)
    bus_refuses: Fault = field(default_factory=Fault)
    bus_silent: Fault = field(default_factory=Fault)
    bus_takes_some: Fault = field(default_factory=Fault)
    livekit_unreachable: Fault = field(default_factory=Fault)
    """Nothing is sent."""
    livekit_hangs_up: Fault = field(default_factory=Fault)
    """The connection breaks before the call arrives."""
    livekit_hangs_up_late: Fault = field(default_factory=Fault)
    """The connection breaks before the answer arrives."""
    start_doubled: Fault = field(default_factory=Fault)
    """A Start arrives twice."""
    hint_lost: Fault = field(default_factory=Fault)
    """An asynchronous invocation never happens."""
    hint_late: Fault = field(default_factory=Fault)
    """It happens up to some minutes later."""
    hint_doubled: Fault = field(default_factory=Fault)
    """It happens twice."""
    joining_refused: Fault = field(default_factory=Fault)
    """Drawn for each join: the takes cannot become one file."""
    bucket_away: Fault = field(default_factory=Fault)
    """Drawn for each upload of a worker: it fails, and is tried again."""
    webhook_slow: Fault = field(default_factory=Fault)
    """Drawn for each webhook: the function that takes it is slow."""
    killed: Fault = field(default_factory=Fault)
    """Drawn at every point of a process."""

    def by_name(self) -> dict[str, Fault]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


def every(own: Faults, livekit: LiveKitFaults) -> dict[str, Fault]:
    """Give all faults of both by name."""
    return own.by_name() | livekit.by_name()
