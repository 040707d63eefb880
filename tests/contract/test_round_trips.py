"""How often each request waits for Postgres, counted on the wire: nobody adds a round trip unseen."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.support.forwarder import Forwarder
from tests.support.outside import before

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from local.stack import Stack
    from tests.conftest import Deploy
    from tests.support.deployment import Deployment
    from tests.support.livekit import LiveKit


class Wire(Forwarder):
    """Counts how often a client speaks after Postgres has answered."""

    def __init__(self, target: Callable[[], int]) -> None:
        super().__init__(target)
        self.round_trips = 0
        self._client_spoke_last = False

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        from_client = source.getsockname()[1] == self.port
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self.round_trips += from_client and not self._client_spoke_last
                self._client_spoke_last = from_client
                sink.sendall(data)


class Counted:
    """A deployment whose every function is warm, behind a wire."""

    def __init__(self, deployment: Deployment, wire: Wire) -> None:
        self.deployment = deployment
        self.alice = deployment.as_user("alice")
        self._wire = wire
        self.alice.list()

    def trips[T](self, request: Callable[[], T]) -> tuple[int, T]:
        """Do it without a webhook in between, and say how often it waited."""
        self.deployment.livekit.hold_webhooks(self.deployment.domain)
        before = self._wire.round_trips
        answer = request()
        return self._wire.round_trips - before, answer


@pytest.fixture
def wire(stack: Stack) -> Iterator[Wire]:
    with Wire(lambda: stack.postgres.port) as wire:
        yield wire


@pytest.fixture
def counted(deploy: Deploy, wire: Wire) -> Counted:
    return Counted(deploy(DATABASE_PORT=str(wire.port)), wire)


def test_list_waits_once(counted: Counted) -> None:
    counted.alice.record()
    trips, answer = counted.trips(lambda: counted.alice.list("roomName=demo&status=active"))
    assert (trips, len(answer.recordings)) == (1, 1)


def test_get_waits_twice_for_the_recording_and_its_links(counted: Counted) -> None:
    recording_id = counted.alice.record()
    counted.alice.get(recording_id)
    trips, answer = counted.trips(lambda: counted.alice.get(recording_id))
    assert (trips, answer.recording["status"]) == (2, "active")


def test_get_of_a_completed_recording_waits_twice(counted: Counted) -> None:
    recording_id = counted.alice.record()
    counted.alice.stop(recording_id)
    counted.deployment.advance(60)
    trips, answer = counted.trips(lambda: counted.alice.get(recording_id))
    assert (trips, answer.recording["status"]) == (2, "completed")


def test_get_that_asks_livekit_waits_once_more_to_note_it(counted: Counted) -> None:
    recording_id = counted.alice.record()
    trips, answer = counted.trips(lambda: counted.alice.get(recording_id))
    assert (trips, answer.status) == (3, 200)


def test_a_link_opens_with_two_and_is_refused_with_one(counted: Counted) -> None:
    recording_id = counted.alice.record()
    url = counted.alice.share(recording_id)["url"]
    counted.deployment.open_link(url)
    trips, answer = counted.trips(lambda: counted.deployment.open_link(url))
    assert (trips, answer.status) == (2, 200)
    counted.alice.delete(recording_id)
    trips, answer = counted.trips(lambda: counted.deployment.open_link(url))
    assert (trips, answer.status) == (1, 404)
    trips, answer = counted.trips(lambda: counted.deployment.open_link("#wrong"))
    assert (trips, answer.status) == (1, 404)


def test_start_waits_twice(counted: Counted) -> None:
    trips, answer = counted.trips(lambda: counted.alice.start(roomName="demo"))
    assert (trips, answer.status) == (2, 201)


def test_a_start_that_livekit_refuses_waits_twice(counted: Counted) -> None:
    trips, answer = counted.trips(lambda: counted.alice.start(roomName="nobody is here"))
    assert (trips, answer.status) == (2, 404)


def test_a_start_in_an_occupied_room_waits_once(counted: Counted) -> None:
    counted.alice.start(roomName="demo")
    trips, answer = counted.trips(lambda: counted.alice.start(roomName="demo"))
    assert (trips, answer.status) == (1, 409)


def test_a_start_that_was_answered_before_waits_once(counted: Counted) -> None:
    headers = {"idempotency-key": "once"}
    counted.alice.start(roomName="demo", headers=headers)
    trips, answer = counted.trips(lambda: counted.alice.start(roomName="demo", headers=headers))
    assert (trips, answer.status) == (1, 201)


def test_stop_waits_twice(counted: Counted) -> None:
    recording_id = counted.alice.record()
    trips, answer = counted.trips(lambda: counted.alice.stop(recording_id))
    assert (trips, answer.json["status"]) == (2, "stopping")


def test_stop_that_learns_something_from_livekit_waits_three_times(counted: Counted) -> None:
    recording_id = counted.alice.start(roomName="demo")["recordingId"]
    trips, answer = counted.trips(lambda: counted.alice.stop(recording_id))
    assert (trips, answer.json["status"]) == (3, "failed")


def test_stop_of_what_has_ended_waits_once(counted: Counted) -> None:
    recording_id = counted.alice.record()
    counted.alice.stop(recording_id)
    counted.deployment.advance(60)
    trips, answer = counted.trips(lambda: counted.alice.stop(recording_id))
    assert (trips, answer.json["status"]) == (1, "completed")


def test_a_webhook_waits_twice_and_once_where_it_says_nothing_new(counted: Counted, livekit: LiveKit) -> None:
    held = livekit.hold_webhooks(counted.deployment.domain)
    counted.alice.record()
    news = next(webhook for webhook in held if b"egress_updated" in webhook.body)
    assert counted.trips(lambda: counted.deployment.deliver(news)) == (2, 200)
    assert counted.trips(lambda: counted.deployment.deliver(news)) == (1, 200)


def test_delete_waits_three_times(counted: Counted) -> None:
    recording_id = counted.alice.record()
    counted.alice.stop(recording_id)
    counted.deployment.advance(7200)
    counted.deployment.sweep()
    trips, answer = counted.trips(lambda: counted.alice.delete(recording_id))
    assert (trips, answer.status) == (3, 200)


def test_a_sweep_of_nothing_waits_for_rows_for_events_for_deadlines_and_for_the_backlog(
    counted: Counted,
) -> None:
    trips, outcomes = counted.trips(counted.deployment.sweep)
    assert (trips, outcomes) == (4, {})


def test_a_live_playlist_waits_once_and_calls_the_bucket_once_a_take(counted: Counted, stack: Stack) -> None:
    deployment, alice, calls = counted.deployment, counted.alice, list[str]()
    deployment.livekit.world.join("demo", "pat")
    deployment.configure(SAFETY_SEGMENTS="on", DVR_SECONDS="30")
    # Real segments are rendered: small ones.
    alice.defaults["resolution"] = "480p"
    recording_id = alice.record(seconds=14)
    url = alice.get(recording_id)["playbackUrl"]

    def hear(method: str, path: str, _: object, __: object) -> None:
        calls.append(f"{method} {path.partition('/segments/')[2]}")

    with before(stack.aws.endpoint, hear) as endpoint:
        deployment.configure(AWS_ENDPOINT_URL_S3=endpoint)
        deployment.play(url)
        calls.clear()
        trips, answer = counted.trips(lambda: deployment.play(url))
        assert (trips, answer.status) == (1, 200)
        assert calls == [f"GET {recording_id}/1/playlist.m3u8"]
        alice.pause(recording_id)
        alice.resume(recording_id)
        deployment.advance(14)
        alice.get(recording_id)
        calls.clear()
        trips, answer = counted.trips(lambda: deployment.play(url))
        assert (trips, answer.text.count("#EXT-X-DISCONTINUITY\n")) == (1, 1)
        assert calls == [f"GET {recording_id}/{take}/playlist.m3u8" for take in (2, 1)]
        # A take that ended before what can be seen is not read.
        deployment.advance(30)
        calls.clear()
        deployment.play(url)
        assert calls == [f"GET {recording_id}/2/playlist.m3u8"]


def test_what_is_not_there_waits_once(counted: Counted) -> None:
    trips, answer = counted.trips(lambda: counted.alice.get(str(uuid4())))
    assert (trips, answer.status) == (1, 404)
