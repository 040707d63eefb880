"""A sweep with nothing due: LiveKit's active egress with livekit-api, and one query."""

import asyncio
import os
import ssl

from livekit import api
from pg8000.native import Connection

connection = Connection(
    os.environ["DATABASE_USER"],
    host=os.environ["DATABASE_HOST"],
    port=int(os.environ["DATABASE_PORT"]),
    database=os.environ["DATABASE_NAME"],
    password=os.environ["DATABASE_PASSWORD"],
    ssl_context=ssl.create_default_context(cafile=os.environ["DATABASE_CA_BUNDLE"]),
)
QUERY = "select * from recordings where due_at <= now() order by due_at limit 1000 for update skip locked"


async def active():
    async with api.LiveKitAPI() as livekit:
        return await livekit.egress.list_egress(api.ListEgressRequest(active=True))


def lambda_handler(_event, _context):
    answer = asyncio.run(active())
    return {"egress": len(answer.items), "due": len(connection.run(QUERY))}
