"""Final recordings: what is left of them is stopped, removed, found or forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.domain import lifecycle, takes
from recorder.domain.egress import EgressSnapshot, EgressStatus
from recorder.domain.verdict import Handler
from recorder.errors import EgressNotAskedError, EgressUnansweredError, StorageUnavailableError
from recorder.sweep.context import Outcome
from recorder.telemetry import Code, count, log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from uuid import UUID

    from recorder.domain.recording import Recording
    from recorder.sweep.context import ActiveListing, Context
    from recorder.usecases.ports import Answer


def settle(context: Context, recordings: Sequence[Recording]) -> None:
    """Stop egress that run although their recordings are final, and remove, find or forget what those left.

    Neither trouble with LiveKit nor with S3 keeps the one from being done without the other.
    """
    listed: dict[UUID, Sequence[str]] = {
        recording.id: _running(recording, context.listing) for recording in recordings
    }
    running = listed | _returned(context, [each for each in recordings if not listed[each.id]])
    rooms = {
        egress_id: recording.room or "" for recording in recordings for egress_id in running[recording.id]
    }
    dead = _dead(context, rooms)
    wanted: dict[str, UUID] = {}
    for recording in recordings:
        for egress_id in running[recording.id]:
            if egress_id not in dead:
                log.warning(Code.STILL_RUNNING, recording_id=recording.id, egress_id=egress_id)
                wanted[egress_id] = recording.id
    stopped = context.stop(wanted)
    gone = _gone_while_ending(context, recordings)
    for recording in recordings:
        if context.over:
            return
        with context.each(recording.id):
            answers = {each: stopped[each] for each in running[recording.id] if each in stopped}
            asked = not any(isinstance(answer, EgressNotAskedError) for answer in answers.values())
            lingers = len(answers) < len(running[recording.id]) or recording.id in gone
            outcome = _settle(context, recording, answers, lingers=lingers) if asked else Outcome.POSTPONED
            context.outcomes[outcome] += 1


def _running(recording: Recording, listing: ActiveListing | None) -> list[str]:
    """Return the egress of a final recording that ought to have ended."""
    listed = listing.by_recording.get(recording.id, ()) if listing is not None else ()
    if not listed and recording.egress_id is not None and recording.reported_after_failure:
        # It may run although LiveKit does not list it.
        return [recording.egress_id]
    return [each.egress_id for each in listed if each.status is not EgressStatus.ENDING]


def _returned(context: Context, recordings: Sequence[Recording]) -> dict[UUID, Sequence[str]]:
    """Return the egress that we gave up, and that live although LiveKit does not list them."""
    given_up = {each.id: each.may_come_back(context.now) for each in recordings}
    alive = context.alive(
        {egress_id: each.room or "" for each in recordings for egress_id in given_up[each.id]}
    )
    return {
        recording_id: returned
        for recording_id, egress_ids in given_up.items()
        if (returned := [egress_id for egress_id in sorted(egress_ids) if egress_id in alive])
    }


def _dead(context: Context, rooms: Mapping[str, str]) -> frozenset[str]:
    """Return the egress, of those given with their rooms, that their rooms deny and whose handlers are silent.

    LiveKit lists a dead worker's egress as running for ever: it need not be asked to end.
    """
    denied = [egress_id for egress_id, shown in context.shown(rooms).items() if not shown]
    handlers = context.ask_handlers(denied)
    return frozenset(egress_id for egress_id in denied if handlers[egress_id] is Handler.SILENT)


def _gone_while_ending(context: Context, recordings: Sequence[Recording]) -> frozenset[UUID]:
    """Return the recordings of which an egress is listed as ending, and will be for ever: its host died meanwhile."""
    listed = context.listing.by_recording if context.listing is not None else {}
    ending = {
        each.egress_id: recording.id
        for recording in recordings
        if context.now >= recording.status_at + context.adapters.policy.stopping_timeout
        for each in listed.get(recording.id, ())
        if each.status is EgressStatus.ENDING
    }
    handlers = context.ask_handlers(ending)
    return frozenset(
        recording_id for egress_id, recording_id in ending.items() if handlers[egress_id] is Handler.SILENT
    )


def _settle(
    context: Context, recording: Recording, answers: Mapping[str, Answer], *, lingers: bool
) -> Outcome:
    """`answers` are those of egress that were asked to end; a dead one that `lingers` on the listing needs no haste."""
    for answer in answers.values():
        if isinstance(answer, EgressSnapshot):
            recording = context.ledger.apply(recording, answer)
    unanswered = any(isinstance(answer, EgressUnansweredError) for answer in answers.values())
    listed = context.listing is not None and recording.id in context.listing.by_recording
    running, settled = listed or unanswered, not (unanswered or (listed and lingers))
    looks = recording.deleted_at is not None or recording.late_upload_until is not None
    if looks and context.storage_failed:
        return Outcome.POSTPONED
    after: Recording | None = recording
    outcome, failed = Outcome.POSTPONED, unanswered
    try:
        after, outcome = _clear(context, recording, running=running)
    except StorageUnavailableError:
        context.storage_failed, settled, failed = True, False, True
        if recording.deleted_at is not None:
            count("ObjectsNotRemoved")
    if after is None:
        return outcome
    if failed:
        log.warning(Code.SETTLE_POSTPONED, recording_id=recording.id)
        outcome = Outcome.POSTPONED
    cleared = lifecycle.clear_reminders(
        after, context.adapters.policy, context.now, running=running, settled=settled, urgent=unanswered
    )
    return _save(context, recording, cleared, outcome)


def _save(context: Context, before: Recording, after: Recording, outcome: Outcome) -> Outcome:
    changed = outcome is Outcome.LATE_FILE_FOUND or _reminders(before) != _reminders(after)
    if not changed and before.may_come_back(context.now):
        # The lease makes it due again within a minute.
        return Outcome.UNCHANGED
    return outcome if context.ledger.save(before, after) is not None else Outcome.OVERTAKEN


def _reminders(recording: Recording) -> tuple[object, ...]:
    return recording.late_upload_until, recording.idempotency_key, recording.attempts


def _clear(context: Context, recording: Recording, *, running: bool) -> tuple[Recording | None, Outcome]:
    """Empty a deleted recording's folder, or look there for a file that came late; None: the row is gone too."""
    now, storage = context.now, context.adapters.storage
    if recording.refused:
        # Nothing was started, so nothing was stored: what is left is the answer to an idempotency key.
        return recording, Outcome.CLEARED
    if recording.deleted_at is not None:
        storage.delete(recording)
        over = not running and not recording.awaits_upload(now)
        if over and context.adapters.repository.remove(recording):
            return None, Outcome.REMOVED
        return recording, Outcome.EMPTIED
    if recording.parts_kept:
        # They go a while after the end, and again once no lost worker can come back with more of them; one that is
        # listed for ever is not waited for.
        ended_lately = now < recording.status_at + 2 * context.adapters.policy.sweep_interval
        if ended_lately or recording.attempts or not recording.may_come_back(now):
            context.adapters.hints.assemble(recording.id)
        if not takes.is_one_take(recording):
            return recording, Outcome.CLEARED
    if recording.late_upload_until is not None:
        file = storage.find(recording)
        settled = lifecycle.complete_from_file(recording, file, now) or recording
        return settled, Outcome.CLEARED if file is None else Outcome.LATE_FILE_FOUND
    return recording, Outcome.CLEARED
