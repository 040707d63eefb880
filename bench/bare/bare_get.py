"""One recording: one query with pg8000 and nothing else."""

import json
import os
import ssl

from pg8000.native import Connection

connection = Connection(
    os.environ["DATABASE_USER"],
    host=os.environ["DATABASE_HOST"],
    port=int(os.environ["DATABASE_PORT"]),
    database=os.environ["DATABASE_NAME"],
    password=os.environ["DATABASE_PASSWORD"],
    ssl_context=ssl.create_default_context(cafile=os.environ["DATABASE_CA_BUNDLE"]),
)
QUERY = "select * from recordings where id = :id"


def lambda_handler(event, _context):
    return {
        "statusCode": 200,
        "body": json.dumps(connection.run(QUERY, id=event["pathParameters"]["id"]), default=str),
    }
