"""How long things take, as measured on a real LiveKit server and egress worker."""

from dataclasses import dataclass, fields, replace
from random import Random
from typing import Self

MILLISECOND = 1_000_000
SECOND = 1_000 * MILLISECOND


@dataclass(frozen=True, slots=True)
class Delay:
    """A span of time in nanoseconds, drawn evenly between `low` and `high`."""

    low: int
    high: int

    def draw(self, random: Random) -> int:
        """Draw a length in nanoseconds; a fixed one costs no random number."""
        return self.low if self.low == self.high else random.randint(self.low, self.high)


def milliseconds(low: float, high: float | None = None) -> Delay:
    """Make a delay from milliseconds; fixed without `high`."""
    return Delay(int(low * MILLISECOND), int((low if high is None else high) * MILLISECOND))


def seconds(low: float, high: float | None = None) -> Delay:
    """Make a delay from seconds; fixed without `high`."""
    return milliseconds(low * 1000, None if high is None else high * 1000)


@dataclass(frozen=True, slots=True)
class Timing:
    """Every delay of the stand-in. The defaults are what was measured."""

    accept: Delay = milliseconds(505, 520)
    """From a start request to the moment when a worker has taken it: the egress exists from then on."""
    refuse: Delay = milliseconds(504, 508)
    """From a start request to the worker's refusal of its options."""
    no_worker: Delay = seconds(20, 24)
    """From a start request to the answer that no worker took it."""
    full_worker: Delay = seconds(13.5, 14)
    """From a start request to the moment when a full worker has taken it after all."""
    answer: Delay = milliseconds(30, 70)
    """From the taking of a start to its answer."""
    lookup: Delay = milliseconds(1, 5)
    """A call that only reads or writes the server's records."""
    slow: Delay = seconds(30)
    """What the fault `slow` adds to an answer."""

    begin: Delay = milliseconds(25, 75)
    """From the taking to the handler's own `started_at`."""
    join: Delay = milliseconds(60, 100)
    """From the taking to the recorder's presence in the room."""
    join_web: Delay = milliseconds(1950, 2050)
    """The same where a browser records."""
    active: Delay = milliseconds(290, 360)
    """From the taking to ACTIVE for a track or an audio-only composite."""
    active_encoded: Delay = milliseconds(1400, 1500)
    """The same for a track composite or a participant."""
    active_web: Delay = milliseconds(4200, 4300)
    """The same where a browser records."""
    media: Delay = milliseconds(40, 80)
    """How long before ACTIVE the first sample was written: the start of the file."""
    source_missing: Delay = seconds(30.1)
    """From the taking to FAILED where the track or the participant never appears."""

    stop: Delay = milliseconds(5, 15)
    """A stop that reaches the handler."""
    stop_unreachable: Delay = milliseconds(3003, 3008)
    """A stop of an egress that ended, died or never existed."""
    stop_waiting: Delay = milliseconds(15005, 15010)
    """A stop of an egress that still waits for its track or participant."""
    stop_early: Delay = milliseconds(65, 75)
    """A stop that comes before the recorder has joined the room."""
    publish: Delay = milliseconds(15, 25)
    """From the handler's change by a stop or a closed room to the server's record and the webhook."""
    leave: Delay = milliseconds(20, 30)
    """From ENDING to the recorder's absence from the room."""
    drain: Delay = milliseconds(10, 25)
    """From ENDING to the last sample of the file."""
    finalise: Delay = milliseconds(30, 50)
    """From ENDING to the upload."""
    recorder_timeout: Delay = seconds(21, 25)
    """From the death of a worker's host to the recorder's absence from the room."""
    session_limit: Delay = seconds(10)
    """From ACTIVE to LIMIT_REACHED where that fault is on."""

    room_departure: Delay = seconds(20)
    """From the last participant's departure to the closing of the room."""
    keep_ended: Delay = seconds(24 * 60 * 60)
    """How long an ended egress stays on record."""

    death: Delay = seconds(1, 60)
    """From the taking to the host's or handler's death, or the loss of the record, where such a fault is on."""
    late_upload: Delay = seconds(120)
    """What the fault `upload_late` adds before the upload."""
    late_webhook: Delay = seconds(60)
    """How long the faults `webhook_late` and `webhook_reordered` hold an event back."""
    second_end: Delay = seconds(1)
    """From COMPLETE to the FAILED that the fault `failed_after_complete` adds."""

    def scaled(self, factor: float) -> Self:
        """Multiply every delay but `keep_ended` by `factor`."""
        return replace(
            self,
            **{
                field.name: Delay(int(delay.low * factor), int(delay.high * factor))
                for field in fields(self)
                if field.name != "keep_ended" and (delay := getattr(self, field.name))
            },
        )
