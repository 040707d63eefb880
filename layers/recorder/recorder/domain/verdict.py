"""Judging a live recording by LiveKit's listing, the room, and the egress' own process, its handler.

None of them is proof by itself. The listing keeps a dead worker's egress ACTIVE for ever, and loses one that runs.
A room shows its recorders until some 25 s after their death, and some rooms never show them. A handler answers in
milliseconds while it lives, and nobody answers for it once its host is gone.
"""

from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

from recorder.domain import takes
from recorder.domain.egress import ENDING, EgressStatus
from recorder.domain.lifecycle import request_stop
from recorder.domain.recording import FailureCode, Recording, Status, StopReason, next_version
from recorder.domain.schedule import Policy, max_duration_ends_at


class Presence(StrEnum):
    """Whether a room shows an egress."""

    SHOWN = "shown"
    ABSENT = "absent"
    CLOSED = "closed"
    """The room in which it recorded is closed: nothing can record there."""
    ROOMLESS = "roomless"
    """It records a web page, and no room: only its handler can tell."""
    UNKNOWN = "unknown"
    """The room could not be asked, or cannot know: a recorder leaves it before the upload."""


DENIALS: Final = frozenset({Presence.ABSENT, Presence.CLOSED, Presence.ROOMLESS})


class Handler(StrEnum):
    """The result of a call to an egress' handler."""

    ANSWERS = "answers"
    SILENT = "silent"
    """LiveKit found nobody who would take the call."""
    UNKNOWN = "unknown"
    """It was not called, or the answer says nothing about it."""


class Step(StrEnum):
    """A step that a judgement asks of the sweep."""

    NONE = "none"
    STOP = "stop"
    """Ask LiveKit to stop the egress."""
    LOOK = "look"
    """Look for the file: it completes the recording, and where the judgement is final, its absence fails it."""


class Evidence(NamedTuple):
    """The evidence about a recording's egress at one moment."""

    listed: EgressStatus | None
    """LiveKit's listing; None: LiveKit does not know the egress."""
    presence: Presence = Presence.UNKNOWN
    named: bool = False
    """Whether the room named it among its participants, and did not only say that it is being recorded."""
    handler: Handler = Handler.UNKNOWN
    nothing_published: bool = False
    """Whether the room is open and nobody publishes in it."""

    @property
    def doubtful(self) -> bool:
        """Whether the room contradicts that the egress records."""
        return self.presence in DENIALS and self.listed not in ENDING


class Judgement(NamedTuple):
    """The conclusion from the evidence about a live recording."""

    recording: Recording
    """The recording with what the evidence changes in it; the same object where nothing does."""
    step: Step = Step.NONE
    code: FailureCode = FailureCode.EGRESS_LOST
    """Why the recording fails if the file is not there either."""
    final: bool = False


def asks_handler(recording: Recording, evidence: Evidence, now: datetime, policy: Policy) -> bool:
    """Tell whether the handler has to be called: only it can settle what the room raises doubts about.

    A room that never shows its recorders raises them for ever, so an answer holds for a while, unless somebody
    waits for the end. Of a web page nobody else knows anything, so its handler is always called. And a LiveKit that was
    restarted shows for ever who did not come back: a stop that comes to nothing is such a doubt.
    """
    if evidence.presence is Presence.SHOWN:
        return evidence.listed not in ENDING and _stop_is_overdue(recording, now, policy)
    roomless = evidence.presence is Presence.ROOMLESS
    return evidence.doubtful and (roomless or not _answered_lately(recording, now, policy))


def needs_name(recording: Recording, now: datetime, policy: Policy) -> bool:
    """Tell whether it is not enough that the room is recorded: LiveKit may not list all of its recorders.

    So it is where somebody waits for the end, and otherwise now and then.
    """
    seen_at = recording.recorder_seen_at
    old = seen_at is not None and now >= seen_at + policy.handler_interval
    return old or recording.stop_requested_at is not None


def judge(recording: Recording, evidence: Evidence, now: datetime, policy: Policy) -> Judgement:
    """Judge a live recording.

    It is lost where its room denies the egress and its handler was silent twice, some time apart. Where the handler
    cannot be asked, a denial that lasts for `unseen_grace` counts instead, but not that of an open room that has
    never shown the egress, as long as LiveKit lists it and nobody wished its end.
    """
    if recording.egress_id is None:
        over = now >= takes.asked_at(recording) + policy.start_grace
        return Judgement(
            recording=recording,
            step=Step.LOOK if over else Step.NONE,
            code=FailureCode.START_LOST,
            final=over,
        )
    recording = _with_evidence(recording, evidence, now, policy)
    if _is_lost(recording, evidence, now, policy):
        return Judgement(recording=recording, step=Step.LOOK, code=_loss(recording, evidence), final=True)
    judgement = _judge_deadlines(recording, evidence, now, policy)
    if judgement.step is Step.STOP and evidence.handler is Handler.SILENT:
        # Nobody would hear it.
        judgement = judgement._replace(step=Step.NONE)
    if judgement.step is Step.NONE and evidence.listed is None and recording.absent_since is not None:
        # It may have ended and been forgotten: then the file is there.
        return judgement._replace(step=Step.LOOK)
    return judgement


def _answered_lately(recording: Recording, now: datetime, policy: Policy) -> bool:
    answered_at = recording.handler_answered_at
    return (
        answered_at is not None
        and now < answered_at + policy.handler_interval
        and recording.stop_requested_at is None
    )


def _with_evidence(recording: Recording, evidence: Evidence, now: datetime, policy: Policy) -> Recording:
    """Note since when the witnesses deny the egress, or that one of them vouches for it."""
    noted = recording
    if evidence.presence is Presence.SHOWN:
        # An egress that its room shows records, or is about to: of a forgotten one nobody else will say so.
        begun = evidence.listed is None and recording.status in {Status.STARTING, Status.RESUMING}
        renewed = recording.recorder_seen_at is None or (
            evidence.named and needs_name(recording, now, policy)
        )
        started = takes.take_started(recording, now) if begun else recording
        noted = started._replace(
            started_at=now if begun and not recording.takes else recording.started_at,
            recorder_seen_at=now if renewed else recording.recorder_seen_at,
            absent_since=None,
            handler_silent_since=None,
            handler_answered_at=None,
        )
    elif evidence.listed in ENDING or evidence.handler is Handler.ANSWERS:
        answered_at = now if evidence.handler is Handler.ANSWERS else recording.handler_answered_at
        noted = recording._replace(
            absent_since=None, handler_silent_since=None, handler_answered_at=answered_at
        )
    elif asks_handler(recording, evidence, now, policy):
        silent_since = recording.handler_silent_since
        if evidence.handler is Handler.SILENT:
            silent_since = silent_since or now
        noted = recording._replace(
            absent_since=recording.absent_since or now, handler_silent_since=silent_since
        )
    return recording if noted == recording else next_version(recording, noted, now)


def _is_lost(recording: Recording, evidence: Evidence, now: datetime, policy: Policy) -> bool:
    if not evidence.doubtful or recording.absent_since is None:
        return False
    if evidence.handler is Handler.SILENT:
        since = recording.handler_silent_since
        return since is not None and now >= since + policy.witness_gap
    return _denial_counts(recording, evidence) and now >= recording.absent_since + policy.unseen_grace


def _denial_counts(recording: Recording, evidence: Evidence) -> bool:
    return (
        evidence.listed is None
        or evidence.presence is Presence.CLOSED
        or recording.recorder_seen_at is not None
        or recording.stop_requested_at is not None
    )


def _loss(recording: Recording, evidence: Evidence) -> FailureCode:
    if recording.stop_reason is StopReason.START_TIMEOUT:
        return FailureCode.START_TIMEOUT
    return FailureCode.EGRESS_LOST if evidence.listed is None else FailureCode.WORKER_LOST


def _judge_deadlines(recording: Recording, evidence: Evidence, now: datetime, policy: Policy) -> Judgement:
    if recording.status is Status.STARTING and now >= recording.status_at + policy.starting_timeout:
        nothing = evidence.nothing_published
        return _stop(recording, StopReason.NOTHING_PUBLISHED if nothing else StopReason.START_TIMEOUT, now)
    if recording.status is Status.RESUMING and now >= takes.asked_at(recording) + policy.starting_timeout:
        # Where nobody hears the stop, and no room shows it, the take is given up: another one may begin.
        denied = evidence.doubtful and _denied_twice(recording, now, policy)
        late = now >= takes.asked_at(recording) + 2 * policy.starting_timeout
        over = denied or (late and evidence.presence is not Presence.SHOWN)
        return Judgement(
            recording=recording,
            step=Step.LOOK if over else Step.STOP,
            code=FailureCode.WORKER_LOST,
            final=over,
        )
    ends_at = max_duration_ends_at(recording)
    if recording.status is Status.ACTIVE and ends_at is not None and now >= ends_at:
        return _stop(recording, StopReason.MAX_DURATION, now)
    if recording.status is not Status.STOPPING:
        pausing = recording.stop_requested_at is not None and evidence.listed not in ENDING
        return Judgement(recording=recording, step=Step.STOP if pausing else Step.NONE)
    ending = evidence.listed in ENDING
    denied = evidence.doubtful and _denied_twice(recording, now, policy)
    dead = evidence.presence is Presence.SHOWN and evidence.handler is Handler.SILENT
    over = _stop_is_overdue(recording, now, policy) and (ending or denied or dead)
    if over or (ending and evidence.listed is not EgressStatus.ENDING):
        late = recording.stop_reason is StopReason.START_TIMEOUT
        code = FailureCode.START_TIMEOUT if late else FailureCode.STOP_TIMEOUT
        return Judgement(recording=recording, step=Step.LOOK, code=code, final=over)
    running = not ending and recording.stop_requested_at is not None
    return Judgement(recording=recording, step=Step.STOP if running else Step.NONE)


def _stop_is_overdue(recording: Recording, now: datetime, policy: Policy) -> bool:
    return recording.status is Status.STOPPING and now >= recording.status_at + policy.stopping_timeout


def _denied_twice(recording: Recording, now: datetime, policy: Policy) -> bool:
    return recording.absent_since is not None and now >= recording.absent_since + policy.witness_gap


def _stop(recording: Recording, reason: StopReason, now: datetime) -> Judgement:
    return Judgement(recording=request_stop(recording, reason, now) or recording, step=Step.STOP)
