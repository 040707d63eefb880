"""Recordings that reach their longest duration before the next sweep would see it.

A sweep comes once a minute, so it waits in its own run for the deadlines that fall into the minute.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from recorder.domain.lifecycle import request_stop
from recorder.domain.recording import Status, StopReason
from recorder.domain.schedule import earliest_end, max_duration_ends_at
from recorder.sweep import live
from recorder.sweep.context import BATCH, Outcome

if TYPE_CHECKING:
    from uuid import UUID

    from recorder.domain.recording import Recording
    from recorder.sweep.context import Context

HORIZON: Final = timedelta(seconds=65)
"""How long after its beginning a sweep keeps deadlines: the next one begins a minute after it, or a little later."""
_LOOK_SECONDS: Final = 1.0
"""Between two looks at what has begun meanwhile."""


def keep(context: Context) -> bool:
    """Wait for deadlines, and stop each recording at its own; tell whether there was any to stop."""
    until, context.waiting = context.began_at + HORIZON, True
    stopped: set[UUID] = set()
    while context.now < until and context.seconds_left > 0:
        # A row that this sweep has just handled is due a whole interval from now.
        due = max(until, context.now + context.adapters.policy.sweep_interval)
        limited = context.adapters.repository.limited(due, BATCH)
        # One that cannot be stopped is left to the next sweep.
        waiting = [
            each
            for each in limited
            if each.id not in stopped and (earliest_end(each, context.now) or until) < until
        ]
        if not waiting:
            break
        over = [each for each in waiting if _seconds_until_end(context, each) <= 0]
        if over:
            stopped.update(each.id for each in over)
            _stop(context, over)
            continue
        live.look_up(context, [each for each in waiting if each.status is not Status.ACTIVE])
        pause = min(_seconds_until_end(context, each) for each in waiting)
        context.adapters.clock.sleep(max(0.0, min(pause, _LOOK_SECONDS)))
    return bool(stopped)


def _seconds_until_end(context: Context, recording: Recording) -> float:
    ends_at = max_duration_ends_at(recording)
    if ends_at is None or recording.status is not Status.ACTIVE:
        # It counts from when it begins.
        return _LOOK_SECONDS
    return (ends_at - context.now).total_seconds()


def _stop(context: Context, recordings: list[Recording]) -> None:
    stopping: list[Recording] = []
    for recording in recordings:
        with context.each(recording.id):
            wished = request_stop(recording, StopReason.MAX_DURATION, context.now)
            saved = context.ledger.save(recording, wished) if wished is not None else None
            if saved is not None:
                stopping.append(saved)
            context.outcomes[Outcome.STOPPING if saved is not None else Outcome.OVERTAKEN] += 1
    live.stop(context, stopping)
