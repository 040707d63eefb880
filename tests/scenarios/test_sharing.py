"""Several deployments that share one LiveKit project never touch each other's egress."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import invariants
from tests.support.deployment import sign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Deploy
    from tests.support.deployment import Deployment

type Pair = tuple[Deployment, Deployment]


@pytest.fixture(params=["own_bucket", "one_bucket"])
def pair(deploy: Deploy, request: pytest.FixtureRequest) -> Iterator[Pair]:
    first = deploy()
    shared = {"RECORDINGS_BUCKET": first.site.name} if request.param == "one_bucket" else {}
    second = deploy(**shared)
    first.livekit.world.open_room("other")
    yield first, second
    for deployment in (first, second):
        if not shared:
            invariants.check(deployment)


def _sweep_both(pair: Pair, number: int) -> None:
    for _ in range(number):
        pair[0].advance(61)
        for deployment in pair:
            deployment.sweep()


def test_each_sees_and_settles_its_own(pair: Pair) -> None:
    first, second = pair
    alice, bob = first.as_user("alice"), second.as_user("bob")
    ours, theirs = alice.record("demo"), bob.record("other")
    _sweep_both(pair, 3)
    assert (alice.statuses(), bob.statuses()) == (["active"], ["active"])
    assert (len(first.rows("select id from recordings")), len(second.rows("select id from recordings"))) == (
        1,
        1,
    )

    alice.stop(ours)
    first.advance(2)
    _sweep_both(pair, 2)
    assert alice.get(ours).recording["status"] == "completed"
    assert bob.get(theirs).recording["status"] == "active"
    assert alice.get(theirs).status == bob.get(ours).status == 404


def test_one_room_can_be_recorded_by_each(pair: Pair) -> None:
    first, second = pair
    alice, bob = first.as_user("alice"), second.as_user("bob")
    alice.defaults["onWorkerLost"] = "end"
    ours, theirs = alice.record("demo"), bob.record("demo")
    _sweep_both(pair, 2)
    first.livekit.kill_host(ours)
    _sweep_both(pair, 3)
    assert alice.get(ours).recording["failureCode"] == "worker_lost"
    assert bob.get(theirs).recording["status"] == "active"


def test_orphan_is_stopped_by_the_deployment_that_lost_it_and_by_no_other(pair: Pair) -> None:
    first, second = pair
    first.as_user("alice").record("demo")
    first.execute("delete from recordings")
    for _ in range(3):
        second.advance(61)
        second.sweep()
    assert len(first.livekit.world.unended()) == 1
    assert second.rows("select id from recordings") == []

    first.sweeps(2)
    first.advance(2)
    assert first.livekit.world.unended() == {}


def test_webhook_of_another_deployment_is_ignored(pair: Pair) -> None:
    first, second = pair
    ours = first.as_user("alice").record("demo")
    theirs = second.as_user("bob").record("other")
    held = first.livekit.hold_webhooks(first.domain)
    first.livekit.stop(ours)
    first.advance(2)
    for path in ("/api/video/livekit/webhook", f"/api/video/livekit/webhook/{theirs}"):
        assert second.post_webhook(path, held[-1].body, sign(held[-1].body)).status == 200
    assert second.as_user("bob").statuses() == ["active"]
    assert len(second.rows("select id from recordings")) == 1


def test_deleting_in_one_leaves_the_files_of_the_other(pair: Pair) -> None:
    first, second = pair
    alice, bob = first.as_user("alice"), second.as_user("bob")
    ours, theirs = alice.record("demo"), bob.record("other")
    alice.stop(ours)
    bob.stop(theirs)
    first.advance(2)
    alice.delete(ours)
    _sweep_both(pair, 2)
    key = str(bob.get(theirs).recording["storageKey"])
    assert key in first.objects() + second.objects()
    assert not [each for each in first.objects() + second.objects() if ours in each]
