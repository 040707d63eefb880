"""Checks of the outside: the issuer, the webhook's address, the clock."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, cast

import jwt

from recorder.doctor.finding import failed, ok, unknown
from recorder.doctor.network import Reply, UnreachableError, ask

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from recorder.doctor.finding import Finding

WEBHOOK: Final = "/api/video/livekit/webhook"
_MOST_SKEW_SECONDS: Final = 30


def issuer(url: str) -> Iterator[Finding]:
    """Check that API Gateway will find the keys with which access tokens are verified."""
    check, discovery = "issuer", f"{url.rstrip('/')}/.well-known/openid-configuration"
    try:
        document = ask("GET", discovery)
        told = document.json()
        if document.status != HTTPStatus.OK or not isinstance(told, dict):
            yield failed(
                check,
                f"{discovery} answers {document.status}, and not with a discovery document",
                "JwtIssuer must be an OIDC issuer whose discovery document is public",
            )
            return
        if told.get("issuer") != url:
            yield failed(
                check,
                f"it calls itself {told.get('issuer')}",
                "JwtIssuer must be exactly this, down to a slash at the end: tokens carry it as `iss`",
            )
            return
        keys = ask("GET", str(told.get("jwks_uri"))).json()
    except UnreachableError as error:
        yield failed(
            check, f"{url} cannot be reached: {error}", "API Gateway must reach it over the internet"
        )
        return
    found = cast("Mapping[str, object]", keys).get("keys") if isinstance(keys, dict) else None
    kinds = (
        {each.get("kty") for each in found if isinstance(each, dict)} if isinstance(found, list) else set()
    )
    if "RSA" in kinds:
        yield ok(check, f"{url} publishes its keys")
    else:
        yield failed(check, "it publishes no RSA key", "API Gateway verifies RS256, RS384 and RS512 only")


def webhook(public_url: str, keys: Mapping[str, str]) -> Iterator[Finding]:
    """Check that a webhook signed as LiveKit signs it gets through, by way of the address that LiveKit is given."""
    check = "webhook"
    if not public_url:
        yield unknown(check, "the API's address is not known yet", "it is after the first deploy")
        return
    url = f"{public_url.rstrip('/')}{WEBHOOK}"
    # An event that changes nothing.
    body = json.dumps({"event": "room_started", "room": {}, "id": "doctor"}).encode()
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    now = int(time.time())
    claims = {"iss": keys["api_key"], "nbf": now - 10, "exp": now + 60, "sha256": digest}
    token = jwt.encode(claims, keys["api_secret"], algorithm="HS256")
    try:
        reply = ask(
            "POST",
            url,
            {"Authorization": token, "Content-Type": "application/webhook+json"},
            body,
            seconds=30,
        )
    except UnreachableError as error:
        yield failed(check, f"{url} cannot be reached from here: {error}", "LiveKit must reach it: PublicUrl")
        return
    match reply.status:
        case HTTPStatus.OK:
            yield ok(check, f"a signed webhook gets through to {url}, as far as can be told from here")
        case HTTPStatus.UNAUTHORIZED:
            yield failed(
                check,
                "a signed webhook is refused",
                "the functions have other keys, or something on the way drops the header Authorization",
            )
        case status:
            yield failed(
                check,
                f"{url} answers {status}",
                "PublicUrl, or what stands before the API, must lead to the API",
            )


def clock(urls: Mapping[str, str]) -> Iterator[Finding]:
    """Check this machine's clock by what others answer: signatures and tokens are good for minutes."""
    check = "clock"
    for who, url in urls.items():
        try:
            before = datetime.now(UTC)
            reply = ask("GET", url)
            theirs = _date(reply)
        except UnreachableError:
            continue
        if theirs is None:
            continue
        skew = (before - theirs).total_seconds()
        if abs(skew) <= _MOST_SKEW_SECONDS:
            yield ok(check, f"within {_MOST_SKEW_SECONDS} s of that of {who}")
        else:
            direction = "ahead of" if skew > 0 else "behind"
            yield failed(
                check,
                f"{abs(skew):.0f} s {direction} that of {who}",
                "set it, by NTP: signed requests and tokens are refused",
            )
        return
    yield unknown(check, "nobody who could be asked tells the time", "see the checks above")


def _date(reply: Reply) -> datetime | None:
    text = next((value for name, value in reply.headers.items() if name.lower() == "date"), "")
    try:
        return parsedate_to_datetime(text)
    except ValueError:
        return None
