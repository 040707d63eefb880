"""A LiveKit that answers at once and counts: what remains of a call's time is the caller's own."""

from __future__ import annotations

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Final, Self

from google.protobuf import json_format
from livekit.protocol.egress import (
    EgressInfo,
    EgressStatus,
    ListEgressRequest,
    ListEgressResponse,
    RoomCompositeEgressRequest,
    StopEgressRequest,
)
from livekit.protocol.models import ParticipantInfo, Room
from livekit.protocol.room import (
    ListParticipantsRequest,
    ListParticipantsResponse,
    ListRoomsRequest,
    ListRoomsResponse,
)

from local.processes.children import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from google.protobuf.message import Message

EGRESS_ID: Final = "EG_Xq7mV2kT9bLc"


_REQUESTS: Final[Mapping[str, type[Message]]] = {
    "Egress/StartRoomCompositeEgress": RoomCompositeEgressRequest,
    "Egress/StopEgress": StopEgressRequest,
    "Egress/ListEgress": ListEgressRequest,
    "RoomService/ListParticipants": ListParticipantsRequest,
    "RoomService/ListRooms": ListRoomsRequest,
}


def room_sid(room_name: str) -> str:
    """Return the sid that a room has here."""
    return f"RM_{room_name}"


def _answer(request: Message) -> Message:
    match request:
        case RoomCompositeEgressRequest():
            return EgressInfo(
                egress_id=EGRESS_ID,
                room_name=request.room_name,
                status=EgressStatus.EGRESS_STARTING,
                room_composite=request,
            )
        case StopEgressRequest():
            return EgressInfo(egress_id=request.egress_id, status=EgressStatus.EGRESS_ENDING)
        case ListRoomsRequest():
            rooms = (Room(name=name, sid=room_sid(name), active_recording=True) for name in request.names)
            return ListRoomsResponse(rooms=rooms)
        case ListParticipantsRequest():
            # The recorders of the rooms that a sweep is measured with are numbered as these are.
            number = request.room.removeprefix("room-")
            identity = EGRESS_ID if number == request.room else f"EG_{number}"
            recorder = ParticipantInfo(identity=identity, kind=ParticipantInfo.EGRESS)
            return ListParticipantsResponse(participants=[recorder])
        case ListEgressRequest(egress_id=egress_id) if egress_id:
            return ListEgressResponse(
                items=[EgressInfo(egress_id=egress_id, status=EgressStatus.EGRESS_ACTIVE)]
            )
    return ListEgressResponse()


class InstantLiveKit:
    """The calls that the product makes; every room that is asked for has a recorder in it."""

    def __init__(self) -> None:
        self.active = b""
        """The serialised ListEgressResponse with the egress that are active."""
        self.calls: Counter[str] = Counter()
        self.participants_after = 0.0
        """After how many seconds a list of participants is answered."""
        self._server = ThreadingHTTPServer((LOOPBACK, 0), self._handler())

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http://{LOOPBACK}:{self._server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, body: bytes, content_type: str) -> bytes:
        """Return the answer to a twirp call in the content type of the request."""
        self.calls[method] += 1
        request = _REQUESTS[method]()
        if content_type == "application/json":
            json_format.Parse(body, request)
            return json_format.MessageToJson(_answer(request), preserving_proto_field_name=True).encode()
        request.ParseFromString(body)
        if isinstance(request, ListEgressRequest) and request.active:
            return self.active
        if isinstance(request, ListParticipantsRequest):
            time.sleep(self.participants_after)
        return _answer(request).SerializeToString()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        livekit = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                content_type = self.headers["Content-Type"]
                answer = livekit.answer(self.path.removeprefix("/twirp/livekit."), body, content_type)
                self.send_response(200)
                self.send_header("Content-Type", content_type)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
