"""livekit-api, called from code without an event loop; its types and errors end in this package.

livekit-api's own time-out has no effect with aiohttp, so each call is bounded here; its failover replays POSTs,
which would start an egress twice, so it is off.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

import aiohttp
from livekit import api

from recorder.errors import EgressUnansweredError, RecorderError
from recorder.untrusted import cleaned, hosts_only

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

_IDLE_SECONDS: Final = 10.0
_PREFIX: Final = "twirp error unknown: "


class LiveKit(Protocol):
    """The part of `livekit.api.LiveKitAPI` that is used here."""

    @property
    def egress(self) -> api.egress_service.EgressService:
        """The Egress service."""

    @property
    def room(self) -> api.room_service.RoomService:
        """The RoomService."""

    async def aclose(self) -> None:
        """Close the HTTP session."""


class Client:
    """One event loop, and in it a client that is made when it is first needed, and anew after a pause."""

    def __init__(self, connect: Callable[[], LiveKit]) -> None:
        """Take `connect`, which is called inside the event loop that all calls share."""
        self._connect = connect
        self._runner = asyncio.Runner()
        self._livekit: LiveKit | None = None
        self._used_at = 0.0

    def run[T](self, call: Callable[[LiveKit], Awaitable[T]]) -> T:
        """Return what a call returns, or raise what it raises."""

        async def run() -> T:
            # A connection that lay idle, perhaps while the environment was frozen, may be dead: Start must not
            # find out with its POST.
            if self._livekit is not None and time.time() - self._used_at > _IDLE_SECONDS:
                await self._livekit.aclose()
                self._livekit = None
            if self._livekit is None:
                self._livekit = self._connect()
            try:
                return await call(self._livekit)
            finally:
                self._used_at = time.time()

        return self._runner.run(run())

    def close(self) -> None:
        """Close the HTTP session and the event loop."""
        livekit, self._livekit = self._livekit, None
        if livekit is not None:
            self._runner.run(livekit.aclose())
        self._runner.close()


async def bounded[T](answer: Awaitable[T], seconds: float, errors: Mapping[str, type[RecorderError]]) -> T:
    """Return an answer that comes within `seconds`.

    Raises what `errors` has for the code of LiveKit's refusal, under `unavailable` also for a connection that was
    refused, and EgressUnansweredError for everything else.
    """
    try:
        async with asyncio.timeout(seconds):
            return await answer
    except api.ServerError as error:
        raise _translated(error, errors) from None
    except RecorderError:
        raise
    except aiohttp.ClientConnectorError as error:
        # Nothing was sent.
        raise errors.get("unavailable", EgressUnansweredError)("LiveKit cannot be reached") from error
    except Exception as error:  # noqa: BLE001 - also an answer that cannot be read is none
        # LiveKit's text may echo the token; an error of the network tells the operator why.
        cause = error if isinstance(error, OSError) else None
        raise EgressUnansweredError(type(error).__name__) from cause


def _translated(error: api.ServerError, errors: Mapping[str, type[RecorderError]]) -> RecorderError:
    # A wrong or expired token is answered as plain text that echoes it, so its text goes nowhere.
    code = error.code
    if code == "unknown" and error.status in {401, 403}:
        code = "unauthenticated"
    kind = errors.get(code, EgressUnansweredError)
    # The address of a stream carries its key.
    return kind(hosts_only(cleaned(error.message)).removeprefix(_PREFIX) or code)


def connect(url: str, api_key: str, api_secret: str) -> LiveKit:
    """Open a client; must run inside the event loop that uses it."""
    logging.getLogger("livekit").setLevel(logging.ERROR)
    return api.LiveKitAPI(url, api_key, api_secret, failover=False)
