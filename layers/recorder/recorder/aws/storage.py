"""The bucket: presigned links, what a recording's folder holds, and its removal."""

from __future__ import annotations

import base64
import hashlib
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_plus

from recorder.aws.calls import host, presigned_get, presigned_gets, s3
from recorder.aws.media import CHUNK, seconds_of
from recorder.aws.sigv4 import query_of
from recorder.domain.outputs import media_among
from recorder.domain.playlist import ENDED, segments_in
from recorder.domain.recording import Recording, StoredFile, as_file_name
from recorder.errors import AwsError, StorageUnavailableError
from recorder.outbound import Client, all_within
from recorder.telemetry import Code, cause_of, log
from recorder.usecases.ports import Media

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from xml.etree.ElementTree import Element

    from recorder.outbound import Answer
    from recorder.settings import AwsSettings

_PAGE: Final = 1000
"""S3 lists and removes at most so many objects in a call."""
_INSPECT_SECONDS: Final = 3.0
"""How long the small ranges of an object may take together."""
_TRIES: Final = 2
_SECONDS: Final = 12.0
"""How long a recording's objects may be listed, or removed, with all the calls that this takes."""
_NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"
_ESCAPES: Final = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
PLAYLIST: Final = ".m3u8"
_ABSENT: Final = "NoSuchKey"


class S3Storage:
    """The objects of recordings in one bucket, as `usecases.ports.Storage`."""

    def __init__(self, bucket: str, settings: AwsSettings) -> None:
        self._bucket = bucket
        self._settings = settings
        self._client = Client()

    def close(self) -> None:
        """Close the connection to S3; the next call opens a new one."""
        self._client.close()

    def link(
        self, key: str, *, file_name: str | None, mime_type: str | None, seconds: int
    ) -> tuple[str, int]:
        disposition = "inline" if file_name is None else content_disposition(file_name)
        parameters = {"response-content-disposition": disposition}
        if mime_type:
            parameters["response-content-type"] = mime_type
        try:
            return presigned_get(self._settings, self._url(key), parameters, seconds)
        except AwsError as error:
            raise StorageUnavailableError("the storage is not available") from error

    def links(self, keys: Sequence[str], *, seconds: int) -> Sequence[str]:
        try:
            return presigned_gets(self._settings, [self._url(key) for key in keys], seconds)
        except AwsError as error:
            raise StorageUnavailableError("the storage is not available") from error

    def inspect(self, key: str) -> Media | None:
        with _errors():
            return self._media(key)

    def objects_of(self, recording: Recording) -> list[StoredFile]:
        return [each for folder in recording.folders for each in self._list(folder)]

    def remove(self, keys: Sequence[str]) -> None:
        with _errors():
            for start in range(0, len(keys), _PAGE):
                self._delete(keys[start : start + _PAGE])

    def read_text(self, key: str, *, last: int | None = None) -> str | None:
        headers = {"Range": f"bytes=-{last}"} if last is not None else {}
        with _errors():
            answer = self._call("GET", self._url(key), headers=headers)
        if answer[0] == HTTPStatus.NOT_FOUND:
            return None
        if answer[0] == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return ""
        if answer[0] not in {HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT}:
            raise StorageUnavailableError(f"the storage answered {answer[0]}")
        return answer[1].decode(errors="replace")

    def find(self, recording: Recording) -> StoredFile | None:
        places = recording.folders if recording.outside_key is None else (recording.outside_key,)
        with _errors():
            file = media_among((each for place in places for each in self._list(place)), recording)
            if file is None or self._grows(file.key, recording):
                return None
            try:
                media = self._media(file.key)
            except _ObjectRefusedError as error:
                # It is there, and that is what counts: trouble with one object is none with the bucket.
                log.warning(Code.FILE_NOT_INSPECTED, recording_id=recording.id, **cause_of(error))
                return file
            return None if media is None else file._replace(duration=media.duration)

    def delete(self, recording: Recording) -> None:
        with _errors():
            keys = [file.key for file in self.objects_of(recording)]
            if recording.outside_key is not None:
                keys.append(recording.outside_key)
            self.remove(keys)

    def _grows(self, key: str, recording: Recording) -> bool:
        # A playlist is there from the first segment on. That of a lost take never ends, and may be the recording.
        unended = key.endswith(PLAYLIST) and not recording.downloadable
        return unended and ENDED not in (self.read_text(key) or "")

    def _media(self, key: str) -> Media | None:
        if key.endswith(PLAYLIST):
            playlist = self.read_text(key)
            return Media(sum(each.seconds for each in segments_in(playlist)) or None) if playlist else None

        def read(start: int) -> bytes:
            return self._read(key, f"bytes={start}-{start + CHUNK - 1}" if start >= 0 else f"bytes={start}")

        with all_within(_INSPECT_SECONDS):
            head = read(0)
            return Media(seconds_of(head, key.rpartition(".")[2].lower(), read)) if head else None

    def _read(self, key: str, wanted: str) -> bytes:
        """Return this range of an object; b"" where there is none, or no such object."""
        answer = self._call("GET", self._url(key), headers={"Range": wanted})
        if answer[0] == HTTPStatus.PARTIAL_CONTENT:
            return answer[1]
        if answer[0] in {HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
            return b""
        error = _refusal("GetObject", answer)
        if answer[0] < HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _ObjectRefusedError(str(error), error.type)
        raise error

    def _delete(self, keys: Sequence[str]) -> None:
        objects = "".join(f"<Object><Key>{key.translate(_ESCAPES)}</Key></Object>" for key in keys)
        body = f'<Delete xmlns="{_NAMESPACE}"><Quiet>true</Quiet>{objects}</Delete>'.encode()
        # S3 has other checksums now; stores that are compatible with an older S3 demand this one.
        checksum = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        headers = {"Content-MD5": checksum, "Content-Type": "application/xml"}
        status, text = self._call("POST", f"{self._bucket_url}/?delete=", body, headers)
        result = _xml(text) if status == HTTPStatus.OK else None
        if result is None or not result.tag.endswith("DeleteResult"):
            # Some stores do not know this call. Where the store has another reason, the single calls tell it.
            for key in keys:
                self._delete_one(key)
            return
        for refused in result.iterfind("{*}Error"):
            code = refused.findtext("{*}Code", "")
            if code != _ABSENT:
                raise AwsError(f"DeleteObjects: {code}", code)

    def _delete_one(self, key: str) -> None:
        answer = self._call("DELETE", self._url(key))
        if answer[0] not in {HTTPStatus.OK, HTTPStatus.NO_CONTENT, HTTPStatus.NOT_FOUND}:
            raise _refusal("DeleteObject", answer)

    def _list(self, prefix: str) -> list[StoredFile]:
        """Return all objects below a prefix, in the order of their keys."""
        found: list[StoredFile] = []
        asked = {"encoding-type": "url", "list-type": "2", "max-keys": str(_PAGE), "prefix": prefix}
        with _errors():
            while True:
                answer = self._call("GET", f"{self._bucket_url}/?{query_of(asked)}")
                page = _xml(answer[1]) if answer[0] == HTTPStatus.OK else None
                if page is None or not page.tag.endswith("ListBucketResult"):
                    raise _refusal("ListObjectsV2", answer)
                encoded = page.findtext("{*}EncodingType") == "url"
                found += [_file(each, encoded=encoded) for each in page.iterfind("{*}Contents")]
                token = page.findtext("{*}NextContinuationToken")
                if page.findtext("{*}IsTruncated") != "true" or not token:
                    return found
                asked["continuation-token"] = token

    def _call(
        self, method: str, url: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Call S3, and once more where it says that it failed itself: each call here may be made twice."""
        for _ in range(_TRIES - 1):
            answer = s3(self._client, self._settings, method, url, body=body, headers=headers)
            if answer[0] < HTTPStatus.INTERNAL_SERVER_ERROR or answer[0] == HTTPStatus.NOT_IMPLEMENTED:
                return answer
        return s3(self._client, self._settings, method, url, body=body, headers=headers)

    def _url(self, key: str) -> str:
        return f"{self._bucket_url}/{quote(key, safe='/-_.~')}"

    @property
    def _bucket_url(self) -> str:
        # An endpoint of one's own is reached by path, as hardly one has a host name for each bucket.
        if self._settings.s3_endpoint_url:
            return f"{self._settings.s3_endpoint_url}/{self._bucket}"
        return f"https://{self._bucket}.{host('s3', self._settings.region)}"


class _ObjectRefusedError(AwsError):
    """S3 does not give out this one object: it may be archived, or encrypted with a key that is not ours."""


@contextmanager
def _errors() -> Iterator[None]:
    """Bound all calls inside together, and raise StorageUnavailableError where one fails."""
    try:
        with all_within(_SECONDS):
            yield
    except AwsError as error:
        raise StorageUnavailableError("the storage is not available") from error


def _xml(text: bytes) -> Element | None:
    from xml.etree.ElementTree import ParseError, fromstring  # noqa: PLC0415 - a link needs none

    try:
        return fromstring(text)  # noqa: S314 - the bucket's own answer, and expat bounds what entities expand to
    except ParseError:
        return None


def _file(entry: Element, *, encoded: bool) -> StoredFile:
    key = entry.findtext("{*}Key", "")
    return StoredFile(
        key=unquote_plus(key) if encoded else key,
        size=int(entry.findtext("{*}Size", "0")),
        modified_at=datetime.fromisoformat(entry.findtext("{*}LastModified", "")),
    )


def _refusal(what: str, answer: Answer) -> AwsError:
    error = _xml(answer[1])
    code = (error.findtext("Code") if error is not None else None) or f"HTTP {answer[0]}"
    return AwsError(f"{what}: {code}", code)


def content_disposition(file_name: str) -> str:
    """Return the header that saves a download under `file_name` (RFC 6266, RFC 5987)."""
    safe = as_file_name(file_name)
    plain = "".join(character if character.isascii() and character != '"' else "_" for character in safe)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"
