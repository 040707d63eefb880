"""Rendered media, read back with the ffmpeg that comes along."""

import asyncio
import re
import signal
import subprocess
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from imageio_ffmpeg import get_ffmpeg_exe

from livekit_standin import media
from livekit_standin.media import render, render_image, render_segment
from livekit_standin.recording import Encoding, Image, Recording, Segment
from livekit_standin.timing import SECOND

SMALL = Encoding(320, 180, 15, "h264", 300, "aac", 64, 44100)
COMPOSITE = Recording("demo", "mp4", SMALL, audio=True, video=True, layout="grid", duration=2 * SECOND)
SOUND = replace(COMPOSITE, video=False, container="ogg", encoding=replace(SMALL, audio_codec="opus"))


def ffmpeg(*arguments: str) -> bytes:
    """Run ffmpeg; give what it wrote to stdout, or its messages where it wrote nothing."""
    command = [get_ffmpeg_exe(), "-hide_banner", "-nostdin", *arguments]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stdout or done.stderr


def described(file: Path) -> str:
    return ffmpeg("-i", str(file), "-f", "null", "-").decode()


def decoded_seconds(file: Path) -> float:
    """Decode everything; give the time at the end."""
    times = re.findall(r"time=(\d+):(\d+):([\d.]+)", described(file))
    hours, minutes, seconds = times[-1]
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def picture(file: Path, at_s: float = 0.5) -> bytes:
    """Give one frame as grey pixels, 64 by 36."""
    scale = "scale=64:36,format=gray"
    return ffmpeg(
        *("-v", "error", "-ss", str(at_s), "-i", str(file), "-frames:v", "1"),
        "-vf",
        scale,
        "-f",
        "rawvideo",
        "-",
    )


def rendered(recording: Recording, folder: Path) -> tuple[Path, int]:
    file = folder / f"file.{recording.container}"
    return file, asyncio.run(render(recording, file))


@pytest.mark.parametrize(
    ("recording", "streams"),
    [
        (COMPOSITE, ["Video: h264 (Main)", "320x180", "15 fps", "Audio: aac", "44100 Hz, stereo"]),
        (
            replace(COMPOSITE, encoding=replace(SMALL, width=180, height=320, audio_codec="opus")),
            ["Video: h264", "180x320", "Audio: opus"],
        ),
        (SOUND, ["Audio: opus", "48000 Hz"]),
        (replace(COMPOSITE, video=False), ["Audio: aac"]),
        (replace(SOUND, container="mp3", encoding=replace(SMALL, audio_codec="mp3")), ["Audio: mp3"]),
        (
            replace(COMPOSITE, container="webm", audio=False, encoding=replace(SMALL, video_codec="vp8")),
            ["Video: vp8", "320x180"],
        ),
        (replace(COMPOSITE, audio=False, layout="single-speaker"), ["Video: h264"]),
    ],
)
def test_a_file_is_what_was_asked_for_and_as_long(
    recording: Recording, streams: list[str], tmp_path: Path
) -> None:
    recording = replace(recording, duration=2_345_000_000)
    file, duration = rendered(recording, tmp_path)
    text = described(file)
    assert [part for part in streams if part not in text] == []
    assert duration / SECOND == pytest.approx(2.345, abs=0.1)
    assert decoded_seconds(file) == pytest.approx(2.345, abs=0.1)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("kilobits", [100, 400])
def test_bit_rates_are_honoured(kilobits: int, tmp_path: Path) -> None:
    encoding = replace(SMALL, video_bitrate=kilobits, audio_bitrate=32)
    file, duration = rendered(replace(COMPOSITE, encoding=encoding, duration=6 * SECOND), tmp_path)
    measured = file.stat().st_size * 8 / (duration / SECOND) / 1000
    assert measured == pytest.approx(kilobits + 32, rel=0.25)


def test_layouts_and_rooms_and_seconds_look_different(tmp_path: Path) -> None:
    frames = set()
    short = replace(COMPOSITE, audio=False, duration=SECOND)
    for index, recording in enumerate(
        [
            short,
            replace(short, layout="speaker-dark"),
            replace(short, layout="single-speaker"),
            replace(short, room_name="another room"),
        ]
    ):
        folder = tmp_path / str(index)
        folder.mkdir()
        frames.add(picture(rendered(recording, folder)[0]))
    assert len(frames) == 4


def test_the_clock_runs_and_nothing_else_moves_below_the_grid(tmp_path: Path) -> None:
    file, _ = rendered(replace(COMPOSITE, duration=3 * SECOND), tmp_path)
    bottoms = [picture(file, at_s)[-64 * 6 :] for at_s in (0.2, 0.8, 1.2, 2.2)]
    near = [sum(abs(a - b) for a, b in zip(bottoms[0], bottom, strict=True)) for bottom in bottoms]
    # Within a second it stands still but for what coding makes of it.
    assert near[1] * 3 < min(near[2:])


@pytest.mark.parametrize("name", ["", "\x1b[2J\n", "Ünï¢ödé 😀", "x" * 300, "%{pts} ':\\,[];"])
def test_any_room_name_can_be_drawn(name: str, tmp_path: Path) -> None:
    file, _ = rendered(replace(COMPOSITE, room_name=name, duration=SECOND // 5), tmp_path)
    assert "320x180" in described(file)


def test_a_long_recording_repeats_its_beginning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "LONGEST_ENCODED", 2 * SECOND)
    for recording in (COMPOSITE, SOUND):
        file, duration = rendered(replace(recording, duration=61_300_000_000), tmp_path)
        assert duration / SECOND == pytest.approx(61.3, abs=0.1)
        assert decoded_seconds(file) == pytest.approx(61.3, abs=0.1)
        file.unlink()


def test_a_recording_that_was_stopped_at_once_has_a_frame(tmp_path: Path) -> None:
    file, _ = rendered(replace(COMPOSITE, duration=1), tmp_path)
    assert "Video: h264" in described(file)


def segments(recording: Recording, folder: Path, length: int = 2 * SECOND) -> list[Path]:
    """Render a recording as segments."""
    made = []
    for number, begin in enumerate(range(0, recording.duration, length)):
        upto = replace(recording, container="ts", duration=min(recording.duration, begin + length))
        made.append(folder / f"{number}.ts")
        asyncio.run(render_segment(Segment(upto, number, begin), made[-1]))
    return made


def joined(parts: list[Path], folder: Path) -> Path:
    whole = folder / "whole.ts"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return whole


def packet_times(file: Path, stream: str) -> list[int]:
    """Give the time stamps of all packets of a stream, in its time base."""
    lines = ffmpeg(
        "-v", "error", "-copyts", "-i", str(file), "-map", f"0:{stream}", "-c", "copy", "-f", "framecrc", "-"
    )
    return [int(line.split(",")[2]) for line in lines.decode().splitlines() if line.startswith("0,")]


def test_segments_are_as_those_of_the_real_worker(tmp_path: Path) -> None:
    first, second, last = segments(replace(COMPOSITE, duration=4_400_000_000), tmp_path)
    for part in (first, second, last):
        text = described(part)
        assert all(
            each in text for each in ("h264 (Main)", "320x180", "15 fps", "aac (LC)", "44100 Hz, stereo")
        )
    starts = [float(re.findall(r"start: ([\d.]+)", described(part))[0]) for part in (first, second, last)]
    assert starts == pytest.approx([3600, 3602, 3604], abs=0.03)
    assert decoded_seconds(last) == pytest.approx(0.4, abs=0.1)


def test_segments_in_a_row_are_one_recording_without_a_seam(tmp_path: Path) -> None:
    whole = joined(segments(replace(COMPOSITE, duration=7_300_000_000), tmp_path), tmp_path)
    frames = packet_times(whole, "v")
    assert {b - a for a, b in pairwise(frames)} == {6000}
    assert len(frames) == 110
    sound = packet_times(whole, "a")
    assert {b - a for a, b in pairwise(sound)} <= {2089, 2090}
    messages = ffmpeg("-v", "warning", "-i", str(whole), "-f", "null", "-")
    assert messages == b""


def test_each_segment_begins_with_a_key_frame_and_has_no_other(tmp_path: Path) -> None:
    for part in segments(replace(COMPOSITE, duration=4 * SECOND), tmp_path):
        shown = ffmpeg("-i", str(part), "-vf", "showinfo", "-f", "null", "-").decode()
        assert re.findall(r"iskey:(\d)", shown) == ["1", *["0"] * 29]


def test_the_clock_of_a_segment_is_that_of_the_file(tmp_path: Path) -> None:
    recording = replace(COMPOSITE, duration=5 * SECOND)
    file, _ = rendered(recording, tmp_path)
    whole = joined(segments(recording, tmp_path, 1_500_000_000), tmp_path)
    for second in range(4):
        there = clock(whole, second + 0.5)
        assert difference(clock(file, second + 0.5), there) * 3 < difference(clock(file, second + 1.3), there)


def clock(file: Path, at_s: float) -> bytes:
    """Give the bottom of one frame as grey pixels; it is found by counting, not by seeking."""
    frame = f"setpts=PTS-STARTPTS,trim=start={at_s},scale=64:36,format=gray"
    pixels = ffmpeg("-v", "error", "-i", str(file), "-vf", frame, "-frames:v", "1", "-f", "rawvideo", "-")
    return pixels[-64 * 6 :]


def difference(one: bytes, other: bytes) -> int:
    return sum(abs(a - b) for a, b in zip(one, other, strict=True))


def test_sound_alone_makes_segments_of_sound_alone(tmp_path: Path) -> None:
    sound = replace(COMPOSITE, video=False, duration=4 * SECOND)
    (first, *_) = parts = segments(sound, tmp_path)
    assert "Video" not in described(first)
    assert {b - a for a, b in pairwise(packet_times(joined(parts, tmp_path), "a"))} <= {2089, 2090}


def test_an_image_is_a_frame_of_the_recording(tmp_path: Path) -> None:
    file = tmp_path / "image.jpeg"
    asyncio.run(render_image(Image(COMPOSITE, 160, 90), file))
    assert "mjpeg" in described(file)
    assert "160x90" in described(file)
    assert file.read_bytes()[:2] == b"\xff\xd8"


def test_an_mp4_can_be_played_before_it_is_whole(tmp_path: Path) -> None:
    content = rendered(COMPOSITE, tmp_path)[0].read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_a_cancelled_rendering_ends_its_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = replace(COMPOSITE, encoding=Encoding(video_codec="h264", audio_codec="aac"), duration=59 * SECOND)
    processes: list[asyncio.subprocess.Process] = []
    create = asyncio.create_subprocess_exec

    async def give_up() -> None:
        started = asyncio.Event()

        async def watched(*command: str, stdout: int, stderr: int) -> asyncio.subprocess.Process:
            processes.append(await create(*command, stdout=stdout, stderr=stderr))
            started.set()
            return processes[-1]

        monkeypatch.setattr(asyncio, "create_subprocess_exec", watched)
        rendering = asyncio.create_task(render(long, tmp_path / "file.mp4"))
        await started.wait()
        rendering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rendering

    asyncio.run(give_up())
    assert [process.returncode for process in processes] == [-signal.SIGKILL]
