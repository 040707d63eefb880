"""Runs a World in real time: sends its webhooks, renders and stores its files."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic_ns, time_ns

import httpx

from livekit_standin.media import RenderingError, render, render_image, render_segment
from livekit_standin.outputs.streams import EndStream, PushStream
from livekit_standin.pushing import push
from livekit_standin.recording import Image, Recording, Segment
from livekit_standin.storage import UploadError, put
from livekit_standin.timing import SECOND
from livekit_standin.uploads import Upload
from livekit_standin.webhooks import DeliverWebhook
from livekit_standin.world import Effect, World

# The real one waits without end; a receiver that hangs must not hold the stand-in for ever.
_WEBHOOK_TIMEOUT_S = 60
_RENDERERS = 2
_EPOCH = time_ns() - monotonic_ns()


def clock() -> int:
    """Give Unix time in ns; it never goes back."""
    return _EPOCH + monotonic_ns()


class Driver:
    """The hands of a World; whoever calls the World must `wake` it afterwards."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world = world
        self._folder = folder
        self._unfinished = folder
        """Where objects are made."""
        self._awake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pushes: dict[int, asyncio.Task[None]] = {}
        self._http = httpx.AsyncClient(timeout=_WEBHOOK_TIMEOUT_S, trust_env=False)
        self._rendering = asyncio.Semaphore(_RENDERERS)

    def wake(self) -> None:
        """Say that something may have become due."""
        self._awake.set()

    async def hold(self, caller_gone: Callable[[], Awaitable[None]], after: int | None) -> None:
        """Hold an answer back for `after` ns (None: for ever), or until its caller has gone."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if after is None else after / SECOND):
                await caller_gone()

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._folder) as unfinished:
            self._unfinished = Path(unfinished)
            try:
                await self._work()
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._http.aclose()

    async def _work(self) -> None:
        while True:
            self._awake.clear()
            for effect in self._world.advance():
                self._perform(effect)
            await self._sleep()

    def _perform(self, effect: Effect) -> None:
        match effect:
            case DeliverWebhook():
                self._spawn(self._deliver(effect))
            case Upload():
                self._spawn(self._store(effect))
            case PushStream():
                self._pushes[effect.id] = self._spawn(push(effect, self._world, self.wake))
            case EndStream():
                self._pushes.pop(effect.id).cancel()

    async def _sleep(self) -> None:
        due = self._world.next_at()
        timeout = None if due is None else max(0, due - clock()) / SECOND
        try:
            async with asyncio.timeout(timeout):
                await self._awake.wait()
        except TimeoutError:
            return

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _deliver(self, delivery: DeliverWebhook) -> None:
        webhook = delivery.webhook
        headers = {
            "User-Agent": "Go-http-client/1.1",
            "Authorization": webhook.authorization,
            "Content-Type": "application/webhook+json",
            "Accept-Encoding": "gzip",
        }
        status: int | None = None
        try:
            status = (await self._http.post(webhook.url, content=webhook.body, headers=headers)).status_code
        except (httpx.HTTPError, httpx.InvalidURL):
            pass
        finally:
            self._world.delivered(delivery.delivery_id, status)
            self.wake()

    async def _store(self, upload: Upload) -> None:
        file = self._unfinished / f"{upload.id}{Path(upload.key).suffix}"
        try:
            size = await self._put(upload, file)
            self._world.uploaded(upload.id, size)
        except UploadError as error:
            self._world.upload_failed(upload.id, 400, str(error), again=error.again)
        except (RenderingError, OSError) as error:
            self._world.upload_failed(upload.id, 500, str(error))
        if not self._world.expects(upload.id):
            file.unlink(missing_ok=True)
        self.wake()

    async def _put(self, upload: Upload, file: Path) -> int:
        content = upload.object.content
        if isinstance(content, bytes):
            await asyncio.to_thread(file.write_bytes, content)
        elif upload.attempt == 1 and not upload.backup:
            async with self._rendering:
                await _render(content, file)
        if not self._world.expects(upload.id):
            return 0
        if upload.s3 is None:
            return await asyncio.to_thread(self._keep, upload, file)
        return await asyncio.to_thread(put, upload, upload.s3, file)

    def _keep(self, upload: Upload, file: Path) -> int:
        folder = self._folder / upload.egress_id
        folder.mkdir(exist_ok=True)
        return file.rename(folder / Path(upload.key).name).stat().st_size


async def _render(content: Recording | Segment | Image, file: Path) -> None:
    match content:
        case Recording():
            await render(content, file)
        case Segment():
            await render_segment(content, file)
        case Image():
            await render_image(content, file)
