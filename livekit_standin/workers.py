"""The life of an egress, step by step, as a worker leads it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from livekit.protocol import egress

from livekit_standin import sources
from livekit_standin.environment import Environment
from livekit_standin.jobs import Job
from livekit_standin.notifier import Notifier
from livekit_standin.outputs.sink import Failure
from livekit_standin.outputs.stages import Stages
from livekit_standin.outputs.streams import StreamsSink
from livekit_standin.records import Egress, Records, copy_of, snapshot
from livekit_standin.rooms import Room, Rooms
from livekit_standin.timing import Delay
from livekit_standin.twirp import NOT_STREAMING, TwirpError

_STOPPED = "End reason: StopEgress API"
_SOURCE_CLOSED = "End reason: Source closed"
_PROCESS_KILLED = "End reason: Process killed"
_LIMIT_REACHED = "End reason: Session limit reached"
_FAILURE = "End reason: Failure"
_STREAMS_STOPPED = "End reason: All streams stopped"
_PAGE_ERROR = "page load error: net::ERR_CONNECTION_REFUSED"
_AT_ONCE = Delay(0)
_UNAVAILABLE = 503


@dataclass(frozen=True, slots=True)
class _Pace:
    active: Delay
    """From the taking to ACTIVE."""
    lead: Delay
    """How long before that the recording begins."""
    late: Delay
    """From the coming of what it waits for to ACTIVE."""


class Workers:
    """All workers; each egress has a host of its own."""

    def __init__(
        self,
        environment: Environment,
        rooms: Rooms,
        records: Records,
        notifier: Notifier,
        stages: Stages,
    ) -> None:
        self._environment = environment
        self._timing = environment.timing
        self._faults = environment.faults
        self._fires = environment.fires
        self._rooms = rooms
        self._records = records
        self._notify = notifier.about_egress
        self._stages = stages
        self._untold: list[Callable[[], None]] | None = None
        """Reports for a server that is away; None while it is there."""
        rooms.hooks.closed = self._room_closed
        rooms.hooks.left = self._participant_left
        rooms.hooks.joined = self._participant_joined
        rooms.hooks.unpublished = self._unpublished
        rooms.hooks.recorder_removed = self._recorder_removed

    def take(self, taken: Egress) -> None:
        """Take an egress on: it exists from now on."""
        if self._untold is not None:
            return
        timing, faults, environment = self._timing, self._faults, self._environment
        taken.never_active = environment.fires(faults.never_active)
        taken.limited = environment.fires(faults.limit_reached)
        self._records.add(taken)
        self._publish(taken, "egress_started", taken.started)
        taken.info.started_at += environment.draw(timing.begin)
        if taken.room is not None and taken.room.closed:
            self._abort(taken, _SOURCE_CLOSED)
            return
        taken.sinks = self._stages.open(
            taken,
            fail=partial(self._collapse, taken),
            publish=partial(self._tell_how_it_is, taken),
            output_ended=partial(self._lose_outputs, taken),
        )
        job = taken.job
        if taken.room is not None:
            self._after(timing.join_web if job.web else timing.join, self._join, taken)
        self._after(self._pace(job).active, self._activate, taken)
        for fault, strike in (
            (faults.host_dies, self.kill_host),
            (faults.host_suspended, partial(self._pause, self.suspend_host)),
            (faults.handler_dies, self.kill_handler),
            (faults.handler_frozen, partial(self._pause, self.freeze_handler)),
            (faults.worker_ends_it, partial(self.end_by_itself, reason="CPU exhausted")),
            (faults.record_lost, self._records.lose),
        ):
            if environment.fires(fault):
                environment.after(timing.death, partial(strike, taken.id))

    def server_stopped(self) -> None:
        """Let the server die: every egress goes on for some time, and gives up unless it comes back."""
        self._untold = []
        patience = self._environment.draw(self._timing.patience)
        for found in self._records.unended():
            if found.room is not None:
                self._later(patience, partial(self._lose_server, self._untold), found)

    def server_started(self) -> None:
        """Let the server come back: it hears what it missed, and recorders connect again."""
        untold, self._untold = self._untold or [], None

        def catch_up() -> None:
            for tell in untold:
                tell()

        self._environment.after(self._timing.catch_up, catch_up)
        for found in self._records.unended():
            if found.room is not None and found.joined:
                self._after(self._timing.reconnect, self._reconnect, found)

    def _lose_server(self, outage: list[Callable[[], None]], found: Egress) -> None:
        if self._untold is outage:
            found.end_error = (503, "recording ended early: connection to room failed")
            self._lose_source(found)

    def _reconnect(self, found: Egress) -> None:
        room, status = found.room, found.info.status
        if room is None or status not in {egress.EGRESS_STARTING, egress.EGRESS_ACTIVE}:
            return
        # A participant that is back has published anew; of one that is not, silence is recorded.
        gone = found.publisher in room.participants and not sources.present(found)
        self._rooms.back_again(room, found.id, aborted=gone)
        if gone:
            self._lose_source(found)

    def _tell_server(self, tell: Callable[[], None]) -> None:
        if self._untold is None:
            tell()
        else:
            self._untold.append(tell)

    def stop(self, found: Egress) -> egress.EgressInfo:
        """Stop one that is ACTIVE, or on its way to the end already, and say how it is then."""
        if found.info.status == egress.EGRESS_ACTIVE:
            self._end(found, _STOPPED)
        return snapshot(found.info)

    def stop_early(self, found: Egress, answered_after: int) -> egress.EgressInfo:
        """Stop one that is STARTING, and say how it is `answered_after` ns later."""
        joined = found.joined
        self._abort(found, _STOPPED, plus=0 if joined else answered_after)
        answer = snapshot(found.info)
        if joined:
            answer.error = "Stop called before pipeline could start"
        return answer

    def update_stream(
        self, found: Egress, request: egress.UpdateStreamRequest
    ) -> egress.EgressInfo | TwirpError:
        """Add and remove streams of an egress whose handler answers."""
        sink = next((sink for sink in found.sinks if isinstance(sink, StreamsSink)), None)
        if sink is None:
            return NOT_STREAMING
        return sink.update(request) or snapshot(found.info)

    def kill_host(self, egress_id: str) -> None:
        """Let the host under an egress die: nothing of it is heard again, its record stays as it is."""
        found = self._records.alive(egress_id)
        if found is not None:
            self._die(found)

    def kill_handler(self, egress_id: str) -> None:
        """Let the process of an egress die: FAILED at once, with what was known at its start."""
        found = self._records.alive(egress_id)
        if found is not None:
            self._die(found)
            self._fail_as_started(found, "signal: killed")

    def freeze_handler(self, egress_id: str) -> None:
        """Let the process of an egress stand still until `go_on`: who calls it waits in vain."""
        found = self._records.alive(egress_id)
        if found is not None:
            found.frozen = True
            self._stand_still(found)

    def suspend_host(self, egress_id: str) -> None:
        """Let the host under an egress stand still, or be cut off, until `go_on`: as if it were dead."""
        found = self._records.alive(egress_id)
        if found is not None:
            found.suspended = True
            self._stand_still(found)

    def go_on(self, egress_id: str) -> None:
        """Let a handler or a host that stood still go on: its recorder is in the room again."""
        found = self._records.alive(egress_id)
        if found is None or found.still_since is None:
            return
        found.frozen = found.suspended = False
        found.still_since, found.went_on_at = None, self._environment.now()
        postponed, found.postponed = found.postponed, []
        if found.joined:
            self._join(found)
        for step in postponed:
            step()

    def end_by_itself(self, egress_id: str, reason: str) -> None:
        """Let the worker end an egress for a reason of its own, such as "CPU exhausted": COMPLETE."""
        found = self._records.alive(egress_id)
        if found is not None and found.info.status == egress.EGRESS_ACTIVE:
            found.do(partial(self._end, found, f"End reason: {reason}"))

    def shut_down_host(self, egress_id: str) -> None:
        """Let the worker be interrupted: FAILED 403 with an uploaded file."""
        found = self._records.alive(egress_id)
        if found is None:
            return
        if found.info.status == egress.EGRESS_STARTING:
            self._abort(found, _PROCESS_KILLED)
        elif found.info.status == egress.EGRESS_ACTIVE:
            self._end(found, _PROCESS_KILLED)
            found.info.error, found.info.error_code = "server is shutting down", 403
            found.info.ended_at = self._time(found)

    def _lose_outputs(self, found: Egress) -> None:
        if found.info.status == egress.EGRESS_ACTIVE:
            self._end(found, _STREAMS_STOPPED)

    def _tell_how_it_is(self, found: Egress) -> None:
        if found.info.status in {egress.EGRESS_ACTIVE, egress.EGRESS_ENDING}:
            self._publish(found, "egress_updated", found.info)

    def _pace(self, job: Job) -> _Pace:
        timing = self._timing
        if job.web:
            return _Pace(timing.active_web, _AT_ONCE, timing.media)
        if job.as_published:
            return _Pace(timing.active, timing.media, timing.media)
        if job.encoding.video_codec:
            return _Pace(timing.active_encoded, timing.media_encoded, timing.media_encoded)
        return _Pace(timing.active, timing.media_audio, timing.media_audio)

    def _join(self, taken: Egress) -> None:
        room = taken.room
        if room is not None and taken.info.status in {egress.EGRESS_STARTING, egress.EGRESS_ACTIVE}:
            taken.joined = True
            if taken.id not in room.recorders:
                self._rooms.recorder_joins(room, taken.id)

    def _activate(self, taken: Egress) -> None:
        info = taken.info
        if info.status != egress.EGRESS_STARTING or taken.never_active:
            return
        if taken.job.web and self._fires(self._faults.page_fails):
            self._collapse(taken, 400, _PAGE_ERROR)
            return
        if not sources.present(taken):
            self._wait(taken)
            return
        taken.gives_up_at = None
        now, lead = self._time(taken), self._environment.draw(self._pace(taken.job).lead)
        names = sources.learn(taken)
        taken.begun_at = self._environment.now() - lead
        info.status = egress.EGRESS_ACTIVE
        info.updated_at = now
        for sink in taken.sinks:
            sink.name(names)
            sink.begin(now - lead)
        if not self._fires(self._faults.update_coalesced):
            self._publish(taken, "egress_updated", info)
        if taken.limited:
            self._after(self._timing.session_limit, self._reach_limit, taken)

    def _wait(self, taken: Egress) -> None:
        # A room composite waits for ever, and can be stopped meanwhile.
        if not taken.waiting and (taken.job.tracks or taken.job.identity):
            patience = self._environment.draw(self._timing.source_missing)
            taken.gives_up_at = self._environment.now() + patience
            self._later(patience, self._give_up, taken)

    def _give_up(self, taken: Egress) -> None:
        if not taken.waiting:
            return
        if sources.present(taken):
            self._activate(taken)
            return
        taken.info.details = _FAILURE
        self._leave(taken)
        self._fail(taken, 404, f"{sources.missing(taken)} not found")

    def _abort(self, found: Egress, reason: str, *, plus: int = 0) -> None:
        info = found.info
        info.status = egress.EGRESS_ABORTED
        info.error, info.error_code, info.details = "Start signal not received", 412, reason
        info.ended_at = info.updated_at = self._time(found)
        found.gives_up_at = None
        self._leave_soon(found)
        self._after(self._timing.publish, self._finish, found, plus=plus)

    def _end(self, found: Egress, reason: str) -> None:
        info = found.info
        info.status = egress.EGRESS_ENDING
        info.details = reason
        info.updated_at = self._time(found)
        if not self._fires(self._faults.update_coalesced):
            ending = copy_of(info)
            self._after(self._timing.publish, lambda _: self._publish(found, "egress_updated", ending), found)
        self._stop_recording(found)

    def _reach_limit(self, found: Egress) -> None:
        info = found.info
        if info.status != egress.EGRESS_ACTIVE:
            return
        info.status = egress.EGRESS_LIMIT_REACHED
        info.error, info.error_code, info.details = "Session limit reached", 413, _LIMIT_REACHED
        info.ended_at = info.updated_at = self._time(found)
        self._stop_recording(found)

    def _stop_recording(self, found: Egress) -> None:
        found.file_ended_at = self._time(found) + self._environment.draw(self._timing.drain)
        if found.job.web:
            for sink in found.sinks:
                sink.end(found.file_ended_at)
        self._leave_soon(found)
        self._after(self._timing.finalise, self._finalise, found)

    def _finalise(self, found: Egress) -> None:
        if self._fires(self._faults.upload_late):
            self._after(self._timing.late_upload, self._finish_sinks, found)
        else:
            self._finish_sinks(found)

    def _finish_sinks(self, found: Egress) -> None:
        def done(failure: Failure | None) -> None:
            if failure is None:
                self._close(found)
            else:
                self._fail(found, *failure)

        self._stages.finish(found, done)

    def _close(self, found: Egress) -> None:
        info = found.info
        if info.status == egress.EGRESS_ENDING:
            if found.end_error is not None:
                info.error_code, info.error = found.end_error
            info.status = egress.EGRESS_FAILED if info.error_code else egress.EGRESS_COMPLETE
        info.ended_at = info.updated_at = info.ended_at or self._time(found)
        # An egress that had failed before its end gets no manifest.
        if info.status == egress.EGRESS_FAILED and found.end_error is None:
            self._settle(found)
        else:
            self._stages.store_manifests(found, partial(self._settle, found))

    def _settle(self, found: Egress) -> None:
        self._finish(found)
        if found.info.status == egress.EGRESS_COMPLETE and self._fires(self._faults.failed_after_complete):
            self._environment.after(self._timing.second_end, partial(self._fail_again, found))

    def _collapse(self, found: Egress, code: int, text: str) -> None:
        """Fail in the midst of the recording: no file, and unless a browser records nobody knows when it ended."""
        info = found.info
        info.status = egress.EGRESS_FAILED
        for sink in found.sinks if found.begun_at else ():
            sink.end(self._time(found) if found.job.web else 0)
        closed = found.job.kind == "room_composite" and bool(found.begun_at) and code != _UNAVAILABLE
        info.details = info.details or (_SOURCE_CLOSED if closed else _FAILURE)
        self._leave_soon(found)
        self._fail(found, code, text)

    def _fail(self, found: Egress, code: int, text: str) -> None:
        info = found.info
        info.status = egress.EGRESS_FAILED
        info.error, info.error_code = text, code
        info.ended_at = info.updated_at = self._time(found)
        self._finish(found)

    def _fail_as_started(self, found: Egress, text: str) -> None:
        found.info = copy_of(found.started)
        self._fail(found, 500, text)

    def _fail_again(self, found: Egress) -> None:
        if self._records.find(found.id) is found:
            self._fail_as_started(found, "exit status 1")

    def _finish(self, found: Egress) -> None:
        found.alive = False
        found.gives_up_at = None
        found.ended_at = self._environment.now()
        self._stop_sinks(found)
        self._tell_server(partial(self._records.end, found))
        self._publish(found, "egress_ended", found.info)

    def _publish(self, found: Egress, event: str, info: egress.EgressInfo) -> None:
        if found.ended_at is not None and event != "egress_ended":
            return
        self._tell_server(partial(self._record, found, event, snapshot(info)))

    def _record(self, found: Egress, event: str, info: egress.EgressInfo) -> None:
        found.record = info
        self._notify(event, info, found.urls)

    def _die(self, found: Egress) -> None:
        found.alive = False
        self._stop_sinks(found)
        self._time_out(found, lambda: True)

    def _stop_sinks(self, found: Egress) -> None:
        for sink in found.sinks:
            sink.stop()

    def _time_out(self, found: Egress, silent: Callable[[], bool]) -> None:
        def act() -> None:
            if silent():
                self._leave(found, timed_out=True)

        self._environment.after(self._timing.recorder_timeout, act)

    def _pause(self, strike: Callable[[str], None], egress_id: str) -> None:
        strike(egress_id)
        self._environment.after(self._timing.standstill, partial(self.go_on, egress_id))

    def _stand_still(self, found: Egress) -> None:
        if found.still_since is None:
            since = found.still_since = self._environment.now()
            self._time_out(found, lambda: found.still_since == since)

    def _leave_soon(self, found: Egress) -> None:
        self._environment.after(self._timing.leave, partial(self._leave, found))

    def _leave(self, found: Egress, *, timed_out: bool = False) -> None:
        if found.room is not None:
            self._rooms.recorder_leaves(found.room, found.id, timed_out=timed_out)

    def _room_closed(self, room: Room) -> None:
        for found in self._records.in_room(room):
            found.do(partial(self._lose_source, found))

    def _participant_left(self, room: Room, identity: str) -> None:
        for found in self._records.in_room(room):
            if found.publisher == identity and found.info.status == egress.EGRESS_ACTIVE:
                found.do(partial(self._lose_source, found))

    def _participant_joined(self, room: Room) -> None:
        for found in self._records.in_room(room):
            if found.info.status == egress.EGRESS_STARTING and found.joined:
                self._after(self._pace(found.job).late, self._activate, found)

    def _unpublished(self, room: Room) -> None:
        for found in self._records.in_room(room):
            tracks = found.job.tracks
            if tracks and found.info.status == egress.EGRESS_ACTIVE and not any(map(room.track, tracks)):
                found.do(partial(self._lose_source, found))

    def _recorder_removed(self, egress_id: str) -> None:
        found = self._records.alive(egress_id)
        if found is not None:
            found.do(partial(self._lose_source, found))

    def _lose_source(self, found: Egress) -> None:
        if found.info.status == egress.EGRESS_STARTING:
            self._abort(found, _SOURCE_CLOSED)
        elif found.info.status == egress.EGRESS_ACTIVE:
            self._end(found, _SOURCE_CLOSED)

    def _after(self, delay: Delay, step: Callable[[Egress], None], found: Egress, *, plus: int = 0) -> None:
        self._later(self._environment.draw(delay) + plus, step, found)

    def _later(self, delay: int, step: Callable[[Egress], None], found: Egress) -> None:
        self._environment.schedule.after(delay, partial(found.do, partial(step, found)))

    def _time(self, found: Egress) -> int:
        return found.worker_time(self._environment.now())
