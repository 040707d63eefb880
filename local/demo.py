"""One recording from start to a decoded file, through the public doors only."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import httpx
import imageio_ffmpeg
from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

from local.processes.children import LocalStackError

if TYPE_CHECKING:
    from pathlib import Path

ROOM = "demo"
RECORD_SECONDS = 5.0
PATIENCE_SECONDS = 60.0
# Seconds by which the file may differ from the API's duration, and from what the clock on the wall allows.
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
    duration: float | None
    file_size: int | None
    file_name: str | None
    failure_reason: str | None


class _Details(_Json):
    recording: _Recording
    download_url: str | None


class _Decoded(BaseModel):
    seconds: float
    frames: int


def record(api_url: str, token: str, downloads: Path, *, status_age: float = 0.0) -> None:
    """Record the room `demo` and tell the story; raise LocalStackError when anything of it is not as it should be.

    `status_age` is by how many seconds the API's word may lag behind LiveKit.
    """
    began = time.monotonic()

    def tell(text: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {text}", flush=True)

    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=f"{api_url}/api/video", headers=headers, timeout=30) as api:
        tell(f"Recording room {ROOM!r} at {api_url}")
        started = _Started.model_validate_json(_ok(api.post("/recordings", json={"roomName": ROOM})))
        tell(f"POST   {started.status}: recording {started.recording_id}")
        path = f"/recordings/{started.recording_id}"
        _, inactive_at = _wait_for(api, path, "active")
        active_at = time.monotonic()
        tell(f"GET    active; recording for {RECORD_SECONDS:.0f} seconds")
        time.sleep(RECORD_SECONDS)
        at_least = time.monotonic() - active_at
        stopped = _Started.model_validate_json(_ok(api.patch(path)))
        at_most = time.monotonic() - inactive_at + status_age
        tell(f"PATCH  {stopped.status}")
        done, _ = _wait_for(api, path, "completed")
        recording = done.recording
        tell(f"GET    completed: {recording.duration} s, {recording.file_size} bytes")
    file = _download(done, downloads)
    tell(f"GET    {file}")
    decoded = _decode(file)
    tell(f"ffmpeg decoded {decoded.frames} frames, {decoded.seconds:.2f} s, without an error")
    _check(recording, file, decoded, at_least - CLOCK_TOLERANCE_SECONDS, at_most + CLOCK_TOLERANCE_SECONDS)
    print(f"\n{file}: {decoded.seconds:.2f} seconds, {file.stat().st_size} bytes")


def _ok(answer: httpx.Response) -> bytes:
    if not answer.is_success:
        request = answer.request
        raise LocalStackError(
            f"{request.method} {request.url.path} was answered {answer.status_code}: {answer.text}"
        )
    return answer.content


def _wait_for(api: httpx.Client, path: str, status: str) -> tuple[_Details, float]:
    """Return the recording once it has this status, and the last moment at which the API was asked in vain."""
    asked_at = time.monotonic()
    deadline = asked_at + PATIENCE_SECONDS
    while True:
        before, asked_at = asked_at, time.monotonic()
        details = _Details.model_validate_json(_ok(api.get(path)))
        recording = details.recording
        if recording.status == status:
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
