"""As much of S3 as joining uses, on files and over HTTP: `python -m bench.objects <directory> <port>`.

MiniStack keeps an upload in memory until it is complete, and reads a whole object for each of its ranges. An object
here is a file, or the parts of which it was made.
"""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from local.processes.children import LOOPBACK

_RANGE: Final = re.compile(r"bytes=(\d+)-(\d+)")
_PIECE: Final = 2**20
_UPLOAD: Final = "<InitiateMultipartUploadResult><UploadId>{}</UploadId></InitiateMultipartUploadResult>"
_PART: Final = "<Part><PartNumber>{}</PartNumber><ETag>tag</ETag></Part>"
_PARTS: Final = "<ListPartsResult>{}</ListPartsResult>"
_COMPLETE: Final = "<CompleteMultipartUploadResult><ETag>all</ETag></CompleteMultipartUploadResult>"


@dataclass(frozen=True)
class _Request:
    path: Path
    upload: str | None
    part: str | None


def _parts_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.parts")


def _numbers(parts: Path) -> list[int]:
    return sorted(int(part.name) for part in parts.iterdir())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Without it the end of an answer waits 40 ms for the client's acknowledgement.
    disable_nagle_algorithm = True
    server: ObjectServer

    def do_GET(self) -> None:
        """Answer a range of an object."""
        request = self._request()
        if request.upload:
            self._answer_with(_PARTS.format("".join(map(_PART.format, _numbers(_parts_of(request.path))))))
            return
        path = request.path
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        found = _RANGE.fullmatch(self.headers["Range"])
        if found is None or not path.exists():
            self.send_error(400)
            return
        first, last = int(found[1]), int(found[2])
        size = sum(file.stat().st_size for file in files)
        last = min(last, size - 1)
        self._answer(206, length=last + 1 - first, content_range=f"bytes {first}-{last}/{size}")
        begin = 0
        for file in files:
            length = file.stat().st_size
            start, end = max(first - begin, 0), min(last + 1 - begin, length)
            if start < end:
                with file.open("rb") as opened:
                    self.connection.sendfile(opened, start, end - start)
            begin += length

    def do_POST(self) -> None:
        """Begin an upload, or make an object of its parts."""
        request = self._request()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        folder = _parts_of(request.path)
        if request.upload:
            folder.rename(request.path)
            self._answer_with(_COMPLETE)
        else:
            folder.mkdir(parents=True)
            self._answer_with(_UPLOAD.format(folder.name))

    def do_PUT(self) -> None:
        """Store a part."""
        request = self._request()
        left = int(self.headers["Content-Length"])
        with (_parts_of(request.path) / f"{int(request.part or 0):05d}").open("wb") as file:
            while left:
                piece = self.rfile.read(min(_PIECE, left))
                file.write(piece)
                left -= len(piece)
        self._answer(200, length=0)

    def do_DELETE(self) -> None:
        """Forget an upload."""
        shutil.rmtree(_parts_of(self._request().path))
        self._answer(204, length=0)

    def log_message(self, *_: object) -> None:
        """Say nothing of a request."""

    def _request(self) -> _Request:
        address = urlsplit(self.path)
        query = parse_qs(address.query)
        return _Request(
            self.server.directory / address.path.lstrip("/"),
            query.get("uploadId", [None])[0],
            query.get("partNumber", [None])[0],
        )

    def _answer_with(self, text: str) -> None:
        self._answer(200, length=len(text))
        self.wfile.write(text.encode())

    def _answer(self, status: int, *, length: int, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        self.wfile.flush()


class ObjectServer(ThreadingHTTPServer):
    """Serves the files of a directory, of which each folder is a bucket."""

    daemon_threads = True

    def __init__(self, directory: Path, port: int) -> None:
        """Listen on loopback."""
        self.directory = directory
        super().__init__((LOOPBACK, port), _Handler)


if __name__ == "__main__":
    ObjectServer(Path(sys.argv[1]), int(sys.argv[2])).serve_forever()
