"""Joining from S3 to S3."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from bucket import Bucket
from joining import Part, Take, join, plan, segments_in, verify
from recorder.errors import AwsError
from recorder.settings import AwsSettings
from tests.assembling.media import Recorded, Store, messages, watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import Stack

LARGE = Recorded(number=1, seconds=8, width=640, height=360, options=("-qp", "12", "-bf", "0"), noisy=True)
FILE = replace(LARGE, number=2)


class Recordings:
    """A recording of two takes in the stack's bucket, under a prefix of its own."""

    def __init__(self, stack: Stack, prefix: str) -> None:
        self.s3 = stack.aws.s3
        self.bucket = stack.aws.bucket
        settings = AwsSettings(
            stack.aws.region,
            stack.aws.access_key,
            stack.aws.secret_key,
            "",
            s3_endpoint_url=stack.aws.endpoint,
        )
        self.objects = Bucket(self.bucket, settings)
        self.prefix = prefix
        self.result = f"{prefix}/recording.mp4"
        store = Store()
        store.record(LARGE)
        store.record(FILE, file=True, segments=False)
        for key, content in store.contents.items():
            self.s3.put_object(Bucket=self.bucket, Key=f"{prefix}/{key}", Body=content)

    @cached_property
    def takes(self) -> list[Take]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.prefix)
        listing = [Part(each["Key"], each["Size"]) for page in pages for each in page["Contents"]]
        [file] = [part for part in listing if part.key.endswith("2/recording.mp4")]
        return [Take(number=1, segments=segments_in(listing)), Take(number=2, file=file)]

    def uploads(self) -> list[str]:
        answer = self.s3.list_multipart_uploads(Bucket=self.bucket, Prefix=self.prefix)
        return [each["Key"] for each in answer.get("Uploads", [])]


@pytest.fixture
def recordings(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Recordings]:
    recordings = Recordings(stack, f"assembling/{request.node.name}")
    yield recordings
    recordings.objects.close()


def test_from_s3_to_s3(recordings: Recordings) -> None:
    upload = recordings.objects.upload(recordings.result, "video/mp4")

    joined = join(plan(recordings.objects, recordings.takes), recordings.objects, upload)
    verified = verify(recordings.objects, Part(recordings.result, joined.size), joined)

    answer = recordings.s3.get_object(Bucket=recordings.bucket, Key=recordings.result)
    content = answer["Body"].read()
    assert answer["ContentType"] == "video/mp4"
    assert verified.size == joined.size == len(content) > 15 * 2**20
    assert messages(content) == ""
    assert watch(content).takes == [1, 2]
    assert recordings.uploads() == []


def test_t86_no_upload_stays_open(recordings: Recordings) -> None:
    planned = plan(recordings.objects, recordings.takes)
    recordings.s3.delete_object(Bucket=recordings.bucket, Key=f"{recordings.prefix}/2/recording.mp4")
    upload = recordings.objects.upload(recordings.result, "video/mp4")

    with pytest.raises(AwsError, match="NoSuchKey"):
        join(planned, recordings.objects, upload)

    assert recordings.uploads() == []
    with pytest.raises(ClientError, match="NoSuchKey"):
        recordings.s3.get_object(Bucket=recordings.bucket, Key=recordings.result)


def test_t86_uploads_of_killed_runs_are_forgotten(recordings: Recordings) -> None:
    folder = recordings.result.rpartition("/")[0]
    for key in (recordings.result, recordings.result, f"{folder}/1/recording.mp4"):
        recordings.objects.upload(key, "video/mp4").create()

    recordings.objects.abort_uploads(f"{folder}/")

    assert recordings.uploads() == [f"{folder}/1/recording.mp4"]
