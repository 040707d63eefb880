"""Where a cold start goes: what is imported, by whom, and how long it takes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from bench import cold
from bench.laboratory import event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from bench.laboratory import Laboratory

_LINE: Final = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \|( +)(\S+)")
LEAST_MILLISECONDS: Final = 1.0


@dataclass
class _Import:
    name: str
    milliseconds: float
    imported: list[_Import] = field(default_factory=list)


def profile(laboratory: Laboratory, function: str, report: Callable[[str], None]) -> Iterator[str]:
    """Yield the lines of the tree of what a function has imported when its first answer is given."""
    case = next((each for each in cold.CASES if each.function == function), None)
    if case is None:
        names = ", ".join(sorted({each.function for each in cold.CASES}))
        yield f"There is no function {function} here; there are {names}."
        return
    report(f"cold start of {case.name}")
    laboratory.make_rows(case.rows)
    ours = laboratory.functions[function]
    with laboratory.environment(ours) as environment:
        milliseconds = environment.invoke(event(case.event)).milliseconds
    yield f"{case.name}: first answer after {milliseconds:.0f} ms"
    # One thread only: Python's trace does not tell which of several an import belongs to.
    settings = {"PYTHONPROFILEIMPORTTIME": "1", "AWS_LAMBDA_INITIALIZATION_TYPE": "provisioned-concurrency"}
    traced = replace(ours, name="profile", environment={**ours.environment, **settings})
    laboratory.make_rows(case.rows)
    with laboratory.environment(traced) as environment:
        environment.invoke(event(case.event))
    log = laboratory.platform.logs / "profile.log"
    yield f"Imports that take {LEAST_MILLISECONDS:g} ms or more, with all that they import (measuring slows them down):"
    yield from _lines(_tree(log.read_text().splitlines()), depth=0)


def _tree(lines: Iterable[str]) -> list[_Import]:
    """Python prints an import after those that it causes, each indented by two more spaces."""
    waiting: dict[int, list[_Import]] = {}
    for line in lines:
        found = _LINE.match(line)
        if found:
            depth = len(found[3]) // 2
            made = _Import(found[4], int(found[2]) / 1000, waiting.pop(depth + 1, []))
            waiting.setdefault(depth, []).append(made)
    return waiting.get(0, [])


def _lines(imports: list[_Import], depth: int) -> Iterator[str]:
    for each in imports:
        if each.milliseconds >= LEAST_MILLISECONDS:
            yield f"{each.milliseconds:8.1f}  {'  ' * depth}{each.name}"
            yield from _lines(each.imported, depth + 1)
