"""Delivery against the recorded attempts, and what holds for every sequence of answers."""

from base64 import b64encode
from hashlib import sha256
from random import Random
from time import time

import jwt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from livekit.api import TokenVerifier, WebhookReceiver
from livekit.protocol import egress

from livekit_standin.environment import Environment
from livekit_standin.faults import Faults
from livekit_standin.notifier import Notifier
from livekit_standin.options import Settings
from livekit_standin.schedule import Schedule
from livekit_standin.timing import SECOND, Timing
from livekit_standin.webhooks import DEPTH, MAXIMUM_AGE, DeliverWebhook, Webhook, WebhookQueues
from tests.livekit.recorded import FOLDER, KEY, SECRET, Capture, load

URL = "http://receiver/hook"
OTHER = "http://other/hook"


class Receiver:
    """Drives queues in virtual time against a receiver that answers as told."""

    def __init__(self) -> None:
        self.now = 0
        self.queues = WebhookQueues(lambda: self.now)
        self.answers: list[tuple[int | None, int]] = []
        """Status and time (ns) of each answer to URL in turn; then 200 at once."""
        self.attempts: list[tuple[float, str]] = []
        """Time (s) and event id of the attempts at URL."""
        self.others: list[str] = []
        self._due: list[tuple[int, int, int | None]] = []

    def add(self, event_id: str, url: str = URL, *, after: int = 0, overtaken: bool = False) -> None:
        webhook = Webhook(url, event_id, "egress_updated", "EG_1", event_id.encode(), "token")
        self.queues.add("EG_1", webhook, after=after, overtaken=overtaken)

    def until(self, limit: int) -> None:
        while True:
            self._due.sort()
            times = [answer[0] for answer in self._due[:1]]
            if (due := self.queues.next_at()) is not None:
                times.append(due)
            if not times or min(times) > limit:
                break
            self.now = max(self.now, min(times))
            for delivery in self.queues.advance():
                self._receive(delivery)
            while self._due and self._due[0][0] <= self.now:
                _, delivery_id, status = self._due.pop(0)
                self.queues.delivered(delivery_id, status)
        self.now = limit

    def _receive(self, delivery: DeliverWebhook) -> None:
        status: int | None = 200
        takes = 0
        if delivery.webhook.url == URL:
            self.attempts.append((self.now / SECOND, delivery.webhook.event_id))
            if self.answers:
                status, takes = self.answers.pop(0)
        else:
            self.others.append(delivery.webhook.event_id)
        self._due.append((self.now + takes, delivery.delivery_id, status))


def _queued(capture: Capture) -> list[float]:
    """When the events were queued: the global receiver got them at once."""
    return [step.at_s for step in capture.webhooks("/global")]


@pytest.mark.parametrize(
    "case",
    [
        "webhook_404",
        "webhook_429_503",
        "webhook_retry_500_always",
        "webhook_retry_500_twice",
        "webhook_slow_12s",
    ],
)
def test_attempts_are_made_when_the_real_server_made_them(case: str) -> None:
    capture = load(case)
    recorded = capture.webhooks("/per-request/retry")
    receiver = Receiver()
    receiver.answers = [(step.answered, int(step.answered_after_s * SECOND)) for step in recorded]
    for index, at_s in enumerate(_queued(capture)):
        receiver.until(int(at_s * SECOND))
        receiver.add(f"EV_{index}")
    receiver.until(120 * SECOND)
    assert [at for at, _ in receiver.attempts] == pytest.approx([step.at_s for step in recorded], abs=0.1)
    ids = list(dict.fromkeys(step.id or step.summary for step in recorded))
    order = [int(event_id.removeprefix("EV_")) for _, event_id in receiver.attempts]
    assert order == [ids.index(step.id or step.summary) for step in recorded]


@pytest.mark.parametrize(("outage", "arrive"), [(5, [0, 1, 2, 3]), (20, [1, 2, 3])])
def test_an_outage_loses_what_the_real_server_lost(outage: int, arrive: list[int]) -> None:
    capture = load(f"webhook_down_{outage}s")
    recorded = capture.webhooks("/per-request/retry")
    receiver = Receiver()
    # The recorded server queued them as it did in every case.
    for index, at_s in enumerate([0.51, 0.8, 3.07, 3.12]):
        receiver.until(int(at_s * SECOND))
        receiver.add(f"EV_{index}")
        receiver.answers = [(None, 0)] * 20
    while receiver.now < outage * SECOND:
        receiver.until(receiver.now + SECOND // 10)
    receiver.answers = []
    failed = len(receiver.attempts)
    receiver.until(120 * SECOND)
    assert [event_id for _, event_id in receiver.attempts[failed:]] == [f"EV_{index}" for index in arrive]
    assert receiver.attempts[failed][0] == pytest.approx(recorded[0].at_s, abs=0.1)
    assert len(recorded) == len(arrive)


ANSWERS = st.lists(
    st.tuples(st.sampled_from([None, 200, 204, 301, 400, 404, 429, 500, 503]), st.integers(0, 40 * SECOND)),
    max_size=30,
)


@settings(deadline=None)
@given(ANSWERS, st.lists(st.integers(0, 20 * SECOND), min_size=1, max_size=8))
def test_events_reach_a_url_in_order_and_within_five_attempts(
    answers: list[tuple[int | None, int]], gaps: list[int]
) -> None:
    receiver = Receiver()
    receiver.answers = answers[:]
    for index, gap in enumerate(gaps):
        receiver.until(receiver.now + gap)
        receiver.add(str(index))
        receiver.add(str(index), OTHER)
    receiver.until(receiver.now + 10_000 * SECOND)
    tried = [int(event_id) for _, event_id in receiver.attempts]
    assert tried == sorted(tried)
    assert all(tried.count(index) <= 5 for index in tried)
    assert receiver.others == [str(index) for index in range(len(gaps))]
    assert receiver.queues.next_at() is None


@settings(deadline=None)
@given(ANSWERS)
def test_only_lost_connections_429_and_5xx_are_tried_again(answers: list[tuple[int | None, int]]) -> None:
    receiver = Receiver()
    receiver.answers = answers[:]
    receiver.add("EV_0")
    receiver.until(10_000 * SECOND)
    retried = [status is None or status == 429 or status >= 500 for status, _ in answers]
    expected = next((index for index, again in enumerate(retried) if not again), len(retried)) + 1
    assert len(receiver.attempts) == min(5, expected)


def test_an_event_that_waited_too_long_is_dropped_without_an_attempt() -> None:
    receiver = Receiver()
    receiver.answers = [(200, MAXIMUM_AGE), (200, 1)]
    receiver.add("EV_0")
    receiver.add("EV_1")
    receiver.until(1)
    receiver.add("EV_2")
    receiver.until(200 * SECOND)
    assert [event_id for _, event_id in receiver.attempts] == ["EV_0", "EV_1", "EV_2"]
    receiver.answers = [(200, MAXIMUM_AGE + 1)]
    receiver.add("EV_3")
    receiver.add("EV_4")
    receiver.until(400 * SECOND)
    assert [event_id for _, event_id in receiver.attempts][3:] == ["EV_3"]


def test_a_full_queue_takes_no_more() -> None:
    receiver = Receiver()
    receiver.answers = [(200, SECOND)]
    for index in range(DEPTH + 5):
        receiver.add(str(index))
    receiver.until(2 * SECOND)
    assert len(receiver.attempts) == DEPTH


def test_a_late_event_holds_back_those_that_follow_unless_they_may_pass() -> None:
    held = Receiver()
    held.add("EV_0", after=60 * SECOND)
    held.add("EV_1")
    held.until(100 * SECOND)
    assert held.attempts == [(60, "EV_0"), (60, "EV_1")]
    passed = Receiver()
    passed.add("EV_0", after=60 * SECOND, overtaken=True)
    passed.add("EV_1")
    passed.until(100 * SECOND)
    assert passed.attempts == [(0, "EV_1"), (60, "EV_0")]


SIGNED = [
    step
    for path in sorted(FOLDER.glob("*.json"))
    # In the later ones, addresses were changed after they were signed.
    if path.stem != "python_client_errors" and load(path.stem).recorded_at.day == 22
    for step in load(path.stem).steps
    if step.kind == "webhook" and step.body and step.headers
]


def test_the_stand_in_signs_as_the_real_server_did() -> None:
    notifier = _notifier(KEY, SECRET)
    for step in SIGNED:
        token = step.headers["Authorization"]
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], options={"verify_exp": False})
        assert claims["iss"] == KEY
        assert claims["sha256"] == b64encode(sha256(step.body.encode()).digest()).decode()
        assert notifier._sign(step.body.encode(), claims["iat"]) == token
    assert len(SIGNED) > 150


def test_livekits_own_receiver_accepts_what_the_stand_in_signs() -> None:
    body = '{"event":"egress_ended", "egressInfo":{"egressId":"EG_1", "status":"EGRESS_COMPLETE"}}'
    token = _notifier(KEY, SECRET)._sign(body.encode(), int(time()))
    received = WebhookReceiver(TokenVerifier(KEY, SECRET)).receive(body, token)
    assert received.egress_info.status == egress.EGRESS_COMPLETE


def _notifier(key: str, secret: str) -> Notifier:
    environment = Environment(Schedule(lambda: 0), Random(0), Timing(), Faults(), Settings())
    return Notifier(environment, WebhookQueues(lambda: 0), (), api_key=key, api_secret=secret)
