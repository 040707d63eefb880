"""Signed requests to AWS without its clients: those cost a cold start 300 ms."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from recorder.aws.sigv4 import EMPTY_PAYLOAD, UNSIGNED_PAYLOAD, signed_headers, signed_url
from recorder.errors import AwsError
from recorder.outbound import get, post

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from recorder.settings import AwsSettings

_SECONDS: Final = 5.0
_IAM_TOKEN_SECONDS: Final = 900
_LEAST: Final = timedelta(minutes=5)
"""For how long keys must be good at least."""


def host(service: str, region: str) -> str:
    """Return the host name of a service in a region: China's are in a domain of their own."""
    return f"{service}.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def secret(settings: AwsSettings, arn: str) -> Mapping[str, str]:
    """Return the JSON object that a secret of Secrets Manager holds. Raises AwsError."""
    url = f"{settings.endpoint_url or f'https://{host("secretsmanager", settings.region)}'}/"
    body = json.dumps({"SecretId": arn}).encode()
    headers = {
        "Content-Type": "application/x-amz-json-1.1",
        "X-Amz-Target": "secretsmanager.GetSecretValue",
    }
    now = datetime.now(UTC)
    signed = signed_headers(_with_keys(settings, now), "secretsmanager", url, headers, body, now=now)
    answer = _answer("GetSecretValue", lambda: post(url, body, signed, seconds=_SECONDS))
    value: dict[str, str] = json.loads(answer["SecretString"])
    return value


def presigned_get(
    settings: AwsSettings, url: str, parameters: Mapping[str, str], seconds: int
) -> tuple[str, int]:
    """Return `url` of an S3 object with a SigV4 signature, and for how many seconds that is good.

    These are those given, or fewer: a signature ends with the keys that made it. Raises AwsError.
    """
    now = datetime.now(UTC)
    keys, left = _keys(settings, now, timedelta(seconds=seconds))
    seconds = min(seconds, int(left.total_seconds()))
    signed = signed_url(keys, "s3", url, parameters, payload=UNSIGNED_PAYLOAD, seconds=seconds, now=now)
    return signed, seconds


def database_token(settings: AwsSettings, host: str, port: int, user: str) -> str:
    """Return a password for Postgres with IAM authentication; a connection may be opened with it for 15 minutes.

    Raises AwsError.
    """
    url, parameters = f"https://{host}:{port}/", {"Action": "connect", "DBUser": user}
    now = datetime.now(UTC)
    signed = signed_url(
        _with_keys(settings, now),
        "rds-db",
        url,
        parameters,
        payload=EMPTY_PAYLOAD,
        seconds=_IAM_TOKEN_SECONDS,
        now=now,
    )
    return signed.removeprefix("https://")


_restored: dict[str, tuple[datetime, AwsSettings]] = {}


def _with_keys(settings: AwsSettings, now: datetime) -> AwsSettings:
    return _keys(settings, now, _LEAST)[0]


def _keys(settings: AwsSettings, now: datetime, wanted: timedelta) -> tuple[AwsSettings, timedelta]:
    """Return the settings with the role's keys, and for how long these are good.

    An environment restored by SnapStart has to ask for them, and asks again where they are not good for as long as
    they are wanted. Whether the answer is newer keys is Lambda's to say.
    """
    if settings.access_key:
        return settings, wanted
    until, known = _restored.get(settings.credentials_url, (now, settings))
    if until - now < max(wanted, _LEAST):
        headers = {"Authorization": settings.credentials_token}
        answer = _answer("credentials", lambda: get(settings.credentials_url, headers, seconds=_SECONDS))
        until = datetime.fromisoformat(answer["Expiration"])
        known = replace(
            settings,
            access_key=answer["AccessKeyId"],
            secret_key=answer["SecretAccessKey"],
            session_token=answer["Token"],
        )
        _restored[settings.credentials_url] = until, known
    return known, until - now


def _answer(what: str, call: Callable[[], tuple[int, bytes]]) -> dict[str, str]:
    try:
        status, text = call()
    except OSError as error:
        raise AwsError(type(error).__name__) from error
    answer: dict[str, str] = json.loads(text or b"{}")
    if status != HTTPStatus.OK:
        raise AwsError(f"{what}: {answer.get('__type', status)}")
    return answer
