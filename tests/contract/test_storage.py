"""The contract of the bucket, held by MiniStack, by moto and by the storage in memory."""

from __future__ import annotations

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol
from urllib.request import urlopen

import boto3
import pytest
from botocore.config import Config
from moto.server import ThreadedMotoServer

from recorder.aws.storage import S3Storage
from recorder.errors import StorageUnavailableError
from recorder.outbound import all_within
from recorder.settings import AwsSettings
from recorder.telemetry import cause_of
from recorder.usecases.ports import Media
from simulator.memory import MemoryStorage
from tests.support.outside import LOOPBACK, before, listening, trickling
from tests.support.recordings import T0, recording

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Callable, Iterator, Mapping
    from collections.abc import Set as AbstractSet

    from mypy_boto3_s3 import S3Client

    from local.stack import Stack
    from recorder.usecases.ports import Storage
    from tests.support.outside import Refuse, Reply


class Bucket(Protocol):
    """A storage, and what a test does to its bucket behind its back."""

    @property
    def storage(self) -> Storage: ...
    def put(self, key: str, size: int) -> None: ...
    def held(self) -> AbstractSet[str]: ...


@dataclass(frozen=True)
class MemoryBucket:
    storage: MemoryStorage

    def put(self, key: str, size: int) -> None:
        self.storage.put(key, size, T0)

    def held(self) -> AbstractSet[str]:
        return self.storage.objects.keys()


@dataclass(frozen=True)
class S3Bucket:
    storage: S3Storage
    s3: S3Client
    name: str

    def put(self, key: str, size: int) -> None:
        self.s3.put_object(Bucket=self.name, Key=key, Body=b"x" * size)

    def held(self) -> AbstractSet[str]:
        return {each["Key"] for each in self.s3.list_objects_v2(Bucket=self.name).get("Contents", [])}


def settings(endpoint: str, access_key: str, secret_key: str) -> AwsSettings:
    return AwsSettings(
        region="us-east-1",
        access_key=access_key,
        secret_key=secret_key,
        session_token="",
        s3_endpoint_url=endpoint,
    )


def s3_bucket(endpoint: str, access_key: str, secret_key: str) -> S3Bucket:
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(s3={"addressing_style": "path"}),
    )
    name = "contract"
    client.create_bucket(Bucket=name)
    return S3Bucket(S3Storage(name, settings(endpoint, access_key, secret_key)), client, name)


@pytest.fixture(scope="module")
def buckets(stack: Stack) -> Iterator[dict[str, S3Bucket]]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        made = {
            "ministack": s3_bucket(stack.aws.endpoint, stack.aws.access_key, stack.aws.secret_key),
            "moto": s3_bucket(f"http://{host}:{port}", "any", "any"),
        }
        yield made
        for bucket in made.values():
            bucket.storage.close()
    finally:
        server.stop()


@pytest.fixture(params=["memory", "ministack", "moto"])
def bucket(request: pytest.FixtureRequest) -> Bucket:
    if request.param == "memory":
        return MemoryBucket(MemoryStorage())
    known: dict[str, S3Bucket] = request.getfixturevalue("buckets")
    found = known[request.param]
    for key in found.held():
        found.s3.delete_object(Bucket=found.name, Key=key)
    return found


def test_finds_the_media_file_beside_a_manifest(bucket: Bucket) -> None:
    wanted = recording()
    assert bucket.storage.find(wanted) is None
    bucket.put(f"{wanted.prefix}EG_1.json", 2)
    assert bucket.storage.find(wanted) is None
    bucket.put(f"{wanted.prefix}recording.mp4", 7)
    file = bucket.storage.find(wanted)
    assert file is not None
    assert (file.key, file.size) == (f"{wanted.prefix}recording.mp4", 7)
    assert file.modified_at.tzinfo is not None


def test_finds_the_file_that_livekit_named_before_the_one_that_was_asked_for(bucket: Bucket) -> None:
    wanted = recording()
    named = wanted._replace(storage_key=f"pre/{wanted.prefix}recording.mp4")
    bucket.put(f"{wanted.prefix}recording.mp4", 3)
    bucket.put(f"pre/{wanted.prefix}recording.mp4", 5)
    for known, size in ((wanted, 3), (named, 5)):
        file = bucket.storage.find(known)
        assert file is not None
        assert file.size == size
    bucket.storage.delete(named)
    assert not bucket.held()


@pytest.mark.parametrize(
    "name", ["", "poster.jpg", "EG_1.json", "recording.mp4.part", "hls/recording.mp4", "recording.txt"]
)
def test_finds_nothing_but_the_file(bucket: Bucket, name: str) -> None:
    wanted = recording()
    bucket.put(f"{wanted.prefix}{name}", 2)
    bucket.put(f"{wanted.prefix}recording.mp4", 0)
    assert bucket.storage.find(wanted) is None


def test_inspects_what_is_there(bucket: Bucket) -> None:
    bucket.put("a b/recording.bin", 70_000)
    bucket.put("empty.mp4", 0)
    assert bucket.storage.inspect("a b/recording.bin") == Media(None)
    assert bucket.storage.inspect("empty.mp4") is None
    assert bucket.storage.inspect("missing.mp4") is None


def test_finds_nothing_of_another_recording(bucket: Bucket) -> None:
    bucket.put(f"{recording().prefix}recording.mp4", 1)
    assert bucket.storage.find(recording()) is None


def test_deletes_a_folder_and_nothing_else(bucket: Bucket) -> None:
    unwanted, other = recording(), recording()
    bucket.put(f"{other.prefix}recording.mp4", 1)
    for name in ("recording.mp4", "EG_1.json", "thumbnails/1.png"):
        bucket.put(unwanted.prefix + name, 1)
    bucket.storage.delete(unwanted)
    assert bucket.held() == {f"{other.prefix}recording.mp4"}


def test_deletes_what_is_not_there(bucket: Bucket) -> None:
    bucket.storage.delete(recording())
    assert not bucket.held()


def test_finds_and_deletes_the_file_of_a_row_that_was_taken_over(bucket: Bucket) -> None:
    adopted = recording(storage_key="old/demo.mp4")
    bucket.put("old/demo.mp4", 3)
    bucket.put("old/demo2.mp4", 3)
    file = bucket.storage.find(adopted)
    assert file is not None
    assert file.key == "old/demo.mp4"
    bucket.storage.delete(adopted)
    assert bucket.held() == {"old/demo2.mp4"}


@pytest.mark.parametrize("bucket", ["ministack", "moto"], indirect=True)
def test_a_link_opens_the_file_under_its_name(bucket: Bucket) -> None:
    wanted = recording()
    bucket.put(f"{wanted.prefix}recording.mp4", 5)
    url, _ = bucket.storage.link(
        f"{wanted.prefix}recording.mp4", file_name='a "b" ☃.mp4', mime_type="video/mp4", seconds=60
    )
    with urlopen(url) as answer:
        assert answer.read() == b"xxxxx"
        assert answer.headers["content-disposition"] == (
            "attachment; filename=\"a _b_ _.mp4\"; filename*=UTF-8''a%20%22b%22%20%E2%98%83.mp4"
        )


@pytest.mark.parametrize("bucket", ["ministack", "moto"], indirect=True)
def test_links_open_their_objects_and_stay_the_same_for_a_while(bucket: Bucket) -> None:
    keys = [f"segments/x/1/segment_{number:05d}.ts" for number in range(3)]
    for size, key in enumerate(keys, 1):
        bucket.put(key, size)
    # A quarter of the seconds may end between two calls, but not twice.
    made = [bucket.storage.links(keys, seconds=3600) for _ in range(3)]
    assert made[0] == made[1] or made[1] == made[2]
    for size, url in enumerate(made[2], 1):
        with urlopen(url) as answer:
            assert answer.read() == b"x" * size
    assert not bucket.storage.links([], seconds=3600)


@pytest.mark.parametrize("bucket", ["ministack", "moto"], indirect=True)
def test_reads_the_end_of_a_text(bucket: Bucket) -> None:
    bucket.put("playlist.m3u8", 10)
    assert bucket.storage.read_text("playlist.m3u8") == "x" * 10
    assert bucket.storage.read_text("playlist.m3u8", last=4) == "x" * 4
    assert bucket.storage.read_text("playlist.m3u8", last=40) == "x" * 10
    bucket.put("empty.m3u8", 0)
    assert not bucket.storage.read_text("empty.m3u8", last=4)
    assert bucket.storage.read_text("missing.m3u8", last=4) is None


@pytest.mark.parametrize("step", ["find", "delete", "inspect"])
def test_says_when_the_bucket_does_not_answer(step: str) -> None:
    storage = S3Storage("contract", settings("http://127.0.0.1:9", "any", "any"))
    steps: dict[str, Callable[[], object]] = {
        "find": lambda: storage.find(recording()),
        "delete": lambda: storage.delete(recording()),
        "inspect": lambda: storage.inspect("a.mp4"),
    }
    with pytest.raises(StorageUnavailableError):
        steps[step]()


STRANGE_NAMES: Final = ("a b.mp4", "a+b.mp4", "a%20b.mp4", "ä&<>'\"☃.mp4", "x/../y.mp4", "a?b#c.mp4")


def test_deletes_objects_of_any_name(bucket: Bucket) -> None:
    unwanted = recording()
    for name in STRANGE_NAMES:
        bucket.put(unwanted.prefix + name, 1)
    bucket.storage.delete(unwanted)
    assert not bucket.held()


def test_finds_an_object_of_a_strange_name(bucket: Bucket) -> None:
    wanted = recording()
    key = f"{wanted.prefix}a b+c%20☃.mp4"
    bucket.put(key, 1)
    file = bucket.storage.find(wanted._replace(storage_key=key))
    assert file is not None
    assert file.key == key


def test_deletes_a_folder_of_more_objects_than_s3_lists_or_removes_at_once_in_a_few_calls(
    stack: Stack,
) -> None:
    calls: list[str] = []

    def as_s3_does(method: str, path: str, _: Mapping[str, str], body: bytes) -> Reply | None:
        calls.append(f"{method} {path}")
        too_many = body.count(b"<Object>") > 1000
        return (400, b"<Error><Code>MalformedXML</Code></Error>") if too_many else None

    with store(stack, as_s3_does) as bucket, ThreadPoolExecutor(8) as threads:
        unwanted = recording()
        list(threads.map(lambda number: bucket.put(f"{unwanted.prefix}{number}.ts", 1), range(1001)))
        bucket.storage.delete(unwanted)
        assert not {key for key in bucket.held() if key.startswith(unwanted.prefix)}
    # Two listings and two removals of one folder, and a listing of the other.
    assert len(calls) == 5


# Stores that are not quite S3


def wants_content_md5(_: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
    if "?delete" not in path:
        return None
    digest = base64.b64encode(hashlib.md5(body).digest()).decode()
    if headers.get("content-md5") == digest:
        return None
    return 400, b"<Error><Code>MissingContentMD5</Code></Error>"


def knows_no_delete_objects(_: str, path: str, __: Mapping[str, str], ___: bytes) -> Reply | None:
    return (501, b"<Error><Code>NotImplemented</Code></Error>") if "?delete" in path else None


def takes_it_for_another_call(_: str, path: str, __: Mapping[str, str], ___: bytes) -> Reply | None:
    return (200, b"") if "?delete" in path else None


@contextmanager
def store(stack: Stack, refuse: Refuse) -> Iterator[S3Bucket]:
    """A bucket behind a store of another mind."""
    aws = stack.aws
    with before(aws.endpoint, refuse) as endpoint:
        behind = s3_bucket(aws.endpoint, aws.access_key, aws.secret_key)
        storage = S3Storage(behind.name, settings(endpoint, aws.access_key, aws.secret_key))
        try:
            yield S3Bucket(storage, behind.s3, behind.name)
        finally:
            storage.close()


@pytest.mark.parametrize("refuse", [wants_content_md5, knows_no_delete_objects, takes_it_for_another_call])
def test_t60_deletes_in_a_store_that_is_not_quite_s3(stack: Stack, refuse: Refuse) -> None:
    with store(stack, refuse) as bucket:
        unwanted = recording()
        for name in ("recording.mp4", "EG_1.json", *STRANGE_NAMES):
            bucket.put(unwanted.prefix + name, 1)
        bucket.storage.delete(unwanted)
        assert not {key for key in bucket.held() if key.startswith(unwanted.prefix)}


def test_an_object_that_s3_does_not_remove_among_others_is_an_error(stack: Stack) -> None:
    def holds_one(_: str, path: str, __: Mapping[str, str], ___: bytes) -> Reply | None:
        refused = b"<Error><Key>k</Key><Code>AccessDenied</Code><Message>locked</Message></Error>"
        return (200, b"<DeleteResult>" + refused + b"</DeleteResult>") if "?delete" in path else None

    with store(stack, holds_one) as bucket:
        unwanted = recording()
        bucket.put(f"{unwanted.prefix}recording.mp4", 1)
        with pytest.raises(StorageUnavailableError) as caught:
            bucket.storage.delete(unwanted)
    assert cause_of(caught.value) == {"cause": "aws_refused", "error": "AwsError", "aws": "AccessDenied"}


def test_an_error_of_s3s_own_is_tried_again(stack: Stack) -> None:
    failed: list[str] = []

    def fails_once_each(method: str, path: str, __: Mapping[str, str], ___: bytes) -> Reply | None:
        call = f"{method} {path}"
        if call in failed:
            return None
        failed.append(call)
        return 503, b"<Error><Code>SlowDown</Code></Error>"

    with store(stack, fails_once_each) as bucket:
        unwanted = recording()
        bucket.put(f"{unwanted.prefix}recording.mp4", 1)
        bucket.storage.delete(unwanted)
        assert f"{unwanted.prefix}recording.mp4" not in bucket.held()
    assert len(failed) == 3


@pytest.mark.parametrize("status", [403, 503])
def test_trouble_with_one_object_is_none_with_the_bucket(stack: Stack, status: int) -> None:
    def keeps_it(method: str, path: str, _: Mapping[str, str], __: bytes) -> Reply | None:
        refused = b"<Error><Code>InvalidObjectState</Code></Error>"
        return (status, refused) if method == "GET" and "/recording.mp4" in path else None

    with store(stack, keeps_it) as bucket:
        wanted = recording()
        bucket.put(f"{wanted.prefix}recording.mp4", 7)
        if status == 403:
            file = bucket.storage.find(wanted)
            assert file is not None
            assert (file.size, file.duration) == (7, None)
        else:
            with pytest.raises(StorageUnavailableError):
                bucket.storage.find(wanted)
        with pytest.raises(StorageUnavailableError) as caught:
            bucket.storage.inspect(f"{wanted.prefix}recording.mp4")
    assert cause_of(caught.value)["aws"] == "InvalidObjectState"


def test_a_store_that_sends_a_whole_file_for_a_part_of_it_is_not_listened_to() -> None:
    sent = 0

    def everything(connection: socket.socket, over: threading.Event) -> None:
        nonlocal sent
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
        while not over.is_set():
            connection.sendall(bytes(65536))
            sent += 65536

    with listening(everything) as port:
        storage = S3Storage("b", settings(f"http://{LOOPBACK}:{port}", "any", "any"))
        with pytest.raises(StorageUnavailableError):
            storage.inspect("recording.mp4")
    assert sent < 100_000_000


def test_t49_a_listing_that_trickles_is_no_answer() -> None:
    page = b"<ListBucketResult></ListBucketResult>"
    with listening(trickling(page)) as port:
        storage = S3Storage("b", settings(f"http://{LOOPBACK}:{port}", "any", "any"))
        with all_within(1), pytest.raises(StorageUnavailableError) as caught:
            storage.find(recording())
    assert cause_of(caught.value)["cause"] == "timed_out"
