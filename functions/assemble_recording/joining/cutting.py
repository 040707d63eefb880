"""Leaves out the end of a take that may not give all that it recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .media import TICKS, time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .media import AnyPacket, Content, KindAndPacket
    from .planning import Limit
    from .values import Kind

_BACK: Final = TICKS // 2
"""Time stamps that go back by more begin anew: those of MPEG-TS do so after 26.5 hours."""


class Cut:
    """Ends each stream of one take at its first packet, in the order of decoding, from the limit on.

    Pictures may be stored out of order. Those that are shown before the limit and decoded after the first picture
    behind it go too, because they may need that one.
    """

    def __init__(self, limit: Limit | None) -> None:
        """Take the limit; without one, nothing is left out."""
        self._until = limit.until if limit else None
        self._ended: set[Kind] = set()
        self._latest: int | None = None

    @property
    def left_out(self) -> bool:
        """Whether anything was left out."""
        return bool(self._ended)

    def is_behind(self, kinds: Iterable[Kind]) -> bool:
        """Tell whether each of these streams has ended."""
        return self._ended.issuperset(kinds)

    def packets(self, content: Content) -> Iterator[KindAndPacket]:
        """Give the packets that remain of a file, and read no further than that."""
        for kind, packet in content.packets:
            if self._keeps(kind, packet):
                yield kind, packet
            elif self.is_behind(content.streams):
                return

    def segment(self, content: Content) -> Content:
        """Return what remains of a segment, the one behind the last that was given."""
        if self._until is None:
            return content
        start = min(content.starts.values())
        if self._latest is not None and start < self._latest - _BACK:
            self._until += start - self._latest
        self._latest = max(content.ends.values())
        return replace(content, head=[each for each in content.head if self._keeps(*each)])

    def _keeps(self, kind: Kind, packet: AnyPacket) -> bool:
        if self._until is not None and time(packet) >= self._until:
            self._ended.add(kind)
        return kind not in self._ended
