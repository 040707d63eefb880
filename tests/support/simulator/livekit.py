"""A client of the stand-in's world for the product's own adapter: every call waits, fails and is killed at."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn, cast

import aiohttp
from aiohttp.client_reqrep import ConnectionKey
from livekit import api
from livekit.protocol import egress as protocol

from local.livekit.twirp import TwirpError
from recorder.domain import PREFIX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from google.protobuf.message import Message

    from local.livekit.twirp import Answer
    from local.livekit.world import World
    from recorder.egress import LiveKit
    from tests.support.simulator.ports import Gate

SECOND: Final = 1_000_000_000
_KEY: Final = ConnectionKey("livekit", 443, True, True, None, None, None, None)


class SimulatedLiveKit:
    """LiveKit as the product reaches it; `ours` are the egress that it started, by id, with their folder."""

    def __init__(self, world: World, gate: Gate) -> None:
        self.ours: dict[str, str] = {}
        self.stopped: list[str] = []
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

    def _effect(self, service: str, method: str, request: Message) -> Answer:
        answer = self._world.call(service, method, request)
        if isinstance(request, protocol.StopEgressRequest):
            self.stopped.append(request.egress_id)
        if isinstance(request, (protocol.RoomCompositeEgressRequest, protocol.TrackEgressRequest)):
            self._note(answer)
            if self._gate.faults.start_doubled.fires(self._gate.random):
                answer = self._world.call(service, method, request)
                self._note(answer)
        return answer

    def _note(self, started: Answer) -> None:
        if isinstance(started.outcome, protocol.EgressInfo):
            info = started.outcome
            path = (
                info.track.file if info.HasField("track") else info.room_composite.file_outputs[0]
            ).filepath
            self.ours[info.egress_id] = path.removeprefix(PREFIX).partition("/")[0]


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
