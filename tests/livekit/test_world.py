"""A World beyond the captures: rooms and recorders, faults, forgetting."""

import json
from collections.abc import Callable

import pytest
from livekit.protocol import egress, models, room

from livekit_standin.faults import Faults
from livekit_standin.notifier import UNKNOWN_STATUS
from livekit_standin.timing import SECOND, Delay, Timing
from livekit_standin.twirp import TwirpError
from tests.livekit.life import DAY, MINUTE, ROOM, SIZE, Life, composite, s3, track
from tests.livekit.recorded import load

LIFE = ["", "ACTIVE", "ENDING", "COMPLETE"]


def test_a_created_room_has_two_participants_who_publish() -> None:
    life = Life()
    life.world.call("RoomService", "CreateRoom", room.CreateRoomRequest(name="made"))
    request = room.ListParticipantsRequest(room="made")
    outcome = life.world.call("RoomService", "ListParticipants", request).outcome
    assert isinstance(outcome, room.ListParticipantsResponse)
    mime_types = {p.identity: [track.mime_type for track in p.tracks] for p in outcome.participants}
    assert mime_types == {"ada": ["video/VP8", "audio/opus"], "grace": ["video/H264", "audio/opus"]}


def test_every_call_to_an_unknown_room_or_participant_is_refused() -> None:
    life = Life()
    unknown = room.RoomParticipantIdentity(room=ROOM, identity="nobody")
    for method, request in (
        ("DeleteRoom", room.DeleteRoomRequest(room="nowhere")),
        ("GetParticipant", unknown),
        ("RemoveParticipant", unknown),
    ):
        outcome = life.world.call("RoomService", method, request).outcome
        assert isinstance(outcome, TwirpError)
        assert outcome.status == 404


def test_a_recorder_is_in_its_room_while_the_real_one_was() -> None:
    recorded = {step.when: step for step in load("recorder_presence").steps}
    life = Life()
    life.room.participants["ada"].tracks[0].sid = "TR_VC1"
    started = life.start(track("TR_VC1"))
    life.wait(SECOND // 2)
    assert life.recording() is recorded["track egress just started"].active_recording
    life.wait(3 * SECOND)
    assert life.recording() is recorded["3 s later"].active_recording
    assert life.recorders() == [started.egress_id]
    second = life.start()
    life.wait(SECOND)
    assert second.egress_id not in life.recorders()
    life.wait(2 * SECOND)
    assert life.status(second.egress_id) == "STARTING"
    assert life.recorders() == [started.egress_id, second.egress_id]
    life.stop(started.egress_id)
    life.wait(SECOND // 32)
    assert life.status(started.egress_id) == "ENDING"
    assert life.recorders() == [second.egress_id]
    life.wait(5 * SECOND)
    life.world.kill_host(second.egress_id)
    life.wait(20 * SECOND)
    assert life.recording() is True
    life.wait(6 * SECOND)
    assert life.recording() is False
    assert life.status(second.egress_id) == "ACTIVE"


def test_a_web_egress_joins_no_room() -> None:
    life = Life()
    output = egress.EncodedFileOutput(filepath="web", s3=s3())
    started = life.start(egress.WebEgressRequest(url="http://page", file_outputs=[output]))
    life.wait(10 * SECOND)
    assert life.status(started.egress_id) == "ACTIVE"
    assert not life.recording()


def web() -> egress.WebEgressRequest:
    return egress.WebEgressRequest(
        url="https://page", file_outputs=[egress.EncodedFileOutput(filepath="web", s3=s3())]
    )


def test_a_page_that_cannot_be_loaded_fails() -> None:
    life = Life()
    life.faults.page_fails.next()
    egress_id = life.start(web()).egress_id
    life.wait(10 * SECOND)
    info = life.read(egress_id)
    assert info is not None
    assert (info.status, info.error_code, info.details) == (egress.EGRESS_FAILED, 400, "End reason: Failure")
    assert info.error.startswith("page load error: ")
    assert (info.file.duration, life.uploads) == (0, [])


@pytest.mark.parametrize("url", ["", "ftp://page", "page"])
def test_only_pages_of_the_web_are_recorded(url: str) -> None:
    request = web()
    request.url = url
    outcome = Life().ask_start(request).outcome
    assert isinstance(outcome, TwirpError)
    assert outcome.message.endswith("missing or invalid field: web url")


def test_a_browsers_file_can_be_longer_than_its_duration() -> None:
    life = Life(Timing(surplus=Delay(1.5)))
    life.faults.duration_short.always()
    info = life.recorded()
    _, recording = life.files()[info.egress_id]
    assert recording.duration - info.file.duration == 3 * SECOND // 2


def test_a_new_layout_is_in_the_metadata_of_the_recorder() -> None:
    life = Life()
    egress_id = life.active().egress_id
    for label, layout in (
        ("participants of the room: where the layout is", "speaker"),
        ("participants again", ""),
    ):
        request = egress.UpdateLayoutRequest(egress_id=egress_id, layout=layout)
        answer = life.world.call("Egress", "UpdateLayout", request).outcome
        assert isinstance(answer, egress.EgressInfo)
        assert answer.room_composite.layout == ""
        recorded = next(step for step in load("update_layout").calls() if step.label == label)
        participants = json.loads(recorded.response_body)["participants"]
        metadata = next(each["metadata"] for each in participants if each["kind"] == "EGRESS")
        assert life.room.recorders[egress_id].metadata == metadata
    life.stop(egress_id)
    life.wait(SECOND)
    _, recording = life.files()[egress_id]
    assert recording.layout == "grid"
    unknown = life.world.call("Egress", "UpdateLayout", egress.UpdateLayoutRequest(egress_id="EG_x")).outcome
    assert isinstance(unknown, TwirpError)
    assert unknown.status == 404


def test_what_records_tracks_ends_when_none_of_them_is_published() -> None:
    life = Life()
    camera, microphone = life.room.participants["ada"].tracks
    both = egress.TrackCompositeEgressRequest(
        room_name=ROOM, audio_track_id=microphone.sid, video_track_id=camera.sid
    )
    both.file_outputs.extend(composite().file_outputs)
    ids = [life.activated(both), life.activated(track(camera.sid))]
    life.world.unpublish(ROOM, "ada", models.CAMERA)
    life.wait(SECOND)
    assert [life.status(egress_id) for egress_id in ids] == ["ACTIVE", "COMPLETE"]
    life.world.unpublish(ROOM, "ada", models.MICROPHONE)
    life.wait(SECOND)
    info = life.read(ids[0])
    assert info is not None
    assert (info.status, info.details) == (egress.EGRESS_COMPLETE, "End reason: Source closed")


def test_a_composite_in_a_room_without_tracks_starts_when_somebody_joins() -> None:
    life = Life()
    life.world.leave(ROOM)
    started = life.start()
    life.wait(2 * MINUTE)
    assert life.status(started.egress_id) == "STARTING"
    life.world.join(ROOM, "ada")
    life.wait(SECOND)
    assert life.status(started.egress_id) == "ACTIVE"


def test_starting_egresses_are_aborted_when_their_room_closes() -> None:
    life = Life()
    started = life.start()
    life.wait(SECOND)
    life.world.close_room(ROOM)
    life.wait(SECOND)
    info = life.read(started.egress_id)
    assert info is not None
    assert (info.status, info.error_code) == (egress.EGRESS_ABORTED, 412)
    assert info.details == "End reason: Source closed"


def test_a_room_closes_20_s_after_its_last_participant_left_unless_it_is_permanent() -> None:
    life = Life()
    life.world.open_room("passing")
    for name in ("passing", ROOM):
        life.world.leave(name)
    life.wait(19 * SECOND)
    life.start(composite(room_name="passing"))
    life.wait(2 * SECOND)
    outcome = life.ask_start(composite(room_name="passing")).outcome
    assert isinstance(outcome, TwirpError)
    assert outcome.status == 404
    life.start()


def test_a_removed_recorder_has_lost_its_source() -> None:
    life = Life()
    egress_id = life.active().egress_id
    request = room.RoomParticipantIdentity(room=ROOM, identity=egress_id)
    life.world.call("RoomService", "RemoveParticipant", request)
    life.wait(SECOND)
    assert life.status(egress_id) == "COMPLETE"


def test_a_list_can_come_in_pages() -> None:
    life = Life()
    ids = {life.active().egress_id for _ in range(5)}
    whole = life.ids(active=True)
    life.world.settings.page_size = 2
    request = egress.ListEgressRequest(active=True)
    pages: list[list[str]] = []
    while not pages or request.page_token.token:
        outcome = life.world.call("Egress", "ListEgress", request).outcome
        assert isinstance(outcome, egress.ListEgressResponse)
        pages.append([info.egress_id for info in outcome.items])
        request.page_token.CopyFrom(outcome.next_page_token)
        # One that ends between two pages moves nothing.
        life.stop(pages[0][-1])
        life.wait(SECOND)
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [egress_id for page in pages for egress_id in page] == whole
    assert set(whole) == ids
    request.page_token.token = "not one"
    refused = life.world.call("Egress", "ListEgress", request).outcome
    assert isinstance(refused, TwirpError)
    assert refused.status == 400


def test_an_ended_egress_is_forgotten_after_a_day() -> None:
    life = Life()
    egress_id = life.active().egress_id
    life.stop(egress_id)
    life.wait(SECOND)
    life.wait(DAY - 2 * SECOND)
    assert life.ids(active=False) == [egress_id]
    life.wait(3 * SECOND)
    assert life.ids(active=False) == []
    assert life.status(egress_id) == "UNKNOWN"


def test_vp8_is_silently_h264_for_a_composite_and_kept_for_a_track() -> None:
    life = Life()
    request = composite()
    request.advanced.video_codec = models.VP8
    life.room.participants["ada"].tracks[0].sid = "TR_VC1"
    ids = [life.start(request).egress_id, life.start(track("TR_VC1")).egress_id]
    life.wait(10 * SECOND)
    for egress_id in ids:
        life.stop(egress_id)
    life.wait(SECOND)
    made = [life.files()[egress_id] for egress_id in ids]
    codecs = [(recording.encoding.video_codec, upload.key) for upload, recording in made]
    assert codecs == [("h264", "recordings/1/file.mp4"), ("vp8", "recordings/2/file.webm")]


def test_an_upload_has_the_real_credentials_that_no_info_shows() -> None:
    life = Life()
    started = life.active()
    life.stop(started.egress_id)
    life.wait(SECOND)
    (upload, _), *_ = life.files().values()
    assert upload.s3 == s3()
    assert started.room_composite.file_outputs[0].s3.secret == "{secret}"
    assert all(b"word" not in webhook.body for webhook in life.webhooks)


def test_recorded_time_is_from_active_to_stop() -> None:
    life = Life(Timing(drain=Delay(0)))
    started = life.active()
    info = life.read(started.egress_id)
    assert info is not None
    begun = info.file.started_at
    life.wait(MINUTE)
    stopped = life.now
    life.stop(started.egress_id)
    life.wait(SECOND)
    _, recording = life.files()[started.egress_id]
    assert recording.duration == stopped - begun


# Faults.


def test_a_lost_start_answer_has_its_effect_and_a_lost_request_has_none() -> None:
    life = Life()
    life.faults.start.answer_lost.next()
    assert life.ask_start().lost
    life.faults.start.request_lost.next()
    assert life.ask_start().lost
    life.wait(10 * SECOND)
    assert len(life.ids(active=True)) == 1


def test_stop_and_list_answers_can_be_lost_late_or_500() -> None:
    life = Life()
    egress_id = life.active().egress_id
    life.faults.list.slow.next()
    slow = life.world.call("Egress", "ListEgress", egress.ListEgressRequest())
    assert slow.after > 30 * SECOND
    life.faults.stop.internal.next()
    refused = life.stop(egress_id).outcome
    assert isinstance(refused, TwirpError)
    assert (refused.status, life.status(egress_id)) == (500, "ACTIVE")
    life.faults.stop.answer_lost.next()
    assert life.stop(egress_id).lost
    life.wait(SECOND)
    assert life.status(egress_id) == "COMPLETE"


def test_refused_options_and_missing_workers_leave_nothing_behind() -> None:
    life = Life()
    life.faults.options_refused.next()
    life.faults.no_worker.next()
    codes = []
    for _ in range(2):
        outcome = life.ask_start().outcome
        assert isinstance(outcome, TwirpError)
        codes.append(outcome.status)
    life.wait(MINUTE)
    assert codes == [503, 400]
    assert life.ids(active=False) == []


def test_a_full_worker_takes_an_egress_long_after_the_call() -> None:
    life = Life()
    life.faults.full_worker.next()
    answer = life.ask_start()
    assert answer.after > 13 * SECOND
    life.wait(12 * SECOND)
    assert life.ids(active=False) == []
    life.wait(2 * SECOND)
    assert len(life.ids(active=True)) == 1


@pytest.mark.parametrize(
    ("switch", "statuses"),
    [
        (lambda faults: faults.webhook_lost.next(), LIFE[1:]),
        (lambda faults: faults.webhook_doubled.next(), ["", *LIFE]),
        (lambda faults: faults.webhook_late.next(), LIFE),
        (lambda faults: faults.webhook_reordered.next(), [*LIFE[1:], ""]),
        (lambda faults: faults.update_coalesced.next(2), ["", "COMPLETE"]),
        (lambda faults: faults.failed_after_complete.next(), [*LIFE, "FAILED"]),
        (lambda faults: faults.upload_fails.next(), [*LIFE[:3], "FAILED"]),
        (lambda faults: faults.upload_late.next(), LIFE),
    ],
)
def test_faults_of_webhooks_and_uploads(switch: Callable[[Faults], None], statuses: list[str]) -> None:
    life = Life()
    switch(life.faults)
    egress_id = life.active().egress_id
    life.stop(egress_id)
    life.wait(5 * MINUTE)
    assert life.events(egress_id) == statuses
    assert life.status(egress_id) == ("FAILED" if "FAILED" in statuses else "COMPLETE")


def test_doubled_and_retried_webhooks_repeat_their_bytes() -> None:
    life = Life()
    life.faults.webhook_doubled.next()
    life.active()
    first, second = life.webhooks[:2]
    assert first == second


def test_late_uploads_and_webhooks_come_late() -> None:
    life = Life(Timing(late_upload=Delay(120), late_webhook=Delay(60)))
    egress_id = life.active().egress_id
    life.faults.upload_late.next()
    life.stop(egress_id)
    life.wait(119 * SECOND)
    assert (life.status(egress_id), life.uploads) == ("ENDING", [])
    life.faults.webhook_late.next()
    life.wait(2 * SECOND)
    assert (life.status(egress_id), life.events(egress_id)[-1]) == ("COMPLETE", "ENDING")
    life.wait(MINUTE)
    assert life.events(egress_id)[-1] == "COMPLETE"


def test_an_unknown_status_is_only_in_the_webhook() -> None:
    life = Life()
    egress_id = life.active().egress_id
    life.faults.webhook_status_unknown.next()
    life.stop(egress_id)
    life.wait(SECOND // 32)
    assert json.loads(life.webhooks[-1].body)["egressInfo"]["status"] == UNKNOWN_STATUS
    assert life.status(egress_id) == "ENDING"


def test_a_dead_host_leaves_everything_as_it_was_for_ever() -> None:
    life = Life(Timing(death=Delay(30)))
    life.faults.host_dies.next()
    egress_id = life.active().egress_id
    life.wait(3 * DAY)
    assert life.ids(active=True) == [egress_id]
    assert life.stop(egress_id).outcome == TwirpError(
        "deadline_exceeded", "twirp error unknown: request timed out", 408
    )
    assert (life.events(egress_id), life.uploads, life.recording()) == (["", "ACTIVE"], [], False)


def test_a_dead_handler_fails_at_once_and_forgets_the_file() -> None:
    life = Life(Timing(death=Delay(30)))
    life.faults.handler_dies.next()
    life.room.participants["ada"].tracks[0].sid = "TR_VC1"
    egress_id = life.start(track("TR_VC1")).egress_id
    life.wait(MINUTE)
    info = life.read(egress_id)
    assert info is not None
    assert (info.status, info.error_code, info.file_results[0].filename) == (egress.EGRESS_FAILED, 500, "")


def test_a_lost_record_comes_back_with_the_next_update() -> None:
    life = Life(Timing(death=Delay(5)))
    life.faults.record_lost.next()
    egress_id = life.active().egress_id
    assert (life.status(egress_id), life.ids(active=True), life.recording()) == ("UNKNOWN", [], True)
    answer = life.stop(egress_id).outcome
    assert isinstance(answer, egress.EgressInfo)
    life.wait(SECOND)
    assert life.status(egress_id) == "COMPLETE"


def test_a_lost_record_of_what_does_not_run_never_comes_back() -> None:
    life = Life()
    ended, dead = life.active().egress_id, life.active().egress_id
    life.stop(ended)
    life.world.kill_host(dead)
    life.wait(SECOND)
    life.world.lose_records()
    life.wait(MINUTE)
    assert life.ids(active=False) == []
    outcomes = [life.stop(egress_id).outcome for egress_id in (ended, dead)]
    assert [outcome.status for outcome in outcomes if isinstance(outcome, TwirpError)] == [404, 404]


def test_an_egress_that_never_gets_active_can_be_stopped() -> None:
    life = Life()
    life.faults.never_active.next()
    egress_id = life.active().egress_id
    assert (life.status(egress_id), life.recording()) == ("STARTING", True)
    life.stop(egress_id)
    life.wait(SECOND)
    assert life.status(egress_id) == "ABORTED"


def test_recorders_can_be_hidden() -> None:
    life = Life()
    life.active()
    life.faults.recorders_hidden.always()
    assert (life.recording(), life.recorders()) == (False, [])


def test_backup_storage_is_somewhere_else() -> None:
    life = Life()
    life.faults.backup_storage.next()
    egress_id = life.active().egress_id
    life.stop(egress_id)
    life.wait(SECOND)
    info = life.read(egress_id)
    assert info is not None
    assert (info.backup_storage_used, life.uploads[0].backup) == (True, True)
    assert "/bucket/" not in info.file.location


def test_a_report_about_what_is_not_uploading_changes_nothing() -> None:
    life = Life()
    egress_id = life.active().egress_id
    life.stop(egress_id)
    life.wait(SECOND)
    life.world.uploaded(life.uploads[0].id, 1)
    life.world.upload_failed(life.uploads[0].id, 400, "no")
    life.world.uploaded(4711, 1)
    info = life.read(egress_id)
    assert info is not None
    assert (info.status, info.file.size) == (egress.EGRESS_COMPLETE, SIZE)


def test_a_host_that_dies_while_it_uploads_never_ends() -> None:
    life = Life()
    egress_id = life.active().egress_id
    life.faults.upload_late.next()
    life.stop(egress_id)
    life.wait(SECOND)
    life.world.kill_host(egress_id)
    life.wait(DAY)
    assert (life.status(egress_id), life.uploads) == ("ENDING", [])


def test_the_same_seed_gives_the_same_world() -> None:
    runs = []
    for _ in range(2):
        life = Life()
        life.faults.webhook_lost.chance(0.3)
        life.faults.host_dies.chance(0.3)
        for _ in range(10):
            life.stop(life.active().egress_id)
        life.wait(MINUTE)
        runs.append((life.webhooks, life.times))
    assert runs[0] == runs[1]


def test_probabilities_are_kept() -> None:
    life = Life()
    life.faults.webhook_lost.chance(0.25)
    for _ in range(200):
        life.stop(life.active().egress_id)
    life.wait(MINUTE)
    assert 550 <= len(life.webhooks) <= 650


def test_global_receivers_hear_of_rooms_too() -> None:
    life = Life(webhook_urls=("http://global/hook",))
    egress_id = life.active().egress_id
    life.world.close_room(ROOM)
    life.wait(SECOND)
    bodies = [json.loads(webhook.body) for webhook in life.webhooks if not webhook.egress_id]
    joined = next(body for body in bodies if body.get("participant", {}).get("identity") == egress_id)
    recorded = next(
        json.loads(step.body)
        for step in load("redis_lost").steps
        if step.summary == "participant_joined" and "EGRESS" in step.body
    )
    assert joined["participant"]["permission"] == recorded["participant"]["permission"]
    assert joined["participant"]["kind"] == recorded["participant"]["kind"]
    assert joined["room"].keys() - {"numParticipants"} <= recorded["room"].keys()
    assert bodies[-1]["event"] == "room_finished"
    reasons = {
        body["participant"].get("disconnectReason") for body in bodies if body["event"] == "participant_left"
    }
    assert reasons == {"ROOM_DELETED"}
