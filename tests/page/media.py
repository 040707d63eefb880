"""Real media for the page: two takes with segments and a file over both, and a picture."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from imageio_ffmpeg import get_ffmpeg_exe

if TYPE_CHECKING:
    from pathlib import Path

TAKE_SECONDS = 20
SEGMENT_SECONDS = 2
SEGMENTS_OF_A_TAKE = TAKE_SECONDS // SEGMENT_SECONDS
PATTERNS = ("testsrc2", "smptehdbars")


def make(folder: Path) -> None:
    """Write `take-N-NNN.ts` for takes 1 and 2, `file.mp4` over both, and `poster.jpg`."""
    for take, pattern in enumerate(PATTERNS, 1):
        picture = f"{pattern}=s=480x270:r=10:d={TAKE_SECONDS}"
        tone = f"sine=frequency={330 * take}:sample_rate=48000:d={TAKE_SECONDS}"
        ffmpeg(
            *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, "-pix_fmt", "yuv420p"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-c:a", "aac", "-ac", "2"),
            *("-f", "hls", "-hls_time", str(SEGMENT_SECONDS), "-hls_list_size", "0"),
            *(
                "-hls_segment_filename",
                str(folder / f"take-{take}-%03d.ts"),
                str(folder / f"take-{take}.m3u8"),
            ),
        )
        ffmpeg("-i", str(folder / f"take-{take}.m3u8"), "-c", "copy", str(folder / f"take-{take}.mp4"))
    names = "".join(f"file take-{take}.mp4\n" for take in (1, 2))
    (folder / "takes.txt").write_text(names)
    joined = ("-f", "concat", "-i", str(folder / "takes.txt"), "-c", "copy", "-movflags", "+faststart")
    ffmpeg(*joined, str(folder / "file.mp4"))
    ffmpeg("-ss", "3", "-i", str(folder / "file.mp4"), "-frames:v", "1", str(folder / "poster.jpg"))


def ffmpeg(*arguments: str) -> None:
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *arguments], check=True)
