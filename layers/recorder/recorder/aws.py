"""Signed requests to AWS without its clients: those cost a cold start 300 ms."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from .https import post
from .sigv4 import EMPTY_PAYLOAD, UNSIGNED_PAYLOAD, signed_headers, signed_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .settings import AwsSettings

_SECONDS: Final = 5.0
_IAM_TOKEN_SECONDS: Final = 900


class AwsError(OSError):
    """An AWS API refused or did not answer; the text holds its error type, never a secret."""


def secret(settings: AwsSettings, arn: str) -> Mapping[str, str]:
    """Return the JSON object that a secret of Secrets Manager holds. Raises AwsError."""
    url = f"{settings.endpoint_url or f'https://secretsmanager.{settings.region}.amazonaws.com'}/"
    body = json.dumps({"SecretId": arn}).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "secretsmanager.GetSecretValue",
    }
    signed = signed_headers(settings, "secretsmanager", url, headers, body, now=datetime.now(UTC))
    try:
        status, text = post(url, body, signed, seconds=_SECONDS)
    except OSError as error:
        raise AwsError(type(error).__name__) from error
    answer: dict[str, str] = json.loads(text or b"{}")
    if status != HTTPStatus.OK:
        raise AwsError(f"GetSecretValue: {answer.get('__type', status)}")
    value: dict[str, str] = json.loads(answer["SecretString"])
    return value


def presigned_get(settings: AwsSettings, url: str, parameters: Mapping[str, str], seconds: int) -> str:
    """Return `url` of an S3 object with a SigV4 signature that is good for so many seconds."""
    now = datetime.now(UTC)
    return signed_url(settings, "s3", url, parameters, payload=UNSIGNED_PAYLOAD, seconds=seconds, now=now)


def database_token(settings: AwsSettings, host: str, port: int, user: str) -> str:
    """Return a password for Postgres with IAM authentication; a connection may be opened with it for 15 minutes."""
    url, parameters = f"https://{host}:{port}/", {"Action": "connect", "DBUser": user}
    now = datetime.now(UTC)
    signed = signed_url(
        settings, "rds-db", url, parameters, payload=EMPTY_PAYLOAD, seconds=_IAM_TOKEN_SECONDS, now=now
    )
    return signed.removeprefix("https://")
