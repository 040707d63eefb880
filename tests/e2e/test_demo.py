"""`make demo` says that all is well only where it is."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol

import httpx
import pytest

from livekit_standin.media import render
from livekit_standin.recording import Encoding, Recording
from livekit_standin.timing import SECOND
from local import __main__ as command_line
from local import demo
from local.processes.children import LocalStackError

if TYPE_CHECKING:
    from pathlib import Path

    from local.stack import Stack

pytestmark = pytest.mark.xdist_group("e2e")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of a room."""
    file = tmp_path_factory.mktemp("film") / "recording.mp4"
    encoding = Encoding(width=320, height=180, video_codec="h264", audio_codec="aac")
    recording = Recording("demo", "mp4", encoding, audio=True, video=True, layout="grid", duration=2 * SECOND)
    asyncio.run(render(recording, file))
    return file


def said_by_the_api(file: Path, *, size: int | None = None, duration: float = 2.0) -> demo._Recording:
    return demo._Recording(
        status="completed",
        duration=duration,
        file_size=file.stat().st_size if size is None else size,
        file_name=file.name,
        failure_reason=None,
    )


def test_a_good_file_is_good(film: Path) -> None:
    decoded = demo._decode(film)
    assert decoded.seconds == pytest.approx(2, abs=0.1)
    demo._check(said_by_the_api(film), film, decoded, 1.5, 2.5)


@pytest.mark.parametrize("part", [0.5, 0.9, 0.999])
def test_a_truncated_file_is_told(film: Path, tmp_path: Path, part: float) -> None:
    file = tmp_path / "recording.mp4"
    content = film.read_bytes()
    file.write_bytes(content[: int(len(content) * part)])
    with pytest.raises(LocalStackError, match="does not decode"):
        demo._decode(file)


def test_another_size_than_the_api_says_is_told(film: Path) -> None:
    wrong = said_by_the_api(film, size=film.stat().st_size + 1)
    with pytest.raises(LocalStackError, match="bytes, the API says"):
        demo._check(wrong, film, demo._decode(film), 0, 10)


@pytest.mark.parametrize("duration", [1.0, 3.0])
def test_another_duration_than_the_api_says_is_told(film: Path, duration: float) -> None:
    wrong = said_by_the_api(film, duration=duration)
    with pytest.raises(LocalStackError, match=r"s, the API says \d.0 s"):
        demo._check(wrong, film, demo._decode(film), 0, 10)


@pytest.mark.parametrize(("at_least", "at_most"), [(2.5, 10), (0, 1.5)])
def test_another_duration_than_the_clock_allows_is_told(film: Path, at_least: float, at_most: float) -> None:
    with pytest.raises(LocalStackError, match=r"not \d.* to"):
        demo._check(said_by_the_api(film), film, demo._decode(film), at_least, at_most)


BEGAN = datetime(2026, 11, 26, 12, tzinfo=UTC)
ENDS = ["paused", "worker_lost", "stopped"]


def three_takes() -> list[demo._Take]:
    """A pause after ten seconds, and a worker of whose twelve seconds eight are kept, six before the next take."""
    return [
        demo._Take(take=1, started_at=BEGAN, end="paused", duration=10.0),
        demo._Take(
            take=2,
            started_at=BEGAN + timedelta(seconds=60),
            end="worker_lost",
            duration=8.0,
            lost_seconds=6.0,
        ),
        demo._Take(take=3, started_at=BEGAN + timedelta(seconds=74), end="stopped", duration=7.0),
    ]


def decoded(seconds: float) -> demo._Decoded:
    return demo._Decoded(seconds=seconds, frames=1)


def test_a_file_with_the_seconds_of_its_takes_is_good() -> None:
    demo._check_takes(three_takes(), decoded(25.0), ENDS)


@pytest.mark.parametrize("seconds", [10.0, 24.7, 25.3])
def test_another_duration_than_that_of_the_takes_is_told(seconds: float) -> None:
    with pytest.raises(LocalStackError, match=r"its takes 25\.00 s"):
        demo._check_takes(three_takes(), decoded(seconds), ENDS)


def test_a_take_that_is_missing_is_told() -> None:
    with pytest.raises(LocalStackError, match="The takes ended as"):
        demo._check_takes(three_takes()[::2], decoded(17.0), ENDS)


def test_a_take_that_is_too_short_is_told() -> None:
    takes = three_takes()
    takes[2] = takes[2].model_copy(update={"duration": 1.0})
    with pytest.raises(LocalStackError, match=r"Take 3 has 1\.00 s"):
        demo._check_takes(takes, decoded(19.0), ENDS)


@pytest.mark.parametrize("lost", [None, 2.0, 9.0])
def test_other_lost_seconds_than_lie_between_the_takes_are_told(lost: float | None) -> None:
    takes = three_takes()
    takes[1] = takes[1].model_copy(update={"lost_seconds": lost})
    with pytest.raises(LocalStackError, match=r"6\.00 s lie between take 2 and the next one"):
        demo._check_takes(takes, decoded(25.0), ENDS)


class RunDemo(Protocol):
    def __call__(self) -> int: ...


@pytest.fixture
def run_demo(running: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunDemo:
    """`make demo` on the stack that runs already, with takes of one second; gives the exit code."""
    monkeypatch.setattr(command_line, "Stack", lambda *_, **__: nullcontext(running))
    monkeypatch.setattr(command_line, "STATE", tmp_path)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(demo, "RECORD_SECONDS", 1.0)
    monkeypatch.setattr(demo, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(os, "environ", {**os.environ})
    monkeypatch.setattr(sys, "argv", ["local", "demo"])
    return command_line.main


def test_a_demo_of_what_works_succeeds(run_demo: RunDemo, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_demo() == 0
    said = capsys.readouterr().out
    assert said.count("without an error") == 2
    assert re.search(r"take 1: \d\.\d\d s, paused\n", said)
    assert re.search(r"take 2: \d\.\d\d s, worker_lost; \d+\.\d\d s are lost until the next take\n", said)
    assert re.search(r"take 3: \d\.\d\d s, stopped\n", said)


def test_a_demo_whose_file_is_cut_off_fails(
    run_demo: RunDemo, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    download = demo._download

    def cut_off(details: demo._Details, downloads: Path) -> Path:
        file = download(details, downloads)
        file.write_bytes(file.read_bytes()[:-1])
        return file

    monkeypatch.setattr(demo, "_download", cut_off)
    assert run_demo() == 1
    assert "does not decode" in capsys.readouterr().err


def test_the_clock_runs_from_the_last_time_that_it_was_not_active(film: Path) -> None:
    asked_at: list[float] = []

    def answer(_: httpx.Request) -> httpx.Response:
        asked_at.append(time.monotonic())
        recording = said_by_the_api(film).model_copy(
            update={"status": "starting" if len(asked_at) < 3 else "active"}
        )
        details = demo._Details(recording=recording, download_url=None)
        return httpx.Response(200, text=details.model_dump_json(by_alias=True))

    with httpx.Client(base_url="http://api", transport=httpx.MockTransport(answer)) as api:
        details, before = demo._wait_for(api, "/recordings/1", "active")
    assert details.recording.status == "active"
    assert asked_at[0] < before <= asked_at[1]
