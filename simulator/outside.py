"""LiveKit and everybody else in its project: rooms, workers, webhooks, uploads."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from uuid import UUID

from livekit.protocol import egress as protocol

from livekit_standin.recording import Recording, Segment
from livekit_standin.rooms import IDENTITIES
from livekit_standin.uploads import Upload
from livekit_standin.webhooks import DeliverWebhook
from simulator.functions import API_KEY, STORAGE
from simulator.media import Span, seconds_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from random import Random

    from livekit_standin.world import World
    from simulator import plan
    from simulator.faults import Faults
    from simulator.functions import Functions
    from simulator.kernel import Kernel
    from simulator.memory import MemoryStorage
    from simulator.truth import Truth

HOOK: Final = "https://api.example/api/video/livekit/webhook"
_SLOW: Final = 3000.0
_LARGEST_FILE: Final = 2**33
"""Bytes: some files together are too large to be joined."""
_LARGEST: Final = 4_000_000
"""Of what is uploaded while it records."""
_BUCKET_AWAY: Final = "S3 upload failed: operation error S3: PutObject, exceeded maximum number of attempts"


class Outside:
    """Carries out what the stand-in's world asks of its driver, and what befalls it."""

    def __init__(
        self,
        kernel: Kernel,
        random: Random,
        world: World,
        faults: Faults,
        *,
        functions: Functions,
        bucket: MemoryStorage,
        truth: Truth,
    ) -> None:
        self._kernel = kernel
        self._random = random
        self._world = world
        self._faults = faults
        self._functions = functions
        self._bucket = bucket
        self._truth = truth
        self._away = False
        """LiveKit's server is away."""

    def track_in(self, room_name: str) -> str | None:
        """Return the SID of a track in an open room."""
        room = self._world._rooms.find(room_name)
        participants = room.participants.values() if room is not None else ()
        return next((track.sid for each in participants for track in each.tracks), None)

    def advance(self) -> None:
        for effect in self._world.advance():
            if isinstance(effect, DeliverWebhook):
                self._deliver(effect)
            elif isinstance(effect, Upload):
                self._kernel.after(self._random.uniform(0.05, 2.0), partial(self._store, effect))

    def litter(self, step: plan.Litter) -> None:
        folders = self._truth.folders()
        if not folders:
            return
        key = folders[step.which % len(folders)] + step.name
        if key not in self._bucket.objects:
            self._bucket.put(key, step.size, self._kernel.now())
            self._truth.litter.add(key)

    def _store(self, upload: Upload) -> None:
        if not self._world.expects(upload.id):
            # It went with its host, or with its egress.
            return
        if not upload.backup and self._faults.bucket_away.fires(self._random):
            self._world.upload_failed(upload.id, 400, _BUCKET_AWAY, again=True)
            return
        media = upload.object.content
        size = self._random.randint(1, _LARGEST_FILE if isinstance(media, Recording) else _LARGEST)
        content = (Span(upload.egress_id, *media.span),) if isinstance(media, Recording | Segment) else ()
        if upload.egress_id in self._truth.foreign:
            if upload.s3 is not None and upload.s3.bucket == STORAGE.bucket:
                self._truth.foreign_objects.add(upload.key)
                self._bucket.put(upload.key, size, self._kernel.now())
        elif upload.backup:
            self._truth.backed_up.add(upload.egress_id)
        else:
            # A file lasts longer than LiveKit says.
            surplus = self._random.uniform(0.3, 1.8)
            duration = seconds_of(content) + surplus if isinstance(media, Recording) else None
            self._bucket.put(upload.key, size, self._kernel.now(), duration, content)
            if isinstance(media, bytes):
                self._bucket.texts[upload.key] = media
            self._truth.litter.discard(upload.key)
            self._truth.stored(upload.key, upload.egress_id)
        self._world.uploaded(upload.id, size)

    def _deliver(self, delivery: DeliverWebhook) -> None:
        webhook = delivery.webhook
        if urlsplit(webhook.url).netloc != urlsplit(HOOK).netloc:
            self._world.delivered(delivery.delivery_id, 200)
            return
        named = webhook.url.removeprefix(HOOK).strip("/")
        self._functions.receive(
            webhook,
            UUID(named) if named else None,
            pace=_SLOW if self._faults.webhook_slow.fires(self._random) else 1.0,
            answer=partial(self._world.delivered, delivery.delivery_id),
        )

    def in_room(self, step: plan.InRoom) -> None:
        if self._away:
            return
        if step.action in {"close", "refill"}:
            self._world.close_room(step.room)
        elif step.action == "leave":
            self._world.leave(step.room)
        if step.action == "refill":
            self._world.open_room(step.room, identities=())
            self._kernel.after(
                self._random.uniform(1.0, 90.0), partial(self._world.join, step.room, IDENTITIES[0])
            )
        elif step.action == "open" and self._world._rooms.find(step.room) is None:
            self._world.open_room(step.room)

    def server_away(self, step: plan.ServerAway) -> None:
        if not self._away:
            self._away = True
            self._world.stop_server()
            self._kernel.after(
                step.seconds, partial(self.server_back, () if step.all_back else IDENTITIES[:1])
            )

    def server_back(self, gone: Collection[str] = ()) -> None:
        if self._away:
            self._away = False
            self._world.start_server(gone)

    def strike(self, step: plan.Strike) -> None:
        if step.what == "lose_records":
            self._world.lose_records()
            return
        running = self._truth.running()
        if not running:
            return
        egress_id = running[step.which % len(running)].id
        if step.what == "end_by_itself":
            self._world.end_by_itself(egress_id, "CPU exhausted")
        else:
            getattr(self._world, step.what)(egress_id)
        if step.what in {"suspend_host", "freeze_handler"}:
            uniform = self._random.uniform
            self._kernel.after(
                self._random.choice((uniform(20.0, 900.0), uniform(100.0, 300.0))),
                partial(self._world.go_on, egress_id),
            )

    def start_foreign(self, step: plan.Foreign) -> None:
        path = f"recordings/{UUID(int=self._random.getrandbits(128))}/recording.mp4"
        bucket, metadata, webhooks = STORAGE.bucket, {"deployment": "theirs"}, True
        if step.kind == "bucket":
            bucket, metadata = "theirs", {}
        elif step.kind == "automatic":
            path, metadata, webhooks = "automatic/{room_name}-{time}.mp4", {}, False
        request = protocol.RoomCompositeEgressRequest(
            room_name=step.room,
            file_outputs=[
                protocol.EncodedFileOutput(
                    file_type=protocol.MP4,
                    filepath=path,
                    disable_manifest=True,
                    s3=protocol.S3Upload(bucket=bucket, metadata=metadata),
                )
            ],
        )
        if webhooks:
            request.webhooks.add(url="https://theirs.example/hook", signing_key=API_KEY)
        outcome = self._world.call("Egress", "StartRoomCompositeEgress", request).outcome
        if isinstance(outcome, protocol.EgressInfo):
            self._truth.foreign[outcome.egress_id] = path
