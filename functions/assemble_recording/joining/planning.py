"""Decides which parts of a recording's takes are joined, and whether they can be."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from .media import TICKS, file_content, open_file, open_segment, segment_content
from .reading import READERS, read_all
from .values import CannotJoinError, Kind, Reason, UnreadableError, segment_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from av.container import InputContainer

    from .media import Content, StreamFacts
    from .values import Objects, Part, Take


@dataclass(frozen=True, kw_only=True)
class Limit:
    """Where a take that may not give all that it holds ends."""

    until: int
    """Packets from this moment on are left out, in ticks of the take's own time stamps."""
    parts: int
    """How many of the take's parts begin earlier, as far as their numbers tell."""


@dataclass(frozen=True, kw_only=True)
class PlannedTake:
    """A take that holds something before its limit. Its parts are segments, or one file."""

    number: int
    parts: tuple[Part, ...]
    in_file: bool
    streams: Mapping[Kind, StreamFacts]
    limit: Limit | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The takes that become one file."""

    takes: tuple[PlannedTake, ...]
    delay: int
    """The longest time before its moment that the first picture of a take is decoded, in ticks."""
    empty: tuple[int, ...] = ()
    """Numbers of the takes that give nothing: no part of theirs has a byte in it, or all of it is behind the limit."""

    @property
    def streams(self) -> dict[Kind, StreamFacts]:
        """The streams of the joined file: each as the first take has it that has it."""
        return {kind: facts for take in reversed(self.takes) for kind, facts in take.streams.items()}

    @property
    def size(self) -> int:
        """Bytes of all parts. The joined file is not much smaller or larger."""
        return sum(part.size for take in self.takes for part in take.parts)


def plan(objects: Objects, takes: Iterable[Take]) -> Plan:
    """Decide what `join` joins; of each take one part is read, of a file its index.

    The segments of all takes are joined where no take lacks any, else the files of all where each take has one. Where
    neither is so, a take without a file gives its segments, and the others their files. A take that gives nothing is
    named as empty; each other one is in the joined file, or is the reason why there is none.

    Raises CannotJoinError where there must be no one file, UnreadableError for a part that has to be read and cannot
    be, and what `objects` raises.
    """
    given = list(takes)
    recorded = [take for take in given if _may_give(take)]
    by_segments = all(take.is_whole for take in recorded)
    planned: list[PlannedTake] = []
    delay = 0
    with ThreadPoolExecutor(READERS) as pool:
        for take in recorded:
            one, before = _plan_take(objects, take, pool, by_segments=by_segments)
            if one:
                planned.append(one)
                delay = max(delay, before)
    if not planned:
        raise CannotJoinError(Reason.NOTHING_RECORDED, "no take holds anything")
    _check_sound(planned)
    joined = {take.number for take in planned}
    empty = tuple(take.number for take in given if take.number not in joined)
    return Plan(takes=tuple(planned), delay=delay, empty=empty)


@contextmanager
def open_first(
    objects: Objects, parts: Sequence[Part], pool: Executor, *, in_file: bool
) -> Iterator[tuple[str, InputContainer]]:
    """Open a take's file, or the first of its segments that can be read. Raises UnreadableError."""
    if in_file:
        with open_file(objects, parts[0], pool) as container:
            yield parts[0].key, container
    else:
        part, content = _first_segment(objects, parts)
        with open_segment(part.key, content) as container:
            yield part.key, container


def _plan_take(
    objects: Objects, take: Take, pool: Executor, *, by_segments: bool
) -> tuple[PlannedTake | None, int]:
    """Return a take as it is joined, None if all of it is behind its limit; and the delay of its first picture."""
    file = take.file if _has_file(take) and not by_segments else None
    parts = (file,) if file else take.segments
    try:
        with open_first(objects, parts, pool, in_file=file is not None) as (key, container):
            content = file_content(key, container) if file else segment_content(key, container)
        if not content.head:
            raise UnreadableError(key, "holds no media")
    except CannotJoinError as error:
        raise CannotJoinError(error.reason, f"take {take.number}: {error}") from error
    limit = _limit(take.most_seconds, parts, content) if take.most_seconds is not None else None
    if limit and limit.until <= min(content.starts.values()):
        return None, 0
    planned = PlannedTake(
        number=take.number, parts=parts, in_file=file is not None, streams=content.streams, limit=limit
    )
    return planned, content.delay


def _limit(seconds: float, parts: Sequence[Part], content: Content) -> Limit:
    """Return where a take ends of which `content` is the file, or the first segment that can be read.

    The segments before that one were as long as it is. What is missing of them counts as recorded.
    """
    most = round(seconds * TICKS)
    begin = min(content.starts.values())
    number = segment_number(content.key)
    if number is None:
        return Limit(until=begin + most, parts=1)
    length = max(content.ends.values()) - begin
    early = sum((segment_number(part.key) or 0) * length < most for part in parts)
    return Limit(until=begin - number * length + most, parts=early)


def _may_give(take: Take) -> bool:
    holds = _has_file(take) or any(part.size for part in take.segments)
    return holds and (take.most_seconds is None or take.most_seconds > 0)


def _has_file(take: Take) -> bool:
    return take.file is not None and take.file.size > 0


def _first_segment(objects: Objects, parts: Sequence[Part]) -> tuple[Part, bytes]:
    for part in parts:
        content = read_all(objects, part)
        with suppress(UnreadableError), open_segment(part.key, content) as container:
            segment = segment_content(part.key, container)
            if segment.head and all(facts.width or facts.rate for facts in segment.streams.values()):
                return part, content
    raise UnreadableError(parts[0].key, "is no media that can be read, nor is any other segment of its take")


def _check_sound(takes: Sequence[PlannedTake]) -> None:
    sounds = [(take.number, take.streams[Kind.AUDIO]) for take in takes if Kind.AUDIO in take.streams]
    for (before, first), (number, second) in pairwise(sounds):
        if first.codec != second.codec:
            text = f"the sound of take {before} is {first.codec}, that of take {number} {second.codec}"
            raise CannotJoinError(Reason.AUDIO_CODEC_CHANGES, text)
        if first.rate != second.rate:
            text = f"the sound of take {before} has {first.rate} samples a second, that of take {number} {second.rate}"
            raise CannotJoinError(Reason.SAMPLE_RATE_CHANGES, text)
