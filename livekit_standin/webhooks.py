"""LiveKit's delivery of webhooks: one queue per sender and URL, strictly in order, with retries.

Pure and driven by a clock: `WebhookQueues` says when which request is to be made, its driver makes it and reports
the result.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush

from livekit_standin.timing import SECOND

DEPTH = 200
MAXIMUM_AGE = 30 * SECOND
RETRY_DELAYS = (1 * SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND)


@dataclass(frozen=True, slots=True)
class Webhook:
    """One event on its way to one URL. Every attempt carries the same bytes and the same token."""

    url: str
    event_id: str
    event: str
    egress_id: str
    """Empty where the event is about a room."""
    body: bytes
    authorization: str


@dataclass(frozen=True, slots=True)
class DeliverWebhook:
    """A request to be made now; its driver reports the outcome by `delivered(delivery_id, status)`."""

    delivery_id: int
    webhook: Webhook
    attempt: int
    """1 for the first."""


@dataclass(slots=True)
class _Entry:
    webhook: Webhook
    queued_at: int
    not_before: int
    attempts: int = 0


@dataclass(slots=True)
class _Queue:
    key: tuple[str, ...]
    entries: deque[_Entry] = field(default_factory=deque)
    held_until: int = 0
    in_flight: int | None = None
    wakes_at: int | None = None


class WebhookQueues:
    """All queues of one server. `clock` gives nanoseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._queues: dict[tuple[str, ...], _Queue] = {}
        self._wakes: list[tuple[int, int, _Queue]] = []
        self._in_flight: dict[int, _Queue] = {}
        self._serial = 0

    def add(self, sender: str, webhook: Webhook, *, after: int = 0, overtaken: bool = False) -> None:
        """Queue `webhook` behind what `sender` has queued for the same URL, `after` ns from now at the earliest.

        `overtaken` gives it a queue of its own, so that later ones can pass it. A full queue drops it.
        """
        key = (sender, webhook.url, webhook.event_id) if overtaken else (sender, webhook.url)
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = _Queue(key)
        if len(queue.entries) >= DEPTH:
            return
        # A webhook that is held back on purpose does not make those behind it too old.
        due = max(self._clock() + after, queue.held_until)
        queue.held_until = due if after else queue.held_until
        queue.entries.append(_Entry(webhook, due, due))
        if queue.in_flight is None and queue.wakes_at is None:
            self._wake(queue, due)

    def clear(self) -> None:
        """Forget all that is queued or under way, as when the server dies."""
        self._queues.clear()
        self._wakes.clear()
        self._in_flight.clear()

    def next_at(self) -> int | None:
        """Say when the next request is to be made; None while nothing waits but for its answer."""
        return self._wakes[0][0] if self._wakes else None

    def advance(self) -> list[DeliverWebhook]:
        """Give the requests that are to be made by now."""
        deliveries: list[DeliverWebhook] = []
        if not self._wakes:
            return deliveries
        now = self._clock()
        while self._wakes and self._wakes[0][0] <= now:
            _, _, queue = heappop(self._wakes)
            queue.wakes_at = None
            self._drop_expired(queue, now)
            if not queue.entries:
                self._queues.pop(queue.key, None)
                continue
            entry = queue.entries[0]
            if entry.not_before > now:
                self._wake(queue, entry.not_before)
                continue
            self._serial += 1
            entry.attempts += 1
            queue.in_flight = self._serial
            self._in_flight[self._serial] = queue
            deliveries.append(DeliverWebhook(self._serial, entry.webhook, entry.attempts))
        return deliveries

    def delivered(self, delivery_id: int, status: int | None) -> None:
        """Report the HTTP status that a request got; None for no answer. An unknown delivery is ignored."""
        queue = self._in_flight.pop(delivery_id, None)
        if queue is None:
            return
        queue.in_flight = None
        now = self._clock()
        entry = queue.entries[0]
        if _may_be_retried(status) and entry.attempts <= len(RETRY_DELAYS):
            entry.not_before = now + RETRY_DELAYS[entry.attempts - 1]
            self._wake(queue, entry.not_before)
            return
        queue.entries.popleft()
        if queue.entries:
            self._wake(queue, max(now, queue.entries[0].not_before))
        else:
            self._queues.pop(queue.key, None)

    def _drop_expired(self, queue: _Queue, now: int) -> None:
        entries = queue.entries
        while entries and not entries[0].attempts and now - entries[0].queued_at > MAXIMUM_AGE:
            entries.popleft()

    def _wake(self, queue: _Queue, at: int) -> None:
        queue.wakes_at = at
        self._serial += 1
        heappush(self._wakes, (at, self._serial, queue))


def _may_be_retried(status: int | None) -> bool:
    return status is None or status == 429 or status >= 500
