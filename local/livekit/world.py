"""A whole LiveKit in memory: pure, synchronous, by a clock and a random generator that its driver owns."""

import hmac
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from random import Random

from google.protobuf.message import Message
from livekit.protocol import egress, models, room, webhook

from .egress import EgressService, Upload
from .faults import CallFaults, Faults
from .jobs import Job
from .protojson import webhook_json
from .rooms import IDENTITIES, Room, RoomEvent, Rooms
from .schedule import Schedule
from .timing import SECOND, Timing
from .twirp import REDIS_DOWN, TIMED_OUT, Answer, TwirpError, new_id, no_handler
from .webhooks import DeliverWebhook, Webhook, WebhookQueues

type Effect = DeliverWebhook | Upload

UNKNOWN_STATUS = "EGRESS_PAUSED"
_TOKEN_LIFETIME_S = 300


class World:
    """LiveKit's rooms, its Egress service with workers, and its webhooks.

    `clock` gives Unix time in ns and must not go back. `call` is an API call; whatever is due later happens in
    `advance`, which gives back what the driver has to do: deliver webhooks (and report `delivered`) and store
    files (and report `uploaded` or `upload_failed`). `next_at` says when to call it again.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        random: Random,
        timing: Timing | None = None,
        faults: Faults | None = None,
        *,
        api_key: str = "devkey",
        api_secret: str = "a-local-secret-that-protects-nothing-at-all",
        webhook_urls: Sequence[str] = (),
        identities: tuple[str, ...] = IDENTITIES,
    ) -> None:
        self._clock = clock
        self._random = random
        self.timing = timing or Timing()
        self.faults = faults or Faults()
        self._api_key = api_key
        self._api_secret = api_secret
        self._webhook_urls = tuple(webhook_urls)
        self._identities = identities
        self._schedule = Schedule(clock)
        self._queues = WebhookQueues(self._schedule.now)
        self._effects: list[Effect] = []
        self.rooms = Rooms(self._schedule, random, self.timing)
        self.rooms.event = self._notify_about_room
        self.egress = EgressService(self, self._schedule, random, self.timing, self.faults, self.rooms)

    def call(self, service: str, method: str, request: Message) -> Answer:
        """Make an API call, such as ("Egress", "StopEgress", StopEgressRequest(…))."""
        self._run_due()
        if service == "Egress":
            return self._call_egress(method, request)
        if service == "RoomService":
            return self._call_rooms(method, request)
        return Answer(no_handler(f"/twirp/livekit.{service}/{method}"), 0)

    def next_at(self) -> int | None:
        """Say when `advance` next has something to do; None where only calls and reports can bring about more."""
        if self._effects:
            return self._clock()
        times = [time for time in (self._schedule.next_at(), self._queues.next_at()) if time is not None]
        return min(times, default=None)

    def advance(self) -> list[Effect]:
        """Do all that is due by now and give the effects, in order."""
        self._run_due()
        effects, self._effects = self._effects, []
        return effects

    def delivered(self, delivery_id: int, status: int | None) -> None:
        """Report the HTTP status that a webhook got; None where the connection failed."""
        self._queues.delivered(delivery_id, status)

    def uploaded(self, egress_id: str, size: int, ended_at: int | None = None) -> None:
        """Report that a file of `size` bytes is stored; `ended_at` (ns, default now) as in its manifest."""
        self._run_due()
        self.egress.uploaded(egress_id, size, ended_at)

    def upload_failed(self, egress_id: str, code: int, text: str) -> None:
        """Report that a file could not be stored: the egress becomes FAILED with `code` and `text`."""
        self._run_due()
        self.egress.upload_failed(egress_id, code, text)

    def open_room(
        self, name: str, *, permanent: bool = False, identities: tuple[str, ...] | None = None
    ) -> Room:
        """Make a room without an API call; a permanent one never closes because it is empty."""
        self._run_due()
        chosen = self._identities if identities is None else identities
        return self.rooms.open(name, identities=chosen, permanent=permanent)

    def close_room(self, name: str) -> None:
        """Close a room, if it is open."""
        self._run_due()
        found = self.rooms.find(name)
        if found is not None:
            self.rooms.close(found)

    def join(self, room_name: str, identity: str) -> None:
        """Let a participant with camera and microphone join an open room."""
        self._run_due()
        found = self.rooms.find(room_name)
        if found is not None:
            self.rooms.join(found, identity)

    def leave(self, room_name: str, identity: str | None = None) -> None:
        """Let a participant leave a room; without `identity` everybody."""
        self._run_due()
        found = self.rooms.find(room_name)
        if found is not None:
            for leaving in tuple(found.participants) if identity is None else (identity,):
                self.rooms.leave(found, leaving)

    def upload(self, upload: Upload) -> None:
        """Put an upload among the effects."""
        self._effects.append(upload)

    def webhook_urls(self, job: Job) -> tuple[str, ...]:
        """Say who is told about a job: its own URLs that have a key which signs, and the global ones."""
        own = [hook.url for hook in job.webhooks if hook.signing_key in {"", self._api_key}]
        return (*own, *self._webhook_urls)

    def notify(self, event: str, info: egress.EgressInfo, urls: tuple[str, ...]) -> None:
        """Tell about an egress by webhook."""
        if urls:
            self._send(webhook.WebhookEvent(event=event, egress_info=info), info.egress_id, urls)

    def _call_egress(self, method: str, request: Message) -> Answer:
        service, faults = self.egress, self.faults
        match request:
            case egress.ListEgressRequest():
                return self._with(faults.list, lambda: service.list_records(request))
            case egress.StopEgressRequest():
                return self._with(faults.stop, lambda: service.stop(request))
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
                return self._with(faults.start, lambda: service.start(request))
        return Answer(no_handler(f"/twirp/livekit.Egress/{method}"), 0)

    def _call_rooms(self, method: str, request: Message) -> Answer:
        def act() -> Answer:
            return Answer(self._answer_about_rooms(method, request), self.timing.lookup.draw(self._random))

        return self._with(self.faults.rooms, act)

    def _answer_about_rooms(self, method: str, request: Message) -> Message | TwirpError:
        rooms = self.rooms
        hide = self.faults.recorders_hidden.fires(self._random)
        match request:
            case room.CreateRoomRequest():
                return rooms.create_room(request, self._identities)
            case room.ListRoomsRequest():
                return rooms.list_rooms(request, hide_recorders=hide)
            case room.DeleteRoomRequest():
                return rooms.delete_room(request)
            case room.ListParticipantsRequest():
                return rooms.list_participants(request, hide_recorders=hide)
            case room.RoomParticipantIdentity() if method == "GetParticipant":
                return rooms.get_participant(request, hide_recorders=hide)
            case room.RoomParticipantIdentity() if method == "RemoveParticipant":
                return rooms.remove_participant(request)
        return no_handler(f"/twirp/livekit.RoomService/{method}")

    def _with(self, faults: CallFaults, act: Callable[[], Answer]) -> Answer:
        random = self._random
        if faults.request_lost.fires(random):
            return Answer(TIMED_OUT, 0, lost=True)
        if faults.internal.fires(random):
            return Answer(REDIS_DOWN, self.timing.lookup.draw(random))
        answer = act()
        if faults.slow.fires(random):
            answer = replace(answer, after=answer.after + self.timing.slow.draw(random))
        return replace(answer, lost=True) if faults.answer_lost.fires(random) else answer

    def _run_due(self) -> None:
        self._schedule.run_due(self._collect_deliveries)
        self._collect_deliveries()

    def _collect_deliveries(self) -> None:
        self._effects.extend(self._queues.advance())

    def _notify_about_room(self, event: RoomEvent) -> None:
        if not self._webhook_urls:
            return
        about, participant, track = event.room.info, event.participant, event.track
        if track is not None and participant is not None:
            about = models.Room(sid=about.sid, name=about.name)
            participant = models.ParticipantInfo(sid=participant.sid, identity=participant.identity)
        told = webhook.WebhookEvent(event=event.name, room=about, participant=participant, track=track)
        self._send(told, "", self._webhook_urls)

    def _send(self, event: webhook.WebhookEvent, egress_id: str, urls: tuple[str, ...]) -> None:
        faults, random = self.faults, self._random
        if faults.webhook_lost.fires(random):
            return
        event.id = new_id("EV_", random)
        event.created_at = self._schedule.now() // SECOND
        text = webhook_json(event)
        if faults.webhook_status_unknown.fires(random):
            status = egress.EgressStatus.Name(event.egress_info.status)
            text = text.replace(f'"status":"{status}"', f'"status":"{UNKNOWN_STATUS}"', 1)
        body = text.encode()
        authorization = self._sign(body, event.created_at)
        for url in urls:
            message = Webhook(url, event.id, event.event, egress_id, body, authorization)
            self._queue(egress_id or event.room.sid, message)

    def _queue(self, sender: str, message: Webhook) -> None:
        faults, random = self.faults, self._random
        overtaken = faults.webhook_reordered.fires(random)
        late = overtaken or faults.webhook_late.fires(random)
        after = self.timing.late_webhook.draw(random) if late else 0
        self._queues.add(sender, message, after=after, overtaken=overtaken)
        if faults.webhook_doubled.fires(random):
            self._queues.add(sender, message, after=after, overtaken=overtaken)

    def _sign(self, body: bytes, now: int) -> str:
        # By hand because PyJWT takes as long as all the rest of an event.
        digest = b64encode(sha256(body).digest()).decode()
        claims = f'{{"iss":"{self._api_key}","exp":{now + _TOKEN_LIFETIME_S},"nbf":{now},"iat":{now},"sha256":"{digest}"}}'
        signed = _TOKEN_HEADER + b"." + _base64url(claims.encode())
        return (signed + b"." + _base64url(hmac.digest(self._api_secret.encode(), signed, "sha256"))).decode()


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


_TOKEN_HEADER = _base64url(b'{"alg":"HS256","typ":"JWT"}')
