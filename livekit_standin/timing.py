"""How long things take, as measured on a real LiveKit server and egress worker."""

from dataclasses import dataclass, fields, replace
from random import Random
from typing import Self

SECOND = 1_000_000_000
"""In ns."""


@dataclass(frozen=True, slots=True)
class Delay:
    """A span of time, drawn evenly between `low` and `high` seconds; without `high` it is fixed."""

    low: float
    high: float | None = None

    def draw(self, random: Random) -> int:
        """Draw a length in ns; a fixed one costs no random number."""
        chosen = self.low if self.high is None else random.uniform(self.low, self.high)
        return int(chosen * SECOND)

    def scaled(self, factor: float) -> Self:
        """Give the same span, `factor` times as long."""
        return replace(self, low=self.low * factor, high=None if self.high is None else self.high * factor)


@dataclass(frozen=True, slots=True)
class Timing:
    """Every delay of the stand-in. The defaults are as measured, but for the last eight, which are those of faults."""

    accept: Delay = Delay(0.505, 0.520)
    """From a start request to the moment when a worker has taken it: the egress exists from then on."""
    refuse: Delay = Delay(0.504, 0.508)
    """From a start request to the worker's refusal of its options."""
    no_worker: Delay = Delay(20, 24)
    """From a start request to the answer that no worker took it."""
    full_worker: Delay = Delay(13.5, 14)
    """From a start request to the moment when a full worker has taken it after all."""
    answer: Delay = Delay(0.030, 0.070)
    """From the taking of a start to its answer."""
    lookup: Delay = Delay(0.001, 0.005)
    """A call that only reads or writes the server's records."""

    begin: Delay = Delay(0.025, 0.075)
    """From the taking to the handler's own `started_at`."""
    join: Delay = Delay(0.060, 0.100)
    """From the taking to the recorder's presence in the room."""
    join_web: Delay = Delay(1.95, 2.05)
    """The same where a browser records."""
    active: Delay = Delay(0.290, 0.360)
    """From the taking to ACTIVE for a track or an audio-only composite."""
    active_encoded: Delay = Delay(1.4, 1.5)
    """The same for a track composite or a participant."""
    active_web: Delay = Delay(4.2, 4.3)
    """The same where a browser records."""
    media: Delay = Delay(0.040, 0.080)
    """How long before ACTIVE the first sample of a track was written: the start of the file."""
    media_audio: Delay = Delay(0.140, 0.150)
    """The same for what is sound only."""
    media_encoded: Delay = Delay(1.13, 1.20)
    """The same where a picture is encoded that no browser shows."""
    segment: Delay = Delay(0.05, 0.15)
    """From the time when a segment is whole to its upload."""
    first_image: Delay = Delay(0.30, 0.45)
    """From ACTIVE to the upload of the first image."""
    image: Delay = Delay(0.15, 0.25)
    """From the time of another image to its upload."""
    source_missing: Delay = Delay(29.8)
    """From the time when it should have been ACTIVE to FAILED where its track or participant is missing."""

    stop: Delay = Delay(0.005, 0.015)
    """A stop that reaches the handler."""
    stop_unreachable: Delay = Delay(3.003, 3.008)
    """A stop of an egress that ended, died or never existed."""
    silence: Delay = Delay(15.005, 15.010)
    """A call to a handler that is there and does not answer: it waits for its track or participant, or stands still."""
    stop_early: Delay = Delay(0.065, 0.075)
    """A stop that comes before the recorder has joined the room."""
    ping: Delay = Delay(0.004, 0.046)
    """An update of streams that reaches the handler."""
    ping_early: Delay = Delay(0.45, 0.55)
    """The same before the recorder has joined the room."""
    linger: Delay = Delay(0.050)
    """How long the process of an egress that has ended still answers updates of streams."""
    publish: Delay = Delay(0.015, 0.025)
    """From the handler's change by a stop or a closed room to the server's record and the webhook."""
    leave: Delay = Delay(0.020, 0.030)
    """From ENDING to the recorder's absence from the room."""
    drain: Delay = Delay(0.010, 0.025)
    """From ENDING to the last sample of the file."""
    finalise: Delay = Delay(0.030, 0.050)
    """From ENDING to the upload."""
    recorder_timeout: Delay = Delay(21, 25)
    """From the death of a worker's host to the recorder's absence from the room."""
    room_departure: Delay = Delay(20)
    """From the last participant's departure to the closing of the room."""
    patience: Delay = Delay(61, 62)
    """From the death of LiveKit's server to the moment when a worker gives its egresses up."""
    reconnect: Delay = Delay(3.5, 4.1)
    """From the server's return to that of the recorders."""
    catch_up: Delay = Delay(0.1, 14)
    """From the server's return to the updates that it missed."""
    keep_ended: Delay = Delay(24 * 60 * 60)
    """How long an ended egress stays on record."""

    slow: Delay = Delay(30)
    """The time that the fault `slow` adds to an answer."""
    session_limit: Delay = Delay(10)
    """From ACTIVE to LIMIT_REACHED where that fault is on."""
    surplus: Delay = Delay(0.1, 1.8)
    """The time that the fault `duration_short` leaves out."""
    death: Delay = Delay(1, 60)
    """From the taking to what strikes a host, a handler or a record, where such a fault is on."""
    standstill: Delay = Delay(30, 600)
    """How long the faults `host_suspended` and `handler_frozen` last."""
    late_upload: Delay = Delay(120)
    """The time that the fault `upload_late` adds before the upload."""
    late_webhook: Delay = Delay(60)
    """How long the faults `webhook_late` and `webhook_reordered` hold an event back."""
    second_end: Delay = Delay(1)
    """From COMPLETE to the FAILED that the fault `failed_after_complete` adds."""

    def scaled(self, factor: float) -> Self:
        """Multiply every delay but `keep_ended` by `factor`."""
        delays: dict[str, Delay] = {field.name: getattr(self, field.name) for field in fields(self)}
        del delays["keep_ended"]
        return replace(self, **{name: delay.scaled(factor) for name, delay in delays.items()})
