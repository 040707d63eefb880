"""Simulated media: an object holds seconds, each by the clock on the wall and of one egress."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from simulator.kernel import SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Span:
    """The seconds of an egress from `begin` to `end` (ns, by the right clock)."""

    egress_id: str
    begin: int
    end: int


type Content = tuple[Span, ...]
"""The spans that an object plays, in order."""


def seconds_of(content: Iterable[Span]) -> float:
    """Say how long it plays (s)."""
    return sum(each.end - each.begin for each in content) / SECOND


def cut(content: Content, seconds: float | None, *, missing_before: float) -> Content:
    """Give of it what was recorded in its first seconds, by time: a hole counts too. None: all of it.

    `missing_before` are the seconds that are missing at its beginning.
    """
    if seconds is None or not content:
        return content
    end = content[0].begin + int((seconds - missing_before) * SECOND)
    return tuple(replace(each, end=min(each.end, end)) for each in content if each.begin < end)


def missing(wanted: Iterable[Span], held: Iterable[Span]) -> list[Span]:
    """Give what is wanted and not held, each egress for itself."""
    theirs: defaultdict[str, list[Span]] = defaultdict(list)
    for each in held:
        theirs[each.egress_id].append(each)
    left: list[Span] = []
    for each in wanted:
        left += _without(each, sorted(theirs[each.egress_id], key=lambda span: span.begin))
    return left


def _without(wanted: Span, held: Sequence[Span]) -> Iterator[Span]:
    begin = wanted.begin
    for each in held:
        if each.begin > begin:
            if each.begin >= wanted.end:
                break
            yield replace(wanted, begin=begin, end=each.begin)
        begin = max(begin, each.end)
    if begin < wanted.end:
        yield replace(wanted, begin=begin)
