"""Of a take that may not give all that it recorded, what is behind its limit is left out (T74)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import pytest

from bucket import Bucket
from joiner import BucketJoiner, check_all_there
from joining import CannotJoinError, Reason, Take, join, plan
from recorder import errors
from recorder.domain.recording import StoredFile
from recorder.settings import AwsSettings
from recorder.usecases.ports import TakeParts
from tests.assembling.media import RATE, SEGMENT, Recorded, Store, StoreUpload, ffmpeg, watch
from tests.assembling.test_joining import RESULT, joined

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from local.stack import Stack

NOW: Final = datetime(2026, 11, 26, tzinfo=UTC)
LOST: Final = Recorded(number=1, seconds=8)
NEXT: Final = Recorded(number=2, seconds=4)
SEGMENTS: Final = LOST.seconds // SEGMENT

LIMITS: Final = {
    "no overlap": (8 * RATE, SEGMENTS),
    "part of a segment": (8 * RATE - 10, SEGMENTS),
    # The last sound before the limit may lie in the segment behind it.
    "a segment": (6 * RATE, SEGMENTS),
    "several segments and a part": (2 * RATE + 10, 2),
    "all but four pictures": (4, 1),
    "everything": (0, 0),
}
"""Pictures that the lost take may give, and how many of its segments are read for them."""
KINDS: Final = {
    "both streams": LOST,
    "pictures": replace(LOST, channels=0),
    "sound": replace(LOST, video=False),
}


class ReadStore(Store):
    """Knows what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.keys_read: set[str] = set()

    def read(self, key: str, start: int, length: int) -> bytes:
        self.keys_read.add(key)
        return super().read(key, start, length)


@pytest.fixture
def store() -> ReadStore:
    return ReadStore()


def limited(take: Take, pictures: int) -> Take:
    return replace(take, most_seconds=pictures / RATE)


def assert_shows(store: Store, pictures: Mapping[int, int]) -> None:
    """So many pictures of each take are there, from its first one on, and each second's tone comes with its picture.

    The last sound before a limit lasts a little longer, and may be the beginning of the next tone.
    """
    seen = watch(store.contents[RESULT])
    shown = [(take, number) for take, number, _ in seen.pictures]
    assert shown == [(take, number) for take, count in pictures.items() for number in range(count)]
    tones = [
        seen.moment(take, number) for take, count in pictures.items() for number in range(0, count, RATE)
    ]
    assert seen.tones == pytest.approx(tones, abs=0.08)


@pytest.mark.parametrize(("pictures", "read"), LIMITS.values(), ids=LIMITS)
@pytest.mark.parametrize("form", ["segments", "file"])
def test_t74_each_second_is_there_once(store: ReadStore, pictures: int, read: int, form: str) -> None:
    lost = limited(store.record(LOST, file=form == "file", segments=form == "segments"), pictures)
    following = store.record(NEXT, file=form == "file", segments=form == "segments")

    result = joined(store, lost, following)

    assert_shows(store, {1: pictures, 2: NEXT.seconds * RATE})
    seconds = pictures / RATE
    assert {take.number: take.recorded_seconds for take in result.takes if take.number == 1} == (
        {1: pytest.approx(seconds, abs=0.07)} if pictures else {}
    )
    assert result.empty == (() if pictures else (1,))
    assert result.seconds == pytest.approx(seconds + NEXT.seconds, abs=0.2)
    parts = [part.key for part in lost.segments[:read]] if form == "segments" else ["1/recording.mp4"]
    assert {key for key in store.keys_read if key.startswith("1/")} == set(parts if pictures else [])


@pytest.mark.parametrize("recorded", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("form", ["segments", "file"])
def test_t74_a_limited_take_is_the_last_one(store: Store, recorded: Recorded, form: str) -> None:
    take = limited(store.record(recorded, file=form == "file", segments=form == "segments"), 50)

    result = joined(store, take)

    seen = watch(store.contents[RESULT])
    if recorded.video:
        assert seen.numbers(1) == list(range(50))
    if recorded.channels:
        assert seen.tones == pytest.approx([0, 1, 2, 3], abs=0.05)
    assert result.seconds == pytest.approx(50 / RATE, abs=0.07)


@pytest.mark.parametrize("pictures", range(31, 38))
@pytest.mark.parametrize("form", ["segments", "file"])
def test_t74_pictures_that_are_stored_out_of_order(store: Store, pictures: int, form: str) -> None:
    recorded = replace(LOST, options=("-bf", "2", "-refs", "3"))
    take = limited(store.record(recorded, file=form == "file", segments=form == "segments"), pictures)

    joined(store, take, store.record(NEXT))

    numbers = watch(store.contents[RESULT]).numbers(1)
    assert numbers == list(range(len(numbers)))
    assert pictures - 2 <= len(numbers) <= pictures


@pytest.mark.parametrize("missing", [1, 2])
def test_t74_missing_segments_count_as_recorded(store: Store, missing: int) -> None:
    store.record(LOST)
    for index in range(missing):
        del store.contents[f"1/segment_{index:05d}.ts"]

    result = joined(store, limited(store.take(1), 5 * RATE), store.record(NEXT))

    numbers = watch(store.contents[RESULT]).numbers(1)
    assert numbers[0] == missing * SEGMENT * RATE
    # The first segment that is there says how long those before it were, and is longer by some sound.
    assert numbers[-1] == pytest.approx(5 * RATE, abs=2)
    assert result.takes[0].recorded_seconds == pytest.approx(5 - missing * SEGMENT, abs=0.15)


def test_t74_all_that_is_there_is_behind_the_limit(store: Store) -> None:
    store.record(LOST)
    for index in range(2):
        del store.contents[f"1/segment_{index:05d}.ts"]

    result = joined(store, limited(store.take(1), 3 * RATE), store.record(NEXT))

    assert result.empty == (1,)
    assert_shows(store, {2: NEXT.seconds * RATE})


def test_t74_time_stamps_that_begin_anew(store: Store) -> None:
    recorded = store.record(LOST)
    for index in range(2):
        # The third segment has the time stamps of the first, as those of MPEG-TS come again after 26.5 hours.
        again = replace(LOST, number=3)
        store.contents[recorded.segments[2 + index].key] = store.contents[
            store.record(again).segments[index].key
        ]

    joined(store, limited(store.take(1), 5 * RATE), store.record(NEXT))

    seen = watch(store.contents[RESULT])
    assert seen.numbers(1) == list(range(4 * RATE))
    assert len(seen.numbers(3)) == pytest.approx(RATE, abs=2)


def test_t74_nothing_is_left_of_all_takes(store: Store) -> None:
    with pytest.raises(CannotJoinError) as raised:
        plan(store, [limited(store.record(LOST), 0), limited(store.record(NEXT), 0)])

    assert raised.value.reason is Reason.NOTHING_RECORDED


def without_first_key_frame(store: Store, folder: Path) -> Take:
    """Store one segment of pictures alone, which lacks the second before its key frame's."""
    store.record(replace(LOST, channels=0), file=True, segments=False)
    file = folder / "recording.mp4"
    file.write_bytes(store.contents.pop("1/recording.mp4"))
    ffmpeg(
        *("-i", str(file), "-c", "copy", "-f", "segment", "-segment_format", "mpegts"),
        *("-break_non_keyframes", "1", "-segment_times", "1,3", str(folder / "%d.ts")),
    )
    store.contents["1/segment_00000.ts"] = (folder / "1.ts").read_bytes()
    return store.take(1)


def test_t74_nothing_before_the_limit_can_be_shown(store: Store, tmp_path: Path) -> None:
    unclear = limited(without_first_key_frame(store, tmp_path), RATE - 2)

    result = joined(store, unclear, store.record(replace(NEXT, channels=0)))

    assert result.empty == (1,)
    assert result.seams == (0.0,)
    assert watch(store.contents[RESULT]).takes == [2]
    with pytest.raises(CannotJoinError, match="before its limit"):
        join(plan(store, [unclear]), store, StoreUpload(store, RESULT))


def test_t74_from_s3_to_s3(stack: Stack) -> None:
    store = Store()
    kept = [store.record(each, file=True) for each in (LOST, NEXT, replace(NEXT, number=3))]
    prefix = "assembling/limits/"
    for key, content in store.contents.items():
        stack.aws.s3.put_object(Bucket=stack.aws.bucket, Key=f"{prefix}{key}", Body=content)
    settings = AwsSettings(
        stack.aws.region, stack.aws.access_key, stack.aws.secret_key, "", s3_endpoint_url=stack.aws.endpoint
    )
    bucket = Bucket(stack.aws.bucket, settings)
    given = [
        TakeParts(
            take=take.number,
            segments=tuple(
                StoredFile(key=f"{prefix}{part.key}", size=part.size, modified_at=NOW)
                for part in take.segments
            ),
            most_seconds=most,
        )
        for take, most in zip(kept, (3.0, 0.0, None), strict=True)
    ]

    joined_file = BucketJoiner(bucket).join(given, f"{prefix}{RESULT}")

    answer = stack.aws.s3.get_object(Bucket=stack.aws.bucket, Key=f"{prefix}{RESULT}")
    seen = watch(answer["Body"].read())
    bucket.close()
    assert joined_file.take_seconds == pytest.approx({1: 3, 2: 0, 3: 4}, abs=0.07)
    assert seen.takes == [1, 3]
    assert seen.numbers(1) == list(range(3 * RATE))


def test_a_take_that_is_neither_joined_nor_empty_is_an_error(store: Store) -> None:
    result = joined(store, store.record(LOST), Take(number=2), store.record(replace(NEXT, number=3)))
    check_all_there([TakeParts(take=number) for number in (1, 2, 3)], result)

    for lost in (replace(result, takes=result.takes[1:]), replace(result, empty=())):
        with pytest.raises(errors.StorageUnavailableError, match="were not joined"):
            check_all_there([TakeParts(take=number) for number in (1, 2, 3)], lost)
