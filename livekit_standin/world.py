"""A whole LiveKit in memory: pure, synchronous, by a clock and a random generator that its driver owns."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from google.protobuf.message import Message
from livekit.protocol import egress, models, room

from livekit_standin.egress import EgressService
from livekit_standin.environment import Environment
from livekit_standin.faults import CallFaults, Faults
from livekit_standin.notifier import Notifier
from livekit_standin.options import Settings
from livekit_standin.outputs.stages import Stages
from livekit_standin.outputs.streams import EndStream, PushStream, Streams, StreamsSink
from livekit_standin.records import Egress, Records
from livekit_standin.rooms import IDENTITIES, Room, Rooms
from livekit_standin.schedule import Schedule
from livekit_standin.timing import Timing
from livekit_standin.twirp import REDIS_DOWN, SERVER_DOWN, TIMED_OUT, Answer, TwirpError, no_handler
from livekit_standin.uploads import Upload, Uploads
from livekit_standin.webhooks import DeliverWebhook, WebhookQueues
from livekit_standin.workers import Workers

type Effect = DeliverWebhook | Upload | PushStream | EndStream


class World:
    """LiveKit's rooms, its Egress service with workers, and its webhooks.

    `clock` gives Unix time in ns and must not go back. `call` is an API call; whatever is due later happens in
    `advance`, which gives back what the driver has to do: deliver webhooks (and report `delivered`), store
    objects (and report `uploaded` or `upload_failed`) and push streams (and report `stream_connected`,
    `stream_failed` or `stream_lost`). `next_at` says when to call it again.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        random: Random,
        timing: Timing | None = None,
        faults: Faults | None = None,
        *,
        api_key: str = "devkey",
        api_secret: str = "a-local-secret-that-protects-nothing-at-all",  # noqa: S107 it says so itself
        webhook_urls: Sequence[str] = (),
        identities: tuple[str, ...] = IDENTITIES,
    ) -> None:
        self.timing = timing or Timing()
        self.faults = faults or Faults()
        self.settings = Settings()
        self._clock = clock
        self._identities = identities
        self._schedule = Schedule(clock)
        self._environment = Environment(self._schedule, random, self.timing, self.faults, self.settings)
        self._queues = WebhookQueues(self._schedule.now)
        self._effects: list[Effect] = []
        self._running = True
        notifier = Notifier(
            self._environment, self._queues, tuple(webhook_urls), api_key=api_key, api_secret=api_secret
        )
        self._rooms = Rooms(self._environment)
        self._rooms.hooks.event = notifier.about_room
        self._records = Records(self._environment)
        self._uploads = Uploads(self._environment, self._effects.append)
        self._streams = Streams(self._effects.append)
        stages = Stages(self._environment, self._uploads, self._streams)
        self._workers = Workers(self._environment, self._rooms, self._records, notifier, stages)
        self._egress = EgressService(
            self._environment, self._rooms, self._records, self._workers, notifier.urls
        )

    def call(self, service: str, method: str, request: Message) -> Answer:
        """Make an API call, such as ("Egress", "StopEgress", StopEgressRequest(…))."""
        self._run_due()
        if not self._running:
            return Answer(SERVER_DOWN, 0)
        if service == "Egress":
            return self._call_egress(method, request)
        if service == "RoomService":
            return self._call_rooms(method, request)
        return Answer(no_handler(f"/twirp/livekit.{service}/{method}"), 0)

    def next_at(self) -> int | None:
        """Say when (ns) `advance` next has something to do; None where only calls and reports bring more."""
        if self._effects:
            return self._clock()
        times = [time for time in (self._schedule.next_at(), self._queues.next_at()) if time is not None]
        return min(times, default=None)

    def advance(self) -> list[Effect]:
        """Do all that is due by now and give the effects, in order."""
        self._run_due()
        effects = self._effects[:]
        self._effects.clear()
        return effects

    def delivered(self, delivery_id: int, status: int | None) -> None:
        """Report the HTTP status that a webhook got; None where the connection failed."""
        self._queues.delivered(delivery_id, status)

    def uploaded(self, upload_id: int, size: int) -> None:
        """Report that an object of `size` bytes is stored."""
        self._run_due()
        self._uploads.uploaded(upload_id, size)

    def upload_failed(self, upload_id: int, code: int, text: str, *, again: bool = False) -> None:
        """Report that an object could not be stored; `again`: the worker tries it as often as it may.

        If it cannot be stored at all the egress becomes FAILED with `code` and `text`.
        """
        self._run_due()
        self._uploads.failed(upload_id, code, text, again=again)

    def expects(self, upload_id: int) -> bool:
        """Say whether an upload is still under way: what a host that died had not stored is never stored."""
        return self._uploads.expects(upload_id)

    def stream_connected(self, stream_id: int) -> None:
        """Report that a stream has reached its receiver, for the first time or again."""
        self._about_stream(stream_id, lambda sink: sink.connected(stream_id))

    def stream_failed(self, stream_id: int, text: str) -> None:
        """Report that a stream could not reach its receiver at all; LiveKit says `text` about it."""
        self._about_stream(stream_id, lambda sink: sink.failed(stream_id, text))

    def stream_lost(self, stream_id: int, text: str) -> None:
        """Report that the receiver of a stream is gone; it is tried again until `stream_connected`."""
        self._about_stream(stream_id, lambda sink: sink.lost(stream_id, text))

    def _about_stream(self, stream_id: int, report: Callable[[StreamsSink], None]) -> None:
        self._run_due()
        sink = self._streams.find(stream_id)
        if sink is not None:
            sink.found.do(partial(report, sink))

    def unended(self) -> dict[str, egress.EgressInfo]:
        """Give every egress that has not ended, by id, as its worker sees it, those on dead hosts included."""
        self._run_due()
        return {found.id: found.info for found in self._records.unended()}

    def egresses(self) -> tuple[Egress, ...]:
        """Give every egress that has not ended, with all that is known of it; to look at, not to change."""
        return tuple(self._records.unended())

    def kill_host(self, egress_id: str) -> None:
        """Let the host under an egress die: it stays ACTIVE on record for ever, its recorder times out."""
        self._run_due()
        self._workers.kill_host(egress_id)

    def kill_handler(self, egress_id: str) -> None:
        """Let the process of an egress die: FAILED 500 at once."""
        self._run_due()
        self._workers.kill_handler(egress_id)

    def suspend_host(self, egress_id: str) -> None:
        """Let the host under an egress stand still, or be cut off: it seems to be dead until `go_on`."""
        self._run_due()
        self._workers.suspend_host(egress_id)

    def freeze_handler(self, egress_id: str) -> None:
        """Let the process of an egress stand still until `go_on`, while the worker's service answers."""
        self._run_due()
        self._workers.freeze_handler(egress_id)

    def go_on(self, egress_id: str) -> None:
        """Let a host or a handler that stood still go on, its recorder back in the room."""
        self._run_due()
        self._workers.go_on(egress_id)

    def end_by_itself(self, egress_id: str, reason: str) -> None:
        """Let the worker end an ACTIVE egress by itself: COMPLETE with the details `End reason: {reason}`."""
        self._run_due()
        self._workers.end_by_itself(egress_id, reason)

    def shut_down_host(self, egress_id: str) -> None:
        """Let the worker of an egress be interrupted: FAILED 403 with an uploaded file."""
        self._run_due()
        self._workers.shut_down_host(egress_id)

    def lose_record(self, egress_id: str) -> None:
        """Let the server forget an egress; where it runs, its next update brings it back."""
        self._run_due()
        self._records.lose(egress_id)

    def lose_records(self) -> None:
        """Let the server forget every egress, as when Redis was emptied."""
        self._run_due()
        self._records.lose_all()

    def stop_server(self) -> None:
        """Let LiveKit's server die: no call is answered, no webhook sent, until `start_server`."""
        self._run_due()
        if self._running:
            self._running = False
            self._queues.clear()
            self._rooms.server_stopped()
            self._workers.server_stopped()

    def start_server(self, gone: Collection[str] = ()) -> None:
        """Let the server come back: rooms keep their SIDs, everybody but the identities in `gone` reconnects."""
        self._run_due()
        if not self._running:
            self._running = True
            self._rooms.server_started(gone)
            self._workers.server_started()

    def open_room(
        self, name: str, *, permanent: bool = False, identities: tuple[str, ...] | None = None
    ) -> Room:
        """Make a room without an API call; a permanent one never closes because it is empty."""
        self._run_due()
        chosen = self._identities if identities is None else identities
        return self._rooms.open(name, identities=chosen, permanent=permanent)

    def close_room(self, name: str) -> None:
        """Close a room, if it is open."""
        self._run_due()
        found = self._rooms.find(name)
        if found is not None:
            self._rooms.close(found)

    def join(self, room_name: str, identity: str) -> None:
        """Let a participant with camera and microphone join an open room; nobody can while the server is down."""
        self._run_due()
        found = self._rooms.find(room_name)
        if found is not None and self._running:
            self._rooms.join(found, identity)

    def publish(self, room_name: str, identity: str, source: models.TrackSource) -> None:
        """Let a participant publish a camera, a microphone or a screen."""
        self._run_due()
        found = self._rooms.find(room_name)
        if found is not None:
            self._rooms.publish(found, identity, source)

    def unpublish(self, room_name: str, identity: str, source: models.TrackSource) -> None:
        """Let a participant publish a camera, a microphone or a screen no more."""
        self._run_due()
        found = self._rooms.find(room_name)
        if found is not None:
            self._rooms.unpublish(found, identity, source)

    def leave(self, room_name: str, identity: str | None = None) -> None:
        """Let a participant leave a room; without `identity` everybody."""
        self._run_due()
        found = self._rooms.find(room_name)
        if found is not None:
            for leaving in tuple(found.participants) if identity is None else (identity,):
                self._rooms.leave(found, leaving)

    def _call_egress(self, method: str, request: Message) -> Answer:
        service, faults = self._egress, self.faults
        match request:
            case egress.ListEgressRequest():
                return self._answer(faults.list, lambda: service.list(request))
            case egress.StopEgressRequest():
                return self._answer(faults.stop, lambda: service.stop(request))
            case egress.UpdateLayoutRequest():
                return service.update_layout(request)
            case egress.UpdateStreamRequest():
                return service.update_stream(request)
            case (
                egress.StartEgressRequest()
                | egress.RoomCompositeEgressRequest()
                | egress.WebEgressRequest()
                | egress.ParticipantEgressRequest()
                | egress.TrackCompositeEgressRequest()
                | egress.TrackEgressRequest()
            ):
                return self._answer(faults.start, lambda: service.start(request))
            case _:
                return Answer(no_handler(f"/twirp/livekit.Egress/{method}"), 0)

    def _call_rooms(self, method: str, request: Message) -> Answer:
        def act() -> Answer:
            outcome = self._answer_about_rooms(method, request)
            return Answer(outcome, self._environment.draw(self.timing.lookup))

        return self._answer(self.faults.rooms, act)

    def _answer_about_rooms(self, method: str, request: Message) -> Message | TwirpError:
        rooms = self._rooms
        hide = self._environment.fires(self.faults.recorders_hidden)
        match request:
            case room.CreateRoomRequest():
                return rooms.create_room(request, self._identities)
            case room.ListRoomsRequest():
                return rooms.list_rooms(request, hide_recorders=hide)
            case room.DeleteRoomRequest():
                return rooms.delete_room(request)
            case room.ListParticipantsRequest():
                return rooms.list_participants(request, hide_recorders=hide)
            case room.RoomParticipantIdentity():
                remove = method == "RemoveParticipant"
                return (
                    rooms.remove_participant(request)
                    if remove
                    else rooms.get_participant(request, hide_recorders=hide)
                )
            case _:
                return no_handler(f"/twirp/livekit.RoomService/{method}")

    def _answer(self, faults: CallFaults, act: Callable[[], Answer]) -> Answer:
        environment = self._environment
        if environment.fires(faults.request_lost):
            return Answer(TIMED_OUT, 0, lost=True)
        if environment.fires(faults.internal):
            return Answer(REDIS_DOWN, environment.draw(self.timing.lookup))
        answer = act()
        if environment.fires(faults.slow):
            answer = replace(answer, after=answer.after + environment.draw(self.timing.slow))
        return replace(answer, lost=True) if environment.fires(faults.answer_lost) else answer

    def _run_due(self) -> None:
        self._schedule.run_due(self._collect_deliveries)
        self._collect_deliveries()

    def _collect_deliveries(self) -> None:
        self._effects.extend(self._queues.advance())
