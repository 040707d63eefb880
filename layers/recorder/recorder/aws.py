"""Signed requests to AWS by botocore's signers, without its clients: those cost a cold start 300 ms."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from botocore.auth import S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botocore.credentials import Credentials

    from .settings import AwsSettings

_SECONDS: Final = 5.0
_IAM_TOKEN_SECONDS: Final = 900


class AwsError(Exception):
    """An AWS API refused or did not answer; the text holds its error type, never a secret."""


@dataclass(frozen=True, slots=True)
class _Keys:
    access_key: str
    secret_key: str
    token: str | None


def _keys(settings: AwsSettings) -> Credentials:
    return cast(
        "Credentials", _Keys(settings.access_key, settings.secret_key, settings.session_token or None)
    )


def secret(settings: AwsSettings, arn: str) -> Mapping[str, str]:
    """Return the JSON object that a secret of Secrets Manager holds. Raises AwsError."""
    endpoint = settings.endpoint_url or f"https://secretsmanager.{settings.region}.amazonaws.com"
    request = AWSRequest(
        method="POST",
        url=f"{endpoint}/",
        data=json.dumps({"SecretId": arn}),
        headers={
            "Content-Type": "application/x-amz-json-1.1",
            "X-Amz-Target": "secretsmanager.GetSecretValue",
        },
    )
    SigV4Auth(_keys(settings), "secretsmanager", settings.region).add_auth(request)
    status, body = _send(endpoint, request)
    answer: dict[str, str] = json.loads(body or b"{}")
    if status != http.HTTPStatus.OK:
        raise AwsError(f"GetSecretValue: {answer.get('__type', status)}")
    value: dict[str, str] = json.loads(answer["SecretString"])
    return value


def _send(endpoint: str, request: AWSRequest) -> tuple[int, bytes]:
    address = urlsplit(endpoint)
    secure = address.scheme == "https"
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(address.hostname or "", address.port, timeout=_SECONDS)
    try:
        connection.request("POST", "/", body=cast("str", request.data), headers=dict(request.headers.items()))
        response = connection.getresponse()
        return response.status, response.read()
    except OSError as error:
        raise AwsError(type(error).__name__) from error
    finally:
        connection.close()


def presigned_get(settings: AwsSettings, url: str, parameters: Mapping[str, str], seconds: int) -> str:
    """Return `url` of an S3 object with a SigV4 signature that is good for so many seconds."""
    request = AWSRequest(method="GET", url=url, params=dict(parameters))
    S3SigV4QueryAuth(_keys(settings), "s3", settings.region, expires=seconds).add_auth(request)
    return str(request.url)


def database_token(settings: AwsSettings, host: str, port: int, user: str) -> str:
    """Return a password for Postgres with IAM authentication; a connection may be opened with it for 15 minutes."""
    request = AWSRequest(
        method="GET", url=f"https://{host}:{port}/", params={"Action": "connect", "DBUser": user}
    )
    SigV4QueryAuth(_keys(settings), "rds-db", settings.region, expires=_IAM_TOKEN_SECONDS).add_auth(request)
    return str(request.url).removeprefix("https://")
