"""Every input is either understood or refused by name: nothing else may come out of the parsers."""

from __future__ import annotations

import base64
import json
import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode
from uuid import UUID

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from recorder.api.endpoint import MAXIMUM_BODY_BYTES, Event, Request
from recorder.api.paging import CURSOR, DEFAULT_LIMIT, MAXIMUM_LIMIT, PARAMETERS, cursor_after, page_of
from recorder.contract.requests import StartRequest, parse, parse_patch
from recorder.errors import InvalidRequestError, RecordingNotFoundError, UnauthorizedError
from recorder.livekit.webhook import snapshot_in, verify
from recorder.settings import StorageSettings
from recorder.usecases.ports import Page
from tests.support.recordings import recording

if TYPE_CHECKING:
    from collections.abc import Callable

STORAGE = StorageSettings(bucket="recordings", deployment="test")
SECRET = "a-secret-of-more-than-thirty-two-bytes"
CONTROL = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)]

any_text = st.text(st.characters(codec=None))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner) | st.dictionaries(any_text, inner),
    max_leaves=20,
)
times = st.datetimes(timezones=st.timezones() | st.just(UTC)).map(datetime.isoformat)


def request(body: object = None, **event: object) -> Request:
    return Request({"body": body, **event})


# Queries


@given(st.text() | st.dictionaries(st.sampled_from(PARAMETERS) | st.text(), st.text() | times).map(urlencode))
@example("from=2026-01-01T00:00:00%2B23:59:59")
@example("to=0001-01-01T00:00:00%2B10:00")
def test_any_query_is_a_page_or_named_as_invalid(query: str) -> None:
    with suppress(InvalidRequestError):
        page = page_of(request(rawQueryString=query).query(*PARAMETERS), "alice")
        assert 1 <= page.limit <= MAXIMUM_LIMIT
        for time in (page.created_from, page.created_to):
            assert time is None or time.utcoffset() == timedelta()


@given(st.sampled_from(PARAMETERS), any_text, st.sampled_from(CONTROL), any_text)
def test_no_parameter_takes_a_control_character(name: str, before: str, character: str, after: str) -> None:
    value = quote(f"{before}{character}{after}", errors="replace")
    with pytest.raises(InvalidRequestError):
        request(rawQueryString=f"{name}={value}").query(*PARAMETERS)


@given(any_text)
@example(f"1_{UUID(int=1)}\n")
@example(f"٣_{UUID(int=1)}")
@example(f"99999999999999999_{UUID(int=1)}")
def test_what_no_list_gave_is_no_cursor(cursor: str) -> None:
    with pytest.raises(InvalidRequestError):
        page_of({"cursor": cursor}, "alice")


@given(st.from_regex(CURSOR, fullmatch=True))
def test_a_cursor_that_is_made_up_is_none(cursor: str) -> None:
    with pytest.raises(InvalidRequestError):
        page_of({"cursor": cursor}, "alice")


@given(st.datetimes(datetime(1800, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)), st.uuids())  # noqa: DTZ001
def test_a_cursor_leads_to_where_it_came_from(created_at: datetime, id_: UUID) -> None:
    page = page_of({}, "alice")
    cursor = cursor_after(page, recording(id=id_, created_at=created_at))

    assert re.fullmatch(CURSOR, cursor)
    assert page_of({"cursor": cursor}, "alice").after == (created_at, id_)


@pytest.mark.parametrize(
    ("query", "user_id"),
    [
        ({}, "bob"),
        ({"order": "asc"}, "alice"),
        ({"roomName": "a"}, "alice"),
        ({"status": "active"}, "alice"),
        ({"source": "track"}, "alice"),
        ({"reference": "a"}, "alice"),
    ],
)
def test_a_cursor_of_another_list_is_none(query: dict[str, str], user_id: str) -> None:
    cursor = cursor_after(page_of({}, "alice"), recording())

    with pytest.raises(InvalidRequestError):
        page_of(query | {"cursor": cursor}, user_id)


def test_an_empty_query_is_the_first_page() -> None:
    assert page_of(request().query(*PARAMETERS), "alice") == Page(user_id="alice", limit=DEFAULT_LIMIT)


# Bodies


@pytest.mark.parametrize("function", [partial(parse, StartRequest), parse_patch])
@given(body=any_text | json_values.map(json.dumps), encoded=st.booleans())
@example(body="[" * MAXIMUM_BODY_BYTES, encoded=False)
@example(body='{"\\ud800": 1}', encoded=False)
@example(body='{"roomName": "\\ud800"}', encoded=False)
def test_any_body_is_understood_or_named_as_invalid(
    function: Callable[[bytes], object], body: str, *, encoded: bool
) -> None:
    with suppress(InvalidRequestError):
        try:
            function(request(body, isBase64Encoded=encoded).body)
        except InvalidRequestError as error:
            json.dumps(error.details, ensure_ascii=False).encode()
            raise


@given(st.binary(max_size=200))
def test_a_body_in_base64_is_the_same_body(body: bytes) -> None:
    assert request(base64.b64encode(body).decode(), isBase64Encoded=True).body == body


@pytest.mark.parametrize("encoded", [False, True])
def test_a_body_of_64_kib_is_read_and_one_byte_more_refused(*, encoded: bool) -> None:
    def body(size: int) -> bytes:
        data = b" " * size
        text = base64.b64encode(data).decode() if encoded else data.decode()
        return request(text, isBase64Encoded=encoded).body

    assert len(body(MAXIMUM_BODY_BYTES)) == MAXIMUM_BODY_BYTES
    with pytest.raises(InvalidRequestError):
        body(MAXIMUM_BODY_BYTES + 1)


# Headers and path


@given(any_text)
def test_any_header_is_understood_or_named_as_invalid(value: str) -> None:
    headers: Event = {"headers": {"prefer": value, "idempotency-key": value, "authorization": value}}
    for name in ("wait", "idempotency_key", "public_url"):
        with suppress(InvalidRequestError):
            getattr(Request(headers), name)


@given(any_text)
def test_any_path_is_a_uuid_or_no_recording(id_: str) -> None:
    with suppress(RecordingNotFoundError):
        assert isinstance(request(pathParameters={"id": id_}).recording_id, UUID)


@given(json_values)
def test_any_context_is_a_caller_or_nobody(context: object) -> None:
    with pytest.raises(UnauthorizedError):
        _ = Request({"requestContext": context}).user_id


# Room names


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=512))
@example("👨‍👩‍👧 Familie / ../|{time} \"quoted\" 'n' \\")
@example("x" * 512)
@example(" ")
@example("\u00a0")
def test_a_room_name_is_anything_printable(name: str) -> None:
    try:
        accepted = StartRequest.model_validate({"roomName": name}).room_name
    except ValueError:
        assert not name.strip(" ") or any(character in CONTROL for character in name)
        return
    assert accepted == name
    assert not any(character in CONTROL for character in accepted)


@pytest.mark.parametrize("number", ["60", "60.0", "6e1"])
def test_a_whole_number_is_one_however_it_is_written(number: str) -> None:
    body = f'{{"roomName": "demo", "maxDuration": {number}}}'

    assert StartRequest.model_validate_json(body).max_duration == 60


@pytest.mark.parametrize("number", ["60.5", "1e999", "NaN", '"60"', "true", "1" + "0" * 400])
def test_what_is_no_whole_number_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match=r"maxDuration|Invalid JSON|invalid JSON"):
        StartRequest.model_validate_json(f'{{"roomName": "demo", "maxDuration": {number}}}')


# Webhooks


@given(any_text)
@example(base64.urlsafe_b64encode(b"[" * 60_000).decode() + ".e30.c2ln")
@example("é.é.é")
def test_any_webhook_signature_but_livekits_is_refused(authorization: str) -> None:
    with pytest.raises(UnauthorizedError):
        verify(b"{}", authorization, api_key="key", api_secret=SECRET)


@given(json_values.map(json.dumps).map(str.encode) | st.binary())
@example(b"[" * 100_000)
@example(b'{"egressInfo": ' + b"[" * 100_000)
@example(b'{"egressInfo": {"egressId": "EG_1", "status": []}}')
def test_any_webhook_body_is_a_snapshot_or_invalid(body: bytes) -> None:
    with suppress(InvalidRequestError):
        snapshot_in(body, STORAGE)
