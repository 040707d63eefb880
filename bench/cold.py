"""Cold starts: the product's handlers beside bare ones, each in a fresh environment, in turn."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final, cast

from bench.laboratory import event
from bench.report import Figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.earlier import Earlier
    from bench.laboratory import Laboratory
    from local.template.application import Function

ID: Final = "6f1c2f2e-5d0e-4d0b-9d3a-2f6f0c5c7a11"
"""The recording of the events in `events/`."""

_ROW: Final = """
insert into recordings (
    id, user_id, room_name, status, created_at, updated_at, status_at, started_at, target, egress_id, room_sid,
    layout, codec, resolution, audio_codec, storage_key, file_size, duration, refreshed_at, due_at
)
select cast('{id}' as uuid), 'alice', 'demo', status, at, at, at, at, 'room:demo', 'EG_Xq7mV2kT9bLc', 'RM_demo',
    'grid', 'h264', '1080p', 'aac', 'recordings/{id}/recording.mp4',
    case when status = 'completed' then 40211968 end, case when status = 'completed' then 65.8 end, refreshed_at,
    case when status = 'active' then now() + interval '1 hour' end
from (select '{status}' as status, now() - interval '1 minute' as at, {refreshed_at} as refreshed_at) as made"""
_PLAYED: Final = """
insert into recordings (
    id, user_id, room_name, status, created_at, updated_at, status_at, started_at, target, egress_id,
    take_started_at, take_segments, playback_key
)
select cast('{id}' as uuid), 'alice', 'demo', 'active', at, at, at, at, 'room:demo', 'EG_Xq7mV2kT9bLc', at, true,
    repeat('0', 64)
from (select now() - interval '1 hour' as at) as made"""
PLAYED: Final = _PLAYED.format(id=ID)
"""The statement that turns the events' recording into one that records in segments, with the key of their token."""
SEGMENTS: Final = 900
"""The segments of half an hour."""
_PAGE: Final = """
insert into recordings (
    user_id, room_name, status, created_at, status_at, started_at, stopped_at, storage_key, file_size
)
select 'alice', 'room-' || n, 'completed', now() - n * interval '1 hour', now(), now(), now(),
    'recordings/' || n || '/recording.mp4', n
from generate_series(1, {rows}) as n"""


def row(status: str, refreshed_at: str = "now() - interval '1 minute'") -> str:
    """Return what makes the recording of the events, with the time (in SQL) when LiveKit was last asked of it."""
    return _ROW.format(id=ID, status=status, refreshed_at=refreshed_at)


def page_of(rows: int) -> str:
    """Return what makes so many recordings of the user of the events."""
    return _PAGE.format(rows=rows)


@dataclass(frozen=True)
class Case:
    """One kind of request; `rows` is what makes the table that it meets."""

    name: str
    function: str
    bare: str
    event: str
    goal: float
    rows: str = page_of(5)


CASES: Final = (
    Case("list_recordings", "ListRecordings", "bare_list", "list_recordings_first_page", 1.6),
    Case(
        "get_recording, live, LiveKit asked",
        "GetRecording",
        "bare_get",
        "get_recording_completed",
        1.6,
        row("active"),
    ),
    Case(
        "get_recording, completed, with a link",
        "GetRecording",
        "bare_get",
        "get_recording_completed",
        1.9,
        row("completed"),
    ),
    Case("start_recording", "StartRecording", "bare_start", "start_recording_room", 1.6),
    Case("stop_recording", "StopRecording", "bare_stop", "stop_recording_no_body", 1.6, row("active")),
    Case(
        "receive_livekit_webhook",
        "ReceiveLivekitWebhook",
        "bare_webhook",
        "receive_livekit_webhook_ended",
        1.6,
        row("active"),
    ),
    Case("play_recording", "PlayRecording", "bare_play", "play_recording_live", 1.9, PLAYED),
    Case("serve_console", "ServeConsole", "bare_page", "serve_console_page", 1.3),
    Case(
        "reconcile_recordings", "ReconcileRecordings", "bare_reconcile", "reconcile_recordings_scheduled", 1.6
    ),
)
MEMORY_GOAL: Final = 1.5
WORSE: Final = 1.05
"""The goal over an earlier revision."""


def cold_starts(
    laboratory: Laboratory, times: int, report: Callable[[str], None], earlier: Earlier | None = None
) -> Iterator[Figure]:
    """Yield for each case the ratio of the median first answers, and that of the peak memories.

    Both are to a bare handler and, where there is one, to an earlier revision too.
    """
    store_playlist(laboratory)
    for case in CASES:
        ours, bare = laboratory.functions[case.function], laboratory.bare(case.bare)
        before = earlier.function(ours) if earlier else None
        functions = [ours, bare, *([before] if before else [])]
        measured: dict[str, list[_Start]] = {each.name: [] for each in functions}
        for turn in range(times):
            report(f"cold start of {case.name}: {turn + 1} of {times}")
            # The next one finds warmer caches, so they take turns at that too.
            first = turn % len(functions)
            for function in (*functions[first:], *functions[:first]):
                measured[function.name].append(_cold_start(laboratory, case, function))
        one = measured[ours.name]
        yield from _figures(case.name, (case.goal, MEMORY_GOAL), one, "bare", measured[bare.name])
        if earlier and before:
            name = f"{case.name} over {earlier.revision}"
            yield from _figures(name, (WORSE, WORSE), one, earlier.revision, measured[before.name])


def store_playlist(laboratory: Laboratory) -> None:
    """Store the playlist that LiveKit would have written of the recording of the events: an hour in segments of 2 s."""
    entries = (
        f"#EXT-X-PROGRAM-DATE-TIME:2026-11-26T04:{number // 30 % 60:02}:{number * 2 % 60:02}.876Z\n"
        f"#EXTINF:2.000,\nsegment_{number:05}.ts\n"
        for number in range(2 * SEGMENTS)
    )
    aws = laboratory.stack.aws
    text = f"#EXTM3U\n#EXT-X-PLAYLIST-TYPE:EVENT\n{''.join(entries)}"
    aws.s3.put_object(Bucket=aws.bucket, Key=f"segments/{ID}/1/playlist.m3u8", Body=text.encode())


@dataclass(frozen=True)
class _Start:
    milliseconds: float
    processor_milliseconds: float
    peak_mebibytes: float


def _cold_start(laboratory: Laboratory, case: Case, function: Function) -> _Start:
    laboratory.make_rows(case.rows)
    with laboratory.environment(function) as environment:
        first = environment.invoke(event(case.event))
        return _Start(first.milliseconds, environment.processor_milliseconds(), environment.memory("VmHWM"))


def _figures(
    name: str, goals: tuple[float, float], ours: list[_Start], other: str, others: list[_Start]
) -> Iterator[Figure]:
    yield _figure(
        f"cold start of {name}", goals[0], ours, other, others, "milliseconds", "processor_milliseconds"
    )
    yield _figure(f"peak memory of {name}", goals[1], ours, other, others, "peak_mebibytes")


def _figure(
    name: str, goal: float, ours: list[_Start], other: str, others: list[_Start], *measures: str
) -> Figure:
    raw: dict[str, float | str] = {}
    for measure in measures:
        for whose, starts in (("product", ours), (other, others)):
            raw[f"{whose} {measure.replace('_', ' ')}"] = round(_median(starts, measure), 1)
    value = _median(ours, measures[0]) / _median(others, measures[0])
    return Figure(name=name, value=value, unit="x", goal=goal, raw=raw)


def _median(starts: list[_Start], measure: str) -> float:
    return median(cast("float", getattr(start, measure)) for start in starts)
