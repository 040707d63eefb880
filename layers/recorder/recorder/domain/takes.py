"""The takes of a recording: how one ends, when the next begins, and what they come to in the end.

Every function is pure and returns the changed recording; `domain.lifecycle` decides when a report or a wish of a user
leads here.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from recorder.domain.egress import EgressSnapshot, EgressStatus
from recorder.domain.outputs import can_have_segments
from recorder.domain.recording import (
    GIVEN_UP,
    OWN_VERDICTS,
    AssembledFile,
    BegunBy,
    FailureCode,
    Kept,
    OnWorkerLost,
    Recording,
    Status,
    StopReason,
    StoredFile,
    Take,
    TakeEnd,
    next_version,
)
from recorder.domain.sources import Source

MAXIMUM_TAKES: Final = 100
RESCUES: Final = 5
"""How many takes the product begins by itself within `RESCUE_WINDOW`: a worker that dies again and again is no help."""
RESCUE_WINDOW: Final = timedelta(minutes=10)
REOPENING: Final = timedelta(seconds=60)
"""How long after "Source closed" an open but empty room may fill again, while clients reconnect to LiveKit."""

_GOES_ON: Final = frozenset({Source.ROOM_COMPOSITE, Source.PARTICIPANT})
"""The kinds that a next take can record: the ids of tracks die with a republish, and nobody sits in a web page."""
PAUSABLE: Final = frozenset(Source) - {Source.TRACK}
_WORKERS_FAULT: Final = frozenset({"cpu_exhausted", "process_killed"})
_FAILED: Final = frozenset({EgressStatus.FAILED, EgressStatus.ABORTED})
# LiveKit's codes of a handler that was killed, of an upload that failed, and of a LiveKit that was away too long.
_ENDS_BY_CODE: Final[Mapping[int, TakeEnd]] = MappingProxyType(
    {500: TakeEnd.WORKER_LOST, 503: TakeEnd.WORKER_LOST, 400: TakeEnd.UPLOAD_FAILED}
)
_ENDS_BY_REASON: Final[Mapping[str, TakeEnd]] = MappingProxyType(
    {"source_closed": TakeEnd.SOURCE_CLOSED, "limit_reached": TakeEnd.LIMIT_REACHED}
)
FOLLOWS: Final[Mapping[TakeEnd, frozenset[Status]]] = MappingProxyType(
    {
        TakeEnd.PAUSED: frozenset({Status.PAUSED}),
        TakeEnd.WORKER_LOST: frozenset({Status.RESUMING, Status.STOPPING}),
        TakeEnd.UPLOAD_FAILED: frozenset({Status.RESUMING, Status.STOPPING}),
        TakeEnd.SOURCE_CLOSED: frozenset({Status.RESUMING, Status.STOPPING}),
        TakeEnd.STOPPED: frozenset({Status.STOPPING}),
        TakeEnd.LIMIT_REACHED: frozenset({Status.STOPPING}),
        TakeEnd.FAILED: frozenset({Status.STOPPING}),
    }
)
"""The status of a recording when its take has ended: it pauses, goes on if it may, or comes to its end."""
_LOST: Final = frozenset({TakeEnd.WORKER_LOST, TakeEnd.UPLOAD_FAILED})
_BACKOFF: Final = (5, 10, 20, 40, 60)
"""Seconds between the attempts to begin a take."""


# How a take ends.


def end_of(recording: Recording, snapshot: EgressSnapshot) -> TakeEnd | None:
    """Return why the egress of the current take has ended; None where the report does not tell yet."""
    if recording.stop_requested_at is not None:
        return TakeEnd.PAUSED if recording.stop_reason is StopReason.PAUSE else TakeEnd.STOPPED
    if snapshot.end_reason in _WORKERS_FAULT:
        return TakeEnd.WORKER_LOST
    if not snapshot.ended:
        return None
    if snapshot.status in _FAILED:
        return _ENDS_BY_CODE.get(snapshot.error_code, TakeEnd.FAILED)
    return _ENDS_BY_REASON.get(snapshot.end_reason or "", TakeEnd.STOPPED)


def may_go_on(recording: Recording, now: datetime) -> bool:
    """Tell whether the product may begin another take by itself, once the current one has ended."""
    lately = [take.requested_at for take in recording.takes if take.begun_by is BegunBy.RESCUE]
    if recording.take_begun_by is BegunBy.RESCUE and recording.take_requested_at is not None:
        lately.append(recording.take_requested_at)
    return (
        recording.on_worker_lost is OnWorkerLost.CONTINUE
        and recording.source in _GOES_ON
        and recording.stop_requested_at is None
        and recording.deleted_at is None
        and not recording.expired(now)
        and recording.take_started_at is not None
        and recording.take < MAXIMUM_TAKES
        and sum(at > now - RESCUE_WINDOW for at in lately) < RESCUES
    )


def end_take(
    recording: Recording,
    end: TakeEnd,
    now: datetime,
    snapshot: EgressSnapshot | None = None,
    *,
    code: FailureCode | None = None,
) -> Recording:
    """End the current take: what it recorded moves from the row into its takes.

    The status is left to the caller. Without a `snapshot` nothing more is expected of the egress: it was lost.
    """
    recorded = recording.take_started_at is not None
    take = Take(
        take=recording.take,
        egress_id=recording.egress_id,
        begun_by=recording.take_begun_by,
        requested_at=asked_at(recording),
        started_at=recording.take_started_at,
        stopped_at=now,
        end_reason=end,
        reported=snapshot is None,
        segments=recording.take_segments,
        hls_size=recording.hls_size,
        thumbnail_count=recording.thumbnail_count,
        failure_code=code,
        failure_reason=GIVEN_UP.get(code) if code is not None else None,
    )
    if snapshot is not None:
        take = with_report(take, snapshot, now)
    paused = recording.stop_reason is StopReason.PAUSE
    return leave_take(recording, now)._replace(
        takes=(*recording.takes, take) if recorded else recording.takes,
        stop_reason=None if paused else recording.stop_reason,
        stop_requested_at=None if paused else recording.stop_requested_at,
        pause_requested_at=None,
    )


def leave_take(recording: Recording, now: datetime) -> Recording:
    """Leave the current take behind: nothing of what the row tells of its egress is true of the recording."""
    return recording._replace(
        take_ended_at=now,
        recorder_seen_at=None,
        absent_since=None,
        handler_silent_since=None,
        handler_answered_at=None,
        late_upload_until=None,
        storage_key=None,
        file_size=None,
        file_url=None,
        duration=None,
        hls_size=None,
        thumbnail_count=None,
    )


def more_kept[Counted: (Recording, Take)](counted: Counted, kept: Kept) -> Counted | None:
    """Return a recording or a take of which more was found; None where nothing was.

    LiveKit's counts lag behind, and what it says after an outage may be less than the bucket holds.
    """
    size = max(counted.hls_size or 0, kept.hls_size or 0) or None
    count = max(counted.thumbnail_count or 0, kept.thumbnails or 0) or None
    if (size, count) == (counted.hls_size, counted.thumbnail_count):
        return None
    return counted._replace(hls_size=size, thumbnail_count=count)


def with_kept(ended: tuple[Take, ...], kept: Mapping[int, Kept]) -> tuple[Take, ...]:
    """Return the takes with what their folders hold beside their files."""
    return tuple(more_kept(take, kept.get(take.take, Kept())) or take for take in ended)


def note_kept(recording: Recording, kept: Mapping[int, Kept], now: datetime) -> Recording | None:
    """Note of each take what of its outputs the bucket keeps; None where that is known."""
    told = with_kept(recording.takes, kept)
    if told == recording.takes:
        return None
    return next_version(recording, recording._replace(takes=told), now)


def with_report(take: Take, snapshot: EgressSnapshot, now: datetime) -> Take:
    """Fill in what LiveKit reports of a take that has ended.

    Its end stays as it was told first. Of an end that was our own verdict the time and the reason stay too: what its
    worker recorded afterwards belongs to no recording.
    """
    if not snapshot.ended:
        return take
    file = snapshot.file
    ours = take.failure_code in OWN_VERDICTS
    stopped_at = take.stopped_at if ours else snapshot.ended_at
    believable = stopped_at is not None and take.requested_at <= stopped_at <= now
    failed = snapshot.status in _FAILED and not ours
    # A limit that is reached is told before there is a file, and again with it.
    early = snapshot.status is EgressStatus.LIMIT_REACHED and not snapshot.has_file
    size = snapshot.hls.size if snapshot.hls is not None else None
    counted = more_kept(take, Kept(hls_size=size, thumbnails=snapshot.thumbnail_count)) or take
    return counted._replace(
        reported=not early,
        stopped_at=stopped_at if believable and stopped_at is not None else take.stopped_at,
        storage_key=file.key if snapshot.has_file else take.storage_key,
        file_size=(file.size or 0) if snapshot.has_file else take.file_size,
        file_url=file.location if snapshot.has_file else take.file_url,
        # A worker that was stopped by an outage reports a negative one.
        duration=file.duration if file.duration is not None and file.duration > 0 else take.duration,
        failure_code=str(snapshot.error_code or FailureCode.EGRESS_FAILED) if failed else take.failure_code,
        failure_reason=snapshot.failure_reason if failed else take.failure_reason,
    )


def with_file(recording: Recording, file: StoredFile) -> Recording:
    """Give the last ended take a file that was found in its folder."""
    if not recording.takes:
        return recording
    *before, last = recording.takes
    found = last._replace(storage_key=file.key, file_size=file.size, duration=file.duration or last.duration)
    return recording._replace(takes=(*before, found))


def report_on_ended(recording: Recording, snapshot: EgressSnapshot, now: datetime) -> Recording | None:
    """Fill in a report about a take that is not the current one; the recording's status does not follow from it."""
    number = snapshot.owner.take if snapshot.owner is not None else None
    # A recording that has its file tells of each take what that file has.
    complete = recording.status is Status.COMPLETED and recording.storage_key is not None
    changed = tuple(
        (
            take._replace(reported=take.reported or snapshot.ended)
            if complete
            else with_report(take, snapshot, now)
        )
        if take.egress_id == snapshot.egress_id and number in {None, take.take}
        else take
        for take in recording.takes
    )
    if changed == recording.takes:
        return None
    filled = recording._replace(takes=changed)
    if filled.status is Status.STOPPING and filled.between_takes:
        filled = finish(filled, now)
    return next_version(recording, filled, now)


# The next take.


def wait(recording: Recording, status: Status, now: datetime) -> Recording:
    """Have a recording whose take has ended wait for its next one, which a user begins, or else `begin_take`.

    Where no number is left for another take, the recording ends.
    """
    if recording.take < MAXIMUM_TAKES:
        return recording._replace(status=status)
    return finish(recording._replace(stop_reason=StopReason.TAKE_LIMIT, stop_requested_at=now), now)


def begin_take(recording: Recording, begun_by: BegunBy, now: datetime, *, segments: bool) -> Recording | None:
    """Give the next take its number, before its egress is asked for; None where none is to begin."""
    waiting = recording.status in {Status.PAUSED, Status.RESUMING} or reopening(recording)
    if not waiting or not recording.between_takes:
        return None
    return next_version(
        recording,
        recording._replace(
            status=Status.RESUMING,
            take=recording.take + 1,
            take_begun_by=begun_by,
            take_requested_at=now,
            take_started_at=None,
            take_ended_at=None,
            take_segments=segments,
            egress_id=None,
            room_sid=None,
            stream_states=(),
        ),
        now,
    )


def take_started(recording: Recording, started_at: datetime) -> Recording:
    """Make a recording active whose current take has begun to record."""
    if recording.takes:
        recording = lost_seconds(recording, started_at)
    return recording._replace(status=Status.ACTIVE, take_started_at=started_at, attempts=0)


def retry_take(recording: Recording, now: datetime) -> Recording:
    """Take back a take whose egress ended before it recorded: a pause goes on, a rescue is tried again."""
    ended = leave_take(recording, now)
    if recording.take_begun_by is BegunBy.RESUME:
        return wait(ended._replace(attempts=0), Status.PAUSED, now)
    return wait(ended._replace(attempts=recording.attempts + 1), Status.RESUMING, now)


def refuse_take(recording: Recording, take: int, now: datetime) -> Recording | None:
    """Take back a take whose Start was refused, unless a report has told of its egress meanwhile."""
    if recording.take != take or recording.between_takes or recording.egress_id is not None:
        return None
    if recording.status is Status.STOPPING:
        return next_version(recording, finish(leave_take(recording, now), now), now)
    return next_version(recording, retry_take(recording, now), now) if recording.live else None


def asked_at(recording: Recording) -> datetime:
    """Return when the egress of the current take was asked for."""
    return recording.take_requested_at or recording.created_at


def next_attempt_at(recording: Recording) -> datetime:
    """Return when the next attempt to begin a take may be made."""
    tried_at = recording.take_ended_at or recording.status_at
    failed = min(recording.attempts, len(_BACKOFF))
    return tried_at + timedelta(seconds=_BACKOFF[failed - 1]) if failed else tried_at


def with_segments_counted(recording: Recording, count: int, seconds: float) -> Recording:
    """Fix how many safety segments of the last ended take count; of one that was lost they are all that is left.

    Of one that was paused LiveKit may still upload the last ones, and its report tells the seconds.
    """
    *before, last = recording.takes
    known = seconds if last.duration is None and last.end_reason in _LOST else last.duration
    return recording._replace(takes=(*before, last._replace(segment_count=count, duration=known)))


def lost_seconds(recording: Recording, started_at: datetime) -> Recording:
    """Tell of the last take, if it was lost, what is missing until the next one began to record."""
    if not recording.takes or recording.takes[-1].end_reason not in _LOST:
        return recording
    *before, last = recording.takes
    if last.started_at is None or last.lost_seconds is not None:
        return recording
    # Of segments that could not be counted most are there, without any all is lost.
    unknown = (last.stopped_at - last.started_at).total_seconds() if last.segments else 0.0
    kept = last.duration if last.duration is not None else unknown
    missing = max(0.0, (started_at - last.started_at).total_seconds() - kept)
    return recording._replace(takes=(*before, last._replace(lost_seconds=round(missing, 3))))


def recorded_seconds(recording: Recording, now: datetime) -> float:
    """Return for how long a recording has recorded, over all its takes."""
    ended = sum(_seconds(take) for take in recording.takes)
    started_at = recording.take_started_at
    if started_at is None or recording.between_takes:
        return ended
    return ended + max(0.0, (now - started_at).total_seconds())


def _seconds(take: Take) -> float:
    if take.duration is not None:
        return take.duration
    return (take.stopped_at - take.started_at).total_seconds() if take.started_at is not None else 0.0


# The end.


def finish(recording: Recording, now: datetime) -> Recording:
    """Bring a recording to its end, of which no more is recorded: final where nothing has to be waited for.

    Its only take, with a file, is the recording. Otherwise the bucket says what its takes have left: also a take that
    was lost may have left a file.
    """
    reason = _end_reason(recording)
    stopping = recording._replace(status=Status.STOPPING, end_reason=reason)
    if awaits_reports(stopping):
        return stopping
    if not recording.takes:
        return _failed(stopping, now)
    [only, *others] = recording.takes
    if not others and only.take == recording.take and only.has_file:
        return stopping._replace(
            status=Status.COMPLETED,
            storage_key=only.storage_key,
            file_size=only.file_size,
            file_url=only.file_url,
            duration=only.duration,
            stopped_at=only.stopped_at,
        )
    return stopping


def egress_ids(recording: Recording) -> frozenset[str]:
    """Return the egress of the takes that have ended."""
    return frozenset(take.egress_id for take in recording.takes if take.egress_id is not None)


def lost_egress(recording: Recording) -> frozenset[str]:
    """Return the egress of the takes that were lost, which LiveKit may list as running for ever."""
    return frozenset(
        take.egress_id
        for take in recording.takes
        if take.end_reason is TakeEnd.WORKER_LOST and take.egress_id is not None
    )


def waits_for_take(recording: Recording) -> bool:
    """Tell whether the product has to begin the next take."""
    return recording.live and recording.between_takes and recording.status is Status.RESUMING


def awaits_reports(recording: Recording) -> bool:
    """Tell whether LiveKit has still to report the end of a take whose file may be on its way."""
    return any(not take.reported for take in recording.takes)


def to_be_assembled(recording: Recording) -> bool:
    """Tell whether nothing but assembling its takes is left to do."""
    return (
        recording.status is Status.STOPPING
        and recording.between_takes
        and bool(recording.takes)
        and not awaits_reports(recording)
        and not reopening(recording)
    )


def grows_no_more(recording: Recording, *, closed: bool) -> bool:
    """Tell whether nothing is added to what a recording has recorded.

    `closed` says that LiveKit has written the last segment of its last take.
    """
    if recording.status is not Status.STOPPING or reopening(recording):
        return not recording.live
    return recording.between_takes or closed


def reopening(recording: Recording) -> bool:
    """Tell whether it waits for people to come back into a room that LiveKit's restart may have emptied."""
    return (
        recording.status is Status.STOPPING
        and recording.end_reason is None
        and recording.stop_requested_at is None
        and bool(recording.takes)
        and recording.takes[-1].end_reason is TakeEnd.SOURCE_CLOSED
    )


def give_up_reports(recording: Recording, now: datetime) -> Recording:
    """Expect no more reports of ended takes; what their folders hold counts."""
    code = FailureCode.STOP_TIMEOUT
    given_up = tuple(
        take
        if take.reported
        else take._replace(reported=True, failure_code=code, failure_reason=GIVEN_UP[code])
        for take in recording.takes
    )
    return next_version(recording, finish(recording._replace(takes=given_up), now), now)


def complete_assembled(
    recording: Recording, file: AssembledFile, takes: tuple[Take, ...], now: datetime
) -> Recording | None:
    """Complete a recording by the file that its takes were assembled into; None where it is no longer waited for."""
    if not recording.live or not recording.between_takes:
        return None
    completed = recording._replace(
        status=Status.COMPLETED,
        storage_key=file.key,
        file_size=file.size,
        file_url=file.url,
        duration=file.seconds,
        takes=takes,
        stopped_at=takes[-1].stopped_at,
        parts_kept=True,
        attempts=0,
    )
    return next_version(recording, completed, now)


def complete_in_parts(recording: Recording, takes: tuple[Take, ...], now: datetime) -> Recording | None:
    """Complete a recording whose takes cannot be joined: each take with a file is a part of it."""
    if not recording.live or not recording.between_takes:
        return None
    if not any(take.has_file for take in takes):
        return next_version(recording, _failed(recording._replace(takes=takes), now), now)
    completed = recording._replace(
        status=Status.COMPLETED,
        takes=takes,
        stopped_at=takes[-1].stopped_at,
        duration=sum(_seconds(take) for take in takes),
        parts_kept=True,
        attempts=0,
    )
    return next_version(recording, completed, now)


def fail_empty(recording: Recording, now: datetime) -> Recording | None:
    """Fail a recording whose takes left nothing after all."""
    if not recording.live or not recording.between_takes:
        return None
    return next_version(recording, _failed(recording, now), now)


def _failed(recording: Recording, now: datetime) -> Recording:
    last = recording.takes[-1] if recording.takes else None
    code = (last.failure_code if last is not None else None) or FailureCode.WORKER_LOST
    reason = (last.failure_reason if last is not None else None) or "the worker was lost, and it left nothing"
    return recording._replace(status=Status.FAILED, failure_code=code, failure_reason=reason, stopped_at=now)


def _end_reason(recording: Recording) -> str | None:
    if recording.stop_reason is not None:
        return str(recording.stop_reason)
    return recording.takes[-1].end_reason if recording.takes else None


def end_waiting(recording: Recording, now: datetime) -> Recording:
    """End a recording that waits for its next take: the takes so far are the recording."""
    return next_version(recording, finish(recording._replace(attempts=0), now), now)


def is_one_take(recording: Recording) -> bool:
    """Tell whether the file of a recording is that of one of its takes, and was not made of several."""
    key = recording.storage_key
    return key is not None and any(take.storage_key == key for take in recording.takes)


def expect_lost(recording: Recording, until: datetime) -> Recording:
    """Expect, where a final recording has lost takes, that their workers live on and upload until then.

    What comes then belongs to no file any more, unless the recording has none. A take of which nothing was heard may
    have been lost too.
    """
    if recording.status is Status.COMPLETED and is_one_take(recording):
        # Its file is one take's: the bucket says how long it lasts, and that it is there.
        recording = recording._replace(late_upload_until=recording.late_upload_until or until)
    unheard = recording.take > max(1, len(recording.takes))
    if not unheard and not any(take.given_up for take in recording.takes):
        return recording
    if recording.status is Status.COMPLETED and recording.storage_key is None:
        # Each take is a part of its own, and its segments are all that some have.
        return recording
    return recording._replace(
        late_upload_until=recording.late_upload_until or until,
        parts_kept=recording.status is Status.COMPLETED,
    )


def most_seconds(recording: Recording, take: int, unheard: Mapping[int, datetime]) -> float | None:
    """Return how many seconds an ended take may give to the recording; None where that is all that it recorded.

    A worker that was given up may have lived on, cut off from LiveKit: what it recorded after the next take began is
    recorded twice, and what it recorded after a pause began is not to be recorded. `unheard` says when the takes began
    of which only their uploads tell.
    """
    ended = next((each for each in recording.takes if each.take == take), None)
    told = {each.take: each.started_at for each in recording.takes if each.started_at is not None}
    begun = {**told, **unheard}
    ends = [at for number, at in begun.items() if number > take]
    if ended is not None and ended.end_reason is TakeEnd.PAUSED:
        ends.append(ended.stopped_at)
    if not ends or take not in begun or (ended is not None and not ended.lost):
        return None
    return max(0.0, (min(ends) - begun[take]).total_seconds())


def wants_segments(recording: Recording, *, safety: bool) -> bool:
    """Tell whether the next take is to have segments: always where the caller asked for HLS, else for safety.

    It has no safety segments where LiveKit cannot write them, or where the take before ended by an upload error: a file
    alone survives an outage of the storage that segments do not.
    """
    if recording.hls_seconds is not None:
        return True
    after_error = bool(recording.takes) and recording.takes[-1].end_reason is TakeEnd.UPLOAD_FAILED
    return safety and can_have_segments(recording) and not after_error


def with_seconds(ended: tuple[Take, ...], seconds: Mapping[int, float | None]) -> tuple[Take, ...]:
    """Return the takes with the seconds that each of them has in the one file, and what is lost between them.

    A take that has none there has left nothing, whatever LiveKit reported of it.
    """
    exact = [take._replace(duration=seconds.get(take.take, 0.0)) for take in ended]
    for position, take in enumerate(exact[:-1]):
        following = exact[position + 1]
        if take.end_reason in _LOST and take.started_at is not None and following.started_at is not None:
            ended_at = take.started_at + timedelta(seconds=take.duration or 0.0)
            missing = max(0.0, (following.started_at - ended_at).total_seconds())
            exact[position] = take._replace(lost_seconds=round(missing, 3))
    return tuple(exact)


def unheard(recording: Recording, take: int, began_at: datetime | None, ended_at: datetime) -> Take:
    """Return a take of which nothing but its uploads tells: its worker was given up before it was heard of."""
    current = take == recording.take
    return Take(
        take=take,
        egress_id=recording.egress_id if current else None,
        begun_by=recording.take_begun_by,
        requested_at=asked_at(recording) if current else began_at or ended_at,
        started_at=began_at,
        stopped_at=ended_at,
        end_reason=TakeEnd.WORKER_LOST,
        reported=True,
        segments=recording.take_segments,
    )


def with_files(ended: tuple[Take, ...], files: Mapping[int, StoredFile]) -> tuple[Take, ...]:
    """Return the takes with the files that lie in their folders: a take of which none lies there has none."""
    return tuple(
        take._replace(storage_key=file.key, file_size=file.size, duration=file.duration or take.duration)
        if (file := files.get(take.take)) is not None
        else take._replace(storage_key=None, file_size=None)
        for take in ended
    )


def complete_by_file(recording: Recording, take: int, file: StoredFile, now: datetime) -> Recording | None:
    """Complete a recording of which only one take left something: its file."""
    if not recording.live or not recording.between_takes:
        return None
    told = with_kept(with_files(recording.takes, {take: file}), {take: file.beside or Kept()})
    seconds = file.duration or next((each.duration for each in told if each.take == take), None)
    completed = recording._replace(
        status=Status.COMPLETED,
        takes=with_seconds(told, {take: seconds}),
        storage_key=file.key,
        file_size=file.size,
        duration=seconds,
        stopped_at=file.modified_at,
        attempts=0,
    )
    return next_version(recording, completed, now)


def parts_removed(recording: Recording, now: datetime) -> Recording | None:
    """Note that nothing is left of an assembled recording but its file; not while more of it may be uploaded."""
    if not recording.parts_kept or recording.awaits_upload(now):
        return None
    return next_version(recording, recording._replace(parts_kept=False, attempts=0), now)
