"""Signed requests to AWS without its clients: those cost a cold start 300 ms."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import quote

from recorder.aws.sigv4 import (
    EMPTY_PAYLOAD,
    UNSIGNED_PAYLOAD,
    signed_headers,
    signed_url,
    signed_urls,
)
from recorder.errors import AwsError, SecretIncompleteError
from recorder.outbound import get, post
from recorder.untrusted import json_value

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from recorder.outbound import Answer, Client
    from recorder.settings import AwsSettings

_SECONDS: Final = 5.0
"""How long one call may take, with all that belongs to it."""
_IAM_TOKEN_SECONDS: Final = 900
_LEAST: Final = timedelta(minutes=5)
"""For how long keys must be good at least."""
_JSON: Final = "application/x-amz-json-1.1"
_DOMAINS: Final = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
)
"""AWS's partitions have domains of their own; how the names of their regions begin tells which."""


def host(service: str, region: str) -> str:
    """Return the host name of a service in a region."""
    domain = next((domain for start, domain in _DOMAINS if region.startswith(start)), "amazonaws.com")
    return f"{service}.{region}.{domain}"


def secret(settings: AwsSettings, arn: str, *fields: str) -> Mapping[str, str]:
    """Return these fields of the JSON object that a secret of Secrets Manager holds, without line breaks at the ends.

    The secret may be in another region than the function. Raises SecretIncompleteError where a field is missing, and
    AwsError where the secret cannot be read.
    """
    region = arn.split(":")[3] if arn.startswith("arn:") and arn.count(":") > 3 else settings.region  # noqa: PLR2004
    there = settings._replace(region=region or settings.region)
    endpoint = settings.secrets_endpoint_url
    answer = _json_answer(
        there, "secretsmanager", endpoint, "secretsmanager.GetSecretValue", {"SecretId": arn}
    )
    try:
        value = json_value(str(answer.get("SecretString", "")))
    except ValueError:
        value = None
    held = cast("dict[str, object]", value) if isinstance(value, dict) else {}
    found = {name: text.strip("\r\n") for name in fields if isinstance(text := held.get(name), str)}
    if missing := [name for name in fields if not found.get(name)]:
        raise SecretIncompleteError(", ".join(missing))
    return found


def put_events(settings: AwsSettings, entries: Sequence[Mapping[str, str]]) -> Sequence[str]:
    """Send at most ten events to EventBridge; returns for each the error with which it was refused, or "".

    Raises AwsError where none was taken, or that is not known.
    """
    answer = _json_answer(
        settings, "events", settings.events_endpoint_url, "AWSEvents.PutEvents", {"Entries": entries}
    )
    results = answer.get("Entries")
    if not isinstance(results, list) or len(results) != len(entries):
        raise AwsError("PutEvents: the answer does not tell of each event", "MalformedAnswer")
    return [str(each.get("ErrorCode") or "") for each in cast("list[dict[str, object]]", results)]


def invoke(settings: AwsSettings, function: str, event: Mapping[str, str]) -> None:
    """Have Lambda invoke a function with this event, later and without an answer. Raises AwsError."""
    base = settings.lambda_endpoint_url or f"https://{host('lambda', settings.region)}"
    url = f"{base}/2015-03-31/functions/{quote(function, safe='')}/invocations"
    body = json.dumps(event).encode()
    now = datetime.now(UTC)
    headers = {"Content-Type": "application/json", "X-Amz-Invocation-Type": "Event"}
    signed = signed_headers(_with_keys(settings, now), "lambda", url, headers, body, now=now)
    status, _ = _answer(lambda: post(url, body, signed, seconds=_SECONDS))
    if status != HTTPStatus.ACCEPTED:
        raise AwsError(f"Invoke: HTTP {status}", f"HTTP {status}")


def s3(
    client: Client,
    settings: AwsSettings,
    method: str,
    url: str,
    *,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Send a signed request to S3, whose path and query are quoted already, and return its answer. Raises AwsError."""
    now = datetime.now(UTC)
    sent = {"X-Amz-Content-Sha256": sha256(body).hexdigest(), **(headers or {})}
    signed = signed_headers(_with_keys(settings, now), "s3", url, sent, body, now=now, method=method)
    return _answer(lambda: client.request(method, url, body, signed, seconds=_SECONDS))


def presigned_get(
    settings: AwsSettings, url: str, parameters: Mapping[str, str], seconds: int
) -> tuple[str, int]:
    """Return `url` of an S3 object with a SigV4 signature, and for how many seconds that is good at most.

    These are those given, or fewer where the keys that sign are known to end sooner: with them the signature ends.
    Raises AwsError.
    """
    now = datetime.now(UTC)
    keys, left = _keys(settings, now, timedelta(seconds=seconds))
    seconds = min(seconds, int(left.total_seconds()))
    signed = signed_url(keys, "s3", url, parameters, payload=UNSIGNED_PAYLOAD, seconds=seconds, now=now)
    return signed, seconds


def presigned_gets(settings: AwsSettings, urls: Sequence[str], seconds: int) -> list[str]:
    """Return the URLs of S3 objects of one bucket with signatures, which all calls within a while make alike.

    They are signed as of a time that is rounded down to a quarter of `seconds`. Raises AwsError.
    """
    now = datetime.now(UTC)
    keys, left = _keys(settings, now, timedelta(seconds=seconds))
    signed_at = datetime.fromtimestamp(now.timestamp() // (seconds / 4) * (seconds / 4), UTC)
    # The end of keys that are known to end sooner does not move with the time of the call.
    seconds = min(seconds, int((now + left - signed_at).total_seconds()))
    return signed_urls(keys, "s3", urls, {}, payload=UNSIGNED_PAYLOAD, seconds=seconds, now=signed_at)


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
        answer = _object(_answer(lambda: get(settings.credentials_url, headers, seconds=_SECONDS)), "keys")
        try:
            until = datetime.fromisoformat(str(answer["Expiration"]))
            known = settings._replace(
                access_key=str(answer["AccessKeyId"]),
                secret_key=str(answer["SecretAccessKey"]),
                session_token=str(answer["Token"]),
            )
        except (KeyError, ValueError) as error:
            raise AwsError("keys: the answer holds none", "MalformedAnswer") from error
        _restored[settings.credentials_url] = until, known
    return known._replace(region=settings.region), until - now


def _json_answer(
    settings: AwsSettings, service: str, endpoint: str, target: str, sent: Mapping[str, object]
) -> Mapping[str, object]:
    url = f"{endpoint or f'https://{host(service, settings.region)}'}/"
    body, headers = json.dumps(sent).encode(), {"Content-Type": _JSON, "X-Amz-Target": target}
    now = datetime.now(UTC)
    signed = signed_headers(_with_keys(settings, now), service, url, headers, body, now=now)
    answer = _answer(lambda: post(url, body, signed, seconds=_SECONDS))
    return _object(answer, target.rpartition(".")[2])


def _answer(call: Callable[[], Answer]) -> Answer:
    try:
        return call()
    except OSError as error:
        raise AwsError(type(error).__name__) from error


def _object(answer: Answer, what: str) -> Mapping[str, object]:
    """Return the JSON object of an answer. Raises AwsError where it is an error, or none."""
    status, text = answer
    try:
        value = json_value(text or b"{}")
    except ValueError:
        value = None
    said = cast("dict[str, object]", value) if isinstance(value, dict) else None
    if status != HTTPStatus.OK:
        # "com.amazonaws...#AccessDeniedException" and "AccessDeniedException:http://..." are the same error.
        named = str((said or {}).get("__type", "")).rpartition("#")[2].partition(":")[0]
        raise AwsError(f"{what}: {named or status}", named or f"HTTP {status}")
    if said is None:
        raise AwsError(f"{what}: the answer is no JSON object", "MalformedAnswer")
    return said
