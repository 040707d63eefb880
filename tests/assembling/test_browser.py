"""Chromium plays the joined files over their seams, and seeks in them, from the bucket as its users do."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict

import av
import pytest
from playwright.sync_api import Error

from joining import Kind, join, plan
from tests.assembling.media import Recorded, Store, StoreUpload
from tests.support.browser import chromium

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

    from local.stack import Stack

ONE = Recorded(number=1)
OTHER = replace(ONE, number=2, seconds=4)
AGAIN = replace(ONE, number=3, seconds=4)
OTHER_SPS = replace(OTHER, options=("-bf", "2", "-refs", "3", "-coder", "1"))

PLAY = """async (url) => {
    const video = document.querySelector("video");
    const failed = new Promise((_, reject) => {
        video.onerror = () => reject(new Error(`${video.error.code} ${video.error.message}`));
    });
    const ended = new Promise((resolve) => { video.onended = resolve; });
    const began = new Promise((resolve) => { video.onloadeddata = resolve; });
    video.src = url;
    await Promise.race([began, failed]);
    video.playbackRate = 4;
    await Promise.race([video.play(), failed]);
    await Promise.race([ended, failed]);
    const pictures = video.getVideoPlaybackQuality().totalVideoFrames;
    return {seconds: video.duration, position: video.currentTime, pictures, sound: video.webkitAudioDecodedByteCount};
}"""
SEEK = """async (moments) => {
    const video = document.querySelector("video");
    const failed = new Promise((_, reject) => {
        video.onerror = () => reject(new Error(`${video.error.code} ${video.error.message}`));
    });
    const shown = [];
    for (const moment of moments) {
        const picture = new Promise((resolve) => {
            video.requestVideoFrameCallback((_, facts) => resolve(facts.mediaTime));
        });
        video.currentTime = moment;
        shown.push(await Promise.race([picture, failed]));
    }
    return shown;
}"""


class Played(TypedDict):
    seconds: float
    position: float
    pictures: int
    sound: int


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_content("<video muted></video>")
    yield page
    page.close()


def sound_bytes(content: bytes) -> int:
    with av.open(io.BytesIO(content), "r") as container:
        return sum(packet.size for packet in container.demux(audio=0))


def remuxed(*contents: bytes) -> bytes:
    """Put the packets of files behind one another as they are."""
    file = io.BytesIO()
    with av.open(file, "w", "mp4") as joined:
        begin = 0
        for content in contents:
            with av.open(io.BytesIO(content), "r") as container:
                if not joined.streams:
                    for stream in container.streams:
                        joined.add_stream_from_template(stream, opaque=True)
                for packet in container.demux():
                    if packet.size:
                        packet.pts = (packet.pts or 0) + begin * packet.time_base.denominator
                        packet.dts = (packet.dts or 0) + begin * packet.time_base.denominator
                        packet.stream = joined.streams[packet.stream_index]
                        joined.mux(packet)
            begin += 10
    return file.getvalue()


def address(stack: Stack, name: str, content: bytes) -> str:
    """Store a file and return its presigned link."""
    key = f"browser/{name}.mp4"
    stack.aws.s3.put_object(Bucket=stack.aws.bucket, Key=key, Body=content, ContentType="video/mp4")
    return stack.aws.s3.generate_presigned_url("get_object", Params={"Bucket": stack.aws.bucket, "Key": key})


CASES = {
    "the same settings": (OTHER, False),
    "another SPS": (OTHER_SPS, False),
    "another SPS, files": (OTHER_SPS, True),
    "another size": (replace(OTHER, width=640, height=360), False),
    "another size, files": (replace(OTHER, width=640, height=360), True),
    "mono": (replace(OTHER, channels=1), False),
    "mono, files": (replace(OTHER, channels=1), True),
    "no sound": (replace(OTHER, channels=0), False),
    "no pictures": (replace(OTHER, video=False), False),
    "a hole": (replace(OTHER, number=2), False),
}


@pytest.mark.parametrize("case", CASES)
def test_t87_chromium_plays_over_the_seams_and_seeks(stack: Stack, page: Page, case: str) -> None:
    other, in_files = CASES[case]
    store = Store()
    takes = [store.record(each, file=in_files, segments=not in_files) for each in (ONE, other, AGAIN)]
    if case == "a hole":
        del store.contents["1/segment_00001.ts"]
        takes[0] = store.take(1)
    result = join(plan(store, takes), store, StoreUpload(store, "result.mp4"))

    played: Played = page.evaluate(PLAY, address(stack, case, store.contents["result.mp4"]))

    assert played["seconds"] == pytest.approx(result.seconds, abs=0.1)
    assert played["position"] == pytest.approx(result.seconds, abs=0.1)
    assert played["pictures"] == result.packets[Kind.VIDEO]
    assert played["sound"] > 0.95 * sound_bytes(store.contents["result.mp4"])
    moments = [begin + 1.5 for begin in (take.begins_at for take in result.takes)] + [
        0.5,
        result.seconds - 0.5,
    ]
    shown = page.evaluate(SEEK, moments)
    assert shown == pytest.approx(
        [moment - 0.05 for moment in moments], abs=1.1 if case == "no pictures" else 0.1
    )


def test_chromium_stops_where_parameter_sets_are_not_in_band(stack: Stack, page: Page) -> None:
    """The test above would tell."""
    store = Store()
    takes = [store.record(each, file=True) for each in (ONE, OTHER_SPS)]
    naive = remuxed(*(store.contents[take.file.key] for take in takes if take.file))

    with pytest.raises(Error, match="PIPELINE_ERROR_DECODE"):
        page.evaluate(PLAY, address(stack, "naive", naive))
