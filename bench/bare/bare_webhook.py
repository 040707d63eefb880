"""A webhook: livekit-api's receiver checks and parses it, and what it says goes into the row."""

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
receiver = api.WebhookReceiver(api.TokenVerifier())
QUERY = "select status from recordings where id = :id"
UPDATE = "update recordings set status = 'completed', file_size = :size, version = version + 1 where id = :id"


def lambda_handler(event, _context):
    info = receiver.receive(event["body"], event["headers"]["authorization"]).egress_info
    recording_id = event["pathParameters"]["id"]
    if connection.run(QUERY, id=recording_id) != [["completed"]]:
        connection.run(UPDATE, id=recording_id, size=info.file_results[0].size)
    return {"statusCode": 200, "body": json.dumps({"success": True})}
