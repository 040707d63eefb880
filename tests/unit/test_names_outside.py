"""A caller's names never escape: not from a key, a header, a link or a log line."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, unquote, urlsplit

from hypothesis import example, given
from hypothesis import strategies as st

from recorder.aws.storage import S3Storage, content_disposition
from recorder.domain.recording import as_file_name, object_prefix
from recorder.settings import AwsSettings
from recorder.telemetry import Code, log
from recorder.untrusted import cleaned
from tests.support.recordings import recording

if TYPE_CHECKING:
    from uuid import UUID

TOKEN: Final = r"[A-Za-z0-9!#$&+.^_`|~-]|%[0-9A-F]{2}"
HEADER: Final = re.compile(rf"attachment; filename=\"([ -~]*)\"; filename\*=UTF-8''((?:{TOKEN})+)")
SETTINGS: Final = AwsSettings(
    region="eu-central-1",
    access_key="AKIDEXAMPLE",
    secret_key="secret",
    session_token="t" * 1200,
)
any_text = st.text(st.characters(codec=None), min_size=1)
room_names = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), min_size=1, max_size=512
)


@given(any_text)
@example('a"; filename=x.exe; b="')
@example("a\r\nSet-Cookie: b=c")
@example("../../etc/passwd")
@example("a\\b\u202ec")
def test_no_file_name_escapes_its_header(file_name: str) -> None:
    header = content_disposition(file_name)

    match = HEADER.fullmatch(header)
    assert match is not None
    plain, extended = match.groups()
    assert not {*plain} & {*'"\\/'}
    assert not {*unquote(extended, errors="strict")} & {*"\\/\r\n"}


@given(room_names)
@example("👩" * 512)
@example("x" * 512)
@example("../../etc/passwd")
@example("a\\b\u202ec")
@example("👩\u200d👧")
def test_every_room_name_makes_a_file_name_that_disks_and_links_can_carry(room_name: str) -> None:
    file_name = recording(room_name=room_name, storage_key="recordings/a/recording.mp4").file_name

    assert file_name is not None
    assert re.fullmatch(r".* \d{4}-\d\d-\d\d \d\d-\d\d-\d\d\.mp4", file_name)
    assert len(file_name.encode()) <= 255
    assert as_file_name(room_name).startswith(file_name[:-24])
    assert file_name == as_file_name(file_name)
    assert not {*file_name} & {*"/\\\u202e"}
    storage = S3Storage("bucket", SETTINGS)
    url, _ = storage.link("recordings/a/b.mp4", file_name=file_name, mime_type="video/mp4", seconds=3600)
    assert len(url) < 4096


@given(any_text, any_text.filter(str.isprintable))
@example("recordings/a/b.mp4?versionId=1&x=y#z", "a&X-Amz-Expires=604800")
def test_neither_key_nor_file_name_escapes_its_place_in_a_link(file_name: str, key: str) -> None:
    storage = S3Storage("bucket", SETTINGS)
    url = urlsplit(storage.link(key, file_name=file_name, mime_type=None, seconds=3600)[0])
    query = parse_qs(url.query, strict_parsing=True)

    assert (url.scheme, url.netloc, url.fragment) == ("https", "bucket.s3.eu-central-1.amazonaws.com", "")
    assert unquote(url.path) == f"/{key}"
    assert query["response-content-disposition"] == [content_disposition(file_name)]
    assert query["X-Amz-Expires"] == ["3600"]
    assert {*query} == {
        "response-content-disposition",
        *(f"X-Amz-{name}" for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders")),
        *("X-Amz-Security-Token", "X-Amz-Signature"),
    }


@given(st.uuids())
def test_an_objects_folder_is_made_of_the_recordings_id_alone(id_: UUID) -> None:
    assert re.fullmatch(r"recordings/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/", object_prefix(id_))


@given(any_text)
@example("\ud800")
@example('a\r\n{"message": "forged"}')
@example("a\u2028b\x1b[2J")
def test_no_fact_escapes_its_line_of_the_log(fact: str) -> None:
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(log.logger.registered_formatter)
    logger = logging.getLogger(log.logger.service)
    logger.addHandler(handler)
    try:
        log.info(Code.STARTED, reason=fact)
    finally:
        logger.removeHandler(handler)

    [line] = lines.getvalue().splitlines()
    assert json.loads(line.encode())["reason"] == cleaned(fact)
