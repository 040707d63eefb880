"""The time limits of a deployment, and when the sweep has to look at a recording again."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from recorder.domain import takes
from recorder.domain.outputs import shown_address
from recorder.domain.recording import DESCRIPTION, Recording, Status

UNSCHEDULED: Final = timedelta(minutes=2)
"""So soon a deadline may come before a sweep of the schedule waits for it: a minute until that one, and as much more
as a sweep or a start takes."""


class Policy(NamedTuple):
    """The time limits by which a deployment judges, each with the reason for its default."""

    start_grace: timedelta = timedelta(seconds=45)
    """How long a Start may be on its way: above API Gateway's 30 s, so that no caller is still waiting."""
    starting_timeout: timedelta = timedelta(minutes=5)
    """How long LiveKit may take from Start to the first frame."""
    stopping_timeout: timedelta = timedelta(minutes=30)
    """How long finalising and uploading a file may take."""
    upload_grace: timedelta = timedelta(hours=1)
    """How long after a verdict of ours a worker that is alive after all may still upload."""
    witness_gap: timedelta = timedelta(seconds=30)
    """How far apart two silences of a handler must be: LiveKit removes a dead recorder after 21 to 25 s."""
    unseen_grace: timedelta = timedelta(hours=1)
    """How long a room may deny an egress whose handler gives no evidence."""
    handler_interval: timedelta = timedelta(minutes=10)
    """How long a handler's answer holds against a room that goes on denying the egress."""
    sweep_interval: timedelta = timedelta(seconds=50)
    """How long one look at a live recording lasts: just below the schedule's minute."""
    refresh_after: timedelta = timedelta(seconds=5)
    """How old a live status may be before a read asks LiveKit."""
    waits: int = 50
    """How many requests may wait for a recording to change at once: each holds an environment of Lambda."""
    idempotency_life: timedelta = timedelta(hours=24)
    """How long an idempotency key is remembered."""
    pause_timeout: timedelta = timedelta(hours=1)
    """How long a pause may last; then it ends as a stop."""
    resume_timeout: timedelta = timedelta(minutes=5)
    """How long a recording that lost its worker waits for a free one."""
    assembling_timeout: timedelta = timedelta(minutes=16)
    """How long one run of the assembler may take: just above Lambda's limit."""
    safety_segments: bool = True
    """Whether takes that can have them write segments beside their file."""
    playback_window: timedelta = timedelta(minutes=30)
    """How far back somebody who watches a recording live can go."""
    poster: bool = True
    """Whether takes with segments write a picture that is overwritten while they record."""
    assemble_maximum_bytes: int = 15_000_000_000
    """Takes that are larger together are not joined."""
    retention: timedelta | None = None
    """How long a recording is kept; None keeps it for ever."""
    max_duration: timedelta | None = None
    """The longest recording that a request gets; None sets no limit."""


def reschedule(before: Recording | None, after: Recording, policy: Policy, now: datetime) -> Recording:
    """Return what a recording became, with its expiry, once it is final, and the time of the sweep's next look."""
    if before is not None and _describes(before, after):
        # Else a caller who goes on changing it would put off the sweep for ever.
        return after
    if not after.live and after.expires_at is None and policy.retention is not None:
        after = after._replace(expires_at=now + policy.retention)
    if not after.live and after.stream_urls:
        # No take is to come: keys are kept no longer than they are needed.
        after = after._replace(stream_urls=tuple(map(shown_address, after.stream_urls)))
    if before is not None and before.live and not after.live:
        after = takes.expect_lost(after, now + policy.upload_grace)
    if not after.live and after.deleted_at is not None and after.egress_id is not None:
        after = _keep_deleted_row(after, policy, now)
    return after._replace(due_at=_due_at(before, after, policy, now))


def _describes(before: Recording, after: Recording) -> bool:
    """Tell whether a change leaves everything alone but the description."""
    words = {name: getattr(before, name) for name in (*DESCRIPTION, "updated_at", "version")}
    described = any(getattr(after, name) != getattr(before, name) for name in DESCRIPTION)
    return described and after._replace(**words) == before


def _keep_deleted_row(recording: Recording, policy: Policy, now: datetime) -> Recording:
    """Keep a deleted row for as long after the end of its egress as a file, even of a second one, may arrive."""
    until = recording.status_at + policy.upload_grace
    late = recording.late_upload_until
    if until <= now or (late is not None and late >= until):
        return recording
    return recording._replace(late_upload_until=until)


def _due_at(before: Recording | None, after: Recording, policy: Policy, now: datetime) -> datetime | None:
    if after.live and (after.between_takes or after.status is Status.RESUMING):
        return _due_between_takes(after, policy, now)
    if after.attempts:
        return now + backoff(after.attempts)
    return _due_recording(after, policy, now) if after.live else _due_final(before, after, policy, now)


def _due_final(before: Recording | None, after: Recording, policy: Policy, now: datetime) -> datetime | None:
    late = after.late_upload_until
    if after.parts_kept and after.deleted_at is None and late is None:
        return now + policy.sweep_interval
    if late is not None and ((before is not None and before.live) or after.may_come_back(now)):
        # It has just ended: what is on its way arrives soon or, but rarely, late. What may come back has to be stopped.
        return min(now + policy.sweep_interval, max(late, now))
    deleted = after.deleted_at is not None and not after.refused
    if _is_news(before, after) or (deleted and late is None):
        return now
    reminders = [late] if after.deleted_at is not None else [late, after.expires_at]
    if after.idempotency_key is not None:
        reminders.append(after.created_at + policy.idempotency_life)
    return min((reminder for reminder in reminders if reminder is not None), default=None)


def _due_recording(recording: Recording, policy: Policy, now: datetime) -> datetime:
    if recording.egress_id is None and recording.status in {Status.STARTING, Status.RESUMING}:
        return max(takes.asked_at(recording) + policy.start_grace, now)
    due = now + policy.sweep_interval
    limit = max_duration_ends_at(recording)
    return min(due, max(limit, now)) if limit and recording.status is Status.ACTIVE else due


def _due_between_takes(recording: Recording, policy: Policy, now: datetime) -> datetime:
    if not recording.between_takes:
        return _due_recording(recording, policy, now)
    soon = now + policy.sweep_interval
    if recording.status is Status.RESUMING:
        return max(takes.next_attempt_at(recording), now)
    if takes.awaits_reports(recording) or takes.reopening(recording):
        return soon
    if recording.status is Status.PAUSED:
        return recording.status_at + policy.pause_timeout
    # An assembler that runs has the time that it may take.
    return now + policy.assembling_timeout if recording.attempts else now


def _is_news(before: Recording | None, after: Recording) -> bool:
    """Tell whether a final recording has become what nobody but the sweep may have acted upon."""
    deleted = after.deleted_at is not None and (before is None or before.deleted_at is None)
    return (deleted and not after.refused) or (
        after.reported_after_failure and (before is None or not before.reported_after_failure)
    )


def max_duration_ends_at(recording: Recording) -> datetime | None:
    """Return when the recording reaches its longest duration, if it has one."""
    began = recording.take_started_at or recording.started_at
    if recording.max_duration is None or began is None:
        return None
    before = takes.recorded_seconds(recording._replace(take_started_at=None), began)
    return began + timedelta(seconds=max(0.0, recording.max_duration - before))


def earliest_end(recording: Recording, now: datetime) -> datetime | None:
    """Return when the recording reaches its longest duration at the earliest, if it has one.

    One that records reaches it then; one that is about to record cannot reach it before.
    """
    if recording.status is Status.ACTIVE:
        return max_duration_ends_at(recording)
    if recording.max_duration is None:
        return None
    return now + timedelta(seconds=max(0.0, recording.max_duration - takes.recorded_seconds(recording, now)))


def ends_before_a_sweep(recording: Recording, now: datetime) -> bool:
    """Tell whether it may reach its longest duration before the schedule's next sweep waits for that."""
    ends_at = earliest_end(recording, now)
    return recording.live and ends_at is not None and ends_at < now + UNSCHEDULED


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after so many failures in a row: one minute, doubled each time, at most six hours."""
    return timedelta(minutes=min(2 ** min(attempts - 1, 9), 360))
