"""The seconds of takes that have ended: of which kind of end, and by which witness, they are known."""

from __future__ import annotations

from datetime import timedelta

import pytest

from recorder.domain import takes
from recorder.domain.recording import BegunBy, Recording, Take, TakeEnd
from tests.support.recordings import T0, recording

NEXT_AT = T0 + timedelta(seconds=60)


def ended(end: TakeEnd, *, segments: bool = True, duration: float | None = None) -> Recording:
    """A take from T0 on, which ended after 30 s."""
    take = Take(
        take=1,
        egress_id="EG_1",
        begun_by=BegunBy.START,
        requested_at=T0,
        started_at=T0,
        stopped_at=T0 + timedelta(seconds=30),
        end_reason=end,
        segments=segments,
        duration=duration,
    )
    return recording()._replace(takes=(take,))


@pytest.mark.parametrize(
    ("end", "seconds"),
    [(TakeEnd.WORKER_LOST, 26.0), (TakeEnd.UPLOAD_FAILED, 26.0), (TakeEnd.PAUSED, None)],
)
def test_segments_tell_the_seconds_of_a_take_of_which_no_more_comes(
    end: TakeEnd, seconds: float | None
) -> None:
    [take] = takes.with_segments_counted(ended(end), 13, 26.0).takes
    assert (take.segment_count, take.duration) == (13, seconds)


@pytest.mark.parametrize(
    ("segments", "duration", "lost"),
    [(True, 26.0, 34.0), (True, 0.0, 60.0), (False, None, 60.0), (True, None, 30.0)],
    ids=["counted", "none uploaded", "without segments", "not counted"],
)
def test_a_lost_take_is_missing_from_its_last_second_on(
    segments: bool,  # noqa: FBT001 - a case of the test
    duration: float | None,
    lost: float,
) -> None:
    before = ended(TakeEnd.WORKER_LOST, segments=segments, duration=duration)
    assert takes.lost_seconds(before, NEXT_AT).takes[0].lost_seconds == lost
