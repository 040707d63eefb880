"""Events out: at least once, in order per recording, with ids that stay; a failing bus loses and blocks nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from recorder.contract.schemas import EventJson, RecordingJson
from tests.support.forwarder import Forwarder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Deploy
    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs


@pytest.fixture
def bus(deployment: Deployment) -> Iterator[Forwarder]:
    """EventBridge, and all else of AWS but S3, behind an address that can be cut off."""
    aws = deployment.site.aws
    with Forwarder(lambda: aws.port) as forwarder:
        deployment.configure(AWS_ENDPOINT_URL_EVENTBRIDGE=f"http://127.0.0.1:{forwarder.port}")
        yield forwarder
        deployment.configure(AWS_ENDPOINT_URL_EVENTBRIDGE=aws.endpoint)


def _life(deployment: Deployment, user: User) -> str:
    recording_id = user.record(seconds=10)
    user.stop(recording_id)
    deployment.advance(2)
    user.delete(recording_id)
    return recording_id


LIFE = ["RecordingStarted", "RecordingActive", "RecordingStopping", "RecordingCompleted", "RecordingDeleted"]


def test_every_change_is_told_in_order(deployment: Deployment, alice: User) -> None:
    recording_id = _life(deployment, alice)
    deployment.sweep()
    events = deployment.events()
    assert [event["type"] for event in events] == LIFE
    assert {event["recordingId"] for event in events} == {recording_id}
    sequences = [cast("int", event["sequence"]) for event in events]
    assert sequences == sorted(set(sequences))
    assert len({event["id"] for event in events}) == len(LIFE)
    assert deployment.rows("select id from recording_events") == []


@pytest.mark.usefixtures("ends_with_its_worker")
def test_failure_is_told_with_its_reason(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(recording_id))
    deployment.advance(1)
    deployment.sweep()
    last = deployment.events()[-1]
    assert last["type"] == "RecordingFailed"
    assert cast("RecordingJson", last["recording"])["failureReason"] == "the process that recorded was killed"


def test_event_carries_the_recording_as_it_was_then(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record(seconds=10)
    alice.stop(recording_id)
    deployment.advance(2)
    deployment.sweep()
    events = deployment.events()
    for event in events:
        assert event.keys() == EventJson.__annotations__.keys()
        assert event["version"] == 1
        recording = cast("RecordingJson", event["recording"])
        assert recording.keys() == RecordingJson.__annotations__.keys()
        assert f"Recording{recording['status'].capitalize()}".startswith(str(event["type"])[:13])
        assert recording["updatedAt"] == event["occurredAt"]
    assert cast("RecordingJson", events[-1]["recording"]) == alice.get(recording_id).recording


def test_event_is_written_with_the_change_it_tells_of(deployment: Deployment, alice: User) -> None:
    alice.record(seconds=10)
    assert [
        row["type"] for row in deployment.rows("select type from recording_events order by position")
    ] == LIFE[:2]
    transactions = deployment.rows(
        """select recording_events.xmin = recordings.xmin as together
           from recording_events join recordings on recordings.id = recording_id
           where sequence = version"""
    )
    assert {"together": True} in transactions


def test_failing_bus_loses_and_blocks_nothing(
    deployment: Deployment, alice: User, bus: Forwarder, logs: Logs
) -> None:
    bus.cut_off()
    deployment.livekit.world.open_room("other")
    first = _life(deployment, alice)
    for _ in range(2):
        deployment.advance(61)
        deployment.sweep()
    assert deployment.events() == []
    assert len(logs.of("EVENTS_NOT_PUBLISHED")) == 2
    assert logs.metrics("UnpublishedEvents")[-1] == {"UnpublishedEvents": 5.0}
    second = alice.record("other", seconds=10)
    assert alice.get(second).recording["status"] == "active"

    bus.mend()
    deployment.advance(61)
    deployment.sweep()

    told = [(event["recordingId"], event["type"]) for event in deployment.events()]
    assert [kind for recording, kind in told if recording == first] == LIFE
    assert [kind for recording, kind in told if recording == second] == LIFE[:2]
    assert logs.metrics("UnpublishedEvents")[-1] == {"UnpublishedEvents": 0.0}


def test_event_whose_publication_was_not_noted_comes_again_with_the_same_id(
    deployment: Deployment, alice: User
) -> None:
    alice.record(seconds=10)
    kept = deployment.rows("select * from recording_events order by position")
    deployment.sweep()
    deployment.execute(
        """insert into recording_events (id, recording_id, sequence, type, occurred_at, body)
           select id, recording_id, sequence, type, occurred_at, body
           from json_populate_recordset(null::recording_events, cast(:rows as json))""",
        rows=json.dumps(kept),
    )
    deployment.sweep()
    ids = [event["id"] for event in deployment.events()]
    assert ids == [row["id"] for row in kept] * 2


def test_order_holds_across_sweeps_that_publish_at_once(deployment: Deployment, alice: User) -> None:
    for number in range(5):
        deployment.livekit.world.open_room(f"room {number}")
        recording_id = alice.record(f"room {number}", seconds=10)
        alice.stop(recording_id)
        deployment.advance(2)
    deployment.at_once(*[deployment.sweep] * 4)
    deployment.advance(61)
    deployment.sweep()
    told: dict[object, list[object]] = {}
    for event in deployment.events():
        told.setdefault(event["recordingId"], []).append(event["type"])
    assert list(told.values()) == [LIFE[:4]] * 5


def test_without_a_bus_no_events_are_kept(deploy: Deploy) -> None:
    deployment = deploy(EVENT_BUS_NAME="")
    _life(deployment, deployment.as_user("alice"))
    deployment.sweep()
    assert deployment.rows("select id from recording_events") == []
    assert deployment.events() == []
