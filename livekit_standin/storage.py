"""Stores what an egress recorded in S3, and fails as the real worker does."""

from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from livekit.protocol import egress

from livekit_standin.uploads import Upload

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_RETRIED = {409, 429}


class UploadError(Exception):
    """The upload failed; its text is the real worker's. `again` says whether the worker tries again."""

    def __init__(self, text: str, *, again: bool) -> None:
        super().__init__(text)
        self.again = again


def put(upload: Upload, s3: egress.S3Upload, file: Path) -> int:
    """Try once to store a file, and give its size; raises UploadError."""
    try:
        with file.open("rb") as body:
            _client(s3).put_object(
                Bucket=s3.bucket,
                Key=upload.key,
                Body=body,
                ContentType=upload.object.content_type,
                ContentDisposition=s3.content_disposition or "inline",
                Metadata=dict(s3.metadata),
                Tagging=s3.tagging,
            )
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        raise UploadError(_refusal(error), again=status >= 500 or status in _RETRIED) from error
    except BotoCoreError as error:
        raise UploadError(_breakdown(error, upload, s3), again=True) from error
    return file.stat().st_size


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
            retries={"total_max_attempts": 1},
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


def _breakdown(error: BotoCoreError, upload: Upload, s3: egress.S3Upload) -> str:
    attempts = upload.attempts
    return (
        f"S3 upload failed: err: operation error S3: PutObject, exceeded maximum number of attempts, {attempts}, "
        "https response error StatusCode: 0, RequestID: , HostID: , request send failed, "
        f'Put "{s3.endpoint}/{s3.bucket}/{upload.key}?x-id=PutObject": {error}, status code: 0'
    )
