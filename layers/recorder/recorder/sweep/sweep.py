"""The sweep: settles what webhooks missed, and leaves nothing unowned.

It leases the rows that are due, so that two sweeps never handle the same one, gathers the evidence for all of them
in few calls, and lets `domain.verdict.judge` decide. An error of LiveKit is never evidence: the row comes again.
Every step may be cut off at any point, and ends by itself when time runs short; the next sweep goes on from what is
stored.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from recorder.domain import lifecycle
from recorder.sweep import deadlines, finals, live, orphans, outbox, takes
from recorder.sweep.context import BATCH, Context, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recorder.domain.recording import Recording
    from recorder.usecases.ports import Adapters


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of a sweep: how many of each outcome, and how far it is behind afterwards."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    finished: bool = True
    """Whether all that was due was handled in time."""
    oldest_due_seconds: float = 0.0
    unpublished_events: int = 0


class Sweep:
    """Makes the table true."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def run(self, seconds_left: Callable[[], float], *, waits: float) -> Summary:
        """Handle all that is due, oldest first, while `seconds_left` lasts.

        For deadlines that come meanwhile it waits, also `waits` seconds longer.

        Raises DatabaseUnavailableError; everything else that fails is counted, logged and left for the next sweep.
        """
        context = Context(self._adapters, seconds_left, waits, self._adapters.clock.now())
        finished = _settle_due(context)
        if context.listing is not None:
            finished = orphans.settle(context, context.listing) and finished
        outbox.publish(context)
        if deadlines.keep(context):
            outbox.publish(context)
        return _summary(context, finished=finished)


def _settle_due(context: Context) -> bool:
    """Tell whether all that was due was handled in time; what was not is leased, and due again soon."""
    while leased := _lease(context):
        batch = _expire(context, leased)
        if context.listing is not None:
            recording = [each for each in batch if each.live and not each.between_takes]
            live.settle(context, recording, context.listing)
        takes.settle(context, [each for each in batch if each.live and each.between_takes])
        finals.settle(context, [each for each in batch if not each.live])
        if context.over:
            return False
    return not context.cut_short


def _expire(context: Context, leased: Sequence[Recording]) -> list[Recording]:
    """Delete the recordings whose time is over, and with that stop those that are live; leave out what has moved on."""
    kept: list[Recording] = []
    for recording in leased:
        with context.each(recording.id):
            deleted = (
                lifecycle.mark_deleted(recording, context.now) if recording.expired(context.now) else None
            )
            saved = recording if deleted is None else context.ledger.save(recording, deleted)
            if saved is None:
                context.outcomes[Outcome.OVERTAKEN] += 1
            else:
                kept.append(saved)
    return kept


def _lease(context: Context) -> list[Recording]:
    listed, now = context.listing is not None, context.now
    until = now + context.adapters.policy.sweep_interval
    return context.adapters.repository.lease(now, until, BATCH, refreshed_at=now if listed else None)


def _summary(context: Context, *, finished: bool) -> Summary:
    now = context.now
    backlog = context.adapters.repository.backlog(now)
    behind = (now - backlog.oldest_due_at).total_seconds() if backlog.oldest_due_at else 0.0
    return Summary(context.outcomes, finished, behind, backlog.events)
