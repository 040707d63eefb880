"""Prefer: wait=N, on GET until the status changes and on PATCH until it is final."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from livekit_standin.timing import Delay, Timing
from recorder.usecases.waiting import WAITS_PER_USER

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.support.deployment import Answer, Deployment, User


def _timed(deployment: Deployment, call: Callable[[], Answer]) -> tuple[Answer, float]:
    began = deployment.livekit.clock.now()
    answer = call()
    return answer, (deployment.livekit.clock.now() - began).total_seconds()


def test_stop_waits_for_the_file(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    stopped, seconds = _timed(deployment, lambda: alice.stop(recording_id, wait=20))
    assert stopped["status"] == "completed"
    assert stopped["fileUrl"]
    assert stopped.json["duration"] == alice.get(recording_id).recording["duration"]
    assert seconds < 2


def test_stop_without_the_wish_does_not_wait(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    stopped, seconds = _timed(deployment, lambda: alice.stop(recording_id))
    assert stopped.json == {
        "recordingId": recording_id,
        "egressId": stopped["egressId"],
        "status": "stopping",
        "fileUrl": None,
        "duration": None,
    }
    assert seconds < 0.5


@pytest.mark.parametrize(("wish", "longest"), [(3, 3), (20, 20), (21, 20), (999999999, 20)])
@pytest.mark.parametrize("timing", [Timing(late_upload=Delay(300))], ids=["slow_upload"])
def test_stop_waits_no_longer_than_wished_and_at_most_20_seconds(
    deployment: Deployment, alice: User, wish: int, longest: int
) -> None:
    deployment.livekit.world.faults.upload_late.next()
    recording_id = alice.record()
    stopped, seconds = _timed(deployment, lambda: alice.stop(recording_id, wait=wish))
    assert (stopped.status, stopped["status"]) == (200, "stopping")
    assert longest <= seconds < longest + 1


def test_get_does_not_wait_for_what_has_changed_already(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.webhook_lost.always()
    recording_id = alice.start(roomName="demo")["recordingId"]
    deployment.advance(60)
    answer, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert answer.recording["status"] == "active"
    assert seconds < 1


def test_stop_again_waits_too(alice: User) -> None:
    recording_id = alice.record()
    assert alice.stop(recording_id)["status"] == "stopping"
    assert alice.stop(recording_id, wait=20)["status"] == "completed"


def test_get_waits_for_the_next_status(deployment: Deployment, alice: User) -> None:
    recording_id = alice.start(roomName="demo")["recordingId"]
    active, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert active.recording["status"] == "active"
    assert 3 < seconds < 7
    unchanged, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=4))
    assert unchanged.recording["status"] == "active"
    assert 4 <= seconds < 5
    deployment.livekit.at(2, lambda: deployment.livekit.stop(recording_id))
    ending, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert ending.recording["status"] in {"stopping", "completed"}
    assert 2 <= seconds < 3


def test_get_of_a_final_recording_does_not_wait(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    alice.stop(recording_id)
    deployment.advance(2)
    _, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert seconds == 0


def test_wait_also_learns_what_no_webhook_told(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.world.faults.webhook_lost.always()
    stopped, seconds = _timed(deployment, lambda: alice.stop(recording_id, wait=20))
    assert stopped["status"] == "completed"
    assert seconds < 10


def test_t57_who_waits_holds_no_connection_to_the_database(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.configure(DEPLOYMENT=deployment.settings["DEPLOYMENT"])
    others, held = _sessions(deployment), list[bool]()

    def look() -> None:
        # A session that was closed is there for a moment more.
        held.append(all(_sessions(deployment) > others for _ in range(1000)))

    for seconds in (2, 5, 8):
        deployment.livekit.at(seconds, look)
    deployment.livekit.at(6, lambda: deployment.execute("update recordings set layout = 'speaker'"))
    answer = alice.get(recording_id, wait=10)
    assert held == [False] * 3
    assert _sessions(deployment) == others + 1
    assert answer.recording["layout"] == "speaker"


def _sessions(deployment: Deployment) -> int:
    [row] = deployment.rows(
        """select count(*) from pg_stat_activity
           where datname = current_database() and application_name = 'recorder'"""
    )
    return cast("int", row["count"])


# How many wait


def _wait_one_in_another(
    deployment: Deployment, users: Sequence[User], recording_ids: Sequence[str]
) -> list[Answer]:
    """Have each user wait for a recording of theirs, the next as soon as the one before waits."""
    answers: list[Answer] = []

    def go_on() -> None:
        position = len(begun)
        if position < len(users):
            begun.append(position)
            deployment.livekit.at(0.1, go_on)
            answers.append(users[position].get(recording_ids[position], wait=20))

    begun: list[int] = []
    go_on()
    return answers


def _granted(answers: Sequence[Answer]) -> int:
    assert {answer.status for answer in answers} == {200}
    granted = [
        answer.headers["Preference-Applied"] for answer in answers if "Preference-Applied" in answer.headers
    ]
    assert set(granted) <= {"wait=20"}
    return len(granted)


def test_t57_of_twenty_waits_of_one_user_a_few_wait_and_nobody_else_notices(
    deployment: Deployment, alice: User, bob: User
) -> None:
    deployment.livekit.world.open_room("bobs", permanent=True)
    hers, his = alice.record(seconds=10), bob.record("bobs", seconds=10)
    answers = _wait_one_in_another(deployment, [*[alice] * 20, bob], [*[hers] * 20, his])
    assert _granted(answers) == WAITS_PER_USER + 1
    # The answers come in the order in which the waits end: those that were refused and his first.
    assert [answer.recording["userId"] for answer in answers].count("bob") == 1
    assert {answer.recording["status"] for answer in answers} == {"active"}


def test_t57_all_users_together_wait_as_often_as_the_deployment_allows(
    deployment: Deployment, alice: User, bob: User
) -> None:
    deployment.configure(WAIT_CONCURRENCY="3")
    deployment.livekit.world.open_room("bobs", permanent=True)
    hers, his = alice.record(seconds=10), bob.record("bobs", seconds=10)
    answers = _wait_one_in_another(deployment, [alice, alice, bob, bob], [hers, hers, his, his])
    assert _granted(answers) == 3


def test_where_nobody_may_wait_the_answer_comes_at_once(deployment: Deployment, alice: User) -> None:
    deployment.configure(WAIT_CONCURRENCY="0")
    recording_id = alice.record()
    answer, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert answer.status == 200
    assert seconds < 0.5
    assert "Preference-Applied" not in answer.headers


def test_a_wait_that_is_over_makes_room_for_another(deployment: Deployment, alice: User) -> None:
    deployment.configure(WAIT_CONCURRENCY="1")
    recording_id = alice.record()
    answers = [alice.get(recording_id, wait=2), alice.stop(recording_id, wait=20)]
    assert [answer.headers["Preference-Applied"] for answer in answers] == ["wait=2", "wait=20"]
    assert answers[1]["status"] == "completed"


@pytest.mark.parametrize(("wish", "applied"), [(None, None), (0, None), (3, "wait=3"), (60, "wait=20")])
def test_an_answer_says_how_long_it_would_have_waited(
    alice: User, wish: int | None, applied: str | None
) -> None:
    recording_id = alice.record()
    alice.stop(recording_id, wait=20)
    for answer in (alice.get(recording_id, wait=wish), alice.stop(recording_id, wait=wish)):
        assert answer.headers.get("Preference-Applied") == applied


def test_wait_ends_when_the_recording_is_deleted_meanwhile(deployment: Deployment, alice: User) -> None:
    recording_id = alice.record()
    deployment.livekit.at(3, lambda: alice.delete(recording_id))
    answer, seconds = _timed(deployment, lambda: alice.get(recording_id, wait=20))
    assert answer.status == 404
    assert seconds < 5
