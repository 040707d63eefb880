"""LiveKit's listing in pages: all of it is read, and a part of it is no evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from livekit.protocol import egress, models

from livekit_standin.timing import SECOND
from livekit_standin.twirp import REDIS_DOWN, Answer

if TYPE_CHECKING:
    from tests.support.deployment import Deployment, User

ROOMS = [f"room-{number}" for number in range(11)]


def _record_all(deployment: Deployment, user: User) -> list[str]:
    recordings = []
    for room in ROOMS:
        deployment.livekit.world.open_room(room, permanent=True)
        recordings.append(user.start(roomName=room)["recordingId"])
    deployment.advance(30)
    return recordings


@pytest.mark.parametrize("size", [1, 2, 10, 11, 12])
def test_t46_orphans_of_every_page_are_stopped(deployment: Deployment, alice: User, size: int) -> None:
    _record_all(deployment, alice)
    deployment.livekit.world.settings.page_size = size
    deployment.execute("delete from recordings")

    deployment.sweeps(2)
    deployment.advance(5)

    assert deployment.livekit.world.unended() == {}


@pytest.mark.parametrize("pages", ["are_read", "fail"])
def test_t46_recording_on_a_later_page_is_not_lost(deployment: Deployment, alice: User, pages: str) -> None:
    world = deployment.livekit.world
    world.faults.webhook_lost.always()
    world.faults.start.answer_lost.always()
    recordings = _record_all(deployment, alice)
    world.faults.start.answer_lost.off()
    world.settings.page_size = 2
    if pages == "fail":
        world.later_pages = Answer(REDIS_DOWN, 0)
    assert set(alice.statuses()) == {"starting"}

    deployment.sweeps(3)

    assert set(alice.statuses()) == ({"active"} if pages == "are_read" else {"starting"})
    world.later_pages = None
    deployment.sweeps(1)
    assert set(alice.statuses()) == {"active"}
    assert len(world.unended()) == len(recordings)


def test_t46_egress_on_a_later_page_of_its_room_is_found(deployment: Deployment, alice: User) -> None:
    world = deployment.livekit.world
    world.faults.webhook_lost.always()
    world.faults.start.answer_lost.next()
    recording_id = alice.start(roomName="demo")["recordingId"]
    deployment.advance(10)
    deployment.livekit.stop(recording_id)
    deployment.advance(5)
    # Others' egress of the room are newer. Of the one that has ended, only the list of the room tells.
    for number in range(3):
        output = egress.EncodedFileOutput(filepath=f"theirs/{number}", s3=egress.S3Upload(bucket="theirs"))
        request = egress.RoomCompositeEgressRequest(room_name="demo", file_outputs=[output])
        world.call("Egress", "StartRoomCompositeEgress", request)
    world.settings.page_size = 1

    deployment.sweeps(1)

    recording = alice.get(recording_id).recording
    assert (recording["status"], recording["fileSize"]) == ("completed", 20)
    assert recording["egressId"] is not None


def test_t46_list_that_does_not_end_is_no_evidence(deployment: Deployment, alice: User) -> None:
    recordings = _record_all(deployment, alice)
    world = deployment.livekit.world
    world.settings.page_size = 1
    again = egress.ListEgressResponse(next_page_token=models.TokenPagination(token="again"))
    world.later_pages = Answer(again, 2 * SECOND)

    outcomes = deployment.sweep()

    assert outcomes["list_unanswered"] == 1
    assert set(alice.statuses()) == {"active"}
    assert len(world.unended()) == len(recordings)
