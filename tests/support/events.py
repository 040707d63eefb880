"""The events in `events/`, as Lambda hands them to the functions, and changed copies of them."""

from __future__ import annotations

import base64
import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NotRequired, TypedDict, cast
from urllib.parse import parse_qsl
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENTS = Path(__file__).parents[2] / "events"


class Http(TypedDict):
    method: str
    path: str
    protocol: str
    sourceIp: str
    userAgent: str


class Jwt(TypedDict):
    claims: dict[str, str]
    scopes: list[str] | None


class Authorizer(TypedDict):
    jwt: Jwt


class Context(TypedDict):
    authorizer: NotRequired[Authorizer]
    domainName: str
    domainPrefix: str
    http: Http
    requestId: str
    routeKey: str
    stage: str


class HttpEvent(TypedDict):
    """A request in payload format 2.0."""

    routeKey: str
    rawPath: str
    rawQueryString: str
    headers: dict[str, str]
    queryStringParameters: NotRequired[dict[str, str]]
    requestContext: Context
    pathParameters: NotRequired[dict[str, str]]
    body: NotRequired[str]
    isBase64Encoded: bool


@cache
def _loaded(name: str) -> dict[str, object]:
    event: dict[str, object] = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def event(name: str) -> dict[str, object]:
    """Return a file's event, by its name without `.json`."""
    return deepcopy(_loaded(name))


def http_event(
    name: str,
    *,
    claims: Mapping[str, str] | None = None,
    recording_id: str | None = None,
    link_id: str | None = None,
    body: bytes | None = None,
    base64_encoded: bool = False,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    domain: str | None = None,
) -> HttpEvent:
    """Return a file's event as API Gateway makes it of a request with these parts instead."""
    made = cast("HttpEvent", event(name))
    context = made["requestContext"]
    context["requestId"] = str(uuid4())
    if domain is not None:
        context["domainName"], context["domainPrefix"] = domain, domain.partition(".")[0]
        made["headers"]["host"] = domain
    if claims is not None:
        context["authorizer"] = {"jwt": {"claims": dict(claims), "scopes": None}}
        made["headers"]["authorization"] = bearer(claims)
    if recording_id is not None:
        made["pathParameters"]["id"] = recording_id
        if link_id is not None:
            made["pathParameters"]["linkId"] = link_id
        path = made["routeKey"].partition(" ")[2]
        for parameter, value in made["pathParameters"].items():
            path = path.replace(f"{{{parameter}}}", value)
        made["rawPath"] = context["http"]["path"] = path
    made.pop("body", None)
    if body is not None:
        made["body"] = base64.b64encode(body).decode() if base64_encoded else body.decode()
        made["isBase64Encoded"] = base64_encoded
    made["rawQueryString"] = query
    if query:
        made["queryStringParameters"] = dict(parse_qsl(query, keep_blank_values=True))
    made["headers"] |= headers or {}
    return made


def bearer(claims: Mapping[str, object]) -> str:
    """Return an access token as it looks once API Gateway has verified it: nobody looks at the signature again."""
    parts = (json.dumps(part).encode() for part in ({"alg": "RS256", "typ": "JWT"}, dict(claims)))
    return "Bearer " + ".".join(
        [*(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts), "c2ln"]
    )
