"""T47: one row, event or report that this release cannot read stops nothing else.

A newer release that was rolled back leaves values that this one does not know; other hands leave times that Python has
not. Each is put into the real table.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final
from uuid import uuid4

import pytest
from livekit.protocol import egress as protocol

from tests.support.deployment import sign

if TYPE_CHECKING:
    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs

LATER: Final = {
    "status": "status = 'archiving'",
    "kind": "source = 'hologram'",
    "stop reason": "stop_reason = 'handover'",
}
"""Values that only a later release stores; each is valid there."""
UNREADABLE: Final = {
    "expiry of infinity": "expires_at = 'infinity'",
    "year 12000": "started_at = '12000-01-01T00:00:00Z'",
    "before Christ": "recorder_seen_at = '0044-03-15T12:00:00Z BC'",
    "created at infinity": "created_at = 'infinity'",
    "created at the beginning": "created_at = '-infinity'",
    "created in the year 12000": "created_at = '12000-01-01T00:00:00Z'",
    "duration of NaN": "duration = 'NaN'",
    "duration of infinity": "duration = 'infinity'",
    "due since the beginning": "due_at = '-infinity', absent_since = 'infinity'",
}


def _change(deployment: Deployment, recording_id: str, columns: str) -> None:
    deployment.execute_unseen(
        f"update recordings set {columns} where id = cast(:id as uuid)", id=recording_id
    )


def _restore(deployment: Deployment, row: dict[str, object] | None) -> None:
    """Put a row back as it was, as the later release finds it, and have the sweep look at it."""
    assert row is not None
    columns = ", ".join(name for name in row if name != "id")
    deployment.execute_unseen(
        f"""update recordings set ({columns}) = (
            select {columns} from json_populate_record(null::recordings, cast(:row as json)))
            where id = cast(:id as uuid)""",
        row=json.dumps(row),
        id=row["id"],
    )


def _runs(deployment: Deployment, egress_id: str) -> bool:
    info = deployment.livekit.world.unended().get(egress_id)
    return info is not None and info.status == protocol.EGRESS_ACTIVE


@pytest.mark.parametrize("columns", LATER.values(), ids=LATER)
def test_t47_value_of_a_later_release_is_shown_and_left_alone(
    deployment: Deployment, alice: User, bob: User, logs: Logs, columns: str
) -> None:
    deployment.livekit.world.open_room("other")
    recording_id = alice.record(sweep=True)
    egress_id = deployment.livekit.egress_of(recording_id)
    before = deployment.row(recording_id)
    _change(deployment, recording_id, columns)
    deployment.livekit.world.faults.webhook_lost.always()
    others = bob.record("other")
    deployment.livekit.stop(others)

    deployment.sweeps(3)

    # Everybody else is served.
    assert bob.get(others).recording["status"] == "completed"
    # It is shown as it is, by each call, and it holds its room.
    name, _, value = columns.replace("'", "").partition(" = ")
    [listed] = alice.list().recordings
    shown = {"status": listed["status"], "source": listed["source"], "stop_reason": value}
    assert (listed["id"], shown[name]) == (recording_id, value)
    assert alice.get(recording_id).recording == listed
    conflict = alice.start(roomName="demo")
    assert (conflict.status, conflict["recordingId"]) == (409, recording_id)
    # Neither is its egress an orphan, nor did anything of it change but when the sweep looks again.
    assert _runs(deployment, egress_id)
    now = deployment.row(recording_id)
    assert now is not None
    assert {key for key in now if now[key] != before[key]} <= {name, "due_at", "refreshed_at"}  # type: ignore[index]
    # Its operator hears of it.
    line = logs.of("RECORDING_UNREADABLE")[-1]
    assert (line["recording_id"], line["columns"]) == (recording_id, name)
    assert logs.metrics("RecordingsUnreadable")
    # The later release is back, and settles it.
    _restore(deployment, before)
    deployment.livekit.stop(recording_id)
    deployment.sweeps(2)
    assert alice.get(recording_id).recording["status"] == "completed"


@pytest.mark.parametrize("columns", LATER.values(), ids=LATER)
def test_t47_report_about_a_recording_of_a_later_release_changes_nothing(
    deployment: Deployment, alice: User, columns: str
) -> None:
    recording_id = alice.record()
    held = deployment.livekit.hold_webhooks(deployment.domain)
    before = deployment.row(recording_id)
    _change(deployment, recording_id, columns)
    changed = deployment.row(recording_id)
    deployment.livekit.stop(recording_id)
    deployment.advance(5)

    assert {deployment.deliver(webhook) for webhook in held} == {200}

    assert deployment.row(recording_id) == changed
    _restore(deployment, before)


@pytest.mark.parametrize("columns", LATER.values(), ids=LATER)
def test_t47_recording_of_a_later_release_can_be_stopped_and_deleted(
    deployment: Deployment, alice: User, columns: str
) -> None:
    recording_id = alice.record()
    egress_id = deployment.livekit.egress_of(recording_id)
    _change(deployment, recording_id, columns)

    assert alice.stop(recording_id).status == 200
    deployment.advance(5)
    assert not _runs(deployment, egress_id)
    assert alice.delete(recording_id).status == 200
    assert alice.list().recordings == []
    assert alice.get(recording_id).status == 404
    deployment.sweeps(2)

    # The later release removes the rest of it.
    deployment.execute_unseen(
        """update recordings set source = 'room_composite', stop_reason = 'deleted', due_at = '2020-01-01',
           status = case when status = 'archiving' then 'stopping' else status end""",
    )


@pytest.mark.parametrize("columns", UNREADABLE.values(), ids=UNREADABLE)
def test_t47_unreadable_row_keeps_nobody_from_the_others(
    deployment: Deployment, alice: User, bob: User, logs: Logs, columns: str
) -> None:
    for room in ("other", "third"):
        deployment.livekit.world.open_room(room)
    first, recording_id, last = alice.record("other"), alice.record(sweep=True), alice.record("third")
    egress_id = deployment.livekit.egress_of(recording_id)
    before = deployment.row(recording_id)
    _change(deployment, recording_id, columns)
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.stop(first)

    deployment.sweeps(3)

    # Its owner's others are listed, also page by page, and settled.
    assert [each["id"] for each in alice.list().recordings] == [last, first]
    assert [each["status"] for each in alice.list().recordings] == ["active", "completed"]
    for order, expected in (("desc", [last, first]), ("asc", [first, last])):
        page = alice.list(f"limit=1&order={order}")
        following = alice.list(f"limit=1&order={order}&cursor={page['nextCursor']}")
        assert [each["id"] for each in page.recordings + following.recordings] == expected
        assert following.json["nextCursor"] is None
    # It holds its room, for everybody, and its egress is no orphan.
    for user in (alice, bob):
        conflict = user.start(roomName="demo")
        assert (conflict.status, conflict["code"]) == (409, "recording_in_progress")
        assert "recordingId" not in conflict.json
    assert _runs(deployment, egress_id)
    assert alice.get(recording_id).status == 404
    assert alice.delete(recording_id).status == 404
    # Its operator hears of it.
    line = logs.of("RECORDING_UNREADABLE")[-1]
    assert line["recording_id"] == recording_id
    assert logs.metrics("RecordingsUnreadable")
    # Once it is mended, it is settled.
    _restore(deployment, before)
    deployment.livekit.stop(recording_id)
    deployment.sweeps(2)
    assert alice.get(recording_id).recording["status"] == "completed"


def test_t47_webhook_about_an_unreadable_row_is_taken(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    held = deployment.livekit.hold_webhooks(deployment.domain)
    before = deployment.row(recording_id)
    _change(deployment, recording_id, "expires_at = 'infinity'")
    deployment.livekit.stop(recording_id)
    deployment.advance(5)

    assert {deployment.deliver(webhook) for webhook in held} == {200}

    _restore(deployment, before)
    deployment.sweeps(1)
    assert alice.get(recording_id).recording["status"] == "completed"


def test_t47_event_of_an_unknown_type_is_published_as_it_is(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.execute(
        """insert into recording_events (id, recording_id, sequence, type, occurred_at, body)
           values ('later-1', gen_random_uuid(), 0, 'RecordingPaused', now(), cast(:body as json))""",
        body=json.dumps(
            {"id": "later-1", "recordingId": str(uuid4()), "type": "RecordingPaused", "sequence": 0}
        ),
    )

    deployment.sweep()

    told = deployment.events()
    assert [each["type"] for each in told if each["recordingId"] == recording_id] == [
        "RecordingStarted",
        "RecordingActive",
    ]
    assert [each["type"] for each in told if each["id"] == "later-1"] == ["RecordingPaused"]
    assert deployment.rows("select id from recording_events") == []
    # The invariants know nothing of it.
    told[:] = [each for each in told if each["id"] != "later-1"]


def test_t47_webhook_of_an_egress_status_of_a_later_livekit_is_taken(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    info = {
        "egressId": deployment.livekit.egress_of(recording_id),
        "roomName": "demo",
        "status": "EGRESS_HIBERNATING",
    }
    body = json.dumps({"event": "egress_updated", "egressInfo": info}).encode()
    answer = deployment.post_webhook(f"/api/video/livekit/webhook/{recording_id}", body, sign(body))
    assert answer.status == 200
    assert alice.get(recording_id).recording["status"] == "active"
