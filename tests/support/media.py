"""The few bytes of a media file that say how long it lasts; what lies between is filler."""

from __future__ import annotations

import struct
from typing import Final

_FILLER: Final = b"\xaa" * 200_000


def mp4(seconds: float, *, filler: bytes = _FILLER, header_first: bool = False, long: bool = False) -> bytes:
    """Make an MP4, with its header at the end or at the beginning, perhaps with numbers of 64 bits."""
    scale = 90_000
    units = round(seconds * scale)
    times = struct.pack(">QQIQ", 0, 0, scale, units) if long else struct.pack(">IIII", 0, 0, scale, units)
    movie = _box(b"mvhd", bytes([long, 0, 0, 0]) + times + bytes(80))
    moov = _box(b"moov", movie + _box(b"trak", bytes(64)))
    mdat = struct.pack(">I4sQ", 1, b"mdat", 16 + len(filler)) + filler if long else _box(b"mdat", filler)
    parts = (moov, mdat) if header_first else (mdat, moov)
    return _box(b"ftyp", b"isom" + bytes(12)) + b"".join(parts)


def ogg(seconds: float, *, filler: bytes = _FILLER) -> bytes:
    """Make an OGG with Opus; its last page ends no packet."""
    skipped = 312
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, 2, skipped, 48_000, 0, 0)
    ends_at = round(seconds * 48_000) + skipped
    return _page(0, head) + filler + _page(ends_at, b"packet") + _page(-1, b"half")


def _page(position: int, content: bytes) -> bytes:
    return b"OggS" + struct.pack("<BBqIIIB", 0, 0, position, 1, 0, 0, 1) + bytes([len(content)]) + content


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
