"""How long a file lasts, read from a few kilobytes: of files that real encoders made, and of broken ones."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imageio_ffmpeg import get_ffmpeg_exe

from recorder.aws.media import CHUNK, seconds_of
from tests.support.media import mp4, ogg

if TYPE_CHECKING:
    from pathlib import Path

# By name: the file's extension, and how ffmpeg makes it of three and a half seconds of picture and tone.
VIDEO: Final = ("-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac")
FILES: Final = {
    "header_at_the_end": ("mp4", VIDEO),
    "header_at_the_beginning": ("mp4", (*VIDEO, "-movflags", "+faststart")),
    "video_alone": ("mp4", ("-c:v", "libx264", "-preset", "ultrafast", "-an")),
    "audio_alone": ("mp4", ("-vn", "-c:a", "aac")),
    "opus": ("ogg", ("-vn", "-c:a", "libopus")),
    "vp8": ("webm", ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus")),
}


class File:
    """A file that is read in pieces, as from a bucket."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.reads = 1

    def read(self, start: int) -> bytes:
        self.reads += 1
        begins = max(len(self.content) + start, 0) if start < 0 else start
        return self.content[begins : begins + CHUNK]

    def seconds(self, extension: str) -> float | None:
        return seconds_of(self.content[:CHUNK], extension, self.read)


def ffmpeg(*arguments: str) -> str:
    command = [get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-y", *arguments]
    return subprocess.run(command, capture_output=True, check=True).stderr.decode()


@pytest.mark.parametrize("name", FILES)
def test_duration_of_a_real_file_is_that_which_it_plays(tmp_path: Path, name: str) -> None:
    extension, encoding = FILES[name]
    target = tmp_path / f"file.{extension}"
    picture, tone = "testsrc2=size=320x180:rate=30:duration=3.5", "sine=duration=3.5"
    ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, *encoding, str(target))
    decoded = re.findall(r"time=00:00:([\d.]+)", ffmpeg("-i", str(target), "-f", "null", "-"))[-1]
    file = File(target.read_bytes())

    assert file.seconds(extension) == pytest.approx(float(decoded), abs=0.1)
    assert file.reads <= 2


@pytest.mark.parametrize("seconds", [0.5, 59.96, 36_000.0])
def test_duration_is_exact(seconds: float) -> None:
    made = {
        "mp4": [
            mp4(seconds),
            mp4(seconds, header_first=True),
            mp4(seconds, long=True),
            mp4(seconds, filler=b""),
        ],
        "ogg": [ogg(seconds), ogg(seconds, filler=b"")],
    }
    for extension, contents in made.items():
        for content in contents:
            assert File(content).seconds(extension) == pytest.approx(seconds, abs=0.001)


@pytest.mark.parametrize("extension", ["mp4", "ogg", "webm", "mp3", ""])
@given(content=st.binary(max_size=400))
def test_what_is_no_media_says_nothing(extension: str, content: bytes) -> None:
    file = File(content)
    assert file.seconds(extension) is None
    assert file.reads <= 17


@pytest.mark.parametrize("cut", [1, 20, 150, 300])
def test_file_that_is_cut_off_says_nothing(cut: int) -> None:
    assert File(mp4(5.0)[:-cut]).seconds("mp4") in {None, 5.0}
    assert File(mp4(5.0)[: -len(mp4(5.0)) // 2]).seconds("mp4") is None


@pytest.mark.parametrize(
    "content",
    [mp4(0.0), mp4((2**32 - 1) / 90_000), ogg(0.0), mp4(1.0).replace(b"mvhd", b"free")],
    ids=["none", "not_known", "no_sound", "no_header"],
)
def test_duration_that_means_nothing_is_not_told(content: bytes) -> None:
    extension = "ogg" if content.startswith(b"OggS") else "mp4"
    assert File(content).seconds(extension) is None
