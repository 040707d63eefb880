"""A bounded load on the local stack with Postgres restarted in the middle: `make load`.

Users start, read, list, stop and delete recordings over HTTP. Every answer is checked; only the documented 503 is
allowed, and only around the outage. Prints what was measured and exits with 1 where anything was wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import TYPE_CHECKING, Final

import httpx
import pg8000.native
from livekit import api
from livekit.protocol.room import CreateRoomRequest

from local.services.external import Database
from local.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

DOWN_SECONDS: Final = 3.0
RECOVERY_SECONDS: Final = 10.0
_OUTAGE_CODES: Final = frozenset({"database_unavailable"})


@dataclass(slots=True)
class Measured:
    """The users' observations, by moments on one monotonic clock."""

    answers: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    unavailable_at: list[float] = field(default_factory=list)


class User:
    """Somebody who records their own room again and again."""

    def __init__(self, client: httpx.AsyncClient, token: str, name: str, measured: Measured) -> None:
        self._client = client
        self._headers = {"authorization": f"Bearer {token}"}
        self._name = name
        self._measured = measured

    async def run(self, until: float) -> None:
        """Go through a recording's life until the time is up."""
        while time.monotonic() < until:
            started = await self._call(
                "POST", "", {201, 202, 409}, json={"roomName": self._name, "resolution": "480p"}
            )
            recording_id = started.get("recordingId")
            listed = await self._call("GET", "?limit=5", {200})
            if any(each["userId"] != self._name for each in _recordings(listed)):
                self._measured.wrong.append("somebody else's recording in a list")
            if not isinstance(recording_id, str):
                continue
            got = await self._call("GET", f"/{recording_id}", {200})
            if got and _mapping(got["recording"])["id"] != recording_id:
                self._measured.wrong.append("another recording than was asked for")
            await self._call("PATCH", f"/{recording_id}", {200})
            await self._call("DELETE", f"/{recording_id}", {200, 404})
            if await self._call("GET", f"/{recording_id}", {404}):
                await self._call("DELETE", f"/{recording_id}", {200, 404})

    async def _call(
        self, method: str, path: str, expected: set[int], json: Mapping[str, str] | None = None
    ) -> Mapping[str, object]:
        began = time.monotonic()
        try:
            answer = await self._client.request(
                method, f"/api/video/recordings{path}", json=json, headers=self._headers
            )
        except httpx.HTTPError as error:
            self._measured.wrong.append(f"{method}: no answer, {type(error).__name__}")
            return {}
        self._measured.seconds.append(time.monotonic() - began)
        self._measured.answers[f"{method} {answer.status_code}"] += 1
        body: dict[str, object] = answer.json()
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and body.get("code") in _OUTAGE_CODES:
            self._measured.unavailable_at.append(time.monotonic())
            await asyncio.sleep(0.2)
            return {}
        if answer.status_code not in expected:
            self._measured.wrong.append(f"{method}: {answer.status_code} {body}")
            return {}
        return body


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _recordings(body: Mapping[str, object]) -> list[Mapping[str, object]]:
    found = body.get("recordings", [])
    return [_mapping(each) for each in found] if isinstance(found, list) else []


async def load(stack: Stack, users: int, seconds: float) -> tuple[Measured, float, float]:
    """Run the users, and the outage in the middle; returns also when it began and when Postgres was back."""
    measured = Measured()
    await _open_rooms(stack, users)
    async with httpx.AsyncClient(base_url=stack.endpoints.api_url, timeout=60) as client:
        until = time.monotonic() + seconds
        named = [(f"user-{number}", stack.token(f"user-{number}")) for number in range(users)]
        running = [
            asyncio.create_task(User(client, token, name, measured).run(until)) for name, token in named
        ]
        await asyncio.sleep(seconds / 2)
        down_at = time.monotonic()
        await asyncio.to_thread(stack.postgres.stop)
        await asyncio.sleep(DOWN_SECONDS)
        await asyncio.to_thread(stack.postgres.start)
        up_at = time.monotonic()
        await asyncio.gather(*running)
    return measured, down_at, up_at


async def _open_rooms(stack: Stack, users: int) -> None:
    livekit = stack.livekit
    async with api.LiveKitAPI(livekit.url, livekit.api_key, livekit.api_secret) as client:
        for number in range(users):
            await client.room.create_room(CreateRoomRequest(name=f"user-{number}", empty_timeout=600))


def connections(stack: Stack) -> int:
    """Return how many connections the functions hold."""
    database = Database(stack.endpoints.database_url)
    connecting = pg8000.native.Connection(
        database.user, database.host, database.name, database.port, database.password, ssl_context=False
    )
    with contextlib.closing(connecting) as connection:
        [[number]] = connection.run(
            "select count(*) from pg_stat_activity where application_name = 'recorder'"
        ) or [[0]]
    return int(str(number))


def main() -> int:
    """Print the figures; 1 where an answer was wrong or the recovery took too long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="recorder-load-") as directory,
        Stack(Path(directory), durable=False, fast=True, report=print) as stack,
    ):
        print(f"{arguments.users} users for {arguments.seconds:.0f} s, Postgres restarted in the middle ...")
        measured, down_at, up_at = asyncio.run(load(stack, arguments.users, arguments.seconds))
        held, environments = connections(stack), stack.environments()
    early = [at for at in measured.unavailable_at if at < down_at]
    late = max((at - up_at for at in measured.unavailable_at), default=0.0)
    cuts = quantiles(measured.seconds, n=100)
    print(f"requests          {len(measured.seconds)}, {len(measured.seconds) / arguments.seconds:.0f}/s")
    print(f"answers           {dict(sorted(measured.answers.items()))}")
    print(f"latency           p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms")
    print(f"last 503          {max(late, 0.0):.1f} s after Postgres was back")
    print(f"connections held  {held} by {environments} execution environments")
    print(f"wrong             {Counter(measured.wrong).most_common(10) or 'nothing'}")
    failed = measured.wrong or early or late > RECOVERY_SECONDS or held > environments
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
