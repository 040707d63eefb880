"""Verdicts on any sequence of what LiveKit's listing, the rooms and the handlers may say."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.domain.egress import ENDING, EgressStatus
from recorder.domain.lifecycle import OBSERVED
from recorder.domain.recording import FailureCode, Recording, Status, StopReason
from recorder.domain.schedule import Policy
from recorder.domain.verdict import (
    DENIALS,
    Evidence,
    Handler,
    Presence,
    Step,
    asks_handler,
    judge,
    needs_name,
)
from tests.support.recordings import T0, recording

POLICY = Policy()
MINUTE = timedelta(minutes=1)
LISTED = [None, *OBSERVED]
RECORDS = [EgressStatus.STARTING, EgressStatus.ACTIVE, None]
DENIED = Evidence(listed=EgressStatus.ACTIVE, presence=Presence.ABSENT)
SILENT = DENIED._replace(handler=Handler.SILENT)
ANSWERED = DENIED._replace(handler=Handler.ANSWERS)
evidences = st.builds(
    Evidence,
    listed=st.sampled_from(LISTED),
    presence=st.sampled_from(Presence),
    handler=st.sampled_from(Handler),
)


class TestVerdicts:
    """`seen` is a recording whose room has shown its recorder, `unseen` one of which no sweep saw anything."""

    seen = recording(status=Status.ACTIVE, egress_id="EG_1", recorder_seen_at=T0)
    unseen = seen._replace(recorder_seen_at=None)
    stopping = seen._replace(status=Status.STOPPING, stop_requested_at=T0, stop_reason=StopReason.USER)

    @given(st.lists(evidences, min_size=1, max_size=12), st.integers(1, 3600))
    def test_a_loss_needs_the_room_and_two_silences_or_an_hour_without_an_answer(
        self, said: list[Evidence], seconds: int
    ) -> None:
        row, since, silences, denied_since = self.seen, timedelta(seconds=seconds), 0, None
        for number, evidence in enumerate(said):
            now = T0 + number * since
            judgement = judge(row, evidence, now, POLICY)
            if (
                evidence.presence is Presence.SHOWN
                or evidence.handler is Handler.ANSWERS
                or evidence.listed in ENDING
            ):
                silences, denied_since = 0, None
            elif evidence.doubtful:
                denied_since = denied_since or now
                silences += evidence.handler is Handler.SILENT
            if judgement.final and evidence.doubtful:
                assert denied_since is not None
                heard = evidence.handler is Handler.SILENT and silences >= 2
                assert heard or now >= denied_since + POLICY.unseen_grace
            row = judgement.recording

    @pytest.mark.parametrize("listed", RECORDS)
    @pytest.mark.parametrize("presence", sorted(DENIALS))
    @pytest.mark.parametrize("row", [seen, unseen, stopping])
    def test_the_second_silence_some_time_after_the_first(
        self, row: Recording, presence: Presence, listed: EgressStatus | None
    ) -> None:
        silent = Evidence(listed=listed, presence=presence, handler=Handler.SILENT)
        first = judge(row, silent, T0, POLICY)
        assert not first.final
        too_soon = judge(first.recording, silent, T0 + MINUTE / 6, POLICY)
        assert not too_soon.final
        second = judge(first.recording, silent, T0 + MINUTE, POLICY)
        code = FailureCode.EGRESS_LOST if listed is None else FailureCode.WORKER_LOST
        assert (second.step, second.final, second.code) == (Step.LOOK, True, code)

    @pytest.mark.parametrize("listed", RECORDS)
    @pytest.mark.parametrize("between", [ANSWERED, DENIED._replace(presence=Presence.SHOWN)])
    def test_a_sign_of_life_between_two_silences_makes_the_second_the_first(
        self, between: Evidence, listed: EgressStatus | None
    ) -> None:
        silent = SILENT._replace(listed=listed)
        first = judge(self.seen, silent, T0, POLICY)
        alive = judge(first.recording, between._replace(listed=listed), T0 + MINUTE, POLICY)
        again = judge(alive.recording, silent, T0 + 2 * MINUTE, POLICY)
        assert not again.final

    def test_silence_of_a_handler_whose_room_shows_it_is_none(self) -> None:
        row = self.seen
        for minutes in range(90):
            shown = SILENT._replace(presence=Presence.SHOWN)
            judgement = judge(row, shown, T0 + minutes * MINUTE, POLICY)
            assert not judgement.final
            row = judgement.recording

    @pytest.mark.parametrize("listed", RECORDS)
    def test_a_room_that_cannot_be_asked_confirms_nothing(self, listed: EgressStatus | None) -> None:
        silent = SILENT._replace(listed=listed)
        first = judge(self.seen, silent, T0, POLICY)
        unknown = silent._replace(presence=Presence.UNKNOWN)
        assert not judge(first.recording, unknown, T0 + MINUTE, POLICY).final

    def test_a_room_that_hides_its_recorders_costs_no_recording_where_handlers_answer(self) -> None:
        row, asked = self.unseen, 0
        for minutes in range(120):
            now = T0 + minutes * MINUTE
            asks = asks_handler(row, DENIED, now, POLICY)
            asked += asks
            judgement = judge(row, ANSWERED if asks else DENIED, now, POLICY)
            assert (judgement.final, judgement.step) == (False, Step.NONE)
            row = judgement.recording
        # An answer holds for a while.
        assert asked == 120 * MINUTE / POLICY.handler_interval

    def test_nor_where_they_cannot_be_asked(self) -> None:
        row = self.unseen
        for minutes in range(240):
            judgement = judge(row, DENIED, T0 + minutes * MINUTE, POLICY)
            assert not judgement.final
            row = judgement.recording

    @pytest.mark.parametrize(
        ("row", "evidence"),
        [
            (seen, DENIED),
            (unseen, DENIED._replace(presence=Presence.CLOSED)),
            (unseen, DENIED._replace(listed=None)),
        ],
    )
    def test_a_denial_that_no_handler_contradicts_counts_in_the_end(
        self, row: Recording, evidence: Evidence
    ) -> None:
        first = judge(row, evidence, T0, POLICY)
        early = judge(first.recording, evidence, T0 + POLICY.unseen_grace - MINUTE, POLICY)
        assert not early.final
        assert judge(early.recording, evidence, T0 + POLICY.unseen_grace, POLICY).final

    @pytest.mark.parametrize("listed", RECORDS)
    def test_a_stop_ends_at_its_deadline_where_only_the_room_shows_it(
        self, listed: EgressStatus | None
    ) -> None:
        shown = Evidence(listed=listed, presence=Presence.SHOWN, named=True)
        silent = shown._replace(handler=Handler.SILENT)
        early, late = T0 + POLICY.stopping_timeout - MINUTE, T0 + POLICY.stopping_timeout
        assert not asks_handler(self.stopping, shown, early, POLICY)
        assert not judge(self.stopping, silent, early, POLICY).final
        assert asks_handler(self.stopping, shown, late, POLICY)
        given_up = judge(self.stopping, silent, late, POLICY)
        assert (given_up.step, given_up.final, given_up.code) == (Step.LOOK, True, FailureCode.STOP_TIMEOUT)
        for handler in (Handler.ANSWERS, Handler.UNKNOWN):
            again = judge(self.stopping, shown._replace(handler=handler), late, POLICY)
            assert (again.step, again.final) == (Step.STOP, False)

    @given(evidences)
    def test_no_handler_is_asked_without_a_doubt(self, evidence: Evidence) -> None:
        doubtful = evidence.presence in DENIALS and evidence.listed not in ENDING
        assert asks_handler(self.unseen, evidence, T0, POLICY) == doubtful

    def test_a_handler_is_asked_each_time_where_somebody_waits_for_the_end(self) -> None:
        answered = self.stopping._replace(handler_answered_at=T0)
        assert asks_handler(answered, DENIED, T0 + MINUTE, POLICY)

    def test_a_new_denial_is_asked_about_at_once(self) -> None:
        answered = judge(self.seen, ANSWERED, T0, POLICY).recording
        assert not asks_handler(answered, DENIED, T0 + MINUTE, POLICY)
        shown = judge(answered, DENIED._replace(presence=Presence.SHOWN), T0 + MINUTE, POLICY).recording
        assert asks_handler(shown, DENIED, T0 + 2 * MINUTE, POLICY)

    @pytest.mark.parametrize("listed", RECORDS)
    @pytest.mark.parametrize(
        ("presence", "handler"),
        [(Presence.UNKNOWN, Handler.UNKNOWN), (Presence.ABSENT, Handler.ANSWERS)],
    )
    def test_a_stop_is_tried_again_as_long_as_nobody_denies_the_egress(
        self, presence: Presence, handler: Handler, listed: EgressStatus | None
    ) -> None:
        late = T0 + 2 * POLICY.stopping_timeout
        said = Evidence(listed=listed, presence=presence, handler=handler)
        judgement = judge(self.stopping, said, late, POLICY)
        assert (judgement.step, judgement.final) == (Step.STOP, False)

    def test_a_stop_is_not_tried_where_nobody_would_hear_it(self) -> None:
        assert judge(self.stopping, SILENT, T0, POLICY).step is Step.NONE

    @pytest.mark.parametrize("presence", sorted(DENIALS))
    def test_a_stop_ends_at_its_deadline_where_the_room_denies(self, presence: Presence) -> None:
        late = T0 + POLICY.stopping_timeout
        said = DENIED._replace(presence=presence)
        once = judge(self.stopping._replace(recorder_seen_at=None), said, late, POLICY)
        assert (once.step, once.final) == (Step.STOP, False)
        again = judge(once.recording, said, late + POLICY.witness_gap, POLICY)
        assert (again.final, again.code) == (True, FailureCode.STOP_TIMEOUT)

    def test_an_upload_ends_at_its_deadline_although_no_room_can_tell(self) -> None:
        late = T0 + POLICY.stopping_timeout
        judgement = judge(self.stopping, Evidence(listed=EgressStatus.ENDING), late, POLICY)
        assert (judgement.final, judgement.code) == (True, FailureCode.STOP_TIMEOUT)

    def test_a_room_names_its_recorder_now_and_then_and_where_somebody_waits_for_the_end(self) -> None:
        shown = Evidence(listed=EgressStatus.ACTIVE, presence=Presence.SHOWN)
        seen = judge(self.unseen, shown, T0, POLICY).recording
        assert seen.recorder_seen_at == T0
        assert not needs_name(seen, T0 + MINUTE, POLICY)
        assert needs_name(self.stopping, T0 + MINUTE, POLICY)
        late = T0 + POLICY.handler_interval
        assert needs_name(seen, late, POLICY)
        assert judge(seen, shown, late, POLICY).recording is seen
        named = judge(seen, shown._replace(named=True), late, POLICY).recording
        assert (named.recorder_seen_at, needs_name(named, late + MINUTE, POLICY)) == (late, False)
