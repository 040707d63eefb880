"""How long a media file lasts, as the file itself says: read from a few kilobytes of it.

MP4 has it in `moov`, at the beginning or behind the media; WebM in its first element; OGG on its last page.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK: Final = 64 * 1024
_BOXES: Final = 16
"""So many boxes are passed over at most on the way to `moov`."""
_LONGEST_SECONDS: Final = 31 * 24 * 3600.0
_OPUS_RATE: Final = 48_000
_SEGMENT: Final = 0x18538067
_INFO: Final = 0x1549A966
_TIMECODE_SCALE: Final = 0x2AD7B1
_DURATION: Final = 0x4489


class Reader(Protocol):
    """Reads from a file."""

    def __call__(self, start: int) -> bytes:
        """Return at most CHUNK bytes from `start`, or where that is negative, the last so many; b"" beyond the end."""


def seconds_of(head: bytes, extension: str, read: Reader) -> float | None:
    """Return how long a file lasts, or None where it does not say so.

    `head` is its first CHUNK; more is asked of `read` where that is not enough.
    """
    duration = _DURATIONS.get(extension, _unknown)
    try:
        seconds = duration(head, read)
    except (struct.error, IndexError):
        # It is cut off, or not what its name says.
        return None
    believable = seconds is not None and math.isfinite(seconds) and 0 < seconds < _LONGEST_SECONDS
    return seconds if believable else None


def _unknown(_head: bytes, _read: Reader) -> float | None:
    return None


def _mp4(head: bytes, read: Reader) -> float | None:
    position = 0
    for _ in range(_BOXES):
        data = head[position:] if position + 16 <= len(head) else read(position)
        size, kind = _box(data, 0)
        if kind == b"moov":
            return _movie_header(data)
        if size < 8:  # noqa: PLR2004 - no box is shorter; 0: it reaches to the end
            return None
        position += size
    return None


def _box(data: bytes, at: int) -> tuple[int, bytes]:
    """Return the size and the kind of the box that begins there."""
    size = int.from_bytes(_part(data, at, 4))
    return (int.from_bytes(_part(data, at + 8, 8)) if size == 1 else size), data[at + 4 : at + 8]


def _part(data: bytes, at: int, length: int) -> bytes:
    if at + length > len(data):
        raise IndexError
    return data[at : at + length]


def _movie_header(moov: bytes) -> float | None:
    position = 8 if moov[:4] != b"\0\0\0\1" else 16
    for _ in range(_BOXES):
        size, kind = _box(moov, position)
        if kind == b"mvhd":
            long = moov[position + 8] == 1
            at, length = (position + 28, 8) if long else (position + 20, 4)
            scale, units = int.from_bytes(_part(moov, at, 4)), int.from_bytes(_part(moov, at + 4, length))
            # All ones: not known, as in a file that is not finished.
            return units / scale if scale and units != (1 << 8 * length) - 1 else None
        if size < 8:  # noqa: PLR2004 - as above
            return None
        position += size
    return None


def _ogg(head: bytes, read: Reader) -> float | None:
    opus = head.find(b"OpusHead", 0, 512)
    if opus < 0:
        return None
    skipped = int.from_bytes(_part(head, opus + 10, 2), "little")
    tail = read(-CHUNK)
    page = tail.rfind(b"OggS")
    while page >= 0:
        position = int.from_bytes(_part(tail, page + 6, 8), "little", signed=True)
        # -1: no packet ends on this page.
        if position >= 0:
            return (position - skipped) / _OPUS_RATE
        page = tail.rfind(b"OggS", 0, page)
    return None


def _webm(head: bytes, _read: Reader) -> float | None:
    position = 0
    while position < len(head):
        element, size, content = _element(head, position)
        if element == _INFO:
            return _info(head[content : content + size])
        # The content of a segment follows its own header.
        position = content if element == _SEGMENT else content + size
    return None


def _info(data: bytes) -> float | None:
    scale, length, position = 1_000_000, 0.0, 0
    while position < len(data):
        element, size, content = _element(data, position)
        value = data[content : content + size]
        if element == _TIMECODE_SCALE:
            scale = int.from_bytes(value)
        elif element == _DURATION:
            [length] = struct.unpack(">d" if size == 8 else ">f", value)  # noqa: PLR2004 - double or single
        position = content + size
    return length * scale / 1e9


def _element(data: bytes, at: int) -> tuple[int, int, int]:
    """Return the id of an element of EBML, the size of its content and where that begins."""
    id_length = 9 - data[at].bit_length()
    size_at = at + id_length
    size_length = 9 - data[size_at].bit_length()
    content = size_at + size_length
    if content > len(data) or size_length > 8:  # noqa: PLR2004 - the longest number of EBML
        raise IndexError
    first = data[size_at] & ((1 << (8 - size_length)) - 1)
    size = int.from_bytes(bytes([first]) + data[size_at + 1 : content])
    return int.from_bytes(data[at:size_at]), size, content


_DURATIONS: Final[dict[str, Callable[[bytes, Reader], float | None]]] = {
    "mp4": _mp4,
    "ogg": _ogg,
    "webm": _webm,
}
