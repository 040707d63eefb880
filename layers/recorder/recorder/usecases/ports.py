"""The ports: what use cases and sweep need of the outside, and the values that pass through them.

The adapters in `recorder.postgres`, `recorder.livekit` and `recorder.aws` implement these protocols;
`recorder.bootstrap` chooses them.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from recorder.domain.egress import EgressSnapshot, OpenRoom
    from recorder.domain.outputs import Output
    from recorder.domain.recording import Recording, Status, StoredFile
    from recorder.domain.schedule import Policy
    from recorder.domain.shares import ShareLink
    from recorder.domain.sources import Kind, Source
    from recorder.domain.verdict import Handler
    from recorder.errors import RecorderError


type Answer = EgressSnapshot | RecorderError
"""One answer of several that LiveKit was asked for together: a snapshot, or the error that a single call raises."""


class Page(NamedTuple):
    """A page of a user's recordings; `after` is the last one of the page before."""

    user_id: str
    limit: int
    oldest_first: bool = False
    room_name: str | None = None
    status: Status | None = None
    source: Source | None = None
    reference: str | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    after: tuple[datetime, UUID] | None = None


class Owner(NamedTuple):
    """The recording in whose folder an egress writes, as far as the sweep has to know it."""

    id: UUID
    live: bool
    egress_id: str | None
    take: int = 1
    between_takes: bool = False
    lost: frozenset[str] = frozenset()
    """The egress of its takes that were lost: LiveKit may list them as running for ever."""
    known: bool = True
    """Whether this release can read the recording; it leaves one that it cannot read alone, and its egress too."""


class StoredEvent(NamedTuple):
    """An event that waits to be published: `body` is the JSON of `contract.schemas.EventJson`."""

    position: int
    type: str
    """One of `domain.events.EventType`, or one that only a later release knows: it is published as it is."""
    body: str


class Backlog(NamedTuple):
    """How far the sweep is behind: `events` counts up to 10,000."""

    oldest_due_at: datetime | None
    events: int


class Media(NamedTuple):
    """An object's own account of its media: `duration` in seconds, None where its format does not tell."""

    duration: float | None


class Recordings(Protocol):
    """The tables. Every method raises DatabaseUnavailableError, and each is one transaction.

    A row that cannot be read (a time that Python has not, a value of a wrong type) is set aside: methods that return
    recordings pass over it, it is logged and counted, and it still holds its target and owns its egress. A value that
    only a later release knows is returned as `domain.recording.Unknown`.
    """

    def insert(self, recording: Recording) -> Recording | None:
        """Store a new recording and its event.

        Returns None when it is stored, or the recording that stands in its way: the one that has the same
        idempotency key, else the live one of the same target.

        Raises RecordingInProgressError where the row in the way cannot be read, and RowRefusedError where none is
        found although Postgres stores nothing: a unique index or trigger that is not this product's keeps it out.
        """

    def save(self, before: Recording, after: Recording) -> bool:
        """Write a change and its event if the row is still `before`; False means that another writer was faster."""

    def save_all(self, changes: Sequence[tuple[Recording, Recording]]) -> frozenset[UUID]:
        """Write several changes, each given as before and after, and their events, in one statement.

        None of them changes takes. Returns the ids of the rows that were still as before; the others are left to the
        writers that were faster.
        """

    def get_all(self, recording_ids: Sequence[UUID]) -> dict[UUID, Recording]:
        """Return recordings of any user, deleted or not; those that are not there are missing from the answer."""

    def refreshed(self, recording_id: UUID, now: datetime) -> None:
        """Note that LiveKit was asked of a recording and had nothing new to say."""

    def get(self, recording_id: UUID) -> Recording | None:
        """Return a recording of any user, deleted or not."""

    def find_by_egress_id(self, egress_id: str) -> Sequence[Recording]:
        """Return the recordings that an egress belongs to: several only where another table's rows were adopted."""

    def page(self, page: Page, now: datetime) -> list[Recording]:
        """Return a page of a user's recordings that are neither deleted nor expired."""

    def lease(
        self, now: datetime, until: datetime, limit: int, *, refreshed_at: datetime | None
    ) -> list[Recording]:
        """Take the recordings that are due longest; a second sweep skips them until `until`.

        Those at which the fewest attempts have failed come first, then the order in which they were made. Those that
        this release does not know in every value are left out: a later release settles them.
        """

    def limited(self, until: datetime, limit: int) -> list[Recording]:
        """Return recordings that reach their longest duration by then, and those that may once they have begun."""

    def owners(self, recording_ids: Sequence[UUID]) -> dict[UUID, Owner]:
        """Return the owners of these folders, readable or not; an id without a row is missing from the answer."""

    def make_due(self, recording_ids: Sequence[UUID], now: datetime) -> None:
        """Make final recordings due at once, except those that wait after a failed attempt."""

    def remove(self, recording: Recording, *, last: Recording | None = None) -> bool:
        """Remove the row if nobody changed it meanwhile, with the event of its last change, if it is given."""

    def lease_events(self, now: datetime, until: datetime, limit: int) -> list[StoredEvent]:
        """Take unpublished events, at most one of each recording, and that its first: so order is kept."""

    def delete_events(self, positions: Sequence[int]) -> None:
        """Forget events that were published."""

    def backlog(self, now: datetime) -> Backlog:
        """Return how far the sweep is behind."""


class Waits(Protocol):
    """The requests that wait for a recording to change. Methods that ask the tables raise DatabaseUnavailableError."""

    def begin(self, user_id: str, ends_at: datetime, now: datetime, *, of_user: int, of_all: int) -> bool:
        """Count one more wait, which ends at `ends_at` at the latest.

        False where `of_user` requests of this user wait already, or `of_all` of all users.
        """

    def end(self, user_id: str, ends_at: datetime) -> None:
        """Count a wait no more: the one of this user that has this end."""

    def release(self) -> None:
        """Give back the connection to the tables; the next statement opens a new one."""


class Links(Protocol):
    """The links to recordings, each found by the hash of its token. Methods raise DatabaseUnavailableError."""

    def insert(self, link: ShareLink, token_hash: bytes, now: datetime, *, most: int) -> bool:
        """Store a link; False where the recording has `most` links that have not expired, or is deleted.

        Requests at the same moment may pass the bound by their number.
        """

    def of_recording(self, recording_id: UUID, now: datetime) -> Sequence[ShareLink]:
        """Return a recording's links that have not expired, oldest first."""

    def find(self, token_hash: bytes, now: datetime) -> ShareLink | None:
        """Return the link with this hash; None where it, or its recording, has expired or is gone."""

    def stands(self, link_id: UUID, recording_id: UUID, now: datetime) -> bool:
        """Tell whether a recording has this link, and it has not expired."""

    def remove(self, link_id: UUID, recording_id: UUID) -> bool:
        """Remove a link of this recording; False where there is none."""


class Listing(Protocol):
    """LiveKit's listing of single egress."""

    def find(self, egress_id: str) -> EgressSnapshot:
        """Look an egress up. Raises EgressNotFoundError or EgressUnansweredError."""

    def has_people(self, room_name: str, identity: str | None = None) -> bool | None:
        """Tell whether a room has a participant that is neither an egress nor an agent, and has this identity.

        False where the room does not exist, None where it is open and has none. Raises EgressUnansweredError.
        """


class Egress(Protocol):
    """LiveKit's egress and rooms.

    Where a call has no usable answer, EgressUnansweredError is raised: its effect is then unknown.
    """

    def start(self, kind: Kind, outputs: Sequence[Output], webhook_url: str | None) -> EgressSnapshot:
        """Start an egress that records `kind` into `outputs`. LiveKit reports its progress to `webhook_url`.

        Raises a StartRefusedError where nothing was started, EgressUnansweredError where that is not known.
        """

    def stop(self, egress_id: str) -> EgressSnapshot:
        """Stop an egress. Raises EgressEndedError, EgressNotFoundError or EgressUnansweredError."""

    def find_many(self, egress_ids: Iterable[str], *, seconds: float) -> dict[str, Answer]:
        """Look several egress up, a few at a time; each gets what `Listing.find` would return or raise.

        The whole call takes at most `seconds`. An egress for which that is too short gets EgressNotAskedError.
        """

    def stop_many(self, egress_ids: Iterable[str], *, seconds: float) -> dict[str, Answer]:
        """Stop several egress, a few at a time; each gets what `stop` would return or raise.

        The whole call takes at most `seconds`. An egress for which that is too short gets EgressNotAskedError.
        """

    def ask_handlers(self, egress_ids: Iterable[str], *, seconds: float) -> Mapping[str, Handler]:
        """Call the handlers of several egress, many at a time, to learn whether they live; nothing changes by it.

        The whole call takes at most `seconds`. What cannot be learned, and what that is too short for, is UNKNOWN.
        """

    def list_active(self) -> Sequence[EgressSnapshot]:
        """Return every egress that LiveKit lists as not ended, also those of others.

        Raises EgressUnansweredError where not all of the listing can be read: a part of it is no evidence.
        """

    def list_room(self, room_name: str) -> Sequence[EgressSnapshot]:
        """Return every egress of a room, or with "" of all rooms and none, that LiveKit remembers: for 24 hours.

        Raises EgressUnansweredError, also where only a part of the list could be read.
        """

    def open_rooms(self, room_names: Sequence[str]) -> dict[str, OpenRoom]:
        """Return those of these rooms that exist. Raises EgressUnansweredError."""

    def recorders(self, room_names: Iterable[str], *, seconds: float) -> Mapping[str, frozenset[str]]:
        """Return the ids of the egress that take part in each of these rooms, asked at the same time.

        Rooms of which LiveKit says nothing within `seconds` are left out.
        """


class Storage(Protocol):
    """The bucket. Every method raises StorageUnavailableError."""

    def link(
        self, key: str, *, file_name: str | None, mime_type: str | None, seconds: int
    ) -> tuple[str, int]:
        """Return a link to an object that a browser saves under `file_name`, or plays without one; Range requests work.

        The second value is for how many seconds the link is good: at most those given.
        """

    def inspect(self, key: str) -> Media | None:
        """Read from an object how long it lasts; None where there is no such object, or an empty one.

        It takes a few seconds at most, and reads some kilobytes whatever the size of the object.
        """

    def find(self, recording: Recording) -> StoredFile | None:
        """Return the file of a recording with its duration, if it is in the bucket.

        It is the object that the recording's own output names: not an empty one, nor anything else that lies in the
        folder.
        """

    def objects_of(self, recording: Recording) -> Sequence[StoredFile]:
        """Return every object in the folders of a recording."""

    def remove(self, keys: Sequence[str]) -> None:
        """Remove these objects. An error may leave some."""

    def links(self, keys: Sequence[str], *, seconds: int) -> Sequence[str]:
        """Return links to several objects, for players that ask for them again and again.

        They are good for `seconds` at most, and for three quarters of that at least unless what signs them ends
        sooner. Between two changes they stay the same, so that a player keeps what it has loaded.
        """

    def read_text(self, key: str, *, last: int | None = None) -> str | None:
        """Return a small object, or the last bytes of one, as text; None where there is none."""

    def delete(self, recording: Recording) -> None:
        """Remove every object of a recording. An error may leave some; the removed ones stay removed."""


class Events(Protocol):
    """The event bus."""

    def publish(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        """Publish events; returns the positions of those that the bus has taken."""


class TakeParts(NamedTuple):
    """The objects of one take that hold media: its safety segments in order, its file, or both."""

    take: int
    segments: tuple[StoredFile, ...] = ()
    file: StoredFile | None = None
    ends_early: bool = False
    """Its last segments are missing: its file lasts longer."""
    most_seconds: float | None = None
    """Seconds after its beginning, from which on its media is left out: another take has it, or nobody."""


class Joined(NamedTuple):
    """One file made of several takes, verified: it has the streams and the seconds of what went in."""

    size: int
    seconds: float
    take_seconds: Mapping[int, float]
    """How many seconds of each take that was given are in it; 0 where it has none to give."""


class Joiner(Protocol):
    """Joins takes without encoding them again."""

    def join(self, takes: Sequence[TakeParts], key: str) -> Joined:
        """Write one MP4 of these takes, in this order, as the object `key`, and verify it.

        Raises CannotJoinError where they cannot become one file that plays, StorageUnavailableError where the bucket
        fails, or where a take that holds something is not in the file. Neither leaves anything behind.
        """

    def forget_uploads(self, folder: str) -> None:
        """Abort the uploads into a folder itself that were begun and not ended: those of runs that were killed.

        Raises StorageUnavailableError.
        """


class Hints(Protocol):
    """Calls to functions that answer nobody.

    A call that is lost costs time only: the schedule's sweep makes up for it. Errors are logged, never raised.
    """

    def begin_take(self, recording_id: UUID) -> None:
        """Have the next take of a recording begun."""

    def assemble(self, recording_id: UUID) -> None:
        """Have the takes of a recording joined into one file, or what is left of them removed."""

    def sweep(self) -> None:
        """Have a sweep begin now: it waits for deadlines that come before the schedule's next one."""


class Adapters(Protocol):
    """The outside as a whole, made as far as it is used: `recorder.bootstrap.Environment`, or a test's."""

    @property
    def repository(self) -> Recordings:
        """The tables."""

    @property
    def waits(self) -> Waits:
        """The requests that wait."""

    @property
    def listing(self) -> Listing:
        """LiveKit's listing of single egress. Raises EgressNotAskedError where LiveKit's key cannot be read."""

    @property
    def egress(self) -> Egress:
        """LiveKit's egress and rooms. Raises EgressNotAskedError where LiveKit's key cannot be read."""

    @property
    def storage(self) -> Storage:
        """The bucket."""

    @property
    def events(self) -> Events | None:
        """The event bus, if there is one."""

    @property
    def hints(self) -> Hints:
        """The functions that go on with a recording."""

    @property
    def policy(self) -> Policy:
        """The time limits."""

    @property
    def clock(self) -> Clock:
        """The time."""


class Clock(NamedTuple):
    """The time, and waiting for it."""

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    sleep: Callable[[float], None] = time.sleep
