"""Takes whose media can be told apart: each picture carries its take and number, each second begins with a tone."""

from __future__ import annotations

import array
import io
import math
import random
import subprocess
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import av
from imageio_ffmpeg import get_ffmpeg_exe

from joining import Part, Take, segments_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.audio.frame import AudioFrame
    from av.video.frame import VideoFrame

RATE: Final = 15
"""Pictures a second."""
SEGMENT: Final = 2
"""Seconds."""
_BITS: Final = 16
_TAKE: Final = 12
"""The bit from which on the take stands."""
_SAMPLES: Final = 44_100
_TONE: Final = 0.1
_LOUD: Final = 0.05
_WINDOW: Final = 441
"""Samples that are loud or quiet together."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """How a take is recorded."""

    number: int
    seconds: int = 6
    width: int = 320
    height: int = 180
    rate: int = RATE
    channels: int = 2
    """0 for no sound."""
    samples: int = _SAMPLES
    video: bool = True
    options: tuple[str, ...] = ("-bf", "0")
    audio_codec: str = "aac"
    noisy: bool = False
    """Whether the picture needs many bytes."""


class Store:
    """Objects in memory, which can be listed, read and written."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.read_bytes = 0

    def read(self, key: str, start: int, length: int) -> bytes:
        content = self.contents[key][start : start + length]
        self.read_bytes += len(content)
        return content

    def part(self, key: str) -> Part:
        return Part(key, len(self.contents[key]))

    def listing(self, prefix: str) -> list[Part]:
        return [self.part(key) for key in sorted(self.contents) if key.startswith(prefix)]

    def record(self, recorded: Recorded, *, file: bool = False, segments: bool = True) -> Take:
        """Store what a take leaves behind."""
        media = _record(recorded)
        prefix = f"{recorded.number}/"
        if segments:
            for index, content in enumerate(media.segments):
                self.contents[f"{prefix}segment_{index:05d}.ts"] = content
        if file:
            self.contents[f"{prefix}recording.mp4"] = media.file
        return self.take(recorded.number)

    def take(self, number: int) -> Take:
        """Return a take as its folder is now."""
        file = f"{number}/recording.mp4"
        return Take(
            number=number,
            segments=segments_in(self.listing(f"{number}/")),
            file=self.part(file) if file in self.contents else None,
        )


class StoreUpload:
    """An upload into a store, with S3's limits."""

    def __init__(self, store: Store, key: str) -> None:
        self._store = store
        self._key = key
        self.calls: list[str] = []
        self.parts: dict[int, bytes] = {}

    def create(self) -> None:
        self.calls.append("create")

    def upload_part(self, number: int, content: bytes) -> None:
        assert number not in self.parts
        self.parts[number] = content

    def complete(self) -> None:
        self.calls.append("complete")
        numbers = sorted(self.parts)
        assert numbers == list(range(1, len(numbers) + 1))
        assert all(len(self.parts[number]) >= 5 * 2**20 for number in numbers[:-1])
        self._store.contents[self._key] = b"".join(self.parts[number] for number in numbers)

    def abort(self) -> None:
        self.calls.append("abort")


@dataclass(frozen=True)
class _Media:
    file: bytes
    segments: tuple[bytes, ...]


@cache
def _record(recorded: Recorded) -> _Media:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "recording.mp4"
        _encode(recorded, Path(folder), file)
        segments: list[bytes] = []
        if recorded.audio_codec == "aac":
            # The same packets, as LiveKit has them: from 3600 s on, and a key frame first.
            ffmpeg(
                *("-i", str(file), "-c", "copy", "-output_ts_offset", "3600", "-f", "segment"),
                *("-segment_time", str(SEGMENT), "-segment_format", "mpegts", f"{folder}/%05d.ts"),
            )
            segments = [path.read_bytes() for path in sorted(Path(folder).glob("*.ts"))]
        return _Media(file.read_bytes(), tuple(segments))


def _encode(recorded: Recorded, folder: Path, file: Path) -> None:
    inputs: list[str] = []
    codecs: list[str] = []
    if recorded.video:
        size = f"{recorded.width}x{recorded.height}"
        inputs += ["-f", "rawvideo", "-pix_fmt", "gray", "-s", size, "-r", str(recorded.rate), "-i", "-"]
        codecs += ["-c:v", "libx264", "-preset", "ultrafast", "-profile:v", "main", "-pix_fmt", "yuv420p"]
        codecs += ["-g", str(SEGMENT * recorded.rate), "-sc_threshold", "0", *recorded.options]
    if recorded.channels:
        sound = folder / "sound.raw"
        sound.write_bytes(_tones(recorded))
        inputs += ["-f", "s16le", "-ar", str(recorded.samples), "-ac", "1", "-i", str(sound)]
        codecs += ["-c:a", recorded.audio_codec, "-ac", str(recorded.channels), "-b:a", "64k"]
    pictures = b"".join(_pictures(recorded)) if recorded.video else b""
    ffmpeg(*inputs, *codecs, str(file), stdin=pictures)


def _pictures(recorded: Recorded) -> Iterator[bytes]:
    for number in range(recorded.seconds * recorded.rate):
        value = recorded.number << _TAKE | number
        width = recorded.width // _BITS
        row = b"".join(bytes([235 if value >> bit & 1 else 16]) * width for bit in range(_BITS))
        if recorded.noisy:
            below = recorded.height // 2 - 10
            noise = random.Random(number).randbytes(recorded.width * below)
            yield row * (recorded.height - below) + noise
        else:
            yield row * recorded.height


def _tones(recorded: Recorded) -> bytes:
    tone = [
        round(12_000 * math.sin(2 * math.pi * 1000 * index / recorded.samples))
        for index in range(int(_TONE * recorded.samples))
    ]
    second = array.array("h", tone + [0] * (recorded.samples - len(tone)))
    return second.tobytes() * recorded.seconds


def ffmpeg(*arguments: str, stdin: bytes = b"") -> str:
    """Run ffmpeg and return its warnings."""
    done = subprocess.run(
        [get_ffmpeg_exe(), "-hide_banner", "-v", "warning", "-y", *arguments],
        input=stdin,
        capture_output=True,
        check=True,
    )
    return done.stderr.decode()


@dataclass
class Seen:
    """The pictures of a file, in the order in which they are shown. Black ones are of take 0."""

    pictures: list[tuple[int, int, float]] = field(default_factory=list)
    """The take, the picture's number in it, and its moment in seconds."""
    tones: list[float] = field(default_factory=list)
    """When each tone begins."""

    def numbers(self, take: int) -> list[int]:
        return [number for of, number, _ in self.pictures if of == take]

    def moment(self, take: int, number: int) -> float:
        return next(moment for of, each, moment in self.pictures if (of, each) == (take, number))

    @property
    def takes(self) -> list[int]:
        """The takes, each time that another one begins."""
        takes = [of for of, _, _ in self.pictures]
        return [of for index, of in enumerate(takes) if index == 0 or takes[index - 1] != of]


def watch(content: bytes) -> Seen:
    """Decode a file and see what is in it."""
    seen = Seen()
    quiet_since = -1.0
    with av.open(io.BytesIO(content), "r") as container:
        for packet in container.demux():
            for frame in packet.decode():
                if isinstance(frame, av.VideoFrame):
                    seen.pictures.append((*_identity(frame), frame.time or 0.0))
                elif isinstance(frame, av.AudioFrame):
                    for moment, loud in _loudness(frame):
                        if loud and moment - quiet_since > _TONE:
                            seen.tones.append(moment)
                        if loud:
                            quiet_since = moment
    return seen


def _identity(frame: VideoFrame) -> tuple[int, int]:
    plane = frame.planes[0]
    start = plane.line_size * (frame.height // 2)
    row = bytes(plane)[start : start + frame.width]
    value = sum((row[(2 * bit + 1) * len(row) // (2 * _BITS)] > 128) << bit for bit in range(_BITS))
    return value >> _TAKE, value & (1 << _TAKE) - 1


def _loudness(frame: AudioFrame) -> Iterator[tuple[float, bool]]:
    samples = array.array("f", bytes(frame.planes[0])[: 4 * frame.samples])
    for start in range(0, len(samples), _WINDOW):
        loudest = max(samples[start : start + _WINDOW])
        yield (frame.time or 0.0) + start / frame.sample_rate, loudest > _LOUD


def sound_is_continuous(content: bytes) -> bool:
    """Tell whether each frame of sound begins where the one before ends: browsers take it so."""
    with av.open(io.BytesIO(content), "r") as container:
        if not container.streams.audio:
            return True
        end: int | None = None
        for packet in container.demux(audio=0):
            if packet.size and packet.pts is not None:
                if end is not None and packet.pts != end:
                    return False
                end = packet.pts + (packet.duration or 0)
    return True


def messages(content: bytes, *options: str) -> str:
    """Return what ffmpeg says as it decodes a file."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "file.mp4"
        file.write_bytes(content)
        return ffmpeg("-i", str(file), *options, "-f", "null", "-")


def boxes(content: bytes) -> list[str]:
    """Return the kinds of a file's boxes."""
    kinds: list[str] = []
    position = 0
    while position < len(content):
        length = int.from_bytes(content[position : position + 4])
        kinds.append(content[position + 4 : position + 8].decode())
        position += int.from_bytes(content[position + 8 : position + 16]) if length == 1 else length
    assert position == len(content)
    return kinds
