"""Final recordings: what is left of them is stopped, removed, found or forgotten."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.domain import lifecycle
from recorder.domain.egress import EgressSnapshot, EgressStatus
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
    running = {recording.id: _running(recording, context.listing) for recording in recordings}
    wanted: dict[str, UUID] = {}
    rooms: dict[str, str] = {}
    for recording in recordings:
        for egress_id in running[recording.id]:
            log.warning(Code.SURVIVOR, recording_id=recording.id, egress_id=egress_id)
            wanted[egress_id], rooms[egress_id] = recording.id, recording.room_name
    dead = _denied(context, rooms)
    stopped = context.stop(wanted, dead)
    for recording in recordings:
        if context.over:
            return
        with context.each(recording):
            answers = {egress_id: stopped[egress_id] for egress_id in running[recording.id]}
            asked = not any(isinstance(answer, EgressNotAskedError) for answer in answers.values())
            outcome = _settle(context, recording, answers, dead) if asked else Outcome.POSTPONED
            context.outcomes[outcome] += 1


def _running(recording: Recording, listing: ActiveListing | None) -> list[str]:
    """Return the egress of a final recording that ought to have ended."""
    listed = listing.by_recording.get(recording.id, ()) if listing is not None else ()
    if not listed and recording.egress_id is not None and recording.reported_after_failure:
        # It may run although LiveKit does not list it.
        return [recording.egress_id]
    return [each.egress_id for each in listed if each.status is not EgressStatus.ENDING]


def _denied(context: Context, rooms: Mapping[str, str]) -> frozenset[str]:
    """Return the egress, of those given with their rooms, that the rooms do not show.

    A dead worker's egress stays listed for ever: it need not be asked all the time to end.
    """
    open_rooms = context.open_rooms(set(rooms.values())) if rooms else None
    if open_rooms is None:
        return frozenset()
    shown = {
        name: context.recorders(name) if room.recorded else frozenset[str]()
        for name, room in open_rooms.items()
    }
    nobody = frozenset[str]()
    return frozenset(
        egress_id
        for egress_id, room in rooms.items()
        if (recorders := shown.get(room, nobody)) is not None and egress_id not in recorders
    )


def _settle(
    context: Context, recording: Recording, answers: Mapping[str, Answer], dead: frozenset[str]
) -> Outcome:
    """`answers` are those of the egress that ought to have ended; the `dead` among them need no haste."""
    now, policy, listing = context.now, context.adapters.policy, context.listing
    if recording.deleted_at is None and recording.expired(now):
        expired = context.ledger.save(recording, lifecycle.mark_deleted(recording, now) or recording)
        if expired is None:
            return Outcome.OVERTAKEN
        recording = expired
    for answer in answers.values():
        if isinstance(answer, EgressSnapshot):
            recording = context.ledger.apply(recording, answer)
    listed = listing is not None and recording.id in listing.by_recording
    unanswered = {each for each, answer in answers.items() if isinstance(answer, EgressUnansweredError)}
    settled, running = not unanswered, listed or bool(unanswered)
    looks = recording.deleted_at is not None or recording.late_upload_until is not None
    if looks and context.storage_failed:
        return Outcome.POSTPONED
    after: Recording | None = recording
    outcome = Outcome.POSTPONED
    try:
        after, outcome = _clear(context, recording, running=running)
    except StorageUnavailableError:
        context.storage_failed, settled = True, False
        if recording.deleted_at is not None:
            count("ObjectsNotRemoved")
    if after is None:
        return outcome
    if not settled:
        log.warning(Code.SETTLE_POSTPONED, recording_id=recording.id)
        outcome = Outcome.POSTPONED
    urgent = bool(unanswered - dead)
    cleared = lifecycle.clear_reminders(after, policy, now, running=running, settled=settled, urgent=urgent)
    return outcome if context.ledger.save(recording, cleared) is not None else Outcome.OVERTAKEN


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
    if recording.late_upload_until is not None:
        file = storage.find(recording)
        if file is not None:
            found = lifecycle.complete_from_file(recording, file, now)
            return found or recording, Outcome.LATE_FILE_FOUND
    return recording, Outcome.CLEARED
