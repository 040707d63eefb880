"""The time limits of a deployment, and when the sweep has to look at a recording again."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from recorder.domain.recording import DESCRIPTION, Recording, Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
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
        after = replace(after, expires_at=now + policy.retention)
    if not after.live and after.deleted_at is not None and after.egress_id is not None:
        after = _keep_deleted_row(after, policy, now)
    return replace(after, due_at=_due_at(before, after, policy, now))


def _describes(before: Recording, after: Recording) -> bool:
    """Tell whether a change leaves everything alone but the description."""
    words = {name: getattr(before, name) for name in (*DESCRIPTION, "updated_at", "version")}
    return before != after and replace(after, **words) == before


def _keep_deleted_row(recording: Recording, policy: Policy, now: datetime) -> Recording:
    """Keep a deleted row for as long after the end of its egress as a file, even of a second one, may arrive."""
    until = recording.status_at + policy.upload_grace
    late = recording.late_upload_until
    if until <= now or (late is not None and late >= until):
        return recording
    return replace(recording, late_upload_until=until)


def _due_at(before: Recording | None, after: Recording, policy: Policy, now: datetime) -> datetime | None:
    if after.attempts:
        return now + backoff(after.attempts)
    if after.live:
        if after.status is Status.STARTING and after.egress_id is None:
            return max(after.created_at + policy.start_grace, now)
        due = now + policy.sweep_interval
        limit = max_duration_ends_at(after)
        return min(due, max(limit, now)) if limit and after.status is Status.ACTIVE else due
    late = after.late_upload_until
    if late is not None and before is not None and before.live:
        # It has just ended: what is on its way arrives soon or, but rarely, late.
        return min(now + policy.sweep_interval, max(late, now))
    deleted = after.deleted_at is not None and not after.refused
    if _is_news(before, after) or (deleted and late is None):
        return now
    reminders = [late] if after.deleted_at is not None else [late, after.expires_at]
    if after.idempotency_key is not None:
        reminders.append(after.created_at + policy.idempotency_life)
    return min((reminder for reminder in reminders if reminder is not None), default=None)


def _is_news(before: Recording | None, after: Recording) -> bool:
    """Tell whether a final recording has become what nobody but the sweep may have acted upon."""
    deleted = after.deleted_at is not None and (before is None or before.deleted_at is None)
    return (deleted and not after.refused) or (
        after.reported_after_failure and (before is None or not before.reported_after_failure)
    )


def max_duration_ends_at(recording: Recording) -> datetime | None:
    """Return when the recording reaches its longest duration, if it has one."""
    if recording.max_duration is None or recording.started_at is None:
        return None
    return recording.started_at + timedelta(seconds=recording.max_duration)


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after so many failures in a row: one minute, doubled each time, at most six hours."""
    return timedelta(minutes=min(2 ** min(attempts - 1, 9), 360))
