"""A World with its driver in virtual time."""

import json
from random import Random

from livekit.protocol import egress, models, room

from livekit_standin.jobs import StartRequest
from livekit_standin.outputs.streams import PushStream
from livekit_standin.recording import Recording
from livekit_standin.timing import SECOND, Timing
from livekit_standin.twirp import Answer
from livekit_standin.uploads import Upload
from livekit_standin.webhooks import DeliverWebhook, Webhook
from livekit_standin.world import World

ROOM = "demo"
URL = "http://receiver/hook"
START = 1_795_337_218_000_000_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
SIZE = 4711
NOBODY_LISTENS = "Connection refused: Could not connect to 127.0.0.1: Connection refused"
REFUSED = "S3 upload failed: connection refused"


class Life:
    """A World with its driver in virtual time: every webhook is answered 200, every file stored."""

    def __init__(self, timing: Timing | None = None, webhook_urls: tuple[str, ...] = ()) -> None:
        self.now = START
        self.world = World(lambda: self.now, Random(7), timing, webhook_urls=webhook_urls)
        self.faults = self.world.faults
        self.room = self.world.open_room(ROOM, permanent=True)
        self.webhooks: list[Webhook] = []
        self.times: list[int] = []
        self.uploads: list[Upload] = []
        self.stored_at: list[int] = []
        self.refusing: set[str] = set()
        """Buckets that refuse connections."""
        self.deaf: set[str] = set()
        """Streams that nobody receives."""
        self.pushed: set[int] = set()

    def wait(self, time: int) -> None:
        """Let time (ns) pass."""
        end = self.now + time
        while (due := self.world.next_at()) is not None and due <= end:
            self.now = max(self.now, due)
            for effect in self.world.advance():
                if isinstance(effect, DeliverWebhook):
                    self.webhooks.append(effect.webhook)
                    self.times.append(self.now)
                    self.world.delivered(effect.delivery_id, 200)
                elif isinstance(effect, Upload):
                    self._store(effect)
                elif isinstance(effect, PushStream):
                    self._push(effect)
                else:
                    self.pushed.discard(effect.id)
        self.now = end

    def _store(self, upload: Upload) -> None:
        if upload.s3 is not None and upload.s3.bucket in self.refusing:
            self.world.upload_failed(upload.id, 400, REFUSED, again=True)
        else:
            self.uploads.append(upload)
            self.stored_at.append(self.now)
            self.world.uploaded(upload.id, SIZE)

    def _push(self, stream: PushStream) -> None:
        if stream.url in self.deaf:
            self.world.stream_failed(stream.id, NOBODY_LISTENS)
        else:
            self.pushed.add(stream.id)
            self.world.stream_connected(stream.id)

    def objects(self) -> dict[str, Upload]:
        """Give what every bucket holds now, by key."""
        return {upload.key: upload for upload in self.uploads}

    def text(self, key: str) -> str:
        """Give the text of an object."""
        content = self.objects()[key].object.content
        assert isinstance(content, bytes)
        return content.decode()

    def files(self) -> dict[str, tuple[Upload, Recording]]:
        """Give every recording that was stored, by the id of its egress."""
        made = ((upload, upload.object.content) for upload in self.uploads)
        return {
            upload.egress_id: (upload, content) for upload, content in made if isinstance(content, Recording)
        }

    def start(self, request: StartRequest | None = None) -> egress.EgressInfo:
        outcome = self.ask_start(request).outcome
        assert isinstance(outcome, egress.EgressInfo)
        return outcome

    def ask_start(self, request: StartRequest | None = None) -> Answer:
        return self.world.call("Egress", "Start", composite() if request is None else request)

    def activated(self, request: StartRequest) -> str:
        """Start, and wait for the moment at which it is ACTIVE."""
        egress_id = self.start(request).egress_id
        while self.status(egress_id) != "ACTIVE":
            self.wait(SECOND // 100)
        return egress_id

    def recorded(self) -> egress.EgressInfo:
        """Record with a composite for some seconds, and give how it ended."""
        egress_id = self.active().egress_id
        self.stop(egress_id)
        self.wait(30 * SECOND)
        info = self.read(egress_id)
        assert info is not None
        return info

    def stop(self, egress_id: str) -> Answer:
        return self.world.call("Egress", "StopEgress", egress.StopEgressRequest(egress_id=egress_id))

    def active(self) -> egress.EgressInfo:
        """Start a composite and wait until it is ACTIVE."""
        started = self.start()
        self.wait(10 * SECOND)
        return started

    def read(self, egress_id: str) -> egress.EgressInfo | None:
        request = egress.ListEgressRequest(egress_id=egress_id)
        outcome = self.world.call("Egress", "ListEgress", request).outcome
        items = outcome.items if isinstance(outcome, egress.ListEgressResponse) else []
        return next(iter(items), None)

    def status(self, egress_id: str) -> str:
        info = self.read(egress_id)
        return "UNKNOWN" if info is None else egress.EgressStatus.Name(info.status).removeprefix("EGRESS_")

    def ids(self, *, active: bool) -> list[str]:
        outcome = self.world.call("Egress", "ListEgress", egress.ListEgressRequest(active=active)).outcome
        assert isinstance(outcome, egress.ListEgressResponse)
        return [info.egress_id for info in outcome.items]

    def recorders(self) -> list[str]:
        request = room.ListParticipantsRequest(room=ROOM)
        outcome = self.world.call("RoomService", "ListParticipants", request).outcome
        assert isinstance(outcome, room.ListParticipantsResponse)
        kind = models.ParticipantInfo.EGRESS
        return [participant.identity for participant in outcome.participants if participant.kind == kind]

    def recording(self) -> bool:
        outcome = self.world.call("RoomService", "ListRooms", room.ListRoomsRequest(names=[ROOM])).outcome
        assert isinstance(outcome, room.ListRoomsResponse)
        return outcome.rooms[0].active_recording

    def events(self, egress_id: str) -> list[str]:
        """Give the statuses that webhooks told, STARTING as an empty one."""
        bodies = [json.loads(webhook.body) for webhook in self.webhooks if webhook.egress_id == egress_id]
        return [body["egressInfo"].get("status", "").removeprefix("EGRESS_") for body in bodies]


def composite(**fields: str | bool) -> egress.RoomCompositeEgressRequest:
    request = egress.RoomCompositeEgressRequest(
        room_name=ROOM,
        file_outputs=[egress.EncodedFileOutput(filepath="recordings/1/file", s3=s3())],
        webhooks=[models.WebhookConfig(url=URL, signing_key="devkey")],
    )
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def track(sid: str) -> egress.TrackEgressRequest:
    return egress.TrackEgressRequest(
        room_name=ROOM, track_id=sid, file=egress.DirectFileOutput(filepath="recordings/2/file", s3=s3())
    )


def s3() -> egress.S3Upload:
    return egress.S3Upload(access_key="key", secret="word", bucket="bucket", endpoint="http://s3")
