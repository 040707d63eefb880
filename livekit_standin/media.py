"""Renders a recording: a test picture with the room's name and a running clock, and a tone.

The text is drawn by ffmpeg's ANSI art decoder, which brings a font of its own: nothing is asked of the machine.
"""

import asyncio
import re
from asyncio.subprocess import PIPE
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from imageio_ffmpeg import get_ffmpeg_exe

from livekit_standin.recording import Encoding, Image, Recording, Segment
from livekit_standin.timing import SECOND

LONGEST_ENCODED = 60 * SECOND
"""A longer recording repeats its first minute, which costs next to nothing."""

_QUIET = ("-v", "error", "-filter_complex_threads", "1", "-threads", "2")
# Segments say that they do not continue the packet counters of those before.
_TRANSPORT_STREAM = (
    *("-avoid_negative_ts", "disabled", "-output_ts_offset", "3600"),
    *("-f", "mpegts", "-mpegts_flags", "initial_discontinuity", "-muxdelay", "0", "-muxpreload", "0"),
)
_AUDIO_FRAME = 1024
_PUSHED_GROUP_S = 4
_LONGEST_PUSHED_S = 24 * 60 * 60
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


async def render_segment(segment: Segment, target: Path) -> None:
    """Render a segment into the file `target`; raises RenderingError.

    It goes on, sample by sample and frame by frame, where the one before ends.
    """
    recording = segment.recording
    encoding = recording.encoding
    with TemporaryDirectory(dir=target.parent) as folder:
        inputs: list[str] = []
        outputs: list[str] = []
        if recording.video:
            first, behind = (_frames_until(end, encoding) for end in (segment.begin, segment.end))
            span = _Span(segment.begin, max(1, behind - first))
            # Each segment is one group of pictures.
            control = ["-g", str(span.frames), "-sc_threshold", "0"]
            inputs, graph = _picture(recording, Path(folder), span)
            graph += f",setpts=N/{encoding.framerate}/TB+{first}/{encoding.framerate}/TB"
            outputs = ["-filter_complex", f"{graph}[picture]", "-map", "[picture]"]
            outputs += [*_video_codec(encoding), *control]
        if recording.audio:
            sound, codec = _sound_of(segment)
            outputs += ["-map", f"{inputs.count('-i')}:a", *codec]
            inputs += sound
        await _run(*inputs, *outputs, *_TRANSPORT_STREAM, str(target))


async def render_image(image: Image, target: Path) -> None:
    """Render an image into the file `target`; raises RenderingError."""
    with TemporaryDirectory(dir=target.parent) as folder:
        inputs, graph = _picture(image.recording, Path(folder), _Span(image.recording.duration, 1))
        graph += f",scale={_even(image.width)}:{_even(image.height)}[picture]"
        still = ["-filter_complex", graph, "-map", "[picture]", "-frames:v", "1", "-f", "mjpeg"]
        await _run(*inputs, *still, str(target))


def push_command(recording: Recording, url: str, folder: Path) -> list[str]:
    """Give the ffmpeg command that pushes a recording to an RTMP receiver, from its end on and in real time.

    It writes its progress to stdout as soon as it is connected, and runs until it is ended. `folder` has to last as
    long.
    """
    encoding = recording.encoding
    span = _Span(recording.duration, _LONGEST_PUSHED_S * encoding.framerate)
    inputs: list[str] = []
    outputs: list[str] = []
    if recording.video:
        inputs, graph = _picture(recording, folder, span)
        outputs = ["-filter_complex", f"{graph},realtime[picture]", "-map", "[picture]"]
        outputs += [*_video_codec(encoding), "-g", str(_PUSHED_GROUP_S * encoding.framerate)]
    if recording.audio:
        outputs += ["-map", f"{inputs.count('-i')}:a", *_audio_codec(encoding)]
        inputs += ["-f", "lavfi", "-i", "sine=frequency=440:beep_factor=2:sample_rate=48000,arealtime"]
    progress = ["-progress", "pipe:1", "-stats_period", "0.2"]
    return [
        get_ffmpeg_exe(),
        "-hide_banner",
        "-nostdin",
        *_QUIET,
        *progress,
        *inputs,
        *outputs,
        "-f",
        "flv",
        url,
    ]


async def _repeat(recording: Recording, target: Path) -> None:
    with TemporaryDirectory(dir=target.parent) as folder:
        loop = Path(folder) / f"loop.{recording.container}"
        await _encode(replace(recording, duration=LONGEST_ENCODED), loop)
        await _run(
            *("-stream_loop", "-1", "-i", str(loop), "-t", _seconds(recording.duration), "-c", "copy"),
            *_muxing(recording, target),
        )


async def _encode(recording: Recording, target: Path) -> None:
    encoding = recording.encoding
    # A recording that was stopped at once still gets a frame.
    length = max(recording.duration, SECOND // encoding.framerate)
    duration = _seconds(length)
    with TemporaryDirectory(dir=target.parent) as folder:
        inputs: list[str] = []
        outputs: list[str] = []
        if recording.video:
            inputs, graph = _picture(recording, Path(folder), _Span(0, _frames_until(length, encoding) + 1))
            outputs = ["-filter_complex", f"{graph}[picture]", "-map", "[picture]"]
            outputs += [*_video_codec(encoding), "-g", str(2 * encoding.framerate)]
        if recording.audio:
            outputs += ["-map", f"{inputs.count('-i')}:a", *_audio_codec(encoding)]
            inputs += [
                "-f",
                "lavfi",
                "-i",
                f"sine=frequency=440:beep_factor=2:sample_rate=48000:d={duration}",
            ]
        await _run(*inputs, *outputs, "-t", duration, *_muxing(recording, target))


@dataclass(frozen=True, slots=True)
class _Span:
    begin: int
    """From the recording's first frame, in ns."""
    frames: int


def _picture(recording: Recording, folder: Path, span: _Span) -> tuple[list[str], str]:
    """Give the inputs and the filter graph, without its end, of a part of the picture."""
    encoding = recording.encoding
    width, height, rate = _even(encoding.width), _even(encoding.height), encoding.framerate
    inputs = ["-f", "lavfi", "-i", f"color=c=0x202830:s={width}x{height}:r={rate}"]
    graph = ""
    last = "0:v"
    tiles = _TILES[_layout(recording.layout)]
    for index, (pattern, (left, top, tile_width, tile_height)) in enumerate(
        zip(_PATTERNS, tiles, strict=False), 1
    ):
        size = f"{_even(width * tile_width)}x{_even(height * tile_height)}"
        inputs += ["-f", "lavfi", "-i", f"{pattern}=s={size}:r={rate}"]
        graph += f"[{last}][{index}:v]overlay={_even(width * left)}:{_even(height * top)}[tile{index}];"
        last = f"tile{index}"
    scale = max(1, min(width // 320, height // 180))
    inputs += _text(recording, folder, span, columns=width // (_GLYPH_WIDTH * scale) - 1)
    # The clock's second has begun before the span.
    shift = _seconds(span.begin % SECOND)
    graph += f"[{len(tiles) + 1}:v]settb=AVTB,setpts=PTS-{shift}/TB,scale=iw*{scale}:ih*{scale}:flags=neighbor[text];"
    graph += f"[{last}][text]overlay=0:main_h-overlay_h:eof_action=repeat,format=yuv420p"
    return inputs, f"{graph},trim=end_frame={span.frames}"


def _text(recording: Recording, folder: Path, span: _Span, columns: int) -> list[str]:
    name = "".join(char if char.isprintable() else "?" for char in recording.room_name)[:columns]
    line = name.encode("cp437", "replace")
    first = span.begin // SECOND
    pages = [
        b"\x1b[1;1H"
        + line
        + f"\x1b[2;1H{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}".encode()
        for second in range(first, first + span.frames // recording.encoding.framerate + 2)
    ]
    script = folder / "text.ans"
    script.write_bytes(b"".join(pages))
    # One column more than needed: a full last line would scroll.
    size = f"{_GLYPH_WIDTH * (max(len(line), len(_CLOCK)) + 1)}x{_GLYPH_HEIGHT * _LINES}"
    return [
        *("-f", "tty", "-video_size", size, "-framerate", "1"),
        *("-chars_per_frame", str(len(pages[0])), "-i", str(script)),
    ]


def _sound_of(segment: Segment) -> tuple[list[str], list[str]]:
    """Give the input and the output of a segment's sound: whole frames, as one encoder would have made them all."""
    encoding = segment.recording.encoding
    rate = encoding.audio_frequency
    first, behind = (-(-end * rate // (_AUDIO_FRAME * SECOND)) for end in (segment.begin, segment.end))
    # The encoder starts a frame earlier, and its first two packets are dropped: they begin from silence.
    start = (first - 1) * _AUDIO_FRAME
    length = (behind - first + 3) * _AUDIO_FRAME / rate
    tone = f"0.1*sin(2*PI*440*(t+{start / rate:.9f}))"
    source = f"aevalsrc={tone}:s={rate}:d={length:.6f}"
    kept = f"noise=drop=lt(n\\,2)+gte(n\\,{2 + behind - first})"
    shifted = ["-af", f"asetpts=PTS+{start}"]
    return ["-f", "lavfi", "-i", source], [*shifted, *_audio_codec(encoding), "-bsf:a", kept]


def _frames_until(time: int, encoding: Encoding) -> int:
    return -(-time * encoding.framerate // SECOND)


def _video_codec(encoding: Encoding) -> list[str]:
    rate = f"{encoding.video_bitrate}k"
    control = ["-b:v", rate, "-maxrate", rate, "-bufsize", rate]
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
    code, messages = await _ffmpeg(*_QUIET, "-y", *arguments)
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
