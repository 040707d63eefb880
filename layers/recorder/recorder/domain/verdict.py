"""Judging a live recording by what LiveKit's listing and the room say of its egress."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from recorder.domain.egress import ENDING, EgressStatus
from recorder.domain.lifecycle import next_version, request_stop
from recorder.domain.recording import FailureCode, Recording, Status, StopReason
from recorder.domain.schedule import Policy, max_duration_ends_at

if TYPE_CHECKING:
    from datetime import datetime


class Presence(StrEnum):
    """What a room says of an egress: the second witness beside LiveKit's record."""

    SHOWN = "shown"
    DENIED = "denied"
    GONE = "gone"
    """The room in which it recorded is closed: nothing can record there."""
    SILENT = "silent"
    """The room could not be asked, or cannot know: a recorder leaves it before the upload."""


DENIALS: Final = frozenset({Presence.DENIED, Presence.GONE})


class Step(StrEnum):
    """What a judgement asks the sweep to do."""

    NONE = "none"
    STOP = "stop"
    """Ask LiveKit to stop the egress."""
    LOOK = "look"
    """Look for the file: it completes the recording, and where the judgement is final, its absence fails it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What follows from the evidence about a live recording."""

    recording: Recording
    """The recording with what the evidence changes in it; the same object where nothing does."""
    step: Step = Step.NONE
    code: FailureCode = FailureCode.EGRESS_LOST
    """Why the recording fails if the file is not there either."""
    final: bool = False


def judge(
    recording: Recording,
    record: EgressStatus | None,
    presence: Presence,
    now: datetime,
    policy: Policy,
    *,
    worker_denies: bool = False,
) -> Judgement:
    """Judge a live recording by what LiveKit's record (None: it has none) and the room say of its egress.

    The record alone proves neither life nor death. A recording is lost only where the record lacks it and the room
    denies it, or where the record has it ACTIVE and the room, which had shown it before or is closed, denies it
    twice, some time apart. `worker_denies` says that Stop was answered with not_found: no worker has it either.
    """
    if recording.egress_id is None:
        over = now >= recording.created_at + policy.start_grace
        return Judgement(
            recording=recording,
            step=Step.LOOK if over else Step.NONE,
            code=FailureCode.START_LOST,
            final=over,
        )
    recording = _witnessed(recording, record, presence, now)
    if recording.absent_since is not None:
        absent = _judge_absent(recording, record, presence, now, policy, worker_denies=worker_denies)
        if absent.final or worker_denies:
            return absent
        # A doubt that is no verdict yet does not put off a deadline.
        due = _judge_deadlines(recording, record, presence, now, policy)
        return absent if due.step is Step.NONE else due
    return _judge_deadlines(recording, record, presence, now, policy)


def _witnessed(
    recording: Recording, record: EgressStatus | None, presence: Presence, now: datetime
) -> Recording:
    if presence is Presence.SHOWN:
        # What its room shows records, or is just about to: of a forgotten egress nobody else will say so.
        begun = record is None and recording.status is Status.STARTING
        if recording.recorder_seen_at is not None and recording.absent_since is None and not begun:
            return recording
        shown = replace(
            recording,
            status=Status.ACTIVE if begun else recording.status,
            recorder_seen_at=recording.recorder_seen_at or now,
            absent_since=None,
        )
        return next_version(recording, shown, now)
    if presence in DENIALS and _counts(recording, record, presence):
        if recording.absent_since is not None:
            return recording
        return next_version(recording, replace(recording, absent_since=now), now)
    if presence is Presence.SILENT or recording.absent_since is None:
        return recording
    return next_version(recording, replace(recording, absent_since=None), now)


def _counts(recording: Recording, record: EgressStatus | None, denial: Presence) -> bool:
    """Tell whether a denial counts against the record.

    A room that may hide its recorders is believed where somebody waits for the end: a deadline follows, no verdict.
    """
    stopping = recording.stop_requested_at is not None
    if record is EgressStatus.ACTIVE:
        return stopping or denial is Presence.GONE or recording.recorder_seen_at is not None
    return record is None or (record is EgressStatus.STARTING and stopping)


def _judge_absent(
    recording: Recording,
    record: EgressStatus | None,
    presence: Presence,
    now: datetime,
    policy: Policy,
    *,
    worker_denies: bool,
) -> Judgement:
    # A room may hide its recorders, but in one that is closed nothing records.
    seen = recording.recorder_seen_at is not None or presence is Presence.GONE or worker_denies
    patience = policy.witness_gap if seen else policy.unseen_grace
    waited = recording.absent_since is not None and now >= recording.absent_since + patience
    over = waited and presence in DENIALS
    code = FailureCode.EGRESS_LOST if record is None else FailureCode.WORKER_LOST
    if recording.stop_reason is StopReason.START_TIMEOUT:
        code = FailureCode.START_TIMEOUT
    stop_first = recording.stop_requested_at is not None and not worker_denies and not over
    look = over or (record is None and not stop_first)
    return Judgement(recording=recording, step=Step.LOOK if look else Step.NONE, code=code, final=over)


def _judge_deadlines(
    recording: Recording, record: EgressStatus | None, presence: Presence, now: datetime, policy: Policy
) -> Judgement:
    if recording.status is Status.STARTING and now >= recording.status_at + policy.starting_timeout:
        return _stop(recording, StopReason.START_TIMEOUT, now)
    ends_at = max_duration_ends_at(recording)
    if recording.status is Status.ACTIVE and ends_at is not None and now >= ends_at:
        return _stop(recording, StopReason.MAX_DURATION, now)
    if recording.status is not Status.STOPPING:
        return Judgement(recording=recording)
    ending = record in ENDING
    denied = presence in DENIALS and _denied_twice(recording, now, policy)
    over = now >= recording.status_at + policy.stopping_timeout and (ending or denied)
    if over or (ending and record is not EgressStatus.ENDING):
        late = recording.stop_reason is StopReason.START_TIMEOUT
        code = FailureCode.START_TIMEOUT if late else FailureCode.STOP_TIMEOUT
        return Judgement(recording=recording, step=Step.LOOK, code=code, final=over)
    running = not ending and recording.stop_requested_at is not None
    return Judgement(recording=recording, step=Step.STOP if running else Step.NONE)


def _denied_twice(recording: Recording, now: datetime, policy: Policy) -> bool:
    return recording.absent_since is not None and now >= recording.absent_since + policy.witness_gap


def _stop(recording: Recording, reason: StopReason, now: datetime) -> Judgement:
    return Judgement(recording=request_stop(recording, reason, now) or recording, step=Step.STOP)
