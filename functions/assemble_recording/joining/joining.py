"""Joins what a plan names into one MP4."""

from __future__ import annotations

import gc
from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import accumulate, batched
from typing import TYPE_CHECKING, Final

import av
from av.error import FFmpegError

from .cutting import Cut
from .media import (
    TICKS,
    TRANSPORT_PACKET,
    file_content,
    is_intact,
    open_file,
    open_segment,
    segment_content,
    streams_of,
    time,
)
from .output import Output
from .planning import open_first
from .reading import READERS, read_all, read_in_order
from .values import CannotJoinError, JoiningError, Kind, Reason, UnreadableError
from .writing import UPLOADERS, Mp4Upload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from av.container import OutputContainer

    from .media import Content, StreamFacts
    from .planning import Plan, PlannedTake
    from .values import Objects, Part, Upload

_BUFFER: Final = 2**20
_NEAR: Final = TICKS // 2
"""A longer hole between two segments is closed. A shorter one stays, as silence and the picture before it."""
_SAME: Final = TICKS // 25
"""Sound that goes on within this time is whole: a frame of it is shorter."""
_TOGETHER: Final = 8
"""Segments that are opened at once, because opening costs as much as reading. Where one is damaged, each is opened
by itself."""
_CHECKED_ENDS: Final = 200
"""Ends of segments that are decoded because nothing follows them at once. Of any further one the last picture goes."""


@dataclass(frozen=True, kw_only=True)
class JoinedTake:
    """Where a take lies in the joined file."""

    number: int
    begins_at: float
    """Seconds from the start of the file."""
    seconds: float
    """How long it is there."""
    recorded_seconds: float
    """How long what was joined of its parts is by their own time stamps. `seconds` is at most some pictures more."""
    left_out: tuple[str, ...]
    """Keys of segments in which there is nothing that can be read."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """The result of joining."""

    size: int
    """Bytes of the file."""
    takes: tuple[JoinedTake, ...]
    """All that were given, in their order, but those that are empty. Each of them contributes."""
    empty: tuple[int, ...]
    """Numbers of the takes that were given and give nothing: they hold nothing, or nothing before their limit."""
    streams: Mapping[Kind, StreamFacts]
    packets: Mapping[Kind, int]
    longest_interval: float
    """The longest usual time between two pictures, in seconds: what begins at a seam may begin so much later."""
    seams: tuple[float, ...]
    """Seconds at which something begins that did not follow what is before it; the first is 0."""

    @property
    def seconds(self) -> float:
        """The length of the file."""
        last = self.takes[-1]
        return last.begins_at + last.seconds


def join(plan: Plan, objects: Objects, upload: Upload) -> Joined:
    """Join all takes of a plan into one MP4, and complete the upload.

    The file has its index in front. It is the same each time. Where anything is raised, the upload was aborted:
    CannotJoinError, UnreadableError, JoiningError where FFmpeg refuses to go on, and what `objects` or `upload` raise.
    """
    upload.create()
    try:
        with _quick_collection():
            joined = _join(plan, objects, upload)
        upload.complete()
    except BaseException as error:
        with suppress(Exception):
            upload.abort()
        if isinstance(error, FFmpegError):
            raise JoiningError(f"FFmpeg cannot go on: {error.strerror}") from error
        raise
    return joined


@contextmanager
def _quick_collection() -> Iterator[None]:
    """Have the garbage collector leave out what is there already, such as an S3 client's thousands of shapes."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _join(plan: Plan, objects: Objects, upload: Upload) -> Joined:
    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(UPLOADERS) as uploaders:
        file = Mp4Upload(upload, uploaders, plan.size)
        with _muxer(file) as container:
            joiner = _Joiner(plan, objects, readers, container)
            takes = tuple(joined for take in plan.takes if (joined := joiner.add(take)))
            if not takes:
                raise CannotJoinError(Reason.NOTHING_RECORDED, "no take holds anything before its limit")
        numbers = {take.number for take in takes}
        return Joined(
            size=file.finish(),
            takes=takes,
            empty=(*plan.empty, *(take.number for take in plan.takes if take.number not in numbers)),
            streams=plan.streams,
            packets=joiner.output.packets,
            longest_interval=joiner.output.longest_interval / TICKS,
            seams=tuple(joiner.seams),
        )


@contextmanager
def _muxer(file: Mp4Upload) -> Iterator[OutputContainer]:
    options = {"moov_size": str(file.reserved), "flush_packets": "0"}
    with av.open(file, "w", "mp4", options, buffer_size=_BUFFER) as container:
        try:
            yield container
        except BaseException:
            file.closed = True
            raise


class _Joiner:
    """Adds takes to an MP4."""

    def __init__(self, plan: Plan, objects: Objects, pool: Executor, container: OutputContainer) -> None:
        self.seams: list[float] = []
        self.output = Output(container, plan.streams, plan.delay)
        self._objects = objects
        self._pool = pool
        self._checked = 0
        for kind in plan.streams:
            take = next(take for take in plan.takes if kind in take.streams)
            with open_first(objects, take.parts, pool, in_file=take.in_file) as (_, opened):
                self.output.add_stream(kind, streams_of(opened)[kind], in_file=take.in_file)

    def add(self, take: PlannedTake) -> JoinedTake | None:
        """Add a take behind those that are there; None if nothing before its limit can be shown."""
        begins = len(self.seams)
        packets = sum(self.output.packets.values())
        cut = Cut(take.limit)
        recorded, left_out = self._add_file(take, cut) if take.in_file else self._add_segments(take, cut)
        if sum(self.output.packets.values()) == packets:
            if cut.left_out:
                del self.seams[begins:]
                return None
            raise UnreadableError(
                take.parts[0].key, "holds nothing whole, nor does any other part of its take"
            )
        begins_at = self.seams[begins]
        return JoinedTake(
            number=take.number,
            begins_at=begins_at,
            seconds=self.output.end / TICKS - begins_at,
            recorded_seconds=recorded / TICKS,
            left_out=left_out,
        )

    def _add_file(self, take: PlannedTake, cut: Cut) -> tuple[int, tuple[str, ...]]:
        [part] = take.parts
        with open_file(self._objects, part, self._pool) as container:
            content = file_content(part.key, container)
            self._begin(content, take)
            end = 0
            for kind, packet in cut.packets(content):
                end = max(end, time(packet) + (packet.duration or 0))
                self.output.add(kind, packet)
        return end - min(content.starts.values()), ()

    def _add_segments(self, take: PlannedTake, cut: Cut) -> tuple[int, tuple[str, ...]]:
        recorded = 0
        left_out: list[str] = []
        before: Content | None = None
        for each, after in _with_next(self._segments(take, cut, left_out)):
            content = self._without_damage(each, after)
            if not content.head:
                left_out.append(content.key)
                continue
            if before and _follows(before, content):
                start = max(before.ends.values())
            else:
                start = min(content.starts.values())
                self._begin(content, take)
            recorded += max(content.ends.values()) - start
            for kind, packet in content.head:
                self.output.add(kind, packet)
            before = content
        return recorded, tuple(left_out)

    def _segments(self, take: PlannedTake, cut: Cut, left_out: list[str]) -> Iterator[Content]:
        for content in self._opened_segments(take, left_out):
            kept = cut.segment(content)
            if kept.head:
                yield kept
            if cut.is_behind(content.starts):
                return

    def _opened_segments(self, take: PlannedTake, left_out: list[str]) -> Iterator[Content]:
        for several in self._read(take):
            if together := _opened_together(several):
                yield together
                continue
            for part, content in several:
                segment = _opened(part.key, content)
                if segment:
                    yield segment
                else:
                    left_out.append(part.key)

    def _read(self, take: PlannedTake) -> Iterator[Sequence[tuple[Part, bytes]]]:
        """Give the segments together that are opened at once; those that the limit may leave out come one by one."""
        early = take.limit.parts if take.limit else len(take.parts)
        read = read_in_order(self._objects, take.parts[:early], self._pool)
        yield from batched(read, _TOGETHER, strict=False)
        for part in take.parts[early:]:
            yield ((part, read_all(self._objects, part)),)

    def _begin(self, content: Content, take: PlannedTake) -> None:
        self.seams.append(self.output.begin(content, take.streams) / TICKS)

    def _without_damage(self, content: Content, after: Content | None) -> Content:
        """Leave out the last picture of a segment if it is there in part only."""
        if after and not content.is_cut and _goes_on(content, after):
            return content
        indexes = [index for index, (kind, _) in enumerate(content.head) if kind is Kind.VIDEO]
        pictures = [content.head[index][1] for index in indexes]
        keys = [index for index, picture in enumerate(pictures) if picture.is_keyframe]
        if not keys:
            return content
        self._checked += 1
        if self._checked <= _CHECKED_ENDS and is_intact(pictures[keys[-1] :]):
            return content
        return replace(
            content, head=[each for index, each in enumerate(content.head) if index != indexes[-1]]
        )


def _opened(key: str, *contents: bytes) -> Content | None:
    """Return what is in one or several segments; None if there is nothing that can be read."""
    try:
        with open_segment(key, *contents) as container:
            opened = segment_content(key, container)
    except UnreadableError:
        return None
    return opened if opened.head else None


def _opened_together(several: Sequence[tuple[Part, bytes]]) -> Content | None:
    """Return what is in several segments; None if anything may be missing in one of them, or between two."""
    if any(len(content) % TRANSPORT_PACKET for _, content in several):
        return None
    opened = _opened(several[0][0].key, *(content for _, content in several))
    if opened is None or not opened.is_continuous:
        return None
    ends = list(accumulate(len(content) for _, content in several))
    packets = opened.of(Kind.AUDIO) or opened.of(Kind.VIDEO)
    found = {bisect_right(ends, packet.pos) for packet in packets if packet.pos is not None}
    return opened if len(found) == len(several) else None


def _with_next(contents: Iterable[Content]) -> Iterator[tuple[Content, Content | None]]:
    waiting: Content | None = None
    for content in contents:
        if waiting:
            yield waiting, content
        waiting = content
    if waiting:
        yield waiting, None


def _gaps(before: Content, after: Content) -> dict[Kind, int]:
    return {kind: after.starts[kind] - end for kind, end in before.ends.items() if kind in after.starts}


def _follows(before: Content, after: Content) -> bool:
    """Tell whether a segment keeps its distance to the one before: not if each stream has a hole, or each goes back."""
    gaps = _gaps(before, after).values()
    return bool(gaps) and min(gaps) <= _NEAR and max(gaps) >= -_NEAR


def _goes_on(before: Content, after: Content) -> bool:
    """Tell whether nothing is missing between two segments. Sound shows it best: pictures may come at any time."""
    gaps = _gaps(before, after)
    return abs(gaps[Kind.AUDIO]) <= _SAME if Kind.AUDIO in gaps else _follows(before, after)
