"""LiveKit's server dies and comes back: what becomes of rooms, recorders and recordings."""

import json
from typing import TYPE_CHECKING

import pytest
from livekit.protocol import egress, room

from livekit_standin.timing import SECOND
from livekit_standin.twirp import SERVER_DOWN
from livekit_standin.webhooks import Webhook
from tests.livekit.life import MINUTE, ROOM, URL, Life, composite, track
from tests.livekit.recorded import load

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livekit_standin.jobs import StartRequest

GLOBAL = "http://global/hook"


def life_with_global_webhooks() -> Life:
    return Life(webhook_urls=(GLOBAL,))


def start_each_kind(life: Life) -> dict[str, str]:
    ada = life.room.participants["ada"]
    camera, microphone = ada.tracks
    outputs = composite().file_outputs
    requests: Mapping[str, StartRequest] = {
        "room composite": composite(audio_only=True),
        "participant": egress.ParticipantEgressRequest(room_name=ROOM, identity="ada", file_outputs=outputs),
        "track composite": egress.TrackCompositeEgressRequest(
            room_name=ROOM, audio_track_id=microphone.sid, video_track_id=camera.sid, file_outputs=outputs
        ),
        "track": track(microphone.sid),
        "web": egress.WebEgressRequest(url="http://page", file_outputs=outputs),
    }
    ids = {kind: life.start(request).egress_id for kind, request in requests.items()}
    life.wait(10 * SECOND)
    assert {life.status(egress_id) for egress_id in ids.values()} == {"ACTIVE"}
    return ids


def rooms(life: Life) -> room.ListRoomsResponse:
    outcome = life.world.call("RoomService", "ListRooms", room.ListRoomsRequest()).outcome
    assert isinstance(outcome, room.ListRoomsResponse)
    return outcome


def told(life: Life) -> list[str]:
    return [webhook.event for webhook in life.webhooks if webhook.url == GLOBAL and not webhook.egress_id]


def test_nothing_is_answered_and_nothing_told_while_it_is_away() -> None:
    life = life_with_global_webhooks()
    life.active()
    life.world.stop_server()
    before = len(life.webhooks)
    life.world.leave(ROOM, "ada")
    life.world.close_room(ROOM)
    life.world.join(ROOM, "alan")
    life.wait(5 * SECOND)
    assert len(life.webhooks) == before
    assert life.ask_start().outcome is SERVER_DOWN
    outcome = life.world.call("RoomService", "ListRooms", room.ListRoomsRequest()).outcome
    assert outcome is SERVER_DOWN


def test_for_5_s_only_what_records_tracks_ends() -> None:
    life = life_with_global_webhooks()
    ids = start_each_kind(life)
    (before,) = rooms(life).rooms
    tracks = [track.sid for track in life.room.participants["ada"].tracks]
    life.world.stop_server()
    life.wait(5 * SECOND)
    life.webhooks.clear()
    life.world.start_server()
    life.wait(5 * SECOND)
    assert {kind: life.status(egress_id) for kind, egress_id in ids.items()} == {
        "room composite": "ACTIVE",
        "participant": "ACTIVE",
        "track composite": "COMPLETE",
        "track": "COMPLETE",
        "web": "ACTIVE",
    }
    ended = life.read(ids["track composite"])
    assert ended is not None
    assert ended.details == recorded_end("server_restart_5s", "track composite, file: at the end")["details"]
    assert set(life.recorders()) == {ids["room composite"], ids["participant"]}
    (after,) = rooms(life).rooms
    assert (after.sid, after.num_participants) == (before.sid, before.num_participants)
    assert not set(tracks) & {track.sid for track in life.room.participants["ada"].tracks}
    events = told(life)
    assert (events[0], events.count("room_started")) == ("room_started", 1)
    assert events.count("participant_connection_aborted") == 2


def recorded_end(case: str, label: str) -> dict[str, str]:
    step = next(step for step in load(case).calls() if step.label == label)
    info: dict[str, str] = json.loads(step.response_body.removesuffix(" (trimmed)"))["items"][0]
    return info


def test_who_does_not_come_back_is_listed_for_ever_and_recorded_as_silence() -> None:
    life = life_with_global_webhooks()
    ids = start_each_kind(life)
    life.world.stop_server()
    life.wait(5 * SECOND)
    life.webhooks.clear()
    life.world.start_server(gone=("ada", "grace"))
    life.wait(30 * SECOND)
    assert {life.status(egress_id) for egress_id in ids.values()} == {"ACTIVE"}
    (found,) = rooms(life).rooms
    assert found.num_participants == 0
    request = room.ListParticipantsRequest(room=ROOM)
    listed = life.world.call("RoomService", "ListParticipants", request).outcome
    assert isinstance(listed, room.ListParticipantsResponse)
    assert {"ada", "grace"} <= {participant.identity for participant in listed.participants}
    assert "participant_left" not in told(life)
    # It is there again as soon as the first recorder is.
    assert told(life)[0] == "room_started"
    for egress_id in ids.values():
        life.stop(egress_id)
    life.wait(SECOND)
    assert {life.status(egress_id) for egress_id in ids.values()} == {"COMPLETE"}


def test_for_more_than_a_minute_workers_give_up_and_say_so_when_it_is_back() -> None:
    life = Life()
    egress_id = life.active().egress_id
    life.world.stop_server()
    lost = life.now
    life.wait(75 * SECOND)
    assert [upload.egress_id for upload in life.uploads] == [egress_id] * 2
    assert life.events(egress_id) == ["", "ACTIVE"]
    life.world.start_server()
    assert life.status(egress_id) == "ACTIVE"
    life.wait(15 * SECOND)
    info = life.read(egress_id)
    assert info is not None
    (step,) = load("livekit_server_down_75s").calls()
    real = json.loads(step.response_body)["items"][0]
    assert (info.error_code, info.error, info.details) == (real["error_code"], real["error"], real["details"])
    assert (info.status, info.file.size > 0, info.file.location != "") == (egress.EGRESS_FAILED, True, True)
    assert 60 * SECOND < info.ended_at - lost < 63 * SECOND
    assert life.events(egress_id) == ["", "ACTIVE", "ENDING", "FAILED"]
    # Redis has kept it in its room, as it keeps everybody who left meanwhile.
    assert (life.recorders(), life.recording()) == ([egress_id], False)


def test_a_worker_that_gave_up_is_not_heard_before_the_server_has_caught_up() -> None:
    life = Life()
    egress_id = life.active().egress_id
    life.world.stop_server()
    life.wait(75 * SECOND)
    life.world.start_server()
    assert life.ids(active=True) == [egress_id]
    answer = life.stop(egress_id)
    assert (answer.after > 3 * SECOND, life.status(egress_id)) == (True, "ACTIVE")


def test_what_was_queued_dies_with_the_server() -> None:
    life = Life()
    egress_id = life.start().egress_id
    life.wait(2 * SECOND)
    life.faults.webhook_late.next()
    life.wait(8 * SECOND)
    life.world.stop_server()
    life.world.start_server()
    life.wait(2 * MINUTE)
    assert life.events(egress_id) == [""]
    assert life.status(egress_id) == "ACTIVE"


@pytest.mark.parametrize("times", [1, 2])
def test_stopping_and_starting_again_changes_nothing_more(times: int) -> None:
    life = Life()
    egress_id = life.active().egress_id
    for _ in range(times):
        life.world.stop_server()
    for _ in range(times):
        life.world.start_server()
    life.wait(MINUTE)
    assert (life.status(egress_id), life.recorders()) == ("ACTIVE", [egress_id])


def hooks(webhooks: list[Webhook]) -> set[str]:
    return {webhook.url for webhook in webhooks}


def test_after_it_is_back_everything_goes_on_as_before() -> None:
    life = life_with_global_webhooks()
    life.world.stop_server()
    life.wait(5 * MINUTE)
    life.world.start_server()
    egress_id = life.active().egress_id
    life.stop(egress_id)
    life.wait(SECOND)
    assert life.events(egress_id) == ["", "", "ACTIVE", "ACTIVE", "ENDING", "ENDING", "COMPLETE", "COMPLETE"]
    assert hooks(life.webhooks) == {GLOBAL, URL}
