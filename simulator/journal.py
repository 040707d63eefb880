"""The true history: all that was written, all that users saw, and the rules for both."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from recorder.domain.events import EVENTS, EventType
from recorder.domain.lifecycle import TRANSITIONS
from recorder.domain.recording import FINAL, Status, StopReason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime
    from uuid import UUID

    from recorder.domain.recording import Recording
    from recorder.usecases.ports import Recordings, StoredEvent


class ViolationError(BaseException):
    """An invariant is broken. It is no Exception, so that the product cannot handle it."""


def require(*, holds: bool, otherwise: str) -> None:
    """Raise ViolationError unless it holds."""
    if not holds:
        raise ViolationError(otherwise)


class Journal:
    """The repository, with its rows and the events that are owed for what was written to it."""

    def __init__(self, target: Recordings) -> None:
        self.rows: dict[UUID, Recording] = {}
        self.owed: dict[UUID, list[EventType]] = {}
        self.expired: set[UUID] = set()
        """Recordings that were deleted because their retention was over."""
        self.refused: set[UUID] = set()
        """Starts that LiveKit refused: they are no recordings, also to a retry that was answered before."""
        self.unreadable: set[UUID] = set()
        """Recordings that could not be read at some time."""
        self.written: Callable[[UUID], bool] = lambda _: False
        """Is told of every change, and says whether the row cannot be read afterwards."""
        self.changing: Callable[[Recording, Recording], None] = lambda _before, _after: None
        """Is told of every change before it counts."""
        self.failing: Callable[[Recording], None] = lambda _: None
        """Is told of every recording that fails."""
        self.completing: Callable[[Recording], None] = lambda _: None
        """Is told of every recording that is completed."""
        self.naming: Callable[[Recording], None] = lambda _: None
        """Is told of every recording that names a file in the bucket."""
        self.limiting: Callable[[Recording], None] = lambda _: None
        """Is told of every recording that is ended because it has reached its longest duration."""
        self._target = target
        for name in dir(target):
            if not name.startswith("_") and not hasattr(self, name):
                setattr(self, name, getattr(target, name))

    def insert(self, recording: Recording) -> Recording | None:
        existing = self._target.insert(recording)
        if existing is None and recording.id not in self.rows:
            rivals = [row for row in self.rows.values() if row.live and row.target == recording.target]
            require(
                holds=recording.target is None or not rivals, otherwise="5: two live recordings of one target"
            )
            self.rows[recording.id] = recording
            self._owe(None, recording)
            self._wrote(recording.id)
        return existing

    def save(self, before: Recording, after: Recording) -> bool:
        written = self._target.save(before, after)
        if written:
            known = self.rows[after.id]
            final = known.status in FINAL
            require(
                holds=not final or after.status is known.status,
                otherwise=f"4: {after.id} was {known.status} and became {after.status}",
            )
            require(
                holds=known.deleted_at is None or after.deleted_at is not None,
                otherwise=f"4: {after.id} was deleted and came back",
            )
            moves = after.status is known.status or after.status in TRANSITIONS[Status(known.status)]
            require(holds=moves, otherwise=f"4: {known.status} became {after.status}: {after.id}")
            self.changing(known, after)
            if after.status is Status.FAILED and not final:
                self.failing(after)
            if after.status is Status.COMPLETED and not final:
                self.completing(after)
            require(
                holds="?" not in (after.file_url or ""),
                otherwise=f"6: {after.id} shows what opens its file",
            )
            if after.downloadable:
                self.naming(after)
            if after.stop_reason is StopReason.MAX_DURATION and known.stop_reason is None:
                self.limiting(after)
            for told in (after.started_at, after.stopped_at):
                require(
                    holds=told is None or after.created_at <= told <= after.updated_at,
                    otherwise=f"{after.id} of {after.created_at} has the impossible time {told}",
                )
            if known.deleted_at is None and after.deleted_at is not None and known.expired(after.deleted_at):
                self.expired.add(after.id)
            if after.refused:
                self.refused.add(after.id)
            self.rows[after.id] = after
            self._owe(known, after)
            self._wrote(after.id)
        return written

    def save_all(self, changes: Sequence[tuple[Recording, Recording]]) -> frozenset[UUID]:
        return frozenset(after.id for before, after in changes if self.save(before, after))

    def _wrote(self, recording_id: UUID) -> None:
        if self.written(recording_id):
            self.unreadable.add(recording_id)

    def remove(self, recording: Recording, *, last: Recording | None = None) -> bool:
        removed = self._target.remove(recording, last=last)
        if removed:
            known = self.rows.pop(recording.id)
            if last is not None:
                self.refused.add(last.id)
                self.failing(last)
                self._owe(known, last)
        return removed

    def _owe(self, before: Recording | None, after: Recording) -> None:
        owed = self.owed.setdefault(after.id, [])
        if before is not None and before.deleted_at is not None:
            return
        if after.deleted_at is not None and not after.refused:
            if before is not None:
                owed.append(EventType.DELETED)
        elif before is None or before.status is not after.status:
            owed.append(EVENTS[Status(after.status)])

    def check_events(self, taken: Sequence[StoredEvent], *, once: bool) -> None:
        """Check that the bus was told of every change, in order, by stable ids, and perhaps `once` of each."""
        bodies: dict[str, str] = {}
        told: dict[str, list[tuple[int, EventType]]] = {}
        for number, event in enumerate(taken, 1):
            body = cast("dict[str, object]", json.loads(event.body))
            known = bodies.setdefault(str(body["id"]), event.body)
            require(
                holds=known == event.body,
                otherwise=f"7: event {body['id']} came twice, with different bodies",
            )
            require(holds=not once or len(bodies) == number, otherwise=f"7: event {body['id']} came twice")
            mine = told.setdefault(str(body["recordingId"]), [])
            entry = (cast("int", body["sequence"]), EventType(event.type))
            if entry not in mine:
                require(
                    holds=not mine or mine[-1][0] < entry[0],
                    otherwise=f"7: the events of {body['recordingId']} came out of order",
                )
                mine.append(entry)
        for recording_id, owed in self.owed.items():
            heard = [kind for _, kind in told.pop(str(recording_id), [])]
            require(
                holds=heard == owed,
                otherwise=f"7: {recording_id} went {_words(owed)}, told was {_words(heard)}",
            )
        require(holds=not told, otherwise="7: an event tells of what never was")


def _words(kinds: Sequence[EventType]) -> str:
    return " ".join(kind.removeprefix("Recording") for kind in kinds) or "nothing"


@dataclass(slots=True)
class Known:
    """A user's knowledge of a recording."""

    user: str
    final: str | None = None
    final_since: int = 0
    deleting: bool = False
    deleted_since: int | None = None


@dataclass(slots=True)
class Observer:
    """The sights of users. Times are ticks: a call gets one when it begins, and its sight holds from when it ends."""

    known: dict[UUID, Known] = field(default_factory=dict)
    _tick: int = 0

    def begin(self) -> int:
        self._tick += 1
        return self._tick

    def meet(self, user: str, recording_id: UUID) -> Known:
        known = self.known.get(recording_id)
        if known is None:
            known = self.known[recording_id] = Known(user)
        require(holds=known.user == user, otherwise=f"6: {user} was told of {known.user}'s {recording_id}")
        return known

    def of(self, user: str) -> list[UUID]:
        return [recording_id for recording_id, known in self.known.items() if known.user == user]

    def saw(self, user: str, recording: Recording, began: int) -> None:
        """Check what a call that began at a tick showed."""
        require(
            holds=recording.user_id == user, otherwise=f"6: {user} saw {recording.user_id}'s {recording.id}"
        )
        known = self.meet(user, recording.id)
        require(
            holds=known.deleted_since is None or began < known.deleted_since,
            otherwise=f"4: {recording.id} was deleted and is seen again",
        )
        if known.final is not None and (recording.status in FINAL or began > known.final_since):
            require(
                holds=recording.status is known.final,
                otherwise=f"4: {recording.id} was seen {known.final} and then {recording.status}",
            )
        if recording.status in FINAL and known.final is None:
            known.final, known.final_since = recording.status, self.begin()

    def missed(self, recording_id: UUID, *, gone: bool) -> None:
        """Check a 404 about a recording that its user knows."""
        require(
            holds=gone or self.known[recording_id].deleting,
            otherwise=f"4: {recording_id} vanished and nobody deleted it",
        )

    def deleting(self, recording_id: UUID) -> None:
        self.known[recording_id].deleting = True

    def deleted(self, recording_id: UUID) -> None:
        self.known[recording_id].deleted_since = self.begin()


@dataclass(slots=True)
class Paging:
    """One walk through all pages of a list."""

    owed: set[UUID]
    """Recordings that were there when it began."""
    seen: list[UUID] = field(default_factory=list)

    def check(self, still_there: set[UUID]) -> None:
        require(holds=len(self.seen) == len(set(self.seen)), otherwise="a list showed a recording twice")
        skipped = (self.owed & still_there) - set(self.seen)
        require(holds=not skipped, otherwise=f"a list skipped {skipped}")


def listed(rows: dict[UUID, Recording], user: str, room: str | None, now: datetime) -> set[UUID]:
    """Give the ids that a list of a user has to show."""
    return {
        row.id
        for row in rows.values()
        if row.user_id == user
        and room in {None, row.room_name}
        and row.deleted_at is None
        and not row.expired(now)
    }
