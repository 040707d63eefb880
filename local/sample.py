"""The recording that the files in `events/` speak of: a short, completed one of alice's."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import boto3
import pg8000.native
from botocore.config import Config

from livekit_standin.media import render
from livekit_standin.recording import Encoding, Recording
from livekit_standin.timing import SECOND
from local.processes.children import LOOPBACK
from local.services.aws import REGION
from local.services.external import Database

if TYPE_CHECKING:
    from local.endpoints import Endpoints

RECORDING_ID = "6f1c2f2e-5d0e-4d0b-9d3a-2f6f0c5c7a11"
KEY = f"recordings/{RECORDING_ID}/recording.mp4"
SECONDS = 2
IS_THERE = "select from recordings where id = cast(:id as uuid) and deleted_at is null"
DELETE = "delete from recordings where id = cast(:id as uuid)"
"""Somebody may have deleted it, and its tombstone is still there."""
INSERT = """
insert into recordings (
    id, user_id, room_name, source, status, layout, resolution, codec, audio_codec, room_sid, egress_id,
    started_at, stopped_at, storage_key, file_size, duration, end_reason, created_at, updated_at, status_at
) values (
    cast(:id as uuid), 'alice', 'sample', 'room_composite', 'completed', 'grid', '480p', 'h264', 'aac', 'RM_sample',
    'EG_sample', now(), now(), :key, :size, :duration, 'stopped', now(), now(), now()
) on conflict do nothing
returning id"""


def ensure(endpoints: Endpoints) -> None:
    """Store the row and a file that plays, unless they are there or the stack uses somebody's own services."""
    database = Database(endpoints.database_url)
    if {database.host, urlsplit(endpoints.s3_endpoint).hostname} != {LOOPBACK}:
        return
    connecting = pg8000.native.Connection(
        database.user, database.host, database.name, database.port, database.password, ssl_context=False
    )
    with contextlib.closing(connecting) as connection, TemporaryDirectory() as directory:
        if connection.run(IS_THERE, id=RECORDING_ID):
            return
        file = Path(directory) / "recording.mp4"
        asyncio.run(render(_recording(), file))
        s3 = boto3.client(
            "s3",
            endpoint_url=endpoints.s3_endpoint,
            aws_access_key_id=endpoints.s3_access_key,
            aws_secret_access_key=endpoints.s3_secret_key,
            region_name=REGION,
            config=Config(s3={"addressing_style": "path"}),
        )
        s3.put_object(Bucket=endpoints.bucket, Key=KEY, Body=file.read_bytes())
        connection.run(DELETE, id=RECORDING_ID)
        connection.run(INSERT, id=RECORDING_ID, key=KEY, size=file.stat().st_size, duration=float(SECONDS))


def _recording() -> Recording:
    encoding = Encoding(width=854, height=480, video_codec="h264", audio_codec="aac")
    return Recording(
        room_name="sample",
        container="mp4",
        encoding=encoding,
        audio=True,
        video=True,
        layout="grid",
        duration=SECONDS * SECOND,
    )
