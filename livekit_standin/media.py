"""Renders a recording: a test picture with the room's name and a running clock, and a tone.

The text is drawn by ffmpeg's ANSI art decoder, which brings a font of its own: nothing is asked of the machine.
"""

import asyncio
import re
from asyncio.subprocess import PIPE
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from imageio_ffmpeg import get_ffmpeg_exe

from livekit_standin.recording import Encoding, Recording
from livekit_standin.timing import SECOND

LONGEST_ENCODED = 60 * SECOND
"""A longer recording repeats its first minute, which costs next to nothing."""

_THREADS = 2
_GLYPH_WIDTH, _GLYPH_HEIGHT = 8, 16
_LINES = 2
_CLOCK = "00:00:00"
# Tiles of each layout as fractions of the picture: left, top, width, height.
_TILES = {
    "grid": ((0.01, 0.25, 0.48, 0.5), (0.51, 0.25, 0.48, 0.5)),
    "speaker": ((0.01, 0.14, 0.72, 0.72), (0.75, 0.14, 0.24, 0.24)),
    "single-speaker": ((0.0, 0.0, 1.0, 1.0),),
}
_PATTERNS = ("testsrc2", "smptehdbars")


class RenderingError(Exception):
    """ffmpeg could not render; its text is ffmpeg's."""


async def render(recording: Recording, target: Path) -> int:
    """Render `recording` into the file `target` and give its real duration (ns, to 10 ms).

    Raises RenderingError. Where it is cancelled, ffmpeg is ended.
    """
    if recording.duration <= LONGEST_ENCODED:
        await _encode(recording, target)
    else:
        await _repeat(recording, target)
    return await _duration(target)


async def _repeat(recording: Recording, target: Path) -> None:
    with TemporaryDirectory(dir=target.parent) as folder:
        loop = Path(folder) / f"loop.{recording.container}"
        await _encode(replace(recording, duration=LONGEST_ENCODED), loop)
        await _run(
            *("-stream_loop", "-1", "-i", str(loop), "-t", _seconds(recording.duration), "-c", "copy"),
            *_muxing(recording, target),
        )


async def _encode(recording: Recording, target: Path) -> None:
    # A recording that was stopped at once still gets a frame.
    duration = _seconds(max(recording.duration, SECOND // recording.encoding.framerate))
    with TemporaryDirectory(dir=target.parent) as folder:
        inputs: list[str] = []
        outputs: list[str] = []
        if recording.video:
            inputs, outputs = _picture(recording, Path(folder))
        if recording.audio:
            outputs += ["-map", f"{inputs.count('-i')}:a", *_audio_codec(recording.encoding)]
            inputs += [
                "-f",
                "lavfi",
                "-i",
                f"sine=frequency=440:beep_factor=2:sample_rate=48000:d={duration}",
            ]
        await _run(*inputs, *outputs, "-t", duration, *_muxing(recording, target))


def _picture(recording: Recording, folder: Path) -> tuple[list[str], list[str]]:
    encoding = recording.encoding
    width, height = _even(encoding.width), _even(encoding.height)
    rate, duration = encoding.framerate, _seconds(recording.duration + SECOND)
    inputs = ["-f", "lavfi", "-i", f"color=c=0x202830:s={width}x{height}:r={rate}:d={duration}"]
    graph = ""
    last = "0:v"
    tiles = _TILES[_layout(recording.layout)]
    for index, (pattern, (left, top, tile_width, tile_height)) in enumerate(
        zip(_PATTERNS, tiles, strict=False), 1
    ):
        size = f"{_even(width * tile_width)}x{_even(height * tile_height)}"
        inputs += ["-f", "lavfi", "-i", f"{pattern}=s={size}:r={rate}:d={duration}"]
        graph += f"[{last}][{index}:v]overlay={_even(width * left)}:{_even(height * top)}[tile{index}];"
        last = f"tile{index}"
    scale = max(1, min(width // 320, height // 180))
    inputs += _text(recording, folder, columns=width // (_GLYPH_WIDTH * scale) - 1)
    graph += f"[{len(tiles) + 1}:v]fps={rate},scale=iw*{scale}:ih*{scale}:flags=neighbor[text];"
    graph += f"[{last}][text]overlay=0:main_h-overlay_h:eof_action=repeat,format=yuv420p[picture]"
    return inputs, ["-filter_complex", graph, "-map", "[picture]", *_video_codec(encoding)]


def _text(recording: Recording, folder: Path, columns: int) -> list[str]:
    name = "".join(char if char.isprintable() else "?" for char in recording.room_name)[:columns]
    line = name.encode("cp437", "replace")
    pages = [
        b"\x1b[1;1H"
        + line
        + f"\x1b[2;1H{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}".encode()
        for second in range(recording.duration // SECOND + 2)
    ]
    script = folder / "text.ans"
    script.write_bytes(b"".join(pages))
    # One column more than needed: a full last line would scroll.
    size = f"{_GLYPH_WIDTH * (max(len(line), len(_CLOCK)) + 1)}x{_GLYPH_HEIGHT * _LINES}"
    return [
        *("-f", "tty", "-video_size", size, "-framerate", "1"),
        *("-chars_per_frame", str(len(pages[0])), "-i", str(script)),
    ]


def _video_codec(encoding: Encoding) -> list[str]:
    rate = f"{encoding.video_bitrate}k"
    control = ["-b:v", rate, "-maxrate", rate, "-bufsize", rate, "-g", str(2 * encoding.framerate)]
    if encoding.video_codec == "vp8":
        return ["-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "16", *control]
    return ["-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "main", "-coder", "1", *control]


def _audio_codec(encoding: Encoding) -> list[str]:
    rate = ["-ac", "2", "-b:a", f"{encoding.audio_bitrate}k"]
    if encoding.audio_codec == "opus":
        return ["-c:a", "libopus", "-vbr", "off", "-ar", "48000", *rate]
    codec = "libmp3lame" if encoding.audio_codec == "mp3" else "aac"
    return ["-c:a", codec, "-ar", str(encoding.audio_frequency), *rate]


def _muxing(recording: Recording, target: Path) -> list[str]:
    flags = ["-movflags", "+faststart"] if recording.container == "mp4" else []
    return [*flags, "-f", recording.container, str(target)]


async def _run(*arguments: str) -> None:
    code, messages = await _ffmpeg(
        *("-v", "error", "-y", "-filter_complex_threads", "1", "-threads", str(_THREADS)), *arguments
    )
    if code:
        raise RenderingError(messages)


async def _duration(file: Path) -> int:
    # ffmpeg counts what it copies beyond the end, too; the file itself knows better.
    _, messages = await _ffmpeg("-i", str(file))
    found = re.search(r"Duration: (\d+):(\d+):(\d+)\.(\d+)", messages)
    if found is None:
        raise RenderingError(messages)
    hours, minutes, seconds, hundredths = map(int, found.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * SECOND + hundredths * (SECOND // 100)


async def _ffmpeg(*arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        get_ffmpeg_exe(), "-hide_banner", "-nostdin", *arguments, stdout=PIPE, stderr=PIPE
    )
    try:
        _, messages = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, messages.decode(errors="replace").strip()


def _layout(name: str) -> str:
    return next((known for known in ("single-speaker", "speaker") if name.startswith(known)), "grid")


def _seconds(duration: int) -> str:
    return f"{duration / SECOND:.6f}"


def _even(length: float) -> int:
    return max(2, int(length) // 2 * 2)
