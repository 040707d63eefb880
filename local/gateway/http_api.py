"""The HTTP API: the template's routes, authorizers, CORS and time-outs, and API Gateway's own refusals."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import compile_path

from local.functions.emulator import FunctionError
from local.gateway import proxy
from local.gateway.authorizer import ForbiddenError, JwtAuthorizer, UnauthorizedError, as_strings
from local.processes.children import LocalStackError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from pydantic import JsonValue
    from starlette.types import Receive, Scope, Send

    from local.template.application import Application, Cors, Route

type Invoke = Callable[[str, JsonValue], Coroutine[None, None, JsonValue]]

logger = logging.getLogger(__name__)

MOST_BODY_BYTES = 10 * 1024 * 1024


class _RefusedError(Exception):
    """An answer that API Gateway gives by itself."""

    def __init__(self, status: int, message: str, *, authenticate: str = "") -> None:
        super().__init__(message)
        headers = {"www-authenticate": authenticate} if authenticate else None
        self.response = JSONResponse({"message": message}, status, headers)


class Gateway:
    """An ASGI application.

    `invoke` runs a function and raises FunctionError where that fails.
    """

    def __init__(self, application: Application, invoke: Invoke) -> None:
        self._routes = [_Endpoint(route) for route in sorted(application.routes, key=_precedence)]
        self._cors = application.cors
        self._invoke = invoke

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        began = time.monotonic()
        request = Request(scope, receive)
        answer = await self._answer(request)
        answer.headers["apigw-requestid"] = uuid.uuid4().hex[:16]
        await answer(scope, receive, send)
        milliseconds = (time.monotonic() - began) * 1000
        logger.info("%s %s %d %.0f ms", request.method, request.url.path, answer.status_code, milliseconds)

    async def _answer(self, request: Request) -> Response:
        origin = request.headers.get("origin")
        if not self._cors or not origin:
            return await self._dispatch(request)
        if request.method == "OPTIONS":
            return Response(status_code=204, headers=_preflight(self._cors, origin))
        answer = await self._dispatch(request)
        for name in [name for name in answer.headers if name.startswith("access-control-")]:
            del answer.headers[name]
        answer.headers.update(_shared(self._cors, origin))
        return answer

    async def _dispatch(self, request: Request) -> Response:
        try:
            endpoint, parameters = self._match(request)
            authorization = await endpoint.authorize(request)
            body = await _body(request)
            event = proxy.event(request, body, endpoint.key, parameters, authorization)
            return proxy.response(await self._run(endpoint.route, event))
        except _RefusedError as refusal:
            return refusal.response
        except ClientDisconnect:
            return Response(status_code=400)  # that nobody reads
        except (FunctionError, LocalStackError, proxy.MalformedAnswerError) as error:
            logger.error("%s", error)  # noqa: TRY400 - the function's own log has the trace
            return _RefusedError(500, "Internal Server Error").response

    def _match(self, request: Request) -> tuple[_Endpoint, Mapping[str, str]]:
        for endpoint in self._routes:
            parameters = endpoint.match(request)
            if parameters is not None:
                return endpoint, parameters
        raise _RefusedError(404, "Not Found")

    async def _run(self, route: Route, event: JsonValue) -> JsonValue:
        """Run the function; API Gateway stops waiting after a while, the function goes on."""
        running = asyncio.create_task(self._invoke(route.function, event))
        done, _ = await asyncio.wait([running], timeout=route.timeout)
        if not done:
            running.add_done_callback(lambda task: task.cancelled() or task.exception())
            raise _RefusedError(503, "Service Unavailable")
        return running.result()


class _Endpoint:
    def __init__(self, route: Route) -> None:
        self.route = route
        self.key = route.path if route.path == "$default" else f"{route.method} {route.path}"
        pattern = "/{proxy+}" if route.path == "$default" else route.path
        self._pattern, _, _ = compile_path(pattern.replace("+}", ":path}"))
        self._authorizer = JwtAuthorizer(route.authorizer.jwt) if route.authorizer else None

    def match(self, request: Request) -> Mapping[str, str] | None:
        """Return the path's parameters, or None if the request is not for this route."""
        found = self._pattern.match(request.scope["path"])
        if found and self.route.method in {request.method, "ANY"}:
            return found.groupdict()
        return None

    async def authorize(self, request: Request) -> proxy.Authorization | None:
        """Return what the route's authorizer says of the caller; raise the refusal if it does not let him in."""
        if not self._authorizer:
            return None
        token = request.headers.get("authorization", "")
        try:
            claims = await asyncio.to_thread(self._authorizer.claims, token, self.route.scopes)
        except UnauthorizedError as error:
            reason = (
                f'Bearer scope="" error="invalid_token" error_description="{error}"' if token else "Bearer"
            )
            raise _RefusedError(401, "Unauthorized", authenticate=reason) from None
        except ForbiddenError as error:
            reason = f'Bearer error="insufficient_scope" error_description="{error}"'
            raise _RefusedError(403, "Forbidden", authenticate=reason) from None
        return as_strings(claims), self.route.scopes


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MOST_BODY_BYTES:
            raise _RefusedError(413, "Request Entity Too Large")
    return bytes(body)


def _precedence(route: Route) -> tuple[bool, int, int]:
    """Sort full matches before greedy ones, longer before shorter, fixed before variable, as API Gateway does."""
    greedy = route.path == "$default" or "+}" in route.path
    return greedy, -route.path.count("/"), route.path.count("{")


def _preflight(cors: Cors, origin: str) -> dict[str, str]:
    headers = _shared(cors, origin)
    if headers:
        headers["access-control-allow-methods"] = ",".join(cors.allow_methods)
        headers["access-control-allow-headers"] = ",".join(cors.allow_headers)
        if cors.max_age is not None:
            headers["access-control-max-age"] = str(cors.max_age)
    return headers


def _shared(cors: Cors, origin: str) -> dict[str, str]:
    """Return the headers that every answer to an allowed origin carries; none to another origin."""
    if "*" not in cors.allow_origins and origin not in cors.allow_origins:
        return {}
    headers = {"access-control-allow-origin": "*" if "*" in cors.allow_origins else origin, "vary": "origin"}
    if cors.expose_headers:
        headers["access-control-expose-headers"] = ",".join(cors.expose_headers)
    if cors.allow_credentials:
        headers["access-control-allow-credentials"] = "true"
    return headers
