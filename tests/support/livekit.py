"""The LiveKit stand-in on real HTTP, in virtual time: whoever waits for it moves the clock."""

from __future__ import annotations

import asyncio
import heapq
import socket
import threading
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

import uvicorn
from botocore.exceptions import BotoCoreError, ClientError
from livekit.protocol.egress import ListEgressRequest, RoomCompositeEgressRequest, StopEgressRequest
from livekit.protocol.room import ListParticipantsRequest, ListParticipantsResponse
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from livekit_standin.api import Api
from livekit_standin.media import render_segment
from livekit_standin.outputs.streams import PushStream
from livekit_standin.recording import Segment
from livekit_standin.uploads import Upload
from livekit_standin.webhooks import DeliverWebhook
from livekit_standin.world import World
from recorder.livekit.lookup import FIND_SECONDS
from tests.support.clock import SECOND, VirtualClock, VirtualLoops

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from google.protobuf.message import Message
    from mypy_boto3_s3 import S3Client
    from starlette.requests import Request
    from starlette.responses import Response

    from livekit_standin.timing import Timing
    from livekit_standin.twirp import Answer, TwirpError
    from livekit_standin.webhooks import Webhook
    from livekit_standin.world import Effect

API_KEY: Final = "devkey"
API_SECRET: Final = "a-local-secret-that-protects-nothing-at-all"
MEDIA: Final = b"a few bytes of media"
_REAL_SECONDS: Final = 60
"""How long something that needs no waiting may really take before the test is broken."""


_TOGETHER_SECONDS: Final = 0.02
"""How long calls that are made at once may really be apart."""


_PATIENCE: Final[ContextVar[int | None]] = ContextVar("patience", default=None)
"""How long (ns) the caller that is being answered waits, where no event loop tells."""


class _CallerGoneError(Exception):
    """An answer comes too late."""


class LiveKitServer:
    """An HTTP server on loopback in a thread of its own, which answers for one LiveKit at a time."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.loops = VirtualLoops(self.clock)
        # asyncio sends small writes at once only where the socket says that it is TCP.
        self._socket = socket.socket(proto=socket.IPPROTO_TCP)
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        routes = [Route("/twirp/livekit.{service}/{method}", self._answer, methods=["POST"])]
        self._server = uvicorn.Server(
            uvicorn.Config(
                Starlette(routes=routes),
                log_level="critical",
                lifespan="off",
                ws="none",
                timeout_keep_alive=3600,
            )
        )
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="livekit")
        self.livekit: LiveKit | None = None
        self.loop: asyncio.AbstractEventLoop

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(_REAL_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_REAL_SECONDS)
        self._socket.close()

    def advance(self, seconds: float) -> None:
        """Let time pass for the LiveKit of this moment."""
        if self.livekit is None:
            raise RuntimeError("nobody keeps the time")
        self.livekit.advance(seconds)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            self.loop = runner.get_loop()
            self.loop.call_soon(self._ready.set)
            runner.run(self._server.serve(sockets=[self._socket]))

    async def _answer(self, request: Request) -> Response:
        if self.livekit is None:
            raise RuntimeError("a call outside of a test")
        # Only the product's own look-up speaks JSON, and waits by the real clock.
        if request.headers["content-type"] == "application/json":
            _PATIENCE.set(int(FIND_SECONDS * SECOND))
        try:
            return await self.livekit.api.handle(request)
        except _CallerGoneError:
            return PlainTextResponse("nobody waits for this any more", 504)


class LiveKit:
    """One LiveKit with its workers, its world and its clock.

    All of it happens in the server's thread. `media` is what workers store as a file, and `file_size` what they report
    of it instead of its length.
    """

    def __init__(
        self, server: LiveKitServer, s3: S3Client, timing: Timing, *, webhooks: Sequence[str] = ()
    ) -> None:
        server.clock.restart()
        self.server = server
        self.clock = server.clock
        self.url = server.url
        self.world = ObservedWorld(self.clock, timing, webhooks)
        self.api = Api(self.world, self, API_KEY, API_SECRET)
        self.media = MEDIA
        self.file_size: int | None = None
        self.pushes: list[PushStream] = []
        """The streams that were begun."""
        self.deaf_hosts: set[str] = set()
        """Hosts at which nobody receives streams."""
        self.storage_away = False
        """Whether no upload succeeds, and workers try again."""
        self.deliveries: list[tuple[Webhook, int | None]] = []
        self._s3 = s3
        self._receivers: dict[str, Callable[[Webhook], int | None]] = {}
        self._timers: list[tuple[int, int, Callable[[], object]]] = []
        server.livekit = self

    @property
    def calls(self) -> list[str]:
        """Every API call so far, such as "Egress.ListEgress"."""
        return self.world.calls

    def connect(self, host: str, receive: Callable[[Webhook], int | None]) -> None:
        """Have the webhooks for a host name handed to `receive`, which returns the HTTP status."""
        self._receivers[host] = receive

    def hold_webhooks(self, host: str) -> list[Webhook]:
        """Keep the webhooks for a host name, as if they had arrived there; they come into the list returned."""
        held: list[Webhook] = []

        def keep(webhook: Webhook) -> int:
            held.append(webhook)
            return 200

        self.connect(host, keep)
        return held

    def send_again(self, webhook: Webhook) -> None:
        """Deliver a webhook once more."""
        receive = self._receivers[urlsplit(webhook.url).netloc]
        self.deliveries.append((webhook, receive(webhook)))

    def stop(self, recording_id: str) -> None:
        """Have the egress of a recording stopped by somebody else."""
        request = StopEgressRequest(egress_id=self.egress_of(recording_id))
        self.world.call("Egress", "StopEgress", request)

    def start_again(self) -> None:
        """Let the last start of a composite arrive once more, or after all."""
        starts = (each for each in self.world.requests if isinstance(each, RoomCompositeEgressRequest))
        *_, last = starts
        self.world.call("Egress", "StartRoomCompositeEgress", last)

    def kill_host(self, recording_id: str) -> None:
        """Let the worker's host under a recording die."""
        self.world.kill_host(self.egress_of(recording_id))

    def egress_of(self, recording_id: str) -> str:
        """Return the id of the egress that writes into a recording's folder."""
        [egress_id] = [
            each for each, info in self.world.unended().items() if f"/{recording_id}/" in str(info)
        ]
        return egress_id

    def track(self, kind: str, room: str = "demo") -> str:
        """Return the SID of a track: `camera_vp8`, `camera_h264` or `microphone`."""
        mime_type = {"camera_vp8": "video/VP8", "camera_h264": "video/H264", "microphone": "audio/opus"}[kind]
        answer = self.world.call(
            "RoomService", "ListParticipants", ListParticipantsRequest(room=room)
        ).outcome
        assert isinstance(answer, ListParticipantsResponse)
        tracks = (track for participant in answer.participants for track in participant.tracks)
        return next(track.sid for track in tracks if track.mime_type == mime_type)

    def at(self, seconds: float, action: Callable[[], object]) -> None:
        """Have something done when so many seconds have passed, also in the midst of a call."""
        heapq.heappush(self._timers, (self.clock.ns() + int(seconds * SECOND), len(self._timers), action))

    def advance(self, seconds: float) -> None:
        """Let time pass, with all that happens meanwhile."""
        until = self.clock.ns() + int(seconds * SECOND)
        self._in_server(self._run_until(until))

    def _in_server[T](self, work: Coroutine[None, None, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.server.loop).result(_REAL_SECONDS)

    # The pace of the API.

    def wake(self) -> None:
        """Nothing sleeps here."""

    async def hold(self, caller_gone: Callable[[], Awaitable[None]], after: int | None) -> None:
        """Move the clock to when the answer comes, or to when its caller gives up waiting."""
        answered_at = None if after is None else self.clock.ns() + after
        if after is not None and after > SECOND:
            # Calls that are made together wait together: the others are on their way.
            await asyncio.sleep(_TOGETHER_SECONDS)
        patience = _PATIENCE.get()
        gives_up_at = self.server.loops.next_deadline() if patience is None else self.clock.ns() + patience
        if answered_at is not None and (gives_up_at is None or answered_at < gives_up_at):
            await self._run_until(answered_at)
            return
        if gives_up_at is None:
            raise RuntimeError("whoever called would wait for ever")
        await self._run_until(gives_up_at)
        if patience is not None:
            raise _CallerGoneError
        self.server.loops.wake()
        await asyncio.wait_for(caller_gone(), _REAL_SECONDS)

    async def _run_until(self, until: int) -> None:
        while True:
            due = self._next_at()
            if due is None or due > until:
                self.clock.move_to(until)
                return
            self.clock.move_to(due)
            while self._timers and self._timers[0][0] <= due:
                _, _, action = heapq.heappop(self._timers)
                await asyncio.to_thread(action)
            for effect in self.world.advance():
                await self._perform(effect)

    def _next_at(self) -> int | None:
        times = [self.world.next_at(), self._timers[0][0] if self._timers else None]
        return min((each for each in times if each is not None), default=None)

    async def _perform(self, effect: Effect) -> None:
        if isinstance(effect, DeliverWebhook):
            receive = self._receivers.get(urlsplit(effect.webhook.url).netloc)
            status = await asyncio.to_thread(receive, effect.webhook) if receive else None
            self.deliveries.append((effect.webhook, status))
            self.world.delivered(effect.delivery_id, status)
            return
        if not isinstance(effect, Upload):
            # Nobody receives streams here, but those who are pushed to answer.
            if isinstance(effect, PushStream):
                self.pushes.append(effect)
                if any(host in effect.url for host in self.deaf_hosts):
                    self.world.stream_failed(effect.id, f"Could not connect to {effect.url}")
                else:
                    self.world.stream_connected(effect.id)
            return
        error = await asyncio.to_thread(self._store, effect)
        if error is None:
            content = effect.object.content
            size = len(content) if isinstance(content, bytes) else self.file_size or len(self.media)
            self.world.uploaded(effect.id, size)
        else:
            self.world.upload_failed(effect.id, 400, error, again=self.storage_away)

    def _media_of(self, content: object) -> bytes:
        """Return a real segment, which can be joined; of everything else, bytes that are all the same."""
        if not isinstance(content, Segment):
            return self.media
        which = (content.number, content.begin, content.end)
        if which not in _segments:
            with TemporaryDirectory() as folder:
                target = Path(folder) / "segment.ts"
                asyncio.run(render_segment(_small(content), target))
                _segments[which] = target.read_bytes()
        return _segments[which]

    def _store(self, upload: Upload) -> str | None:
        if upload.s3 is None or upload.backup:
            return None
        if self.storage_away:
            return "S3 upload failed: connection refused"
        made = upload.object
        body = made.content if isinstance(made.content, bytes) else self._media_of(made.content)
        try:
            self._s3.put_object(
                Bucket=upload.s3.bucket, Key=upload.key, Body=body, ContentType=made.content_type
            )
        except (BotoCoreError, ClientError) as error:
            return f"S3 upload failed: {error}"
        return None


def _small(segment: Segment) -> Segment:
    """Return a segment that is rendered in a moment."""
    encoding = replace(segment.recording.encoding, width=160, height=90, framerate=5, video_bitrate=100)
    return replace(segment, recording=replace(segment.recording, encoding=encoding))


_segments: dict[tuple[int, int, int], bytes] = {}
"""Segments that were rendered once, by their number and what of a recording they hold."""


class ObservedWorld(World):
    """Keeps the calls.

    `refuse_after_effect` is what the next start is answered although it has its effect, `update_stream` what calls of
    handlers are answered instead, `later_pages` the answer that stands for every page of a list but the first.
    `participants_after` is the time (ns) by which every list of a room's participants comes later.
    """

    def __init__(self, clock: VirtualClock, timing: Timing, webhooks: Sequence[str]) -> None:
        super().__init__(
            clock.ns, Random(7), timing, api_key=API_KEY, api_secret=API_SECRET, webhook_urls=webhooks
        )
        self.calls: list[str] = []
        self.requests: list[Message] = []
        self.refuse_after_effect: TwirpError | None = None
        self.update_stream: Answer | None = None
        self.later_pages: Answer | None = None
        self.participants_after = 0

    def call(self, service: str, method: str, request: Message) -> Answer:
        self.calls.append(f"{service}.{method}")
        self.requests.append(request)
        if method == "UpdateStream" and self.update_stream is not None:
            return self.update_stream
        if isinstance(request, ListEgressRequest) and request.page_token.token and self.later_pages:
            return self.later_pages
        answer = super().call(service, method, request)
        if method == "ListParticipants":
            answer = replace(answer, after=answer.after + self.participants_after)
        if method.startswith("Start") and self.refuse_after_effect is not None:
            answer, self.refuse_after_effect = replace(answer, outcome=self.refuse_after_effect), None
        return answer
