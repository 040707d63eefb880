"""The sweep: settles whatever webhooks missed, and leaves nothing unowned.

It leases the rows that are due, so that two sweeps never handle the same one, gathers the evidence for all of them
in few calls, and lets `domain.judge` decide. An error of LiveKit is never evidence: the row comes again. Every step
may be cut off at any point; the next sweep goes on from what is stored.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from . import domain
from .domain import (
    EgressSnapshot,
    EgressStatus,
    Judgement,
    OpenRoom,
    Presence,
    Recording,
    Source,
    Status,
    Step,
    StopReason,
)
from .errors import (
    EgressEndedError,
    EgressNotFoundError,
    EgressUnansweredError,
    StorageUnavailableError,
)
from .telemetry import Code, count, log

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from uuid import UUID

    from .domain import Policy
    from .egress import Outcome
    from .ports import Clock, Egress, Events, Recordings, Storage
    from .service import RecordingService

BATCH: Final = 1000
EVENTS: Final = 100
_EVENT_LEASE: Final = timedelta(seconds=60)
_RESERVE_SECONDS: Final = 12.0
"""What one batch may still need when time runs short."""


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


class Reconciler:
    """Makes the table true."""

    def __init__(
        self,
        service: RecordingService,
        recordings: Recordings,
        egress: Egress,
        storage: Storage,
        *,
        events: Events | None,
        policy: Policy,
        clock: Clock,
    ) -> None:
        self._service = service
        self._recordings = recordings
        self._egress = egress
        self._storage = storage
        self._events = events
        self._policy = policy
        self._clock = clock

    def sweep(self, seconds_left: Callable[[], float]) -> Summary:
        """Handle all that is due, oldest first, while `seconds_left` lasts.

        Raises DatabaseUnavailableError; whatever else fails is counted, logged and left for the next sweep.
        """
        outcomes: Counter[str] = Counter()
        record = self._record(outcomes)
        finished = True
        while batch := self._lease(record):
            self._settle(batch, record, outcomes)
            if seconds_left() < _RESERVE_SECONDS:
                finished = False
                break
        if record is not None and finished:
            finished = self._settle_orphans(record, seconds_left, outcomes)
        self._publish(seconds_left, outcomes)
        now = self._clock.now()
        backlog = self._recordings.backlog(now)
        behind = (now - backlog.oldest_due_at).total_seconds() if backlog.oldest_due_at else 0.0
        return Summary(outcomes, finished, behind, backlog.events)

    def _record(self, outcomes: Counter[str]) -> _Record | None:
        try:
            active = self._egress.list_active()
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

    def _lease(self, record: _Record | None) -> list[Recording]:
        now = self._clock.now()
        return self._recordings.lease(
            now, now + self._policy.sweep_interval, BATCH, refreshed_at=now if record is not None else None
        )

    def _settle(self, batch: list[Recording], record: _Record | None, outcomes: Counter[str]) -> None:
        if record is not None:
            live = [recording for recording in batch if recording.live]
            self._settle_live(live, record, outcomes)
        for recording in batch:
            if not recording.live:
                outcomes[self._settle_final(recording, record)] += 1

    # Live recordings.

    def _settle_live(self, live: list[Recording], record: _Record, outcomes: Counter[str]) -> None:
        evidence = self._evidence(live, record)
        standing: list[tuple[Recording, EgressStatus | None]] = []
        for recording in live:
            outcome = evidence[recording.id]
            if isinstance(outcome, EgressSnapshot):
                applied = self._service.apply(recording, outcome)
                record.matched.add(outcome.egress_id)
                if recording.egress_id is None:
                    outcomes["adopted"] += 1
                if applied.live:
                    standing.append((applied, outcome.status))
                else:
                    outcomes[applied.status] += 1
            elif isinstance(outcome, EgressNotFoundError):
                standing.append((recording, None))
            else:
                outcomes["lookup_unanswered"] += 1
        presences = self._presences(standing, record)
        stops: list[Recording] = []
        for recording, status in standing:
            judgement = self._judge(recording, status, presences[recording.id])
            settled, outcome_name = self._carry_out(recording, judgement)
            outcomes[outcome_name] += 1
            if judgement.step is Step.STOP and settled is not None:
                stops.append(settled)
        self._stop(stops, outcomes)

    def _evidence(self, live: list[Recording], record: _Record) -> dict[UUID, Outcome]:
        evidence: dict[UUID, Outcome] = {}
        lookups: dict[str, UUID] = {}
        for recording in live:
            if recording.egress_id is None:
                known = record.by_recording.get(recording.id)
                evidence[recording.id] = known[0] if known else self._remembered(recording)
            elif recording.egress_id in record.by_id:
                evidence[recording.id] = record.by_id[recording.egress_id]
            else:
                lookups[recording.egress_id] = recording.id
        if lookups:
            for egress_id, outcome in self._egress.find_many(lookups).items():
                evidence[lookups[egress_id]] = outcome
        return evidence

    def _remembered(self, recording: Recording) -> Outcome:
        """Look for the egress of a recording that lost Start's answer: it may have ended by now."""
        try:
            for snapshot in self._egress.list_room(recording.room_name):
                if snapshot.recording_id == recording.id:
                    return snapshot
        except EgressUnansweredError as error:
            return error
        return EgressNotFoundError(recording.room_name)

    def _presences(
        self, standing: list[tuple[Recording, EgressStatus | None]], record: _Record
    ) -> dict[UUID, Presence]:
        presences = {recording.id: Presence.SILENT for recording, _ in standing}
        asked = [
            recording
            for recording, status in standing
            if recording.egress_id is not None and status not in domain.ENDING
        ]
        ours = Counter(recording.room_name for recording in asked)
        if not ours:
            return presences
        try:
            rooms = self._egress.open_rooms(sorted(ours))
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
                    shown[room] = self._recorders(room)
                presences[recording.id] = _presence(shown[room], recording.egress_id)
        return presences

    def _recorders(self, room: str) -> frozenset[str] | None:
        try:
            return self._egress.recorders(room)
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
        now = self._clock.now()
        return domain.judge(recording, status, presence, now, self._policy, worker_denies=worker_denies)

    def _carry_out(self, before: Recording, judgement: Judgement) -> tuple[Recording | None, str]:
        """Write a judgement, after the look at the file that it asks for; None means that the row has moved on."""
        after, outcome = judgement.recording, "unchanged"
        if judgement.step is Step.LOOK:
            try:
                after, outcome = self._look(judgement)
            except StorageUnavailableError:
                outcome = "look_unanswered"
        elif judgement.step is Step.STOP:
            outcome = "stopping"
        if after is before:
            return before, outcome
        saved = self._save(before, after)
        return (saved, outcome) if saved is not None else (None, "overtaken")

    def _look(self, judgement: Judgement) -> tuple[Recording, str]:
        recording, now = judgement.recording, self._clock.now()
        file = self._storage.find(recording)
        if file is not None:
            return domain.complete_from_file(recording, file, now) or recording, "completed_from_file"
        if not judgement.final:
            return recording, "doubted"
        failed = domain.give_up(recording, judgement.code, now, self._policy)
        log.warning(
            Code.GIVEN_UP, recording_id=recording.id, egress_id=recording.egress_id, reason=judgement.code
        )
        return failed or recording, judgement.code.value

    def _stop(self, recordings: list[Recording], outcomes: Counter[str]) -> None:
        by_egress = {each.egress_id: each for each in recordings if each.egress_id is not None and each.live}
        if not by_egress:
            return
        for egress_id, outcome in self._egress.stop_many(by_egress).items():
            recording = by_egress[egress_id]
            if isinstance(outcome, EgressSnapshot):
                self._service.apply(recording, outcome)
                outcomes["stopped"] += 1
            elif isinstance(outcome, EgressEndedError):
                self._service.find(recording)
            elif isinstance(outcome, EgressNotFoundError):
                judgement = self._judge(recording, None, Presence.DENIED, worker_denies=True)
                outcomes[self._carry_out(recording, judgement)[1]] += 1
            else:
                log.warning(Code.STOP_UNANSWERED, recording_id=recording.id, egress_id=egress_id)
                outcomes["stop_unanswered"] += 1

    # Final recordings: what is left of them.

    def _settle_final(self, recording: Recording, record: _Record | None) -> str:
        """Stop what outlived our verdict, and empty, find or forget what it left.

        Neither trouble with LiveKit nor with S3 keeps the one from being done without the other.
        """
        now = self._clock.now()
        if recording.deleted_at is None and recording.expired(now):
            expired = self._save(recording, domain.mark_deleted(recording, now) or recording)
            if expired is None:
                return "overtaken"
            recording = expired
        on_record = record.by_recording.get(recording.id, ()) if record is not None else ()
        survivors = [each.egress_id for each in on_record if each.status is not EgressStatus.ENDING]
        if not on_record and recording.egress_id is not None and recording.outlived:
            survivors = [recording.egress_id]
        running = bool(on_record)
        recording, answered = self._stop_survivors(recording, survivors)
        try:
            after, outcome = self._clear(recording, running=running)
            settled = answered
        except StorageUnavailableError:
            after, outcome, settled = recording, "", False
            if recording.deleted_at is not None:
                count("ObjectsNotRemoved")
        if after is None:
            return "buried"
        if not settled:
            log.warning(Code.SETTLE_POSTPONED, recording_id=recording.id)
            outcome = "postponed"
        tidy = domain.tidied(after, self._policy, now, running=running, settled=settled)
        return outcome if self._save(recording, tidy) is not None else "overtaken"

    def _clear(self, recording: Recording, *, running: bool) -> tuple[Recording | None, str]:
        """Empty a deleted recording's folder, or look there for a file that came late; None: the row is gone too."""
        now = self._clock.now()
        if recording.deleted_at is not None:
            self._storage.delete(recording)
            over = not running and not recording.awaits_upload(now)
            return None if over and self._recordings.remove(recording) else recording, "tombstone"
        if recording.late_upload_until is not None:
            file = self._storage.find(recording)
            if file is not None:
                return domain.complete_from_file(recording, file, now) or recording, "late_file_found"
        return recording, "tidied"

    def _stop_survivors(self, recording: Recording, survivors: Sequence[str]) -> tuple[Recording, bool]:
        """Stop what still runs of a recording that is over; False where one of them gave no answer."""
        answered = True
        for egress_id, outcome in self._egress.stop_many(survivors).items() if survivors else ():
            log.warning(Code.SURVIVOR, recording_id=recording.id, egress_id=egress_id)
            if isinstance(outcome, EgressSnapshot):
                recording = self._service.apply(recording, outcome)
            elif not isinstance(outcome, (EgressEndedError, EgressNotFoundError)):
                answered = False
        return recording, answered

    # Egress that no live recording of this sweep owns.

    def _settle_orphans(
        self, record: _Record, seconds_left: Callable[[], float], outcomes: Counter[str]
    ) -> bool:
        """Tell whether all of them were handled in time."""
        unmatched = [
            each
            for each in record.by_id.values()
            if each.recording_id is not None and each.egress_id not in record.matched
        ]
        for start in range(0, len(unmatched), BATCH):
            if start and seconds_left() < _RESERVE_SECONDS:
                return False
            self._settle_unmatched(unmatched[start : start + BATCH], outcomes)
        return True

    def _settle_unmatched(self, snapshots: Sequence[EgressSnapshot], outcomes: Counter[str]) -> None:
        owners = self._recordings.owners(
            [each.recording_id for each in snapshots if each.recording_id is not None]
        )
        ended: list[UUID] = []
        for snapshot in snapshots:
            if snapshot.recording_id is None:
                continue
            owner = owners.get(snapshot.recording_id)
            if owner is None:
                self._recordings.insert(self._tombstone(snapshot, snapshot.recording_id))
                log.warning(Code.ORPHAN, recording_id=snapshot.recording_id, egress_id=snapshot.egress_id)
                outcomes["orphan"] += 1
            elif owner.status not in domain.LIVE:
                ended.append(owner.id)
            elif owner.egress_id is None:
                self._service.receive(snapshot)
                outcomes["adopted"] += 1
            elif owner.egress_id != snapshot.egress_id:
                log.warning(Code.SECOND_EGRESS, recording_id=owner.id, egress_id=snapshot.egress_id)
                self._egress.stop_many([snapshot.egress_id])
                outcomes["second_egress"] += 1
        if ended:
            self._recordings.arm(ended, self._clock.now())

    def _tombstone(self, snapshot: EgressSnapshot, recording_id: UUID) -> Recording:
        """Give an egress without a row a deleted one: what stops and buries those does it for orphans too."""
        now = self._clock.now()
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
        if self._events is None:
            return
        while seconds_left() > 1.0:
            now = self._clock.now()
            events = self._recordings.lease_events(now, now + _EVENT_LEASE, EVENTS)
            if not events:
                return
            published = self._events.publish(events)
            if published:
                self._recordings.delete_events(published)
            outcomes["published"] += len(published)
            if len(published) < len(events):
                log.warning(Code.EVENTS_NOT_PUBLISHED, count=len(events) - len(published))
                outcomes["unpublished"] += len(events) - len(published)
                return

    def _save(self, before: Recording, after: Recording) -> Recording | None:
        after = domain.scheduled(before, after, self._policy, self._clock.now())
        return after if self._service.save(before, after) else None


def _same(room: OpenRoom | None, recording: Recording) -> bool:
    return room is not None and recording.room_sid in {None, room.sid}


def _presence(recorders: frozenset[str] | None, egress_id: str | None) -> Presence:
    if recorders is None:
        return Presence.SILENT
    return Presence.SHOWN if egress_id in recorders else Presence.DENIED
