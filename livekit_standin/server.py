"""The stand-in as an HTTP server."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route

from livekit_standin.api import Api
from livekit_standin.control import Control
from livekit_standin.driver import Driver, clock
from livekit_standin.timing import Timing
from livekit_standin.world import World

DEMO_ROOM = "demo"
"""The room that is there from the start and never closes by emptiness."""


@dataclass(frozen=True, slots=True)
class Options:
    """How the server is set up."""

    api_key: str
    api_secret: str
    state_dir: Path
    """Where recordings are rendered; those without an S3 output stay here."""
    webhook_urls: tuple[str, ...] = ()
    """Where every event goes, besides the URLs in the requests."""
    timing: Timing = field(default_factory=Timing)


def build(options: Options) -> Starlette:
    """Build the application; a World with the room `demo` lives as long as it."""
    world = World(
        clock,
        SystemRandom(),
        options.timing,
        api_key=options.api_key,
        api_secret=options.api_secret,
        webhook_urls=options.webhook_urls,
    )
    world.open_room(DEMO_ROOM, permanent=True)
    driver = Driver(world, options.state_dir)
    api = Api(world, driver, options.api_key, options.api_secret)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncGenerator[None]:
        running = asyncio.create_task(driver.run())
        yield
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running

    return Starlette(
        routes=[
            Route("/", _alive, methods=["GET"]),
            *api.routes(),
            Mount("/_control", routes=Control(world, driver).routes()),
        ],
        lifespan=lifespan,
    )


async def _alive(_: Request) -> Response:
    return PlainTextResponse("OK")
