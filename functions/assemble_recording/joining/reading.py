"""Reads objects ahead of need, so that the time to their first byte is not paid for one after the other.

Threads read, and nothing else: opened in them too, segments would take a third more of the processor, because FFmpeg's
wrapper gives the interpreter's lock away for each packet and has to get it back.
"""

from __future__ import annotations

import io
from bisect import bisect_right
from collections import deque
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from .values import UnreadableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Executor, Future

    from .values import Objects, Part

READERS: Final = 8
"""Reads that run at the same time."""
_AHEAD: Final = 32 * 2**20
"""Bytes that are read before they are asked for, all reads together."""
_BLOCK: Final = 4 * 2**20
_KEPT: Final = 2
"""Blocks that are kept once they were read. Tracks lie side by side in a file, so a reader goes back a little."""


def read_all(objects: Objects, part: Part) -> bytes:
    """Return a whole object. Raises UnreadableError where it is shorter than listed."""
    content = objects.read(part.key, 0, part.size) if part.size else b""
    if len(content) != part.size:
        raise UnreadableError(part.key, f"has {len(content)} bytes, not {part.size}")
    return content


def read_in_order(objects: Objects, parts: Iterable[Part], pool: Executor) -> Iterator[tuple[Part, bytes]]:
    """Give each part with its bytes, in order; several are read at the same time."""
    todo = deque(parts)
    under_way: deque[tuple[Part, Future[bytes]]] = deque()
    ahead = 0
    try:
        while todo or under_way:
            while todo and len(under_way) < READERS and (not under_way or ahead + todo[0].size <= _AHEAD):
                part = todo.popleft()
                ahead += part.size
                under_way.append((part, pool.submit(read_all, objects, part)))
            part, content = under_way.popleft()
            ahead -= part.size
            yield part, content.result()
    finally:
        for _, content in under_way:
            content.cancel()


class Contents:
    """Several contents, one behind the other, as a file to read and seek in; to put them together would cost a copy."""

    def __init__(self, contents: Sequence[bytes]) -> None:
        """Take what they are, in their order."""
        self._contents = contents
        self._ends = list(accumulate(map(len, contents)))
        self._position = 0

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes from the position on; none at the end."""
        index = bisect_right(self._ends, self._position)
        if index == len(self._ends):
            return b""
        content = self._contents[index]
        offset = self._position - self._ends[index] + len(content)
        piece = content[offset : offset + size]
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position and return it."""
        end = self._ends[-1] if self._ends else 0
        self._position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: end}[whence] + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position


class ObjectFile:
    """One object as a file to read and seek in. The longer it is read in order, the more is read ahead."""

    def __init__(self, objects: Objects, part: Part, pool: Executor) -> None:
        """Take the part and where its reads run."""
        self._objects = objects
        self._part = part
        self._pool = pool
        self._position = 0
        self._furthest = 0
        self._in_order = 0
        self._blocks: dict[int, Future[bytes]] = {}

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes from the position on; none at the end."""
        if self._position >= self._part.size:
            return b""
        index, offset = divmod(self._position, _BLOCK)
        piece = self._block(index)[offset : offset + size]
        self._position += len(piece)
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position and return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._part.size}[whence]
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def _block(self, index: int) -> bytes:
        if index == self._furthest + 1:
            self._in_order += 1
            self._furthest = index
        elif not self._furthest - _KEPT <= index <= self._furthest:
            self._in_order = 0
            self._furthest = index
        ahead = self._furthest + min(self._in_order, _AHEAD // _BLOCK)
        for each in (index, *range(self._furthest, min(ahead, (self._part.size - 1) // _BLOCK) + 1)):
            if each not in self._blocks:
                self._blocks[each] = self._pool.submit(self._read_block, each)
        for each in [each for each in self._blocks if not self._furthest - _KEPT <= each <= ahead]:
            self._blocks.pop(each).cancel()
        return self._blocks[index].result()

    def _read_block(self, index: int) -> bytes:
        start = index * _BLOCK
        length = min(_BLOCK, self._part.size - start)
        content = self._objects.read(self._part.key, start, length)
        if len(content) != length:
            raise UnreadableError(self._part.key, f"has no {length} bytes at {start}")
        return content
