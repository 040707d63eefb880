"""Lambda's Invoke API, as the functions of the product call each other through it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pydantic import JsonValue, TypeAdapter, ValidationError
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from local.functions.emulator import FunctionError
from local.processes.children import LocalStackError

if TYPE_CHECKING:
    from starlette.requests import Request

    from local.gateway.http_api import Invoke

logger = logging.getLogger(__name__)

_EVENT: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)
_SIGNATURE = "AWS4-HMAC-SHA256 Credential={key}/"


class LambdaApi:
    """Takes asynchronous invocations (`X-Amz-Invocation-Type: Event`), the only kind that the product makes."""

    def __init__(self, invoke: Invoke, access_key: str) -> None:
        self._invoke = invoke
        self._signature = _SIGNATURE.format(key=access_key)
        self._running: set[asyncio.Task[None]] = set()

    def app(self) -> Starlette:
        """Return the API as a web application."""
        path = "/2015-03-31/functions/{name}/invocations"
        return Starlette(routes=[Route(path, self._invocations, methods=["POST"])])

    async def _invocations(self, request: Request) -> Response:
        if not request.headers.get("authorization", "").startswith(self._signature):
            return _error(403, "MissingAuthenticationTokenException", "The request is not signed.")
        if request.headers.get("x-amz-invocation-type") != "Event":
            return _error(400, "InvalidParameterValueException", "Only Event is an invocation type here.")
        try:
            event = _EVENT.validate_json(await request.body() or b"{}")
        except ValidationError:
            return _error(400, "InvalidRequestContentException", "The payload is not JSON.")
        # A qualifier names a version or an alias: here each function has one of both.
        name, _, _ = request.path_params["name"].partition(":")
        task = asyncio.create_task(self._once(name, event))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return Response(status_code=202)

    async def _once(self, name: str, event: JsonValue) -> None:
        try:
            await self._invoke(name, event)
        except (FunctionError, LocalStackError) as error:
            logger.error("%s: %s", name, error)  # noqa: TRY400 - the function's own log has the trace


def _error(status: int, kind: str, message: str) -> Response:
    return JSONResponse({"Type": "User", "Message": message}, status, headers={"x-amzn-ErrorType": kind})
