"""The invariants, held against what LiveKit really runs, what the bucket really holds and what is stored.

What a recording plays is held against the seconds that its takes recorded in `simulator.played`.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from livekit.protocol import egress as protocol

from recorder.domain.outputs import poster_of
from recorder.domain.recording import PREFIX, SEGMENTS_PREFIX, FailureCode, Status
from recorder.domain.takes import asked_at
from simulator.journal import require
from simulator.kernel import SECOND
from simulator.played import Played

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from livekit_standin.records import Egress
    from livekit_standin.world import World
    from recorder.domain.recording import Recording, Take
    from simulator.livekit import Own, SimulatedLiveKit
    from simulator.memory import MemoryStorage
    from simulator.plan import History

_RUNS: Final = {protocol.EGRESS_STARTING, protocol.EGRESS_ACTIVE}
_SWEEPS: Final = 2
_TOLERANCE_SECONDS: Final = 0.2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ASKING_NS: Final = 60 * SECOND
"""Within which a sweep asks all witnesses, and gives its verdict: meanwhile what stood still may go on."""
_LOST: Final = {FailureCode.WORKER_LOST, FailureCode.EGRESS_LOST}
_RETURNING_NS: Final = 150 * SECOND
"""Within which two sweeps stop what has come back."""
_VERDICTS: Final = {
    FailureCode.START_TIMEOUT,
    FailureCode.STOP_TIMEOUT,
    FailureCode.WORKER_LOST,
    FailureCode.EGRESS_LOST,
    FailureCode.START_LOST,
    FailureCode.ROOM_NOT_FOUND,
    FailureCode.EGRESS_REFUSED,
    FailureCode.EGRESS_UNAVAILABLE,
    FailureCode.EGRESS_MISCONFIGURED,
}
_SLACK: Final = timedelta(minutes=3)


class Truth:
    """The facts, beside every listing and row."""

    def __init__(
        self,
        world: World,
        livekit: SimulatedLiveKit,
        rows: Mapping[UUID, Recording],
        bucket: MemoryStorage,
        history: History,
    ) -> None:
        self.backed_up: set[str] = set()
        """The egress whose files went to the workers' backup storage."""
        self.foreign: dict[str, str] = {}
        """Other people's egress by id, with their keys."""
        self.foreign_objects: set[str] = set()
        self.forgotten: set[str] = set()
        """Objects of egress of which nobody can know any more."""
        self.litter: set[str] = set()
        """Objects beside the files of recordings, or empty in their place."""
        self._named: set[str] = set()
        self._world = world
        self._livekit = livekit
        self._rows = rows
        self._objects = bucket.objects
        self._policy = history.policy
        self._played = Played(
            bucket, livekit.ours, rows, backed_up=self.backed_up, litter=self.litter, history=history
        )
        self.check_removal = self._played.check_removal
        self._forgets = history.forgets
        self._asked: set[tuple[UUID, int]] = set()
        """The takes that LiveKit was asked for."""
        self._unowned: dict[str, int] = {}
        self._dead: dict[str, int] = {}
        # Where a room hides its recorders, or has one that nobody knows, what was learned holds for ten minutes.
        self._sweeps_to_death = 15 if history.rooms_deceive else 4
        self._calm_since: datetime | None = None

    def running(self) -> list[Egress]:
        """Give the egress of this deployment that really run: what stands still may go on later."""
        return [found for found in self._alive() if found.id in self._livekit.ours]

    def _alive(self) -> Iterator[Egress]:
        return (
            found
            for found in list(self._world._records.unended())
            if found.alive and not found.still and found.info.status in _RUNS
        )

    def stored(self, key: str, egress_id: str) -> None:
        """Take note of an object that an egress has stored."""
        own = self._livekit.ours.get(egress_id)
        if own is not None and own.recording_id not in self._rows and self._forgets:
            # It was on no record when its tombstone went.
            self.forgotten.add(key)

    def check_strangers(self) -> None:
        """Check that egress of others in the same project are left alone, and their objects too."""
        touched = [egress_id for egress_id in self._livekit.stopped if egress_id in self.foreign]
        require(holds=not touched, otherwise=f"1: {touched} of others were stopped")
        gone = self.foreign_objects.difference(self._objects)
        require(holds=not gone, otherwise=f"3: {gone} of others were deleted")

    # At any time.

    def check_start(self, new: Own) -> None:
        """Check that nothing is recorded twice, nor for a recording that is gone, and no take's number used again."""
        take = (new.recording_id, new.take)
        require(holds=new.doubled or take not in self._asked, otherwise=f"1: take {take} is asked for again")
        self._asked.add(take)
        now_ns = self._world._clock()
        for found in self.running():
            own = self._livekit.ours[found.id]
            row = self._rows.get(own.recording_id)
            back = found.went_on_at is not None and now_ns < found.went_on_at + _RETURNING_NS
            free = (
                (row is not None and not row.live) or _unknowable(found, row) or back or self._is_lost(found)
            )
            twice = own.target == new.target and not own.doubled and not free
            require(holds=not twice, otherwise=f"5: {new.target} is recorded twice")

    def check_stop(self, egress_id: str) -> None:
        """Check that the egress of a live recording is not stopped unless somebody wished it.

        One that gave no sign of life for `unseen_grace` is stopped before it is given up. It may go on after the
        sweep has asked its room and its handler.
        """
        for found in self.running():
            if _went_on_since(found, self._world._environment.now() - _ASKING_NS):
                continue
            row = self._rows.get(self._livekit.ours[found.id].recording_id)
            owned = row is not None and _records(row, found.id)
            wished = row is not None and (row.stop_requested_at is not None or self._never_resumed(row))
            lost = found.id == egress_id and owned and not wished
            require(holds=not lost, otherwise=f"1: {egress_id} is stopped, and nobody wished it")

    def _never_resumed(self, row: Recording) -> bool:
        """Whether LiveKit has not said for too long that the take that is to go on records."""
        asked_at, now_ns = row.take_requested_at, self._world._clock()
        late = asked_at is not None and now_ns >= _ns(asked_at + self._policy.starting_timeout)
        return row.status is Status.RESUMING and late

    def check_change(self, before: Recording, after: Recording) -> None:
        """Check, at each change, that nothing runs of a take that has ended, and what has become of its seconds."""
        if after.between_takes and not before.between_takes and before.egress_id is not None:
            self._check_end_of_take(before, after)
        stale = after.live and after.between_takes and after.storage_key is not None
        require(holds=not stale, otherwise=f"8: {after.id} has a file of a take that it has left behind")
        self._played.changed(before, after)

    def _check_end_of_take(self, before: Recording, after: Recording) -> None:
        for found in self.running():
            own = self._livekit.ours[found.id]
            went_on = _went_on_since(found, _ns(after.updated_at) - _ASKING_NS)
            excused = own.doubled or _unknowable(found, after) or went_on
            mine = found.id == before.egress_id and not excused
            require(holds=not mine, otherwise=f"1: {after.status} after its take, and {found.id} runs")

    def _is_lost(self, found: Egress) -> bool:
        """Tell whether it ran all the time, and the product was told otherwise."""
        row = self._rows.get(self._livekit.ours[found.id].recording_id)
        return row is not None and any(_lost(take) and take.egress_id == found.id for take in row.takes)

    def check_verdict(self, failed: Recording) -> None:
        """Nothing runs of what the product by itself calls failed."""
        if failed.failure_code not in _VERDICTS:
            return
        # Of one whose take has ended, its egress was judged then.
        judged_at = failed.take_ended_at or failed.updated_at
        for found in self.running():
            own = self._livekit.ours[found.id]
            if _went_on_since(found, _ns(judged_at) - _ASKING_NS):
                continue
            # An earlier take was judged when it ended.
            current = (own.recording_id, own.take) == (failed.id, failed.take)
            mine = current and not own.doubled and not _unknowable(found, failed)
            require(holds=not mine, otherwise=f"1: {failed.failure_code}, and {found.id} runs")

    def folders(self) -> list[str]:
        """Give the folders of the recordings that nobody has deleted, and that were not refused."""
        return [row.prefix for row in self._rows.values() if row.deleted_at is None and row.egress_id]

    def named(self, row: Recording) -> None:
        """Note that the product knows where the file of a recording lies."""
        self._named.add(row.storage_key or "")

    def check_limit(self, limited: Recording) -> None:
        """Nothing is ended for its duration before it has recorded for so long, whatever its worker's clock says."""
        for found in self.running():
            if found.id != limited.egress_id or limited.max_duration is None or self._forgets:
                # Of one that LiveKit has forgotten only its room can tell that it records.
                continue
            began_ns = found.info.file_results[0].started_at - found.worker.clock_skew
            recorded = _ns(limited.updated_at) - began_ns + _seconds_before(limited) * SECOND
            require(
                holds=recorded >= limited.max_duration * SECOND - SECOND // 1000,
                otherwise=f"{limited.id} may record for {limited.max_duration} s and is ended before",
            )

    def check_file(self, completed: Recording) -> None:
        """Check that a completed recording has a file, or one for each take that has any."""
        keys = [part.key for part in completed.parts]
        there = bool(keys) and all(key in self._objects and key not in self.litter for key in keys)
        require(
            holds=there or completed.deleted_at is not None or self._is_backed_up(completed),
            otherwise=f"{completed.id} is completed without a file",
        )

    def _is_backed_up(self, row: Recording) -> bool:
        return any(self._livekit.ours[each].recording_id == row.id for each in self.backed_up)

    # While time passes quietly.

    def check_after_sweep(self, now: datetime) -> None:
        """Check, after each of the sweeps that nothing disturbs, what two of them have to settle."""
        if self._calm_since is None:
            self._calm_since = now
        self._check_owned(now)
        self._check_alive(now)
        for row in self._rows.values():
            calm = now >= self._calm_since + timedelta(minutes=2)
            over = row.status is Status.ACTIVE and _too_long(row, now - timedelta(seconds=3))
            if over and _too_long(row, row.updated_at):
                # A lost take that came back has told its seconds: the next sweep hears of it.
                over = now >= row.updated_at + timedelta(minutes=2)
            require(holds=not (calm and over), otherwise=f"2: {row.id} records for too long")
            limit = self._limit(row)
            if limit is not None:
                deadline = max(row.status_at + limit, self._calm_since) + _SLACK
                require(holds=now < deadline, otherwise=f"2: {row.id} is still {row.status}")

    def _limit(self, row: Recording) -> timedelta | None:
        """Say how long its status may last."""
        policy = self._policy
        starting = policy.start_grace + policy.starting_timeout
        return {
            Status.STARTING: policy.starting_timeout,
            Status.PAUSED: policy.pause_timeout,
            Status.RESUMING: policy.resume_timeout + starting,
            Status.STOPPING: policy.stopping_timeout
            + (policy.assembling_timeout if row.takes else timedelta()),
        }.get(Status(row.status))

    def _check_alive(self, now: datetime) -> None:
        """No recording is live for long whose egress has died while it recorded."""
        dead: dict[str, int] = {}
        for row in self._rows.values():
            records = row.live and not row.between_takes
            found = self._world._records.find(row.egress_id or "") if records else None
            if found is None or found.alive or found.info.status not in _RUNS:
                continue
            if (
                row.status in {Status.STARTING, Status.RESUMING}
                and now < asked_at(row) + self._policy.starting_timeout
            ):
                # Nobody expects it to record yet.
                continue
            if found.room is not None and found.id in found.room.ghosts:
                # It died while LiveKit's server was away, and stays in its room.
                continue
            count = dead[found.id] = self._dead.get(found.id, 0) + 1
            require(
                holds=count <= self._sweeps_to_death, otherwise=f"1: {row.id} is live, and its egress dead"
            )
        self._dead = dead

    def _check_owned(self, now: datetime) -> None:
        unowned: dict[str, int] = {}
        for found in self.running():
            if self._owned(found, now) or found.waiting:
                continue
            count = unowned[found.id] = self._unowned.get(found.id, 0) + 1
            require(holds=count <= _SWEEPS, otherwise=f"1: {found.id} runs and belongs to no live recording")
        self._unowned = unowned

    def _owned(self, found: Egress, now: datetime) -> bool:
        own = self._livekit.ours[found.id]
        row = self._rows.get(own.recording_id)
        if row is not None and _records(row, found.id):
            return row.stop_requested_at is None and not _too_long(row, now)
        unanswered = row is not None and row.live and row.egress_id is None and row.take == own.take
        if row is not None and unanswered and not row.between_takes and found.record is not None:
            return now < asked_at(row) + self._policy.start_grace
        return _unknowable(found, row)

    # When all is over.

    def unsettled(self, now: datetime) -> str | None:
        """Say what is not yet as it has to be in the end, when every room is closed and every grace over."""
        for found in self._world._records.unended():
            runs = found.info.status in _RUNS or found.still
            if found.alive and runs and found.id in self._livekit.ours:
                return f"1: {found.id} runs on"
        for row in self._rows.values():
            problem = self._unsettled_row(row, now)
            if problem:
                return f"{problem}: {row}"
        problem = self._played.unsettled()
        if problem:
            return problem
        for key in self._objects:
            if (
                key not in self.foreign_objects | self.forgotten
                and not self._owned_object(key)
                and self._can_be_known(key)
            ):
                return f"3: {key} belongs to no recording"
        return None

    def _unsettled_row(self, row: Recording, now: datetime) -> str | None:
        missing = any(part.key not in self._objects or part.key in self.litter for part in row.parts)
        lacking = row.status is Status.COMPLETED and not row.parts
        problems = {
            "1: live although every egress has ended": row.live,
            "3: a tombstone is left": row.deleted_at is not None
            and not row.refused
            and not self._zombie(row),
            "3: expired and still there": row.deleted_at is None and row.expired(now),
            "the file that it names is not there": row.deleted_at is None and missing,
            "completed without a file": lacking and not self._is_backed_up(row),
            "3: its parts are left": row.parts_kept and row.deleted_at is None and not self._zombie(row),
            "its duration is not its file's": row.deleted_at is None and self._lasts_otherwise(row),
            "2: due and not handled": row.due_at is not None and row.due_at <= now - _SLACK,
        }
        return next((problem for problem, there in problems.items() if there), None)

    def _lasts_otherwise(self, row: Recording) -> bool:
        file = self._objects.get(row.storage_key or "")
        if not row.downloadable or file is None or file.duration is None:
            return False
        own = self._livekit.ours.get(row.egress_id or "")
        # Of two egress that write one file, the row may tell of the other.
        doubled = own is None or own.doubled
        return not doubled and abs((row.duration or 0.0) - file.duration) > _TOLERANCE_SECONDS

    def _can_be_known(self, key: str) -> bool:
        """Whether the product was ever told of this key: where a worker adds a prefix, only LiveKit can tell."""
        return key.startswith((PREFIX, SEGMENTS_PREFIX)) or key in self._named

    def _owned_object(self, key: str) -> bool:
        folder, recording_id, *_ = key.removeprefix("pre/").split("/")
        row = self._rows.get(UUID(recording_id))
        if row is None or row.deleted_at is not None:
            # Of a Start that was refused and taken all the same nobody may hear: a rule of the bucket removes segments.
            unheard = row is None and self._is_doubled(UUID(recording_id))
            return unheard and f"{folder}/" == SEGMENTS_PREFIX
        if f"{folder}/" == SEGMENTS_PREFIX:
            # Where no assembling removes them, a rule of the bucket does.
            return True
        if "/hls/" in key or "/thumbnails/" in key:
            # It was asked for.
            return True
        if key in self.litter or self._objects[key].modified_at > row.status_at + self._policy.upload_grace:
            # An upload after the grace is left in its folder: docs/decisions.md.
            return True
        if self._forgets and self._is_doubled(row.id):
            # Of two egress of one start that LiveKit has forgotten, one may come back without anybody knowing its id.
            return True
        # Beside a file that went to the backup storage, that of a second egress lies in its recording's folder.
        kept = key == poster_of(row.id).key or (row.downloadable and row.storage_key == key)
        return kept or any(part.key == key for part in row.parts) or self._is_backed_up(row)

    def _is_doubled(self, recording_id: UUID) -> bool:
        """Whether LiveKit took a Start of this recording twice."""
        return any(own.doubled for own in self._livekit.ours.values() if own.recording_id == recording_id)

    def _zombie(self, row: Recording) -> bool:
        """Whether LiveKit has a dead egress on record as running, for ever: a tombstone stays as long."""
        ours = self._livekit.ours
        return any(
            not found.alive and found.id in ours and ours[found.id].recording_id == row.id
            for found in self._world._records.unended()
        )


def _went_on_since(found: Egress, since_ns: int) -> bool:
    return found.went_on_at is not None and found.went_on_at > since_ns


def _ns(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def _unknowable(found: Egress, row: Recording | None) -> bool:
    """Whether LiveKit has forgotten it, and the product cannot know that it runs.

    Nobody can stop an egress whose id nobody was told, or whose take is over. One that was listed when it was found
    dead is looked at ever more seldom, and none any more once the grace of its upload is over, or its file is there.
    """
    told = row is not None and row.egress_id == found.id and not (row.live and row.between_takes)
    looked_for = row is not None and row.late_upload_until is not None and row.status is not Status.COMPLETED
    over = row is not None and not row.live and (row.attempts > 0 or not looked_for)
    return found.record is None and (not told or over)


def _records(row: Recording, egress_id: str) -> bool:
    """Whether it is the egress of a live recording's current take."""
    return row.live and not row.between_takes and row.egress_id == egress_id


def _lost(take: Take) -> bool:
    return take.failure_code in _LOST


def _too_long(row: Recording, now: datetime) -> bool:
    if row.max_duration is None or row.take_started_at is None or row.between_takes:
        return False
    return now > row.take_started_at + timedelta(seconds=row.max_duration - _seconds_before(row))


def _seconds_before(row: Recording) -> float:
    """Say how long its ended takes lasted (s), as far as the product knows."""
    return sum(
        (take.stopped_at - take.started_at).total_seconds() if take.duration is None else take.duration
        for take in row.takes
        if take.started_at is not None
    )
