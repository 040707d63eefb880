"""The sweep's bounds: what it does not reach in its time is left for the next."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from livekit.protocol import egress as protocol

from local.livekit.timing import SECOND
from recorder.reconciler import BATCH
from tests.support.events import event

if TYPE_CHECKING:
    from tests.support.deployment import Deployment


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
            # Time runs out at the second look at it.
            clock=lambda: deployment.livekit.clock.ns() + min(next(looks) * 20, 45) * SECOND,
        ),
    )
    assert (report["finished"], report["outcomes"]) == (False, {"orphan": BATCH})
