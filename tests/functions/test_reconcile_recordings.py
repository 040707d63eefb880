"""The sweep's bounds: what it does not reach in its time is left for the next."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Final, cast
from uuid import uuid4

import pytest
from livekit.protocol import egress as protocol

from livekit_standin.timing import SECOND
from recorder.sweep.context import BATCH
from tests.support.events import EVENTS, event

if TYPE_CHECKING:
    from tests.support.deployment import Deployment, User

NAMED_IN_EVENTS: Final = "5f0d1b62-6c0e-4a53-9f43-0c2f5d0c8a11"


def run_without_rows(deployment: Deployment, number: int) -> None:
    """Have LiveKit run so many egress in this deployment's folders of which no row tells."""
    s3 = protocol.S3Upload(bucket=deployment.site.name, metadata={"deployment": deployment.site.name})
    for _ in range(number):
        output = protocol.EncodedFileOutput(filepath=f"recordings/{uuid4()}/recording.mp4", s3=s3)
        request = protocol.RoomCompositeEgressRequest(room_name="demo", layout="grid", file_outputs=[output])
        deployment.livekit.world.call("Egress", "StartRoomCompositeEgress", request)
    deployment.advance(10)


def test_orphans_that_are_too_many_for_the_time_left_wait_for_the_next_sweep(deployment: Deployment) -> None:
    run_without_rows(deployment, BATCH + 1)
    looks = count()
    report = cast(
        "dict[str, object]",
        deployment.invoke(
            "reconcile_recordings",
            event("reconcile_recordings_scheduled"),
            # Time runs out as soon as it is looked at.
            clock=lambda: deployment.livekit.clock.ns() + min(next(looks) * 40, 45) * SECOND,
        ),
    )
    assert (report["finished"], report["outcomes"]) == (False, {"orphan": BATCH})


@pytest.mark.parametrize("name", sorted(path.stem for path in EVENTS.glob("reconcile_recordings_*.json")))
def test_a_sweep_does_the_same_whatever_its_event_says(
    deployment: Deployment, alice: User, name: str
) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.stop(recording_id)
    deployment.advance(61)
    # The events of somebody else tell of the removal of this very recording.
    told = json.loads(json.dumps(event(name)).replace(NAMED_IN_EVENTS, recording_id))

    deployment.invoke("reconcile_recordings", told)

    assert alice.get(recording_id).recording["status"] == "completed"
    assert deployment.objects() == [f"recordings/{recording_id}/1/recording.mp4"]
