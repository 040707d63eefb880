"""Live recordings: what LiveKit's listing, the rooms and the handlers say of them is judged and carried out."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from recorder.domain import lifecycle, verdict
from recorder.domain.egress import ENDING, EgressSnapshot, EgressStatus
from recorder.domain.recording import Status
from recorder.domain.verdict import Evidence, Handler, Judgement, Presence, Step
from recorder.errors import (
    DatabaseBusyError,
    EgressEndedError,
    EgressNotAskedError,
    EgressNotFoundError,
    EgressUnansweredError,
    StatementRefusedError,
    StorageUnavailableError,
)
from recorder.sweep.context import Outcome
from recorder.telemetry import Code, log

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from uuid import UUID

    from recorder.domain.egress import OpenRoom
    from recorder.domain.recording import Recording
    from recorder.sweep.context import ActiveListing, Context
    from recorder.usecases.ports import Answer

type _Standing = tuple[Recording, EgressStatus | None]
"""A recording that its report leaves live, with the status that the report gives; None where none exists."""

_ENDED: Final = {Status.COMPLETED: Outcome.COMPLETED, Status.FAILED: Outcome.FAILED}


def settle(context: Context, recordings: Sequence[Recording], listing: ActiveListing) -> None:
    """Bring LiveKit's reports into live recordings, and judge those that are live afterwards."""
    standing = _apply_reports(context, recordings, listing)
    evidence = _evidence(context, standing, listing)
    stops: list[Recording] = []
    noted: list[tuple[Recording, Recording]] = []
    unheard: list[tuple[Recording, Judgement]] = []
    for recording, _ in standing:
        with context.each(recording.id):
            said = evidence[recording.id]
            judgement = verdict.judge(recording, said, context.now, context.adapters.policy)
            if judgement.final and said.doubtful and said.handler is not Handler.SILENT:
                unheard.append((recording, judgement))
                continue
            if _only_notes(recording, judgement):
                noted.append((recording, judgement.recording))
                continue
            saved = _carry_out(context, recording, judgement)
            if judgement.step is Step.STOP and saved is not None:
                stops.append(saved)
    _save_notes(context, noted)
    stop(context, stops)
    _stop_and_conclude(context, unheard)


def _apply_reports(
    context: Context, recordings: Sequence[Recording], listing: ActiveListing
) -> list[_Standing]:
    reports = _reports(context, recordings, listing)
    standing: list[_Standing] = []
    for recording in recordings:
        with context.each(recording.id):
            report = reports[recording.id]
            if isinstance(report, EgressSnapshot):
                applied = context.ledger.apply(recording, report)
                context.matched.add(report.egress_id)
                if recording.egress_id is None:
                    context.outcomes[Outcome.ADOPTED] += 1
                if applied.live and not applied.between_takes:
                    standing.append((applied, report.status))
                elif applied.live:
                    # Its next step is due at once, and not a judgement of an egress that has ended.
                    context.outcomes[Outcome.TAKE_ENDED] += 1
                else:
                    context.outcomes[_ENDED[Status(applied.status)]] += 1
            elif isinstance(report, EgressNotFoundError):
                standing.append((recording, None))
            else:
                context.outcomes[Outcome.LOOKUP_UNANSWERED] += 1
    return standing


def _reports(
    context: Context, recordings: Sequence[Recording], listing: ActiveListing
) -> Mapping[UUID, Answer]:
    """Return LiveKit's report of each recording's egress, from the listing or else by a look-up."""
    reports: dict[UUID, Answer] = {}
    missing: dict[UUID, str] = {}
    for recording in recordings:
        if recording.egress_id is None:
            known = _of_current_take(recording, listing.by_recording.get(recording.id, ()))
            reports[recording.id] = known or _search_room(context, recording)
        elif recording.egress_id in listing.by_id:
            reports[recording.id] = listing.by_id[recording.egress_id]
        else:
            missing[recording.id] = recording.egress_id
    if missing:
        # Rows that were taken over may share an egress.
        found = context.adapters.egress.find_many(set(missing.values()), seconds=context.seconds)
        reports |= {recording_id: found[egress_id] for recording_id, egress_id in missing.items()}
    return reports


def _search_room(context: Context, recording: Recording) -> Answer:
    """Look for the egress of a recording that lost Start's answer: it may have ended by now."""
    if context.over:
        return EgressNotAskedError(recording.room_name)
    try:
        found = _of_current_take(recording, context.adapters.egress.list_room(recording.room or ""))
    except EgressUnansweredError as error:
        return error
    return found or EgressNotFoundError(recording.room_name)


def _of_current_take(recording: Recording, snapshots: Iterable[EgressSnapshot]) -> EgressSnapshot | None:
    """Return the egress among these that records the current take of a recording."""
    return next(
        (
            each
            for each in snapshots
            if each.owner is not None
            and (each.owner.recording_id, each.owner.take) == (recording.id, recording.take)
        ),
        None,
    )


def _evidence(
    context: Context, standing: Sequence[_Standing], listing: ActiveListing
) -> Mapping[UUID, Evidence]:
    """Ask the rooms, and where they deny an egress, its handler."""
    evidence = {recording.id: Evidence(listed=status) for recording, status in standing}
    evidence |= _evidence_of_rooms(context, standing, listing)
    now, policy = context.now, context.adapters.policy
    doubted = {
        recording.id: recording.egress_id
        for recording, _ in standing
        if recording.egress_id is not None
        and verdict.asks_handler(recording, evidence[recording.id], now, policy)
    }
    handlers = context.ask_handlers(doubted.values())
    for recording_id, egress_id in doubted.items():
        evidence[recording_id] = evidence[recording_id]._replace(handler=handlers[egress_id])
    return evidence


def _evidence_of_rooms(
    context: Context, standing: Sequence[_Standing], listing: ActiveListing
) -> Mapping[UUID, Evidence]:
    """Return what is said of the egress whose rooms can tell."""
    evidence = {
        recording.id: Evidence(listed=status, presence=Presence.ROOMLESS)
        for recording, status in standing
        if recording.room is None and recording.egress_id is not None and _has_handler(recording, status)
    }
    asked = [
        (recording, status)
        for recording, status in standing
        if recording.room is not None and recording.egress_id is not None and status not in ENDING
    ]
    rooms = context.open_rooms({recording.room_name for recording, _ in asked}) if asked else None
    if rooms is None:
        return evidence
    named = _needing_names(context, asked, rooms, listing)
    shown = context.recorders(each.room_name for each, _ in asked if each.id in named)
    return evidence | {
        recording.id: _evidence_of_room(
            recording, status, _room_of(recording, rooms), shown, named=recording.id in named
        )
        for recording, status in asked
    }


def _has_handler(recording: Recording, status: EgressStatus | None) -> bool:
    """Tell whether a page's handler is to be called: before the page is loaded it gives no answer."""
    return status is not EgressStatus.STARTING or recording.stop_requested_at is not None


def _needing_names(
    context: Context, asked: Sequence[_Standing], rooms: Mapping[str, OpenRoom], listing: ActiveListing
) -> frozenset[UUID]:
    """Return the recordings whose rooms are recorded, and have to say by whom.

    Of a recorded room with one egress, that one is taken to be shown, and now and then made sure of.
    """
    now, policy = context.now, context.adapters.policy
    unlisted = {each.egress_id: each.room_name for each, _ in asked if each.egress_id not in listing.by_id}
    more = Counter(unlisted.values())
    return frozenset(
        each.id
        for each, _ in asked
        if (room := _room_of(each, rooms)) is not None
        and room.recorded
        and (
            listing.rooms[each.room_name] + more[each.room_name] != 1
            or each.egress_id in unlisted
            or verdict.needs_name(each, now, policy)
        )
    )


def _room_of(recording: Recording, rooms: Mapping[str, OpenRoom]) -> OpenRoom | None:
    room = rooms.get(recording.room_name)
    return room if room is not None and recording.room_sid in {None, room.sid} else None


def _evidence_of_room(
    recording: Recording,
    status: EgressStatus | None,
    room: OpenRoom | None,
    shown: Mapping[str, frozenset[str]],
    *,
    named: bool,
) -> Evidence:
    if room is None:
        return Evidence(listed=status, presence=Presence.CLOSED)
    presence = Presence.SHOWN if room.recorded else Presence.ABSENT
    if named:
        presence = _presence(shown.get(recording.room_name), recording.egress_id)
    return Evidence(listed=status, presence=presence, named=named, nothing_published=room.silent)


def _presence(recorders: frozenset[str] | None, egress_id: str | None) -> Presence:
    if recorders is None:
        return Presence.UNKNOWN
    return Presence.SHOWN if egress_id in recorders else Presence.ABSENT


def _carry_out(context: Context, before: Recording, judgement: Judgement) -> Recording | None:
    """Write a judgement, after the look at the file that it asks for; None means that the row has moved on."""
    after, outcome = judgement.recording, Outcome.UNCHANGED
    if judgement.step is Step.LOOK:
        after, outcome = _look(context, judgement)
    elif judgement.step is Step.STOP:
        outcome = Outcome.STOPPING
    saved = before if after is before else context.ledger.save(before, after)
    _count(context, outcome, saved)
    return saved


def _only_notes(before: Recording, judgement: Judgement) -> bool:
    """Tell whether a judgement asks for nothing but that the row has another time in it."""
    after = judgement.recording
    return judgement.step is Step.NONE and after is not before and after.takes == before.takes


def _save_notes(context: Context, noted: Sequence[tuple[Recording, Recording]]) -> None:
    """Write changes of which each minute has many, in one statement; where that is refused, one by one."""
    try:
        saved = context.ledger.save_all(noted)
    except (DatabaseBusyError, StatementRefusedError):
        for before, after in noted:
            with context.each(before.id):
                _count(context, Outcome.UNCHANGED, context.ledger.save(before, after))
        return
    for before, _ in noted:
        _count(context, Outcome.UNCHANGED, saved.get(before.id))


def _count(context: Context, outcome: Outcome, saved: Recording | None) -> None:
    context.outcomes[outcome if saved is not None else Outcome.OVERTAKEN] += 1


def _look(context: Context, judgement: Judgement) -> tuple[Recording, Outcome]:
    recording, now = judgement.recording, context.now
    if context.storage_failed or context.over:
        return recording, Outcome.LOOK_UNANSWERED
    try:
        file = context.adapters.storage.find(recording)
    except StorageUnavailableError:
        context.storage_failed = True
        return recording, Outcome.LOOK_UNANSWERED
    if file is not None:
        completed = lifecycle.complete_from_file(recording, file, now)
        return completed or recording, Outcome.COMPLETED_FROM_FILE
    if not judgement.final:
        return recording, Outcome.DOUBTED
    failed = lifecycle.give_up(recording, judgement.code, now, context.adapters.policy)
    log.warning(
        Code.GIVEN_UP, recording_id=recording.id, egress_id=recording.egress_id, reason=judgement.code
    )
    return failed or recording, Outcome.GIVEN_UP


def stop(context: Context, recordings: Sequence[Recording]) -> None:
    """Stop the egress of recordings whose end was wished, and bring in what LiveKit answers."""
    stopping = [each for each in recordings if each.egress_id is not None and each.live]
    answers = context.stop({each.egress_id: each.id for each in stopping if each.egress_id is not None})
    ended: list[Recording] = []
    for recording in stopping:
        with context.each(recording.id):
            answer = answers[recording.egress_id or ""]
            if isinstance(answer, EgressSnapshot):
                context.ledger.apply(recording, answer)
                context.outcomes[Outcome.STOPPED] += 1
            elif isinstance(answer, EgressEndedError):
                ended.append(recording)
    look_up(context, ended)


def _stop_and_conclude(context: Context, verdicts: Sequence[tuple[Recording, Judgement]]) -> None:
    """Give up egress whose handlers gave no evidence, once they were asked to end: should they live, none runs on."""
    wanted = {each.egress_id: each.id for each, _ in verdicts if each.egress_id is not None}
    answers = context.stop(wanted)
    ended: list[Recording] = []
    for recording, judgement in verdicts:
        with context.each(recording.id):
            answer = answers[recording.egress_id or ""]
            if isinstance(answer, EgressSnapshot):
                context.ledger.apply(recording, answer)
                context.outcomes[Outcome.STOPPED] += 1
            elif isinstance(answer, EgressEndedError):
                ended.append(recording)
            elif not isinstance(answer, EgressNotAskedError):
                _carry_out(context, recording, judgement)
    look_up(context, ended)


def look_up(context: Context, recordings: Sequence[Recording]) -> None:
    """Ask LiveKit for the egress of each, and bring in what it reports."""
    wanted = {each.egress_id for each in recordings if each.egress_id is not None}
    if not wanted:
        return
    found = context.adapters.egress.find_many(wanted, seconds=context.seconds_left / 2)
    for recording in recordings:
        with context.each(recording.id):
            report = found.get(recording.egress_id or "")
            if isinstance(report, EgressSnapshot):
                context.ledger.apply(recording, report)
