"""The rules of a recording's life, on any sequence of what LiveKit may say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.doctor.network import Reply
from recorder.domain.egress import EgressSnapshot, EgressStatus
from recorder.domain.events import EVENTS, EventType, event_of
from recorder.domain.lifecycle import (
    OBSERVED,
    TRANSITIONS,
    apply_snapshot,
    clear_reminders,
    mark_deleted,
    request_stop,
)
from recorder.domain.outputs import FileResult, Streams
from recorder.domain.recording import FINAL, Status, StopReason
from recorder.domain.schedule import Policy, backoff, reschedule
from tests.support.recordings import T0, recording

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from recorder.domain.recording import Recording

POLICY = Policy()
MINUTE = timedelta(minutes=1)

# One life of an egress, as far as it may get, with what its reports say.
STARTING = EgressSnapshot(egress_id="EG_1", status=EgressStatus.STARTING, room_sid="RM_1")
ACTIVE = STARTING._replace(
    status=EgressStatus.ACTIVE,
    files=(FileResult(name="r/recording.mp4", keys=("r/recording.mp4",), started_at=T0 + MINUTE),),
)
ENDING = ACTIVE._replace(status=EgressStatus.ENDING, details="End reason: StopEgress API")
COMPLETE = ENDING._replace(
    status=EgressStatus.COMPLETE,
    ended_at=T0 + 2 * MINUTE,
    files=(
        FileResult(
            name="r/recording.mp4",
            keys=("r/recording.mp4",),
            size=7,
            duration=60.0,
            location="https://x",
            started_at=T0 + MINUTE,
        ),
    ),
)
LIMIT_REACHED = COMPLETE._replace(status=EgressStatus.LIMIT_REACHED, error="limit", error_code=413)
FAILED = ENDING._replace(status=EgressStatus.FAILED, error="exit status 1", error_code=500, ended_at=T0)
ABORTED = STARTING._replace(status=EgressStatus.ABORTED, error="stopped", error_code=412, ended_at=T0)
LIVES = [
    (STARTING, ACTIVE, ENDING, COMPLETE),
    (STARTING, ACTIVE, LIMIT_REACHED),
    (STARTING, ACTIVE, ENDING, FAILED),
    (STARTING, ABORTED),
]

# Fields that are not named below get any value of their type; LiveKit's times are read as UTC.
st.register_type_strategy(datetime, st.datetimes(timezones=st.just(UTC)))
snapshots = st.builds(
    EgressSnapshot,
    egress_id=st.sampled_from(["EG_1", "EG_2"]),
    status=st.sampled_from(EgressStatus),
    room_sid=st.sampled_from([None, "RM_1", "RM_2"]),
    ended_at=st.sampled_from([None, T0]),
    error=st.text(max_size=600),
    error_code=st.integers(0, 600),
    details=st.sampled_from(["", "End reason: Source closed", "nothing known"]),
    backup_storage_used=st.booleans(),
    files=st.tuples()
    | st.tuples(
        st.builds(
            FileResult,
            name=st.none() | st.just("r/recording.mp4"),
            keys=st.just(())
            | st.just(("r/recording.mp4",))
            | st.just(("p/r/recording.mp4", "r/recording.mp4")),
            size=st.none() | st.integers(1, 2**63 - 1),
            duration=st.none() | st.just(1.5),
            location=st.none() | st.just("https://x"),
            started_at=st.none() | st.just(T0),
            checked=st.booleans(),
        )
    ),
)
moments = st.integers(0, 10_000).map(lambda seconds: T0 + timedelta(seconds=seconds))


def lived(start: Recording, said: Iterable[EgressSnapshot], *, at: datetime = T0) -> list[Recording]:
    """Return a recording as it was stored at first and after each change."""
    stored = [start]
    for snapshot in said:
        changed = apply_snapshot(stored[-1], snapshot, at, POLICY)
        if changed is not None:
            stored.append(reschedule(stored[-1], changed, POLICY, at))
    return stored


def essence(row: Recording) -> Recording:
    """Return a recording without what tells how often and when it was written."""
    return row._replace(
        version=0, updated_at=T0, status_at=T0, refreshed_at=None, due_at=None, late_upload_until=None
    )


class TestSnapshots:
    @given(st.lists(snapshots, max_size=8))
    def test_statuses_only_move_along_the_table(self, said: Sequence[EgressSnapshot]) -> None:
        for before, after in pairwise(lived(recording(), said)):
            assert after.status is before.status or after.status in TRANSITIONS[Status(before.status)]

    @given(st.sampled_from(sorted(FINAL)), snapshots)
    def test_a_final_status_never_changes(self, status: Status, snapshot: EgressSnapshot) -> None:
        ended = recording(status=status, egress_id="EG_1", stopped_at=T0, failure_code="500")
        after = lived(ended, [snapshot])[-1]
        assert (after.status, after.stopped_at, after.failure_code) == (status, T0, "500")

    @given(st.sampled_from(LIVES).flatmap(st.permutations), st.data())
    def test_neither_order_nor_repetition_matters_in_the_end(
        self, said: list[EgressSnapshot], data: st.DataObject
    ) -> None:
        repeated = data.draw(st.lists(st.sampled_from(said), max_size=4))
        [life] = [each for each in LIVES if sorted(map(repr, each)) == sorted(map(repr, said))]
        new = recording()
        assert essence(lived(new, said + repeated)[-1]) == essence(lived(new, life)[-1])

    @given(st.permutations([STARTING, ACTIVE, ENDING, COMPLETE]))
    def test_a_failure_that_follows_a_success_changes_nothing(self, said: list[EgressSnapshot]) -> None:
        *_, completed = lived(recording(), said)
        assert lived(completed, [FAILED]) == [completed]

    @given(st.permutations([STARTING, ACTIVE, ENDING, FAILED]))
    def test_a_failure_that_hides_a_file_is_looked_at_again(self, said: list[EgressSnapshot]) -> None:
        *_, failed = lived(recording(), said)
        assert failed.status is Status.FAILED
        assert failed.late_upload_until == T0 + POLICY.upload_grace
        assert failed.due_at == T0 + POLICY.sweep_interval

    @given(snapshots, st.sampled_from(Status))
    def test_an_unknown_status_changes_nothing(self, snapshot: EgressSnapshot, status: Status) -> None:
        unknown = snapshot._replace(status=EgressStatus.UNKNOWN)
        assert apply_snapshot(recording(status=status), unknown, T0, POLICY) is None

    @given(snapshots, st.sampled_from(Status))
    def test_another_egress_changes_nothing(self, snapshot: EgressSnapshot, status: Status) -> None:
        row = recording(status=status, egress_id="EG_OTHER")
        assert apply_snapshot(row, snapshot, T0, POLICY) is None

    @given(st.lists(snapshots, max_size=8))
    def test_what_was_taken_in_is_not_taken_in_again(self, said: list[EgressSnapshot]) -> None:
        once = lived(recording(), said)
        if len(once) > 1:
            assert lived(once[-1], said[-1:])[1:] == []

    @given(st.lists(snapshots, max_size=8))
    def test_a_file_is_downloadable_only_under_a_real_name(self, said: list[EgressSnapshot]) -> None:
        for row in lived(recording(), said):
            named = row.storage_key in {"r/recording.mp4", "p/r/recording.mp4"}
            assert not row.downloadable or (row.status in FINAL and named)

    @pytest.mark.parametrize("status", [each for each in EgressStatus if each is not EgressStatus.UNKNOWN])
    def test_every_status_but_the_unknown_is_observed(self, status: EgressStatus) -> None:
        assert OBSERVED[status] in Status


class TestEvents:
    @given(st.lists(snapshots, max_size=8), st.integers(0, 8))
    def test_each_change_of_status_is_one_event_in_order(
        self, said: list[EgressSnapshot], deleted_after: int
    ) -> None:
        rows = lived(recording(), said[:deleted_after])
        deleted = mark_deleted(rows[-1], T0)
        assert deleted is not None
        rows += lived(deleted, said[deleted_after:])
        events = [event_of(before, after) for before, after in zip([None, *rows], rows, strict=False)]
        told = [event for event in events if event is not None]
        statuses = [Status(row.status) for row in rows if row.deleted_at is None]
        changes = [
            after
            for before, after in pairwise([None, *statuses])
            if before is not after and after is not None
        ]
        assert [event.type for event in told] == [*map(EVENTS.get, changes), EventType.DELETED]
        assert sorted({event.sequence for event in told}) == [event.sequence for event in told]
        assert len({event.id for event in told}) == len(told)


class TestWishes:
    @given(
        st.sampled_from(Status),
        st.sampled_from([each for each in StopReason if each is not StopReason.PAUSE]),
    )
    def test_a_stop_is_wished_once_and_only_of_what_lives(self, status: Status, reason: StopReason) -> None:
        stopping = request_stop(recording(status=status), reason, T0)
        assert (stopping is not None) == (status not in FINAL)
        if stopping is not None:
            assert (stopping.status, stopping.stop_reason) == (Status.STOPPING, reason)
            assert request_stop(stopping, StopReason.USER, T0) is None

    @given(st.sampled_from(Status))
    def test_every_status_is_deletable_once(self, status: Status) -> None:
        deleted = mark_deleted(recording(status=status, idempotency_key="k"), T0)
        assert deleted is not None
        assert deleted.idempotency_key is None
        assert deleted.status is (Status.STOPPING if status not in FINAL else status)
        assert mark_deleted(deleted, T0) is None


class TestSchedule:
    @given(st.lists(snapshots, max_size=8), moments)
    def test_what_lives_is_always_looked_at_again(self, said: list[EgressSnapshot], at: datetime) -> None:
        for row in lived(reschedule(None, recording(), POLICY, T0), said, at=at)[1:]:
            if row.live:
                assert row.due_at is not None
                assert at <= row.due_at <= at + POLICY.start_grace + MINUTE

    @given(status=st.sampled_from(sorted(FINAL)), at=moments, running=st.booleans())
    def test_a_tombstone_outlives_every_upload(self, status: Status, at: datetime, *, running: bool) -> None:
        row = recording(status=status, egress_id="EG_1", deleted_at=T0)
        cleared = clear_reminders(row, POLICY, at, running=running, settled=True)
        tidy = reschedule(row, cleared, POLICY, at)
        assert tidy.awaits_upload(at) == (running or at < T0 + POLICY.upload_grace)
        assert tidy.due_at is not None

    @given(status=st.sampled_from(sorted(FINAL)), running=st.booleans())
    def test_a_tombstone_waits_for_its_upload_once_somebody_has_looked(
        self, status: Status, *, running: bool
    ) -> None:
        row = recording(status=status, egress_id="EG_1")
        deleted = mark_deleted(row, T0)
        assert deleted is not None
        fresh = reschedule(row, deleted, POLICY, T0)
        assert fresh.due_at == T0
        # In the same instant, as far as the clock can tell.
        cleared = clear_reminders(fresh, POLICY, T0, running=running, settled=True)
        assert reschedule(fresh, cleared, POLICY, T0).due_at == T0 + POLICY.upload_grace

    def test_the_last_look_for_a_file_is_not_over_before_it_was_taken(self) -> None:
        row = recording(status=Status.FAILED, late_upload_until=T0)
        postponed = clear_reminders(row, POLICY, T0, running=False, settled=False)
        assert postponed.late_upload_until == T0
        assert clear_reminders(postponed, POLICY, T0, running=False, settled=True).late_upload_until is None

    @given(st.integers(0, 100))
    def test_what_runs_although_it_is_over_is_asked_to_end_every_two_minutes(self, attempts: int) -> None:
        row = recording(status=Status.FAILED, egress_id="EG_1", attempts=attempts)
        cleared = clear_reminders(row, POLICY, T0, running=True, settled=False, urgent=True)
        due_at = reschedule(row, cleared, POLICY, T0).due_at
        assert due_at is not None
        assert T0 < due_at <= T0 + 2 * MINUTE

    @given(st.integers(1, 100))
    def test_failures_wait_longer_each_time_up_to_six_hours(self, attempts: int) -> None:
        assert MINUTE <= backoff(attempts) <= backoff(attempts + 1) <= timedelta(hours=6)

    @given(st.sampled_from(sorted(FINAL)))
    def test_what_is_over_and_kept_for_ever_is_left_alone(self, status: Status) -> None:
        assert reschedule(None, recording(status=status), POLICY, T0).due_at is None


def test_nothing_that_opens_something_is_in_a_representation() -> None:
    url = "rtmp://live.example.com/app/canary"
    row = recording(stream_urls=(url,), playback_key="canary" * 8, title="a title")
    assert "canary" not in repr([row, Streams(urls=(url,)), Reply(200, {"token": "canary"}, b"canary")])
    assert "title='a title'" in repr(row)
