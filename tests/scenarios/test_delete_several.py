"""Several recordings deleted at once: invisible by one statement, and removed by the sweep."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from tests.support.deployment import Answer, Deployment, User


def _failed(answer: Answer) -> dict[str, str]:
    failed = cast("list[dict[str, str]]", answer.json["failed"])
    assert all(each["error"] for each in failed)
    return {each["id"]: each["code"] for each in failed}


@pytest.fixture
def ids(deployment: Deployment, alice: User) -> list[str]:
    """One of alice's that is completed, and two that record."""
    found = [alice.record(seconds=10)]
    alice.stop(found[0])
    deployment.advance(10)
    for room in ("one", "two"):
        deployment.livekit.world.open_room(room)
        found.append(alice.record(room, seconds=10))
    return found


def test_all_are_invisible_at_once_and_the_sweep_does_the_rest(
    deployment: Deployment, alice: User, ids: list[str]
) -> None:
    calls = len(deployment.livekit.calls)

    answer = alice.delete_all(*ids)

    assert (answer.status, answer.json) == (200, {"deleted": ids, "failed": []})
    assert len(deployment.livekit.calls) == calls
    assert alice.list().recordings == []
    assert [alice.get(each).status for each in ids] == [404, 404, 404]

    deployment.sweep()
    deployment.sweeps(2)
    assert not deployment.livekit.world.egresses()
    assert deployment.objects() == []
    deployment.advance(7200)
    deployment.sweeps(2)
    assert deployment.rows("select id from recordings") == []
    deleted = [event["recordingId"] for event in deployment.events() if event["type"] == "RecordingDeleted"]
    assert sorted(map(str, deleted)) == sorted(ids)


def test_what_is_not_the_callers_is_told_apart_and_keeps_nothing_up(
    deployment: Deployment, alice: User, bob: User, ids: list[str]
) -> None:
    deployment.livekit.world.open_room("theirs")
    theirs, nobodys = bob.record("theirs"), str(uuid4())
    alice.delete(ids[0])

    answer = alice.delete_all(ids[0], theirs, nobodys, ids[1], ids[1].upper())

    assert answer.json["deleted"] == [ids[1]]
    assert _failed(answer) == dict.fromkeys((ids[0], theirs, nobodys), "recording_not_found")
    assert bob.get(theirs).recording["status"] == "active"
    assert alice.get(ids[2]).recording["status"] == "active"


def test_an_expired_one_is_told_as_a_single_deletion_tells_it(deployment: Deployment, alice: User) -> None:
    deployment.configure(RETENTION_DAYS="1")
    recording_id = alice.record()
    deployment.livekit.stop(recording_id)
    deployment.advance(24 * 60 * 60 + 10)

    assert _failed(alice.delete_all(recording_id)) == {recording_id: "recording_gone"}


def test_a_hundred_go_in_one_statement_and_a_hundred_and_one_do_not(
    deployment: Deployment, alice: User
) -> None:
    deployment.execute_unseen(
        """insert into recordings (room_name, user_id, status, due_at)
           select 'demo', 'alice', 'completed', null from generate_series(1, 100)"""
    )
    ids = [str(each["id"]) for each in alice.list("limit=100").recordings]

    assert alice.delete_all(*ids, str(uuid4())).details == ["ids"]
    assert alice.delete_all(*ids).json["deleted"] == ids
    written = deployment.rows("select distinct xmin::text as of from recordings")
    assert len(written) == 1


def test_one_that_changes_meanwhile_is_deleted_too(
    deployment: Deployment, alice: User, ids: list[str]
) -> None:
    with deployment.row_locked(ids[1]) as until:
        stopped = deployment.begin(lambda: alice.stop(ids[1]))
        until(1)
        deleted = deployment.begin(lambda: alice.delete_all(*ids))
        until(2)
    assert stopped.result().status == 200

    assert deleted.result().json == {"deleted": ids, "failed": []}
    assert alice.list().recordings == []


def test_two_at_once_delete_each_once(deployment: Deployment, alice: User, ids: list[str]) -> None:
    answers = deployment.at_once(lambda: alice.delete_all(*ids), lambda: alice.delete_all(*ids[::-1]))

    assert [answer.status for answer in answers] == [200, 200]
    deployment.sweeps(4)
    deleted = [event["recordingId"] for event in deployment.events() if event["type"] == "RecordingDeleted"]
    assert sorted(map(str, deleted)) == sorted(ids)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["ids"]),
        ({"ids": []}, ["ids"]),
        ({"ids": "all"}, ["ids"]),
        ({"ids": ["1"]}, ["ids"]),
        ({"ids": [1]}, ["ids"]),
        ({"ids": [None, "x"]}, ["ids", "ids"]),
        ({"ids": [str(uuid4())], "force": True}, ["force"]),
        ([], ["body"]),
    ],
)
def test_a_wrong_body_is_named(alice: User, body: object, fields: list[str]) -> None:
    refused = alice.send("delete_recordings_some", body=json.dumps(body).encode())

    assert (refused.status, refused.details) == (400, fields)
