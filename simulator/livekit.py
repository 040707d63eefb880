"""A client of the stand-in's world for the product's own adapter: every call waits, fails and is killed at."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn, cast

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from google.protobuf import json_format
from livekit import api
from livekit.protocol import egress as protocol
from livekit.protocol import room

from livekit_standin.protojson import twirp_json
from livekit_standin.twirp import TwirpError
from recorder.domain.outputs import owner_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from uuid import UUID

    from google.protobuf.message import Message

    from livekit_standin.twirp import Answer
    from livekit_standin.world import World
    from recorder.livekit.client import LiveKit
    from simulator.ports import Gate

SECOND: Final = 1_000_000_000
_KEY: Final = ConnectionKey("livekit", 443, True, True, None, None, None, None)
_LOOKUPS: Final = {
    "ListEgress": protocol.ListEgressRequest,
    "ListRooms": room.ListRoomsRequest,
    "ListParticipants": room.ListParticipantsRequest,
}
"""The calls that the product makes without protobuf's library."""


@dataclass(frozen=True, slots=True)
class Own:
    """An egress that the product started."""

    recording_id: UUID
    """Of the recording in whose folder it writes."""
    take: int
    target: str
    doubled: bool
    """The product asked once, and LiveKit heard it twice."""


class SimulatedLiveKit:
    """LiveKit as the product reaches it; `ours` are the egress that it started, by id."""

    def __init__(self, world: World, gate: Gate) -> None:
        self.ours: dict[str, Own] = {}
        self.stopped: list[str] = []
        self.started: Callable[[Own], None] = lambda _: None
        """Is told of every start before it is among `ours`."""
        self.stopping: Callable[[str], None] = lambda _: None
        """Is told of every stop before it has its effect."""
        self._world = world
        self._gate = gate

    def connect(self) -> LiveKit:
        return cast("LiveKit", _Client(self))

    async def call(self, service: str, method: str, request: Message) -> Message:
        gate, faults, random = self._gate, self._gate.faults, self._gate.random
        if seconds := gate.latency():
            await asyncio.sleep(seconds)
        if not gate.survives():
            await _nothing()
        if faults.livekit_unreachable.fires(random):
            raise aiohttp.ClientConnectorError(_KEY, OSError())
        if faults.livekit_hangs_up.fires(random):
            raise aiohttp.ServerDisconnectedError
        answer = self._effect(service, method, request)
        if not gate.survives() or answer.lost:
            await _nothing()
        await asyncio.sleep(answer.after / SECOND + gate.latency())
        if faults.livekit_hangs_up_late.fires(random):
            raise aiohttp.ServerDisconnectedError
        if isinstance(answer.outcome, TwirpError):
            error = answer.outcome
            raise api.ServerError(error.code, error.message, status=error.status)
        return answer.outcome

    def post(
        self, url: str, body: bytes, _headers: Mapping[str, str], *, seconds: float
    ) -> tuple[int, bytes]:
        """Answer a look-up as `recorder.outbound.post` does."""
        gate, faults = self._gate, self._gate.faults
        gate.wait()
        gate.point()
        if faults.livekit_unreachable.fires(gate.random) or faults.livekit_hangs_up.fires(gate.random):
            raise ConnectionError
        service, _, method = url.rpartition(".")[2].partition("/")
        answer = self._world.call(service, method, json_format.Parse(body, _LOOKUPS[method]()))
        gate.point()
        after = answer.after / SECOND + gate.latency()
        gate.kernel.sleep(seconds if answer.lost else min(after, seconds))
        if answer.lost or after > seconds:
            raise TimeoutError
        if isinstance(answer.outcome, TwirpError):
            error = {"code": answer.outcome.code, "msg": answer.outcome.message}
            return answer.outcome.status, json.dumps(error).encode()
        return 200, twirp_json(answer.outcome).encode()

    def _effect(self, service: str, method: str, request: Message) -> Answer:
        if isinstance(request, protocol.StopEgressRequest):
            self.stopping(request.egress_id)
        answer = self._world.call(service, method, request)
        if isinstance(request, protocol.StopEgressRequest):
            self.stopped.append(request.egress_id)
        if method.startswith("Start"):
            doubled = self._gate.faults.start_doubled.fires(self._gate.random)
            self._note(answer, doubled=doubled)
            if doubled:
                answer = self._world.call(service, method, request)
                self._note(answer, doubled=True)
        return answer

    def _note(self, started: Answer, *, doubled: bool) -> None:
        if not isinstance(started.outcome, protocol.EgressInfo):
            return
        info = started.outcome
        path, target = _path_and_target(info)
        owner = owner_of(path)
        if owner is None:
            raise ValueError(path)
        own = Own(owner.recording_id, owner.take, target, doubled)
        self.started(own)
        self.ours[info.egress_id] = own


def _path_and_target(info: protocol.EgressInfo) -> tuple[str, str]:
    """Return where an egress writes its file, and the thing that may be recorded once at a time."""
    if info.track.track_id:
        return info.track.file.filepath, f"{info.room_name}/{info.track.track_id}"
    if info.participant.identity:
        return info.participant.file_outputs[0].filepath, f"{info.room_name}/{info.participant.identity}"
    if info.web.url:
        return info.web.file_outputs[0].filepath, info.web.url
    return info.room_composite.file_outputs[0].filepath, f"{info.room_name}/"


async def _nothing() -> NoReturn:
    """Wait for what never comes: the caller's patience ends first."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError


class _Client:
    def __init__(self, livekit: SimulatedLiveKit) -> None:
        self.egress = _Service(livekit, "Egress")
        self.room = _Service(livekit, "RoomService")

    async def aclose(self) -> None:
        pass


class _Service:
    def __init__(self, livekit: SimulatedLiveKit, name: str) -> None:
        self._livekit = livekit
        self._name = name

    def __getattr__(self, method: str) -> Callable[[Message], Awaitable[Message]]:
        twirp = "".join(part.capitalize() for part in method.split("_"))
        return lambda request: self._livekit.call(self._name, twirp, request)
