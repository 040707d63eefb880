"""The objects and the uploads of one bucket, as joining wants them: read and written by several threads at once."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from contextlib import contextmanager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote
from xml.etree.ElementTree import ParseError, fromstring
from xml.sax.saxutils import escape

from recorder.aws.calls import host
from recorder.aws.sigv4 import UNSIGNED_PAYLOAD, query_of, signed_headers
from recorder.errors import AwsError
from recorder.outbound import Client

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from xml.etree.ElementTree import Element

    from recorder.outbound import Answer
    from recorder.settings import AwsSettings

_PIECE: Final = 8 * 2**20
"""Bytes of one answer: a client takes twice as many."""
_SECONDS: Final = 60.0
"""For one call. S3 may take its time to make an object of thousands of parts."""
_PAYLOAD: Final = "X-Amz-Content-Sha256"
_TRIES: Final = 5
_PAUSE: Final = 0.1
"""Seconds before the second try, and twice as many before each further one."""
_MOST_PAGES: Final = 100
_ERROR_WITHIN: Final = 200
"""Bytes within which an answer says that it is an error."""


class Bucket:
    """One bucket. Its methods raise AwsError, once a call was refused or has failed several times."""

    def __init__(self, name: str, settings: AwsSettings) -> None:
        """Take keys that stay good while this is used. Each thread that calls gets a connection."""
        endpoint = settings.s3_endpoint_url
        self._url = f"{endpoint}/{name}" if endpoint else f"https://{name}.{host('s3', settings.region)}"
        self._settings = settings
        self._idle: deque[Client] = deque()

    def close(self) -> None:
        """Close the connections; a call opens a new one."""
        while self._idle:
            self._idle.pop().close()

    def read(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes of an object from `start` on, or fewer where it ends before."""
        end = start + length
        pieces = [
            self.call("GET", key, headers={"Range": f"bytes={first}-{min(first + _PIECE, end) - 1}"})
            for first in range(start, end, _PIECE)
        ]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def upload(self, key: str, content_type: str) -> BucketUpload:
        """Return an upload of one object, which begins with its `create`."""
        return BucketUpload(self, key, content_type)

    def abort_uploads(self, folder: str) -> None:
        """Forget all uploads that were begun in a folder itself and not ended, as those of runs that were killed.

        Those in folders below it are of somebody else.
        """
        query = {"prefix": folder, "uploads": ""}
        for _ in range(_MOST_PAGES):
            page = _xml(self.call("GET", "", query))
            for each in page.iterfind("{*}Upload"):
                key = each.findtext("{*}Key", "")
                if "/" not in key.removeprefix(folder):
                    self.call("DELETE", key, {"uploadId": each.findtext("{*}UploadId", "")})
            if page.findtext("{*}IsTruncated") != "true":
                return
            query["key-marker"] = page.findtext("{*}NextKeyMarker", "")
            query["upload-id-marker"] = page.findtext("{*}NextUploadIdMarker", "")
        raise AwsError("ListMultipartUploads: there is no end of them", "TooManyUploads")

    def call(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] | None = None,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Return the body of S3's answer. A call that failed is repeated, so it may have been made twice."""
        url = f"{self._url}/{quote(key, safe='/-_.~')}{f'?{query_of(query)}' if query else ''}"
        sent = dict(headers or {})
        if _PAYLOAD not in sent:
            sent[_PAYLOAD] = hashlib.sha256(body).hexdigest()
        pause = _PAUSE
        for _ in range(_TRIES - 1):
            try:
                return _content(method, self._send(method, url, body, sent))
            except _PassingError:
                time.sleep(pause)
                pause *= 2
        return _content(method, self._send(method, url, body, sent))

    def _send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        now = datetime.now(UTC)
        signed = signed_headers(self._settings, "s3", url, headers, body, now=now, method=method)
        with self._client() as client:
            try:
                return client.request(method, url, body, signed, seconds=_SECONDS)
            except OSError as error:
                raise _PassingError(f"{method}: {type(error).__name__}") from error

    @contextmanager
    def _client(self) -> Iterator[Client]:
        try:
            client = self._idle.pop()
        except IndexError:
            client = Client()
        try:
            yield client
        finally:
            self._idle.append(client)


class BucketUpload:
    """One multipart upload."""

    def __init__(self, bucket: Bucket, key: str, content_type: str) -> None:
        self._bucket = bucket
        self._key = key
        self._content_type = content_type
        self._query: dict[str, str] = {}

    def create(self) -> None:
        """Begin."""
        headers = {"Content-Type": self._content_type}
        answer = _xml(self._bucket.call("POST", self._key, {"uploads": ""}, headers=headers))
        self._query = {"uploadId": answer.findtext("{*}UploadId", "")}

    def upload_part(self, number: int, content: bytes) -> None:
        """Store one part."""
        # TLS protects it on its way; to digest it would take an eighth of a run's processor time.
        query = {"partNumber": str(number), **self._query}
        self._bucket.call("PUT", self._key, query, content, {_PAYLOAD: UNSIGNED_PAYLOAD})

    def complete(self) -> None:
        """Make one object of the parts."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{tag}</ETag></Part>"
            for number, tag in self._parts()
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        self._bucket.call("POST", self._key, self._query, body)

    def abort(self) -> None:
        """Forget the parts."""
        self._bucket.call("DELETE", self._key, self._query)

    def _parts(self) -> Iterator[tuple[str, str]]:
        """Give the number and the tag of each part, as S3 has them: the tags stand in headers that no answer keeps."""
        query = dict(self._query)
        for _ in range(_MOST_PAGES):
            page = _xml(self._bucket.call("GET", self._key, query))
            for each in page.iterfind("{*}Part"):
                yield each.findtext("{*}PartNumber", ""), escape(each.findtext("{*}ETag", ""))
            if page.findtext("{*}IsTruncated") != "true":
                return
            query["part-number-marker"] = page.findtext("{*}NextPartNumberMarker", "")
        raise AwsError("ListParts: there is no end of them", "TooManyParts")


class _PassingError(AwsError):
    """S3 did not answer, or says that it may answer another time."""


def _content(method: str, answer: Answer) -> bytes:
    status, body = answer
    # An upload of many parts may fail after S3 has begun to answer.
    failed = status >= HTTPStatus.MULTIPLE_CHOICES or (
        method == "POST" and b"<Error>" in body[:_ERROR_WITHIN]
    )
    if not failed:
        return body
    try:
        code = fromstring(body).findtext("{*}Code")  # noqa: S314 - as in `_xml`
    except ParseError:
        code = None
    name = code or f"HTTP {status}"
    passing = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.OK
    raise (_PassingError if passing else AwsError)(f"{method}: {name}", name)


def _xml(text: bytes) -> Element:
    try:
        return fromstring(text)  # noqa: S314 - the bucket's own answer, and expat bounds what entities expand to
    except ParseError as error:
        raise AwsError("the answer is no XML", "MalformedAnswer") from error
