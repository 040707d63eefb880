"""LiveKit's Egress service: what its calls answer."""

from collections.abc import Callable
from functools import partial
from json import dumps

from livekit.protocol import egress

from livekit_standin import jobs, paging
from livekit_standin.environment import Environment
from livekit_standin.jobs import Job
from livekit_standin.outputs.asked import Names, RefusedError
from livekit_standin.records import Egress, Records, copy_of, snapshot
from livekit_standin.rooms import Room, Rooms
from livekit_standin.twirp import (
    EGRESS_NOT_FOUND,
    HANDLER_NOT_FOUND,
    NO_WORKER,
    ROOM_NOT_FOUND,
    TIMED_OUT,
    Answer,
    TwirpError,
    failed_precondition,
    invalid_argument,
    new_id,
)
from livekit_standin.workers import Workers


class EgressService:
    """Answers calls from the records, and has workers do what they ask."""

    def __init__(
        self,
        environment: Environment,
        rooms: Rooms,
        records: Records,
        workers: Workers,
        urls: Callable[[Job], tuple[str, ...]],
    ) -> None:
        self._environment = environment
        self._rooms = rooms
        self._records = records
        self._workers = workers
        self._urls = urls

    def start(self, request: jobs.StartRequest) -> Answer:
        """Start*Egress. The egress exists from the moment when a worker takes it, not from the call on."""
        environment = self._environment
        timing, faults, draw = environment.timing, environment.faults, environment.draw
        room_name = "" if isinstance(request, egress.WebEgressRequest) else request.room_name
        room = self._rooms.find(room_name)
        if room is None and room_name:
            return Answer(ROOM_NOT_FOUND, draw(timing.lookup))
        if environment.fires(faults.no_worker):
            return Answer(NO_WORKER, draw(timing.no_worker))
        if environment.fires(faults.options_refused):
            refusal = invalid_argument("request has missing or invalid field: output")
            return Answer(refusal, draw(timing.refuse))
        try:
            job = jobs.read(request)
        except RefusedError as error:
            return Answer(invalid_argument(str(error)), draw(timing.refuse))
        delay = draw(timing.full_worker if environment.fires(faults.full_worker) else timing.accept)
        worker = environment.settings.worker
        started = self._starting(job, request, room, environment.now() + delay + worker.clock_skew)
        taken = Egress(job, room, started, self._urls(job), worker)
        environment.schedule.after(delay, partial(self._workers.take, taken))
        return Answer(copy_of(started), delay + draw(timing.answer))

    def stop(self, request: egress.StopEgressRequest) -> Answer:
        """StopEgress: at once where the handler answers, slow otherwise."""
        timing, draw = self._environment.timing, self._environment.draw
        found = self._records.find(request.egress_id)
        if found is None or not found.reachable:
            error = _explained(found, TIMED_OUT, "stopped")
            return Answer(error, draw(timing.stop_unreachable))
        if found.silent:
            return Answer(_explained(found, TIMED_OUT, "stopped"), draw(timing.silence))
        if found.info.status == egress.EGRESS_STARTING:
            delay = draw(timing.stop if found.joined else timing.stop_early)
            return Answer(self._workers.stop_early(found, delay), delay)
        return Answer(self._workers.stop(found), draw(timing.stop))

    def list(self, request: egress.ListEgressRequest) -> Answer:
        """ListEgress from the server's records; an unknown id is a 404.

        Without a page size the list is whole and page tokens are ignored, as in LiveKit's own server.
        """
        after = self._environment.draw(self._environment.timing.lookup)
        if not request.egress_id:
            records = self._records.select(request.room_name, active=request.active)
            whole = egress.ListEgressResponse(items=records)
            size = self._environment.settings.page_size
            return Answer(whole if size is None else paging.page(whole, request, size), after)
        found = self._records.find(request.egress_id)
        if found is None or found.record is None:
            return Answer(EGRESS_NOT_FOUND, after)
        return Answer(egress.ListEgressResponse(items=[found.record]), after)

    def update_layout(self, request: egress.UpdateLayoutRequest) -> Answer:
        """UpdateLayout: the recorder's metadata tells it to the page that is recorded; the info does not."""
        after = self._environment.draw(self._environment.timing.lookup)
        found = self._records.find(request.egress_id)
        if found is None or found.record is None:
            return Answer(EGRESS_NOT_FOUND, after)
        if found.job.web:
            found.layout = request.layout
        if found.room is not None:
            self._rooms.describe_recorder(
                found.room, found.id, dumps({"layout": request.layout}, separators=(",", ":"))
            )
        return Answer(found.record, after)

    def update_stream(self, request: egress.UpdateStreamRequest) -> Answer:
        """UpdateStream: the handler itself answers, and where it refuses, the record tells why."""
        environment = self._environment
        timing, draw = environment.timing, environment.draw
        found = self._records.find(request.egress_id)
        if found is not None and found.ended_at is not None:
            lingers = environment.now() < found.ended_at + draw(timing.linger)
            after = draw(timing.ping if lingers else timing.stop_unreachable)
            return Answer(_explained(found, NO_WORKER, "updated"), after)
        if found is None or not found.reachable:
            return Answer(_explained(found, NO_WORKER, "updated"), draw(timing.stop_unreachable))
        if found.silent:
            return self._unanswered(found)
        early = found.info.status == egress.EGRESS_STARTING and not found.joined
        after = draw(timing.ping_early if early else timing.ping)
        outcome = self._workers.update_stream(found, request)
        if isinstance(outcome, TwirpError):
            outcome = _explained(found, outcome, "updated")
        return Answer(outcome, after)

    def _unanswered(self, found: Egress) -> Answer:
        after = self._environment.draw(self._environment.timing.silence)
        if found.gives_up_at is not None and not found.frozen:
            ends_after = found.gives_up_at - self._environment.now()
            if ends_after < after:
                return Answer(HANDLER_NOT_FOUND, ends_after)
        return Answer(_explained(found, TIMED_OUT, "updated"), after)

    def _starting(
        self, job: Job, request: jobs.StartRequest, room: Room | None, taken_at: int
    ) -> egress.EgressInfo:
        info = egress.EgressInfo(
            egress_id=new_id("EG_", self._environment.random),
            room_id="" if room is None else room.info.sid,
            room_name=job.room_name,
            source_type=job.source_type,
            status=egress.EGRESS_STARTING,
            started_at=taken_at,
            updated_at=taken_at,
        )
        jobs.echo(request, info)
        replacements = {} if room is None else {"room_name": room.name, "room_id": room.info.sid}
        job.outputs.add_results(info, Names(job.room_name or "web", replacements, taken_at))
        return snapshot(info)


def _explained(found: Egress | None, error: TwirpError, verb: str) -> TwirpError:
    """Say why a call to a handler failed with `error`: LiveKit looks into its record before it says so."""
    if found is None or found.record is None:
        return EGRESS_NOT_FOUND
    if found.record.status in {egress.EGRESS_STARTING, egress.EGRESS_ACTIVE}:
        return error
    status = egress.EgressStatus.Name(found.record.status)
    return failed_precondition(f"egress with status {status} cannot be {verb}")
