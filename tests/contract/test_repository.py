"""The contract of the tables, held by Postgres and by the repository in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol
from uuid import UUID, uuid4

import pytest

from recorder.contract.event import event_json
from recorder.domain.recording import (
    BegunBy,
    OnWorkerLost,
    Recording,
    Status,
    StopReason,
    Take,
    TakeEnd,
    Unknown,
)
from recorder.domain.sources import Media, Source
from recorder.errors import RecordingInProgressError
from recorder.postgres.database import Database
from recorder.postgres.repository import Repository
from recorder.usecases.ports import Owner, Page
from simulator.memory import MemoryRepository
from tests.support.database import connect
from tests.support.recordings import T0, Fields, recording

if TYPE_CHECKING:
    from collections.abc import Iterator

    from local.stack import Stack
    from recorder.usecases.ports import Recordings

MINUTE = timedelta(minutes=1)
UNKNOWN: tuple[Fields, ...] = (
    {"status": Unknown("archived")},
    {"source": Unknown("hologram")},
    {"stop_reason": Unknown("forgotten")},
)


class Spoiling(Protocol):
    """Make a row unreadable, as a value does that Python has not."""

    def __call__(self, row: Recording) -> None: ...


@pytest.fixture(params=["memory", "postgres"])
def tables(request: pytest.FixtureRequest) -> Iterator[tuple[Recordings, Spoiling]]:
    if request.param == "memory":
        memory = MemoryRepository(emit_events=True)
        yield memory, lambda row: memory.unreadable.add(row.id)
        return
    stack: Stack = request.getfixturevalue("stack")
    name = f"contract_{uuid4().hex}"
    stack.postgres.create_database(name, template="migrated")
    with closing(Database(lambda: connect(stack.postgres, name))) as database:

        def spoil(row: Recording) -> None:
            database.run("update public.recordings set absent_since = 'infinity' where id = :id", id=row.id)

        yield Repository(database, event_json=event_json), spoil


@pytest.fixture
def recordings(tables: tuple[Recordings, Spoiling]) -> Recordings:
    return tables[0]


@pytest.fixture
def spoil(tables: tuple[Recordings, Spoiling]) -> Spoiling:
    return tables[1]


def inserted(recordings: Recordings, new: Recording) -> Recording:
    assert recordings.insert(new) is None
    return new


def saved(recordings: Recordings, before: Recording, after: Recording) -> Recording:
    written = after._replace(version=before.version + 1)
    assert recordings.save(before, written)
    return written


def full() -> Recording:
    return recording(
        user_id='o\'brien "x" \\ ☃',
        room_name="a/b'c|{time}😀",
        source=Source.TRACK,
        layout="grid",
        codec="h264",
        audio_bitrate=128,
        video_bitrate=4500,
        track_sid="TR_1",
        media=Media.VIDEO,
        orientation="portrait",
        framerate=25,
        participant_identity="ada",
        screen_share=True,
        audio_track_sid="TR_2",
        video_track_sid="TR_3",
        page_url="https://app.example.com/",
        with_file=False,
        hls_seconds=4,
        thumbnail_seconds=10,
        thumbnail_width=320,
        thumbnail_height=180,
        stream_urls=("rtmp://host/app/key", 'rtmp://host/{"a,b"}/☃'),
        stream_states=("active", "failed"),
        hls_size=2**53 + 1,
        thumbnail_count=7,
        title="Weekly ☃",
        reference="meeting/7",
        metadata={"b": 'x "y"', "a": "\\ ☃"},
        room_sid="RM_1",
        egress_id="EG_1",
        started_at=T0 + timedelta(microseconds=1),
        stopped_at=T0 + MINUTE,
        storage_key="k",
        file_url="https://x/y",
        file_size=2**53 + 1,
        duration=1.25,
        failure_code="500",
        failure_reason="reason",
        end_reason="stopped",
        max_duration=60,
        expires_at=T0 + MINUTE,
        target="track:demo/TR_1",
        idempotency_key="key",
        playback_key="secret",
        idempotency_fingerprint="print",
        stop_reason=StopReason.USER,
        stop_requested_at=T0,
        deleted_at=T0,
        late_upload_until=T0,
        take=2,
        take_begun_by=BegunBy.RESCUE,
        take_requested_at=T0,
        take_started_at=T0,
        take_ended_at=T0,
        take_segments=True,
        on_worker_lost=OnWorkerLost.CONTINUE,
        pause_requested_at=T0,
        parts_kept=True,
        recorder_seen_at=T0,
        absent_since=T0,
        handler_silent_since=T0,
        handler_answered_at=T0,
        refreshed_at=T0,
        due_at=T0,
        attempts=3,
        version=7,
    )


def test_every_column_has_a_value_to_be_tried_with() -> None:
    assert [name for name in Recording._fields if getattr(full(), name) is None] == []


def test_field_of_a_type_that_nobody_decodes_fails_at_the_import() -> None:
    program = """
from recorder.domain.recording import Recording
Recording.__annotations__["attempts"] = complex
import recorder.postgres.repository
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "KeyError: <class 'complex'>" in done.stderr


def taken(number: int, **changes: object) -> Take:
    """Return an ended take with a value in every field."""
    told = Take(
        take=number,
        egress_id=f"EG_{uuid4().hex}",
        begun_by=BegunBy.RESUME,
        requested_at=T0,
        started_at=T0 + timedelta(microseconds=1),
        stopped_at=T0 + MINUTE,
        end_reason=TakeEnd.WORKER_LOST,
        reported=True,
        segments=True,
        segment_count=3,
        duration=1.25,
        hls_size=2**53 + 1,
        thumbnail_count=7,
        lost_seconds=3.5,
        storage_key="k",
        file_size=2**53 + 1,
        file_url="https://x/y",
        failure_code="500",
        failure_reason='o\'brien "x" \\ ☃',
    )
    return told._replace(**changes)  # type: ignore[arg-type]


class TestTakes:
    def test_come_back_with_every_field_and_in_their_order(self, recordings: Recordings) -> None:
        row = inserted(recordings, recording(take=3))
        first, second = taken(1), taken(2)
        assert [name for name in Take._fields if getattr(first, name) is None] == []

        after = saved(recordings, row, row._replace(takes=(first, second)))

        assert recordings.get(row.id) == after
        assert recordings.lease(T0, T0, 9, refreshed_at=None) == []

    def test_report_changes_the_take_that_it_is_about(self, recordings: Recordings) -> None:
        row = inserted(recordings, recording(take=3))
        first, second = taken(1, reported=False, duration=None), taken(2)
        before = saved(recordings, row, row._replace(takes=(first, second)))

        told = first._replace(reported=True, duration=9.5)
        after = saved(recordings, before, before._replace(takes=(told, second)))

        found = recordings.get(row.id)
        assert found == after
        assert found is not None
        assert found.takes == (told, second)

    def test_lost_compare_and_set_writes_no_take(self, recordings: Recordings) -> None:
        row = inserted(recordings, recording(take=2))
        current = saved(recordings, row, row._replace(room_sid="RM_2"))

        late = row._replace(takes=(taken(1),), version=row.version + 1)

        assert not recordings.save(row, late)
        assert recordings.get(row.id) == current


class TestInsert:
    def test_every_field_comes_back_as_it_was_stored(self, recordings: Recordings) -> None:
        new = inserted(recordings, full())
        assert recordings.get(new.id) == new

    def test_of_what_is_there_already_is_done(self, recordings: Recordings) -> None:
        new = inserted(recordings, recording(target="room:demo"))
        assert recordings.insert(new) is None
        assert recordings.get(new.id) == new
        assert len(recordings.lease_events(T0, T0 + MINUTE, 10)) == 1

    @pytest.mark.parametrize("status", [Status.STARTING, Status.ACTIVE, Status.STOPPING])
    def test_returns_the_live_recording_of_the_target(self, recordings: Recordings, status: Status) -> None:
        first = inserted(recordings, recording(target="room:demo", status=status))
        second = recording(target="room:demo", user_id="bob")
        assert recordings.insert(second) == first
        assert recordings.get(second.id) is None
        assert len(recordings.lease_events(T0, T0 + MINUTE, 10)) == 1

    @pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED])
    def test_takes_a_target_whose_recording_has_ended(self, recordings: Recordings, status: Status) -> None:
        inserted(recordings, recording(target="room:demo", status=status))
        inserted(recordings, recording(target="room:demo"))

    def test_without_target_stands_in_nobodys_way(self, recordings: Recordings) -> None:
        inserted(recordings, recording())
        inserted(recordings, recording())

    def test_returns_the_recording_of_the_idempotency_key_even_if_it_ended(
        self, recordings: Recordings
    ) -> None:
        first = inserted(recordings, recording(idempotency_key="k", status=Status.FAILED))
        assert recordings.insert(recording(idempotency_key="k")) == first

    def test_idempotency_keys_are_per_user(self, recordings: Recordings) -> None:
        inserted(recordings, recording(idempotency_key="k"))
        inserted(recordings, recording(idempotency_key="k", user_id="bob"))

    def test_prefers_the_idempotency_key_to_the_target(self, recordings: Recordings) -> None:
        inserted(recordings, recording(target="room:demo"))
        mine = inserted(recordings, recording(idempotency_key="k", status=Status.FAILED))
        assert recordings.insert(recording(target="room:demo", idempotency_key="k")) == mine


class TestSave:
    def test_writes_what_a_recording_may_change(self, recordings: Recordings) -> None:
        before, other = inserted(recordings, recording()), full()
        after = other._replace(
            id=before.id,
            user_id=before.user_id,
            room_name=before.room_name,
            source=before.source,
            layout=before.layout,
            codec=before.codec,
            audio_bitrate=before.audio_bitrate,
            video_bitrate=before.video_bitrate,
            track_sid=before.track_sid,
            max_duration=before.max_duration,
            target=before.target,
            idempotency_fingerprint=before.idempotency_fingerprint,
        )
        assert recordings.save(before, after)
        assert recordings.get(before.id) == after

    def test_of_a_recording_that_somebody_changed_does_nothing(self, recordings: Recordings) -> None:
        before = inserted(recordings, recording())
        theirs = saved(recordings, before, before._replace(status=Status.ACTIVE))
        assert not recordings.save(before, before._replace(status=Status.FAILED, version=1))
        assert recordings.get(before.id) == theirs
        events = [*recordings.lease_events(T0, T0 + MINUTE, 10)]
        recordings.delete_events([each.position for each in events])
        events += recordings.lease_events(T0, T0 + MINUTE, 10)
        assert [each.type for each in events] == ["RecordingStarted", "RecordingActive"]

    def test_of_a_recording_that_is_gone_does_nothing(self, recordings: Recordings) -> None:
        gone = recording()
        assert not recordings.save(gone, gone._replace(version=1))

    def test_of_a_final_status_frees_the_target(self, recordings: Recordings) -> None:
        before = inserted(recordings, recording(target="room:demo"))
        saved(recordings, before, before._replace(status=Status.FAILED))
        inserted(recordings, recording(target="room:demo"))

    def test_without_the_idempotency_key_frees_it(self, recordings: Recordings) -> None:
        before = inserted(recordings, recording(idempotency_key="k"))
        saved(recordings, before, before._replace(idempotency_key=None))
        inserted(recordings, recording(idempotency_key="k"))


class TestSaveAll:
    def test_writes_what_is_still_as_before_and_its_events(self, recordings: Recordings) -> None:
        rows = [
            inserted(
                recordings, full()._replace(id=uuid4(), idempotency_key=None, target=None, deleted_at=None)
            )
            for _ in range(3)
        ]
        rows.append(inserted(recordings, recording()))
        overtaken = saved(recordings, rows[1], rows[1]._replace(attempts=9))
        changes = [
            (row, row._replace(deleted_at=T0 + MINUTE, duration=0.1 + 0.2, version=row.version + 1))
            for row in rows
        ]

        assert recordings.save_all(changes) == {rows[0].id, rows[2].id, rows[3].id}

        for number in (0, 2, 3):
            assert recordings.get(rows[number].id) == changes[number][1]
        assert recordings.get(overtaken.id) == overtaken
        events = recordings.lease_events(T0, T0 + MINUTE, 20)
        recordings.delete_events([each.position for each in events])
        events += recordings.lease_events(T0 + MINUTE, T0 + 2 * MINUTE, 20)
        told = [json.loads(each.body) for each in events if each.type == "RecordingDeleted"]
        assert {each["id"] for each in told} == {f"{rows[n].id}-{rows[n].version + 1}" for n in (0, 2, 3)}
        assert {each["recording"]["roomName"] for each in told} == {rows[0].room_name, "demo"}

    def test_twice_is_written_once(self, recordings: Recordings) -> None:
        row = inserted(recordings, recording())
        change = (row, row._replace(deleted_at=T0, version=1))
        assert recordings.save_all([change]) == {row.id}
        assert recordings.save_all([change]) == frozenset()

    def test_finds_those_that_are_there(self, recordings: Recordings, spoil: Spoiling) -> None:
        rows = [inserted(recordings, recording()) for _ in range(3)]
        spoil(rows[2])
        assert recordings.get_all([*(row.id for row in rows), uuid4()]) == {row.id: row for row in rows[:2]}


class TestRead:
    def test_nobody_is_found_where_nobody_is(self, recordings: Recordings) -> None:
        assert recordings.get(uuid4()) is None
        assert recordings.find_by_egress_id("EG_1") == []

    def test_finds_by_egress_id(self, recordings: Recordings) -> None:
        inserted(recordings, recording())
        wanted = inserted(recordings, recording(egress_id="EG_1"))
        assert recordings.find_by_egress_id("EG_1") == [wanted]

    def test_finds_each_of_the_adopted_rows_that_share_an_egress(self, recordings: Recordings) -> None:
        shared = [inserted(recordings, recording(egress_id="EG_1")) for _ in range(3)]
        assert recordings.find_by_egress_id("EG_1") == sorted(shared, key=lambda each: each.id)

    def test_owners_lacks_ids_without_row(self, recordings: Recordings) -> None:
        row = inserted(recordings, recording(egress_id="EG_1", status=Status.FAILED))
        owners = recordings.owners([row.id, uuid4()])
        assert list(owners.values()) == [Owner(id=row.id, live=False, egress_id="EG_1")]
        assert recordings.owners([]) == {}


class TestPage:
    def listed(self, recordings: Recordings, page: Page) -> list[UUID]:
        return [each.id for each in recordings.page(page, T0)]

    def test_is_of_one_user_newest_first_and_then_by_id(self, recordings: Recordings) -> None:
        same_time = sorted([uuid4(), uuid4(), uuid4()])
        for number in same_time:
            inserted(recordings, recording(id=number))
        newest = inserted(recordings, recording(created_at=T0 + MINUTE))
        inserted(recordings, recording(user_id="bob"))
        order = [newest.id, *reversed(same_time)]
        assert self.listed(recordings, Page(user_id="alice", limit=9)) == order
        assert self.listed(recordings, Page(user_id="alice", limit=9, oldest_first=True)) == order[::-1]

    @pytest.mark.parametrize("oldest_first", [False, True])
    def test_goes_on_after_a_position(self, recordings: Recordings, *, oldest_first: bool) -> None:
        rows = {
            (row.created_at, row.id) for row in (recording(), recording(), recording(created_at=T0 + MINUTE))
        }
        for created_at, number in rows:
            inserted(recordings, recording(id=number, created_at=created_at))
        found: list[UUID] = []
        page = Page(user_id="alice", limit=1, oldest_first=oldest_first)
        while rest := recordings.page(page, T0):
            found += [each.id for each in rest]
            page = page._replace(after=(rest[-1].created_at, rest[-1].id))
        assert found == [number for _, number in sorted(rows, reverse=not oldest_first)]

    def test_leaves_out_what_is_deleted_or_expired(self, recordings: Recordings) -> None:
        inserted(recordings, recording(deleted_at=T0))
        inserted(recordings, recording(expires_at=T0))
        visible = inserted(recordings, recording(expires_at=T0 + timedelta(microseconds=1)))
        assert self.listed(recordings, Page(user_id="alice", limit=9)) == [visible.id]

    def test_filters(self, recordings: Recordings) -> None:
        other = inserted(
            recordings,
            recording(
                room_name="other",
                status=Status.FAILED,
                created_at=T0 + MINUTE,
                source=Source.TRACK,
                reference="a",
            ),
        )
        demo = inserted(recordings, recording())
        wanted = Page(user_id="alice", limit=9)
        assert self.listed(recordings, wanted._replace(room_name="demo")) == [demo.id]
        assert self.listed(recordings, wanted._replace(status=Status.FAILED)) == [other.id]
        assert self.listed(recordings, wanted._replace(source=Source.TRACK)) == [other.id]
        assert self.listed(recordings, wanted._replace(source=Source.WEB)) == []
        assert self.listed(recordings, wanted._replace(reference="a")) == [other.id]
        assert self.listed(recordings, wanted._replace(reference="A")) == []
        assert self.listed(recordings, wanted._replace(created_from=T0 + MINUTE)) == [other.id]
        assert self.listed(recordings, wanted._replace(created_to=T0 + MINUTE)) == [demo.id]


class TestLease:
    def test_gives_what_is_due_to_one_only_and_notes_the_refresh(self, recordings: Recordings) -> None:
        inserted(recordings, recording())
        inserted(recordings, recording(due_at=T0 + MINUTE))
        due = inserted(recordings, recording(due_at=T0))
        [leased] = recordings.lease(T0, T0 + MINUTE, 9, refreshed_at=T0)
        assert leased == due._replace(due_at=T0 + MINUTE, refreshed_at=T0)
        assert recordings.get(due.id) == leased
        assert recordings.lease(T0, T0 + MINUTE, 9, refreshed_at=T0) == []

    def test_takes_the_oldest_first_up_to_the_limit(self, recordings: Recordings) -> None:
        rows = [
            inserted(recordings, recording(due_at=T0 - MINUTE * age, refreshed_at=T0)) for age in range(3)
        ]
        leased = recordings.lease(T0, T0 + MINUTE, 2, refreshed_at=None)
        assert {each.id for each in leased} == {row.id for row in rows[1:]}
        assert {each.refreshed_at for each in leased} == {T0}

    def test_gives_those_first_at_which_nothing_has_failed(self, recordings: Recordings) -> None:
        rows = [
            inserted(
                recordings, recording(due_at=T0 - MINUTE, attempts=attempts, created_at=T0 + MINUTE * late)
            )
            for attempts, late in ((2, 0), (0, 1), (1, 0), (0, 0))
        ]
        leased = recordings.lease(T0, T0 + MINUTE, 9, refreshed_at=None)
        assert [each.id for each in leased] == [rows[3].id, rows[1].id, rows[2].id, rows[0].id]

    def test_may_be_taken_again_when_it_is_over(self, recordings: Recordings) -> None:
        due = inserted(recordings, recording(due_at=T0))
        recordings.lease(T0, T0 + MINUTE, 9, refreshed_at=None)
        assert [each.id for each in recordings.lease(T0 + MINUTE, T0 + 2 * MINUTE, 9, refreshed_at=None)] == [
            due.id
        ]

    def test_does_not_stand_in_the_way_of_a_save(self, recordings: Recordings) -> None:
        before = inserted(recordings, recording(due_at=T0))
        recordings.lease(T0, T0 + MINUTE, 9, refreshed_at=T0)
        saved(recordings, before, before._replace(status=Status.ACTIVE))

    def test_is_left_alone_by_who_only_looked(self, recordings: Recordings) -> None:
        before = inserted(recordings, recording(due_at=T0))
        recordings.lease(T0, T0 + MINUTE, 9, refreshed_at=None)
        recordings.refreshed(before.id, T0 + MINUTE / 2)
        recordings.refreshed(uuid4(), T0)
        found = recordings.get(before.id)
        assert found is not None
        assert (found.refreshed_at, found.due_at, found.version) == (
            T0 + MINUTE / 2,
            T0 + MINUTE,
            before.version,
        )

    def test_arm_makes_due_what_ended_unless_it_waits_after_a_failure(self, recordings: Recordings) -> None:
        ended = inserted(recordings, recording(status=Status.FAILED))
        later = inserted(recordings, recording(status=Status.FAILED, due_at=T0 + MINUTE))
        backing_off = inserted(recordings, recording(status=Status.FAILED, due_at=T0 + MINUTE, attempts=1))
        live = inserted(recordings, recording())
        recordings.make_due([ended.id, later.id, backing_off.id, live.id, uuid4()], T0)
        leased = recordings.lease(T0, T0 + MINUTE, 9, refreshed_at=None)
        assert {each.id for each in leased} == {ended.id, later.id}

    def test_backlog_tells_of_the_oldest_that_is_due(self, recordings: Recordings) -> None:
        assert recordings.backlog(T0).oldest_due_at is None
        inserted(recordings, recording(due_at=T0 + MINUTE))
        inserted(recordings, recording(due_at=T0 - MINUTE))
        inserted(recordings, recording(due_at=T0))
        assert recordings.backlog(T0).oldest_due_at == T0 - MINUTE


class TestUnreadable:
    """Rows that hold what this release cannot read, or knows nothing of."""

    def test_is_read_by_nobody_and_keeps_nobody_from_the_others(
        self, recordings: Recordings, spoil: Spoiling
    ) -> None:
        rows = [
            inserted(recordings, recording(egress_id="EG_1", due_at=T0, created_at=T0 + number * MINUTE))
            for number in range(3)
        ]
        spoil(rows[1])
        readable = [rows[0], rows[2]]

        assert [recordings.get(row.id) is not None for row in rows] == [True, False, True]
        assert {each.id for each in recordings.find_by_egress_id("EG_1")} == {each.id for each in readable}
        assert recordings.page(Page(user_id="alice", limit=9), T0) == readable[::-1]
        assert [each.id for each in recordings.lease(T0, T0 + MINUTE, 9, refreshed_at=None)] == [
            each.id for each in readable
        ]

    @pytest.mark.parametrize("oldest_first", [False, True])
    @pytest.mark.parametrize("limit", [1, 2, 3])
    def test_makes_no_page_shorter(
        self, recordings: Recordings, spoil: Spoiling, limit: int, *, oldest_first: bool
    ) -> None:
        rows = [inserted(recordings, recording(created_at=T0 + number * MINUTE)) for number in range(9)]
        for row in rows[2:6]:
            spoil(row)
        page = Page(user_id="alice", limit=limit, oldest_first=oldest_first)
        seen: list[Recording] = []
        while found := recordings.page(page, T0):
            seen += found
            page = page._replace(after=(found[-1].created_at, found[-1].id))
            assert len(found) == limit or len(seen) == 5
        readable = rows[:2] + rows[6:]
        assert seen == (readable if oldest_first else readable[::-1])

    def test_holds_its_target_and_its_idempotency_key(self, recordings: Recordings, spoil: Spoiling) -> None:
        spoil(inserted(recordings, recording(target="room:demo")))
        spoil(inserted(recordings, recording(idempotency_key="k")))
        for new in (recording(target="room:demo", user_id="bob"), recording(idempotency_key="k")):
            with pytest.raises(RecordingInProgressError) as raised:
                recordings.insert(new)
            assert raised.value.recording_id is None
            assert recordings.get(new.id) is None

    def test_of_what_is_there_already_is_done(self, recordings: Recordings, spoil: Spoiling) -> None:
        row = inserted(recordings, recording())
        spoil(row)
        assert recordings.insert(row) is None

    def test_owns_its_egress_as_nothing_that_is_known(self, recordings: Recordings, spoil: Spoiling) -> None:
        row = inserted(recordings, recording(egress_id="EG_1"))
        spoil(row)
        assert recordings.owners([row.id]) == {
            row.id: Owner(id=row.id, live=True, egress_id="EG_1", known=False)
        }

    @pytest.mark.parametrize("fields", UNKNOWN, ids=str)
    def test_value_of_a_later_release_is_shown_as_it_is_and_left_alone(
        self, recordings: Recordings, fields: Fields
    ) -> None:
        held: Fields = {"target": "room:demo", "egress_id": "EG_1", "due_at": T0}
        row = inserted(recordings, recording(**(held | fields)))

        assert recordings.get(row.id) == row
        assert recordings.page(Page(user_id="alice", limit=9), T0) == [row]
        assert row.live
        assert recordings.insert(recording(target="room:demo")) == row
        assert recordings.owners([row.id])[row.id].known is False
        assert recordings.lease(T0, T0 + MINUTE, 9, refreshed_at=None) == []

    def test_deletion_leaves_values_of_a_later_release_as_they_are(self, recordings: Recordings) -> None:
        row = inserted(
            recordings,
            recording(status=Unknown("paused"), source=Unknown("hologram"), stop_reason=Unknown("x")),
        )
        deleted = saved(recordings, row, row._replace(deleted_at=T0))
        assert recordings.get(row.id) == deleted


class TestLimited:
    def test_gives_what_reaches_its_longest_duration_by_then(self, recordings: Recordings) -> None:
        limited = recording(status=Status.ACTIVE, due_at=T0, started_at=T0, max_duration=60)
        active, starting = (
            inserted(recordings, limited._replace(id=uuid4(), status=status))
            for status in (Status.ACTIVE, Status.STARTING)
        )
        for status in (Status.STOPPING, Status.COMPLETED, Status.FAILED):
            inserted(recordings, limited._replace(id=uuid4(), status=status))
        for max_duration in (61, None):
            inserted(recordings, limited._replace(id=uuid4(), max_duration=max_duration))
        inserted(recordings, limited._replace(id=uuid4(), started_at=None))
        found = recordings.limited(T0 + MINUTE, 9)
        assert {each.id for each in found} == {active.id, starting.id}
        assert len(recordings.limited(T0 + MINUTE, 1)) == 1
        assert recordings.limited(T0 + MINUTE - timedelta(seconds=1), 9) == []


class TestRemove:
    def test_removes_the_row_as_it_was_read(self, recordings: Recordings) -> None:
        row = inserted(recordings, recording())
        assert recordings.remove(row)
        assert recordings.get(row.id) is None
        assert not recordings.remove(row)

    def test_of_a_row_that_somebody_changed_does_nothing(self, recordings: Recordings) -> None:
        before = inserted(recordings, recording())
        after = saved(recordings, before, before._replace(status=Status.ACTIVE))
        assert not recordings.remove(before)
        assert recordings.get(before.id) == after


class TestOutbox:
    def test_a_change_of_status_is_an_event_and_nothing_else_is(self, recordings: Recordings) -> None:
        row = inserted(recordings, recording())
        row = saved(recordings, row, row._replace(room_sid="RM_1"))
        row = saved(recordings, row, row._replace(status=Status.COMPLETED, updated_at=T0 + MINUTE))
        row = saved(recordings, row, row._replace(deleted_at=T0))
        saved(recordings, row, row._replace(file_size=1))
        bodies = [json.loads(body) for body in self.drained(recordings)]
        assert [(each["type"], each["sequence"]) for each in bodies] == [
            ("RecordingStarted", 0),
            ("RecordingCompleted", 2),
            ("RecordingDeleted", 3),
        ]
        assert [each["id"] for each in bodies] == [f"{row.id}-{number}" for number in (0, 2, 3)]
        assert bodies[1]["recording"]["status"] == "completed"
        assert bodies[1]["occurredAt"] == "2026-11-22T12:01:00.000Z"

    def drained(self, recordings: Recordings) -> list[str]:
        bodies: list[str] = []
        while events := recordings.lease_events(T0, T0 + MINUTE, 9):
            bodies += [each.body for each in events]
            recordings.delete_events([each.position for each in events])
        return bodies

    def test_outlives_the_row(self, recordings: Recordings) -> None:
        recordings.remove(inserted(recordings, recording()))
        assert len(self.drained(recordings)) == 1

    def test_gives_the_first_of_each_recording_to_one_only(self, recordings: Recordings) -> None:
        one, other = inserted(recordings, recording()), inserted(recordings, recording())
        saved(recordings, one, one._replace(status=Status.ACTIVE))
        leased = recordings.lease_events(T0, T0 + MINUTE, 9)
        assert [each.type for each in leased] == ["RecordingStarted"] * 2
        assert [json.loads(each.body)["recordingId"] for each in leased] == [str(one.id), str(other.id)]
        assert recordings.lease_events(T0, T0 + MINUTE, 9) == []

    def test_waits_with_the_next_until_the_first_is_published(self, recordings: Recordings) -> None:
        row = inserted(recordings, recording())
        saved(recordings, row, row._replace(status=Status.ACTIVE))
        [first] = recordings.lease_events(T0, T0 + MINUTE, 9)
        assert recordings.lease_events(T0 + MINUTE, T0 + 2 * MINUTE, 9) == [first]
        recordings.delete_events([first.position])
        [second] = recordings.lease_events(T0 + MINUTE, T0 + 2 * MINUTE, 9)
        assert second.type == "RecordingActive"

    def test_leases_up_to_the_limit_in_order_of_writing(self, recordings: Recordings) -> None:
        rows = [inserted(recordings, recording()) for _ in range(3)]
        leased = recordings.lease_events(T0, T0 + MINUTE, 2)
        assert [json.loads(each.body)["recordingId"] for each in leased] == [str(row.id) for row in rows[:2]]
        assert recordings.backlog(T0).events == 3


class TestTwoAtOnce:
    """A second connection beside a first one whose statement is not committed yet."""

    def test_events_that_one_sweep_is_leasing_go_to_no_other(self, stack: Stack) -> None:
        name = f"contract_{uuid4().hex}"
        stack.postgres.create_database(name, template="migrated")
        with closing(connect(stack.postgres, name)) as held, closing(connect(stack.postgres, name)) as other:
            first = Repository(Database(lambda: held), event_json=event_json)
            second = Repository(Database(lambda: other), event_json=event_json)
            rows = [inserted(second, recording()) for _ in range(3)]
            for row in rows:
                saved(second, row, row._replace(status=Status.ACTIVE))
            held.execute("begin", ())
            leased = first.lease_events(T0, T0 + MINUTE, 2)

            # Neither is it waited for, nor is a later event of the same recording taken.
            others = second.lease_events(T0, T0 + MINUTE, 9)
            assert [json.loads(each.body)["recordingId"] for each in others] == [str(rows[2].id)]
            first.delete_events([each.position for each in leased])
            assert second.lease_events(T0, T0 + MINUTE, 9) == []
            held.execute("commit", ())

            following = second.lease_events(T0, T0 + MINUTE, 9)
            assert [(each.type, json.loads(each.body)["recordingId"]) for each in following] == [
                ("RecordingActive", str(row.id)) for row in rows[:2]
            ]

    def test_events_of_a_sweep_that_was_killed_are_leased_again(self, stack: Stack) -> None:
        name = f"contract_{uuid4().hex}"
        stack.postgres.create_database(name, template="migrated")
        with closing(connect(stack.postgres, name)) as held, closing(connect(stack.postgres, name)) as other:
            first = Repository(Database(lambda: held), event_json=event_json)
            second = Repository(Database(lambda: other), event_json=event_json)
            inserted(second, recording())
            held.execute("begin", ())
            leased = first.lease_events(T0, T0 + MINUTE, 9)
            assert second.lease_events(T0, T0 + MINUTE, 9) == []
            held.execute("rollback", ())
            assert second.lease_events(T0, T0 + MINUTE, 9) == leased
