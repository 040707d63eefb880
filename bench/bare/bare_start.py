"""Start: a row, LiveKit's StartRoomCompositeEgress with livekit-api, and the egress id into the row."""

import asyncio
import json
import os
import ssl
import uuid

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
INSERT = """
insert into recordings (id, user_id, room_name, status_at, target)
values (:id, :user_id, cast(:room_name as text), now(), 'room:' || cast(:room_name as text)) returning id"""
UPDATE = "update recordings set egress_id = :egress_id where id = :id"


async def start(room_name, recording_id):
    async with api.LiveKitAPI() as livekit:
        output = api.EncodedFileOutput(
            filepath=f"recordings/{recording_id}/recording.mp4",
            s3=api.S3Upload(bucket=os.environ["RECORDINGS_BUCKET"]),
        )
        return await livekit.egress.start_room_composite_egress(
            api.RoomCompositeEgressRequest(room_name=room_name, layout="grid", file_outputs=[output])
        )


def lambda_handler(event, _context):
    recording_id = str(uuid.uuid4())
    user_id = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    room_name = json.loads(event["body"])["roomName"]
    connection.run(INSERT, id=recording_id, user_id=user_id, room_name=room_name)
    info = asyncio.run(start(room_name, recording_id))
    connection.run(UPDATE, id=recording_id, egress_id=info.egress_id)
    return {"statusCode": 201, "body": json.dumps({"recordingId": recording_id, "egressId": info.egress_id})}
