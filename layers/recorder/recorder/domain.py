"""What a recording is and how it may change: pure, without I/O and without a clock.

`TRANSITIONS` is the state machine. Webhooks, sweeps, reads and the answers of Start and Stop all go through
`apply_snapshot`; what the product decides by itself goes through `request_stop`, `mark_deleted`, `give_up` and
`complete_from_file`. Each returns the changed recording, or None where there is nothing to change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID


class Status(StrEnum):
    """A recording's status: the first three are live, the last two final."""

    STARTING = "starting"
    ACTIVE = "active"
    STOPPING = "stopping"
    COMPLETED = "completed"
    FAILED = "failed"


TRANSITIONS: Final[Mapping[Status, frozenset[Status]]] = MappingProxyType(
    {
        Status.STARTING: frozenset({Status.ACTIVE, Status.STOPPING, Status.COMPLETED, Status.FAILED}),
        Status.ACTIVE: frozenset({Status.STOPPING, Status.COMPLETED, Status.FAILED}),
        Status.STOPPING: frozenset({Status.COMPLETED, Status.FAILED}),
        Status.COMPLETED: frozenset(),
        Status.FAILED: frozenset(),
    }
)
LIVE: Final = frozenset(status for status, onward in TRANSITIONS.items() if onward)
RUNNING: Final = frozenset({Status.STARTING, Status.ACTIVE})
"""What nobody has asked to end."""


class EgressStatus(StrEnum):
    """LiveKit's status of an egress; UNKNOWN is every value that this version does not know."""

    STARTING = "EGRESS_STARTING"
    ACTIVE = "EGRESS_ACTIVE"
    ENDING = "EGRESS_ENDING"
    COMPLETE = "EGRESS_COMPLETE"
    FAILED = "EGRESS_FAILED"
    ABORTED = "EGRESS_ABORTED"
    LIMIT_REACHED = "EGRESS_LIMIT_REACHED"
    UNKNOWN = "UNKNOWN"


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

ENDING: Final = frozenset({EgressStatus.ENDING, EgressStatus.COMPLETE, EgressStatus.LIMIT_REACHED})
"""What an egress may be that no longer records, while its file is on its way."""


class Source(StrEnum):
    """What is recorded."""

    ROOM_COMPOSITE = "room_composite"
    TRACK = "track"


class StopReason(StrEnum):
    """Why this product asked LiveKit to stop an egress."""

    USER = "stopped"
    DELETED = "deleted"
    MAX_DURATION = "max_duration"
    START_TIMEOUT = "start_timeout"
    ORPHAN = "orphan"
    SURVIVOR = "survivor"
    """It runs although we have called its recording failed."""


class FailureCode(StrEnum):
    """Why a recording failed, where the reason is not an error code of LiveKit's own."""

    ROOM_NOT_FOUND = "room_not_found"
    EGRESS_REFUSED = "egress_refused"
    EGRESS_UNAVAILABLE = "egress_unavailable"
    EGRESS_MISCONFIGURED = "egress_misconfigured"
    EGRESS_FAILED = "egress_failed"
    EGRESS_ABORTED = "egress_aborted"
    START_LOST = "start_lost"
    START_TIMEOUT = "start_timeout"
    STOP_TIMEOUT = "stop_timeout"
    WORKER_LOST = "worker_lost"
    EGRESS_LOST = "egress_lost"


CLIENT_FAULTS: Final = frozenset({FailureCode.ROOM_NOT_FOUND, FailureCode.EGRESS_REFUSED})
"""What a client can mend; everything else needs an operator's eye."""
OWN_VERDICTS: Final = frozenset(FailureCode) - {FailureCode.EGRESS_FAILED, FailureCode.EGRESS_ABORTED}
"""What LiveKit did not say of an egress: one may run all the same."""


class EventType(StrEnum):
    """The events that a change of a recording emits."""

    STARTED = "RecordingStarted"
    ACTIVE = "RecordingActive"
    STOPPING = "RecordingStopping"
    COMPLETED = "RecordingCompleted"
    FAILED = "RecordingFailed"
    DELETED = "RecordingDeleted"


EVENTS: Final[Mapping[Status, EventType]] = MappingProxyType(
    {
        Status.STARTING: EventType.STARTED,
        Status.ACTIVE: EventType.ACTIVE,
        Status.STOPPING: EventType.STOPPING,
        Status.COMPLETED: EventType.COMPLETED,
        Status.FAILED: EventType.FAILED,
    }
)

# `EgressInfo.details` of LiveKit egress 1.14, as recorded; anything else is no reason that a client could act on.
END_REASONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "End reason: StopEgress API": "stopped",
        "End reason: Source closed": "source_closed",
        "End reason: Session limit reached": "limit_reached",
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
MIME_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {"mp4": "video/mp4", "webm": "video/webm", "ogg": "audio/ogg", "mp3": "audio/mpeg"}
)
PREFIX: Final = "recordings/"
FAILURE_REASON_LENGTH: Final = 500
URGENT_ATTEMPTS: Final = 2
"""So many count at most where an egress runs, and bills, that ought to have ended: it is asked every two minutes."""
FILE_NAME_BYTES: Final = 200
"""What a room may give to a file's name: most file systems take 255 in all."""


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
    """How far apart two denials of a room must be: LiveKit removes a dead recorder after 21 to 25 s."""
    unseen_grace: timedelta = timedelta(hours=1)
    """How long an egress that its room never showed may be missing from LiveKit's record."""
    sweep_interval: timedelta = timedelta(seconds=50)
    """How long one look at a live recording lasts: just below the schedule's minute."""
    refresh_after: timedelta = timedelta(seconds=5)
    """How old a live status may be before a read asks LiveKit."""
    idempotency_life: timedelta = timedelta(hours=24)
    """How long an idempotency key is remembered."""
    retention: timedelta | None = None
    """How long a recording is kept; None keeps it for ever."""
    max_duration: timedelta | None = None
    """The longest recording that a request gets; None sets no limit."""


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One row of the table `recordings`.

    Times are aware datetimes in UTC, durations seconds, sizes bytes, bitrates kbit/s.
    """

    id: UUID
    user_id: str
    room_name: str
    source: Source
    status: Status
    created_at: datetime
    updated_at: datetime
    status_at: datetime
    """When the status last changed: the deadlines of starting and stopping count from here."""
    layout: str | None = None
    resolution: str | None = None
    codec: str | None = None
    audio_codec: str | None = None
    audio_bitrate: int | None = None
    video_bitrate: int | None = None
    track_sid: str | None = None
    room_sid: str | None = None
    egress_id: str | None = None
    started_at: datetime | None = None
    stopped_at: datetime | None = None
    storage_key: str | None = None
    file_url: str | None = None
    file_size: int | None = None
    duration: float | None = None
    failure_code: str | None = None
    failure_reason: str | None = None
    end_reason: str | None = None
    max_duration: int | None = None
    expires_at: datetime | None = None
    target: str | None = None
    """What may be recorded once at a time; None for rows taken over from another table that collide."""
    idempotency_key: str | None = None
    idempotency_fingerprint: str | None = None
    stop_reason: StopReason | None = None
    stop_requested_at: datetime | None = None
    deleted_at: datetime | None = None
    late_upload_until: datetime | None = None
    """Until when a file may still arrive although the recording is final: set where we, not LiveKit, ended it."""
    recorder_seen_at: datetime | None = None
    """When the room first showed the egress among its participants."""
    absent_since: datetime | None = None
    """When record and room first agreed that the egress is not there."""
    refreshed_at: datetime | None = None
    due_at: datetime | None = None
    """When the sweep has to look at this row again; None: never."""
    attempts: int = 0
    """How often in a row the sweep has failed to do what this row needs."""
    version: int = 0
    """Counts the writes: compare-and-set compares it, and it numbers the events."""

    @property
    def live(self) -> bool:
        """Whether the recording holds its target."""
        return self.status in LIVE

    @property
    def prefix(self) -> str:
        """The folder in the bucket that holds every object of this recording."""
        return object_prefix(self.id)

    @property
    def downloadable(self) -> bool:
        """Whether a file of this recording is known to be in the bucket."""
        return not self.live and self.storage_key is not None and self.file_size is not None

    def awaits_upload(self, now: datetime) -> bool:
        """Whether a file may still arrive in the folder."""
        return self.live or (self.late_upload_until is not None and self.late_upload_until > now)

    @property
    def outlived(self) -> bool:
        """Whether the egress was heard of after our own verdict, perhaps on nobody's record."""
        return self.stop_reason is StopReason.SURVIVOR and self.late_upload_until is not None

    @property
    def extension(self) -> str | None:
        """The file's extension, lower case, without the dot."""
        if self.storage_key is None:
            return None
        _, dot, extension = self.storage_key.rpartition("/")[2].rpartition(".")
        return extension.lower() if dot else None

    @property
    def mime_type(self) -> str | None:
        """The file's media type, where its extension tells."""
        return MIME_TYPES.get(self.extension or "")

    @property
    def file_name(self) -> str | None:
        """A name for the downloaded file: the room and when the recording was asked for."""
        extension = self.extension
        if extension is None:
            return None
        room = self.room_name.encode()[:FILE_NAME_BYTES].decode(errors="ignore")
        # A date and a time as file systems take them; strftime would take three times as long.
        asked_at = (
            self.created_at.astimezone(UTC).replace(tzinfo=None).isoformat(" ", "seconds").replace(":", "-")
        )
        return f"{room} {asked_at}.{extension}"

    def expired(self, now: datetime) -> bool:
        """Whether the retention is over."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressFile:
    """One result file as LiveKit reports it; size and location are real only on a final status."""

    key: str | None = None
    size: int | None = None
    duration: float | None = None
    location: str | None = None
    started_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressSnapshot:
    """What LiveKit says of one egress at one moment."""

    egress_id: str
    status: EgressStatus
    recording_id: UUID | None = None
    """The recording in whose folder the egress writes, if it is one of this deployment."""
    room_name: str = ""
    room_sid: str | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    error_code: int = 0
    details: str = ""
    file: EgressFile = EgressFile()
    backup_storage_used: bool = False

    @property
    def filed(self) -> bool:
        """Whether the egress has put its file somewhere."""
        return self.backup_storage_used or self.file.size is not None or self.file.location is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """An object that is in the bucket."""

    key: str
    size: int
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoom:
    """What LiveKit says of a room that exists; a room that is opened anew gets another `sid`."""

    sid: str
    recorded: bool
    """Whether a recorder takes part in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One state change to tell the world: `sequence` orders the events of a recording, `id` never changes."""

    id: str
    type: EventType
    recording_id: UUID
    sequence: int
    occurred_at: datetime


def object_prefix(recording_id: UUID) -> str:
    """Return the folder that belongs to a recording."""
    return f"{PREFIX}{recording_id}/"


def event_of(before: Recording | None, after: Recording) -> Event | None:
    """Return the event that this change emits, or None.

    A deletion is the last event of a recording: what happens to its egress afterwards is nobody's news.
    """
    if after.deleted_at is not None:
        if before is None or before.deleted_at is not None:
            return None
        kind = EventType.DELETED
    elif before is not None and before.status == after.status:
        return None
    else:
        kind = EVENTS[after.status]
    return Event(
        id=f"{after.id}-{after.version}",
        type=kind,
        recording_id=after.id,
        sequence=after.version,
        occurred_at=after.updated_at,
    )


def apply_snapshot(
    recording: Recording, snapshot: EgressSnapshot, now: datetime, policy: Policy
) -> Recording | None:
    """Bring what LiveKit says into a recording.

    Live statuses only move forward, a final status never changes, an unknown one changes nothing, and a snapshot
    of another egress than the recording's own is ignored. Facts about the file are taken over where they are real,
    and nothing is completed without a file: LIMIT_REACHED, which comes without ENDING, may be said before.
    """
    if snapshot.status is EgressStatus.UNKNOWN or recording.egress_id not in {None, snapshot.egress_id}:
        return None
    observed = OBSERVED[snapshot.status]
    if observed is Status.COMPLETED and not snapshot.filed:
        observed = Status.STOPPING
    changed = _with_file(recording, snapshot, final=observed not in LIVE)
    if observed in TRANSITIONS[recording.status]:
        changed = _with_status(changed, snapshot, observed)
        if observed is Status.FAILED and not changed.downloadable:
            # A worker that was killed reports no file, nor does a failure that follows a success, and a second
            # egress may have stored one: look for it.
            changed = replace(changed, late_upload_until=now + policy.upload_grace)
    elif observed in RUNNING and recording.failure_code in OWN_VERDICTS and not recording.outlived:
        # LiveKit may have it on no record, so it is remembered here.
        changed = replace(
            changed, stop_reason=StopReason.SURVIVOR, late_upload_until=now + policy.upload_grace
        )
    room_sid = recording.room_sid or snapshot.room_sid
    # A sweep applies thousands of snapshots that change nothing, and a copy is what costs.
    if (changed.egress_id, changed.room_sid) != (snapshot.egress_id, room_sid):
        changed = replace(changed, egress_id=snapshot.egress_id, room_sid=room_sid)
    return None if changed == recording else _written(recording, replace(changed, refreshed_at=now), now)


def _with_file(recording: Recording, snapshot: EgressSnapshot, *, final: bool) -> Recording:
    file = snapshot.file
    if recording.live and file.started_at not in {None, recording.started_at}:
        recording = replace(recording, started_at=file.started_at)
    if recording.downloadable:
        # What was completed from the file itself learns the rest when LiveKit remembers.
        if final and file.key == recording.storage_key and recording.duration is None:
            return replace(recording, duration=file.duration, file_url=file.location)
        return recording
    if snapshot.backup_storage_used:
        return replace(recording, storage_key=None, file_url=file.location, duration=file.duration)
    if final and snapshot.filed:
        return replace(
            recording,
            storage_key=file.key or recording.storage_key,
            file_size=file.size or 0,
            file_url=file.location,
            duration=file.duration,
        )
    if recording.live and file.key not in {None, recording.storage_key}:
        return replace(recording, storage_key=file.key)
    return recording


def _with_status(recording: Recording, snapshot: EgressSnapshot, status: Status) -> Recording:
    if status in LIVE:
        return replace(recording, status=status)
    ended = replace(
        recording,
        status=status,
        stopped_at=snapshot.ended_at,
        end_reason=_end_reason(recording, snapshot),
        absent_since=None,
    )
    if status is Status.COMPLETED:
        return ended
    reason = snapshot.error or snapshot.details or "LiveKit gave no reason"
    return replace(
        ended,
        failure_code=_failure_code(recording, snapshot),
        failure_reason=reason[:FAILURE_REASON_LENGTH],
    )


def _failure_code(recording: Recording, snapshot: EgressSnapshot) -> str:
    if recording.stop_reason is StopReason.START_TIMEOUT:
        return FailureCode.START_TIMEOUT
    if snapshot.error_code:
        return str(snapshot.error_code)
    if snapshot.status is EgressStatus.ABORTED:
        return FailureCode.EGRESS_ABORTED
    return FailureCode.EGRESS_FAILED


def _end_reason(recording: Recording, snapshot: EgressSnapshot) -> str | None:
    if snapshot.status is EgressStatus.LIMIT_REACHED:
        return "limit_reached"
    return recording.stop_reason or END_REASONS.get(snapshot.details)


def request_stop(recording: Recording, reason: StopReason, now: datetime) -> Recording | None:
    """Store the wish that a live recording ends; who carries it out is the caller, or the sweep."""
    if not recording.live or recording.stop_requested_at is not None:
        return None
    status = Status.STOPPING if Status.STOPPING in TRANSITIONS[recording.status] else recording.status
    return _written(
        recording, replace(recording, status=status, stop_reason=reason, stop_requested_at=now), now
    )


def mark_deleted(recording: Recording, now: datetime) -> Recording | None:
    """Make a recording invisible; a live one is asked to stop. Its objects and its row go afterwards."""
    if recording.deleted_at is not None:
        return None
    stopping = request_stop(recording, StopReason.DELETED, now) or recording
    return _written(recording, replace(stopping, deleted_at=now, idempotency_key=None), now)


def refuse(recording: Recording, code: FailureCode, reason: str, now: datetime) -> Recording | None:
    """End a recording whose Start was refused; one that got an egress all the same stays as it is.

    A refusal that a second try may lift forgets the idempotency key, so that the second try is one.
    """
    if recording.egress_id is not None or Status.FAILED not in TRANSITIONS[recording.status]:
        return None
    retriable = code in {FailureCode.EGRESS_UNAVAILABLE, FailureCode.EGRESS_MISCONFIGURED}
    failed = replace(
        recording,
        status=Status.FAILED,
        failure_code=code,
        failure_reason=reason[:FAILURE_REASON_LENGTH],
        stopped_at=now,
        idempotency_key=None if retriable else recording.idempotency_key,
    )
    return _written(recording, failed, now)


def give_up(recording: Recording, code: FailureCode, now: datetime, policy: Policy) -> Recording | None:
    """End a recording by our own verdict. A file that arrives all the same is looked for until the grace ends."""
    if Status.FAILED not in TRANSITIONS[recording.status]:
        return None
    failed = replace(
        recording,
        status=Status.FAILED,
        failure_code=code,
        failure_reason=GIVEN_UP[code],
        stopped_at=now,
        late_upload_until=now + policy.upload_grace,
    )
    return _written(recording, failed, now)


def complete_from_file(recording: Recording, file: StoredFile, now: datetime) -> Recording | None:
    """Take a file that lies in the recording's folder as what is left of an egress that LiveKit forgot.

    A live recording is completed by it; a failed one stays failed and becomes downloadable.
    """
    if recording.downloadable:
        return None
    found = replace(recording, storage_key=file.key, file_size=file.size)
    if Status.COMPLETED in TRANSITIONS[recording.status]:
        found = replace(
            found,
            status=Status.COMPLETED,
            stopped_at=file.modified_at,
            end_reason=recording.stop_reason,
            late_upload_until=None,
        )
    return _written(recording, found, now)


def _written(before: Recording, after: Recording, now: datetime) -> Recording:
    status_at = now if before.status is not after.status else before.status_at
    return replace(after, updated_at=now, status_at=status_at, version=before.version + 1)


def tidied(
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
    return _written(
        recording,
        replace(
            recording,
            late_upload_until=None if settled and late is not None and late <= now else late,
            idempotency_key=None if key_over else recording.idempotency_key,
            attempts=0 if settled else min(attempts, URGENT_ATTEMPTS) if urgent else attempts,
        ),
        now,
    )


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
        return _written(recording, shown, now)
    if presence in DENIALS and _counts(recording, record, presence):
        if recording.absent_since is not None:
            return recording
        return _written(recording, replace(recording, absent_since=now), now)
    if presence is Presence.SILENT or recording.absent_since is None:
        return recording
    return _written(recording, replace(recording, absent_since=None), now)


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


def scheduled(before: Recording | None, after: Recording, policy: Policy, now: datetime) -> Recording:
    """Return what a recording became, with its expiry, once it is final, and the time of the sweep's next look."""
    if not after.live and after.expires_at is None and policy.retention is not None:
        after = replace(after, expires_at=now + policy.retention)
    if not after.live and after.deleted_at is not None and after.egress_id is not None:
        after = _entombed(after, policy, now)
    return replace(after, due_at=_due_at(before, after, policy, now))


def _entombed(recording: Recording, policy: Policy, now: datetime) -> Recording:
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
    if _is_news(before, after) or (after.deleted_at is not None and late is None):
        return now
    reminders = [late] if after.deleted_at is not None else [late, after.expires_at]
    if after.idempotency_key is not None:
        reminders.append(after.created_at + policy.idempotency_life)
    return min((reminder for reminder in reminders if reminder is not None), default=None)


def _is_news(before: Recording | None, after: Recording) -> bool:
    """Tell whether a final recording has become what nobody but the sweep may have acted upon."""
    deleted = after.deleted_at is not None and (before is None or before.deleted_at is None)
    return deleted or (after.outlived and (before is None or not before.outlived))


def max_duration_ends_at(recording: Recording) -> datetime | None:
    """Return when the recording reaches its longest duration, if it has one."""
    if recording.max_duration is None or recording.started_at is None:
        return None
    return recording.started_at + timedelta(seconds=recording.max_duration)


def backoff(attempts: int) -> timedelta:
    """Return how long to wait after so many failures in a row: one minute, doubled each time, at most six hours."""
    return timedelta(minutes=min(2 ** min(attempts - 1, 9), 360))
