"""HTTP requests as Lambda proxy events of payload format 2.0, and what functions return as HTTP responses."""

from __future__ import annotations

import base64
import binascii
import json
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from starlette.responses import Response

from local.template.account import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from starlette.requests import Request

# The token's claims, and the scopes that the route asks for.
type Authorization = tuple[Mapping[str, JsonValue], Sequence[str]]

API_ID = "local"
_TEXT_TYPES = ("application/json", "application/javascript", "application/xml")


class MalformedAnswerError(Exception):
    """The function returned what API Gateway cannot make a response of."""


class _Answer(BaseModel):
    model_config = ConfigDict(strict=True)

    status: int = Field(alias="statusCode", ge=100, le=599)
    headers: dict[str, str | int | float | bool] = {}
    cookies: list[str] = []
    body: str | None = None
    is_base64: bool = Field(False, alias="isBase64Encoded")


def event(
    request: Request,
    body: bytes,
    route_key: str,
    path_parameters: Mapping[str, str],
    authorization: Authorization | None,
) -> dict[str, JsonValue]:
    """Return the event for a request."""
    now = time.time()
    path: str = request.scope["path"]
    domain = request.headers.get("host", "")
    context: dict[str, JsonValue] = {
        "accountId": ACCOUNT,
        "apiId": API_ID,
        "domainName": domain,
        "domainPrefix": domain.partition(".")[0],
        "http": {
            "method": request.method,
            "path": path,
            "protocol": f"HTTP/{request.scope['http_version']}",
            "sourceIp": request.client.host if request.client else "",
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": str(uuid.uuid4()),
        "routeKey": route_key,
        "stage": "$default",
        "time": datetime.fromtimestamp(now, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "timeEpoch": int(now * 1000),
    }
    if authorization:
        claims, scopes = authorization
        context["authorizer"] = {"jwt": {"claims": {**claims}, "scopes": [*scopes] or None}}
    query = request.url.query
    made: dict[str, JsonValue] = {
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": query,
        "headers": _headers(request),
        "requestContext": context,
        "isBase64Encoded": False,
    }
    if query:
        made["queryStringParameters"] = {**_joined(parse_qsl(query, keep_blank_values=True))}
    if path_parameters:
        made["pathParameters"] = {**path_parameters}
    if cookies := [part.strip() for value in request.headers.getlist("cookie") for part in value.split(";")]:
        made["cookies"] = [*cookies]
    if body:
        made["body"], made["isBase64Encoded"] = _encoded(body, request.headers.get("content-type", ""))
    return made


def response(answer: JsonValue) -> Response:
    """Return the HTTP response for a function's answer; raise MalformedAnswerError if it stands for none."""
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return Response(json.dumps(answer), media_type="application/json")
    try:
        parsed = _Answer.model_validate(answer)
        body = (parsed.body or "").encode()
        if parsed.is_base64:
            body = base64.b64decode(body, validate=True)
    except (ValidationError, binascii.Error) as error:
        raise MalformedAnswerError(str(error)) from error
    made = Response(body, parsed.status)
    headers = {name.lower(): _scalar(value) for name, value in parsed.headers.items()}
    made.headers["content-type"] = headers.pop("content-type", "text/plain;charset=UTF-8")
    headers.pop("content-length", None)
    made.headers.update(headers)
    for cookie in parsed.cookies:
        made.headers.append("set-cookie", cookie)
    return made


def _headers(request: Request) -> dict[str, JsonValue]:
    """Return the headers as API Gateway passes them on: its own added, repeated ones joined, cookies elsewhere."""
    added = {
        "x-amzn-trace-id": f"Root=1-{int(time.time()):08x}-{uuid.uuid4().hex[:24]}",
        "x-forwarded-for": request.client.host if request.client else "",
        "x-forwarded-port": str(request.url.port or 80),
        "x-forwarded-proto": "http",
    }
    given = [(name.lower(), value) for name, value in request.headers.items()]
    kept = _joined((name, value) for name, value in given if name != "cookie" and name not in added)
    return {**kept, **added}


def _joined(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in pairs:
        joined[name] = f"{joined[name]},{value}" if name in joined else value
    return joined


def _encoded(body: bytes, content_type: str) -> tuple[str, bool]:
    """Return the body and whether it is in base64, which every media type is that API Gateway does not know as text."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type.startswith("text/") or media_type in _TEXT_TYPES:
        try:
            return body.decode(), False
        except UnicodeDecodeError:
            pass
    return base64.b64encode(body).decode(), True


def _scalar(value: str | float | bool) -> str:  # noqa: FBT001 - a header's value
    return json.dumps(value) if isinstance(value, bool) else str(value)
