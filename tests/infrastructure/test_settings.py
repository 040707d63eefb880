"""The settings that the template gives each function are enough for its work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.infrastructure.test_template import DATABASE, VARIABLES

if TYPE_CHECKING:
    from tests.support.deployment import Deployment

PLATFORM = ("AWS_", "DATABASE_TLS")


def test_each_function_does_its_work_with_the_settings_that_it_is_told(deployment: Deployment) -> None:
    everything = dict(deployment.settings)
    alice = deployment.as_user("alice")

    def tell(function: str) -> None:
        told = VARIABLES[function] | DATABASE
        deployment.configure(
            **{
                name: value if name in told or name.startswith(PLATFORM) else ""
                for name, value in everything.items()
            }
        )

    def status() -> object:
        row = deployment.row(recording_id)
        return row and row["status"]

    everything["SAFETY_SEGMENTS"] = "on"
    tell("StartRecording")
    recording_id = alice.start(roomName="demo")["recordingId"]
    deployment.livekit.world.open_room("other")
    other = alice.start(roomName="other")["recordingId"]
    tell("ReceiveLivekitWebhook")
    deployment.advance(30)
    assert status() == "active"
    tell("ListRecordings")
    assert alice.statuses() == ["active"] * 2
    tell("GetRecording")
    url = alice.get(recording_id)["playbackUrl"]
    tell("PlayRecording")
    assert deployment.play(url).status == 200
    tell("StopRecording")
    assert alice.stop(recording_id)["status"] == "stopping"
    tell("ReconcileRecordings")
    deployment.sweeps(2)
    assert status() == "completed"
    tell("GetRecording")
    assert alice.get(recording_id).json["downloadUrl"]
    tell("CreateLink")
    link = alice.share(recording_id)
    tell("OpenLink")
    assert deployment.open_link(link["url"]).json["playbackUrl"]
    tell("DeleteLink")
    assert alice.revoke(recording_id, link["linkId"]).status == 200
    tell("DeleteRecordings")
    assert alice.delete_all(other).json["deleted"] == [other]
    tell("ReconcileRecordings")
    deployment.sweeps(2)
    tell("DeleteRecording")
    assert alice.delete(recording_id).status == 200
    assert deployment.objects() == []
