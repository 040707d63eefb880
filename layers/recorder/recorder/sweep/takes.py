"""Live recordings of which nothing records now: paused ones, and those that wait for a take, a report or a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.domain import lifecycle, takes
from recorder.domain.egress import EgressSnapshot
from recorder.domain.recording import Status, StopReason
from recorder.sweep.context import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from recorder.domain.recording import Recording
    from recorder.sweep.context import ActiveListing, Context
    from recorder.usecases.ports import Answer


def settle(context: Context, recordings: Sequence[Recording]) -> None:
    """Take in late reports, end what has waited for too long, and call the functions that do the rest."""
    reports = _reports(context, recordings, context.listing) if context.listing is not None else {}
    for recording in recordings:
        with context.each(recording.id):
            current = recording
            for take in recording.takes:
                report = reports.get(take.egress_id or "")
                if not take.reported and isinstance(report, EgressSnapshot):
                    current = context.ledger.take_in(current, report)
            context.outcomes[_settle(context, current)] += 1


def _reports(
    context: Context, recordings: Sequence[Recording], listing: ActiveListing
) -> Mapping[str, Answer]:
    """Return LiveKit's reports of the ended takes whose end it has not reported."""
    awaited = {
        take.egress_id
        for recording in recordings
        for take in recording.takes
        if not take.reported and take.egress_id is not None
    }
    missing = awaited - set(listing.by_id)
    found = context.adapters.egress.find_many(missing, seconds=context.seconds) if missing else {}
    return found | {each: listing.by_id[each] for each in awaited - missing}


def _settle(context: Context, recording: Recording) -> Outcome:
    now, policy = context.now, context.adapters.policy
    outcome = Outcome.UNCHANGED
    if not recording.live or not recording.between_takes:
        outcome = Outcome.OVERTAKEN
    elif recording.status is Status.PAUSED:
        if now >= recording.status_at + policy.pause_timeout:
            context.ledger.change(
                recording, lambda row: lifecycle.request_stop(row, StopReason.PAUSE_TIMEOUT, now)
            )
            outcome = Outcome.PAUSE_ENDED
    elif takes.waits_for_take(recording) or takes.reopening(recording):
        context.adapters.hints.begin_take(recording.id)
        outcome = Outcome.TAKE_CALLED
    elif takes.awaits_reports(recording):
        if now >= recording.status_at + policy.stopping_timeout:
            context.ledger.change(recording, lambda row: takes.give_up_reports(row, now))
            outcome = Outcome.GIVEN_UP
    else:
        context.adapters.hints.assemble(recording.id)
        outcome = Outcome.ASSEMBLING_CALLED
    return outcome
