"""AWS Signature Version 4 with the standard library, for the few requests that a cold start may have to sign.

botocore's signers do the same and are what the tests hold this module to; importing them would take as long as
all of this package.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from recorder.settings import AwsSettings

ALGORITHM: Final = "AWS4-HMAC-SHA256"
EMPTY_PAYLOAD: Final = hashlib.sha256(b"").hexdigest()
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
_UNRESERVED: Final = "-_.~"
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}


def signed_headers(
    settings: AwsSettings,
    service: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    method: str = "POST",
) -> dict[str, str]:
    """Return the headers with which `body` is to be sent to `url`: those given, and the proof of who sends it.

    Where S3's X-Amz-Content-Sha256 is among them, it is what is signed of the body, which is not hashed again.
    Path and query of `url` are quoted already, and the query's parameters are in the order of their names.
    """
    sent = {**headers, "X-Amz-Date": _timestamp(now)}
    if settings.session_token:
        sent["X-Amz-Security-Token"] = settings.session_token
    signed = {name.lower(): value for name, value in sent.items()} | {"host": _host(url)}
    payload = signed.get("x-amz-content-sha256") or hashlib.sha256(body).hexdigest()
    query = urlsplit(url).query
    signature = _signer(settings, service, now)(_canonical(method, url, query, signed, payload))
    sent["Authorization"] = (
        f"{ALGORITHM} Credential={settings.access_key}/{_scope(settings, service, now)}, "
        f"SignedHeaders={';'.join(sorted(signed))}, Signature={signature}"
    )
    return sent


def signed_url(
    settings: AwsSettings,
    service: str,
    url: str,
    parameters: Mapping[str, str],
    *,
    payload: str,
    seconds: int,
    now: datetime,
) -> str:
    """Return `url`, whose path is quoted already, with `parameters` and a proof that lets anyone GET it for a while.

    `payload` is what the service wants signed of the body that a GET has not: EMPTY_PAYLOAD or UNSIGNED_PAYLOAD.
    """
    [signed] = signed_urls(settings, service, [url], parameters, payload=payload, seconds=seconds, now=now)
    return signed


def signed_urls(
    settings: AwsSettings,
    service: str,
    urls: Sequence[str],
    parameters: Mapping[str, str],
    *,
    payload: str,
    seconds: int,
    now: datetime,
) -> list[str]:
    """Do the same for several URLs of one host: all that they share is made once."""
    if not urls:
        return []
    sent = {
        **parameters,
        "X-Amz-Algorithm": ALGORITHM,
        "X-Amz-Credential": f"{settings.access_key}/{_scope(settings, service, now)}",
        "X-Amz-Date": _timestamp(now),
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": "host",
    }
    if settings.session_token:
        sent["X-Amz-Security-Token"] = settings.session_token
    query = query_of(sent)
    sign, headers = _signer(settings, service, now), {"host": _host(urls[0])}
    return [
        f"{url}?{query}&X-Amz-Signature={sign(_canonical('GET', url, query, headers, payload))}"
        for url in urls
    ]


def query_of(parameters: Mapping[str, str]) -> str:
    """Return parameters as a query that can be signed: quoted, and in the order of their names."""
    pairs = sorted(
        (quote(name, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for name, value in parameters.items()
    )
    return "&".join(f"{name}={value}" for name, value in pairs)


def _canonical(method: str, url: str, query: str, headers: Mapping[str, str], payload: str) -> str:
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)]
    return "\n".join(
        [method, urlsplit(url).path or "/", query, *lines, "", ";".join(sorted(headers)), payload]
    )


def _signer(settings: AwsSettings, service: str, now: datetime) -> Callable[[str], str]:
    """Return what signs canonical requests of this time."""
    scope = _scope(settings, service, now)
    key = f"AWS4{settings.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    head = f"{ALGORITHM}\n{_timestamp(now)}\n{scope}\n"

    def sign(canonical: str) -> str:
        text = head + hashlib.sha256(canonical.encode()).hexdigest()
        return hmac.digest(key, text.encode(), "sha256").hex()

    return sign


def _scope(settings: AwsSettings, service: str, now: datetime) -> str:
    return f"{now:%Y%m%d}/{settings.region}/{service}/aws4_request"


def _timestamp(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%SZ}"


def _host(url: str) -> str:
    address = urlsplit(url)
    return address.netloc.removesuffix(_DEFAULT_PORTS[address.scheme])
