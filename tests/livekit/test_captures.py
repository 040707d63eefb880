"""Every answer and every egress webhook byte for byte as recorded, but for ids, times and sizes."""

import json
from collections.abc import Callable

import pytest
from livekit.protocol import egress, models

from tests.livekit.recorded import load
from tests.livekit.replay import Case, Replay


def _upload_error(case: str, part: str) -> str:
    for step in load(case).steps:
        if part in step.response_body:
            return str(json.loads(step.response_body)["items"][0]["error"])
    raise LookupError(part)


def _fail_uploads(case: str, part: str) -> Callable[[Replay], None]:
    def act(replay: Replay) -> None:
        replay.upload_error = _upload_error(case, part)

    return act


def _heal_uploads(replay: Replay) -> None:
    replay.upload_error = ""


def _stop(replay: Replay) -> None:
    replay.world.call("Egress", "StopEgress", egress.StopEgressRequest(egress_id=replay.newest()))


def _redis_down(replay: Replay) -> None:
    replay.world.faults.list.internal.always()
    replay.world.faults.start.internal.always()


def _redis_empty(replay: Replay) -> None:
    replay.world.faults.off()
    replay.world.lose_records()


NOBODY = "rtmp://127.0.0.1:19359/live/nobody"
CASES = [
    Case("track_egress_audio"),
    Case("track_egress_video"),
    Case("track_composite"),
    Case("participant"),
    Case("room_composite_audio_only"),
    Case("room_composite_full"),
    Case("egress_v2_methods"),
    Case("start_twice_same_request"),
    Case("stop_while_starting"),
    Case("errors_unknown_track"),
    Case("errors_no_egress_worker", {1.009: lambda replay: replay.world.faults.no_worker.always()}),
    Case(
        "errors_start_options",
        # The stops are not in the capture.
        {
            27.394: _fail_uploads("errors_start_options", "NoSuchBucket"),
            29.93: _stop,
            30.361: _heal_uploads,
            33.841: _stop,
            36.308: _stop,
            39.758: _stop,
            42.754: _stop,
        },
        trimmed=True,
        skip=frozenset({"OGG with video, room composite"}),
    ),
    Case("room_deleted_while_recording"),
    Case(
        "participant_leaves",
        {
            6.316: lambda replay: replay.world.leave("lv", "alice"),
            6.832: lambda replay: replay.world.leave("lv", "bob"),
        },
        camera="video/VP8",
        identities=("alice", "bob"),
    ),
    Case("limit_reached", {0.001: lambda replay: replay.world.faults.limit_reached.always()}),
    Case("worker_full", {2.593: lambda replay: replay.world.faults.full_worker.next()}),
    Case("worker_handler_killed", {4.586: lambda replay: replay.world.kill_handler(replay.newest())}),
    Case(
        "worker_host_killed",
        {4.55: lambda replay: replay.world.kill_host(replay.newest())},
        # Another dead one of that machine is in this list.
        skip=frozenset({"is it still listed as active?"}),
    ),
    Case(
        "worker_sigterm_sigint",
        {
            6.537: lambda replay: replay.world.faults.no_worker.next(),
            35.221: lambda replay: replay.world.shut_down_host(replay.newest()),
        },
    ),
    Case("redis_lost", {6.064: _redis_down, 8.808: _redis_empty}),
    Case("s3_wrong_bucket", {0.001: _fail_uploads("s3_wrong_bucket", "NoSuchBucket")}),
    Case(
        "s3_unreachable",
        {
            5.567: _fail_uploads("s3_unreachable", "connection refused"),
            20.2: _fail_uploads("s3_unreachable", "NoSuchBucket"),
        },
    ),
    Case("s3_recovers"),
    Case("manifest_and_s3_options", trimmed=True),
    Case("segments_room_or_track_composite"),
    Case("segments_worker_killed", {26.116: lambda replay: replay.world.kill_host(replay.newest())}),
    Case(
        "segments_beside_a_file_worker_killed",
        {
            18.332: lambda replay: replay.world.kill_host(replay.newest()),
            42.053: lambda replay: replay.world.kill_host(replay.newest()),
        },
    ),
    Case("images", races=(r', "imageCount":"[01]"', r'"image_count":"[01]", ')),
    Case(
        "file_and_segments_and_images_and_stream",
        {
            13.803: lambda replay: replay.fail_stream(),
            23.754: lambda replay: replay.lose_stream(),
        },
        deaf=frozenset({NOBODY}),
        # LiveKit takes any of the manifests for its location.
        races=(r', "image_?[cC]ount":"[0167]"', r', "manifest_?[lL]ocation":"https[^"]*"'),
    ),
    Case(
        "stream_failing_from_the_start",
        {7.818: lambda replay: replay.fail_stream(), 33.706: lambda replay: replay.fail_stream()},
        deaf=frozenset({NOBODY}),
    ),
    Case(
        "web_egress",
        {25.039: lambda replay: replay.world.kill_host(replay.newest())},
        # Other rooms of that machine are in this list.
        skip=frozenset({"rooms while it runs"}),
    ),
    Case(
        "update_layout",
        skip=frozenset({"participants of the room: where the layout is", "participants again"}),
    ),
    Case(
        "participant_and_track_composite_options",
        {
            34.051: lambda replay: replay.world.unpublish("opt", "ann", models.CAMERA),
            39.074: lambda replay: replay.world.publish("opt", "ann", models.CAMERA),
            44.149: lambda replay: replay.world.leave("opt", "ann"),
            47.445: lambda replay: replay.world.join("opt", "ann"),
            58.513: lambda replay: replay.world.publish("opt", "ann", models.SCREEN_SHARE),
            64.877: lambda replay: replay.world.unpublish("opt", "ann", models.SCREEN_SHARE),
        },
        identities=("ann",),
        trimmed=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_answers_and_webhooks_are_those_recorded(case: Case) -> None:
    Replay(case).run()
