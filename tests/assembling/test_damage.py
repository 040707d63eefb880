"""Damaged, missing and late parts, and errors while takes are joined."""

from __future__ import annotations

import io
import random
from dataclasses import replace
from typing import TYPE_CHECKING

import av
import pytest

from joining import (
    CannotJoinError,
    JoiningError,
    Kind,
    Part,
    Reason,
    Take,
    UnreadableError,
    VerificationError,
    join,
    plan,
    segments_in,
    verify,
)
from tests.assembling.media import (
    RATE,
    SEGMENT,
    Recorded,
    Store,
    StoreUpload,
    ffmpeg,
    messages,
    sound_is_continuous,
    watch,
)

if TYPE_CHECKING:
    from pathlib import Path

    from joining import Joined

RESULT = "result.mp4"
LONG = Recorded(number=1, seconds=8)
NEXT = Recorded(number=2, seconds=2)
PICTURES = SEGMENT * RATE


def joined(store: Store, *takes: Take) -> Joined:
    result = join(plan(store, takes), store, StoreUpload(store, RESULT))
    verify(store, store.part(RESULT), result)
    assert messages(store.contents[RESULT]) == ""
    assert sound_is_continuous(store.contents[RESULT])
    return result


def segment(index: int) -> str:
    return f"1/segment_{index:05d}.ts"


@pytest.fixture
def store() -> Store:
    store = Store()
    store.record(LONG)
    store.record(NEXT)
    return store


DAMAGES = {
    "empty": b"",
    "less than a packet": b"G" * 100,
    "noise": random.Random(1).randbytes(20_000),
    "not uploaded": None,
}


@pytest.mark.parametrize("index", [0, 1, 3])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_t86_a_segment_without_media_is_left_out(store: Store, damage: bytes | None, index: int) -> None:
    if damage is None:
        del store.contents[segment(index)]
    else:
        store.contents[segment(index)] = damage

    result = joined(store, store.take(1), store.take(2))

    lost = range(index * PICTURES, (index + 1) * PICTURES)
    seen = watch(store.contents[RESULT])
    assert seen.numbers(1) == [number for number in range(4 * PICTURES) if number not in lost]
    assert seen.takes == [1, 2]
    assert result.takes[0].seconds == pytest.approx(6, abs=0.15)
    assert result.takes[0].left_out == (() if damage is None else (segment(index),))
    assert result.takes[1].begins_at == pytest.approx(6, abs=0.2)


@pytest.mark.parametrize("index", [0, 1, 3])
@pytest.mark.parametrize("cut", [0.3, 0.5, 0.51, 0.9, 0.999])
@pytest.mark.parametrize("in_packet", [True, False], ids=["within a packet", "between packets"])
def test_t86_of_a_cut_segment_remains_what_is_whole(
    store: Store, index: int, cut: float, *, in_packet: bool
) -> None:
    whole = store.contents[segment(index)]
    length = int(len(whole) * cut) // 188 * 188 - (90 if in_packet else 0)
    store.contents[segment(index)] = whole[:length]

    joined(store, store.take(1), store.take(2))

    seen = watch(store.contents[RESULT])
    first = index * PICTURES
    kept = [number for number in seen.numbers(1) if first <= number < first + PICTURES]
    assert kept == list(range(first, first + len(kept)))
    assert len(kept) >= (cut - 0.25) * PICTURES
    rest = [number for number in seen.numbers(1) if number not in range(first, first + PICTURES)]
    assert rest == [number for number in range(4 * PICTURES) if number not in range(first, first + PICTURES)]
    assert seen.takes == [1, 2]


def test_t86_a_segment_that_arrives_late_is_in_its_place(store: Store) -> None:
    listing = store.listing("1/")
    late = [listing[2], listing[0], Part("1/poster.jpeg", 5), Part("1/index.m3u8", 9), listing[3], listing[1]]

    joined(store, Take(number=1, segments=segments_in(late)))

    assert watch(store.contents[RESULT]).numbers(1) == list(range(8 * RATE))


def test_t86_three_thousand_segments(tmp_path: Path) -> None:
    minute = Store()
    minute.record(Recorded(number=1, seconds=60, width=64, height=36, rate=5), file=True, segments=False)
    (tmp_path / "minute.mp4").write_bytes(minute.contents["1/recording.mp4"])
    ffmpeg(
        *(
            "-stream_loop",
            "99",
            "-i",
            str(tmp_path / "minute.mp4"),
            "-c",
            "copy",
            "-output_ts_offset",
            "3600",
        ),
        *(
            "-f",
            "segment",
            "-segment_time",
            "2",
            "-segment_format",
            "mpegts",
            str(tmp_path / "segment_%05d.ts"),
        ),
    )
    long = Store()
    for path in tmp_path.glob("*.ts"):
        long.contents[f"1/{path.name}"] = path.read_bytes()
    take = long.take(1)
    assert len(take.segments) == 3000

    result = joined(long, take)

    # Each repetition is longer than its pictures by a frame of sound.
    assert result.seconds == pytest.approx(6000, abs=3)
    assert result.packets[Kind.VIDEO] == 30_000
    assert len(result.seams) == 1
    assert result.takes[0].left_out == ()


class OutageError(Exception):
    """An error of the caller's objects or upload."""


class FailingStore(Store):
    """Reads fail from one on."""

    def __init__(self, store: Store, reads: int) -> None:
        super().__init__()
        self.contents = store.contents
        self._left = reads

    def read(self, key: str, start: int, length: int) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise OutageError
        return super().read(key, start, length)


class FailingUpload(StoreUpload):
    """One of its steps fails."""

    def __init__(self, store: Store, step: str) -> None:
        super().__init__(store, RESULT)
        self._step = step

    def create(self) -> None:
        self._do("create")
        super().create()

    def upload_part(self, number: int, content: bytes) -> None:
        self._do(f"part {number}")
        super().upload_part(number, content)

    def complete(self) -> None:
        self._do("complete")
        super().complete()

    def abort(self) -> None:
        super().abort()
        self._do("abort")

    def _do(self, step: str) -> None:
        if self._step == step or (step == "abort" and self._step == "part 1"):
            raise OutageError


LARGE = Recorded(number=1, seconds=8, width=640, height=360, options=("-qp", "12", "-bf", "0"), noisy=True)


@pytest.mark.parametrize("in_file", [False, True])
def test_t86_what_the_objects_raise_passes_through_at_every_read(store: Store, *, in_file: bool) -> None:
    store.record(LONG, file=in_file, segments=not in_file)
    takes = [store.take(1), store.take(2)]
    planned = plan(store, takes)
    reads = 0
    while True:
        upload = StoreUpload(store, RESULT)
        try:
            join(planned, FailingStore(store, reads), upload)
        except OutageError:
            assert upload.calls == ["create", "abort"]
            reads += 1
        else:
            break
    assert reads >= len(planned.takes)
    assert upload.calls == ["create", "complete"]


@pytest.mark.parametrize("step", ["create", "part 1", "part 2", "part 3", "complete"])
def test_t86_what_the_upload_raises_passes_through(step: str) -> None:
    store = Store()
    take = store.record(LARGE)
    assert plan(store, [take]).size > 14 * 2**20
    upload = FailingUpload(store, step)

    with pytest.raises(OutageError):
        join(plan(store, [take]), store, upload)

    assert upload.calls == ([] if step == "create" else ["create", "abort"])
    assert RESULT not in store.contents


def test_t86_a_part_that_is_shorter_than_listed_is_named(store: Store) -> None:
    take = store.take(1)
    store.contents[segment(2)] = store.contents[segment(2)][:-188]

    with pytest.raises(UnreadableError, match=segment(2)):
        join(plan(store, [take]), store, StoreUpload(store, RESULT))


def test_a_file_that_is_no_media_is_named(store: Store) -> None:
    store.contents["3/recording.mp4"] = bytes(5000)

    with pytest.raises(UnreadableError, match=r"3/recording\.mp4: is no media") as error:
        plan(store, [store.take(1), store.take(3)])
    assert error.value.key == "3/recording.mp4"


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.97])
def test_a_file_that_is_cut_is_named(store: Store, tmp_path: Path, kept: float) -> None:
    store.record(LONG, file=True, segments=False)
    (tmp_path / "in.mp4").write_bytes(store.contents["1/recording.mp4"])
    ffmpeg("-i", str(tmp_path / "in.mp4"), "-c", "copy", "-movflags", "+faststart", str(tmp_path / "out.mp4"))
    whole = (tmp_path / "out.mp4").read_bytes()
    store.contents["3/recording.mp4"] = whole[: int(len(whole) * kept)]
    upload = StoreUpload(store, RESULT)

    with pytest.raises(UnreadableError, match=r"3/recording\.mp4"):
        join(plan(store, [store.take(3), store.take(2)]), store, upload)
    assert upload.calls in ([], ["create", "abort"])


def test_a_take_of_which_no_segment_can_be_read_is_named(store: Store) -> None:
    for index in range(2):
        store.contents[f"3/segment_{index:05d}.ts"] = bytes(5000)

    with pytest.raises(UnreadableError, match=r"3/segment_00000\.ts"):
        plan(store, [store.take(1), store.take(3)])


def test_a_take_of_which_nothing_is_whole_is_named() -> None:
    store = Store()
    store.record(Recorded(number=3, seconds=2, channels=0, noisy=True, options=("-bf", "0", "-qp", "12")))
    store.contents["3/segment_00000.ts"] = store.contents["3/segment_00000.ts"][: 188 * 100]
    upload = StoreUpload(store, RESULT)

    with pytest.raises(UnreadableError, match=r"3/segment_00000\.ts: holds nothing whole"):
        join(plan(store, [store.take(3)]), store, upload)
    assert upload.calls == ["create", "abort"]


def test_a_take_without_a_key_frame_is_named(store: Store) -> None:
    store.record(replace(LONG, number=3, channels=0, options=("-bf", "0", "-g", "1000")))
    whole = store.contents["3/segment_00000.ts"]
    store.contents["3/segment_00000.ts"] = whole[len(whole) // 2 // 188 * 188 :]

    with pytest.raises(UnreadableError, match=r"3/segment_00000\.ts"):
        joined(store, store.take(1), store.take(3))


def test_a_file_without_media_is_named(store: Store) -> None:
    empty = io.BytesIO()
    with (
        av.open(empty, "w", "mp4") as container,
        av.open(io.BytesIO(store.contents[segment(0)]), "r") as template,
    ):
        for stream in template.streams:
            container.add_stream_from_template(stream, opaque=True)
        container.start_encoding()
    store.contents["3/recording.mp4"] = empty.getvalue()

    with pytest.raises(UnreadableError, match=r"3/recording\.mp4: holds no media"):
        plan(store, [store.take(1), store.take(3)])


def test_a_time_stamp_that_asks_for_hours_of_silence_is_not_believed(store: Store) -> None:
    store.record(LONG, file=True, segments=False)
    store.contents["3/recording.mp4"] = with_a_hole(store.contents["1/recording.mp4"], seconds=7 * 3600)

    with pytest.raises(JoiningError, match="a hole in the sound"):
        join(plan(store, [store.take(3), store.take(2)]), store, StoreUpload(store, RESULT))


def test_a_hole_within_a_file_is_silent(store: Store) -> None:
    store.record(LONG, file=True, segments=False)
    store.contents["3/recording.mp4"] = with_a_hole(store.contents["1/recording.mp4"], seconds=20)

    result = joined(store, store.take(3), store.take(2))

    assert result.takes[0].seconds == pytest.approx(LONG.seconds + 20, abs=0.1)
    assert watch(store.contents[RESULT]).tones == pytest.approx(
        [0, 1, 2, 3, 24, 25, 26, 27, 28, 29], abs=0.15
    )


def with_a_hole(content: bytes, seconds: int) -> bytes:
    """Move the later half of the packets by some seconds."""
    file = io.BytesIO()
    with av.open(file, "w", "mp4") as moved, av.open(io.BytesIO(content), "r") as container:
        outputs = [moved.add_stream_from_template(stream, opaque=True) for stream in container.streams]
        for packet in container.demux():
            if packet.size and packet.pts is not None and packet.dts is not None:
                if packet.pts * packet.time_base > LONG.seconds / 2 - 0.05:
                    packet.pts += seconds * packet.time_base.denominator
                    packet.dts += seconds * packet.time_base.denominator
                packet.stream = outputs[packet.stream_index]
                moved.mux(packet)
    return file.getvalue()


def test_t87_another_sample_rate_stays_in_parts(store: Store) -> None:
    with pytest.raises(CannotJoinError, match=r"take 1 has 44100 .* take 3 48000") as error:
        plan(store, [store.take(1), store.record(replace(NEXT, number=3, samples=48_000))])
    assert error.value.reason is Reason.SAMPLE_RATE_CHANGES


def test_t87_another_codec_stays_in_parts(store: Store) -> None:
    opus = store.record(replace(NEXT, number=3, audio_codec="libopus", samples=48_000), file=True)

    with pytest.raises(CannotJoinError, match="take 1 is aac, that of take 3 opus") as error:
        plan(store, [store.take(1), opus])
    assert error.value.reason is Reason.AUDIO_CODEC_CHANGES


def test_t87_a_codec_that_no_joined_file_has_stays_in_parts(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "recording.webm"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x64:r=5:d=1", "-c:v", "libvpx", str(file))
    store.contents["3/recording.mp4"] = file.read_bytes()

    with pytest.raises(CannotJoinError, match="take 3: its video is vp8") as error:
        plan(store, [store.take(1), store.take(3)])
    assert error.value.reason is Reason.UNSUPPORTED_CODEC


def test_a_stream_that_no_take_began_with_stays_in_parts(store: Store) -> None:
    sound = store.record(replace(LONG, number=3, video=False))
    store.contents["3/segment_00001.ts"] = store.contents[segment(1)]
    upload = StoreUpload(store, RESULT)

    with pytest.raises(CannotJoinError, match="no take begins with video") as error:
        join(plan(store, [sound]), store, upload)
    assert error.value.reason is Reason.STREAM_APPEARS
    assert upload.calls == ["create", "abort"]


def test_no_take_that_holds_anything(store: Store) -> None:
    with pytest.raises(CannotJoinError) as error:
        plan(store, [Take(number=1), Take(number=2, segments=(Part("2/segment_00000.ts", 0),))])
    assert error.value.reason is Reason.NOTHING_RECORDED


class TestVerifying:
    """The verifier says of a file that is not what was joined."""

    @pytest.fixture
    def result(self, store: Store) -> Joined:
        return joined(store, store.take(1), store.take(2))

    def refuse(self, store: Store, result: Joined, text: str) -> None:
        with pytest.raises(VerificationError, match=text):
            verify(store, store.part(RESULT), result)

    @pytest.mark.parametrize(
        "damage", [bytes(2000), random.Random(2).randbytes(2000)], ids=["zeros", "noise"]
    )
    def test_damage_at_a_seam(self, store: Store, result: Joined, damage: bytes) -> None:
        content = store.contents[RESULT]
        store.contents[RESULT] = content[:-4000] + damage + content[-4000 + len(damage) :]

        self.refuse(store, result, "decode")

    def test_a_file_that_ends_early(self, store: Store, result: Joined) -> None:
        store.contents[RESULT] = store.contents[RESULT][:-100]

        self.refuse(store, result, "bytes")

    def test_a_file_with_its_index_at_the_end(self, store: Store, result: Joined, tmp_path: Path) -> None:
        (tmp_path / "in.mp4").write_bytes(store.contents[RESULT])
        ffmpeg("-i", str(tmp_path / "in.mp4"), "-c", "copy", str(tmp_path / "out.mp4"))
        store.contents[RESULT] = (tmp_path / "out.mp4").read_bytes()

        self.refuse(store, replace(result, size=len(store.contents[RESULT])), "its boxes are")

    def test_a_file_of_other_takes(self, store: Store, result: Joined) -> None:
        other = joined(store, store.take(2), store.take(2))

        self.refuse(store, replace(result, size=other.size), "packets")

    def test_a_take_that_is_not_there(self, store: Store, result: Joined) -> None:
        take = replace(result.takes[1], seconds=0.0)

        self.refuse(store, replace(result, takes=(result.takes[0], take)), r"take 2 has 0.00 s of 2.\d+ s")

    def test_a_take_that_is_shorter_than_its_parts(self, store: Store, result: Joined) -> None:
        take = replace(result.takes[0], recorded_seconds=9.0)

        self.refuse(store, replace(result, takes=(take, result.takes[1])), r"take 1 has 8.\d+ s of 9.00 s")

    def test_a_file_that_is_no_media(self, store: Store, result: Joined) -> None:
        store.contents[RESULT] = bytes(result.size)

        self.refuse(store, result, "boxes")

    def test_an_outage_passes_through(self, store: Store, result: Joined) -> None:
        with pytest.raises(OutageError):
            verify(FailingStore(store, 4), store.part(RESULT), result)
