"""A live playlist: one query with pg8000, one object over HTTPS, and nothing else."""

import os
import ssl
from http.client import HTTPSConnection
from urllib.parse import urlsplit

from pg8000.native import Connection

context = ssl.create_default_context(cafile=os.environ["DATABASE_CA_BUNDLE"])
connection = Connection(
    os.environ["DATABASE_USER"],
    host=os.environ["DATABASE_HOST"],
    port=int(os.environ["DATABASE_PORT"]),
    database=os.environ["DATABASE_NAME"],
    password=os.environ["DATABASE_PASSWORD"],
    ssl_context=context,
)
url = urlsplit(os.environ["BUCKET_URL"])
bucket = HTTPSConnection(url.netloc, context=context)
QUERY = "select id from recordings where id = :id"


def lambda_handler(event, _context):
    [[recording_id]] = connection.run(QUERY, id=event["pathParameters"]["id"])
    bucket.request("GET", f"{url.path}/segments/{recording_id}/1/playlist.m3u8")
    return {"statusCode": 200, "body": bucket.getresponse().read().decode()}
