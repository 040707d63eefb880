"""The cost of a month at AWS' list prices: the table of docs/performance.md, `python -m tools.bill` writes it.

Prices are those of us-east-1 in November 2026, on arm64, without any free tier; taxes and LiveKit are not in it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from local.processes.environments import ROOT
from recorder.domain.outputs import POSTER_SECONDS, SAFETY_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCUMENT: Final = ROOT / "docs" / "performance.md"
BLOCK: Final = re.compile(r"(<!-- bill -->\n).*?(<!-- end bill -->)", re.DOTALL)

HOURS: Final = 730
GB_SECOND: Final = 0.0000133334
LAMBDA_REQUEST: Final = 0.20 / 1e6
API_REQUEST: Final = 1.00 / 1e6
MEMORY_GB: Final = 0.5
METRIC: Final = 0.30
ALARM: Final = 0.10
LOG_GB: Final = 0.50
SECRET: Final = 0.40
ADDRESS: Final = 0.005 * HOURS
NAT_GATEWAY: Final = 0.045 * HOURS
NAT_GB: Final = 0.045
# t4g.micro, and the 8 GB disk of its image.
NAT_INSTANCE: Final = 0.0084 * HOURS + 8 * 0.08
# db.t4g.micro and 20 GB of gp3; db.t4g.medium twice (MultiAz) and 100 GB.
SMALL_DATABASE: Final = 0.016 * HOURS + 20 * 0.115
LARGE_DATABASE: Final = 2 * (0.065 * HOURS + 100 * 0.115)
STORED_GB: Final = 0.023
PUT: Final = 0.005 / 1000
GET: Final = 0.0004 / 1000
PART_BYTES: Final = 5 * 1024**2

REQUESTS: Final = 16
"""Of one recording: a start, a stop, ten reads, four webhooks."""
REQUEST_SECONDS: Final = 0.5
WAITED_SECONDS: Final = 20
"""Of one recording: two waits of ten seconds, for its beginning and for its file."""
SWEEPS: Final = 60 * HOURS
SWEEP_SECONDS: Final = 0.5
METRICS: Final = 35
ALARMS: Final = 12
LOG_BYTES: Final = 1500
"""A request, with API Gateway's own line."""
RECORDING_GB: Final = 0.5 * 2
"""Half an hour of 1080p at 4,500 kbit/s."""
RECORDING_SECONDS: Final = 1800
PUTS_OF_SEGMENT: Final = 3
"""A segment, and both playlists anew."""
SEGMENT_DAYS: Final = 7
"""How long segments stay where nothing was joined: the bucket's lifecycle."""
JOINED: Final = 20
"""One recording of so many is paused, or loses its worker."""
JOIN_SECONDS: Final = 25
"""For 1 GB, of an assembler with `JOIN_GB` of memory."""
JOIN_GB: Final = 2
KEPT_MONTHS: Final = 1


@dataclass(frozen=True)
class Team:
    """How much is recorded in a month, and with which database."""

    name: str
    recordings: int
    database: float


TEAMS: Final = (Team("100", 100, SMALL_DATABASE), Team("100,000", 100_000, LARGE_DATABASE))


def lines(team: Team) -> Iterator[tuple[str, str, float]]:
    """Yield what costs, how that is counted, and how much, in USD a month."""
    requests = team.recordings * REQUESTS
    yield (
        "requests",
        f"{REQUESTS} a recording: {REQUEST_SECONDS} s x {MEMORY_GB} GB each, Lambda and HTTP API",
        requests * (REQUEST_SECONDS * MEMORY_GB * GB_SECOND + LAMBDA_REQUEST + API_REQUEST),
    )
    yield (
        "waiting",
        f"`Prefer: wait`: {WAITED_SECONDS} s a recording x {MEMORY_GB} GB",
        team.recordings * WAITED_SECONDS * MEMORY_GB * GB_SECOND,
    )
    yield (
        "sweep",
        f"{SWEEPS:,} x {SWEEP_SECONDS} s x {MEMORY_GB} GB",
        SWEEPS * (SWEEP_SECONDS * MEMORY_GB * GB_SECOND + LAMBDA_REQUEST),
    )
    yield ("metrics", f"{METRICS} x {METRIC:.2f}", METRICS * METRIC)
    yield ("alarms", f"{ALARMS} x {ALARM:.2f}", ALARMS * ALARM)
    logged = (requests + SWEEPS) * LOG_BYTES / 1e9
    yield ("logs", f"{LOG_BYTES:,} bytes a request or sweep: {logged:.2f} GB x {LOG_GB:.2f}", logged * LOG_GB)
    yield ("secrets", f"3 x {SECRET:.2f}: LiveKit's, egress', the database's", 3 * SECRET)
    yield ("database", _database(team), team.database)
    # Calls to LiveKit and AWS are some kilobytes; files do not go this way.
    through = requests * 20_000 / 1e9
    yield (
        "way out",
        f"NAT gateway {NAT_GATEWAY:.2f} + address {ADDRESS:.2f} + {through:.1f} GB x {NAT_GB}",
        NAT_GATEWAY + ADDRESS + through * NAT_GB,
    )
    segments = team.recordings * RECORDING_SECONDS / SAFETY_SECONDS
    puts = segments * PUTS_OF_SEGMENT + team.recordings * RECORDING_SECONDS / POSTER_SECONDS
    yield (
        "safety segments",
        f"{puts:,.0f} uploads x 0.005 a thousand: {PUTS_OF_SEGMENT} each {SAFETY_SECONDS} s, 1 each {POSTER_SECONDS} s",
        puts * PUT,
    )
    kept = team.recordings * RECORDING_GB
    yield (
        "their storage",
        f"{kept:,.0f} GB kept for {SEGMENT_DAYS} days x {STORED_GB}",
        kept * SEGMENT_DAYS / 30 * STORED_GB,
    )
    joined = team.recordings / JOINED
    parts = RECORDING_GB * 1e9 / PART_BYTES
    reads = RECORDING_SECONDS / SAFETY_SECONDS
    yield (
        "joining",
        f"one recording in {JOINED}: {JOIN_SECONDS} s x {JOIN_GB} GB, {parts:,.0f} uploads, {reads:,.0f} reads",
        joined * (JOIN_SECONDS * JOIN_GB * GB_SECOND + parts * PUT + reads * GET),
    )
    uploads = team.recordings * (RECORDING_GB * 1e9 / PART_BYTES)
    yield ("uploads", f"{uploads:,.0f} parts of 5 MiB x 0.005 a thousand", uploads * PUT)
    stored = team.recordings * RECORDING_GB * KEPT_MONTHS
    yield ("storage", f"{stored:,.0f} GB kept for a month x {STORED_GB}", stored * STORED_GB)


def _database(team: Team) -> str:
    if team.database == SMALL_DATABASE:
        return "db.t4g.micro, 20 GB"
    return "db.t4g.medium in two zones, 100 GB"


def table() -> str:
    """Return the table, with the arithmetic of both teams."""
    rows = ["| USD a month | 100 recordings | | 100,000 recordings | |", "|---|---|---|---|---|"]
    small, large = ([*lines(team)] for team in TEAMS)
    for (name, how, one), (_, other_how, other) in zip(small, large, strict=True):
        words = "the same" if other_how == how else other_how
        rows.append(f"| {name} | {one:,.2f} | {how} | {other:,.2f} | {words} |")
    totals = [sum(cost for _, _, cost in each) for each in (small, large)]
    rows.append(f"| **all** | **{totals[0]:,.2f}** | | **{totals[1]:,.2f}** | |")
    return "\n".join(rows) + "\n"


def generate(text: str) -> str:
    """Return the document with the table as it is now."""
    return BLOCK.sub(lambda found: f"{found[1]}{table()}{found[2]}", text)


def main() -> int:
    """Write the document and return the exit code."""
    DOCUMENT.write_text(generate(DOCUMENT.read_text()))
    sys.stdout.write(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
