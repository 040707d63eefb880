"""Stores what an egress recorded in S3, and fails as the real worker does."""

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from livekit.protocol import egress

from livekit_standin.workers import Upload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_ATTEMPTS = 5


class UploadError(Exception):
    """The upload failed; its text is the real worker's."""


def put_file(upload: Upload, s3: egress.S3Upload, file: Path) -> None:
    """Store the recording; raises UploadError."""
    with file.open("rb") as body:
        _put(s3, upload.key, body, upload.content_type)


def put_manifest(upload: Upload, s3: egress.S3Upload, key: str, ended_at: int) -> None:
    """Store the manifest beside the recording; raises UploadError."""
    _put(s3, key, upload.manifest(ended_at), "application/json")


def _put(s3: egress.S3Upload, key: str, body: bytes | BinaryIO, content_type: str) -> None:
    try:
        _client(s3).put_object(
            Bucket=s3.bucket,
            Key=key,
            Body=body,
            ContentType=content_type,
            ContentDisposition=s3.content_disposition or "inline",
            Metadata=dict(s3.metadata),
            Tagging=s3.tagging,
        )
    except ClientError as error:
        raise UploadError(_refusal(error)) from error
    except BotoCoreError as error:
        raise UploadError(_breakdown(error, s3, key)) from error


def _client(s3: egress.S3Upload) -> "S3Client":
    session = boto3.Session(
        aws_access_key_id=s3.access_key or None,
        aws_secret_access_key=s3.secret or None,
        aws_session_token=s3.session_token or None,
        region_name=s3.region or "us-east-1",
    )
    if s3.assume_role_arn:
        session = _assumed(session, s3)
    return session.client(
        "s3",
        endpoint_url=s3.endpoint or None,
        config=Config(
            signature_version="s3v4",
            retries={"mode": "standard", "total_max_attempts": _ATTEMPTS},
            request_checksum_calculation="when_required",
            s3={"addressing_style": "path" if s3.force_path_style else "virtual"},
        ),
    )


def _assumed(session: boto3.Session, s3: egress.S3Upload) -> boto3.Session:
    sts = session.client("sts", endpoint_url=s3.endpoint or None)
    name = "livekit-egress"
    answer = (
        sts.assume_role(
            RoleArn=s3.assume_role_arn, RoleSessionName=name, ExternalId=s3.assume_role_external_id
        )
        if s3.assume_role_external_id
        else sts.assume_role(RoleArn=s3.assume_role_arn, RoleSessionName=name)
    )
    credentials = answer["Credentials"]
    return boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=session.region_name,
    )


def _refusal(error: ClientError) -> str:
    answer, details = error.response["ResponseMetadata"], error.response["Error"]
    status = answer["HTTPStatusCode"]
    return (
        f"S3 upload failed: err: operation error S3: PutObject, https response error StatusCode: {status}, "
        f"RequestID: {answer.get('RequestId', '')}, HostID: {answer.get('HostId', '')}, "
        f"api error {details['Code']}: {details['Message']}, status code: {status}"
    )


def _breakdown(error: BotoCoreError, s3: egress.S3Upload, key: str) -> str:
    return (
        f"S3 upload failed: err: operation error S3: PutObject, exceeded maximum number of attempts, {_ATTEMPTS}, "
        "https response error StatusCode: 0, RequestID: , HostID: , request send failed, "
        f'Put "{s3.endpoint}/{s3.bucket}/{key}?x-id=PutObject": {error}, status code: 0'
    )
