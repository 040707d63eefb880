"""Warm requests: what the handlers take beside their queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final, cast

from bench import cold
from bench.laboratory import event
from bench.report import Figure
from local.processes.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import JsonValue

    from bench.laboratory import Laboratory

TIMES: Final = 2000
WARM_UP: Final = 100
INSIDE: Final = ROOT / "bench" / "inside"


_LIVE: Final = """
insert into recordings (
    id, user_id, room_name, status, created_at, updated_at, status_at, started_at, target, egress_id, storage_key
)
select cast('{prefix}' || lpad(cast(n as text), 12, '0') as uuid), 'alice', 'room-' || n, 'active', now(), now(), now(),
    now(), 'room:room-' || n, 'EG_' || n, 'recordings/' || n || '/recording.mp4'
from generate_series(0, {rows}) as n"""


@dataclass(frozen=True)
class Case:
    """One kind of request; `rows` is what makes its table.

    `numbered` is what in the request becomes the number of the invocation, where each must be another.
    """

    name: str
    function: str
    event: str
    rows: str
    numbered: str = ""


READS: Final = (
    Case("list_recordings, 50 of them", "ListRecordings", "list_recordings_first_page", cold.page_of(60)),
    Case("get_recording, live", "GetRecording", "get_recording_completed", cold.row("active", "now()")),
    Case(
        "get_recording, completed", "GetRecording", "get_recording_completed", cold.row("completed", "now()")
    ),
)
PLAYED: Final = Case(
    f"play_recording, {cold.SEGMENTS} segments", "PlayRecording", "play_recording_live", cold.PLAYED
)
WRITES: Final = (
    Case("start_recording", "StartRecording", "start_recording_room", cold.page_of(5), numbered="demo"),
    Case(
        "stop_recording",
        "StopRecording",
        "stop_recording_no_body",
        _LIVE.format(prefix=cold.ID[:-12], rows=TIMES + WARM_UP),
        numbered=cold.ID[-12:],
    ),
)


def warm_requests(laboratory: Laboratory, report: Callable[[str], None]) -> Iterator[Figure]:
    """Yield the median and the 99th percentile: of reads without their query, of writes with LiveKit's and all."""
    for case in READS:
        report(f"warm {case.name}")
        measured = _measured(laboratory, case)
        own = [without_database for _, without_database in measured]
        raw = {"times": TIMES, "with its query ms": round(median(whole for whole, _ in measured), 3)}
        yield Figure(
            name=f"warm {case.name}, less its query, median", value=median(own), unit="ms", goal=2, raw=raw
        )
        yield Figure(
            name=f"warm {case.name}, less its query, 99th percentile", value=_p99(own), unit="ms", goal=4
        )
    cold.store_playlist(laboratory)
    report(f"warm {PLAYED.name}")
    whole = [milliseconds for milliseconds, _ in _measured(laboratory, PLAYED)]
    yield Figure(
        name=f"warm {PLAYED.name}, with its statement and its object, median",
        value=median(whole),
        unit="ms",
        goal=150,
        raw={"times": TIMES, "99th percentile": round(_p99(whole), 3)},
    )
    for case in WRITES:
        report(f"warm {case.name}")
        whole = [milliseconds for milliseconds, _ in _measured(laboratory, case)]
        raw = {"times": TIMES, "99th percentile": round(_p99(whole), 3)}
        yield Figure(
            name=f"warm {case.name}, with its statements and an instant LiveKit, median",
            value=median(whole),
            unit="ms",
            raw=raw,
        )


def _measured(laboratory: Laboratory, case: Case) -> list[list[float]]:
    laboratory.make_rows(case.rows)
    ours = laboratory.functions[case.function]
    inside = replace(ours, handler="warm.lambda_handler", directory=INSIDE, timeout=120)
    with laboratory.environment(inside) as environment:
        request: dict[str, JsonValue] = {
            "folder": str(ours.directory),
            "request": event(case.event),
            "numbered": case.numbered,
            "times": TIMES + WARM_UP,
        }
        return cast("list[list[float]]", environment.invoke(request).answer)[WARM_UP:]


def _p99(measured: list[float]) -> float:
    return quantiles(measured, n=100)[98]
