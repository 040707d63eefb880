"""Two recordings from start to a decoded file, through the public doors only: one as it is, one with interruptions."""

from __future__ import annotations

import subprocess
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import httpx
import imageio_ffmpeg
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from local.processes.children import LocalStackError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ROOM = "demo"
# The stand-in encodes in software: a small picture keeps the story short.
RESOLUTION = "480p"
RECORD_SECONDS = 5.0
PAUSE_SECONDS = 2.0
PATIENCE_SECONDS = 60.0
# Seconds by which the file may differ from the API's duration and that of its takes, and from the clock on the wall.
API_TOLERANCE_SECONDS = 0.2
CLOCK_TOLERANCE_SECONDS = 1.0
# How old a status may be where LiveKit's webhooks do not reach the API.
STATUS_AGE_SECONDS = 5.0


class _Json(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class _Started(_Json):
    recording_id: str
    status: str


class _Recording(_Json):
    status: str
    egress_id: str | None = None
    duration: float | None
    file_size: int | None
    file_name: str | None
    failure_reason: str | None


class _Take(_Json):
    take: int
    started_at: datetime
    end: str | None
    duration: float | None
    lost_seconds: float | None = None


class _Details(_Json):
    recording: _Recording
    download_url: str | None
    takes: list[_Take] = []


class _Decoded(BaseModel):
    seconds: float
    frames: int


@dataclass(frozen=True)
class _Demo:
    """The parts that the recordings of one run share."""

    api: httpx.Client
    downloads: Path
    began: float = field(default_factory=time.monotonic)

    def tell(self, text: str) -> None:
        print(f"{time.monotonic() - self.began:6.1f} s  {text}", flush=True)

    def start(self) -> str:
        wanted = {"roomName": ROOM, "resolution": RESOLUTION}
        started = _Started.model_validate_json(_ok(self.api.post("/recordings", json=wanted)))
        self.tell(f"POST   {started.status}: recording {started.recording_id}")
        return f"/recordings/{started.recording_id}"

    def patch(self, path: str, action: str) -> None:
        changed = _Started.model_validate_json(_ok(self.api.patch(path, json={"action": action})))
        self.tell(f"PATCH  {action}: {changed.status}")

    def record(self, path: str, *, take: int = 1) -> tuple[_Recording, float]:
        """Let a take record for some seconds once it is active; return also the last moment at which it was not."""
        details, inactive_at = _wait_for(self.api, path, "active", take=take, tell=self.tell)
        self.tell(f"       take {take} records for {RECORD_SECONDS:.0f} seconds")
        time.sleep(RECORD_SECONDS)
        return details.recording, inactive_at

    def fetch(self, path: str) -> tuple[_Details, Path, _Decoded]:
        """Return a recording once it is completed, with its file, which decodes."""
        details, _ = _wait_for(self.api, path, "completed", take=1, tell=self.tell)
        self.tell(f"       {details.recording.duration} s, {details.recording.file_size} bytes")
        file = _download(details, self.downloads)
        self.tell(f"GET    {file}")
        decoded = _decode(file)
        self.tell(f"ffmpeg decoded {decoded.frames} frames, {decoded.seconds:.2f} s, without an error")
        return details, file, decoded


def record(
    api_url: str, token: str, downloads: Path, *, livekit_url: str | None = None, status_age: float = 0.0
) -> None:
    """Record the room `demo` twice and tell the story; raise LocalStackError when anything is not as it should be.

    The second recording is paused, and its worker is killed where `livekit_url` is that of the stand-in, which does so
    on demand. `status_age` is by how many seconds the API's word may lag behind LiveKit.
    """
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{api_url}/api/video", headers=headers, timeout=30) as api:
        demo = _Demo(api, downloads)
        demo.tell(f"Recording room {ROOM!r} at {api_url}")
        files = [_record_plainly(demo, status_age)]
        demo.tell(f"Recording it again, with a pause{' and a worker that is killed' if livekit_url else ''}")
        files.append(_record_takes(demo, livekit_url))
    print()
    for file, decoded in files:
        print(f"{file}: {decoded.seconds:.2f} seconds, {file.stat().st_size} bytes")


def _record_plainly(demo: _Demo, status_age: float) -> tuple[Path, _Decoded]:
    path = demo.start()
    _, inactive_at = demo.record(path)
    demo.patch(path, "stop")
    at_most = time.monotonic() - inactive_at + status_age
    details, file, decoded = demo.fetch(path)
    least = RECORD_SECONDS - CLOCK_TOLERANCE_SECONDS
    _check(details.recording, file, decoded, least, at_most + CLOCK_TOLERANCE_SECONDS)
    return file, decoded


def _record_takes(demo: _Demo, livekit_url: str | None) -> tuple[Path, _Decoded]:
    """Record with a pause, and with a worker that is killed where that can be asked for."""
    path = demo.start()
    demo.record(path)
    demo.patch(path, "pause")
    _wait_for(demo.api, path, "paused", take=1, tell=demo.tell)
    demo.tell(f"       nothing is recorded for {PAUSE_SECONDS:.0f} seconds")
    time.sleep(PAUSE_SECONDS)
    demo.patch(path, "resume")
    recording, _ = demo.record(path, take=2)
    ends = ["paused", "stopped"]
    if livekit_url:
        _ok(httpx.post(f"{livekit_url}/_control/egress/{recording.egress_id}/kill-handler"))
        demo.tell("       the worker's process is killed")
        demo.record(path, take=3)
        ends.insert(1, "worker_lost")
    demo.patch(path, "stop")
    details, file, decoded = demo.fetch(path)
    for take in details.takes:
        demo.tell(f"       take {take.take}: {_told(take)}")
    _check(details.recording, file, decoded, 0.0, PATIENCE_SECONDS)
    _check_takes(details.takes, decoded, ends)
    return file, decoded


def _told(take: _Take) -> str:
    lost = "" if take.lost_seconds is None else f"; {take.lost_seconds:.2f} s are lost until the next take"
    return f"{take.duration or 0:.2f} s, {take.end}{lost}"


def _ok(answer: httpx.Response) -> bytes:
    if not answer.is_success:
        request = answer.request
        raise LocalStackError(
            f"{request.method} {request.url.path} was answered {answer.status_code}: {answer.text}"
        )
    return answer.content


def _wait_for(
    api: httpx.Client,
    path: str,
    status: str,
    *,
    take: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[_Details, float]:
    """Return the recording once it has this status and so many takes, and the last moment at which it had not.

    `tell` hears of each status on the way.
    """
    asked_at = time.monotonic()
    deadline = asked_at + PATIENCE_SECONDS
    told = None
    while True:
        before, asked_at = asked_at, time.monotonic()
        details = _Details.model_validate_json(_ok(api.get(path)))
        recording = details.recording
        reached = recording.status == status and len(details.takes) >= take
        if recording.status != told and (reached or recording.status != status):
            told = recording.status
            tell(f"GET    {told}")
        if reached:
            return details, before
        if recording.status == "failed" or time.monotonic() > deadline:
            raise LocalStackError(
                f"The recording is {recording.status}, not {status}. {recording.failure_reason or ''}"
            )
        time.sleep(0.25)


def _download(details: _Details, downloads: Path) -> Path:
    if not details.download_url or not details.recording.file_name:
        raise LocalStackError("The completed recording has no link to its file.")
    downloads.mkdir(parents=True, exist_ok=True)
    file = downloads / details.recording.file_name
    with httpx.stream("GET", details.download_url) as answer, file.open("wb") as target:
        if not answer.is_success:
            raise LocalStackError(f"The file's link was answered {answer.status_code}.")
        for chunk in answer.iter_bytes():
            target.write(chunk)
    return file


def _decode(file: Path) -> _Decoded:
    """Decode every stream whole; the slightest fault in the file is an error."""
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-nostdin",
        "-v",
        "error",
        "-xerror",
        "-i",
        str(file),
        "-map",
        "0",
    ]
    done = subprocess.run(
        [*command, "-f", "null", "-progress", "pipe:1", "-"], capture_output=True, text=True, check=False
    )
    if done.returncode or done.stderr:
        raise LocalStackError(f"{file} does not decode:\n{done.stderr}")
    progress = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    return _Decoded(seconds=int(progress["out_time_us"]) / 1e6, frames=int(progress["frame"]))


def _check(recording: _Recording, file: Path, decoded: _Decoded, at_least: float, at_most: float) -> None:
    size = file.stat().st_size
    if size != recording.file_size:
        raise LocalStackError(f"The file has {size} bytes, the API says {recording.file_size}.")
    if recording.duration is None or abs(decoded.seconds - recording.duration) > API_TOLERANCE_SECONDS:
        raise LocalStackError(f"The file lasts {decoded.seconds:.2f} s, the API says {recording.duration} s.")
    if not at_least <= decoded.seconds <= at_most:
        raise LocalStackError(
            f"The file lasts {decoded.seconds:.2f} s, not {at_least:.1f} to {at_most:.1f} s."
        )


def _check_takes(takes: Sequence[_Take], decoded: _Decoded, ends: Sequence[str]) -> None:
    """Hold a file of several takes against them: it has their seconds, and what is lost lies between two of them."""
    if [take.end for take in takes] != ends:
        raise LocalStackError(f"The takes ended as {[take.end for take in takes]}, not as {ends}.")
    seconds = [take.duration or 0.0 for take in takes]
    if abs(decoded.seconds - sum(seconds)) > API_TOLERANCE_SECONDS:
        raise LocalStackError(f"The file lasts {decoded.seconds:.2f} s, its takes {sum(seconds):.2f} s.")
    for take, recorded in zip(takes, seconds, strict=True):
        least = RECORD_SECONDS - CLOCK_TOLERANCE_SECONDS
        if recorded < least and take.end != "worker_lost":
            raise LocalStackError(f"Take {take.take} has {recorded:.2f} s, not at least {least:.1f} s.")
    for take, following in pairwise(takes):
        if take.end != "worker_lost":
            continue
        ended_at = take.started_at + timedelta(seconds=take.duration or 0.0)
        between = (following.started_at - ended_at).total_seconds()
        if abs(between - (take.lost_seconds or 0.0)) > API_TOLERANCE_SECONDS:
            raise LocalStackError(
                f"{between:.2f} s lie between take {take.take} and the next one, the API says {take.lost_seconds} s."
            )
