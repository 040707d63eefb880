"""Faults that can be switched on. Everything is off at first."""

from dataclasses import dataclass, field, fields
from random import Random


@dataclass(slots=True)
class Fault:
    """One thing that goes wrong: for the next `times`, and beyond that with `probability`."""

    probability: float = 0.0
    times: int = 0

    def always(self) -> None:
        """Let it go wrong every time."""
        self.probability = 1.0

    def next(self, times: int = 1) -> None:
        """Let it go wrong the next `times` times."""
        self.times = times

    def chance(self, probability: float) -> None:
        """Let it go wrong with a probability of 0 to 1."""
        self.probability = probability

    def off(self) -> None:
        """Let it go right again."""
        self.probability, self.times = 0.0, 0

    def fires(self, random: Random) -> bool:
        """Say whether it goes wrong this time. While it is off no random number is drawn."""
        if self.times > 0:
            self.times -= 1
            return True
        if self.probability <= 0.0:
            return False
        return self.probability >= 1.0 or random.random() < self.probability


@dataclass(slots=True)
class CallFaults:
    """Faults of one kind of call."""

    request_lost: Fault = field(default_factory=Fault)
    """The request never arrives: no effect, no answer."""
    answer_lost: Fault = field(default_factory=Fault)
    """The call has its effect, but its answer never arrives."""
    slow: Fault = field(default_factory=Fault)
    """The answer takes `Timing.slow` longer."""
    internal: Fault = field(default_factory=Fault)
    """500, as while Redis is down: no effect."""


@dataclass(slots=True)
class Faults:
    """All that can go wrong. What strikes an egress is drawn when it is taken, unless said otherwise."""

    start: CallFaults = field(default_factory=CallFaults)
    stop: CallFaults = field(default_factory=CallFaults)
    list: CallFaults = field(default_factory=CallFaults)
    """ListEgress."""
    rooms: CallFaults = field(default_factory=CallFaults)
    """Every method of RoomService."""

    no_worker: Fault = field(default_factory=Fault)
    """Start: 503 after `Timing.no_worker`."""
    full_worker: Fault = field(default_factory=Fault)
    """Start: taken only after `Timing.full_worker`, then 200."""
    options_refused: Fault = field(default_factory=Fault)
    """Start: 400."""

    never_active: Fault = field(default_factory=Fault)
    """The egress stays STARTING, as in a room without tracks."""
    page_fails: Fault = field(default_factory=Fault)
    """Where a browser is to record a page: it cannot load it, FAILED 400."""
    limit_reached: Fault = field(default_factory=Fault)
    """LIMIT_REACHED at `Timing.session_limit`."""
    host_dies: Fault = field(default_factory=Fault)
    """The worker's host dies `Timing.death` after the start."""
    host_suspended: Fault = field(default_factory=Fault)
    """The worker's host seems to die `Timing.death` after the start, and goes on after `Timing.standstill`."""
    handler_dies: Fault = field(default_factory=Fault)
    """The egress's process dies `Timing.death` after the start."""
    handler_frozen: Fault = field(default_factory=Fault)
    """The egress's process stands still `Timing.death` after the start, and goes on after `Timing.standstill`."""
    worker_ends_it: Fault = field(default_factory=Fault)
    """The worker ends the egress `Timing.death` after the start: COMPLETE, "End reason: CPU exhausted"."""
    record_lost: Fault = field(default_factory=Fault)
    """The server forgets the egress `Timing.death` after the start, as when Redis was emptied."""
    recorders_hidden: Fault = field(default_factory=Fault)
    """Drawn at each read of a room: its recorders are not shown."""

    update_coalesced: Fault = field(default_factory=Fault)
    """Drawn at ACTIVE and ENDING: the update is swallowed by the next one."""
    upload_fails: Fault = field(default_factory=Fault)
    """Drawn at the upload of the file: FAILED 400, it is not stored."""
    upload_late: Fault = field(default_factory=Fault)
    """Drawn at the end: what is stored then comes `Timing.late_upload` later."""
    backup_storage: Fault = field(default_factory=Fault)
    """Drawn at each upload: this and all that follow of the same output go to the worker's backup storage."""
    duration_short: Fault = field(default_factory=Fault)
    """Drawn at the file's upload, where a browser recorded: it is longer than `duration` by `Timing.surplus`."""
    failed_after_complete: Fault = field(default_factory=Fault)
    """Drawn at COMPLETE: a FAILED follows."""

    webhook_lost: Fault = field(default_factory=Fault)
    """Drawn for each event: nobody gets it."""
    webhook_late: Fault = field(default_factory=Fault)
    """Drawn for each event and URL: held back by `Timing.late_webhook`, and with it those that follow."""
    webhook_doubled: Fault = field(default_factory=Fault)
    """Drawn for each event and URL: sent twice."""
    webhook_reordered: Fault = field(default_factory=Fault)
    """Drawn for each event and URL: overtaken by those that follow."""
    webhook_status_unknown: Fault = field(default_factory=Fault)
    """Drawn for each event: its status is a word that no client knows."""

    def by_name(self) -> dict[str, Fault]:
        """Give every fault by its name, such as `no_worker` and `start.answer_lost`."""
        named: dict[str, Fault] = {}
        for group in fields(self):
            value: Fault | CallFaults = getattr(self, group.name)
            if isinstance(value, Fault):
                named[group.name] = value
            else:
                named |= {f"{group.name}.{fault.name}": getattr(value, fault.name) for fault in fields(value)}
        return named

    def off(self) -> None:
        """Switch everything off."""
        for fault in self.by_name().values():
            fault.off()
