"""Pushes streams to RTMP receivers with ffmpeg, in real time."""

import asyncio
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from livekit_standin.media import push_command
from livekit_standin.outputs.streams import PushStream
from livekit_standin.world import World

_RTMP_PORT = 1935
_RETRY_S = 0.5
_REFUSED = "Connection refused: Could not connect to {host}: Connection refused"


async def push(stream: PushStream, world: World, wake: Callable[[], None]) -> None:
    """Push a stream until cancelled; a receiver that goes away is waited for."""

    def connected() -> None:
        world.stream_connected(stream.id)
        wake()

    text = await _push_once(stream, connected)
    if text is not None:
        world.stream_failed(stream.id, text)
        wake()
        return
    while True:
        host = urlsplit(stream.url).hostname
        world.stream_lost(stream.id, _REFUSED.format(host=host))
        wake()
        await _until_somebody_listens(stream.url)
        await _push_once(stream, connected)


async def _push_once(stream: PushStream, connected: Callable[[], None]) -> str | None:
    """Push until the connection ends; where there was none at all, give the error."""
    with TemporaryDirectory() as folder:
        command = push_command(stream.recording, stream.url, Path(folder))
        process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE)
        try:
            return await _watch(process, stream.url, connected)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _watch(process: Process, url: str, connected: Callable[[], None]) -> str | None:
    if process.stdout is None or process.stderr is None:
        raise RuntimeError("they are pipes")
    messages = asyncio.create_task(process.stderr.read())
    # It has nothing to say about its progress before it is connected.
    reached = bool(await process.stdout.readline())
    if reached:
        connected()
        while await process.stdout.read(4096):
            pass
    text = (await messages).decode(errors="replace").strip()
    return None if reached else _explained(text, url)


def _explained(text: str, url: str) -> str:
    if "Connection refused" in text:
        return _REFUSED.format(host=urlsplit(url).hostname)
    return text.rpartition("\n")[2]


async def _until_somebody_listens(url: str) -> None:
    address = urlsplit(url)
    while True:
        await asyncio.sleep(_RETRY_S)
        with suppress(OSError):
            _, writer = await asyncio.open_connection(address.hostname, address.port or _RTMP_PORT)
            writer.close()
            return
