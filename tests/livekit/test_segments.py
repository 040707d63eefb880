"""Segments and playlists in virtual time, held against what lay in the bucket of the real worker."""

import re
from itertools import pairwise

import pytest
from livekit.protocol import egress, models

from livekit_standin.options import WorkerOptions
from livekit_standin.recording import Recording, Segment
from livekit_standin.timing import SECOND, Delay, Timing
from livekit_standin.uploads import Upload
from tests.livekit.life import DAY, MINUTE, REFUSED, ROOM, Life, s3
from tests.livekit.recorded import Step, load

WHOLE = "seg1/seg1/index.m3u8"
LIVE = "seg1/seg1/live.m3u8"


def output(folder: str = "a", seconds: int = 4, **fields: str) -> egress.SegmentedFileOutput:
    segments = egress.SegmentedFileOutput(
        filename_prefix=f"{folder}/seg",
        playlist_name=f"{folder}/index.m3u8",
        segment_duration=seconds,
        s3=s3(),
    )
    for name, value in fields.items():
        setattr(segments, name, value)
    return segments


def composite(
    *outputs: egress.SegmentedFileOutput, file: str = "", audio_only: bool = False
) -> egress.RoomCompositeEgressRequest | egress.TrackCompositeEgressRequest:
    """Ask for a track composite, or for a room composite with sound only: both need no browser."""
    files = [egress.EncodedFileOutput(filepath=file, s3=s3(), file_type=egress.MP4)] if file else []
    if audio_only:
        return egress.RoomCompositeEgressRequest(
            room_name=ROOM, audio_only=True, segment_outputs=outputs, file_outputs=files
        )
    return egress.TrackCompositeEgressRequest(
        room_name=ROOM,
        audio_track_id="TR_AM1",
        video_track_id="TR_VC1",
        segment_outputs=outputs,
        file_outputs=files,
        advanced=egress.EncodingOptions(framerate=15),
    )


def life() -> Life:
    made = Life(Timing(segment=Delay(0)))
    camera, microphone = made.room.participants["ada"].tracks
    camera.sid, microphone.sid = "TR_VC1", "TR_AM1"
    return made


def start(made: Life, *outputs: egress.SegmentedFileOutput, file: str = "", audio_only: bool = False) -> str:
    """Start, and wait for the moment at which it is ACTIVE."""
    return made.activated(composite(*outputs, file=file, audio_only=audio_only))


def stop(made: Life, egress_id: str) -> egress.EgressInfo:
    made.stop(egress_id)
    made.wait(SECOND)
    info = made.read(egress_id)
    assert info is not None
    return info


def segments(made: Life) -> list[tuple[Upload, Segment]]:
    found = ((upload, upload.object.content) for upload in made.uploads)
    return [(upload, content) for upload, content in found if isinstance(content, Segment)]


def recorded_texts(label: str) -> dict[str, str]:
    step = next(step for step in load("segments_room_or_track_composite").steps if step.label == label)
    return step.texts


def without_times(playlist: str) -> str:
    return re.sub(r"2026-?11-?26T?[\d:.]+Z?|2026-11-2\dT[\d:.]+Z|_202611\d+", "<time>", playlist)


def program_times(playlist: str) -> list[float]:
    times = re.findall(r"TIME:\S+T(\d+):(\d+):([\d.]+)Z", playlist)
    return [int(hours) * 3600 + int(minutes) * 60 + float(seconds) for hours, minutes, seconds in times]


def test_playlists_grow_as_the_recorded_ones() -> None:
    made = life()
    egress_id = start(made, output("seg1/{room_name}", live_playlist_name="seg1/{room_name}/live"))
    made.wait(int(11.2 * SECOND))
    folder = f"seg1/{ROOM}"
    for label, wait in (("11 s after ACTIVE", 20.1), ("31 s after ACTIVE", 0.0)):
        for ours, theirs in (("index.m3u8", WHOLE), ("live.m3u8", LIVE)):
            text = made.text(f"{folder}/{ours}")
            assert without_times(text) == without_times(recorded_texts(label)[theirs])
            assert {round(b - a, 3) for a, b in pairwise(program_times(text))} <= {4.0}
        made.wait(int(wait * SECOND))
    info = stop(made, egress_id).segment_results[0]
    assert info.segment_count == 9
    ending = re.compile(r"#EXTINF:0\.\d+")
    for ours, theirs in (("index.m3u8", WHOLE), ("live.m3u8", LIVE)):
        text = made.text(f"{folder}/{ours}")
        recorded = recorded_texts("after the end").get(theirs)
        assert text.endswith("#EXT-X-ENDLIST\n")
        if recorded is not None:
            assert ending.sub("", without_times(text)) == ending.sub("", without_times(recorded))


def test_sound_alone_is_cut_between_its_frames_and_named_by_time() -> None:
    made = life()
    suffixed = output("seg1a")
    suffixed.filename_suffix = egress.TIMESTAMP
    egress_id = start(made, suffixed, audio_only=True)
    made.wait(int(10.2 * SECOND))
    stop(made, egress_id)
    text, recorded = made.text("seg1a/index.m3u8"), recorded_texts("audio only, after the end")
    last = re.compile(r"#EXTINF:2\.\d+")
    wanted = last.sub("", without_times(recorded["seg1a/index.m3u8"]))
    assert last.sub("", without_times(text)) == wanted
    for name, begun in zip(re.findall(r"seg_(\S+)\.ts", text), program_times(text), strict=True):
        assert name[8:] == f"{int(begun) // 3600:02}{int(begun) // 60 % 60:02}{begun % 60:06.3f}".replace(
            ".", ""
        )


def recorded_times(case: str) -> dict[str, float]:
    """Give when objects were first seen, counted from ACTIVE; somebody looked every half second."""
    steps = load(case).steps
    active = next(step for step in steps if step.kind == "webhook" and "ACTIVE" in step.summary)
    appeared = next(step for step in steps if "as they appeared" in step.label)
    seen: dict[str, float] = {}
    for entry in appeared.timeline:
        assert not isinstance(entry, str)
        at_s, what, _ = entry
        seen.setdefault(what.partition(" ")[2], at_s - active.at_s)
    return seen


def test_segments_appear_when_the_recorded_ones_did() -> None:
    made = life()
    start(made, output("seg1/seg1", live_playlist_name="seg1/seg1/live"))
    active = made.now
    made.wait(30 * SECOND)
    seen = recorded_times("segments_room_or_track_composite")
    compared = 0
    for upload, at in zip(made.uploads, made.stored_at, strict=True):
        if isinstance(upload.object.content, Segment):
            assert -0.7 < (at - active) / SECOND - seen[upload.key] < 0.3
            compared += 1
    assert compared == 6


def test_a_segment_is_stored_before_a_playlist_names_it() -> None:
    made = life()
    egress_id = start(made, output(live_playlist_name="a/live.m3u8"))
    made.wait(30 * SECOND)
    stop(made, egress_id)
    there: set[str] = set()
    for upload in made.uploads:
        if upload.key.endswith(".m3u8"):
            assert isinstance(upload.object.content, bytes)
            named = re.findall(r"^(seg_\d+\.ts)$", upload.object.content.decode(), re.MULTILINE)
            assert {f"a/{name}" for name in named} <= there
        there.add(upload.key)


@pytest.mark.parametrize("audio_only", [False, True])
def test_segments_hold_each_second_of_the_recording_once(*, audio_only: bool) -> None:
    made = life()
    egress_id = start(made, output(seconds=2), file="a/file", audio_only=audio_only)
    made.wait(21 * SECOND)
    info = stop(made, egress_id)
    parts = [segment for _, segment in segments(made)]
    assert parts[0].begin == 0
    assert all(before.end == after.begin for before, after in pairwise(parts))
    assert parts[-1].end == info.file_results[0].duration == info.segment_results[0].duration
    assert {part.recording.begin for part in parts} == {made.files()[egress_id][1].begin}


@pytest.mark.parametrize(
    ("seconds", "killed_after", "left"),
    # As measured: 7.7 s were lost with segments of 4 s, 3.4 s with 2 s.
    [(4, 23.7, 4), (2, 13.31, 5)],
)
def test_what_a_dead_host_had_stored_is_all_that_is_left(
    seconds: int, killed_after: float, left: int
) -> None:
    made = life()
    egress_id = start(made, output(seconds=seconds), file="a/file")
    made.wait(int(killed_after * SECOND))
    made.world.kill_host(egress_id)
    made.wait(DAY)
    assert len(segments(made)) == left
    text = made.text("a/index.m3u8")
    assert (text.count("#EXTINF"), "ENDLIST" in text) == (left, False)
    assert made.objects().keys() == {"a/index.m3u8", *(upload.key for upload, _ in segments(made))}


def test_what_a_suspended_host_records_comes_late() -> None:
    made = life()
    egress_id = start(made, output(seconds=2))
    made.wait(10 * SECOND)
    before = len(segments(made))
    made.world.suspend_host(egress_id)
    made.wait(2 * MINUTE)
    assert len(segments(made)) == before
    made.world.go_on(egress_id)
    made.wait(SECOND)
    assert len(segments(made)) >= before + 59
    stop(made, egress_id)
    assert made.text("a/index.m3u8").endswith("#EXT-X-ENDLIST\n")


def test_the_record_lags_behind_the_bucket() -> None:
    made = life()
    egress_id = start(made, output(seconds=2))
    made.wait(20 * SECOND)
    info = made.read(egress_id)
    assert info is not None
    assert info.segment_results[0] == info.segments
    assert (info.segments.segment_count, info.segments.playlist_location) == (0, "")
    answer = made.stop(egress_id).outcome
    assert isinstance(answer, egress.EgressInfo)
    assert (answer.segments.segment_count, answer.segments.duration) == (len(segments(made)), 0)
    assert answer.segments.playlist_location.endswith("/a/index.m3u8")


def test_a_second_egress_overwrites_segments_of_the_same_names() -> None:
    made = life()
    for _ in range(2):
        egress_id = start(made, output())
        made.wait(20 * SECOND)
        stop(made, egress_id)
    keys = [upload.key for upload, _ in segments(made)]
    assert len(keys) == 2 * len(set(keys))


def test_a_long_playlist_is_stored_less_often() -> None:
    made = life()
    start(made, output(seconds=30))
    made.wait(3 * 60 * MINUTE)
    stored = [
        at for upload, at in zip(made.uploads, made.stored_at, strict=True) if upload.key == "a/index.m3u8"
    ]
    assert {(b - a) // SECOND for a, b in pairwise(stored)} == {30, 60, 90}


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        (
            {"filename_prefix": "", "playlist_name": ""},
            [f"{ROOM}-2026-11-22T084658.m3u8", f"{ROOM}-2026-11-22T084658_00000.ts"],
        ),
        ({"filename_prefix": "p/q", "playlist_name": ""}, ["p/q.m3u8", "p/q_00000.ts"]),
        ({"filename_prefix": "", "playlist_name": "p/list"}, ["p/list.m3u8", "p/list_00000.ts"]),
        ({"filename_prefix": "sub/x", "playlist_name": "p/list.m3u8"}, ["p/list.m3u8", "p/sub/x_00000.ts"]),
        ({"filename_prefix": "p/x", "playlist_name": "list.m3u8"}, ["p/list.m3u8", "p/x_00000.ts"]),
    ],
)
def test_what_has_no_name_gets_one(fields: dict[str, str], names: list[str]) -> None:
    made = life()
    start(made, output(seconds=4, **fields))
    made.wait(9 * SECOND)
    assert sorted(made.objects()) == sorted(names)


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (
            composite(output(live_playlist_name="b/live.m3u8")),
            "live_playlist_name must be in same directory as playlist_name",
        ),
        (
            composite(output(live_playlist_name="a/index.m3u8")),
            "live_playlist_name cannot be identical to playlist_name",
        ),
        (composite(output("a"), output("b")), "multiple segmented file outputs"),
    ],
)
def test_playlists_that_do_not_fit_are_refused(
    request_: egress.TrackCompositeEgressRequest, text: str
) -> None:
    outcome = life().ask_start(request_).outcome
    assert not isinstance(outcome, egress.EgressInfo)
    assert outcome == type(outcome)(
        "invalid_argument", f"twirp error unknown: request has missing or invalid field: {text}", 400
    )


def test_opus_does_not_go_into_segments() -> None:
    request = composite(output())
    request.advanced.audio_codec = models.OPUS
    outcome = life().ask_start(request).outcome
    assert "incompatible with codec audio/opus" in str(outcome)


# S3 fails while it records.

OUTAGE = load("segments_and_s3_outage")


def outage(made: Life, *, after: float, lasts: float) -> None:
    """Let the bucket refuse connections for a while."""
    made.wait(int(after * SECOND))
    made.refusing = {"bucket"}
    made.wait(int(lasts * SECOND))
    made.refusing = set()


@pytest.mark.parametrize(
    ("audio_only", "kept", "label"),
    [
        (False, 4, "track composite, file and segments: EGRESS_FAILED"),
        (True, 5, "audio-only room composite, file and segments: EGRESS_FAILED"),
    ],
)
def test_30_s_without_s3_end_an_egress_with_segments(*, audio_only: bool, kept: int, label: str) -> None:
    made = life()
    alone = start(made, file="b/file", audio_only=audio_only)
    egress_id = start(made, output(seconds=2), file="a/file", audio_only=audio_only)
    outage(made, after=10.9, lasts=30)
    made.wait(10 * SECOND)
    info = made.read(egress_id)
    assert info is not None
    real = note(label)
    assert (info.status, info.error_code, info.error) == (egress.EGRESS_FAILED, real.error_code, REFUSED)
    assert info.details == real.details
    assert 10 * SECOND < info.ended_at - info.started_at - 12 * SECOND < 17 * SECOND
    for result in (info.file_results[0], info.segment_results[0]):
        assert (result.ended_at, result.duration) == (0, -result.started_at)
    assert (info.file_results[0].size, info.file_results[0].location, info.manifest_location) == (0, "", "")
    assert len(segments(made)) == info.segment_results[0].segment_count == kept
    assert "ENDLIST" not in made.text("a/index.m3u8")
    assert "a/file.mp4" not in made.objects()
    assert made.recorders() == [alone]
    assert stop(made, alone).status == egress.EGRESS_COMPLETE


def note(text: str) -> Step:
    return next(step for step in OUTAGE.steps if step.text == text)


def test_after_8_s_without_s3_nothing_is_lost() -> None:
    made = life()
    egress_id = start(made, output(seconds=2), file="a/file")
    outage(made, after=10, lasts=8)
    made.wait(10 * SECOND)
    info = stop(made, egress_id)
    assert (info.status, info.file_results[0].size > 0) == (egress.EGRESS_COMPLETE, True)
    numbers = [segment.number for _, segment in segments(made)]
    assert sorted(numbers) == list(range(len(numbers)))
    named = re.findall(r"seg_(\d+)\.ts", made.text("a/index.m3u8"))
    assert [int(number) for number in named] == sorted(numbers)
    assert made.events(egress_id) == []


def test_more_retries_outlive_the_outage() -> None:
    made = life()
    made.world.settings.worker = WorkerOptions(max_retries=40)
    egress_id = start(made, output(seconds=2), file="a/file")
    outage(made, after=10, lasts=30)
    made.wait(10 * SECOND)
    info = stop(made, egress_id)
    assert (info.status, info.segment_results[0].segment_count) == (egress.EGRESS_COMPLETE, 26)


def test_with_backup_storage_one_recording_lies_in_two_buckets() -> None:
    made = life()
    backup = egress.S3Upload(bucket="backup", endpoint="http://backup", force_path_style=True)
    made.world.settings.worker = WorkerOptions(backup=backup)
    egress_id = start(made, output(seconds=2), file="a/file")
    outage(made, after=10.3, lasts=30)
    made.wait(10 * SECOND)
    info = stop(made, egress_id)
    assert (info.status, info.backup_storage_used) == (egress.EGRESS_COMPLETE, True)
    first = [segment.number for upload, segment in segments(made) if not upload.backup]
    assert first == [0, 1, 2, 3]
    own = [upload for upload in made.uploads if not upload.backup]
    assert own[-1].key == f"a/{egress_id}.json"
    assert [upload.key for upload in own if not isinstance(upload.object.content, Segment | bytes)] == [
        "a/file.mp4"
    ]
    playlists = [upload for upload in made.uploads if upload.key == "a/index.m3u8"]
    assert [upload.backup for upload in playlists] == sorted(upload.backup for upload in playlists)
    assert isinstance(playlists[-1].object.content, bytes)
    assert playlists[-1].object.content.count(b"#EXTINF") == info.segment_results[0].segment_count


def test_a_file_that_cannot_be_stored_leaves_whole_segments() -> None:
    made = life()
    egress_id = start(made, output(seconds=2), file="a/file")
    made.wait(10 * SECOND)
    made.faults.upload_fails.next()
    info = stop(made, egress_id)
    assert (info.status, info.error_code) == (egress.EGRESS_FAILED, 400)
    assert info.segment_results[0].duration > 10 * SECOND
    assert made.text("a/index.m3u8").endswith("#EXT-X-ENDLIST\n")
    assert not any(isinstance(upload.object.content, Recording) for upload in made.uploads)


def test_an_upload_that_nobody_waits_for_is_not_expected() -> None:
    made = life()
    egress_id = start(made, output(seconds=2))
    made.now += 10 * SECOND
    (waiting, *_) = (effect for effect in made.world.advance() if isinstance(effect, Upload))
    assert made.world.expects(waiting.id)
    made.world.kill_host(egress_id)
    assert not made.world.expects(waiting.id)
    made.world.uploaded(waiting.id, 1)
    made.world.upload_failed(waiting.id, 400, "no")
    assert made.status(egress_id) == "ACTIVE"
