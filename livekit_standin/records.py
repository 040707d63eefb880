"""Every egress with what its handler knows of it, and what the server has on record."""

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING

from google.protobuf.message import Message
from livekit.protocol import egress

from livekit_standin.environment import Environment
from livekit_standin.files import Stored
from livekit_standin.jobs import Job
from livekit_standin.options import WorkerOptions
from livekit_standin.rooms import Room

if TYPE_CHECKING:
    from livekit_standin.outputs.sink import Sink

_ENDED = {
    egress.EGRESS_COMPLETE,
    egress.EGRESS_FAILED,
    egress.EGRESS_ABORTED,
    egress.EGRESS_LIMIT_REACHED,
}


class Egress:
    """One egress."""

    __slots__ = (
        "alive",
        "begun_at",
        "end_error",
        "ended_at",
        "file_ended_at",
        "frozen",
        "gives_up_at",
        "info",
        "job",
        "joined",
        "layout",
        "limited",
        "manifest",
        "never_active",
        "outputs",
        "postponed",
        "publisher",
        "record",
        "room",
        "sinks",
        "started",
        "still_since",
        "suspended",
        "urls",
        "went_on_at",
        "worker",
    )

    def __init__(
        self,
        job: Job,
        room: Room | None,
        started: egress.EgressInfo,
        urls: tuple[str, ...],
        worker: WorkerOptions,
    ) -> None:
        self.job = job
        self.room = room
        self.started = started
        """As the start was answered; never changed."""
        self.info = copy_of(started)
        """As its handler sees it."""
        self.record: egress.EgressInfo | None = None
        """As ListEgress gives it; None before it is taken and when the server lost it."""
        self.urls = urls
        """The addresses that are told about it."""
        self.worker = worker
        self.layout = job.layout
        self.alive = True
        """Its handler process runs."""
        self.ended_at: int | None = None
        """When it ended, by the server's clock."""
        self.joined = False
        """Its recorder has been in the room."""
        self.gives_up_at: int | None = None
        """When it stops waiting for its track or participant."""
        self.frozen = False
        """Its handler stands still; the worker's service answers."""
        self.suspended = False
        """Its host stands still, or is cut off."""
        self.still_since: int | None = None
        self.went_on_at: int | None = None
        """When (ns) it last stood still no longer."""
        self.postponed: list[Callable[[], None]] = []
        """Its steps when it goes on."""
        self.end_error: tuple[int, str] | None = None
        """Makes it FAILED although its file is whole."""
        self.never_active = False
        """By a fault."""
        self.limited = False
        """By a fault."""
        self.publisher = ""
        """Whose departure ends it."""
        self.begun_at = 0
        """When its first sample was recorded, by the right clock."""
        self.file_ended_at = 0
        """When its last one was, by its worker's."""
        self.sinks: list[Sink] = []
        self.outputs = job.outputs.count()
        """How many of them still write; a stream is one."""
        self.manifest = Stored()

    def worker_time(self, time: int) -> int:
        """Give what its worker's clock shows at a time (ns)."""
        return time + self.worker.clock_skew

    def do(self, step: Callable[[], None]) -> None:
        """Do something if it is alive, and not before it goes on."""
        if self.still_since is not None:
            self.postponed.append(partial(self.do, step))
        elif self.alive:
            step()

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return self.ended_at is not None

    @property
    def reachable(self) -> bool:
        """Whether there is a handler for whom somebody answers."""
        return self.alive and not self.suspended

    @property
    def waiting(self) -> bool:
        """Whether it waits for its track or participant: it cannot be stopped."""
        return self.gives_up_at is not None

    @property
    def silent(self) -> bool:
        """Whether its handler lets its callers wait."""
        return self.waiting or self.frozen

    @property
    def still(self) -> bool:
        """Whether nothing happens in it."""
        return self.frozen or self.suspended

    @property
    def id(self) -> str:
        """The egress id."""
        return self.started.egress_id


class Records:
    """All egresses that a worker took and nobody forgot."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._live: dict[str, Egress] = {}
        self._ended: dict[str, Egress] = {}
        self._forget: deque[tuple[int, str]] = deque()

    def add(self, taken: Egress) -> None:
        """Add one that runs."""
        self._live[taken.id] = taken

    def end(self, found: Egress) -> None:
        """Note that one has ended; it is forgotten after some time."""
        keep = self._environment.draw(self._environment.timing.keep_ended)
        self._live.pop(found.id, None)
        self._ended[found.id] = found
        self._forget.append((self._environment.now() + keep, found.id))

    def find(self, egress_id: str) -> Egress | None:
        """Find one, running or ended."""
        self._forget_old()
        return self._live.get(egress_id) or self._ended.get(egress_id)

    def alive(self, egress_id: str) -> Egress | None:
        """Find one whose handler runs."""
        found = self._live.get(egress_id)
        return found if found is not None and found.alive else None

    def in_room(self, room: Room) -> list[Egress]:
        """Give those in a room whose handlers run."""
        return [found for found in self._live.values() if found.room is room and found.alive]

    def unended(self) -> Iterator[Egress]:
        """Give those that have not ended, dead ones included."""
        return iter(self._live.values())

    def select(self, room_name: str, *, active: bool) -> list[egress.EgressInfo]:
        """Give the server's records, newest first; an empty name means every room."""
        self._forget_old()
        candidates = self._live.values() if active else (*self._live.values(), *self._ended.values())
        records = [
            found.record
            for found in candidates
            if found.record is not None
            and (not room_name or found.record.room_name == room_name)
            and (not active or found.record.status not in _ENDED)
        ]
        records.sort(key=lambda record: (-record.started_at, record.egress_id))
        return records

    def lose(self, egress_id: str) -> None:
        """Forget one, as when Redis was emptied; the next update of a running one brings it back."""
        self._ended.pop(egress_id, None)
        found = self._live.get(egress_id)
        if found is None:
            return
        found.record = None
        if not found.alive:
            del self._live[egress_id]

    def lose_all(self) -> None:
        """Forget every one."""
        for egress_id in (*self._live, *self._ended):
            self.lose(egress_id)

    def _forget_old(self) -> None:
        now = self._environment.now()
        while self._forget and self._forget[0][0] <= now:
            self._ended.pop(self._forget.popleft()[1], None)


def snapshot(info: egress.EgressInfo) -> egress.EgressInfo:
    """Copy an info as it is given away: where it has one kind of results only, a deprecated field repeats them."""
    copy = copy_of(info)
    kinds = [copy.file_results, copy.segment_results, copy.stream_results, copy.image_results]
    if sum(bool(results) for results in kinds) == 1:
        if copy.file_results:
            copy.file.CopyFrom(copy.file_results[0])
        elif copy.segment_results:
            copy.segments.CopyFrom(copy.segment_results[0])
        elif copy.stream_results:
            copy.stream.CopyFrom(egress.StreamInfoList(info=copy.stream_results))
    return copy


def copy_of[M: Message](message: M) -> M:
    """Copy a message."""
    copy = type(message)()
    copy.CopyFrom(message)
    return copy
