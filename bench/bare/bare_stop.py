"""Stop: the row, LiveKit's StopEgress with livekit-api, and the status into the row."""

import asyncio
import json
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
QUERY = "select egress_id from recordings where id = :id"
UPDATE = "update recordings set status = 'stopping', version = version + 1 where id = :id"


async def stop(egress_id):
    async with api.LiveKitAPI() as livekit:
        return await livekit.egress.stop_egress(api.StopEgressRequest(egress_id=egress_id))


def lambda_handler(event, _context):
    recording_id = event["pathParameters"]["id"]
    [[egress_id]] = connection.run(QUERY, id=recording_id)
    connection.run(UPDATE, id=recording_id)
    info = asyncio.run(stop(egress_id))
    return {"statusCode": 200, "body": json.dumps({"recordingId": recording_id, "egressId": info.egress_id})}
