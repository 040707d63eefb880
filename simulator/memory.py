"""Repository, storage and bus in memory: they pass the contract suite of the adapters, at a thousandth of the cost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Final

from recorder.contract.event import event_json
from recorder.domain.events import Event, event_of
from recorder.domain.outputs import media_among
from recorder.domain.recording import Recording, Status, StoredFile
from recorder.domain.takes import lost_egress
from recorder.errors import CannotJoinError, RecordingInProgressError, StorageUnavailableError
from recorder.usecases.ports import Backlog, Joined, Media, Owner, StoredEvent
from simulator.media import cut, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from uuid import UUID

    from recorder.usecases.ports import Page, TakeParts
    from simulator.media import Content

_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Unpublished:
    position: int
    event: Event
    recording: Recording
    leased_until: datetime = _LONG_AGO


class MemoryRepository:
    """`recorder.postgres.repository.Repository` without Postgres."""

    def __init__(self, *, emit_events: bool) -> None:
        self.rows: dict[UUID, Recording] = {}
        self.unreadable: set[UUID] = set()
        """Rows that hold something that this release cannot read."""
        self._emit_events = emit_events
        self._outbox: dict[int, _Unpublished] = {}
        self._position = 0

    def insert(self, recording: Recording) -> Recording | None:
        standing = self._in_the_way(recording)
        if standing is None:
            self.rows[recording.id] = recording
            self._emit(None, recording)
            return None
        if standing.id == recording.id:
            return None
        if standing.id in self.unreadable:
            raise RecordingInProgressError(None)
        return standing

    def _in_the_way(self, new: Recording) -> Recording | None:
        if new.id in self.rows:
            return self.rows[new.id]
        rows = self.rows.values()
        if new.idempotency_key is not None:
            for row in rows:
                if (row.user_id, row.idempotency_key) == (new.user_id, new.idempotency_key):
                    return row
        if new.live and new.target is not None:
            for row in rows:
                if row.live and row.target == new.target:
                    return row
        return None

    def spoil(self, recording_id: UUID) -> None:
        """Make a row unreadable, as a value does that Python has not."""
        self.unreadable.add(recording_id)

    def mend(self) -> None:
        """Make every row readable again."""
        self.unreadable.clear()

    def save(self, before: Recording, after: Recording) -> bool:
        stored = self.rows.get(after.id)
        if stored is None or stored.version != before.version:
            return False
        self.rows[after.id] = after
        # It was read before it became unreadable, and is now as it was read.
        self.unreadable.discard(after.id)
        self._emit(before, after)
        return True

    def save_all(self, changes: Sequence[tuple[Recording, Recording]]) -> frozenset[UUID]:
        return frozenset(after.id for before, after in changes if self.save(before, after))

    def get_all(self, recording_ids: Sequence[UUID]) -> dict[UUID, Recording]:
        return {each: row for each in recording_ids if (row := self.get(each)) is not None}

    def refreshed(self, recording_id: UUID, now: datetime) -> None:
        row = self.rows.get(recording_id)
        if row is not None:
            self.rows[row.id] = row._replace(refreshed_at=now)

    def get(self, recording_id: UUID) -> Recording | None:
        return None if recording_id in self.unreadable else self.rows.get(recording_id)

    def find_by_egress_id(self, egress_id: str) -> Sequence[Recording]:
        found = (row for row in self._readable() if row.egress_id == egress_id)
        return sorted(found, key=lambda row: row.id)

    def _readable(self) -> Iterator[Recording]:
        return (row for row in self.rows.values() if row.id not in self.unreadable)

    def page(self, page: Page, now: datetime) -> list[Recording]:
        found = sorted(
            (row for row in self._readable() if _listed(row, page, now)),
            key=lambda row: (row.created_at, row.id),
            reverse=not page.oldest_first,
        )
        return found[: page.limit]

    def lease(
        self, now: datetime, until: datetime, limit: int, *, refreshed_at: datetime | None
    ) -> list[Recording]:
        due = [
            (row.due_at, row) for row in self.rows.values() if row.due_at is not None and row.due_at <= now
        ]
        due.sort(key=lambda each: each[0])
        leased = [
            row._replace(due_at=until, refreshed_at=refreshed_at or row.refreshed_at)
            for _, row in due[:limit]
        ]
        self.rows.update((row.id, row) for row in leased)
        known = (row for row in leased if row.known and row.id not in self.unreadable)
        return sorted(known, key=lambda each: (each.attempts, each.created_at, each.id))

    def limited(self, until: datetime, limit: int) -> list[Recording]:
        found = [
            (row.due_at, row)
            for row in self.rows.values()
            if row.status in {Status.STARTING, Status.ACTIVE, Status.RESUMING}
            and row.due_at is not None
            and row.due_at <= until
            and row.max_duration is not None
            and row.started_at is not None
            and row.started_at + timedelta(seconds=row.max_duration) <= until
        ]
        return [row for _, row in sorted(found, key=lambda each: each[0])][:limit]

    def owners(self, recording_ids: Sequence[UUID]) -> dict[UUID, Owner]:
        return {
            row.id: Owner(
                id=row.id,
                live=row.live,
                egress_id=row.egress_id,
                take=row.take,
                between_takes=row.between_takes,
                lost=lost_egress(row),
                known=row.known and row.id not in self.unreadable,
            )
            for recording_id in recording_ids
            if (row := self.rows.get(recording_id))
        }

    def make_due(self, recording_ids: Sequence[UUID], now: datetime) -> None:
        for recording_id in recording_ids:
            row = self.rows.get(recording_id)
            if row is not None and row.attempts == 0 and not row.live:
                self.rows[row.id] = row._replace(due_at=now)

    def remove(self, recording: Recording, *, last: Recording | None = None) -> bool:
        stored = self.rows.get(recording.id)
        if stored is None or stored.version != recording.version:
            return False
        del self.rows[recording.id]
        self._emit(recording, last or recording)
        return True

    def lease_events(self, now: datetime, until: datetime, limit: int) -> list[StoredEvent]:
        first: dict[UUID, _Unpublished] = {}
        for waiting in self._outbox.values():
            known = first.setdefault(waiting.event.recording_id, waiting)
            if waiting.event.sequence < known.event.sequence:
                first[waiting.event.recording_id] = waiting
        free = sorted(
            (each for each in first.values() if each.leased_until <= now), key=lambda each: each.position
        )[:limit]
        for each in free:
            each.leased_until = until
        return [
            StoredEvent(
                position=each.position,
                type=each.event.type,
                body=json.dumps(event_json(each.event, each.recording)),
            )
            for each in free
        ]

    def delete_events(self, positions: Sequence[int]) -> None:
        for position in positions:
            self._outbox.pop(position, None)

    def backlog(self, now: datetime) -> Backlog:
        due = (row.due_at for row in self.rows.values() if row.due_at is not None and row.due_at <= now)
        return Backlog(oldest_due_at=min(due, default=None), events=min(len(self._outbox), 10_000))

    def _emit(self, before: Recording | None, after: Recording) -> None:
        event = event_of(before, after) if self._emit_events else None
        if event is not None:
            self._position += 1
            self._outbox[self._position] = _Unpublished(self._position, event, after)


def _listed(row: Recording, page: Page, now: datetime) -> bool:
    position = (row.created_at, row.id)
    return (
        row.user_id == page.user_id
        and row.deleted_at is None
        and not row.expired(now)
        and page.room_name in {None, row.room_name}
        and page.status in {None, row.status}
        and page.source in {None, row.source}
        and page.reference in {None, row.reference}
        and (page.created_from is None or row.created_at >= page.created_from)
        and (page.created_to is None or row.created_at < page.created_to)
        and (page.after is None or (position > page.after if page.oldest_first else position < page.after))
    )


class MemoryWaits:
    """`recorder.postgres.waits.PostgresWaits` without Postgres."""

    def __init__(self) -> None:
        self._waits: dict[str, list[datetime]] = {}

    def begin(self, user_id: str, ends_at: datetime, now: datetime, *, of_user: int, of_all: int) -> bool:
        live = {holder: [each for each in ends if each > now] for holder, ends in self._waits.items()}
        own = live.setdefault(user_id, [])
        granted = len(own) < of_user and sum(map(len, live.values())) < of_all
        if granted:
            own.append(ends_at)
        self._waits = live
        return granted

    def end(self, user_id: str, ends_at: datetime) -> None:
        self._waits[user_id] = [each for each in self._waits.get(user_id, []) if each != ends_at]

    def release(self) -> None:
        """Hold nothing, as ever."""


class MemoryStorage:
    """`recorder.aws.storage.S3Storage` without S3: `objects` is what the bucket holds, by key."""

    def __init__(self) -> None:
        self.objects: dict[str, StoredFile] = {}
        self.contents: dict[str, Content] = {}
        """The content of each object that is media, by key; of one that is gone, too."""
        self.texts: dict[str, bytes] = {}
        self.removing: Callable[[Sequence[str]], None] = lambda _: None
        """Is told which objects of a recording go that are not all of it."""

    def put(
        self, key: str, size: int, at: datetime, duration: float | None = None, content: Content = ()
    ) -> None:
        self.objects[key] = StoredFile(key=key, size=size, modified_at=at, duration=duration)
        self.contents[key] = content
        self.texts.pop(key, None)

    def link(
        self, key: str, *, file_name: str | None, mime_type: str | None, seconds: int
    ) -> tuple[str, int]:
        return f"memory:{key}?{file_name}&{mime_type}&{seconds}", seconds

    def find(self, recording: Recording) -> StoredFile | None:
        places = recording.folders if recording.outside_key is None else (recording.outside_key,)
        return media_among((each for place in places for each in self._list(place)), recording)

    def objects_of(self, recording: Recording) -> list[StoredFile]:
        return [each for folder in recording.folders for each in self._list(folder)]

    def remove(self, keys: Sequence[str]) -> None:
        self.removing(keys)
        for key in keys:
            self.objects.pop(key, None)

    def links(self, keys: Sequence[str], *, seconds: int) -> list[str]:
        return [f"memory:{key}?{seconds}" for key in keys]

    def read_text(self, key: str, *, last: int | None = None) -> str | None:
        text = self.texts.get(key, b"")
        return text[-last if last is not None else 0 :].decode() if key in self.objects else None

    def inspect(self, key: str) -> Media | None:
        file = self.objects.get(key)
        return Media(file.duration) if file is not None and file.size else None

    def delete(self, recording: Recording) -> None:
        for folder in recording.folders:
            for file in self._list(folder):
                del self.objects[file.key]
        if recording.outside_key is not None:
            self.objects.pop(recording.outside_key, None)

    def _list(self, prefix: str) -> list[StoredFile]:
        return [self.objects[key] for key in sorted(self.objects) if key.startswith(prefix)]


class MemoryEvents:
    """`recorder.aws.events.EventBridge` without a bus: `taken` is what it took, in order."""

    def __init__(self) -> None:
        self.taken: list[StoredEvent] = []

    def publish(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        self.taken += events
        return [event.position for event in events]


class MemoryJoiner:
    """A joiner in a `MemoryStorage`: the joined object plays what its parts play, in their order."""

    def __init__(
        self, storage: MemoryStorage, now: Callable[[], datetime], refuses: Callable[[], bool] = lambda: False
    ) -> None:
        self._storage = storage
        self._now = now
        self._refuses = refuses

    def join(self, takes: Sequence[TakeParts], key: str) -> Joined:
        if self._refuses():
            raise CannotJoinError("the takes differ")
        by_segments = all(_is_whole(take) for take in takes)
        chosen = [_chosen(take, by_segments=by_segments) for take in takes]
        if any(each.key not in self._storage.objects for parts in chosen for each in parts):
            raise StorageUnavailableError("a part is gone")
        contents = [self._content(take, parts) for take, parts in zip(takes, chosen, strict=True)]
        content = tuple(span for each in contents for span in each)
        size = sum(each.size for parts in chosen for each in parts)
        self._storage.put(key, size, self._now(), seconds_of(content), content)
        seconds = {take.take: seconds_of(each) for take, each in zip(takes, contents, strict=True)}
        return Joined(size=size, seconds=seconds_of(content), take_seconds=seconds)

    def _content(self, take: TakeParts, parts: Sequence[StoredFile]) -> Content:
        spans = [self._storage.contents[each.key] for each in parts]
        first = parts[0].key if parts and parts[0] != take.file else ""
        # The segments before the first one that is there were as long as it is.
        missing = _number(first) * seconds_of(spans[0]) if first else 0.0
        return cut(tuple(chain.from_iterable(spans)), take.most_seconds, missing_before=missing)

    def forget_uploads(self, prefix: str) -> None:
        """Forget nothing: an object is written at once."""


def _is_whole(take: TakeParts) -> bool:
    """Tell whether no segment is missing, as far as is known."""
    numbers = [_number(each.key) for each in take.segments]
    return bool(numbers) and numbers == list(range(len(numbers))) and not take.ends_early


def _number(key: str) -> int:
    return int(key.rpartition("_")[2].removesuffix(".ts"))


def _chosen(take: TakeParts, *, by_segments: bool) -> Sequence[StoredFile]:
    return take.segments if by_segments or take.file is None else (take.file,)
