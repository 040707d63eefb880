"""The figures: as a table for a person, as JSON for a machine."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from local.processes.environments import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


RESULT = ROOT / "docs" / "performance.json"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure; without a goal it is there for orientation."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False
    """Whether the goal is a lower bound."""
    raw: Mapping[str, float | str] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the goal is met."""
        if self.goal is None:
            return True
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def table(figures: Sequence[Figure]) -> str:
    """Return a Markdown table."""
    lines = ["| figure | value | goal | | raw |", "|---|---|---|---|---|"]
    for figure in figures:
        sign = "at least" if figure.at_least else "at most"
        goal = "" if figure.goal is None else f"{sign} {figure.goal:g} {figure.unit}"
        verdict = "" if figure.goal is None else "met" if figure.met else "**missed**"
        raw = ", ".join(f"{name} {value}" for name, value in figure.raw.items())
        lines.append(
            f"| {figure.name} | {_number(figure.value)} {figure.unit} | {goal} | {verdict} | {raw} |"
        )
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """Say on what the figures were measured."""
    processor = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.partition(":")[2].strip()
            break
    return {
        "processor": f"{os.cpu_count()} x {processor}",
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def write(rows: int, figures: Sequence[Figure]) -> None:
    """Write all figures as JSON."""
    _write({"machine": machine(), "rows": rows, "figures": _as_json(figures)})


def write_some(figures: Sequence[Figure]) -> None:
    """Write some figures in the place of those of the same names, or behind all others."""
    content = json.loads(RESULT.read_text())
    by_name = {figure["name"]: figure for figure in (*content["figures"], *_as_json(figures))}
    _write({**content, "figures": list(by_name.values())})


def _as_json(figures: Sequence[Figure]) -> list[dict[str, object]]:
    return [{**asdict(figure), "value": round(figure.value, 3), "met": figure.met} for figure in figures]


def _write(content: Mapping[str, object]) -> None:
    RESULT.write_text(json.dumps(content, indent=2) + "\n")


def _number(value: float) -> str:
    return f"{value:,.2f}".removesuffix(".00")
