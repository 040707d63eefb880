"""The context that the phases of one sweep share: its time, LiveKit's listing, the ledger, and stopping egress."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, Self

from recorder.domain.verdict import Handler
from recorder.errors import (
    DatabaseBusyError,
    DatabaseUnavailableError,
    EgressNotAskedError,
    EgressUnansweredError,
    RecordingContendedError,
    RecordingNotFoundError,
)
from recorder.telemetry import Code, log, place_of
from recorder.usecases.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime
    from uuid import UUID

    from recorder.domain.egress import EgressSnapshot, OpenRoom
    from recorder.usecases.ports import Adapters, Answer

BATCH: Final = 1000
"""How many rows or egress are handled at a time."""
_MOST_BUSY: Final = 2
_RESERVE_SECONDS: Final = 12.0
"""Time that is kept for orphans and events, and for the one call that is on its way when time runs short."""


class Outcome(StrEnum):
    """The outcome of a sweep for one recording, egress or event."""

    UNCHANGED = "unchanged"
    ADOPTED = "adopted"
    PAUSE_ENDED = "pause_ended"
    TAKE_CALLED = "take_called"
    TAKE_ENDED = "take_ended"
    ASSEMBLING_CALLED = "assembling_called"
    COMPLETED = "completed"
    DATABASE_BUSY = "database_busy"
    COMPLETED_FROM_FILE = "completed_from_file"
    DOUBTED = "doubted"
    LEFT_ALONE = "left_alone"
    FAILED = "failed"
    GIVEN_UP = "given_up"
    STOPPING = "stopping"
    STOPPED = "stopped"
    OVERTAKEN = "overtaken"
    CLEARED = "cleared"
    EMPTIED = "emptied"
    REMOVED = "removed"
    LATE_FILE_FOUND = "late_file_found"
    POSTPONED = "postponed"
    ORPHAN = "orphan"
    SECOND_EGRESS = "second_egress"
    PUBLISHED = "published"
    UNPUBLISHED = "unpublished"
    LIST_UNANSWERED = "list_unanswered"
    LOOKUP_UNANSWERED = "lookup_unanswered"
    LOOK_UNANSWERED = "look_unanswered"
    STOP_UNANSWERED = "stop_unanswered"
    ERROR = "error"


class ActiveListing(NamedTuple):
    """LiveKit's listing of every egress that has not ended."""

    by_id: Mapping[str, EgressSnapshot]
    by_recording: Mapping[UUID, Sequence[EgressSnapshot]]
    """The egress that write into the folder of a recording of this deployment; hardly ever more than one."""
    rooms: Counter[str]
    """How many there are in each room."""

    @classmethod
    def of(cls, snapshots: Sequence[EgressSnapshot]) -> Self:
        """Sort a listing."""
        by_recording: defaultdict[UUID, list[EgressSnapshot]] = defaultdict(list)
        for each in snapshots:
            if each.recording_id is not None:
                by_recording[each.recording_id].append(each)
        return cls(
            by_id={each.egress_id: each for each in snapshots},
            by_recording=by_recording,
            rooms=Counter(each.room_name for each in snapshots),
        )


@dataclass
class Context:
    """One sweep: the time it has, what it knows, what came out."""

    adapters: Adapters
    time_left: Callable[[], float]
    """How many seconds (s) are left for work on what is due."""
    waits: float
    """How many more (s) there are to wait for deadlines in."""
    began_at: datetime
    waiting: bool = False
    """Work on what is due is over."""
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    matched: set[str] = field(default_factory=set)
    """The egress that live recordings of this sweep own."""
    asked: set[str] = field(default_factory=set)
    """The egress that were asked to end, or whose handlers were asked whether they live."""
    storage_failed: bool = False
    """The bucket has refused once: it is not asked again, since each try may take as long as it can."""
    cut_short: bool = False
    """Something that is due had no time, and waits for the next sweep."""

    @cached_property
    def ledger(self) -> Ledger:
        """Where changes are written."""
        return Ledger(self.adapters)

    @cached_property
    def listing(self) -> ActiveListing | None:
        """LiveKit's listing; None where LiveKit did not give all of it, which is no evidence of anything."""
        try:
            return ActiveListing.of(self.adapters.egress.list_active())
        except EgressUnansweredError:
            log.warning(Code.LIST_UNANSWERED)
            self.outcomes[Outcome.LIST_UNANSWERED] += 1
            return None

    @property
    def now(self) -> datetime:
        """The time."""
        return self.adapters.clock.now()

    @property
    def seconds_left(self) -> float:
        """The seconds that are left of the sweep's time."""
        return self.time_left() + (self.waits if self.waiting else 0.0)

    @property
    def seconds(self) -> float:
        """The seconds that are left for the rows that are due."""
        return self.seconds_left - _RESERVE_SECONDS

    @property
    def over(self) -> bool:
        """Whether what is due has to wait for the next sweep."""
        return self.seconds <= 0

    @contextmanager
    def each(self, recording_id: UUID) -> Iterator[None]:
        """Handle one recording: the others come next, also where this one cannot be handled."""
        try:
            yield
        except (RecordingContendedError, RecordingNotFoundError):
            self.outcomes[Outcome.OVERTAKEN] += 1
        except DatabaseBusyError:
            # A lock that somebody holds concerns one row; where several meet it, the database is the trouble.
            if self.outcomes[Outcome.DATABASE_BUSY] >= _MOST_BUSY:
                raise
            self.outcomes[Outcome.DATABASE_BUSY] += 1
        except DatabaseUnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - it would end every sweep from now on
            log.error(
                Code.SWEEP_FAILED,
                recording_id=recording_id,
                reason=type(error).__name__,
                where=place_of(error),
            )
            self.outcomes[Outcome.ERROR] += 1

    def open_rooms(self, names: Iterable[str]) -> Mapping[str, OpenRoom] | None:
        """Return those of these rooms that exist; None where LiveKit does not say, or there is no time to ask."""
        if self.over:
            return None
        try:
            return self.adapters.egress.open_rooms(sorted(names))
        except EgressUnansweredError:
            return None

    def recorders(self, rooms: Iterable[str]) -> Mapping[str, frozenset[str]]:
        """Return the egress that each of these rooms shows; takes at most half of the time that is left.

        Rooms of which LiveKit does not say in this time are left out.
        """
        wanted = sorted(set(rooms))
        if not wanted or self.over:
            return {}
        return self.adapters.egress.recorders(wanted, seconds=self.seconds / 2)

    def shown(self, rooms: Mapping[str, str]) -> Mapping[str, bool]:
        """Tell which egress, given with their rooms, these show; of what LiveKit does not say nothing is told.

        An egress without a room (""), which records a web page, is shown nowhere.
        """
        names = set(rooms.values()) - {""}
        open_rooms = self.open_rooms(names) if names else {}
        if open_rooms is None:
            return {egress_id: False for egress_id, room in rooms.items() if not room}
        recorded = {name for name, room in open_rooms.items() if room.recorded}
        recorders = self.recorders(recorded)
        return {
            egress_id: egress_id in recorders.get(room, ())
            for egress_id, room in rooms.items()
            if room in recorders or room not in recorded
        }

    def alive(self, rooms: Mapping[str, str]) -> frozenset[str]:
        """Return those egress, given with their rooms, that are known to live.

        A room shows it; of a web page, which has no room (""), its handler answers.
        """
        shown = self.shown(rooms)
        handlers = self.ask_handlers(egress_id for egress_id, room in rooms.items() if not room)
        return frozenset(
            egress_id
            for egress_id in rooms
            if shown.get(egress_id, False) or handlers.get(egress_id) is Handler.ANSWERS
        )

    def ask_handlers(self, egress_ids: Iterable[str]) -> Mapping[str, Handler]:
        """Call handlers of egress that their rooms deny; takes at most half of the time that is left."""
        wanted = set(egress_ids)
        if not wanted or self.over:
            return dict.fromkeys(wanted, Handler.UNKNOWN)
        self.asked |= wanted
        return self.adapters.egress.ask_handlers(wanted, seconds=self.seconds / 2)

    def stop(self, wanted: Mapping[str, UUID]) -> Mapping[str, Answer]:
        """Stop egress that ought to have ended, and warn of those that give no answer: they may run on, and bill.

        `wanted` are the recordings by egress. All of it takes at most half of the time that is left, since there is
        more to do.
        """
        if not wanted:
            return {}
        self.asked |= wanted.keys()
        answers = self.adapters.egress.stop_many(wanted, seconds=self.seconds_left / 2)
        for egress_id, answer in answers.items():
            if isinstance(answer, EgressNotAskedError):
                self.cut_short = True
            elif isinstance(answer, EgressUnansweredError):
                log.warning(Code.STOP_UNANSWERED, recording_id=wanted[egress_id], egress_id=egress_id)
                self.outcomes[Outcome.STOP_UNANSWERED] += 1
        return answers
