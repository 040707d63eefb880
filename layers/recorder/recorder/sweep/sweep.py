"""The sweep: settles whatever webhooks missed, and leaves nothing unowned.

It leases the rows that are due, so that two sweeps never handle the same one, gathers the evidence for all of them
in few calls, and lets `judge` decide. An error of LiveKit is never evidence: the row comes again. Every step
may be cut off at any point, and ends by itself when time runs short; the next sweep goes on from what is stored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from recorder.domain import lifecycle, schedule, verdict
from recorder.domain.egress import ENDING, EgressSnapshot, EgressStatus, OpenRoom
from recorder.domain.recording import LIVE, Recording, Status, StopReason
from recorder.domain.sources import Source
from recorder.domain.verdict import Judgement, Presence, Step
from recorder.errors import (
    DatabaseUnavailableError,
    EgressEndedError,
    EgressNotAskedError,
    EgressNotFoundError,
    EgressUnansweredError,
    StorageUnavailableError,
)
from recorder.telemetry import Code, count, log, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from uuid import UUID

    from recorder.usecases.ports import Adapters, Outcome
    from recorder.usecases.recordings import RecordingService

BATCH: Final = 1000
EVENTS: Final = 100
_EVENT_LEASE: Final = timedelta(seconds=60)
_RESERVE_SECONDS: Final = 12.0
"""What is kept for orphans and events, and for the one call that is on its way when time runs short."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a sweep did: how many of each outcome, and how far it is behind afterwards."""

    outcomes: Counter[str] = field(default_factory=Counter)
    finished: bool = True
    """Whether all that was due was handled in time."""
    oldest_due_seconds: float = 0.0
    unpublished_events: int = 0


@dataclass(slots=True)
class _Record:
    """LiveKit's record of every active egress."""

    by_id: dict[str, EgressSnapshot]
    by_recording: Mapping[UUID, Sequence[EgressSnapshot]]
    """Those that write into the folder of a recording of this deployment; hardly ever more than one."""
    rooms: Counter[str]
    matched: set[str]
    """The egress that live recordings of this sweep own."""


@dataclass(slots=True)
class _Sweep:
    """One sweep: the time it has, what it knows, what came out."""

    seconds_left: Callable[[], float]
    record: _Record | None
    outcomes: Counter[str]
    storage_failed: bool = False
    """The bucket has refused once: it is not asked again, since each try may take as long as it can."""
    cut_short: bool = False
    """Something that is due had no time, and waits for the next sweep."""

    @property
    def seconds(self) -> float:
        """What is left for the rows that are due."""
        return self.seconds_left() - _RESERVE_SECONDS

    @property
    def over(self) -> bool:
        """Whether what is due has to wait for the next sweep."""
        return self.seconds <= 0

    @contextmanager
    def each(self, recording: Recording) -> Iterator[None]:
        """Handle one recording: whatever is wrong with it, the others come next."""
        try:
            yield
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - it would end every sweep from now on
            log.error(
                Code.SWEEP_FAILED,
                recording_id=recording.id,
                reason=type(error).__name__,
                where=place_of(error),
            )
            self.outcomes["error"] += 1


class Reconciler:
    """Makes the table true."""

    def __init__(self, adapters: Adapters, service: RecordingService) -> None:
        self._adapters = adapters
        self._service = service

    def sweep(self, seconds_left: Callable[[], float]) -> Summary:
        """Handle all that is due, oldest first, while `seconds_left` lasts.

        Raises DatabaseUnavailableError; whatever else fails is counted, logged and left for the next sweep.
        """
        outcomes: Counter[str] = Counter()
        sweep = _Sweep(seconds_left, self._record(outcomes), outcomes)
        finished = self._settle_due(sweep)
        if sweep.record is not None:
            finished = self._settle_orphans(sweep, sweep.record) and finished
        self._publish(seconds_left, outcomes)
        now = self._adapters.clock.now()
        backlog = self._adapters.repository.backlog(now)
        behind = (now - backlog.oldest_due_at).total_seconds() if backlog.oldest_due_at else 0.0
        return Summary(outcomes, finished, behind, backlog.events)

    def _record(self, outcomes: Counter[str]) -> _Record | None:
        try:
            active = self._adapters.egress.list_active()
        except EgressUnansweredError:
            log.warning(Code.LIST_UNANSWERED)
            outcomes["list_unanswered"] += 1
            return None
        by_recording: defaultdict[UUID, list[EgressSnapshot]] = defaultdict(list)
        for each in active:
            if each.recording_id is not None:
                by_recording[each.recording_id].append(each)
        return _Record(
            by_id={each.egress_id: each for each in active},
            by_recording=by_recording,
            rooms=Counter(each.room_name for each in active),
            matched=set(),
        )

    def _settle_due(self, sweep: _Sweep) -> bool:
        """Tell whether all that was due was handled in time; what was not is leased, and due again soon."""
        while batch := self._lease(sweep.record):
            if sweep.record is not None:
                self._settle_live([each for each in batch if each.live], sweep, sweep.record)
            self._settle_finals([each for each in batch if not each.live], sweep)
            if sweep.over:
                return False
        return not sweep.cut_short

    def _lease(self, record: _Record | None) -> list[Recording]:
        now = self._adapters.clock.now()
        return self._adapters.repository.lease(
            now,
            now + self._adapters.policy.sweep_interval,
            BATCH,
            refreshed_at=now if record is not None else None,
        )

    # Live recordings.

    def _settle_live(self, live: list[Recording], sweep: _Sweep, record: _Record) -> None:
        evidence = self._evidence(live, sweep, record)
        standing: list[tuple[Recording, EgressStatus | None]] = []
        for recording in live:
            with sweep.each(recording):
                outcome = evidence[recording.id]
                if isinstance(outcome, EgressSnapshot):
                    applied = self._service.apply(recording, outcome)
                    record.matched.add(outcome.egress_id)
                    if recording.egress_id is None:
                        sweep.outcomes["adopted"] += 1
                    if applied.live:
                        standing.append((applied, outcome.status))
                    else:
                        sweep.outcomes[applied.status] += 1
                elif isinstance(outcome, EgressNotFoundError):
                    standing.append((recording, None))
                else:
                    sweep.outcomes["lookup_unanswered"] += 1
        presences = self._presences(standing, sweep, record)
        stops: list[Recording] = []
        verdicts: list[tuple[Recording, Judgement]] = []
        for recording, status in standing:
            with sweep.each(recording):
                judgement = self._judge(recording, status, presences[recording.id])
                if judgement.final and recording.egress_id is not None and status not in ENDING:
                    verdicts.append((recording, judgement))
                    continue
                settled, outcome_name = self._carry_out(recording, judgement, sweep)
                sweep.outcomes[outcome_name] += 1
                if judgement.step is Step.STOP and settled is not None:
                    stops.append(settled)
        self._stop(stops, sweep)
        self._conclude(verdicts, sweep)

    def _conclude(self, verdicts: list[tuple[Recording, Judgement]], sweep: _Sweep) -> None:
        """Give up what record and room deny, once it was asked to end: should both be wrong, nothing runs on."""
        wanted = {each.egress_id: each.id for each, _ in verdicts if each.egress_id is not None}
        answers = self._stop_all(wanted, sweep, dead=frozenset(wanted))
        for recording, judgement in verdicts:
            with sweep.each(recording):
                answer = answers[recording.egress_id or ""]
                if isinstance(answer, EgressSnapshot):
                    self._service.apply(recording, answer)
                    sweep.outcomes["stopped"] += 1
                elif isinstance(answer, EgressEndedError):
                    self._service.find(recording)
                elif not isinstance(answer, EgressNotAskedError):
                    sweep.outcomes[self._carry_out(recording, judgement, sweep)[1]] += 1

    def _evidence(self, live: list[Recording], sweep: _Sweep, record: _Record) -> dict[UUID, Outcome]:
        evidence: dict[UUID, Outcome] = {}
        lookups: dict[str, UUID] = {}
        for recording in live:
            if recording.egress_id is None:
                known = record.by_recording.get(recording.id)
                evidence[recording.id] = known[0] if known else self._remembered(recording, sweep)
            elif recording.egress_id in record.by_id:
                evidence[recording.id] = record.by_id[recording.egress_id]
            else:
                lookups[recording.egress_id] = recording.id
        if lookups:
            for egress_id, outcome in self._adapters.egress.find_many(lookups, seconds=sweep.seconds).items():
                evidence[lookups[egress_id]] = outcome
        return evidence

    def _remembered(self, recording: Recording, sweep: _Sweep) -> Outcome:
        """Look for the egress of a recording that lost Start's answer: it may have ended by now."""
        if sweep.over:
            return EgressNotAskedError(recording.room_name)
        try:
            for snapshot in self._adapters.egress.list_room(recording.room_name):
                if snapshot.recording_id == recording.id:
                    return snapshot
        except EgressUnansweredError as error:
            return error
        return EgressNotFoundError(recording.room_name)

    def _presences(
        self, standing: list[tuple[Recording, EgressStatus | None]], sweep: _Sweep, record: _Record
    ) -> dict[UUID, Presence]:
        presences = {recording.id: Presence.SILENT for recording, _ in standing}
        asked = [
            recording
            for recording, status in standing
            if recording.egress_id is not None and status not in ENDING
        ]
        ours = Counter(recording.room_name for recording in asked)
        if not ours or sweep.over:
            return presences
        try:
            rooms = self._adapters.egress.open_rooms(sorted(ours))
        except EgressUnansweredError:
            return presences
        shown: dict[str, frozenset[str] | None] = {}
        for recording in asked:
            room = recording.room_name
            if not _same(rooms.get(room), recording):
                presences[recording.id] = Presence.GONE
            elif not rooms[room].recorded:
                presences[recording.id] = Presence.DENIED
            elif max(ours[room], record.rooms[room]) == 1:
                presences[recording.id] = Presence.SHOWN
            else:
                if room not in shown:
                    shown[room] = self._recorders(room, sweep)
                presences[recording.id] = _presence(shown[room], recording.egress_id)
        return presences

    def _recorders(self, room: str, sweep: _Sweep) -> frozenset[str] | None:
        if sweep.over:
            return None
        try:
            return self._adapters.egress.recorders(room)
        except EgressUnansweredError:
            return None

    def _judge(
        self,
        recording: Recording,
        status: EgressStatus | None,
        presence: Presence,
        *,
        worker_denies: bool = False,
    ) -> Judgement:
        now = self._adapters.clock.now()
        return verdict.judge(
            recording, status, presence, now, self._adapters.policy, worker_denies=worker_denies
        )

    def _carry_out(
        self, before: Recording, judgement: Judgement, sweep: _Sweep
    ) -> tuple[Recording | None, str]:
        """Write a judgement, after the look at the file that it asks for; None means that the row has moved on."""
        after, outcome = judgement.recording, "unchanged"
        if judgement.step is Step.LOOK:
            after, outcome = self._look(judgement, sweep)
        elif judgement.step is Step.STOP:
            outcome = "stopping"
        if after is before:
            return before, outcome
        saved = self._save(before, after)
        return (saved, outcome) if saved is not None else (None, "overtaken")

    def _look(self, judgement: Judgement, sweep: _Sweep) -> tuple[Recording, str]:
        recording, now = judgement.recording, self._adapters.clock.now()
        if sweep.storage_failed or sweep.over:
            return recording, "look_unanswered"
        try:
            file = self._adapters.storage.find(recording)
        except StorageUnavailableError:
            sweep.storage_failed = True
            return recording, "look_unanswered"
        if file is not None:
            return lifecycle.complete_from_file(recording, file, now) or recording, "completed_from_file"
        if not judgement.final:
            return recording, "doubted"
        failed = lifecycle.give_up(recording, judgement.code, now, self._adapters.policy)
        log.warning(
            Code.GIVEN_UP, recording_id=recording.id, egress_id=recording.egress_id, reason=judgement.code
        )
        return failed or recording, judgement.code.value

    def _stop(self, recordings: list[Recording], sweep: _Sweep) -> None:
        by_egress = {each.egress_id: each for each in recordings if each.egress_id is not None and each.live}
        wanted = {egress_id: each.id for egress_id, each in by_egress.items()}
        for egress_id, outcome in self._stop_all(wanted, sweep).items():
            recording = by_egress[egress_id]
            with sweep.each(recording):
                if isinstance(outcome, EgressSnapshot):
                    self._service.apply(recording, outcome)
                    sweep.outcomes["stopped"] += 1
                elif isinstance(outcome, EgressEndedError):
                    self._service.find(recording)
                elif isinstance(outcome, EgressNotFoundError):
                    judgement = self._judge(recording, None, Presence.DENIED, worker_denies=True)
                    sweep.outcomes[self._carry_out(recording, judgement, sweep)[1]] += 1

    def _stop_all(
        self, wanted: Mapping[str, UUID], sweep: _Sweep, dead: frozenset[str] = frozenset()
    ) -> Mapping[str, Outcome]:
        """Stop egress that ought to have ended, and tell of those that give no answer: they run on, and bill.

        Not of the `dead`: those of which only the record is left. What it takes is half of the time that is left, since
        there is more to do.
        """
        outcomes = self._adapters.egress.stop_many(wanted, seconds=sweep.seconds_left() / 2) if wanted else {}
        for egress_id, outcome in outcomes.items():
            if isinstance(outcome, EgressNotAskedError):
                sweep.cut_short = True
            elif isinstance(outcome, EgressUnansweredError) and egress_id not in dead:
                log.warning(Code.STOP_UNANSWERED, recording_id=wanted[egress_id], egress_id=egress_id)
                sweep.outcomes["stop_unanswered"] += 1
        return outcomes

    # Final recordings: what is left of them.

    def _settle_finals(self, finals: list[Recording], sweep: _Sweep) -> None:
        """Stop what outlived our verdict, and empty, find or forget what it left.

        Neither trouble with LiveKit nor with S3 keeps the one from being done without the other.
        """
        survivors = {recording.id: _survivors(recording, sweep.record) for recording in finals}
        wanted: dict[str, UUID] = {}
        rooms: dict[str, str] = {}
        for recording in finals:
            for egress_id in survivors[recording.id]:
                log.warning(Code.SURVIVOR, recording_id=recording.id, egress_id=egress_id)
                wanted[egress_id], rooms[egress_id] = recording.id, recording.room_name
        dead = self._denied(rooms, sweep)
        stopped = self._stop_all(wanted, sweep, dead)
        for recording in finals:
            if sweep.over:
                return
            with sweep.each(recording):
                answers = {egress_id: stopped[egress_id] for egress_id in survivors[recording.id]}
                asked = not any(isinstance(answer, EgressNotAskedError) for answer in answers.values())
                outcome = self._settle_final(recording, answers, dead, sweep) if asked else "postponed"
                sweep.outcomes[outcome] += 1

    def _denied(self, rooms: Mapping[str, str], sweep: _Sweep) -> frozenset[str]:
        """Return the egress, of those given with their rooms, that the rooms do not show.

        A dead worker's egress stays on record for ever: it need not be asked all the time to end.
        """
        if not rooms or sweep.over:
            return frozenset()
        try:
            open_rooms = self._adapters.egress.open_rooms(sorted(set(rooms.values())))
        except EgressUnansweredError:
            return frozenset()
        shown = {
            name: self._recorders(name, sweep) if room.recorded else frozenset[str]()
            for name, room in open_rooms.items()
        }
        nobody = frozenset[str]()
        return frozenset(
            egress_id
            for egress_id, room in rooms.items()
            if (recorders := shown.get(room, nobody)) is not None and egress_id not in recorders
        )

    def _settle_final(
        self, recording: Recording, answers: Mapping[str, Outcome], dead: frozenset[str], sweep: _Sweep
    ) -> str:
        """`answers` are those of the egress that ought to have ended; the `dead` among them need no haste."""
        now = self._adapters.clock.now()
        if recording.deleted_at is None and recording.expired(now):
            expired = self._save(recording, lifecycle.mark_deleted(recording, now) or recording)
            if expired is None:
                return "overtaken"
            recording = expired
        for answer in answers.values():
            if isinstance(answer, EgressSnapshot):
                recording = self._service.apply(recording, answer)
        on_record = sweep.record is not None and recording.id in sweep.record.by_recording
        unanswered = {each for each, answer in answers.items() if isinstance(answer, EgressUnansweredError)}
        settled, running = not unanswered, on_record or bool(unanswered)
        looks = recording.deleted_at is not None or recording.late_upload_until is not None
        if looks and sweep.storage_failed:
            return "postponed"
        try:
            after, outcome = self._clear(recording, running=running)
        except StorageUnavailableError:
            sweep.storage_failed = True
            after, outcome, settled = recording, "", False
            if recording.deleted_at is not None:
                count("ObjectsNotRemoved")
        if after is None:
            return "buried"
        if not settled:
            log.warning(Code.SETTLE_POSTPONED, recording_id=recording.id)
            outcome = "postponed"
        urgent = bool(unanswered - dead)
        tidy = lifecycle.clear_reminders(
            after, self._adapters.policy, now, running=running, settled=settled, urgent=urgent
        )
        return outcome if self._save(recording, tidy) is not None else "overtaken"

    def _clear(self, recording: Recording, *, running: bool) -> tuple[Recording | None, str]:
        """Empty a deleted recording's folder, or look there for a file that came late; None: the row is gone too."""
        now = self._adapters.clock.now()
        if recording.deleted_at is not None:
            self._adapters.storage.delete(recording)
            over = not running and not recording.awaits_upload(now)
            return None if over and self._adapters.repository.remove(recording) else recording, "tombstone"
        if recording.late_upload_until is not None:
            file = self._adapters.storage.find(recording)
            if file is not None:
                return lifecycle.complete_from_file(recording, file, now) or recording, "late_file_found"
        return recording, "tidied"

    # Egress that no live recording of this sweep owns.

    def _settle_orphans(self, sweep: _Sweep, record: _Record) -> bool:
        """Tell whether all of them were handled in time."""
        unmatched = [
            each
            for each in record.by_id.values()
            if each.recording_id is not None and each.egress_id not in record.matched
        ]
        for start in range(0, len(unmatched), BATCH):
            if start and sweep.over:
                return False
            self._settle_unmatched(unmatched[start : start + BATCH], sweep)
        return True

    def _settle_unmatched(self, snapshots: Sequence[EgressSnapshot], sweep: _Sweep) -> None:
        owners = self._adapters.repository.owners(
            [each.recording_id for each in snapshots if each.recording_id is not None]
        )
        ended: list[UUID] = []
        doubled: dict[str, UUID] = {}
        for snapshot in snapshots:
            if snapshot.recording_id is None:
                continue
            owner = owners.get(snapshot.recording_id)
            if owner is None:
                self._adapters.repository.insert(self._tombstone(snapshot, snapshot.recording_id))
                log.warning(Code.ORPHAN, recording_id=snapshot.recording_id, egress_id=snapshot.egress_id)
                sweep.outcomes["orphan"] += 1
            elif owner.status not in LIVE:
                ended.append(owner.id)
            elif owner.egress_id is None:
                self._service.receive(snapshot)
                sweep.outcomes["adopted"] += 1
            elif owner.egress_id != snapshot.egress_id:
                log.warning(Code.SECOND_EGRESS, recording_id=owner.id, egress_id=snapshot.egress_id)
                doubled[snapshot.egress_id] = owner.id
                sweep.outcomes["second_egress"] += 1
        self._stop_all(doubled, sweep)
        if ended:
            self._adapters.repository.make_due(ended, self._adapters.clock.now())

    def _tombstone(self, snapshot: EgressSnapshot, recording_id: UUID) -> Recording:
        """Give an egress without a row a deleted one: what stops and buries those does it for orphans too."""
        now = self._adapters.clock.now()
        return Recording(
            id=recording_id,
            user_id="",
            room_name=snapshot.room_name,
            source=Source.ROOM_COMPOSITE,
            status=Status.STOPPING,
            created_at=now,
            updated_at=now,
            status_at=now,
            egress_id=snapshot.egress_id,
            stop_reason=StopReason.ORPHAN,
            stop_requested_at=now,
            deleted_at=now,
            due_at=now,
        )

    def _publish(self, seconds_left: Callable[[], float], outcomes: Counter[str]) -> None:
        if self._adapters.events is None:
            return
        while seconds_left() > 1.0:
            now = self._adapters.clock.now()
            events = self._adapters.repository.lease_events(now, now + _EVENT_LEASE, EVENTS)
            if not events:
                return
            published = self._adapters.events.publish(events)
            if published:
                self._adapters.repository.delete_events(published)
            outcomes["published"] += len(published)
            if len(published) < len(events):
                log.warning(Code.EVENTS_NOT_PUBLISHED, count=len(events) - len(published))
                outcomes["unpublished"] += len(events) - len(published)
                return

    def _save(self, before: Recording, after: Recording) -> Recording | None:
        after = schedule.reschedule(before, after, self._adapters.policy, self._adapters.clock.now())
        return after if self._service.save(before, after) else None


def _same(room: OpenRoom | None, recording: Recording) -> bool:
    return room is not None and recording.room_sid in {None, room.sid}


def _presence(recorders: frozenset[str] | None, egress_id: str | None) -> Presence:
    if recorders is None:
        return Presence.SILENT
    return Presence.SHOWN if egress_id in recorders else Presence.DENIED


def _survivors(recording: Recording, record: _Record | None) -> list[str]:
    """Return the egress of a final recording that ought to have ended."""
    on_record = record.by_recording.get(recording.id, ()) if record is not None else ()
    if not on_record and recording.egress_id is not None and recording.reported_after_failure:
        # It may run on nobody's record.
        return [recording.egress_id]
    return [each.egress_id for each in on_record if each.status is not EgressStatus.ENDING]
