"""The life of an egress, and LiveKit's Egress service."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Protocol

from google.protobuf.message import Message
from livekit.protocol import egress, models

from . import files, jobs
from .faults import Faults
from .jobs import Job
from .recording import Encoding, Recording
from .rooms import Room, Rooms
from .schedule import Schedule
from .timing import Delay, Timing
from .twirp import (
    EGRESS_NOT_FOUND,
    NO_WORKER,
    ROOM_NOT_FOUND,
    TIMED_OUT,
    Answer,
    TwirpError,
    failed_precondition,
    invalid_argument,
    new_id,
)

_ENDED = {
    egress.EGRESS_COMPLETE,
    egress.EGRESS_FAILED,
    egress.EGRESS_ABORTED,
    egress.EGRESS_LIMIT_REACHED,
}
_TRACK_MEDIA = {
    "audio/opus": ("ogg", Encoding(audio_codec="opus")),
    "video/VP8": ("webm", Encoding(video_codec="vp8")),
    "video/H264": ("mp4", Encoding(video_codec="h264")),
}
_UPLOAD_DENIED = (
    "S3 upload failed: err: operation error S3: PutObject, https response error StatusCode: 403, RequestID: , "
    "HostID: , api error AccessDenied: Access Denied, status code: 403"
)
_STOPPED = "StopEgress API"
_SOURCE_CLOSED = "Source closed"
_PROCESS_KILLED = "Process killed"


@dataclass(frozen=True, slots=True)
class Upload:
    """A finished recording, to be rendered and stored; its driver reports `uploaded` or `upload_failed`."""

    egress_id: str
    recording: Recording
    s3: egress.S3Upload | None
    """Where to, with its real credentials; None where the file stays on the worker."""
    key: str
    manifest_key: str | None
    content_type: str
    backup: bool
    """The file goes to the worker's backup storage: the bucket gets nothing."""
    info: egress.EgressInfo
    """As it will be when the upload is done, but for size and end."""

    def manifest(self, ended_at: int) -> bytes:
        """Write the manifest that goes beside the file; `ended_at` (ns) is also for `uploaded`."""
        return files.manifest(self.info, self.info.ended_at or ended_at)


class Egress:
    """One egress: what its handler knows of it, and what the server has on record."""

    __slots__ = (
        "active_wanted",
        "alive",
        "ended",
        "file_ended_at",
        "info",
        "job",
        "joined",
        "layout",
        "limited",
        "publisher",
        "record",
        "room",
        "started",
        "uploading",
        "urls",
        "waiting",
    )

    def __init__(
        self, job: Job, room: Room | None, started: egress.EgressInfo, urls: tuple[str, ...]
    ) -> None:
        self.job = job
        self.room = room
        self.started = started
        """As the start was answered; never changed."""
        self.info = _copy(started)
        """As its handler sees it."""
        self.record: egress.EgressInfo | None = None
        """As ListEgress gives it; None before it is taken and when the server lost it."""
        self.urls = urls
        self.layout = job.layout
        self.alive = True
        """Its handler process runs."""
        self.ended = False
        self.waiting = False
        """For its track or participant: it cannot be stopped."""
        self.joined = False
        self.active_wanted = True
        self.limited = False
        self.publisher = ""
        self.uploading = False
        self.file_ended_at = 0

    @property
    def id(self) -> str:
        """The egress id."""
        return self.started.egress_id


class Host(Protocol):
    """What the egress service needs of the world around it."""

    def upload(self, upload: Upload) -> None:
        """Have a file rendered and stored."""

    def notify(self, event: str, info: egress.EgressInfo, urls: tuple[str, ...]) -> None:
        """Tell about an egress by webhook."""

    def webhook_urls(self, job: Job) -> tuple[str, ...]:
        """Say who is told about a job."""


class EgressService:
    """LiveKit's Egress service with its workers."""

    def __init__(
        self, host: Host, schedule: Schedule, random: Random, timing: Timing, faults: Faults, rooms: Rooms
    ) -> None:
        self._host = host
        self._schedule = schedule
        self._random = random
        self._timing = timing
        self._faults = faults
        self._rooms = rooms
        self._live: dict[str, Egress] = {}
        self._ended: dict[str, Egress] = {}
        self._forget: deque[tuple[int, str]] = deque()
        rooms.closed = self._room_closed
        rooms.left = self._participant_left
        rooms.joined = self._participant_joined
        rooms.removed = self._recorder_removed

    # The API.

    def start(self, request: jobs.StartRequest) -> Answer:
        """Start*Egress. The egress exists from the moment when a worker takes it, not from the call on."""
        timing, faults, random = self._timing, self._faults, self._random
        room_name = "" if isinstance(request, egress.WebEgressRequest) else request.room_name
        room = self._rooms.find(room_name)
        if room is None and room_name:
            return Answer(ROOM_NOT_FOUND, timing.lookup.draw(random))
        if faults.no_worker.fires(random):
            return Answer(NO_WORKER, timing.no_worker.draw(random))
        try:
            if faults.options_refused.fires(random):
                raise jobs.Refused("request has missing or invalid field: output")
            job = jobs.read(request)
        except jobs.Refused as refusal:
            return Answer(invalid_argument(str(refusal)), timing.refuse.draw(random))
        taking = timing.full_worker if faults.full_worker.fires(random) else timing.accept
        delay = taking.draw(random)
        started = self._starting_info(job, request, room, self._schedule.now() + delay)
        if job.upload is not None:
            job = replace(job, upload=_copy(job.upload))
        taken = Egress(job, room, started, self._host.webhook_urls(job))
        taken.active_wanted = not faults.never_active.fires(random)
        taken.limited = faults.limit_reached.fires(random)
        self._schedule.after(delay, partial(self._take, taken))
        return Answer(_copy(started), delay + timing.answer.draw(random))

    def stop(self, request: egress.StopEgressRequest) -> Answer:
        """StopEgress: at once where the handler answers, slow otherwise."""
        timing, random = self._timing, self._random
        found = self._find(request.egress_id)
        if found is None or (found.record is None and not found.alive):
            return Answer(EGRESS_NOT_FOUND, timing.stop_unreachable.draw(random))
        if found.ended:
            status = egress.EgressStatus.Name(found.info.status)
            error = failed_precondition(f"egress with status {status} cannot be stopped")
            return Answer(error, timing.stop_unreachable.draw(random))
        if not found.alive:
            return Answer(TIMED_OUT, timing.stop_unreachable.draw(random))
        if found.waiting:
            return Answer(TIMED_OUT, timing.stop_waiting.draw(random))
        if found.info.status == egress.EGRESS_STARTING:
            return self._stop_early(found)
        if found.info.status == egress.EGRESS_ACTIVE:
            self._end(found, _STOPPED)
        answer = _copy(found.info)
        if found.job.source_type == egress.EGRESS_SOURCE_TYPE_WEB:
            self._close_file(answer, found)
        return Answer(answer, timing.stop.draw(random))

    def list_records(self, request: egress.ListEgressRequest) -> Answer:
        """ListEgress from the server's records, newest first; an unknown id is a 404."""
        after = self._timing.lookup.draw(self._random)
        if request.egress_id:
            found = self._find(request.egress_id)
            if found is None or found.record is None:
                return Answer(EGRESS_NOT_FOUND, after)
            return Answer(egress.ListEgressResponse(items=[found.record]), after)
        self._forget_old()
        candidates = self._live.values() if request.active else (*self._live.values(), *self._ended.values())
        records = [
            found.record
            for found in candidates
            if found.record is not None
            and (not request.room_name or found.record.room_name == request.room_name)
            and (not request.active or found.record.status not in _ENDED)
        ]
        records.sort(key=lambda record: -record.started_at)
        return Answer(egress.ListEgressResponse(items=records), after)

    def update_layout(self, request: egress.UpdateLayoutRequest) -> Answer:
        """UpdateLayout: the file shows it, the info does not."""
        return self._update(request.egress_id, partial(self._set_layout, layout=request.layout))

    def update_stream(self, request: egress.UpdateStreamRequest) -> Answer:
        """UpdateStream: refused, since every egress here writes a file."""
        error = invalid_argument("UpdateStream called on non-streaming egress")
        return self._update(request.egress_id, lambda _: error)

    # What the driver reports.

    def uploaded(self, egress_id: str, size: int, ended_at: int | None = None) -> None:
        """Take note that the file of `size` bytes, and its manifest, are stored; too late where the host died."""
        found = self._live.get(egress_id)
        if found is None or not found.uploading or not found.alive:
            return
        info = found.info
        now = self._schedule.now() if ended_at is None else ended_at
        if info.status == egress.EGRESS_ENDING:
            info.status = egress.EGRESS_FAILED if info.error_code else egress.EGRESS_COMPLETE
        info.ended_at = info.updated_at = info.ended_at or now
        file = info.file_results[0]
        file.size = size
        key = files.key_of(file.filename)
        file.location = self._location(found, key, info.backup_storage_used)
        if not found.job.disable_manifest and info.details != _reason(_PROCESS_KILLED):
            manifest_key = files.manifest_key(key, found.id)
            info.manifest_location = self._location(found, manifest_key, info.backup_storage_used)
        self._finish(found)
        if info.status == egress.EGRESS_COMPLETE and self._faults.failed_after_complete.fires(self._random):
            self._after(self._timing.second_end, self._fail_again, found, even_dead=True)

    def upload_failed(self, egress_id: str, code: int, text: str) -> None:
        """Take note that the file could not be stored."""
        found = self._live.get(egress_id)
        if found is None or not found.uploading or not found.alive:
            return
        info = found.info
        info.status = egress.EGRESS_FAILED
        info.error, info.error_code = text, code
        info.ended_at = info.updated_at = self._schedule.now()
        self._finish(found)

    # What can be done to an egress from outside.

    def running(self) -> dict[str, egress.EgressInfo]:
        """Give every egress that has not ended, by id, as its handler sees it, dead ones included."""
        return {egress_id: found.info for egress_id, found in self._live.items()}

    def kill_host(self, egress_id: str) -> None:
        """Let the host under an egress die: nothing of it is heard again, its record stays as it is."""
        found = self._live.get(egress_id)
        if found is not None and found.alive:
            self._die(found)

    def kill_handler(self, egress_id: str) -> None:
        """Let the process of an egress die: FAILED at once, with what was known at its start."""
        found = self._live.get(egress_id)
        if found is not None and found.alive:
            self._die(found)
            self._fail_as_started(found, "signal: killed")

    def shut_down_host(self, egress_id: str) -> None:
        """Let the worker be interrupted: FAILED 403 with an uploaded file."""
        found = self._live.get(egress_id)
        if found is None or not found.alive:
            return
        if found.info.status == egress.EGRESS_STARTING:
            self._abort(found, _PROCESS_KILLED)
        elif found.info.status == egress.EGRESS_ACTIVE:
            self._end(found, _PROCESS_KILLED)
            found.info.error, found.info.error_code = "server is shutting down", 403
            found.info.ended_at = self._schedule.now()

    def lose_record(self, egress_id: str) -> None:
        """Let the server forget an egress, as when Redis was emptied; its next update brings it back."""
        self._ended.pop(egress_id, None)
        found = self._live.get(egress_id)
        if found is not None:
            found.record = None
            if not found.alive:
                del self._live[egress_id]

    def lose_records(self) -> None:
        """Let the server forget every egress."""
        for egress_id in (*self._live, *self._ended):
            self.lose_record(egress_id)

    # A life, step by step.

    def _starting_info(
        self, job: Job, request: jobs.StartRequest, room: Room | None, taken_at: int
    ) -> egress.EgressInfo:
        info = egress.EgressInfo(
            egress_id=new_id("EG_", self._random),
            room_id="" if room is None else room.info.sid,
            room_name=job.room_name,
            source_type=job.source_type,
            status=egress.EGRESS_STARTING,
            started_at=taken_at,
            updated_at=taken_at,
        )
        jobs.echo(request, info)
        file = info.file_results.add()
        if job.container is not None:
            replacements = {} if room is None else {"room_name": room.name, "room_id": room.info.sid}
            file.filename = files.name(
                job.filepath, job.container, job.room_name or "web", replacements, taken_at
            )
        info.file.CopyFrom(file)
        return info

    def _take(self, taken: Egress) -> None:
        timing, random = self._timing, self._random
        self._live[taken.id] = taken
        self._publish(taken, "egress_started", taken.started)
        taken.info.started_at += timing.begin.draw(random)
        web = taken.job.source_type == egress.EGRESS_SOURCE_TYPE_WEB
        if taken.room is not None and taken.room.closed:
            self._abort(taken, _SOURCE_CLOSED)
            return
        if taken.room is not None:
            self._after(timing.join_web if web else timing.join, self._join, taken)
        if web:
            self._after(timing.active_web, self._activate, taken)
        elif taken.job.container is not None and taken.job.video:
            self._after(timing.active_encoded, self._activate, taken)
        else:
            self._after(timing.active, self._activate, taken)
        for fault, strike in (
            (self._faults.host_dies, self.kill_host),
            (self._faults.handler_dies, self.kill_handler),
            (self._faults.record_lost, self.lose_record),
        ):
            if fault.fires(random):
                self._schedule.after(timing.death.draw(random), partial(strike, taken.id))

    def _join(self, taken: Egress) -> None:
        if taken.room is not None and taken.info.status in {egress.EGRESS_STARTING, egress.EGRESS_ACTIVE}:
            taken.joined = True
            self._rooms.recorder_joins(taken.room, taken.id)

    def _activate(self, taken: Egress) -> None:
        info = taken.info
        if info.status != egress.EGRESS_STARTING or not taken.active_wanted:
            return
        if not self._source_present(taken):
            needs_source = bool(taken.job.tracks or taken.job.identity)
            if needs_source and not taken.waiting:
                self._after(self._timing.source_missing, self._give_up, taken)
            taken.waiting = needs_source
            return
        taken.waiting = False
        now = self._schedule.now()
        self._name_file(taken)
        web = taken.job.source_type == egress.EGRESS_SOURCE_TYPE_WEB
        file = info.file_results[0]
        file.started_at = now if web else now - self._timing.media.draw(self._random)
        info.status = egress.EGRESS_ACTIVE
        info.updated_at = now
        if not self._faults.update_coalesced.fires(self._random):
            self._publish(taken, "egress_updated", info)
        if taken.limited:
            self._after(self._timing.session_limit, self._reach_limit, taken)

    def _source_present(self, taken: Egress) -> bool:
        job, room = taken.job, taken.room
        if room is None:
            return True
        if job.identity:
            return job.identity in room.participants
        if job.tracks:
            return all(room.track(sid) is not None for sid in job.tracks)
        return any(participant.tracks for participant in room.participants.values())

    def _name_file(self, taken: Egress) -> None:
        job, room, info = taken.job, taken.room, taken.info
        identifier = job.identity or job.room_name or "web"
        replacements: dict[str, str] = {}
        if room is not None:
            replacements = {"room_name": room.name, "room_id": room.info.sid}
            taken.publisher = job.identity
            published = room.track(job.tracks[0]) if job.tracks else None
            if published is not None:
                participant, track = published
                taken.publisher = participant.identity
                if job.container is None:
                    identifier = track.sid
                    replacements |= _track_replacements(track)
                    container, encoding = _TRACK_MEDIA[track.mime_type]
                    taken.job = replace(
                        job,
                        container=container,
                        encoding=encoding,
                        audio=bool(encoding.audio_codec),
                        video=bool(encoding.video_codec),
                    )
            if taken.publisher:
                replacements["publisher_identity"] = taken.publisher
        info.file_results[0].filename = files.name(
            job.filepath, taken.job.container or "mp4", identifier, replacements, info.started_at
        )

    def _give_up(self, taken: Egress) -> None:
        if not taken.waiting:
            return
        taken.waiting = False
        if self._source_present(taken):
            self._activate(taken)
            return
        missing = (
            f"participant {taken.job.identity}" if taken.job.identity else f"track {self._missing(taken)}"
        )
        info = taken.info
        info.status = egress.EGRESS_FAILED
        info.error, info.error_code, info.details = f"{missing} not found", 404, _reason("Failure")
        info.ended_at = info.updated_at = self._schedule.now()
        self._leave(taken)
        self._finish(taken)

    def _missing(self, taken: Egress) -> str:
        room = taken.room
        return next(sid for sid in taken.job.tracks if room is None or room.track(sid) is None)

    def _stop_early(self, found: Egress) -> Answer:
        joined = found.joined
        self._abort(found, _STOPPED)
        answer = _copy(found.info)
        if joined:
            answer.error = "Stop called before pipeline could start"
        delay = self._timing.stop if joined else self._timing.stop_early
        return Answer(answer, delay.draw(self._random))

    def _abort(self, found: Egress, reason: str) -> None:
        info = found.info
        info.status = egress.EGRESS_ABORTED
        info.error, info.error_code, info.details = "Start signal not received", 412, _reason(reason)
        info.ended_at = info.updated_at = self._schedule.now()
        self._after(self._timing.leave, self._leave, found, even_dead=True)
        self._after(self._timing.publish, self._finish, found)

    def _end(self, found: Egress, reason: str) -> None:
        timing, random, now = self._timing, self._random, self._schedule.now()
        info = found.info
        info.status = egress.EGRESS_ENDING
        info.details = _reason(reason)
        info.updated_at = now
        found.file_ended_at = now + timing.drain.draw(random)
        if not self._faults.update_coalesced.fires(random):
            ending = _copy(info)
            self._after(timing.publish, lambda _: self._publish(found, "egress_updated", ending), found)
        self._after(timing.leave, self._leave, found, even_dead=True)
        self._after(timing.finalise, self._finalise, found)

    def _reach_limit(self, found: Egress) -> None:
        info = found.info
        if info.status != egress.EGRESS_ACTIVE:
            return
        now = self._schedule.now()
        info.status = egress.EGRESS_LIMIT_REACHED
        info.error, info.error_code = "Session limit reached", 413
        info.details = _reason("Session limit reached")
        info.ended_at = info.updated_at = now
        found.file_ended_at = now + self._timing.drain.draw(self._random)
        self._after(self._timing.leave, self._leave, found, even_dead=True)
        self._after(self._timing.finalise, self._finalise, found)

    def _finalise(self, found: Egress) -> None:
        self._close_file(found.info, found)
        found.uploading = True
        if self._faults.upload_late.fires(self._random):
            self._after(self._timing.late_upload, self._upload, found)
        else:
            self._upload(found)

    def _upload(self, found: Egress) -> None:
        if self._faults.upload_fails.fires(self._random):
            self.upload_failed(found.id, 400, _UPLOAD_DENIED)
            return
        job, info = found.job, found.info
        info.backup_storage_used = self._faults.backup_storage.fires(self._random)
        file = info.file_results[0]
        key = files.key_of(file.filename)
        expected = _copy(info)
        expected.file_results[0].location = self._location(found, key, info.backup_storage_used)
        no_manifest = job.disable_manifest or info.details == _reason(_PROCESS_KILLED)
        self._host.upload(
            Upload(
                egress_id=found.id,
                recording=self._recording(found),
                s3=job.upload,
                key=key,
                manifest_key=None if no_manifest else files.manifest_key(key, found.id),
                content_type=files.content_type(job.container or "mp4"),
                backup=info.backup_storage_used,
                info=expected,
            )
        )

    def _recording(self, found: Egress) -> Recording:
        job = found.job
        return Recording(
            room_name=job.room_name,
            container=job.container or "mp4",
            encoding=job.encoding,
            audio=job.audio,
            video=job.video,
            layout=found.layout or ("grid" if job.kind == "room_composite" else "single-speaker"),
            duration=found.info.file_results[0].duration,
        )

    def _location(self, found: Egress, key: str, backup: bool) -> str:
        if backup:
            return f"https://backup.invalid/{key}"
        return key if found.job.upload is None else files.location(found.job.upload, key)

    def _close_file(self, info: egress.EgressInfo, found: Egress) -> None:
        file = info.file_results[0]
        if found.file_ended_at and file.started_at:
            file.ended_at = found.file_ended_at
            file.duration = file.ended_at - file.started_at
            info.file.CopyFrom(file)

    def _finish(self, found: Egress) -> None:
        found.alive = False
        found.ended = True
        found.waiting = found.uploading = False
        self._live.pop(found.id, None)
        self._ended[found.id] = found
        self._forget.append((self._schedule.now() + self._timing.keep_ended.low, found.id))
        self._publish(found, "egress_ended", found.info)

    def _die(self, found: Egress) -> None:
        found.alive = False
        self._after(self._timing.recorder_timeout, self._time_out, found, even_dead=True)

    def _fail_as_started(self, found: Egress, text: str) -> None:
        info = _copy(found.started)
        info.status = egress.EGRESS_FAILED
        info.error, info.error_code = text, 500
        info.ended_at = info.updated_at = self._schedule.now()
        found.info = info
        self._finish(found)

    def _fail_again(self, found: Egress) -> None:
        if self._ended.get(found.id) is found:
            self._fail_as_started(found, "exit status 1")

    def _publish(self, found: Egress, event: str, info: egress.EgressInfo) -> None:
        if found.ended and event != "egress_ended":
            return
        record = _copy(info)
        record.file.CopyFrom(record.file_results[0])
        found.record = record
        self._host.notify(event, record, found.urls)

    # Rooms.

    def _room_closed(self, room: Room) -> None:
        for found in self._in_room(room):
            self._lose_source(found)

    def _participant_left(self, room: Room, identity: str) -> None:
        for found in self._in_room(room):
            if found.publisher == identity and found.info.status == egress.EGRESS_ACTIVE:
                self._end(found, _SOURCE_CLOSED)

    def _participant_joined(self, room: Room) -> None:
        for found in self._in_room(room):
            if found.info.status == egress.EGRESS_STARTING and found.joined:
                self._after(self._timing.media, self._activate, found)

    def _recorder_removed(self, egress_id: str) -> None:
        found = self._live.get(egress_id)
        if found is not None and found.alive:
            self._lose_source(found)

    def _lose_source(self, found: Egress) -> None:
        if found.info.status == egress.EGRESS_STARTING:
            self._abort(found, _SOURCE_CLOSED)
        elif found.info.status == egress.EGRESS_ACTIVE:
            self._end(found, _SOURCE_CLOSED)

    def _in_room(self, room: Room) -> list[Egress]:
        return [found for found in self._live.values() if found.room is room and found.alive]

    def _leave(self, found: Egress) -> None:
        if found.room is not None:
            self._rooms.recorder_leaves(found.room, found.id)

    def _time_out(self, found: Egress) -> None:
        if found.room is not None:
            self._rooms.recorder_leaves(found.room, found.id, timed_out=True)

    # Records.

    def _find(self, egress_id: str) -> Egress | None:
        self._forget_old()
        return self._live.get(egress_id) or self._ended.get(egress_id)

    def _forget_old(self) -> None:
        now = self._schedule.now()
        while self._forget and self._forget[0][0] <= now:
            self._ended.pop(self._forget.popleft()[1], None)

    def _update(self, egress_id: str, act: Callable[[Egress], Message | TwirpError]) -> Answer:
        found = self._find(egress_id)
        if found is None:
            return Answer(EGRESS_NOT_FOUND, self._timing.lookup.draw(self._random))
        if not found.alive and not found.ended:
            return Answer(TIMED_OUT, self._timing.stop_unreachable.draw(self._random))
        return Answer(act(found), self._timing.lookup.draw(self._random))

    def _set_layout(self, found: Egress, layout: str) -> Message:
        found.layout = layout
        return _copy(found.info)

    def _after(
        self, delay: Delay, step: Callable[[Egress], None], found: Egress, *, even_dead: bool = False
    ) -> None:
        def act() -> None:
            if found.alive or even_dead:
                step(found)

        self._schedule.after(delay.draw(self._random), act)


def _reason(text: str) -> str:
    return f"End reason: {text}"


def _track_replacements(track: models.TrackInfo) -> dict[str, str]:
    return {
        "track_id": track.sid,
        "track_type": models.TrackType.Name(track.type).lower(),
        "track_source": models.TrackSource.Name(track.source).lower(),
    }


def _copy[M: Message](message: M) -> M:
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
