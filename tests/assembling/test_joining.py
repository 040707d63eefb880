"""The takes of a recording become one file: each second once, in order, in sync."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from joining import (
    Kind,
    Take,
    join,
    plan,
    verify,
)
from tests.assembling.media import (
    RATE,
    Recorded,
    Store,
    StoreUpload,
    boxes,
    messages,
    sound_is_continuous,
    watch,
)

if TYPE_CHECKING:
    from joining import Joined

RESULT = "result.mp4"
ONE = Recorded(number=1)
TWO = Recorded(number=2, seconds=4)


@pytest.fixture
def store() -> Store:
    return Store()


def joined(store: Store, *takes: Take, options: tuple[str, ...] = ()) -> Joined:
    """Join and verify as the function does, and hold the file to what any joined file has to be."""
    upload = StoreUpload(store, RESULT)
    result = join(plan(store, takes), store, upload)
    assert upload.calls == ["create", "complete"]
    verify(store, store.part(RESULT), result)
    content = store.contents[RESULT]
    assert [box for box in boxes(content) if box != "free"] == ["ftyp", "moov", "mdat"]
    assert messages(content, *options) == ""
    assert sound_is_continuous(content)
    return result


def assert_whole(store: Store, *recorded: Recorded) -> None:
    """Each picture of each take is there once, in order, and each second's tone comes with its picture."""
    seen = watch(store.contents[RESULT])
    expected = [(each.number, number) for each in recorded for number in range(each.seconds * each.rate)]
    assert [(take, number) for take, number, _ in seen.pictures if take] == expected
    moments = [moment for _, _, moment in seen.pictures]
    assert moments == sorted(moments)
    tones = [
        seen.moment(each.number, second * each.rate)
        for each in recorded
        for second in range(each.seconds)
        if each.channels and each.video
    ]
    assert seen.tones == pytest.approx(tones, abs=0.05)


def test_takes_follow_one_another_each_second_once(store: Store) -> None:
    result = joined(store, store.record(ONE), store.record(TWO))

    assert_whole(store, ONE, TWO)
    assert [take.number for take in result.takes] == [1, 2]
    assert [take.seconds for take in result.takes] == pytest.approx([6, 4], abs=0.06)
    assert result.takes[1].begins_at == pytest.approx(6, abs=0.12)
    assert result.size == len(store.contents[RESULT])
    assert result.streams[Kind.VIDEO].width == 320
    assert not any(take.left_out for take in result.takes)


def test_the_same_takes_become_the_same_bytes(store: Store) -> None:
    takes = [store.record(ONE), store.record(TWO)]
    joined(store, *takes)
    first = store.contents[RESULT]

    joined(store, *takes)

    assert store.contents[RESULT] == first


OTHER_SETTINGS = {
    "the same": TWO,
    "another SPS": replace(TWO, options=("-bf", "0", "-refs", "3", "-coder", "1")),
    "pictures out of order": replace(TWO, options=("-bf", "2", "-refs", "3")),
    "another profile": replace(TWO, options=("-profile:v", "high", "-bf", "0")),
    "a larger size": replace(TWO, width=640, height=360),
    "a smaller size": replace(TWO, width=160, height=90),
    "mono": replace(TWO, channels=1),
}


@pytest.mark.parametrize("other", OTHER_SETTINGS.values(), ids=OTHER_SETTINGS)
@pytest.mark.parametrize("form", ["segments", "files", "segments then a file", "a file then segments"])
def test_t87_takes_of_other_settings(store: Store, other: Recorded, form: str) -> None:
    in_files = {
        "segments": (),
        "files": (1, 2, 3),
        "segments then a file": (2,),
        "a file then segments": (1, 3),
    }
    again = replace(ONE, number=3, seconds=3)
    takes = [
        store.record(each, file=each.number in in_files[form], segments=each.number not in in_files[form])
        for each in (ONE, other, again)
    ]

    result = joined(store, *takes)

    assert_whole(store, ONE, other, again)
    assert result.seconds == pytest.approx(13, abs=0.3)


def test_t87_a_take_of_another_frame_rate(store: Store) -> None:
    fast = replace(TWO, rate=2 * RATE)

    # ffmpeg would otherwise count pictures at the rate of the first take.
    joined(store, store.record(ONE), store.record(fast), options=("-enc_time_base", "demux"))

    assert_whole(store, ONE, fast)


def test_t87_a_take_without_sound_is_silent(store: Store) -> None:
    silent = replace(TWO, channels=0)

    result = joined(store, store.record(silent), store.record(ONE), store.record(replace(silent, number=3)))

    assert_whole(store, silent, ONE, replace(silent, number=3))
    assert [take.seconds for take in result.takes] == pytest.approx([4, 6, 4], abs=0.06)
    # Sound goes on throughout, or browsers would have it too early.
    assert result.packets[Kind.AUDIO] * 1024 / 44_100 == pytest.approx(result.seconds, abs=0.1)


@pytest.mark.parametrize("form", ["segments", "files"])
def test_t87_a_take_without_pictures_is_black(store: Store, form: str) -> None:
    dark = replace(TWO, video=False)
    files = form == "files"

    result = joined(
        store,
        store.record(dark, file=files, segments=not files),
        store.record(ONE, file=files, segments=not files),
        store.record(replace(dark, number=3), file=files, segments=not files),
    )

    seen = watch(store.contents[RESULT])
    assert seen.takes == [0, 1, 0]
    assert seen.numbers(1) == list(range(6 * RATE))
    assert [take.seconds for take in result.takes] == pytest.approx([4, 6, 4], abs=0.06)
    begins = [take.begins_at for take in result.takes]
    assert seen.tones == pytest.approx(
        [begin + second for begin, length in zip(begins, (4, 6, 4), strict=True) for second in range(length)],
        abs=0.06,
    )
    black = [moment for take, _, moment in seen.pictures if take == 0]
    assert max(later - earlier for earlier, later in pairwise(black) if later < 4) < 1.1


@pytest.mark.parametrize(
    "recorded", [replace(ONE, video=False), replace(ONE, channels=0)], ids=["sound", "pictures"]
)
def test_takes_of_one_stream(store: Store, recorded: Recorded) -> None:
    result = joined(store, store.record(recorded), store.record(replace(recorded, number=2)))

    assert set(result.streams) == ({Kind.VIDEO} if recorded.video else {Kind.AUDIO})
    seen = watch(store.contents[RESULT])
    if recorded.video:
        assert_whole(store, recorded, replace(recorded, number=2))
    else:
        assert seen.tones == pytest.approx([*range(6), *range(6, 12)], abs=0.1)


def test_one_take_that_left_segments_only(store: Store) -> None:
    result = joined(store, store.record(ONE))

    assert_whole(store, ONE)
    assert [take.number for take in result.takes] == [1]


def test_a_hundred_takes(store: Store) -> None:
    takes = [store.record(replace(ONE, seconds=2))]
    for number in range(2, 101):
        for index, part in enumerate(takes[0].segments):
            store.contents[f"{number}/segment_{index:05d}.ts"] = store.contents[part.key]
        takes.append(store.take(number))

    result = joined(store, *takes)

    assert result.seconds == pytest.approx(200, abs=100 * 0.1)
    assert watch(store.contents[RESULT]).numbers(1) == [*range(2 * RATE)] * 100


def test_opus_in_files(store: Store) -> None:
    opus = [replace(each, audio_codec="libopus", samples=48_000) for each in (ONE, TWO)]

    joined(store, *(store.record(each, file=True) for each in opus))

    assert_whole(store, *opus)


def test_segments_of_all_takes_go_before_files(store: Store) -> None:
    takes = [store.record(ONE, file=True), store.record(TWO, file=True)]

    assert [take.in_file for take in plan(store, takes).takes] == [False, False]


def test_files_of_all_takes_go_before_segments_of_some(store: Store) -> None:
    takes = [store.record(ONE, file=True), store.record(TWO, file=True, segments=False)]

    assert [take.in_file for take in plan(store, takes).takes] == [True, True]


def test_a_file_goes_before_segments_that_lack_one(store: Store) -> None:
    store.record(ONE, file=True)
    del store.contents["1/segment_00001.ts"]

    assert [take.in_file for take in plan(store, [store.take(1), store.record(TWO)]).takes] == [True, False]


def test_a_take_that_holds_nothing_is_named(store: Store) -> None:
    store.contents["3/segment_00000.ts"] = b""

    result = joined(store, Take(number=7), store.record(ONE), store.take(3), store.record(TWO))

    assert [take.number for take in result.takes] == [1, 2]
    assert result.empty == (7, 3)
    assert_whole(store, ONE, TWO)
