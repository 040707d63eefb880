"""How many seconds parts and takes hold, with as little reading as can tell."""

from __future__ import annotations

import pytest

from joining import Part, Take, UnreadableError, file_seconds, segment_seconds, take_seconds
from tests.assembling.media import SEGMENT, Recorded, Store

LONG = Recorded(number=1, seconds=20)


@pytest.fixture
def store() -> Store:
    store = Store()
    store.record(LONG)
    return store


def test_a_segment(store: Store) -> None:
    assert segment_seconds(store, store.part("1/segment_00003.ts")) == pytest.approx(SEGMENT, abs=0.06)


def test_a_take_is_measured_at_its_ends(store: Store) -> None:
    take = store.take(1)

    assert take_seconds(store, take) == pytest.approx(20, abs=0.06)
    assert store.read_bytes == take.segments[0].size + take.segments[-1].size


def test_what_is_missing_is_not_counted(store: Store) -> None:
    del store.contents["1/segment_00002.ts"]
    store.contents["1/segment_00005.ts"] = b""

    assert take_seconds(store, store.take(1)) == pytest.approx(16, abs=0.2)


def test_what_cannot_be_read_at_an_end_is_not_counted(store: Store) -> None:
    store.contents["1/segment_00000.ts"] = bytes(1000)
    store.contents["1/segment_00009.ts"] = store.contents["1/segment_00009.ts"][:300]

    assert take_seconds(store, store.take(1)) == pytest.approx(16, abs=0.2)


def test_a_file_is_measured_by_its_index(store: Store) -> None:
    store.record(LONG, file=True)

    assert file_seconds(store, store.part("1/recording.mp4")) == pytest.approx(20, abs=0.06)
    assert take_seconds(store, store.take(1)) == pytest.approx(20, abs=0.06)


def test_a_file_that_cannot_be_read_is_named(store: Store) -> None:
    store.contents["1/recording.mp4"] = bytes(1000)

    with pytest.raises(UnreadableError, match=r"1/recording\.mp4"):
        take_seconds(store, store.take(1))


def test_nothing_holds_nothing(store: Store) -> None:
    store.contents["2/segment_00000.ts"] = bytes(1000)

    assert take_seconds(store, Take(number=1)) == 0
    assert take_seconds(store, store.take(2)) == 0
    assert segment_seconds(store, Part("2/segment_00000.ts", 1000)) == 0
