"""The objects and the uploads of one bucket, as joining wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef


class Bucket:
    """One bucket. Errors are the client's; it should keep as many connections as joining has reads and uploads."""

    def __init__(self, client: S3Client, name: str) -> None:
        """Take a client that may be used by several threads, as boto3's may."""
        self._client = client
        self._name = name

    def read(self, key: str, start: int, length: int) -> bytes:
        """Return `length` bytes of an object from `start` on, or fewer where it ends before."""
        wanted = f"bytes={start}-{start + length - 1}"
        return self._client.get_object(Bucket=self._name, Key=key, Range=wanted)["Body"].read()

    def upload(self, key: str, content_type: str) -> BucketUpload:
        """Return an upload of one object, which begins with its `create`."""
        return BucketUpload(self._client, self._name, key, content_type)

    def abort_uploads(self, key: str) -> None:
        """Forget all uploads of an object that were begun and not ended: those of runs that were killed."""
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=self._name, Prefix=key)
        for each in [each for page in pages for each in page.get("Uploads", [])]:
            if each["Key"] == key:
                self._client.abort_multipart_upload(Bucket=self._name, Key=key, UploadId=each["UploadId"])


class BucketUpload:
    """One multipart upload."""

    def __init__(self, client: S3Client, bucket: str, key: str, content_type: str) -> None:
        self._client = client
        self._bucket = bucket
        self._key = key
        self._content_type = content_type
        self._id = ""
        self._tags: dict[int, str] = {}

    def create(self) -> None:
        """Begin."""
        answer = self._client.create_multipart_upload(
            Bucket=self._bucket, Key=self._key, ContentType=self._content_type
        )
        self._id = answer["UploadId"]

    def upload_part(self, number: int, content: bytes) -> None:
        """Store one part."""
        answer = self._client.upload_part(
            Bucket=self._bucket, Key=self._key, UploadId=self._id, PartNumber=number, Body=content
        )
        self._tags[number] = answer["ETag"]

    def complete(self) -> None:
        """Make one object of the parts."""
        parts: list[CompletedPartTypeDef] = [
            {"PartNumber": number, "ETag": tag} for number, tag in sorted(self._tags.items())
        ]
        self._client.complete_multipart_upload(
            Bucket=self._bucket, Key=self._key, UploadId=self._id, MultipartUpload={"Parts": parts}
        )

    def abort(self) -> None:
        """Forget the parts."""
        self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._key, UploadId=self._id)
