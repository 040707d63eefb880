"""The bucket: presigned links, what a recording's folder holds, and its removal."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from http import HTTPStatus
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from recorder.aws.calls import host, presigned_get
from recorder.aws.media import CHUNK, seconds_of
from recorder.domain.outputs import media_among
from recorder.domain.recording import Recording, StoredFile, as_file_name
from recorder.errors import AwsError, StorageUnavailableError
from recorder.outbound import get
from recorder.usecases.ports import Media

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ObjectIdentifierTypeDef

    from recorder.settings import AwsSettings

_PAGE: Final = 1000
_READ_SECONDS: Final = 3


class S3Storage:
    """The objects of recordings in one bucket, as `usecases.ports.Storage`."""

    def __init__(self, bucket: str, settings: AwsSettings, connect: Callable[[], S3Client]) -> None:
        """Take `connect`, which is called when S3 is first needed for more than a link."""
        self._bucket = bucket
        self._settings = settings
        self._connect = connect
        self._client: S3Client | None = None

    def download_url(
        self, key: str, *, file_name: str, mime_type: str | None, seconds: int
    ) -> tuple[str, int]:
        parameters = {"response-content-disposition": content_disposition(file_name)}
        if mime_type:
            parameters["response-content-type"] = mime_type
        try:
            return presigned_get(self._settings, self._url(key), parameters, seconds)
        except AwsError as error:
            raise StorageUnavailableError("the storage is not available") from error

    def inspect(self, key: str) -> Media | None:
        head = self._read(key, f"bytes=0-{CHUNK - 1}")
        if not head:
            return None

        def read(start: int) -> bytes:
            return self._read(key, f"bytes={start}-{start + CHUNK - 1}" if start >= 0 else f"bytes={start}")

        return Media(seconds_of(head, key.rpartition(".")[2].lower(), read))

    def find(self, recording: Recording) -> StoredFile | None:
        places = recording.folders if recording.outside_key is None else (recording.outside_key,)
        file = media_among((each for place in places for each in self._list(place)), recording)
        if file is None:
            return None
        media = self.inspect(file.key)
        return None if media is None else replace(file, duration=media.duration)

    def delete(self, recording: Recording) -> None:
        keys = [file.key for folder in recording.folders for file in self._list(folder)]
        if recording.outside_key is not None:
            keys.append(recording.outside_key)
        for start in range(0, len(keys), _PAGE):
            objects: list[ObjectIdentifierTypeDef] = [{"Key": key} for key in keys[start : start + _PAGE]]
            self._delete(objects)

    def _read(self, key: str, wanted: str) -> bytes:
        """Return this range of an object; b"" where there is none, or no such object."""
        try:
            url, _ = presigned_get(self._settings, self._url(key), {}, _READ_SECONDS)
            status, data = get(url, {"Range": wanted}, seconds=_READ_SECONDS)
        except (AwsError, OSError) as error:
            raise StorageUnavailableError("the storage is not available") from error
        if status == HTTPStatus.PARTIAL_CONTENT:
            return data
        if status in {HTTPStatus.NOT_FOUND, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE}:
            return b""
        raise StorageUnavailableError(f"the storage answered {status}")

    def _delete(self, objects: list[ObjectIdentifierTypeDef]) -> None:
        with _errors():
            answer = self._s3().delete_objects(
                Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True}
            )
        if answer.get("Errors"):
            raise StorageUnavailableError("an object could not be removed")

    def _list(self, prefix: str) -> list[StoredFile]:
        with _errors():
            pages = self._s3().get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
            return [
                StoredFile(key=each["Key"], size=each["Size"], modified_at=each["LastModified"])
                for page in pages
                for each in page.get("Contents", [])
            ]

    def _s3(self) -> S3Client:
        if self._client is None:
            self._client = self._connect()
        return self._client

    def _url(self, key: str) -> str:
        path = quote(key, safe="/-_.~")
        if self._settings.s3_endpoint_url:
            return f"{self._settings.s3_endpoint_url}/{self._bucket}/{path}"
        return f"https://{self._bucket}.{host('s3', self._settings.region)}/{path}"


@contextmanager
def _errors() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only where a client is used

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise StorageUnavailableError("the storage is not available") from error


def content_disposition(file_name: str) -> str:
    """Return the header that saves a download under `file_name` (RFC 6266, RFC 5987)."""
    safe = as_file_name(file_name)
    plain = "".join(character if character.isascii() and character != '"' else "_" for character in safe)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}"
