"""The stand-in's own controls over HTTP, for tests and demonstrations. LiveKit has nothing like it."""

from collections.abc import Callable

from livekit.protocol import egress
from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from livekit_standin.driver import Driver
from livekit_standin.faults import Fault
from livekit_standin.knobs import change_settings, reset_settings, shown_settings
from livekit_standin.world import World


class _FaultSetting(BaseModel):
    model_config = ConfigDict(extra="forbid")

    probability: float = Field(default=0.0, ge=0.0, le=1.0)
    times: int = Field(default=0, ge=0)


_FaultSettings = RootModel[dict[str, _FaultSetting]]


class _Identity(BaseModel):
    model_config = ConfigDict(extra="forbid")

    identity: str


class _Reason(BaseModel):
    model_config = ConfigDict(extra="forbid")

    reason: str = "CPU exhausted"


class Control:
    """Shows and changes a World from outside."""

    def __init__(self, world: World, driver: Driver) -> None:
        self._world = world
        self._driver = driver

    def routes(self) -> list[Route]:
        """Give the routes, to be mounted at /_control."""
        return [
            Route("/faults", self._get_faults, methods=["GET"]),
            Route("/faults", self._set_faults, methods=["PATCH"]),
            Route("/faults", self._clear_faults, methods=["DELETE"]),
            Route("/settings", self._get_settings, methods=["GET"]),
            Route("/settings", self._change_settings, methods=["PATCH"]),
            Route("/settings", self._reset_settings, methods=["DELETE"]),
            Route("/egress", self._list_egress, methods=["GET"]),
            Route("/egress/lose-records", self._lose_records, methods=["POST"]),
            Route("/egress/{egress_id}/end", self._end, methods=["POST"]),
            Route("/egress/{egress_id}/{action}", self._strike, methods=["POST"]),
            Route("/rooms/{name:path}/leave", self._leave, methods=["POST"]),
            Route("/rooms/{name:path}/join", self._join, methods=["POST"]),
            Route("/rooms/{name:path}", self._close_room, methods=["DELETE"]),
        ]

    async def _get_faults(self, _: Request) -> Response:
        faults = self._world.faults.by_name()
        return JSONResponse({name: _shown(fault) for name, fault in faults.items()})

    async def _set_faults(self, request: Request) -> Response:
        try:
            wanted = _FaultSettings.model_validate_json(await request.body()).root
        except ValidationError as error:
            return _invalid(str(error))
        faults = self._world.faults.by_name()
        unknown = wanted.keys() - faults.keys()
        if unknown:
            return _invalid(f"no such fault: {', '.join(sorted(unknown))}")
        for name, setting in wanted.items():
            faults[name].probability, faults[name].times = setting.probability, setting.times
        return await self._get_faults(request)

    async def _clear_faults(self, request: Request) -> Response:
        self._world.faults.off()
        return await self._get_faults(request)

    async def _get_settings(self, _: Request) -> Response:
        return Response(shown_settings(self._world.settings), media_type="application/json")

    async def _change_settings(self, request: Request) -> Response:
        try:
            change_settings(self._world.settings, await request.body())
        except ValueError as error:
            return _invalid(str(error))
        return await self._get_settings(request)

    async def _reset_settings(self, request: Request) -> Response:
        reset_settings(self._world.settings)
        return await self._get_settings(request)

    async def _list_egress(self, _: Request) -> Response:
        return JSONResponse(
            [
                {
                    "egressId": egress_id,
                    "roomName": info.room_name,
                    "status": egress.EgressStatus.Name(info.status),
                }
                for egress_id, info in self._world.unended().items()
            ]
        )

    async def _strike(self, request: Request) -> Response:
        world = self._world
        actions: dict[str, Callable[[str], None]] = {
            "kill-host": world.kill_host,
            "suspend-host": world.suspend_host,
            "kill-handler": world.kill_handler,
            "freeze-handler": world.freeze_handler,
            "go-on": world.go_on,
            "shut-down-host": world.shut_down_host,
            "lose-record": world.lose_record,
        }
        action = actions.get(request.path_params["action"])
        if action is None:
            return Response(status_code=404)
        egress_id = request.path_params["egress_id"]
        return self._done(lambda: action(egress_id))

    async def _end(self, request: Request) -> Response:
        try:
            reason = _Reason.model_validate_json(await request.body() or b"{}").reason
        except ValidationError as error:
            return _invalid(str(error))
        egress_id = request.path_params["egress_id"]
        return self._done(lambda: self._world.end_by_itself(egress_id, reason))

    async def _lose_records(self, _: Request) -> Response:
        return self._done(self._world.lose_records)

    async def _close_room(self, request: Request) -> Response:
        name = request.path_params["name"]
        return self._done(lambda: self._world.close_room(name))

    async def _leave(self, request: Request) -> Response:
        name, body = request.path_params["name"], await request.body()
        if not body:
            return self._done(lambda: self._world.leave(name))
        try:
            identity = _Identity.model_validate_json(body).identity
        except ValidationError as error:
            return _invalid(str(error))
        return self._done(lambda: self._world.leave(name, identity))

    async def _join(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            identity = _Identity.model_validate_json(await request.body()).identity
        except ValidationError as error:
            return _invalid(str(error))
        return self._done(lambda: self._world.join(name, identity))

    def _done(self, act: Callable[[], None]) -> Response:
        act()
        self._driver.wake()
        return Response(status_code=204)


def _shown(fault: Fault) -> dict[str, float]:
    return {"probability": fault.probability, "times": fault.times}


def _invalid(text: str) -> Response:
    return JSONResponse({"error": text}, 400)
