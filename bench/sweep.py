"""A sweep of many live recordings, all of which LiveKit has as active: the busiest minute of an ordinary day."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Final
from uuid import UUID

from livekit.protocol.egress import (
    EgressInfo,
    EgressStatus,
    EncodedFileOutput,
    FileInfo,
    ListEgressResponse,
    RoomCompositeEgressRequest,
    S3Upload,
)

from bench.laboratory import event
from bench.livekit import room_sid
from bench.report import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.laboratory import Environment, Laboratory

STARTED_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_STARTED_NS: Final = int(STARTED_AT.timestamp()) * 1_000_000_000
MASKED: Final = "{masked}"
_SAMPLE_SECONDS: Final = 0.1
_EVERY: Final = 10
"""Each live room has to name its recorder every ten minutes, so one in ten at each sweep."""
_ROOMS: Final = 1000
_PARTICIPANTS_AFTER: Final = 0.05
"""How long (s) LiveKit takes for a room's participants where all rooms have to name their recorders."""

_ROWS: Final = """
insert into recordings (
    id, user_id, room_name, status, created_at, updated_at, status_at, started_at, target, egress_id, room_sid,
    layout, codec, resolution, audio_codec, storage_key, recorder_seen_at, due_at
)
select id, 'user-' || n, 'room-' || n, 'active', at, at, at, at, 'room:room-' || n, 'EG_' || n, 'RM_room-' || n,
    'grid', 'h264', '1080p', 'aac', 'recordings/' || id || '/recording.mp4',
    case when n % cast(:every as integer) = 0 then at else now() end, at
from (
    select n, cast(lpad(to_hex(n), 32, '0') as uuid) as id, cast(:started_at as timestamptz) as at
    from generate_series(1, cast(:rows as integer)) as n
) as numbered"""


def sweep(laboratory: Laboratory, rows: int, report: Callable[[str], None]) -> Iterator[Figure]:
    """Yield how fast and by how many calls rows are swept, and whether that needs more memory as it goes on."""
    livekit = laboratory.livekit
    with laboratory.environment(laboratory.functions["ReconcileRecordings"]) as environment:
        environment.invoke(event("reconcile_recordings_scheduled"))
        _fill(laboratory, rows, _EVERY, report)
        before = environment.processor_milliseconds()
        with _sampled(environment) as samples:
            swept = environment.invoke(event("reconcile_recordings_scheduled"))
        processor = environment.processor_milliseconds() - before
        peak = environment.memory("VmHWM")
        calls = dict(sorted(livekit.calls.items()))
        _fill(laboratory, _ROOMS, 1, report)
        livekit.participants_after = _PARTICIPANTS_AFTER
        named = environment.invoke(event("reconcile_recordings_scheduled"))
    livekit.active, livekit.participants_after = b"", 0.0
    raw: dict[str, float | str] = {
        "seconds": round(swept.milliseconds / 1000, 1),
        "of its own processor": round(processor / 1000, 1),
        "answer": str(swept.answer),
    }
    yield Figure(
        name="sweep", value=rows / swept.milliseconds * 1000, unit="rows/s", goal=5000, at_least=True, raw=raw
    )
    yield Figure(
        name="LiveKit calls per 1,000 rows swept",
        value=sum(calls.values()) / rows * 1000,
        unit="",
        goal=1000 / _EVERY + 2,
        raw=calls,
    )
    yield Figure(
        name=f"sweep of {_ROOMS:,} rooms that all have to name their recorders, in 50 ms each",
        value=named.milliseconds / 1000,
        unit="s",
        goal=5,
        raw={"answer": str(named.answer), **dict(sorted(livekit.calls.items()))},
    )
    early, late = (
        median(samples[len(samples) // 4 : len(samples) // 2]),
        median(samples[-len(samples) // 4 :]),
    )
    yield Figure(
        name="memory in the last quarter of the sweep over the second",
        value=late / early,
        unit="x",
        goal=1.1,
        raw={"second quarter MiB": round(early), "last quarter MiB": round(late), "peak MiB": round(peak)},
    )


def _fill(laboratory: Laboratory, rows: int, every: int, report: Callable[[str], None]) -> None:
    """Make so many live recordings, of which one in `every` has not been named by its room for ten minutes."""
    report(f"sweep of {rows:,} live recordings: filling")
    laboratory.livekit.active = _active(rows, laboratory.stack.aws.bucket)
    laboratory.make_rows(_ROWS, rows=rows, started_at=STARTED_AT, every=every)
    laboratory.livekit.calls.clear()
    report(f"sweep of {rows:,} live recordings")


def _active(rows: int, bucket: str) -> bytes:
    return ListEgressResponse(items=(_info(n, bucket) for n in range(1, rows + 1))).SerializeToString()


def _info(n: int, bucket: str) -> EgressInfo:
    """Return what LiveKit says of an egress that the product started."""
    key = f"recordings/{UUID(int=n)}/recording.mp4"
    upload = S3Upload(access_key=MASKED, secret=MASKED, bucket=bucket, metadata={"deployment": "recorder"})
    return EgressInfo(
        egress_id=f"EG_{n}",
        room_id=room_sid(f"room-{n}"),
        room_name=f"room-{n}",
        status=EgressStatus.EGRESS_ACTIVE,
        started_at=_STARTED_NS,
        updated_at=_STARTED_NS,
        room_composite=RoomCompositeEgressRequest(
            room_name=f"room-{n}",
            layout="grid",
            file_outputs=[EncodedFileOutput(filepath=key, disable_manifest=True, s3=upload)],
        ),
        file_results=[FileInfo(filename=key, started_at=_STARTED_NS)],
    )


@contextmanager
def _sampled(environment: Environment) -> Iterator[list[float]]:
    """Collect the resident memory in MiB while the block lasts."""
    samples: list[float] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(_SAMPLE_SECONDS):
            samples.append(environment.memory("VmRSS"))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()
