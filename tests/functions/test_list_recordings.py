"""List: filters, order, pages, and cursors that somebody tampered with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from recorder.api.paging import MAXIMUM_LIMIT

if TYPE_CHECKING:
    from tests.support.deployment import Deployment, User

SOME_ID = "6f1c2f2e-5d0e-4d0b-9d3a-2f6f0c5c7a11"


@pytest.fixture
def ids(deployment: Deployment, alice: User) -> list[str]:
    """Five of alice's, oldest first: completed and failed in `demo`, then three that run in rooms of their own."""
    alice.defaults["onWorkerLost"] = "end"
    found = [alice.record(seconds=10)]
    alice.stop(found[0])
    deployment.advance(2)
    found.append(alice.record(seconds=10))
    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(found[1]))
    deployment.advance(2)
    alice.defaults.clear()
    for number in range(3):
        deployment.livekit.world.open_room(f"room {number}")
        found.append(alice.record(f"room {number}", seconds=10))
    return found


def _ids(user: User, query: str = "") -> list[str]:
    answer = user.list(query)
    assert answer.status == 200, answer.text
    return [str(recording["id"]) for recording in answer.recordings]


def test_newest_come_first_unless_asked_otherwise(alice: User, ids: list[str]) -> None:
    assert _ids(alice) == _ids(alice, "order=desc") == ids[::-1]
    assert _ids(alice, "order=asc") == ids


def test_room_and_status_filter(alice: User, ids: list[str]) -> None:
    assert _ids(alice, "roomName=demo") == ids[1::-1]
    assert _ids(alice, "roomName=room+1") == _ids(alice, "roomName=room%201") == [ids[3]]
    assert _ids(alice, "roomName=nowhere") == []
    assert _ids(alice, "status=active") == ids[:1:-1]
    assert _ids(alice, "status=failed&roomName=demo") == [ids[1]]
    assert _ids(alice, "status=starting") == []


def test_kind_and_reference_filter_and_a_cursor_is_good_for_one_filter(
    deployment: Deployment, alice: User, ids: list[str]
) -> None:
    for recording_id in ids[:3]:
        alice.stop(recording_id, body=b'{"reference": "meeting/7"}')
    track = deployment.livekit.track("camera_vp8")
    ids.append(alice.start(roomName="demo", trackBased=True, trackSid=track)["recordingId"])

    assert _ids(alice, "reference=meeting%2F7") == ids[2::-1]
    assert _ids(alice, "reference=meeting%2F7&roomName=demo&order=asc") == ids[:2]
    assert _ids(alice, "reference=meeting") == _ids(alice, "reference=") == []
    assert _ids(alice, "source=track") == [ids[-1]]
    assert _ids(alice, "source=room_composite&reference=meeting%2F7") == ids[2::-1]
    assert _ids(alice, "source=web") == []
    cursor = alice.list("reference=meeting%2F7&limit=1")["nextCursor"]
    assert _ids(alice, f"reference=meeting%2F7&cursor={cursor}") == ids[1::-1]
    for query in ("", "reference=meeting&", "source=track&", "reference=meeting%2F7&source=track&"):
        assert alice.list(f"{query}cursor={cursor}").details == ["cursor"]


def test_times_filter_from_inclusive_to_exclusive(alice: User, ids: list[str]) -> None:
    created = {str(each["id"]): str(each["createdAt"]) for each in alice.list().recordings}
    second, fourth = (quote(created[ids[number]]) for number in (1, 3))
    assert _ids(alice, f"from={second}&to={fourth}&order=asc") in (ids[1:3], ids[1:4])
    assert set(_ids(alice, f"from={second}&order=asc")) >= set(ids[2:])
    assert _ids(alice, "from=2000-01-01T00:00:00Z&to=2001-01-01T00:00:00%2B01:00") == []
    assert _ids(alice, "from=2000-01-01t00:00:00.123456789z") == ids[::-1]


def test_limit_bounds_a_page_and_the_last_has_no_cursor(alice: User, ids: list[str]) -> None:
    first = alice.list("limit=3")
    assert [each["id"] for each in first.recordings] == ids[:1:-1]
    second = alice.list(f"limit=3&cursor={first['nextCursor']}")
    assert [each["id"] for each in second.recordings] == ids[1::-1]
    assert second.json["nextCursor"] is None
    assert alice.list("limit=5").json["nextCursor"] is None
    assert alice.list("limit=100").json["nextCursor"] is None
    assert alice.list().json["nextCursor"] is None


def test_default_page_has_fifty(deployment: Deployment, alice: User) -> None:
    deployment.execute(
        """insert into recordings (id, room_name, user_id, source, status, status_at, created_at, updated_at)
           select gen_random_uuid(), 'demo', 'alice', 'room_composite', 'completed', now(), now(), now()
           from generate_series(1, 51)"""
    )
    page = alice.list()
    assert len(page.recordings) == 50
    assert len(alice.list(f"cursor={page['nextCursor']}").recordings) == 1
    assert len(alice.list("limit=100").recordings) == 51


WRONG = {
    "limit": ("0", "-1", "abc", "101", "", "1.5", "1e1", "+5", "٣", "9" * 40),
    "order": ("up", "", "ASC", "desc,asc"),
    "status": ("done", "", "Active", "active,failed"),
    "source": ("", "rooms", "Track", "track,web"),
    "from": ("yesterday", "", "2026-13-01", "1700000000000000", "\0"),
    "to": (
        *("tomorrow", "2026-02-30T00:00:00Z", "1795042800000", "20230808120000Z", "2026-01-01"),
        *("2026-01-01T00:00:00", "2026-01-01T00:00Z", "2026-W01-1T00:00:00Z", "2026-001T00:00:00Z"),
        *(
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00 UTC",
            "+2026-01-01T00:00:00Z",
            "٢٠٢٦-01-01T00:00:00Z",
        ),
        *("2026-01-01T25:00:00Z", "2026-01-01T00:00:61Z", "0001-01-01T00:00:00+10:00"),
    ),
    "cursor": (
        *("", "x", "\0", "12345", "_", "1795000000000000_", "' or 1=1 --"),
        *(f"_{SOME_ID}", f"now_{SOME_ID}", f"1_{SOME_ID}x"),
    ),
    "user": ("bob",),
    "userId": ("bob",),
    "Limit": ("5",),
}


@pytest.mark.parametrize("parameter", WRONG)
def test_wrong_parameter_is_named(alice: User, parameter: str) -> None:
    for value in WRONG[parameter]:
        refused = alice.list(f"{parameter}={quote(value)}")
        assert (refused.status, refused["code"]) == (400, "invalid_request"), value
        assert refused.details == [parameter]


@pytest.mark.parametrize(
    "time",
    [
        *(
            "2000-01-01T00:00:00Z",
            "2000-01-01 00:00:00z",
            "2000-01-01t00:00:00.5+23:59",
            "1999-12-31T23:59:60Z",
        ),
        *("2000-01-01T00:00:00-00:00", "2000-01-01T00:00:00 01:00", "2000-01-01T00:00:00.123456789Z"),
    ],
)
def test_a_time_of_rfc_3339_is_one(alice: User, ids: list[str], time: str) -> None:
    assert _ids(alice, f"from={quote(time)}") == ids[::-1]


@pytest.mark.parametrize("query", ["limit=5&limit=6", "roomName=a&roomName=a"])
def test_parameter_that_comes_twice_is_named(alice: User, query: str) -> None:
    refused = alice.list(query)
    assert refused.status == 400
    assert refused.details == [query.partition("=")[0]]


def test_cursor_of_another_user_or_list_is_refused(alice: User, bob: User, ids: list[str]) -> None:
    cursor = alice.list("limit=1")["nextCursor"]
    assert len(alice.list(f"cursor={cursor}").recordings) == len(ids) - 1
    for foreign in (bob.list(f"cursor={cursor}"), alice.list(f"order=asc&cursor={cursor}")):
        assert (foreign.status, foreign.details) == (400, ["cursor"])


def test_cursor_of_a_deleted_recording_goes_on(alice: User, ids: list[str]) -> None:
    page = alice.list("limit=2")
    assert alice.delete(ids[3]).status == 200
    assert _ids(alice, f"cursor={page['nextCursor']}") == ids[2::-1]


LAMBDA_ANSWER_BYTES = 6 * 1024 * 1024


def test_longest_page_fits_into_lambdas_answer(deployment: Deployment, alice: User) -> None:
    """Lambda gives no answer above 6 MB: of the longest values the largest page stays below."""
    deployment.execute_unseen(
        """insert into recordings (user_id, room_name, status, status_at, due_at, storage_key, file_url,
                                   failure_code, failure_reason, end_reason, title, reference, metadata)
           select 'alice', repeat('😀', 512), 'failed', now(), null, repeat('k', 1024), repeat('u', 4096),
                  repeat('5', 20), repeat('😀', 500), 'stopped',
                  repeat('😀', 200), repeat('😀', 200), json_build_object('k', repeat('"', 2047))
           from generate_series(1, :limit)""",
        limit=MAXIMUM_LIMIT,
    )

    answer = alice.list(f"limit={MAXIMUM_LIMIT}")

    assert len(answer.recordings) == MAXIMUM_LIMIT
    # The body is a text in JSON again, and its escapes are escaped.
    assert len(json.dumps(answer.text)) < LAMBDA_ANSWER_BYTES
