"""Images and streams in virtual time, held against those of the real worker."""

import json
import re

import pytest
from livekit.protocol import egress

from livekit_standin.recording import Image
from livekit_standin.timing import SECOND
from livekit_standin.twirp import Answer, TwirpError
from tests.livekit.life import DAY, MINUTE, NOBODY_LISTENS, REFUSED, ROOM, Life, s3
from tests.livekit.recorded import load

URL = "rtmp://127.0.0.1:19351/live/x"
OTHER = "rtmp://127.0.0.1:19352/live/verysecretkey"


def start(
    life: Life, *, file: str = "", images: tuple[egress.ImageOutput, ...] = (), urls: tuple[str, ...] = ()
) -> str:
    """Start, and wait until it is ACTIVE."""
    camera, microphone = life.room.participants["ada"].tracks
    request = egress.TrackCompositeEgressRequest(
        room_name=ROOM,
        audio_track_id=microphone.sid,
        video_track_id=camera.sid,
        file_outputs=[egress.EncodedFileOutput(filepath=file, s3=s3())] if file else [],
        image_outputs=images,
        stream_outputs=[egress.StreamOutput(protocol=egress.RTMP, urls=urls)] if urls else [],
    )
    return life.activated(request)


def images(prefix: str, suffix: egress.ImageFileSuffix = egress.IMAGE_SUFFIX_INDEX) -> egress.ImageOutput:
    return egress.ImageOutput(
        capture_interval=3, filename_prefix=prefix, filename_suffix=suffix, s3=s3(), width=320, height=180
    )


def ended(life: Life, egress_id: str) -> egress.EgressInfo:
    life.stop(egress_id)
    life.wait(SECOND)
    return read(life, egress_id)


def read(life: Life, egress_id: str) -> egress.EgressInfo:
    info = life.read(egress_id)
    assert info is not None
    return info


def manifests(life: Life) -> list[dict[str, list[dict[str, str]]]]:
    texts = (upload.object.content for upload in life.uploads if upload.key.endswith(".json"))
    return [json.loads(text) for text in texts if isinstance(text, bytes)]


# Images.


def test_images_are_called_as_the_recorded_ones() -> None:
    life = Life()
    three = (
        images("img/index/shot"),
        images("img/timestamp/shot", egress.IMAGE_SUFFIX_TIMESTAMP),
        images("img/latest/shot", egress.IMAGE_SUFFIX_NONE_OVERWRITE),
    )
    egress_id = start(life, file="img/x.mp4", images=three)
    life.wait(int(13.2 * SECOND))
    info = ended(life, egress_id)
    step = next(
        step for step in load("images").steps if step.kind == "s3_objects" and step.label == "after the end"
    )

    def alike(key: str) -> str:
        key = re.sub(r"EG_\w{12}", "EG_", re.sub(r"_2026\d{13}", "_<time>", key))
        return key.replace("img/img-2026-11-26T043430.mp4", "img/x.mp4")

    assert sorted(map(alike, life.objects())) == sorted(alike(found.key) for found in step.objects)
    counts = [result.image_count for result in info.image_results]
    assert counts == [6, 6, 6]


def test_an_image_comes_at_once_then_every_interval_and_at_the_end() -> None:
    life = Life()
    egress_id = start(life, images=(images("shot"),))
    active = life.now
    life.wait(10 * SECOND)
    stopped = life.now
    ended(life, egress_id)
    times = [
        (at - active) / SECOND
        for upload, at in zip(life.uploads, life.stored_at, strict=True)
        if isinstance(upload.object.content, Image)
    ]
    # As recorded: 0.48, 2.05, 5.16, 8.19 s after ACTIVE.
    assert times[:4] == pytest.approx([0.4, 2.0, 5.0, 8.0], abs=0.3)
    assert active + times[4] * SECOND == pytest.approx(stopped, abs=SECOND / 5)
    contents = [upload.object.content for upload in life.uploads]
    sizes = [
        (image.width, image.height, image.recording.audio) for image in contents if isinstance(image, Image)
    ]
    # Images alone are silent.
    assert sizes == [(320, 180, False)] * 5


def test_every_folder_gets_the_manifest_and_it_tells_of_all() -> None:
    life = Life()
    ended(life, start(life, file="f/x", images=(images("i/a"), images("j/b"))))
    told = manifests(life)
    assert len(told) == 3
    assert told[0] == told[1] == told[2]
    real = next(
        text for step in load("images").steps for key, text in step.texts.items() if key.endswith(".json")
    )
    assert list(told[0]) == list(json.loads(real))
    assert list(told[0]["images"][0]) == list(json.loads(real)["images"][0])
    assert [file["filename"] for file in told[0]["files"]] == ["f/x.mp4"]


def test_images_without_a_manifest() -> None:
    life = Life()
    silent = images("shot")
    silent.disable_manifest = True
    ended(life, start(life, images=(silent,)))
    assert manifests(life) == []


def test_an_outage_of_s3_ends_an_egress_with_images() -> None:
    life = Life()
    egress_id = start(life, file="x", images=(images("shot"),))
    life.wait(10 * SECOND)
    life.refusing = {"bucket"}
    life.wait(20 * SECOND)
    info = read(life, egress_id)
    assert (info.status, info.error_code, info.error) == (egress.EGRESS_FAILED, 400, REFUSED)
    assert info.details == "End reason: Failure"
    assert (info.file_results[0].duration < 0, info.image_results[0].ended_at) == (True, 0)
    assert life.files() == {}


def test_images_of_sound_are_refused() -> None:
    request = egress.RoomCompositeEgressRequest(
        room_name=ROOM, audio_only=True, image_outputs=[images("shot")]
    )
    recorded = load("images").calls()[-1].response_body
    outcome = Life().ask_start(request).outcome
    assert isinstance(outcome, TwirpError)
    assert {"code": outcome.code, "msg": outcome.message} == json.loads(recorded)


def test_the_keys_of_several_images_outputs_show_as_in_livekit() -> None:
    life = Life()
    info = read(life, start(life, images=(images("a"), images("b"))))
    assert [output.s3.secret for output in info.track_composite.image_outputs] == ["word", "word"]
    info = read(life, start(life, images=(images("a"),)))
    assert [output.s3.secret for output in info.track_composite.image_outputs] == ["{secret}"]


# Streams.


def update(life: Life, egress_id: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()) -> Answer:
    request = egress.UpdateStreamRequest(egress_id=egress_id, add_output_urls=add, remove_output_urls=remove)
    return life.world.call("Egress", "UpdateStream", request)


def updated(
    life: Life, egress_id: str, *, add: tuple[str, ...] = (), remove: tuple[str, ...] = ()
) -> egress.EgressInfo:
    outcome = update(life, egress_id, add=add, remove=remove).outcome
    assert isinstance(outcome, egress.EgressInfo)
    return outcome


def states(info: egress.EgressInfo) -> list[str]:
    return [egress.StreamInfo.Status.Name(result.status) for result in info.stream_results]


def test_a_stream_key_is_shown_nowhere() -> None:
    life = Life(webhook_urls=("http://global/hook",))
    egress_id = start(life, urls=(URL, OTHER))
    updated(life, egress_id, add=("rtmps://host:443/app/thirdkey?a=b",))
    life.wait(SECOND)
    ended(life, egress_id)
    shown = str(read(life, egress_id)) + "".join(webhook.body.decode() for webhook in life.webhooks)
    assert "verysecretkey" not in shown
    assert "thirdkey" not in shown
    assert "rtmp://127.0.0.1:19352/live/{ver...key}" in shown
    assert "rtmps://host:443/app/{thi...a=b}" in shown


def test_a_stream_begins_when_it_is_connected() -> None:
    life = Life()
    life.deaf = {OTHER}
    egress_id = start(life, file="x", urls=(URL,))
    life.wait(SECOND)
    info = read(life, egress_id)
    assert info.file_results[0].started_at < info.stream_results[0].started_at
    added = updated(life, egress_id, add=(OTHER,))
    assert (states(added), added.stream_results[1].started_at) == (["ACTIVE", "ACTIVE"], 0)
    life.wait(SECOND)
    info = read(life, egress_id)
    failed = info.stream_results[1]
    assert (states(info), failed.error, failed.duration) == (["ACTIVE", "FAILED"], NOBODY_LISTENS, 0)
    assert failed.started_at == failed.ended_at
    assert info.status == egress.EGRESS_ACTIVE


def test_a_removed_stream_is_finished() -> None:
    life = Life()
    egress_id = start(life, file="x", urls=(URL, OTHER))
    life.wait(10 * SECOND)
    told = len(life.webhooks)
    info = updated(life, egress_id, remove=(OTHER,))
    assert states(info) == ["ACTIVE", "FINISHED"]
    assert 10 * SECOND < info.stream_results[1].duration < 12 * SECOND
    assert len(life.pushed) == 2
    life.wait(SECOND)
    assert len(life.pushed) == 1
    refused = update(life, egress_id, remove=(OTHER,), add=("rtmp://",)).outcome
    assert isinstance(refused, TwirpError)
    assert (refused.status, refused.message.count("\n")) == (400, 1)
    assert told == len(life.webhooks)


def test_without_a_last_output_an_egress_ends() -> None:
    life = Life()
    egress_id = start(life, urls=(URL,))
    life.wait(5 * SECOND)
    assert updated(life, egress_id, remove=(URL,)).status == egress.EGRESS_ENDING
    life.wait(SECOND)
    info = read(life, egress_id)
    assert (info.status, info.details) == (egress.EGRESS_COMPLETE, "End reason: All streams stopped")
    assert (states(info), info.manifest_location) == (["FINISHED"], "")
    assert info.stream.info == info.stream_results


def test_a_stream_that_is_removed_while_its_egress_ends_ends_it_once() -> None:
    life = Life()
    egress_id = start(life, urls=(URL,))
    life.wait(5 * SECOND)
    life.stop(egress_id)
    update(life, egress_id, remove=(URL,))
    life.wait(MINUTE)
    info = read(life, egress_id)
    assert (info.status, info.details) == (egress.EGRESS_COMPLETE, "End reason: StopEgress API")


def test_a_receiver_that_dies_is_tried_until_the_end_and_told_once_a_minute() -> None:
    life = Life()
    egress_id = start(life, file="x", urls=(URL,))
    (stream_id,) = life.pushed
    before = len(life.events(egress_id))
    life.world.stream_lost(stream_id, NOBODY_LISTENS)
    life.wait(150 * SECOND)
    info = read(life, egress_id)
    assert (states(info), info.stream_results[0].error) == (["ACTIVE"], "")
    assert 2 * 60 * 15 < info.stream_results[0].retries < 2 * 60 * 38
    assert len(life.events(egress_id)) == before
    info = ended(life, egress_id)
    assert (info.status, states(info)) == (egress.EGRESS_COMPLETE, ["FAILED"])
    assert info.stream_results[0].error == NOBODY_LISTENS
    assert info.stream_results[0].duration > 150 * SECOND


def test_a_receiver_may_come_back() -> None:
    life = Life()
    egress_id = start(life, file="x", urls=(URL,))
    (stream_id,) = life.pushed
    life.world.stream_lost(stream_id, NOBODY_LISTENS)
    life.wait(10 * SECOND)
    life.world.stream_connected(stream_id)
    life.wait(5 * MINUTE)
    assert read(life, egress_id).stream_results[0].retries == 1
    assert states(ended(life, egress_id)) == ["FINISHED"]


def test_a_dead_host_pushes_nothing() -> None:
    life = Life()
    egress_id = start(life, urls=(URL, OTHER))
    assert len(life.pushed) == 2
    life.world.kill_host(egress_id)
    life.wait(DAY)
    assert (life.pushed, states(read(life, egress_id))) == (set(), ["ACTIVE", "ACTIVE"])


def test_an_empty_update_brings_a_lost_record_back_where_something_is_streamed() -> None:
    life = Life(webhook_urls=("http://global/hook",))
    egress_id = start(life, file="x", urls=(URL,))
    life.world.lose_records()
    assert life.status(egress_id) == "UNKNOWN"
    assert isinstance(update(life, egress_id).outcome, egress.EgressInfo)
    assert life.status(egress_id) == "ACTIVE"
    before = read(life, egress_id)
    life.wait(SECOND)
    told = len(life.events(egress_id))
    updated(life, egress_id)
    life.wait(SECOND)
    after = read(life, egress_id)
    assert len(life.events(egress_id)) == told + 1
    assert after.updated_at > before.updated_at
    after.updated_at = before.updated_at
    assert after == before


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        ([egress.StreamOutput(protocol=egress.RTMP)], "missing or invalid field: stream url"),
        ([egress.StreamOutput()], "missing or invalid field: stream protocol"),
        (
            [egress.StreamOutput(urls=["http://host/app/key"])],
            "invalid url http://host/app/key: invalid scheme",
        ),
        ([egress.StreamOutput(urls=["rtmp://host"])], "rtmp urls must be of format"),
        ([egress.StreamOutput(urls=[URL])] * 2, "missing or invalid field: multiple stream outputs"),
    ],
)
def test_streams_that_cannot_be_are_refused(outputs: list[egress.StreamOutput], text: str) -> None:
    outcome = (
        Life().ask_start(egress.RoomCompositeEgressRequest(room_name=ROOM, stream_outputs=outputs)).outcome
    )
    assert isinstance(outcome, TwirpError)
    assert (outcome.status, text in outcome.message) == (400, True)
