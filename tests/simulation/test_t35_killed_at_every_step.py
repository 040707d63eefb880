"""T35: a function is killed at each of its steps; when time has passed and two sweeps have run, nothing is wrong.

The steps are found, not listed: each database statement and each remote call that a function makes is one
(tests/support/killer.py).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from livekit_standin.timing import Timing
from tests.support import invariants
from tests.support.deployment import Deployment
from tests.support.killer import Killer
from tests.support.livekit import LiveKit
from tests.support.sites import close_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livekit_standin.webhooks import Webhook
    from local.stack import Stack
    from tests.support.clock import VirtualLoops
    from tests.support.deployment import User
    from tests.support.livekit import LiveKitServer
    from tests.support.sites import Sites

ROOM = "demo"


@dataclass
class Scene:
    """A deployment, alice and what she has begun."""

    deployment: Deployment
    livekit: LiveKit
    alice: User
    recording_id: str = ""
    held: list[Webhook] = field(default_factory=list)

    def change(self, columns: str) -> None:
        """Change the row behind the product's back."""
        statement = f"update recordings set {columns} where id = cast(:id as uuid)"
        self.deployment.execute(statement, id=self.recording_id)

    def start(self, *, longest: int | None = None) -> None:
        self.recording_id = self.alice.start(roomName=ROOM, maxDuration=longest)["recordingId"]

    def record(self, *, seconds: float = 60, sweep: bool = False) -> None:
        self.recording_id = self.alice.record(seconds=seconds, sweep=sweep)

    def lose_webhooks(self) -> None:
        self.livekit.world.faults.webhook_lost.always()

    def hold_webhooks(self) -> None:
        self.held = self.livekit.hold_webhooks(self.deployment.domain)


type Part = Callable[[Scene], object]


def nothing(_: Scene) -> None:
    pass


def recording(scene: Scene) -> None:
    scene.record()


def completed(scene: Scene) -> None:
    scene.record()
    scene.alice.stop(scene.recording_id)
    scene.deployment.advance(5)


def start_unanswered(scene: Scene) -> None:
    scene.livekit.world.faults.start.answer_lost.next()
    scene.hold_webhooks()
    scene.start()


def end_on_its_way(scene: Scene) -> None:
    scene.record()
    scene.hold_webhooks()
    scene.livekit.stop(scene.recording_id)
    scene.deployment.advance(5)


def start_lost(scene: Scene) -> None:
    scene.livekit.world.faults.start.request_lost.next()
    scene.start()
    scene.deployment.advance(60)


def answer_lost(scene: Scene) -> None:
    scene.lose_webhooks()
    scene.livekit.world.faults.start.answer_lost.next()
    scene.start()
    scene.deployment.advance(60)


def end_lost(scene: Scene) -> None:
    scene.record()
    scene.lose_webhooks()
    scene.livekit.stop(scene.recording_id)
    scene.deployment.advance(60)


def end_forgotten(scene: Scene) -> None:
    end_lost(scene)
    scene.livekit.world.lose_records()


def only_worker_lost(scene: Scene) -> None:
    scene.record(sweep=True)
    scene.change("on_worker_lost = 'end'")
    lose_worker(scene)


def worker_lost(scene: Scene) -> None:
    scene.record(sweep=True)
    lose_worker(scene)


def lose_worker(scene: Scene) -> None:
    scene.livekit.kill_host(scene.recording_id)
    scene.deployment.sweeps(1)
    scene.deployment.advance(60)


def too_long(scene: Scene) -> None:
    # The start wakes a sweep for it, whose call is lost here.
    scene.deployment.hints.lost = True
    scene.start(longest=30)
    scene.deployment.hints.lost = False
    scene.deployment.advance(60)


def orphan(scene: Scene) -> None:
    scene.record()
    scene.deployment.execute("delete from recordings")


def second_egress(scene: Scene) -> None:
    scene.record()
    start_again(scene)


def start_again(scene: Scene) -> None:
    scene.livekit.start_again()
    scene.deployment.advance(10)


def survivor(scene: Scene) -> None:
    start_lost(scene)
    scene.deployment.sweep()
    scene.lose_webhooks()
    start_again(scene)
    scene.deployment.sweep()


def failed_with_a_file(scene: Scene) -> None:
    scene.record()
    scene.change("on_worker_lost = 'end'")
    scene.livekit.world.kill_handler(scene.livekit.egress_of(scene.recording_id))
    scene.deployment.advance(60)
    scene.deployment.put_object(f"recordings/{scene.recording_id}/1/recording.mp4")


def expired(scene: Scene) -> None:
    completed(scene)
    scene.change("expires_at = '2020-01-01', due_at = '2020-01-01'")


def tombstone(scene: Scene) -> None:
    completed(scene)
    scene.alice.delete(scene.recording_id)
    scene.deployment.put_object(f"recordings/{scene.recording_id}/recording.mp4")
    scene.change("status_at = '2020-01-01', late_upload_until = '2020-01-01', due_at = '2020-01-01'")


def paused(scene: Scene) -> None:
    scene.record()
    scene.alice.pause(scene.recording_id)
    scene.deployment.advance(5)


def paused_for_too_long(scene: Scene) -> None:
    paused(scene)
    scene.change("status_at = '2020-01-01', due_at = '2020-01-01'")


def handler_killed(scene: Scene) -> None:
    scene.record()
    scene.hold_webhooks()
    scene.livekit.world.kill_handler(scene.livekit.egress_of(scene.recording_id))
    scene.deployment.advance(1)


def waiting_for_a_take(scene: Scene) -> None:
    scene.deployment.hints.lost = True
    scene.record()
    scene.livekit.world.kill_handler(scene.livekit.egress_of(scene.recording_id))
    scene.deployment.advance(5)
    scene.deployment.hints.lost = False


def two_takes(scene: Scene) -> None:
    # Those are media that can be joined.
    scene.deployment.configure(SAFETY_SEGMENTS="on")
    scene.record(seconds=8)
    scene.alice.pause(scene.recording_id)
    scene.deployment.advance(5)
    scene.alice.resume(scene.recording_id)
    scene.deployment.advance(8)
    scene.deployment.hints.lost = True
    scene.alice.stop(scene.recording_id)
    scene.deployment.advance(5)
    scene.deployment.hints.lost = False


def start(scene: Scene) -> None:
    scene.alice.start(roomName=ROOM, headers={"idempotency-key": "key"})


def stop(scene: Scene) -> None:
    scene.alice.stop(scene.recording_id)


def delete(scene: Scene) -> None:
    scene.alice.delete(scene.recording_id)


def pause(scene: Scene) -> None:
    scene.alice.pause(scene.recording_id)


def resume(scene: Scene) -> None:
    scene.alice.resume(scene.recording_id)


def begin_take(scene: Scene) -> None:
    scene.deployment.invoke("begin_take", {"recordingId": scene.recording_id})


def assemble(scene: Scene) -> None:
    scene.deployment.invoke("assemble_recording", {"recordingId": scene.recording_id})


def take_webhook(scene: Scene) -> None:
    scene.deployment.deliver(scene.held[-1])


def sweep(scene: Scene) -> None:
    scene.deployment.sweep()


CASES: dict[str, tuple[Part, Part, str]] = {
    "start": (nothing, start, "StartRoomCompositeEgress"),
    "stop": (recording, stop, "StopEgress"),
    "delete a live one": (recording, delete, "StopEgress"),
    "delete a completed one": (completed, delete, "POST /site"),
    "pause": (recording, pause, "StopEgress"),
    "resume": (paused, resume, "StartRoomCompositeEgress"),
    "begin a take": (waiting_for_a_take, begin_take, "StartRoomCompositeEgress"),
    "assemble": (two_takes, assemble, "POST /site"),
    "webhook of a killed handler": (handler_killed, take_webhook, "StartRoomCompositeEgress"),
    "sweep over a pause that is too long": (paused_for_too_long, sweep, "with written as ( update"),
    "webhook before the start's answer": (start_unanswered, take_webhook, "with written as ( update"),
    "webhook of the end": (end_on_its_way, take_webhook, "with written as ( update"),
    "sweep after a lost start": (start_lost, sweep, "GET /site"),
    "sweep after a start's lost answer": (answer_lost, sweep, "ListRooms"),
    "sweep after a lost end": (end_lost, sweep, "ListEgress"),
    "sweep after an end that LiveKit forgot": (end_forgotten, sweep, "GET /site"),
    "sweep after a worker's death": (only_worker_lost, sweep, "GET /site"),
    "sweep that goes on after a worker's death": (worker_lost, sweep, "StartRoomCompositeEgress"),
    "sweep after the longest duration": (too_long, sweep, "StopEgress"),
    "sweep over an orphan": (orphan, sweep, "with written as ( insert"),
    "sweep over a second egress": (second_egress, sweep, "StopEgress"),
    "sweep over a survivor": (survivor, sweep, "StopEgress"),
    "sweep over a failure with a file": (failed_with_a_file, sweep, "GET /site"),
    "sweep after the retention": (expired, sweep, "POST /site"),
    "sweep over a tombstone": (tombstone, sweep, "with written as ( delete"),
}
"""By case: the preparation, the action that is killed, and the beginning of a point that it must pass."""


@contextmanager
def scene_of(prepare: Part, stack: Stack, sites: Sites, server: LiveKitServer) -> Iterator[Scene]:
    with sites.lent() as site, pytest.MonkeyPatch.context() as environment:
        livekit = LiveKit(server, stack.aws.s3, Timing())
        livekit.world.open_room(ROOM, permanent=True)
        deployment = Deployment(site, livekit, environment, {})
        scene = Scene(deployment, livekit, deployment.as_user("alice"))
        prepare(scene)
        yield scene
        deployment.close()


def killed(killer: Killer, scene: Scene, act: Part, kill_at: int | None) -> None:
    with killer.process(kill_at):
        act(scene)
    # The environment that was used last is gone with it.
    close_all([scene.deployment._idle.pop()])


def check(scene: Scene) -> None:
    scene.livekit.world.faults.off()
    scene.livekit.connect(scene.deployment.domain, scene.deployment.deliver)
    scene.deployment.advance(60)
    invariants.check(scene.deployment, rounds=2)


@pytest.mark.parametrize("case", CASES)
def test_t35_killed_at_every_step(
    case: str, stack: Stack, sites: Sites, livekit_server: LiveKitServer, loops: VirtualLoops
) -> None:
    assert loops is livekit_server.loops
    prepare, act, telling = CASES[case]
    with Killer() as killer:
        with scene_of(prepare, stack, sites, livekit_server) as scene:
            killed(killer, scene, act, None)
            check(scene)
        points = killer.points
        assert any(point.startswith(telling) for point in points), points
        for number, point in enumerate(points, 1):
            with scene_of(prepare, stack, sites, livekit_server) as scene:
                killed(killer, scene, act, number)
                try:
                    check(scene)
                except AssertionError as error:
                    raise AssertionError(f"killed after {point}") from error
