"""Warm requests: what the handlers take beside their queries."""

from __future__ import annotations

from dataclasses import dataclass, replace
from statistics import median, quantiles
from typing import TYPE_CHECKING, Final, cast

from bench import cold
from bench.laboratory import event
from bench.report import Figure
from local.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import JsonValue

    from bench.laboratory import Laboratory

TIMES: Final = 2000
WARM_UP: Final = 100
INSIDE: Final = ROOT / "bench" / "inside"


@dataclass(frozen=True)
class Case:
    """A read; `rows` is what makes its table."""

    name: str
    function: str
    event: str
    rows: str


CASES: Final = (
    Case("list_recordings, 50 of them", "ListRecordings", "list_recordings_first_page", cold.page_of(60)),
    Case("get_recording, live", "GetRecording", "get_recording_completed", cold.row("active", "now()")),
    Case(
        "get_recording, completed", "GetRecording", "get_recording_completed", cold.row("completed", "now()")
    ),
)


def warm_requests(laboratory: Laboratory, report: Callable[[str], None]) -> Iterator[Figure]:
    """Yield the median and the 99th percentile of each read."""
    for case in CASES:
        report(f"warm {case.name}")
        laboratory.make_rows(case.rows)
        ours = laboratory.functions[case.function]
        inside = replace(ours, handler="warm.lambda_handler", directory=INSIDE, timeout=120)
        with laboratory.environment(inside) as environment:
            request: dict[str, JsonValue] = {
                "folder": str(ours.directory),
                "request": event(case.event),
                "times": TIMES + WARM_UP,
            }
            measured = cast("list[float]", environment.invoke(request).answer)[WARM_UP:]
        value, p99 = median(measured), quantiles(measured, n=100)[98]
        raw = {"times": TIMES, "least ms": round(min(measured), 3)}
        yield Figure(name=f"warm {case.name}, median", value=value, unit="ms", goal=2, raw=raw)
        yield Figure(name=f"warm {case.name}, 99th percentile", value=p99, unit="ms", goal=4)
