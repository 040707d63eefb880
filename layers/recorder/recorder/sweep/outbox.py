"""The events that wait to be published."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from recorder.sweep.context import Outcome
from recorder.telemetry import Code, log

if TYPE_CHECKING:
    from recorder.sweep.context import Context

EVENTS: Final = 100
_LEASE: Final = timedelta(seconds=60)
_RESERVE_SECONDS: Final = 1.0


def publish(context: Context) -> None:
    """Publish what waits, in order per recording, while there is time."""
    repository, events = context.adapters.repository, context.adapters.events
    if events is None:
        return
    while context.seconds_left > _RESERVE_SECONDS:
        now = context.now
        waiting = repository.lease_events(now, now + _LEASE, EVENTS)
        if not waiting:
            return
        published = events.publish(waiting)
        if published:
            repository.delete_events(published)
            context.outcomes[Outcome.PUBLISHED] += len(published)
        if len(published) < len(waiting):
            left = len(waiting) - len(published)
            log.warning(Code.EVENTS_NOT_PUBLISHED, count=left)
            context.outcomes[Outcome.UNPUBLISHED] += left
            return
