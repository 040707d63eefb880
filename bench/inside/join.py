"""Joins takes from one bucket into another and prints, as JSON, what it took: run in a process of its own."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from bucket import Bucket
from joining import Part, Take, join, plan, segments_in, verify
from recorder.settings import AwsSettings


def main(endpoint: str, bucket: str, directory: str) -> None:
    """Join the takes, which are the folders of a directory that the endpoint serves as a bucket."""
    settings = AwsSettings("us-east-1", "bench", "bench", "", s3_endpoint_url=endpoint)
    objects = Bucket(bucket, settings)
    takes = [
        _take(folder, Path(directory)) for folder in sorted(Path(directory).iterdir()) if folder.is_dir()
    ]
    used, begin = time.process_time(), time.perf_counter()
    joined = join(plan(objects, takes), objects, objects.upload("result.mp4", "video/mp4"))
    processor, middle = time.process_time() - used, time.perf_counter()
    verify(objects, Part("result.mp4", joined.size), joined)
    end = time.perf_counter()
    sys.stdout.write(
        json.dumps(
            {
                "seconds": middle - begin,
                "processor": processor,
                "verifying": end - middle,
                "media": joined.seconds,
                "size": joined.size,
                "memory": _peak_mebibytes(),
            }
        )
    )


def _take(folder: Path, root: Path) -> Take:
    parts = [Part(str(path.relative_to(root)), path.stat().st_size) for path in folder.iterdir()]
    files = [part for part in parts if part.key.endswith(".mp4")]
    return Take(number=int(folder.name), segments=segments_in(parts), file=files[0] if files else None)


def _peak_mebibytes() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    raise LookupError


if __name__ == "__main__":
    main(*sys.argv[1:])
