"""Real media for the page: two takes with segments and a file over both, and a picture."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from imageio_ffmpeg import get_ffmpeg_exe

if TYPE_CHECKING:
    from pathlib import Path

TAKE_SECONDS = 40
SEGMENT_SECONDS = 2
POSTERS = 5
SEGMENTS_OF_A_TAKE = TAKE_SECONDS // SEGMENT_SECONDS
RATE = "1500k"
SCENES = ("c0=0x24435c:c1=0x8fb0a9:c2=0xe3c9a0", "c0=0x3d3357:c1=0xb0788c:c2=0xe9c3a6")


def make(folder: Path) -> None:
    """Write `take-N-NNN.ts` for takes 1 and 2, `file.mp4` over both, and `poster-N.jpg`."""
    for take, colors in enumerate(SCENES, 1):
        picture = f"gradients=s=640x360:r=10:d={TAKE_SECONDS}:n=3:{colors}:seed=7:speed=0.015"
        tone = f"sine=frequency={330 * take}:sample_rate=48000:d={TAKE_SECONDS}"
        ffmpeg(
            *("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone, "-pix_fmt", "yuv420p"),
            *("-c:v", "libx264", "-preset", "ultrafast", "-g", "10", "-c:a", "aac", "-ac", "2"),
            # More than a browser reads ahead.
            *("-b:v", RATE, "-minrate", RATE, "-maxrate", RATE, "-bufsize", RATE),
            *("-x264-params", "nal-hrd=cbr"),
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
    for index in range(POSTERS):
        picture = f"gradients=s=320x180:d=1:n=4:{SCENES[index % 2]}:c3=0x{index * 3:x}f5b6c:seed={index + 3}"
        ffmpeg("-f", "lavfi", "-i", picture, "-frames:v", "1", str(folder / f"poster-{index}.jpg"))


def ffmpeg(*arguments: str) -> None:
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *arguments], check=True)
