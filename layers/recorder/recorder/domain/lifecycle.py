"""The state machine of a recording: pure, without I/O and without a clock.

`TRANSITIONS` is the table. Webhooks, sweeps, reads and the answers of Start and Stop all go through
`apply_snapshot`; what the product decides by itself goes through `request_stop`, `mark_deleted`, `give_up` and
`complete_from_file`; `describe` changes no status. Each returns the changed recording, or None where there is nothing
to change.
"""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final
from uuid import UUID

from recorder.domain import takes
from recorder.domain.egress import STOPPED, EgressSnapshot, EgressStatus
from recorder.domain.recording import (
    DESCRIPTION,
    FINAL,
    GIVEN_UP,
    OWN_VERDICTS,
    FailureCode,
    Kept,
    Recording,
    Status,
    StopReason,
    StoredFile,
    TakeEnd,
    next_version,
)
from recorder.domain.schedule import Policy
from recorder.domain.sources import Source

TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        # The end may be the first that is heard of a take.
        Status.STARTING: frozenset(
            {Status.ACTIVE, Status.RESUMING, Status.STOPPING, Status.COMPLETED, Status.FAILED}
        ),
        Status.ACTIVE: frozenset(
            {Status.PAUSED, Status.RESUMING, Status.STOPPING, Status.COMPLETED, Status.FAILED}
        ),
        Status.PAUSED: frozenset({Status.RESUMING, Status.STOPPING, Status.COMPLETED, Status.FAILED}),
        Status.RESUMING: frozenset(
            {Status.ACTIVE, Status.PAUSED, Status.STOPPING, Status.COMPLETED, Status.FAILED}
        ),
        # An egress that ends unasked is stopping until its last report says that the worker was lost.
        Status.STOPPING: frozenset({Status.RESUMING, Status.COMPLETED, Status.FAILED}),
        Status.COMPLETED: frozenset(),
        Status.FAILED: frozenset(),
    }
)


RUNNING: Final = frozenset({Status.STARTING, Status.ACTIVE})
"""Statuses in which reports of an egress that has not ended set the status."""


OBSERVED: Final[Mapping[EgressStatus, Status]] = MappingProxyType(
    {
        EgressStatus.STARTING: Status.STARTING,
        EgressStatus.ACTIVE: Status.ACTIVE,
        EgressStatus.ENDING: Status.STOPPING,
        EgressStatus.COMPLETE: Status.COMPLETED,
        EgressStatus.LIMIT_REACHED: Status.COMPLETED,
        EgressStatus.FAILED: Status.FAILED,
        EgressStatus.ABORTED: Status.FAILED,
    }
)


STORED_ELSEWHERE: Final = (
    "LiveKit's worker put the file into a storage of its own, not into this deployment's bucket: there is no"
    " download link, and deleting the recording leaves the file. fileUrl is its address, as far as LiveKit told it."
)
_STOPPED_BEFORE_START: Final = "the recording was stopped before anything was recorded"
BEFORE_START: Final[Mapping[str, str]] = MappingProxyType(
    {
        StopReason.USER: _STOPPED_BEFORE_START,
        StopReason.DELETED: _STOPPED_BEFORE_START,
        StopReason.ORPHAN: _STOPPED_BEFORE_START,
        StopReason.NOTHING_PUBLISHED: "nobody in the room published audio or video, so there was nothing to record",
        "source_closed": "the room closed before anything was recorded",
    }
)
"""By the reason of the end: what users did, told calmly."""


FAILURE_REASON_LENGTH: Final = 500


URGENT_ATTEMPTS: Final = 2
"""So many count at most where an egress runs, and bills, that ought to have ended: it is asked every two minutes."""


def may_become(recording: Recording, status: Status) -> bool:
    """Tell whether a recording may change to a status; a status that is unknown to this release never changes."""
    return isinstance(recording.status, Status) and status in TRANSITIONS[recording.status]


def apply_snapshot(
    recording: Recording,
    snapshot: EgressSnapshot,
    now: datetime,
    policy: Policy,
    *,
    people: bool | None = None,
) -> Recording | None:
    """Bring what LiveKit says into a recording.

    Live statuses only move forward, a final status never changes, and an unknown one changes nothing. A snapshot of
    another egress than the current take's fills in the take that it belongs to, if it is one, and changes no status.
    A recording with a value that only a later release knows is left to that release. Facts about the file are taken
    over where they are real, and nothing is completed without a file: LIMIT_REACHED, which comes without ENDING, may
    be said before. `people` says whether the room has somebody to record, where `asks_for_people` wanted to know it;
    False also says that the room is closed.
    """
    if snapshot.status is EgressStatus.UNKNOWN or not recording.known:
        return None
    if not _is_current(recording, snapshot):
        return takes.report_on_ended(recording, snapshot, now)
    observed = OBSERVED[snapshot.status]
    changed = None
    if observed not in RUNNING and recording.live:
        changed = _end_take(recording, snapshot, now, people=people)
    changed = changed or _with_report(recording, snapshot, observed, now, policy)
    return None if changed == recording else next_version(recording, changed._replace(refreshed_at=now), now)


def _with_report(
    recording: Recording, snapshot: EgressSnapshot, observed: Status, now: datetime, policy: Policy
) -> Recording:
    """Return a recording with what LiveKit reports of the only take that it has, or of the current one."""
    if observed is Status.COMPLETED and not snapshot.has_file:
        observed = Status.STOPPING
    changed = _with_file(_with_start(recording, snapshot, now), snapshot, final=observed in FINAL)
    changed = _with_outputs(changed, snapshot, now)
    if may_become(recording, observed):
        changed = _with_status(changed, snapshot, observed, now)
        if observed in FINAL and _needs_look(changed, snapshot):
            changed = changed._replace(late_upload_until=now + policy.upload_grace)
    elif changed.downloadable and not recording.downloadable:
        if _needs_look(changed, snapshot):
            changed = changed._replace(late_upload_until=now + policy.upload_grace)
    elif (
        observed in RUNNING
        and recording.failure_code in OWN_VERDICTS
        and not recording.reported_after_failure
    ):
        # LiveKit may have it on no record, so it is remembered here.
        changed = changed._replace(
            stop_reason=StopReason.STILL_RUNNING, late_upload_until=now + policy.upload_grace
        )
    room_sid = recording.room_sid or snapshot.room_sid
    # A sweep applies thousands of snapshots that change nothing, and a copy is what costs.
    if (changed.egress_id, changed.room_sid) != (snapshot.egress_id, room_sid):
        changed = changed._replace(egress_id=snapshot.egress_id, room_sid=room_sid)
    return changed


def asks_for_people(recording: Recording, snapshot: EgressSnapshot, now: datetime) -> bool:
    """Tell whether it matters for this report if the room still has people: LiveKit may have been restarted."""
    return (
        recording.live
        and _is_current(recording, snapshot)
        and recording.source is Source.ROOM_COMPOSITE
        and takes.end_of(recording, snapshot) is TakeEnd.SOURCE_CLOSED
        and takes.may_go_on(_with_take(recording, snapshot, now), now)
    )


def _is_current(recording: Recording, snapshot: EgressSnapshot) -> bool:
    if recording.between_takes or (snapshot.owner is not None and snapshot.owner.take != recording.take):
        return False
    return recording.egress_id in {None, snapshot.egress_id}


def _end_take(
    recording: Recording, snapshot: EgressSnapshot, now: datetime, *, people: bool | None
) -> Recording | None:
    """End the current take where the recording goes on without it, or is made of several parts; else None."""
    recording = _with_take(recording, snapshot, now)
    if recording.status is Status.RESUMING and snapshot.ended and recording.take_started_at is None:
        over = recording.stop_requested_at is not None
        return (
            takes.finish(takes.leave_take(recording, now), now) if over else takes.retry_take(recording, now)
        )
    end = takes.end_of(recording, snapshot)
    if end is None:
        return None
    ended, following = takes.end_take(recording, end, now, snapshot), takes.FOLLOWS[end]
    if Status.PAUSED in following:
        return takes.wait(ended, Status.PAUSED, now)
    # Where its source closed, only people who are in the room by now are a reason to go on.
    reason = people or end is not TakeEnd.SOURCE_CLOSED
    if reason and Status.RESUMING in following and takes.may_go_on(recording, now):
        return takes.wait(ended, Status.RESUMING, now)
    if people is None and asks_for_people(recording, snapshot, now):
        return ended._replace(status=Status.STOPPING)
    # A playlist may be all that is left of an egress that failed: it holds everything that was uploaded before.
    no_file = not snapshot.has_file or (not recording.with_file and snapshot.status is EgressStatus.FAILED)
    parts = recording.takes or (recording.take_segments and no_file and ended.takes)
    return takes.finish(ended, now) if snapshot.ended and parts else None


def _with_take(recording: Recording, snapshot: EgressSnapshot, now: datetime) -> Recording:
    """Note that the current take has recorded, where its end is the first that is heard of it."""
    told = snapshot.file.started_at
    known = recording._replace(egress_id=snapshot.egress_id)
    if recording.take_started_at is not None or not (told or snapshot.has_file):
        return known
    return known._replace(take_started_at=_believed(told, takes.asked_at(recording), now))


def _with_start(recording: Recording, snapshot: EgressSnapshot, now: datetime) -> Recording:
    """Note when the recording began, once: a worker's clock may be wrong, and that must not move a deadline later."""
    told = snapshot.file.started_at
    begun = recording.status is not Status.STARTING and recording.started_at not in {
        None,
        recording.created_at,
    }
    if told is None or begun or not recording.live:
        return recording
    return recording._replace(started_at=_believed(told, recording.created_at, now))


def _believed(told: datetime | None, earliest: datetime, now: datetime) -> datetime:
    """Return a time that a remote clock tells if it is possible, else the present: so no deadline comes early."""
    return told if told is not None and earliest <= told <= now else now


def _needs_look(ended: Recording, snapshot: EgressSnapshot) -> bool:
    """Tell whether the bucket has to be asked about a recording that has just ended.

    LiveKit names a file, and nobody has seen it yet. Or it names none: a worker that was killed reports no file, nor
    does a failure that follows a success, and a second egress may have stored one.
    """
    return not snapshot.file.checked if ended.downloadable else ended.status is Status.FAILED


def _with_file(recording: Recording, snapshot: EgressSnapshot, *, final: bool) -> Recording:
    file = snapshot.file
    if recording.downloadable:
        # Completed from S3 alone: duration and URL are filled in once LiveKit reports them.
        if final and file.key == recording.storage_key and recording.file_url is None:
            return recording._replace(duration=recording.duration or file.duration, file_url=file.location)
        return recording
    if recording.status is Status.COMPLETED:
        # Its file lies elsewhere, and the bucket has said so, or LiveKit.
        return recording
    if final and snapshot.has_file:
        return recording._replace(
            storage_key=file.key if file.name else recording.storage_key,
            file_size=file.size or 0,
            file_url=file.location,
            duration=file.duration,
        )
    if recording.live and file.key not in {None, recording.storage_key}:
        return recording._replace(storage_key=file.key)
    return recording


def _with_outputs(recording: Recording, snapshot: EgressSnapshot, now: datetime) -> Recording:
    """Take over what LiveKit says of the outputs beside the file: it knows no less than before, but may say less."""
    if recording.stream_urls and snapshot.streams:
        states = tuple(each.state(now) for each in snapshot.streams[: len(recording.stream_urls)])
        if states != recording.stream_states:
            recording = recording._replace(stream_states=states)
    size = snapshot.hls.size if snapshot.hls is not None else None
    kept = takes.more_kept(recording, Kept(hls_size=size, thumbnails=snapshot.thumbnail_count))
    return recording if kept is None else kept


def _with_status(recording: Recording, snapshot: EgressSnapshot, status: Status, now: datetime) -> Recording:
    told = snapshot.file.started_at
    began_at = recording.take_started_at or (
        _believed(told, takes.asked_at(recording), now) if told else None
    )
    if status is Status.ACTIVE:
        told = told or snapshot.started_at
        return takes.take_started(recording, _believed(told, takes.asked_at(recording), now))
    if status not in FINAL:
        return recording._replace(status=status)
    ended = recording._replace(
        status=status,
        take_started_at=began_at,
        stopped_at=_believed(snapshot.ended_at, recording.started_at or recording.created_at, now),
        end_reason=_end_reason(recording, snapshot),
        absent_since=None,
        handler_silent_since=None,
    )
    if status is Status.FAILED:
        reason = _before_start(recording, snapshot)
        if reason is not None:
            return ended._replace(failure_code=FailureCode.STOPPED_BEFORE_START, failure_reason=reason)
        code = _failure_code(recording, snapshot)
        return ended._replace(failure_code=code, failure_reason=snapshot.failure_reason)
    return ended if ended.storage_key is not None else _stored_elsewhere(ended)


def _stored_elsewhere(recording: Recording) -> Recording:
    return recording._replace(
        storage_key=None,
        failure_code=FailureCode.STORED_ELSEWHERE,
        failure_reason=STORED_ELSEWHERE,
    )


def _before_start(recording: Recording, snapshot: EgressSnapshot) -> str | None:
    """Return why nothing was recorded where users ended it before its first frame; None where it failed."""
    if snapshot.status is not EgressStatus.ABORTED:
        return None
    return BEFORE_START.get(_end_reason(recording, snapshot) or "")


def _failure_code(recording: Recording, snapshot: EgressSnapshot) -> str:
    if recording.stop_reason is StopReason.START_TIMEOUT:
        return FailureCode.START_TIMEOUT
    if snapshot.error_code:
        return str(snapshot.error_code)
    if snapshot.status is EgressStatus.ABORTED:
        return FailureCode.EGRESS_ABORTED
    return FailureCode.EGRESS_FAILED


def _end_reason(recording: Recording, snapshot: EgressSnapshot) -> str | None:
    """Return why LiveKit says that it ended; where somebody stopped it, why they did."""
    told = snapshot.end_reason
    return recording.stop_reason or told if told in {None, STOPPED} else told


def request_stop(recording: Recording, reason: StopReason, now: datetime) -> Recording | None:
    """Store the wish that a live recording ends; the caller carries it out, or the sweep.

    It takes the place of a wish to pause. A recording of which nothing records is at its end by it.
    """
    pausing = recording.stop_reason is StopReason.PAUSE
    if not recording.live or (recording.stop_requested_at is not None and not pausing):
        return None
    stopping = recording._replace(
        status=Status.STOPPING if may_become(recording, Status.STOPPING) else recording.status,
        stop_reason=reason,
        stop_requested_at=now,
        pause_requested_at=None,
    )
    if stopping.between_takes:
        stopping = takes.finish(stopping._replace(attempts=0), now)
    return next_version(recording, stopping, now)


def request_pause(recording: Recording, now: datetime) -> Recording | None:
    """Store the wish that an active recording pauses: its egress is stopped, and the take ends.

    The status is `active` until LiveKit, or room and handler, say that nothing is recorded any more.
    """
    if recording.status is not Status.ACTIVE or recording.stop_requested_at is not None:
        return None
    return next_version(
        recording,
        recording._replace(stop_reason=StopReason.PAUSE, stop_requested_at=now, pause_requested_at=now),
        now,
    )


def mark_deleted(recording: Recording, now: datetime) -> Recording | None:
    """Make a recording invisible; a live one is asked to stop. Its objects and its row go afterwards."""
    if recording.deleted_at is not None:
        return None
    stopping = request_stop(recording, StopReason.DELETED, now) or recording
    return next_version(recording, stopping._replace(deleted_at=now, idempotency_key=None), now)


def describe(recording: Recording, given: Mapping[str, object], now: datetime) -> Recording | None:
    """Change the description of a recording in any status; `given` names the fields to change, None clears one."""
    described = recording._replace(**{name: given[name] for name in DESCRIPTION if name in given})  # type: ignore[arg-type]
    return None if described == recording else next_version(recording, described, now)


def deleted_recording_of(snapshot: EgressSnapshot, recording_id: UUID, now: datetime) -> Recording:
    """Return a deleted recording for an egress without a row: the sweep stops and removes those anyway."""
    return Recording(
        id=recording_id,
        user_id="",
        room_name=snapshot.room_name,
        source=Source.ROOM_COMPOSITE if snapshot.room_name else Source.WEB,
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


def refuse(recording: Recording, code: FailureCode, reason: str, now: datetime) -> Recording | None:
    """End a recording whose Start was refused; one that got an egress all the same stays as it is.

    It is no recording to its user, so it is deleted; with an idempotency key it remembers the answer. A refusal that a
    second try may lift forgets the key, so that the second try is one.
    """
    if recording.egress_id is not None or not may_become(recording, Status.FAILED):
        return None
    retriable = code is not FailureCode.EGRESS_REFUSED
    failed = recording._replace(
        status=Status.FAILED,
        failure_code=code,
        failure_reason=reason[:FAILURE_REASON_LENGTH],
        stopped_at=now,
        deleted_at=recording.deleted_at or now,
        idempotency_key=None if retriable else recording.idempotency_key,
    )
    return next_version(recording, failed, now)


def give_up(recording: Recording, code: FailureCode, now: datetime, policy: Policy) -> Recording | None:
    """End a recording by our own verdict, or only its take, where the recording goes on.

    A file that arrives all the same is looked for until the grace ends.
    """
    if not may_become(recording, Status.FAILED) or recording.between_takes:
        return None
    without = _without_take(recording, code, now)
    if without is not None:
        return next_version(recording, without, now)
    failed = recording._replace(
        status=Status.FAILED,
        failure_code=code,
        failure_reason=GIVEN_UP[code],
        stopped_at=now,
        late_upload_until=now + policy.upload_grace,
    )
    return next_version(recording, failed, now)


def _without_take(recording: Recording, code: FailureCode, now: datetime) -> Recording | None:
    """Let a recording go on, or end, without its lost take; None where it is nothing but this take."""
    if recording.status is Status.RESUMING and recording.take_started_at is None:
        return takes.retry_take(recording, now)
    if recording.stop_reason is StopReason.PAUSE:
        return takes.wait(takes.end_take(recording, TakeEnd.PAUSED, now, code=code), Status.PAUSED, now)
    lost = takes.end_take(recording, TakeEnd.WORKER_LOST, now, code=code)
    if takes.may_go_on(recording, now):
        return takes.wait(lost, Status.RESUMING, now)
    recorded = recording.take_started_at is not None
    if recording.takes or (recording.take_segments and recorded):
        return takes.finish(lost, now)
    return None


def complete_from_file(recording: Recording, file: StoredFile | None, now: datetime) -> Recording | None:
    """Take in what the bucket says of a recording's file.

    A file completes a live recording, makes a failed one downloadable, and corrects what LiveKit said of one that is
    completed. Where the bucket has none, a recording that was completed by LiveKit's word has its file elsewhere.
    """
    if file is None:
        unseen = recording.downloadable and recording.late_upload_until is not None
        if recording.status is not Status.COMPLETED or not unseen:
            return None
        return next_version(recording, _stored_elsewhere(recording)._replace(late_upload_until=None), now)
    in_parts = recording.storage_key is None and bool(recording.parts)
    if in_parts or (recording.live and recording.between_takes):
        # The assembler completes it from its takes, also where they left one file; or it was completed in parts.
        return None
    if recording.live and recording.takes:
        begun = recording._replace(take_started_at=recording.take_started_at or takes.asked_at(recording))
        last = takes.end_take(begun, TakeEnd.STOPPED, now)
        return next_version(recording, takes.finish(takes.with_file(last, file), now), now)
    counted = takes.more_kept(recording, file.beside or Kept()) or recording
    found = counted._replace(
        storage_key=file.key,
        file_size=file.size,
        duration=file.duration or recording.duration,
    )
    if may_become(recording, Status.COMPLETED):
        found = found._replace(
            status=Status.COMPLETED,
            stopped_at=_believed(file.modified_at, recording.created_at, now),
            end_reason=recording.stop_reason,
        )
    if found.status is Status.COMPLETED and not found.parts_kept:
        found = found._replace(late_upload_until=None)
    return None if found == recording else next_version(recording, found, now)


def clear_reminders(
    recording: Recording,
    policy: Policy,
    now: datetime,
    *,
    running: bool,
    settled: bool,
    urgent: bool = False,
) -> Recording:
    """Return a final recording without the reminders that are over.

    As long as an egress of it may run (`running`), a file may still arrive. Where something could not be done (not
    `settled`), the sweep's next look waits longer each time; not for long, where an egress has to end (`urgent`).
    """
    late = now + policy.upload_grace if running else recording.late_upload_until
    key_over = recording.created_at + policy.idempotency_life <= now
    attempts = recording.attempts + 1
    return next_version(
        recording,
        recording._replace(
            late_upload_until=None if settled and late is not None and late <= now else late,
            idempotency_key=None if key_over else recording.idempotency_key,
            attempts=0 if settled else min(attempts, URGENT_ATTEMPTS) if urgent else attempts,
        ),
        now,
    )
