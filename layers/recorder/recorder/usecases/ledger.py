"""The ledger: every change of a stored recording goes through it.

A change reads the row, applies a pure rule and writes compare-and-set. Where another writer was faster, the rule is
applied again to what that writer stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from recorder.domain import lifecycle, schedule, takes
from recorder.domain.egress import EgressStatus
from recorder.domain.recording import CLIENT_FAULTS, BegunBy, Status
from recorder.errors import (
    EgressUnansweredError,
    RecordingContendedError,
    RecordingGoneError,
    RecordingNotFoundError,
    StorageUnavailableError,
)
from recorder.telemetry import Code, cause_of, count, log

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from uuid import UUID

    from recorder.domain.egress import EgressSnapshot
    from recorder.domain.recording import Recording
    from recorder.usecases.ports import Adapters

REASON_LENGTH: Final = 500
TRIES: Final = 20
"""Each lost try is another writer's success, and one recording never has so many writers at a time."""


class Ledger:
    """Changes recordings. Every method may raise DatabaseUnavailableError."""

    def __init__(self, adapters: Adapters) -> None:
        self._adapters = adapters

    def change(self, recording: Recording, rule: Callable[[Recording], Recording | None]) -> Recording:
        """Apply a rule to a recording as it is stored; returns what is stored then.

        `rule` returns the changed recording, or None where there is nothing to change. Raises
        RecordingNotFoundError where the row is gone, RecordingContendedError after too many lost tries.
        """
        for _ in range(TRIES):
            changed = rule(recording)
            if changed is None:
                return recording
            saved = self.save(recording, changed)
            if saved is not None:
                return saved
            current = self._adapters.repository.get(recording.id)
            if current is None:
                raise RecordingNotFoundError
            recording = current
        log.error(Code.RECORDING_CONTENDED, recording_id=recording.id)
        raise RecordingContendedError

    def own(self, recording_id: UUID, user_id: str) -> Recording:
        """Return a user's own recording. Raises RecordingNotFoundError or RecordingGoneError."""
        return self.owned(self._adapters.repository.get(recording_id), user_id)

    def owned(self, recording: Recording | None, user_id: str) -> Recording:
        """Return the recording if the user may see it. Raises RecordingNotFoundError or RecordingGoneError."""
        if recording is None or recording.user_id != user_id or recording.deleted_at is not None:
            raise RecordingNotFoundError
        if recording.expired(self._adapters.clock.now()):
            raise RecordingGoneError
        return recording

    def save(self, before: Recording, after: Recording) -> Recording | None:
        """Write a change once, with the time of the sweep's next look; None where the row is no longer `before`.

        A row that the change makes obsolete is removed.
        """
        after = schedule.reschedule(before, after, self._adapters.policy, self._adapters.clock.now())
        repository = self._adapters.repository
        written = repository.remove(before, last=after) if after.obsolete else repository.save(before, after)
        if not written:
            return None
        self._tell(before, after)
        return after

    def save_all(self, changes: Sequence[tuple[Recording, Recording]]) -> dict[UUID, Recording]:
        """Write several changes once, in one statement; none may change takes, or make its row obsolete.

        Returns by its id each row that was written: the others are no longer as before.
        """
        policy, now = self._adapters.policy, self._adapters.clock.now()
        return self._write_all(
            [(before, schedule.reschedule(before, after, policy, now)) for before, after in changes]
        )

    def _write_all(self, changes: Sequence[tuple[Recording, Recording]]) -> dict[UUID, Recording]:
        written = self._adapters.repository.save_all(changes) if changes else frozenset()
        for before, after in changes:
            if after.id in written:
                self._tell(before, after)
        return {after.id: after for _, after in changes if after.id in written}

    def delete_all(self, recordings: Sequence[Recording]) -> Collection[UUID]:
        """Make several recordings invisible at once, in one statement; the sweep does the rest.

        Those to which another writer was faster are tried again. Returns the ids of those that could not be deleted.
        """
        remaining = {each.id: each for each in recordings}
        for _ in range(TRIES):
            written = self._write_all([(each, self._deleted(each)) for each in remaining.values()])
            for recording_id in written:
                log.info(Code.DELETED, recording_id=recording_id)
            overtaken = [recording_id for recording_id in remaining if recording_id not in written]
            if not overtaken:
                return ()
            current = self._adapters.repository.get_all(overtaken)
            remaining = {key: each for key, each in current.items() if each.deleted_at is None}
        for recording_id in remaining:
            log.error(Code.RECORDING_CONTENDED, recording_id=recording_id)
        return remaining.keys()

    def _deleted(self, recording: Recording) -> Recording:
        now = self._adapters.clock.now()
        deleted = lifecycle.mark_deleted(recording, now) or recording
        deleted = schedule.reschedule(recording, deleted, self._adapters.policy, now)
        # Nobody but the sweep asks its egress to end.
        return deleted if deleted.egress_id is None else deleted._replace(due_at=now)

    def _tell(self, before: Recording, after: Recording) -> None:
        _log_change(before, after)
        self._hint(before, after)

    def _hint(self, before: Recording, after: Recording) -> None:
        """Call the function that goes on with a recording; the sweep calls it too, should this call be lost."""
        if takes.waits_for_take(after) and not takes.waits_for_take(before):
            self._adapters.hints.begin_take(after.id)
        elif takes.to_be_assembled(after) and not takes.to_be_assembled(before):
            self._adapters.hints.assemble(after.id)
        rescued = after.status is Status.ACTIVE and after.take_begun_by is BegunBy.RESCUE
        if rescued and before.status is not Status.ACTIVE:
            self.hint_deadline(after)

    def hint_deadline(self, recording: Recording) -> None:
        """Wake the sweep for a recording that may reach its longest duration before a scheduled one waits for it."""
        if schedule.ends_before_a_sweep(recording, self._adapters.clock.now()):
            self._adapters.hints.sweep()

    def _people(self, recording: Recording, snapshot: EgressSnapshot) -> bool | None:
        """Ask whether the room has people, where that decides what an end means; None also without an answer."""
        if not lifecycle.asks_for_people(recording, snapshot, self._adapters.clock.now()):
            return None
        try:
            return self._adapters.listing.has_people(recording.room_name)
        except EgressUnansweredError:
            return None

    def apply(self, recording: Recording, snapshot: EgressSnapshot) -> Recording:
        """Bring what LiveKit reports of an egress into a recording; returns what is stored then."""
        if snapshot.status is EgressStatus.UNKNOWN:
            log.warning(Code.EGRESS_STATUS_UNKNOWN, recording_id=recording.id, egress_id=snapshot.egress_id)
        people = self._people(recording, snapshot)
        applied = self.change(
            recording,
            lambda current: lifecycle.apply_snapshot(
                current, snapshot, self._adapters.clock.now(), self._adapters.policy, people=people
            ),
        )
        if snapshot.ended_badly and recording.live and applied.version != recording.version:
            # LiveKit's own words name hosts and buckets: they are for operators only.
            log.warning(
                Code.EGRESS_ENDED_BADLY,
                recording_id=applied.id,
                egress_id=snapshot.egress_id,
                reason=f"{snapshot.error_code} {snapshot.error} {snapshot.details}"[:REASON_LENGTH],
            )
        return applied

    def receive(self, snapshot: EgressSnapshot, recording_id: UUID | None = None) -> Sequence[Recording]:
        """Find the recordings that a report belongs to, and apply the report to each.

        These are several only where adopted rows share an egress. `recording_id` is the one in the webhook's address:
        it correlates, and proves nothing by itself.
        """
        named = snapshot.recording_id or recording_id
        if named is not None:
            found = [each for each in [self._adapters.repository.get(named)] if each is not None]
        else:
            found = list(self._adapters.repository.find_by_egress_id(snapshot.egress_id))
        own = [each for each in found if _belongs(snapshot, each, recording_id)]
        if not own:
            log.info(Code.WEBHOOK_OF_NO_RECORDING, recording_id=named, egress_id=snapshot.egress_id)
            self._receive_unowned(snapshot)
            return []
        return [self.take_in(each, snapshot) for each in own]

    def _receive_unowned(self, snapshot: EgressSnapshot) -> None:
        """See to what an egress of ours without a row has written: it may end before a sweep finds it."""
        recording_id = snapshot.recording_id
        if recording_id is None or not snapshot.has_recorded:
            return
        if not self._adapters.repository.owners([recording_id]):
            self.insert_deleted(snapshot, recording_id)

    def insert_deleted(self, snapshot: EgressSnapshot, recording_id: UUID) -> None:
        """Give an egress of ours without a row a deleted one, so that the sweep stops it and removes what it writes.

        Raises RowRefusedError.
        """
        now = self._adapters.clock.now()
        self._adapters.repository.insert(lifecycle.deleted_recording_of(snapshot, recording_id, now))
        log.warning(Code.ORPHAN, recording_id=recording_id, egress_id=snapshot.egress_id)

    def take_in(self, recording: Recording, snapshot: EgressSnapshot) -> Recording:
        """Do what `apply` does, once the bucket was asked about a file that LiveKit has just stored."""
        own = snapshot.egress_id in {recording.egress_id or snapshot.egress_id, *takes.egress_ids(recording)}
        settled = recording.status is Status.COMPLETED or recording.downloadable
        if own and not settled and recording.deleted_at is None and snapshot.ended:
            snapshot = self._inspected(recording, snapshot)
        return self.apply(recording, snapshot)

    def _inspected(self, recording: Recording, snapshot: EgressSnapshot) -> EgressSnapshot:
        """Look where the file of a snapshot really lies, and how long it lasts.

        Where the bucket does not answer, LiveKit is believed, and the sweep looks again.
        """
        file = snapshot.file
        if not file.stored:
            return snapshot
        seen = file._replace(keys=(), checked=True)
        try:
            for key in file.keys:
                media = self._adapters.storage.inspect(key)
                if media is not None:
                    seen = seen._replace(keys=(key,), duration=media.duration or file.duration)
                    break
        except StorageUnavailableError as error:
            log.warning(Code.FILE_NOT_INSPECTED, recording_id=recording.id, **cause_of(error))
            return snapshot
        return snapshot._replace(files=(seen, *snapshot.files[1:]))


def _belongs(snapshot: EgressSnapshot, recording: Recording, recording_id: UUID | None) -> bool:
    same_room = recording.room_name == snapshot.room_name
    return recording_id in {None, recording.id} and (snapshot.recording_id is not None or same_room)


def _log_change(before: Recording, after: Recording) -> None:
    """Log and count a change of status that is stored."""
    if after.status is before.status:
        return
    log.info(Code.STATUS_CHANGED, recording_id=after.id, egress_id=after.egress_id, status=after.status)
    _measure(after)
    if after.elsewhere is not None:
        log.warning(Code.FILE_ELSEWHERE, recording_id=after.id, egress_id=after.egress_id)


def _measure(recording: Recording) -> None:
    if recording.status is Status.ACTIVE and recording.take_begun_by is BegunBy.RESCUE:
        count("RecordingsRescued")
        count("SecondsLost", (recording.takes[-1].lost_seconds if recording.takes else None) or 0.0)
    elif recording.status is Status.COMPLETED:
        count("RecordingsCompleted", end_reason=recording.end_reason or "unknown")
        count("EgressMinutes", (recording.duration or 0.0) / 60)
    elif recording.status is Status.FAILED:
        code = recording.failure_code or "unknown"
        count("RecordingsFailed", failure_code=code, fault="client" if code in CLIENT_FAULTS else "server")
