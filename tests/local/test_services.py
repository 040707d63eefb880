"""Postgres and S3 of the local stack, and that they keep what they were given."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import httpx
import pg8000.native
import pytest

from local.services.external import Database
from local.stack import Part, Stack
from tests.local.waiting import eventually

if TYPE_CHECKING:
    from pathlib import Path

PARTS = Part.POSTGRES | Part.AWS
KEY = "recordings/1/a b ü.mp4"


def run(url: str, statement: str) -> list[list[object]] | None:
    at = Database(url)
    with pg8000.native.Connection(at.user, at.host, at.name, at.port, at.password) as connection:
        return connection.run(statement)


def link(stack: Stack, **parameters: str) -> str:
    stack.aws.s3.put_object(Bucket=stack.aws.bucket, Key=KEY, Body=b"0123456789", ContentType="video/mp4")
    return stack.aws.s3.generate_presigned_url(
        "get_object", Params={"Bucket": stack.aws.bucket, "Key": KEY, **parameters}
    )


def test_data_outlives_a_crash(tmp_path: Path) -> None:
    with Stack(tmp_path, parts=PARTS) as stack:
        run(stack.postgres.url(), "create table kept (id int)")
        stack.aws.s3.put_object(Bucket=stack.aws.bucket, Key="kept", Body=b"x", Metadata={"a": "b"})
        for name in ("postgres", "aws"):
            os.kill(stack.process(name).pid, signal.SIGKILL)
    with Stack(tmp_path, parts=PARTS) as stack:
        assert run(stack.postgres.url(), "select id from kept") == []
        kept = stack.aws.s3.get_object(Bucket=stack.aws.bucket, Key="kept")
        assert (kept["Body"].read(), kept["Metadata"]) == (b"x", {"a": "b"})


def test_a_database_is_a_copy_of_its_template(stack: Stack) -> None:
    run(stack.postgres.create_database("original"), "create table copied (id int)")
    assert run(stack.postgres.create_database("copy", template="original"), "select id from copied") == []
    stack.postgres.drop_database("copy")
    stack.postgres.create_database("copy")


def test_the_password_is_asked_for(stack: Stack) -> None:
    wrong = stack.postgres.url().replace(stack.postgres.password, "wrong")
    with pytest.raises(pg8000.native.DatabaseError, match="password authentication failed"):
        run(wrong, "select 1")


def test_a_link_serves_the_object_and_parts_of_it(stack: Stack) -> None:
    url = link(stack, ResponseContentDisposition='attachment; filename="talk.mp4"')
    whole = httpx.get(url)
    assert (whole.status_code, whole.content) == (200, b"0123456789")
    assert whole.headers["content-disposition"] == 'attachment; filename="talk.mp4"'
    assert whole.headers["content-type"] == "video/mp4"
    part = httpx.get(url, headers={"range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"234", "bytes 2-4/10")


@pytest.mark.parametrize("tampering", ["signature", "file name", "key", "nothing signed"])
def test_a_link_that_was_not_signed_like_this_is_403(stack: Stack, tampering: str) -> None:
    url = link(stack, ResponseContentDisposition="attachment; filename=talk.mp4")
    changed = {
        "signature": url[:-4] + ("0000" if url[-4:] != "0000" else "1111"),
        "file name": url.replace("talk.mp4", "virus.exe"),
        "key": url.replace("recordings/1/", "recordings/2/"),
        "nothing signed": url.partition("?")[0],
    }[tampering]
    assert changed != url
    assert httpx.get(changed).status_code == 403


def test_a_link_expires(stack: Stack) -> None:
    assert httpx.get(link(stack)).status_code == 200
    url = stack.aws.s3.generate_presigned_url(
        "get_object", Params={"Bucket": stack.aws.bucket, "Key": KEY}, ExpiresIn=1
    )
    eventually(lambda: httpx.get(url).status_code == 403)


def test_a_secret_is_replaced_under_the_same_arn(stack: Stack) -> None:
    arn = stack.aws.put_secret("a-secret", {"password": "old"})
    assert stack.aws.put_secret("a-secret", {"password": "new"}) == arn
    assert stack.aws.secrets.get_secret_value(SecretId=arn)["SecretString"] == '{"password": "new"}'
