"""The state machine of a recording: pure, without I/O and without a clock.

`TRANSITIONS` is the table. Webhooks, sweeps, reads and the answers of Start and Stop all go through
`apply_snapshot`; what the product decides by itself goes through `request_stop`, `mark_deleted`, `give_up` and
`complete_from_file`; `describe` changes no status. Each returns the changed recording, or None where there is nothing
to change.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from recorder.domain.egress import STOPPED, EgressSnapshot, EgressStatus
from recorder.domain.recording import (
    DESCRIPTION,
    FINAL,
    OWN_VERDICTS,
    FailureCode,
    Recording,
    Status,
    StopReason,
    StoredFile,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from recorder.domain.schedule import Policy


TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        Status.STARTING: frozenset({Status.ACTIVE, Status.STOPPING, Status.COMPLETED, Status.FAILED}),
        Status.ACTIVE: frozenset({Status.STOPPING, Status.COMPLETED, Status.FAILED}),
        Status.STOPPING: frozenset({Status.COMPLETED, Status.FAILED}),
        Status.COMPLETED: frozenset(),
        Status.FAILED: frozenset(),
    }
)


RUNNING: Final = frozenset({Status.STARTING, Status.ACTIVE})
"""Statuses of a recording whose end nobody has asked for."""


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


GIVEN_UP: Final[Mapping[FailureCode, str]] = MappingProxyType(
    {
        FailureCode.START_LOST: "LiveKit never answered the start, and no egress of this recording exists",
        FailureCode.START_TIMEOUT: "the recording did not begin in time",
        FailureCode.STOP_TIMEOUT: "the recording was stopped, but no file arrived in time",
        FailureCode.WORKER_LOST: "the egress worker vanished from the room without a last word",
        FailureCode.EGRESS_LOST: "LiveKit no longer knows the egress, and it left no file",
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
    recording: Recording, snapshot: EgressSnapshot, now: datetime, policy: Policy
) -> Recording | None:
    """Bring what LiveKit says into a recording.

    Live statuses only move forward, a final status never changes, an unknown one changes nothing, and a snapshot
    of another egress than the recording's own is ignored. A recording with a value that only a later release knows
    is left to that release. Facts about the file are taken over where they are real,
    and nothing is completed without a file: LIMIT_REACHED, which comes without ENDING, may be said before.
    """
    if snapshot.status is EgressStatus.UNKNOWN or recording.egress_id not in {None, snapshot.egress_id}:
        return None
    if not recording.known:
        return None
    observed = OBSERVED[snapshot.status]
    if observed is Status.COMPLETED and not snapshot.has_file:
        observed = Status.STOPPING
    changed = _with_file(_with_start(recording, snapshot, now), snapshot, final=observed in FINAL)
    if may_become(recording, observed):
        changed = _with_status(changed, snapshot, observed, now)
        if observed in FINAL and _needs_look(changed, snapshot):
            changed = replace(changed, late_upload_until=now + policy.upload_grace)
    elif changed.downloadable and not recording.downloadable:
        if _needs_look(changed, snapshot):
            changed = replace(changed, late_upload_until=now + policy.upload_grace)
    elif (
        observed in RUNNING
        and recording.failure_code in OWN_VERDICTS
        and not recording.reported_after_failure
    ):
        # LiveKit may have it on no record, so it is remembered here.
        changed = replace(
            changed, stop_reason=StopReason.STILL_RUNNING, late_upload_until=now + policy.upload_grace
        )
    room_sid = recording.room_sid or snapshot.room_sid
    # A sweep applies thousands of snapshots that change nothing, and a copy is what costs.
    if (changed.egress_id, changed.room_sid) != (snapshot.egress_id, room_sid):
        changed = replace(changed, egress_id=snapshot.egress_id, room_sid=room_sid)
    return None if changed == recording else next_version(recording, replace(changed, refreshed_at=now), now)


def _with_start(recording: Recording, snapshot: EgressSnapshot, now: datetime) -> Recording:
    """Note when the recording began, once: a worker's clock may be wrong, and that must not move a deadline later."""
    told = snapshot.file.started_at
    begun = recording.status is not Status.STARTING and recording.started_at not in {
        None,
        recording.created_at,
    }
    if told is None or begun or not recording.live:
        return recording
    return replace(recording, started_at=_believed(told, recording.created_at, now))


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
            return replace(recording, duration=recording.duration or file.duration, file_url=file.location)
        return recording
    if recording.status is Status.COMPLETED:
        # Its file lies elsewhere, and the bucket has said so, or LiveKit.
        return recording
    if final and snapshot.has_file:
        return replace(
            recording,
            storage_key=file.key if file.name else recording.storage_key,
            file_size=file.size or 0,
            file_url=file.location,
            duration=file.duration,
        )
    if recording.live and file.key not in {None, recording.storage_key}:
        return replace(recording, storage_key=file.key)
    return recording


def _with_status(recording: Recording, snapshot: EgressSnapshot, status: Status, now: datetime) -> Recording:
    if status not in FINAL:
        return replace(recording, status=status)
    ended = replace(
        recording,
        status=status,
        stopped_at=_believed(snapshot.ended_at, recording.started_at or recording.created_at, now),
        end_reason=_end_reason(recording, snapshot),
        absent_since=None,
        handler_silent_since=None,
    )
    if status is Status.FAILED:
        reason = _before_start(recording, snapshot)
        if reason is not None:
            return replace(ended, failure_code=FailureCode.STOPPED_BEFORE_START, failure_reason=reason)
        code = _failure_code(recording, snapshot)
        return replace(ended, failure_code=code, failure_reason=snapshot.failure_reason)
    return ended if ended.storage_key is not None else _stored_elsewhere(ended)


def _stored_elsewhere(recording: Recording) -> Recording:
    return replace(
        recording,
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
    """Store the wish that a live recording ends; who carries it out is the caller, or the sweep."""
    if not recording.live or recording.stop_requested_at is not None:
        return None
    status = Status.STOPPING if may_become(recording, Status.STOPPING) else recording.status
    return next_version(
        recording, replace(recording, status=status, stop_reason=reason, stop_requested_at=now), now
    )


def mark_deleted(recording: Recording, now: datetime) -> Recording | None:
    """Make a recording invisible; a live one is asked to stop. Its objects and its row go afterwards."""
    if recording.deleted_at is not None:
        return None
    stopping = request_stop(recording, StopReason.DELETED, now) or recording
    return next_version(recording, replace(stopping, deleted_at=now, idempotency_key=None), now)


def describe(recording: Recording, given: Mapping[str, object], now: datetime) -> Recording | None:
    """Change the description of a recording in any status; `given` names the fields to change, None clears one."""
    described = replace(recording, **{name: given[name] for name in DESCRIPTION if name in given})  # type: ignore[arg-type]
    return None if described == recording else next_version(recording, described, now)


def refuse(recording: Recording, code: FailureCode, reason: str, now: datetime) -> Recording | None:
    """End a recording whose Start was refused; one that got an egress all the same stays as it is.

    It is no recording to its user, so it is deleted; with an idempotency key it remembers the answer. A refusal that a
    second try may lift forgets the key, so that the second try is one.
    """
    if recording.egress_id is not None or not may_become(recording, Status.FAILED):
        return None
    retriable = code is not FailureCode.EGRESS_REFUSED
    failed = replace(
        recording,
        status=Status.FAILED,
        failure_code=code,
        failure_reason=reason[:FAILURE_REASON_LENGTH],
        stopped_at=now,
        deleted_at=recording.deleted_at or now,
        idempotency_key=None if retriable else recording.idempotency_key,
    )
    return next_version(recording, failed, now)


def give_up(recording: Recording, code: FailureCode, now: datetime, policy: Policy) -> Recording | None:
    """End a recording by our own verdict. A file that arrives all the same is looked for until the grace ends."""
    if not may_become(recording, Status.FAILED):
        return None
    failed = replace(
        recording,
        status=Status.FAILED,
        failure_code=code,
        failure_reason=GIVEN_UP[code],
        stopped_at=now,
        late_upload_until=now + policy.upload_grace,
    )
    return next_version(recording, failed, now)


def complete_from_file(recording: Recording, file: StoredFile | None, now: datetime) -> Recording | None:
    """Take in what the bucket says of a recording's file.

    A file completes a live recording, makes a failed one downloadable, and corrects what LiveKit said of one that is
    completed. Where the bucket has none, a recording that was completed by LiveKit's word has its file elsewhere.
    """
    if file is None:
        unseen = recording.downloadable and recording.late_upload_until is not None
        if recording.status is not Status.COMPLETED or not unseen:
            return None
        return next_version(recording, replace(_stored_elsewhere(recording), late_upload_until=None), now)
    found = replace(
        recording,
        storage_key=file.key,
        file_size=file.size,
        duration=file.duration or recording.duration,
    )
    if may_become(recording, Status.COMPLETED):
        found = replace(
            found,
            status=Status.COMPLETED,
            stopped_at=_believed(file.modified_at, recording.created_at, now),
            end_reason=recording.stop_reason,
        )
    if found.status is Status.COMPLETED:
        found = replace(found, late_upload_until=None)
    return None if found == recording else next_version(recording, found, now)


def next_version(before: Recording, after: Recording, now: datetime) -> Recording:
    """Return `after` as the next version of `before`, written at `now`."""
    status_at = now if before.status is not after.status else before.status_at
    return replace(after, updated_at=now, status_at=status_at, version=before.version + 1)


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
        replace(
            recording,
            late_upload_until=None if settled and late is not None and late <= now else late,
            idempotency_key=None if key_over else recording.idempotency_key,
            attempts=0 if settled else min(attempts, URGENT_ATTEMPTS) if urgent else attempts,
        ),
        now,
    )
