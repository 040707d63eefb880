"""Says how many seconds parts and takes hold, and reads as little as can tell."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING

import av

from .media import TICKS, open_file, open_segment, segment_content
from .reading import READERS, read_all
from .values import UnreadableError, segment_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .values import Objects, Part, Take


def segment_seconds(objects: Objects, part: Part) -> float:
    """Return how many seconds a segment holds; 0 where it is empty or cannot be read. Reads all of it."""
    span = _span(objects, [part])
    return (span[1] - span[0]) / TICKS if span else 0.0


def file_seconds(objects: Objects, part: Part) -> float:
    """Return how many seconds a file holds. Reads its index only. Raises UnreadableError."""
    with ThreadPoolExecutor(READERS) as pool, open_file(objects, part, pool) as container:
        return (container.duration or 0) / av.time_base


def take_seconds(objects: Objects, take: Take) -> float:
    """Return how many seconds a take holds: of its file where it has one, else of its segments.

    Segments whose numbers follow one another hold the time from the first one's begin to the last one's end, and only
    these two are read. Raises UnreadableError for a file, and what `objects` raises.
    """
    if take.file and take.file.size:
        return file_seconds(objects, take.file)
    return sum(_run_seconds(objects, run) for run in _runs(take.segments)) / TICKS


def _runs(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """Give the parts that are not empty, those together whose numbers follow one another."""
    there = enumerate(part for part in parts if part.size)
    for _, run in groupby(there, lambda pair: (segment_number(pair[1].key) or 0) - pair[0]):
        yield [part for _, part in run]


def _run_seconds(objects: Objects, run: Sequence[Part]) -> int:
    first = _span(objects, run)
    last = _span(objects, run[::-1])
    return last[1] - first[0] if first and last else 0


def _span(objects: Objects, parts: Sequence[Part]) -> tuple[int, int] | None:
    """Return the ticks at which the first of the parts that can be read begins and ends."""
    for part in parts:
        try:
            with open_segment(part.key, read_all(objects, part)) as container:
                content = segment_content(part.key, container)
        except UnreadableError:
            continue
        if content.head:
            return min(content.starts.values()), max(content.ends.values())
    return None
