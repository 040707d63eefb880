"""The stand-in's own controls over HTTP, for tests and demonstrations. LiveKit has nothing like it.

All paths are below /_control; answers and bodies are JSON:

  GET    /egress                        what has not ended
  POST   /egress/ID/kill-host           its worker's host dies: ACTIVE for ever
  POST   /egress/ID/suspend-host        the host seems to be dead until go-on
  POST   /egress/ID/kill-handler        its process dies: FAILED 500 at once
  POST   /egress/ID/freeze-handler      its process stands still until go-on
  POST   /egress/ID/go-on
  POST   /egress/ID/shut-down-host      its worker is interrupted: FAILED 403, with its file
  POST   /egress/ID/end                 its worker ends it, {"reason": "CPU exhausted"}
  POST   /egress/ID/lose-record         the server forgets it
  POST   /egress/lose-records           the server forgets all, as when Redis was emptied
  POST   /server/stop                   the server dies
  POST   /server/start                  it comes back, without {"gone": ["identity"]}
  POST   /rooms/NAME/join               {"identity": "ada"}
  POST   /rooms/NAME/leave              {"identity": "ada"}, without a body everybody
  POST   /rooms/NAME/publish            {"identity": "ada", "source": "SCREEN_SHARE"}, or CAMERA or MICROPHONE
  POST   /rooms/NAME/unpublish          the same
  DELETE /rooms/NAME                    the room closes
  GET    /faults                        what can go wrong by itself
  PATCH  /faults                        {"no_worker": {"times": 1}, "webhook_lost": {"probability": 0.1}}
  DELETE /faults                        nothing goes wrong any more
  GET    /settings                      of the server and the workers
  PATCH  /settings                      {"page_size": 10, "worker": {"storage_prefix": "pre"}}
  DELETE /settings                      as in the beginning
"""

from collections.abc import Callable
from typing import Literal

from livekit.protocol import egress, models
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


class _Published(_Identity):
    source: Literal["CAMERA", "MICROPHONE", "SCREEN_SHARE"]


_SOURCES = {
    "CAMERA": models.CAMERA,
    "MICROPHONE": models.MICROPHONE,
    "SCREEN_SHARE": models.SCREEN_SHARE,
}


class _Gone(BaseModel):
    model_config = ConfigDict(extra="forbid")

    gone: list[str] = []


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
            Route("/server/stop", self._stop_server, methods=["POST"]),
            Route("/server/start", self._start_server, methods=["POST"]),
            Route("/rooms/{name:path}/leave", self._leave, methods=["POST"]),
            Route("/rooms/{name:path}/join", self._join, methods=["POST"]),
            Route("/rooms/{name:path}/publish", self._publish, methods=["POST"]),
            Route("/rooms/{name:path}/unpublish", self._unpublish, methods=["POST"]),
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

    async def _stop_server(self, _: Request) -> Response:
        return self._done(self._world.stop_server)

    async def _start_server(self, request: Request) -> Response:
        try:
            gone = _Gone.model_validate_json(await request.body() or b"{}").gone
        except ValidationError as error:
            return _invalid(str(error))
        return self._done(lambda: self._world.start_server(gone))

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

    async def _publish(self, request: Request) -> Response:
        return await self._change_tracks(request, self._world.publish)

    async def _unpublish(self, request: Request) -> Response:
        return await self._change_tracks(request, self._world.unpublish)

    async def _change_tracks(
        self, request: Request, change: Callable[[str, str, models.TrackSource], None]
    ) -> Response:
        name = request.path_params["name"]
        try:
            wanted = _Published.model_validate_json(await request.body())
        except ValidationError as error:
            return _invalid(str(error))
        source = _SOURCES[wanted.source]
        return self._done(lambda: change(name, wanted.identity, source))

    def _done(self, act: Callable[[], None]) -> Response:
        act()
        self._driver.wake()
        return Response(status_code=204)


def _shown(fault: Fault) -> dict[str, float]:
    return {"probability": fault.probability, "times": fault.times}


def _invalid(text: str) -> Response:
    return JSONResponse({"error": text}, 400)
