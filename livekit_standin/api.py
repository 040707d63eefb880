"""LiveKit's API over HTTP: twirp with protobuf or JSON."""

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Protocol

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from livekit.protocol import egress, room
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from livekit_standin.auth import UnauthorizedError, may, video_grants
from livekit_standin.protojson import twirp_json
from livekit_standin.twirp import (
    MALFORMED_JSON,
    MALFORMED_PROTOBUF,
    PERMISSION_DENIED,
    SERVER_DOWN,
    TwirpError,
    bad_route,
    no_handler,
)
from livekit_standin.world import World

_JSON, _PROTOBUF = "application/json", "application/protobuf"
_VARY = {"Vary": "Origin"}
_HTTP_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]

# Every method with its request and the grant it needs.
_METHODS: Mapping[tuple[str, str], tuple[type[Message], str]] = {
    ("Egress", "StartRoomCompositeEgress"): (egress.RoomCompositeEgressRequest, "roomRecord"),
    ("Egress", "StartTrackCompositeEgress"): (egress.TrackCompositeEgressRequest, "roomRecord"),
    ("Egress", "StartTrackEgress"): (egress.TrackEgressRequest, "roomRecord"),
    ("Egress", "StartParticipantEgress"): (egress.ParticipantEgressRequest, "roomRecord"),
    ("Egress", "StartWebEgress"): (egress.WebEgressRequest, "roomRecord"),
    ("Egress", "StartEgress"): (egress.StartEgressRequest, "roomRecord"),
    ("Egress", "StopEgress"): (egress.StopEgressRequest, "roomRecord"),
    ("Egress", "ListEgress"): (egress.ListEgressRequest, "roomRecord"),
    ("Egress", "UpdateLayout"): (egress.UpdateLayoutRequest, "roomRecord"),
    ("Egress", "UpdateStream"): (egress.UpdateStreamRequest, "roomRecord"),
    ("RoomService", "CreateRoom"): (room.CreateRoomRequest, "roomCreate"),
    ("RoomService", "DeleteRoom"): (room.DeleteRoomRequest, "roomCreate"),
    ("RoomService", "ListRooms"): (room.ListRoomsRequest, "roomList"),
    ("RoomService", "ListParticipants"): (room.ListParticipantsRequest, "roomAdmin"),
    ("RoomService", "GetParticipant"): (room.RoomParticipantIdentity, "roomAdmin"),
    ("RoomService", "RemoveParticipant"): (room.RoomParticipantIdentity, "roomAdmin"),
}


class Pace(Protocol):
    """How time passes for a World; `driver.Driver` lets it pass by itself."""

    def wake(self) -> None:
        """Say that something may have become due."""

    async def hold(self, caller_gone: Callable[[], Awaitable[None]], after: int | None) -> None:
        """Hold an answer back for `after` ns (None: for ever), or until its caller has gone."""


class Api:
    """Answers twirp requests from a World."""

    def __init__(self, world: World, driver: Pace, api_key: str, api_secret: str) -> None:
        self._world = world
        self._driver = driver
        self._api_key = api_key
        self._api_secret = api_secret

    def routes(self) -> list[Route]:
        """Give the routes; a doubled slash in front counts as one."""
        path = "/twirp/livekit.{service}/{method}"
        return [Route(slash + path, self.handle, methods=_HTTP_METHODS) for slash in ("", "/")]

    async def handle(self, request: Request) -> Response:
        """Answer `POST /twirp/livekit.{service}/{method}`, as late as the World says."""
        try:
            grants = video_grants(request.headers.get("Authorization"), self._api_key, self._api_secret)
        except UnauthorizedError as refusal:
            return PlainTextResponse(str(refusal), 401, _VARY)
        message = await _read(request)
        if isinstance(message, TwirpError):
            return _refuse(message)
        service, name = _method_of(request)
        if not may(grants, _METHODS[service, name][1], message):
            return _refuse(PERMISSION_DENIED)
        answer = self._world.call(service, name, message)
        self._driver.wake()
        await self._driver.hold(partial(_gone, request), None if answer.lost else answer.after)
        return _write(answer.outcome, _media_type(request))


def _method_of(request: Request) -> tuple[str, str]:
    return request.path_params["service"], request.path_params["method"]


def _media_type(request: Request) -> str:
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def _read(request: Request) -> Message | TwirpError:
    path, media_type = request.url.path.replace("//", "/", 1), _media_type(request)
    method = _METHODS.get(_method_of(request))
    if request.method != "POST":
        text = f'unsupported method "{request.method}" (only POST is allowed)'
        return bad_route(path, text, request.method)
    if method is None:
        return no_handler(path)
    if media_type not in {_JSON, _PROTOBUF}:
        return bad_route(path, f'unexpected Content-Type: "{request.headers.get("Content-Type", "")}"')
    return _parse(method[0], await request.body(), media_type)


def _parse(kind: type[Message], body: bytes, media_type: str) -> Message | TwirpError:
    message = kind()
    if media_type == _PROTOBUF:
        try:
            message.ParseFromString(body)
        except DecodeError:
            return MALFORMED_PROTOBUF
        return message
    try:
        return json_format.Parse(body, message, ignore_unknown_fields=True)
    except (json_format.ParseError, UnicodeDecodeError):
        return MALFORMED_JSON


def _write(outcome: Message | TwirpError, media_type: str) -> Response:
    if isinstance(outcome, TwirpError):
        return _refuse(outcome)
    content = twirp_json(outcome).encode() if media_type == _JSON else outcome.SerializeToString()
    return Response(content, headers=_VARY | {"Content-Type": media_type})


def _refuse(error: TwirpError) -> Response:
    if error is SERVER_DOWN:
        # There is no LiveKit any more that could answer: what stands in front of it does.
        return PlainTextResponse(error.message, error.status)
    content: dict[str, object] = {"code": error.code, "msg": error.message}
    if error.meta:
        content["meta"] = dict(error.meta)
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    return Response(text, error.status, _VARY | {"Content-Type": _JSON})


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
