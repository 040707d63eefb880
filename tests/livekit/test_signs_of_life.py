"""Calls to the process of an egress, in every state that was recorded."""

import json
from collections.abc import Callable

import pytest
from livekit.protocol import egress

from livekit_standin.timing import SECOND, Delay, Timing
from livekit_standin.twirp import Answer, TwirpError
from tests.livekit.life import DAY, MINUTE, ROOM, Life, composite, track
from tests.livekit.recorded import Step, load

STEPS = {step.label: step for step in load("update_stream_as_ping").calls()}


def ping(life: Life, egress_id: str) -> Answer:
    return life.world.call("Egress", "UpdateStream", egress.UpdateStreamRequest(egress_id=egress_id))


def running(life: Life) -> str:
    return life.active().egress_id


def just_started(life: Life) -> str:
    answer = life.ask_start(track_composite(life))
    life.wait(answer.after)
    assert isinstance(answer.outcome, egress.EgressInfo)
    return answer.outcome.egress_id


def track_composite(life: Life) -> egress.TrackCompositeEgressRequest:
    request = egress.TrackCompositeEgressRequest(
        room_name=ROOM, audio_track_id=life.room.participants["ada"].tracks[1].sid
    )
    request.file_outputs.extend(composite().file_outputs)
    return request


def of_a_track(life: Life) -> str:
    egress_id = life.start(track(life.room.participants["ada"].tracks[0].sid)).egress_id
    life.wait(MINUTE)
    return egress_id


def waiting(life: Life) -> str:
    request = egress.ParticipantEgressRequest(room_name=ROOM, identity="absent")
    request.file_outputs.extend(composite().file_outputs)
    egress_id = life.start(request).egress_id
    life.wait(3 * SECOND)
    return egress_id


def waiting_no_longer(life: Life) -> str:
    egress_id = waiting(life)
    life.wait(16 * SECOND)
    return egress_id


def just_failed(life: Life) -> str:
    egress_id = waiting(life)
    while life.status(egress_id) == "STARTING":
        life.wait(SECOND // 100)
    return egress_id


def ending(life: Life) -> str:
    egress_id = running(life)
    life.faults.upload_late.next()
    life.stop(egress_id)
    life.wait(SECOND)
    return egress_id


def ended(life: Life) -> str:
    egress_id = running(life)
    life.stop(egress_id)
    life.wait(SECOND)
    return egress_id


def frozen(life: Life) -> str:
    egress_id = running(life)
    life.world.freeze_handler(egress_id)
    return egress_id


def thawed(life: Life) -> str:
    egress_id = frozen(life)
    life.wait(MINUTE)
    life.world.go_on(egress_id)
    return egress_id


def handler_killed(life: Life) -> str:
    egress_id = running(life)
    life.world.kill_handler(egress_id)
    return egress_id


def handler_long_killed(life: Life) -> str:
    egress_id = handler_killed(life)
    life.wait(SECOND)
    return egress_id


def host_killed(life: Life) -> str:
    egress_id = running(life)
    life.world.kill_host(egress_id)
    life.wait(SECOND)
    return egress_id


def host_suspended(life: Life) -> str:
    egress_id = running(life)
    life.world.suspend_host(egress_id)
    life.wait(SECOND)
    return egress_id


def lost(life: Life) -> str:
    egress_id = running(life)
    life.world.lose_records()
    return egress_id


def unknown(_: Life) -> str:
    return "EG_unknownunknow"


def no_id(_: Life) -> str:
    return ""


@pytest.mark.parametrize(
    ("prepare", "label"),
    [
        (running, "audio-only room composite, file: no urls at all"),
        (of_a_track, "track egress, file: no urls at all"),
        (just_started, "track composite, right after the Start answer: no urls at all"),
        (waiting, "participant egress of an absent one, STARTING: no urls at all"),
        (
            waiting_no_longer,
            "participant egress of an absent one, STARTING: add_output_urls that cannot be valid",
        ),
        (
            just_failed,
            "participant egress of an absent one, STARTING: remove_output_urls of an unknown one",
        ),
        (ending, "track composite, ENDING (the upload stands still): no urls at all"),
        (ended, "track composite, ended COMPLETE: no urls at all"),
        (frozen, "handler frozen, no urls, 1"),
        (thawed, "handler goes on: no urls at all"),
        (handler_killed, "handler killed, no urls, 1"),
        (handler_long_killed, "handler killed, no urls, 2"),
        (host_killed, "host killed, no urls, 1"),
        (host_suspended, "host killed, no urls, 1"),
        (lost, "record lost, file only, alive, no urls, 1"),
        (unknown, "unknown id"),
        (no_id, "no id"),
    ],
)
def test_an_empty_update_of_streams_is_answered_as_recorded(
    prepare: Callable[[Life], str], label: str
) -> None:
    life = Life()
    egress_id = prepare(life)
    before, told = life.read(egress_id), len(life.webhooks)
    answer, step = ping(life, egress_id), STEPS[label]
    assert refusal(answer) == (step.status, json.loads(step.response_body))
    assert pace(answer.after) == pace(int(step.took_s * SECOND))
    assert (life.read(egress_id), len(life.webhooks)) == (before, told)


def refusal(answer: Answer) -> tuple[int, dict[str, str]]:
    assert isinstance(answer.outcome, TwirpError)
    return answer.outcome.status, {"code": answer.outcome.code, "msg": answer.outcome.message}


def pace(took: int) -> str:
    if took < SECOND // 10:
        return "at once"
    return f"{took / SECOND:.0f} s" if took > SECOND else "soon"


def test_a_frozen_handler_cannot_be_stopped() -> None:
    life = Life()
    answer = life.stop(frozen(life))
    assert (refusal(answer)[0], pace(answer.after)) == (408, "15 s")


def test_a_suspended_host_looks_dead_and_goes_on_where_it_stopped() -> None:
    life = Life()
    egress_id = running(life)
    life.world.suspend_host(egress_id)
    life.wait(20 * SECOND)
    assert life.recorders() == [egress_id]
    life.wait(6 * SECOND)
    answer = life.stop(egress_id)
    assert (refusal(answer)[0], pace(answer.after)) == (408, "3 s")
    assert (life.status(egress_id), life.recorders()) == ("ACTIVE", [])
    life.world.go_on(egress_id)
    assert (life.status(egress_id), life.recorders()) == ("ACTIVE", [egress_id])
    life.stop(egress_id)
    life.wait(SECOND)
    assert (life.status(egress_id), life.events(egress_id)) == (
        "COMPLETE",
        ["", "ACTIVE", "ENDING", "COMPLETE"],
    )


def test_what_happens_meanwhile_reaches_a_suspended_host_when_it_goes_on() -> None:
    life = Life()
    egress_id = running(life)
    life.world.suspend_host(egress_id)
    life.world.close_room(ROOM)
    life.wait(DAY)
    assert (life.status(egress_id), life.uploads) == ("ACTIVE", [])
    life.world.go_on(egress_id)
    life.wait(SECOND)
    assert (life.status(egress_id), [*life.files()]) == ("COMPLETE", [egress_id])


def test_a_host_can_die_while_it_is_suspended() -> None:
    life = Life()
    egress_id = running(life)
    life.world.suspend_host(egress_id)
    life.world.kill_host(egress_id)
    life.world.go_on(egress_id)
    life.wait(MINUTE)
    assert (life.status(egress_id), life.recorders()) == ("ACTIVE", [])


def test_what_waited_and_is_frozen_later_is_silent_as_any_other() -> None:
    life = Life()
    egress_id = waiting(life)
    life.wait(10 * SECOND)
    life.world.join(ROOM, "absent")
    life.wait(MINUTE)
    life.world.freeze_handler(egress_id)
    answer = ping(life, egress_id)
    assert (refusal(answer)[0], pace(answer.after)) == (408, "15 s")


@pytest.mark.parametrize("fault", ["host_suspended", "handler_frozen"])
def test_standstills_by_chance_pass(fault: str) -> None:
    life = Life(Timing(death=Delay(20), standstill=Delay(60)))
    life.faults.by_name()[fault].next()
    egress_id = running(life)
    life.wait(40 * SECOND)
    assert life.recorders() == []
    life.wait(40 * SECOND)
    assert life.recorders() == [egress_id]


def test_a_worker_ends_an_egress_by_itself() -> None:
    life = Life(Timing(death=Delay(20)))
    life.faults.worker_ends_it.next()
    egress_id = running(life)
    life.wait(MINUTE)
    info = life.read(egress_id)
    assert info is not None
    recorded = next(
        step for step in load("worker_cpu_exhausted").webhooks("/global") if "COMPLETE" in step.summary
    )
    assert (info.status, info.error, info.details) == (egress.EGRESS_COMPLETE, "", details(recorded))
    assert info.file.size


def details(step: Step) -> str:
    told: str = json.loads(step.body)["egressInfo"]["details"]
    return told
