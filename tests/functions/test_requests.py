"""Headers, bodies, queries and identities at every endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest

from recorder.api.endpoint import HEADERS
from tests.support.events import EVENTS, event, http_event
from tests.support.functions import function_of

if TYPE_CHECKING:
    from tests.support.deployment import Deployment, User

ENDPOINTS = {
    "start_recording_room": b'{"roomName":"demo"}',
    "list_recordings_first_page": None,
    "get_recording_completed": None,
    "stop_recording_no_body": None,
    "delete_recording_one": None,
    "create_link_week": b"{}",
    "delete_link_one": None,
    "delete_recordings_some": b'{"ids":["6f1c2f2e-5d0e-4d0b-9d3a-2f6f0c5c7a11"]}',
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_answers_carry_the_security_headers(deployment: Deployment, alice: User, name: str) -> None:
    answers = [
        alice.send(name, recording_id=_id(name), body=ENDPOINTS[name]),
        alice.send(name, recording_id=_id(name), body=ENDPOINTS[name], query="x=1"),
        deployment.request(function_of(name), http_event(name, claims={}, recording_id=_id(name))),
    ]
    for answer in answers:
        assert HEADERS.items() <= answer.headers.items()
        assert answer.headers["Cache-Control"] == "no-store"
        assert "*" not in answer.headers.values()


@pytest.mark.parametrize("name", ENDPOINTS)
def test_token_without_a_subject_is_nobody(deployment: Deployment, name: str) -> None:
    nobody: list[dict[str, str]] = [{}, {"sub": ""}, {"name": "alice"}]
    for claims in nobody:
        request = http_event(name, claims=claims, recording_id=_id(name), body=ENDPOINTS[name])
        answer = deployment.request(function_of(name), request)
        assert (answer.status, answer["code"]) == (401, "unauthorized")
    assert deployment.livekit.calls == []
    assert deployment.rows("select id from recordings") == []


@pytest.mark.parametrize("name", ENDPOINTS)
@pytest.mark.parametrize(
    "subject",
    ["a\0b", "\ud800", "a\nb", "a" * 3000, "☃" * 400],
    ids=["nul", "surrogate", "line", "long", "wide"],
)
def test_token_with_a_subject_that_cannot_be_kept_is_nobody(
    deployment: Deployment, name: str, subject: str
) -> None:
    request = http_event(name, claims={"sub": subject}, recording_id=_id(name), body=ENDPOINTS[name])
    answer = deployment.request(function_of(name), request)
    assert (answer.status, answer["code"]) == (401, "unauthorized")
    assert deployment.rows("select id from recordings") == []


@pytest.mark.parametrize(
    "subject", ["auth0|5fe4", "a" * 255, "☃" * 255, "O'Neill; drop table recordings", "1"]
)
def test_token_with_any_other_subject_is_somebody(deployment: Deployment, subject: str) -> None:
    user = deployment.as_user(subject)
    recording_id = user.record(seconds=1)
    assert user.get(recording_id).recording["userId"] == subject
    assert [recording["id"] for recording in user.list().recordings] == [recording_id]


@pytest.mark.parametrize("name", ENDPOINTS)
def test_without_an_authorizer_nobody_is_let_in(deployment: Deployment, name: str) -> None:
    request = http_event(name, recording_id=_id(name), body=ENDPOINTS[name])
    del request["requestContext"]["authorizer"]
    request["headers"]["x-user-id"] = "alice"
    assert deployment.request(function_of(name), request).status == 401


@pytest.mark.parametrize("name", [name for name in ENDPOINTS if not name.startswith("list")])
def test_unknown_query_parameter_is_named(alice: User, name: str) -> None:
    refused = alice.send(name, recording_id=_id(name), body=ENDPOINTS[name], query="force=1&force=2")
    assert (refused.status, refused["code"]) == (400, "invalid_request")
    assert refused.details == ["force"]


@pytest.mark.parametrize(
    "name", ["get_recording_completed", "stop_recording_no_body", "delete_recording_one"]
)
def test_id_that_is_none_is_not_found(alice: User, name: str) -> None:
    for recording_id in ("1", "abc", "%2e%2e", "0" * 32 + "g", "'; drop table recordings"):
        answer = alice.send(name, recording_id=recording_id)
        assert (answer.status, answer["code"]) == (404, "recording_not_found")


@pytest.mark.parametrize("spelling", [str.upper, lambda text: text.replace("-", "")], ids=["upper", "plain"])
def test_id_in_another_spelling_is_the_same_id(alice: User, spelling: type[str]) -> None:
    recording_id = alice.record(seconds=1)
    assert alice.get(spelling(recording_id)).recording["id"] == recording_id


def test_start_needs_an_object(deployment: Deployment) -> None:
    for body in (
        b"",
        b"null",
        b"[]",
        b'"x"',
        b"1",
        b"{",
        b"\xff",
        b'{"roomName":"demo"',
        b"{'roomName':'demo'}",
    ):
        encoded = http_event("start_recording_room", claims={"sub": "alice"}, body=body, base64_encoded=True)
        answer = deployment.request("start_recording", encoded)
        assert (answer.status, answer["code"]) == (400, "invalid_request")
        assert answer.details == ["body"]


def test_stop_with_a_body_that_is_no_object_is_refused(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=10)
    for body in (b"[]", b"null", b"{", b"1", b'"stop"', b"\xff\xfe"):
        request = http_event(
            "stop_recording_no_body",
            claims={"sub": "alice"},
            recording_id=recording_id,
            body=body,
            base64_encoded=True,
        )
        answer = deployment.request("stop_recording", request)
        assert (answer.status, answer["code"]) == (400, "invalid_request")
        assert answer.details == ["body"]
    assert alice.statuses() == ["active"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"action":"rewind"}', "action"),
        (b'{"action":null}', "action"),
        (b'{"action":"STOP"}', "action"),
        (b'{"action":"stop","now":true}', "now"),
    ],
)
def test_stop_with_another_wish_is_refused(alice: User, body: bytes, field: str) -> None:
    recording_id = alice.record(seconds=10)
    answer = alice.stop(recording_id, body=body)
    assert answer.status == 400
    assert answer.details == [field]
    assert alice.statuses() == ["active"]


@pytest.mark.parametrize("body", [None, b"", b"  ", b"{}", b'{"action":"stop"}', b'{ "action" : "stop" }'])
def test_stop_takes_no_body_or_the_action(alice: User, body: bytes | None) -> None:
    assert alice.stop(alice.record(seconds=10), body=body)["status"] == "stopping"


@pytest.mark.parametrize("size", [64 * 1024 + 1, 1024 * 1024])
@pytest.mark.parametrize("name", ["start_recording_room", "stop_recording_no_body"])
def test_body_that_is_too_large_is_refused(alice: User, name: str, size: int) -> None:
    answer = alice.send(name, recording_id=_id(name), body=b" " * size)
    assert (answer.status, answer["code"]) == (400, "invalid_request")
    assert answer.details == ["body"]


@pytest.mark.parametrize(
    ("prefer", "longest"),
    [
        ("wait=3", 3),
        ("respond-async, wait=3", 3),
        ('WAIT = "3"', 3),
        ("wait=3, handling=lenient", 3),
        ("return=minimal", 0),
        ("", 0),
        ("wait=0", 0),
        ("wait=3; foo=bar", 3),
        ('wait=3;foo="a, b";;bar', 3),
        ('foo="a, wait=9", wait=3', 3),
        ('foo="a, wait=9"', 0),
        ('foo="a\\", wait=9"', 0),
        ("wait=3, wait=9", 3),
        ("foo; wait=9", 0),
        (",, ,wait=3,", 3),
        # Nothing of a header that may be ignored is an error.
        ("wait", 0),
        ("wait=", 0),
        ("wait=soon", 0),
        ("wait=-1", 0),
        ("wait=1.5", 0),
        ("wait=٣", 0),
        ("wait=1 2", 0),
        ("wait=soon, wait=9", 0),
        ('"', 0),
        ('foo="a, wait=9', 0),
        ("@=3, wait=3", 3),
    ],
)
def test_preference_to_wait_is_read(deployment: Deployment, alice: User, prefer: str, longest: int) -> None:
    recording_id = alice.record(seconds=10)
    began = deployment.livekit.clock.now()
    answer = alice.send("get_recording_completed", recording_id=recording_id, headers={"prefer": prefer})
    seconds = (deployment.livekit.clock.now() - began).total_seconds()
    assert answer.status == 200
    assert longest <= seconds < longest + 1


@pytest.mark.parametrize("key", ["k", "k" * 255, "~!@#$%^&*() "])
def test_idempotency_key_may_be_any_printable_ascii(alice: User, key: str) -> None:
    first = alice.start(headers={"idempotency-key": key}, roomName="demo")
    assert first.status == 201
    assert alice.start(headers={"idempotency-key": key}, roomName="demo").json == first.json


@pytest.mark.parametrize("key", ["", "k" * 256, "ключ", "a\tb", "a\x7f"])
def test_idempotency_key_out_of_bounds_is_named(deployment: Deployment, alice: User, key: str) -> None:
    refused = alice.start(headers={"idempotency-key": key}, roomName="demo")
    assert (refused.status, refused["code"]) == (400, "invalid_request")
    assert refused.details == ["Idempotency-Key"]
    assert deployment.rows("select id from recordings") == []


SUCCESSES = {
    "start_recording_room": 201,
    "start_recording_every_option": 201,
    "start_recording_described": 201,
    "start_recording_unknown_field": 400,
    "start_recording_no_subject": 401,
    "list_recordings_first_page": 200,
    "list_recordings_of_a_room": 200,
    "list_recordings_of_a_reference": 200,
    "list_recordings_bad_limit": 400,
    "list_recordings_no_subject": 401,
    # Nobody has the recording of which the others speak.
    "get_recording_completed": 404,
    "get_recording_waiting": 404,
    "get_recording_unknown_parameter": 400,
    "get_recording_no_subject": 401,
    "stop_recording_no_body": 404,
    "stop_recording_action": 404,
    "stop_recording_pause": 404,
    "stop_recording_resume": 404,
    "stop_recording_unknown_action": 400,
    "stop_recording_describe": 404,
    "stop_recording_describe_and_stop": 400,
    "stop_recording_no_subject": 401,
    "delete_recording_one": 404,
    "delete_recording_unknown_parameter": 400,
    "delete_recording_no_subject": 401,
    "create_link_week": 404,
    "create_link_hour_with_download": 404,
    "create_link_too_long": 400,
    "create_link_no_subject": 401,
    "delete_link_one": 404,
    "delete_link_unknown_parameter": 400,
    "delete_link_no_subject": 401,
    "open_link_unknown": 404,
    "open_link_no_token": 400,
    "open_link_not_json": 400,
    "delete_recordings_some": 200,
    "delete_recordings_no_ids": 400,
    "delete_recordings_no_subject": 401,
    "play_recording_live": 404,
    "play_recording_no_token": 404,
    "play_recording_unknown_parameter": 400,
}


@pytest.mark.parametrize("name", SUCCESSES)
def test_event_file_behaves_as_its_name_says(deployment: Deployment, name: str) -> None:
    answer = cast("dict[str, object]", deployment.invoke(function_of(name), event(name)))
    assert answer["statusCode"] == SUCCESSES[name]


def test_event_file_of_a_track_speaks_of_one_that_livekit_looks_for(deployment: Deployment) -> None:
    answer = cast("dict[str, object]", deployment.invoke("start_recording", event("start_recording_track")))
    assert answer["statusCode"] == 201
    [recording] = deployment.as_user("alice").list().recordings
    assert recording["trackSid"] == "TR_VCa1b2c3d4e5f6"


def test_event_files_of_one_recording_work_on_it(deployment: Deployment) -> None:
    alice = deployment.as_user("alice")
    recording_id = alice.record(seconds=10)
    placeholder = str(cast("dict[str, str]", event("get_recording_completed")["pathParameters"])["id"])
    deployment.execute("update recordings set id = cast(:new as uuid)", new=placeholder)
    assert recording_id != placeholder
    statuses = []
    for name in (
        "get_recording_completed",
        "stop_recording_no_body",
        "stop_recording_action",
        "stop_recording_describe",
        "delete_recording_one",
    ):
        answer = cast("dict[str, object]", deployment.invoke(function_of(name), event(name)))
        statuses.append(answer["statusCode"])
        deployment.advance(10)
    assert statuses == [200] * 5


def test_every_event_file_is_one_of_a_function_and_tested() -> None:
    names = {path.stem for path in EVENTS.iterdir()}
    # These do the same for every event: their own tests run each of their files.
    others = (
        "receive_livekit_webhook",
        "reconcile_recordings",
        "begin_take",
        "assemble_recording",
        "migrate_database",
        "check_deployment",
        "serve_console",
    )
    assert {name for name in names if not name.startswith(others)} == {*SUCCESSES, "start_recording_track"}
    assert {function_of(name) for name in names} == {
        "start_recording",
        "list_recordings",
        "get_recording",
        "stop_recording",
        "delete_recording",
        "delete_recordings",
        "create_link",
        "delete_link",
        "open_link",
        "play_recording",
        "receive_livekit_webhook",
        "reconcile_recordings",
        "begin_take",
        "assemble_recording",
        "migrate_database",
        "check_deployment",
        "serve_console",
    }


def _id(name: str) -> str | None:
    return str(uuid4()) if "pathParameters" in event(name) else None
