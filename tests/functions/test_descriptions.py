"""Title, reference and metadata: given at the start, changed at any time, told in answers and events."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from recorder.domain.recording import DESCRIPTION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.deployment import Answer, Deployment, User

WORDS: dict[str, object] = {
    "title": 'Weekly "north" ☃',
    "reference": "meeting/7",
    "metadata": {"z": "", "a": "o'brien \\ ☃"},
}


def _described(user: User, recording_id: str) -> dict[str, object]:
    recording = user.get(recording_id).recording
    return {name: recording[name] for name in DESCRIPTION}


def _start(user: User, words: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Answer:
    body = json.dumps({"roomName": "demo", **words}).encode()
    return user.send("start_recording_room", body=body, headers=headers)


def _describe(user: User, recording_id: str, **words: object) -> Answer:
    return user.stop(recording_id, body=json.dumps(words).encode())


def test_what_the_start_gave_is_told_as_it_was_given(alice: User) -> None:
    started = _start(alice, WORDS)

    assert _described(alice, started["recordingId"]) == WORDS
    [listed] = alice.list().recordings
    assert {name: listed[name] for name in DESCRIPTION} == WORDS
    assert [*cast("dict[str, str]", listed["metadata"])] == ["z", "a"]


def test_without_words_there_are_none(alice: User) -> None:
    started = alice.start(roomName="demo")

    assert _described(alice, started["recordingId"]) == dict.fromkeys(DESCRIPTION)


def test_each_word_is_changed_or_cleared_and_the_others_stay(alice: User) -> None:
    recording_id = _start(alice, WORDS)["recordingId"]

    changes: tuple[dict[str, object], ...] = (
        {"title": "Other"},
        {"reference": None},
        {"metadata": {}},
        {"title": None, "reference": "8"},
    )
    for change in changes:
        before = _described(alice, recording_id)
        answer = _describe(alice, recording_id, **change)
        assert answer.status == 200
        assert answer.json.keys() == {"recordingId", "egressId", "status", "fileUrl", "duration"}
        assert _described(alice, recording_id) == before | change


def test_it_may_be_changed_in_every_status_and_stops_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = alice.start(roomName="demo")["recordingId"]
    statuses = []
    for title in ("starting", "active", "stopping", "completed"):
        statuses.append(_describe(alice, recording_id, title=title)["status"])
        assert _described(alice, recording_id)["title"] == title
        if title == "active":
            alice.stop(recording_id)
        else:
            deployment.advance(10)

    assert statuses == ["starting", "active", "stopping", "completed"]


def test_events_carry_it_and_none_tells_of_its_change(deployment: Deployment, alice: User) -> None:
    recording_id = alice.start(roomName="demo", title="first")["recordingId"]
    deployment.advance(10)
    deployment.sweep()
    _describe(alice, recording_id, title="second")
    deployment.sweeps(1)
    assert len(deployment.events()) == 2
    alice.stop(recording_id)
    deployment.sweeps(1)

    titles = [cast("dict[str, object]", event["recording"])["title"] for event in deployment.events()]
    assert titles == ["first", "first", "second", "second"]


def test_somebody_who_goes_on_changing_it_does_not_put_off_the_sweep(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    deployment.sweep()
    due = deployment.rows("select due_at from recordings")

    for second in range(5):
        deployment.advance(5)
        _describe(alice, recording_id, title=str(second))

    assert deployment.rows("select due_at from recordings") == due


def test_nothing_new_writes_nothing(deployment: Deployment, alice: User) -> None:
    recording_id = _start(alice, WORDS)["recordingId"]
    before = deployment.rows("select version from recordings")

    assert _describe(alice, recording_id, **WORDS).status == 200

    assert deployment.rows("select version from recordings") == before


def test_a_change_and_a_stop_at_once_are_both_done(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    with deployment.row_locked(recording_id) as until:
        answers = [
            deployment.begin(lambda: _describe(alice, recording_id, title="both")),
            deployment.begin(lambda: alice.stop(recording_id)),
        ]
        until(2)
    assert [answer.result().status for answer in answers] == [200, 200]

    recording = alice.get(recording_id).recording
    assert (recording["title"], recording["status"]) == ("both", "stopping")


def test_only_its_owner_changes_it(alice: User, bob: User) -> None:
    recording_id = alice.start(roomName="demo")["recordingId"]

    assert _describe(bob, recording_id, title="bob's")["code"] == "recording_not_found"
    alice.delete(recording_id)
    assert _describe(alice, recording_id, title="late")["code"] == "recording_not_found"


WRONG: tuple[tuple[dict[str, object], str], ...] = (
    ({"title": ""}, "title"),
    ({"title": "  "}, "title"),
    ({"title": "a\nb"}, "title"),
    ({"title": "x" * 201}, "title"),
    ({"title": 7}, "title"),
    ({"reference": "x" * 201}, "reference"),
    ({"reference": "a\0b"}, "reference"),
    ({"metadata": ["a"]}, "metadata"),
    ({"metadata": {"a": 1}}, "metadata"),
    ({"metadata": {"a": None}}, "metadata"),
    ({"metadata": {"": "a"}}, "metadata"),
    ({"metadata": {"a\n": "a"}}, "metadata"),
    ({"metadata": {"a": "\0"}}, "metadata"),
    ({"metadata": {"k" * 65: "a"}}, "metadata"),
    ({"metadata": {"a": "x" * 513}}, "metadata"),
    ({"metadata": {str(number): "a" for number in range(17)}}, "metadata"),
    ({"metadata": {str(number): "☃" * 171 for number in range(4)}}, "metadata"),
)


@pytest.mark.parametrize(("words", "field"), WRONG)
def test_a_word_that_is_none_is_named_at_start_and_change(
    deployment: Deployment, alice: User, words: dict[str, object], field: str
) -> None:
    refused = _start(alice, words)
    assert (refused.status, refused.details) == (400, [field])
    assert not deployment.livekit.world.egresses()

    recording_id = alice.start(roomName="demo")["recordingId"]
    refused = _describe(alice, recording_id, **words)
    assert (refused.status, refused.details) == (400, [field])


def test_the_longest_words_are_taken(alice: User) -> None:
    words = {
        "title": "☃" * 200,
        "reference": "😀" * 200,
        "metadata": {f"{number:>64}": "x" * 64 for number in range(16)},
    }

    started = _start(alice, words)

    assert _described(alice, started["recordingId"]) == words


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"action": "stop", "title": "a"}, ["title"]),
        ({"metadata": {}, "action": "stop", "reference": None}, ["reference", "metadata"]),
        ({"action": "pose", "title": "a"}, ["title"]),
        ({"title": "a", "roomName": "b"}, ["roomName"]),
        ({"titel": "a"}, ["titel"]),
        ({"action": "explode"}, ["action"]),
        ([], ["body"]),
    ],
)
def test_what_does_not_go_together_is_named_and_changes_nothing(
    deployment: Deployment, alice: User, body: object, fields: list[str]
) -> None:
    recording_id = alice.record()
    before = deployment.rows("select version from recordings")

    refused = alice.stop(recording_id, body=json.dumps(body).encode())

    assert (refused.status, refused.details) == (400, fields)
    assert deployment.rows("select version from recordings") == before


def test_the_same_key_with_other_words_is_another_request(alice: User) -> None:
    key = {"idempotency-key": "a wish"}
    first = _start(alice, WORDS, key)

    assert _start(alice, WORDS, key)["recordingId"] == first["recordingId"]
    for name in WORDS:
        other = {word: value for word, value in WORDS.items() if word != name}
        assert _start(alice, other, key)["code"] == "idempotency_mismatch"
