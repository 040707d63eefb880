"""Writes an MP4 into an upload in parts, with its index in front, and holds no more of it than some parts in memory.

FFmpeg's muxer knows the index (`moov`) only at the end, and then goes back to where it has reserved room for it. Parts
are uploaded in any order, so the first part waits for the index. It then takes as much room as it needs: the media
move up, and the index is told by how much.
"""

from __future__ import annotations

import io
import sys
from array import array
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from .values import Upload

UPLOADERS: Final = 4
"""Parts that are uploaded at the same time."""
_PART: Final = 8 * 2**20
_SMALLEST_PART: Final = 5 * 2**20
"""S3's limit for all parts but the last."""
_MOST_PARTS: Final = 10_000
_MEDIA_HEADER: Final = 16
"""Bytes of the box that holds the media, which the muxer writes again when it knows their length."""
_BOX: Final = 8
_CONTAINERS: Final = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})
_OFFSETS: Final = {b"stco": "I", b"co64": "Q"}
_NO_MEDIA_YET: Final = sys.maxsize


class Mp4Upload:
    """The file that the muxer writes after it has reserved room for the index in front of the media.

    Errors of the upload come from `write` or `finish`.
    """

    closed = False
    """Whether the muxer shall leave the file as it is."""

    def __init__(self, upload: Upload, pool: Executor, size: int) -> None:
        """Take an upload that has begun, where its parts are sent from, and about how large the file will be."""
        self.reserved = min(2**30, size + 16 * 2**20)
        """More bytes than the index needs. They are not kept."""
        self._upload = upload
        self._pool = pool
        self._part_size = max(_PART, 2 * size // _MOST_PARTS)
        self._position = 0
        self._index_start = 0
        self._media_start = _NO_MEDIA_YET
        self._head = bytearray()
        self._media_header = bytearray(_MEDIA_HEADER)
        self._first = b""
        self._pieces: list[bytes] = []
        self._waiting = 0
        self._media = 0
        self._parts = 1
        self._under_way: deque[Future[None]] = deque()

    def write(self, data: bytes) -> int:
        """Write at the position."""
        ahead = max(0, min(len(data), self._media_start - self._position))
        if ahead:
            self._write_ahead(data[:ahead])
        if ahead < len(data):
            if self._position + ahead != self._media_start + self._media:
                raise io.UnsupportedOperation("media are written once, in order")
            self._add_media(data[ahead:])
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position, from the file's start on, and return it. The first move reserves the index' room."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation
        if self._media_start == _NO_MEDIA_YET:
            self._index_start = self._position
            self._media_start = offset + _MEDIA_HEADER
        self._position = offset
        return offset

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def finish(self) -> int:
        """Upload what is left, once the muxer has written all, and return the size of the file."""
        reserved_end = self._media_start - _MEDIA_HEADER
        with memoryview(self._head) as head:
            _shift_offsets(head[self._index_start :], len(head) - reserved_end)
        rest = b"".join(self._pieces)
        if self._first and rest:
            self._send(rest)
        first = b"".join((self._head, self._media_header, self._first or rest))
        self._under_way.append(self._pool.submit(self._upload.upload_part, 1, first))
        for each in self._under_way:
            each.result()
        return len(self._head) + _MEDIA_HEADER + self._media

    def _write_ahead(self, data: bytes) -> None:
        start = self._position - (self._media_start - _MEDIA_HEADER)
        if start >= 0:
            self._media_header[start : start + len(data)] = data
        elif self._position <= len(self._head):
            self._head[self._position : self._position + len(data)] = data
            # Behind the index, the muxer fills up what it had reserved.
            if length := int.from_bytes(self._head[self._index_start : self._index_start + 4]):
                del self._head[self._index_start + length :]

    def _add_media(self, data: bytes) -> None:
        self._media += len(data)
        self._waiting += len(data)
        self._pieces.append(data)
        if self._waiting < (self._part_size if self._first else _SMALLEST_PART):
            return
        content = b"".join(self._pieces)
        self._pieces.clear()
        self._waiting = 0
        if self._first:
            self._send(content)
        else:
            self._first = content

    def _send(self, content: bytes) -> None:
        if len(self._under_way) == UPLOADERS:
            self._under_way.popleft().result()
        self._parts += 1
        self._under_way.append(self._pool.submit(self._upload.upload_part, self._parts, content))


def _shift_offsets(boxes: memoryview, by: int) -> None:
    while boxes:
        length, kind = max(_BOX, int.from_bytes(boxes[:4])), bytes(boxes[4:_BOX])
        if kind in _CONTAINERS:
            _shift_offsets(boxes[_BOX:length], by)
        elif kind in _OFFSETS:
            # Behind the box' header come its version and the number of its entries.
            table = boxes[_BOX + 8 : length]
            offsets = array(_OFFSETS[kind], bytes(table))
            offsets.byteswap()
            moved = array(_OFFSETS[kind], (each + by for each in offsets))
            moved.byteswap()
            table[:] = moved.tobytes()
        boxes = boxes[length:]
