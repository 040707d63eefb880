"""Joining takes from S3 to S3 beside `ffmpeg -c copy` from disk: `python -m bench.assembling --hours 10`.

The same segments lie on the disk for both. 10 hours need 30 GB of it, and are measured only when they are asked for.
The figures go into docs/performance.json beside the others.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, cast

from imageio_ffmpeg import get_ffmpeg_exe

from bench import report
from bench.report import Figure
from local.processes.children import LOOPBACK, Processes, claimed_port, listens
from local.processes.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

USUAL: Final = (1 / 6, 1.0)
"""Hours."""
GOAL: Final = 3.0
MEMORY_GOAL: Final = 512.0
_LOOP: Final = 60
"""Seconds that are encoded; more repeats them."""
_SEGMENT: Final = 2
_TAKES: Final = 2
_TIMES: Final = 3
"""That both run in turn, where they take seconds: the median of the ratios counts."""
_HOUR: Final = 3600
_BUCKET: Final = "recordings"
_VIDEO_RATE: Final = "4372k"
_AUDIO_RATE: Final = "128k"


class _Copying(TypedDict):
    seconds: float
    processor: float


class _Joining(TypedDict):
    seconds: float
    processor: float
    verifying: float
    media: float
    size: int
    memory: float


def assembling(
    hours: Sequence[float], say: Callable[[str], None], *, in_files: bool = False
) -> Iterator[Figure]:
    """Yield for each length how much longer joining takes than ffmpeg, and the most memory that it needs."""
    with tempfile.TemporaryDirectory() as folder:
        loop = Path(folder) / "loop.ts"
        say("Encoding a minute of 4,500 kbit/s ...")
        _encode(loop)
        for each in hours:
            with tempfile.TemporaryDirectory(dir=folder) as directory:
                yield from _measure(Path(directory), loop, each, say, in_files=in_files)


def _measure(
    directory: Path, loop: Path, hours: float, say: Callable[[str], None], *, in_files: bool
) -> Iterator[Figure]:
    length = f"{hours:g} h" if hours >= 1 else f"{hours * 60:.0f} min"
    name = f"joining {length} of {'files' if in_files else 'segments'}"
    bucket = directory / _BUCKET
    say(f"{name}: writing {_TAKES} takes ...")
    _write_takes(bucket, loop, hours * _HOUR / _TAKES, in_files=in_files)
    pairs: list[tuple[_Copying, _Joining]] = []
    for _ in range(_TIMES if hours <= 1 else 1):
        say(f"{name}: ffmpeg -c copy ...")
        copying = _copy(bucket, directory, in_files=in_files)
        say(f"{name}: from S3 to S3 ...")
        pairs.append((copying, _join(directory, bucket)))
    copying, joining = sorted(pairs, key=lambda pair: pair[1]["seconds"] / pair[0]["seconds"])[
        len(pairs) // 2
    ]
    yield Figure(
        name=f"{name} over ffmpeg -c copy from disk",
        value=joining["seconds"] / copying["seconds"],
        unit="x",
        goal=GOAL,
        raw={
            "seconds": round(joining["seconds"], 1),
            "of ffmpeg": round(copying["seconds"], 1),
            "of verifying": round(joining["verifying"], 1),
            "processor seconds": round(joining["processor"], 1),
            "of ffmpeg's processor": round(copying["processor"], 1),
            "GB": round(joining["size"] / 1e9, 2),
        },
    )
    memory = max(joining["memory"] for _, joining in pairs)
    yield Figure(name=f"{name}: peak memory", value=memory, unit="MiB", goal=MEMORY_GOAL)


def _encode(loop: Path) -> None:
    _ffmpeg(
        *("-f", "lavfi", "-i", f"testsrc2=s=1920x1080:r=30:d={_LOOP}"),
        *("-f", "lavfi", "-i", f"sine=f=440:r=44100:d={_LOOP}"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-profile:v", "main"),
        *("-x264-params", "nal-hrd=cbr", "-g", str(30 * _SEGMENT), "-sc_threshold", "0"),
        *("-b:v", _VIDEO_RATE, "-minrate", _VIDEO_RATE, "-maxrate", _VIDEO_RATE, "-bufsize", _VIDEO_RATE),
        *("-c:a", "aac", "-b:a", _AUDIO_RATE, "-ac", "2", str(loop)),
    )


def _write_takes(bucket: Path, loop: Path, seconds: float, *, in_files: bool) -> None:
    """Write the first take. The others are the same, and need no room of their own on the disk."""
    first, *others = (bucket / str(take) for take in range(1, _TAKES + 1))
    _write_take(first, loop, seconds, in_file=in_files)
    for folder in others:
        folder.mkdir()
        for part in first.iterdir():
            (folder / part.name).hardlink_to(part)


def _write_take(folder: Path, loop: Path, seconds: float, *, in_file: bool) -> None:
    folder.mkdir(parents=True)
    source = ("-stream_loop", str(int(seconds / _LOOP) - 1), "-i", str(loop), "-c", "copy")
    if in_file:
        _ffmpeg(*source, str(folder / "recording.mp4"))
    else:
        _ffmpeg(
            *source,
            *("-output_ts_offset", "3600", "-f", "segment", "-segment_time", str(_SEGMENT)),
            *("-segment_format", "mpegts", str(folder / "segment_%05d.ts")),
        )


def _copy(bucket: Path, directory: Path, *, in_files: bool) -> _Copying:
    """Return how many seconds ffmpeg takes for what lies in the bucket, and how many of a processor."""
    takes = [sorted(folder.iterdir()) for folder in sorted(bucket.iterdir())]
    playlist = directory / "playlist"
    if in_files:
        playlist.write_text("".join(f"file '{part}'\n" for parts in takes for part in parts))
    else:
        lists = ["".join(f"#EXTINF:{_SEGMENT},\n{part}\n" for part in parts) for parts in takes]
        begin = f"#EXTM3U\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-TARGETDURATION:{_SEGMENT + 1}\n"
        playlist.write_text(f"{begin}{'#EXT-X-DISCONTINUITY\n'.join(lists)}#EXT-X-ENDLIST\n")
    demuxer = ("-f", "concat", "-safe", "0") if in_files else ("-f", "hls")
    copied = directory / "copied.mp4"
    used = _processor_of_children()
    begin_at = time.perf_counter()
    _ffmpeg(*demuxer, "-i", str(playlist), "-c", "copy", str(copied))
    seconds = time.perf_counter() - begin_at
    copied.unlink()
    return {"seconds": seconds, "processor": _processor_of_children() - used}


def _join(directory: Path, bucket: Path) -> _Joining:
    with Processes(directory / "logs") as processes, claimed_port() as port:
        command = [sys.executable, "-m", "bench.objects", str(directory), str(port)]
        server = processes.start("objects", command, directory=ROOT, environment=dict(os.environ))
        server.wait_until(lambda: listens(port))
        paths = (ROOT, ROOT / "functions" / "assemble_recording")
        done = subprocess.run(
            [sys.executable, "-m", "bench.inside.join", f"http://{LOOPBACK}:{port}", bucket.name, bucket],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            stdout=subprocess.PIPE,
            check=True,
        )
    shutil.rmtree(bucket / "result.mp4")
    return cast("_Joining", json.loads(done.stdout))


def _processor_of_children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _ffmpeg(*arguments: str) -> None:
    subprocess.run([get_ffmpeg_exe(), "-nostdin", "-v", "error", "-y", *arguments], check=True)


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.assembling", description=__doc__)
    parser.add_argument("--hours", type=float, nargs="+", default=USUAL, help="to be joined, in two takes")
    parser.add_argument("--files", action="store_true", help="join files in the place of segments")
    arguments = parser.parse_args()
    figures = list(
        assembling(arguments.hours, lambda text: print(text, file=sys.stderr), in_files=arguments.files)
    )
    print(report.table(figures))
    report.write_some(figures)
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(_main())
