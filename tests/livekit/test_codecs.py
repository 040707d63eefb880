"""Codecs and containers for each request, and refusals, as LiveKit's tables say."""

import pytest

from livekit_standin.files import name
from livekit_standin.outputs.asked import RefusedError
from livekit_standin.outputs.codecs import choose


@pytest.mark.parametrize(
    ("outputs", "audio", "video", "chosen"),
    [
        ([None], "", "", ("mp4", "aac", "h264")),
        ([None], "opus", "", ("mp4", "opus", "h264")),
        ([None], "", None, ("ogg", "opus", "")),
        ([None], "aac", None, ("mp4", "aac", "")),
        ([None], "mp3", None, ("mp3", "mp3", "")),
        ([None], None, "", ("mp4", "", "h264")),
        (["mp4"], "", None, ("mp4", "aac", "")),
        (["mp3"], "", None, ("mp3", "mp3", "")),
        ([None, "hls"], "", None, ("mp4", "aac", "")),
        (["mp4", "hls", "rtmp"], "", "h264", ("mp4", "aac", "h264")),
        (["mp4", "rtmp"], "opus", "", ("mp4", "aac", "h264")),
        (["hls"], "aac", "", ("mp4", "aac", "h264")),
        ([], None, "", ("mp4", "", "h264")),
    ],
)
def test_what_is_chosen(
    outputs: list[str | None], audio: str | None, video: str | None, chosen: tuple[str, str, str]
) -> None:
    assert choose(outputs, audio, video) == chosen


@pytest.mark.parametrize(
    ("outputs", "audio", "video", "text"),
    [
        (["mp4", "hls"], "opus", "", "format application/x-mpegurl incompatible with codec audio/opus"),
        (["ogg"], "aac", None, "format audio/ogg incompatible with codec audio/aac"),
        (["ogg"], "opus", "h264", "format audio/ogg incompatible with codec video/h264"),
        (["ogg"], "", "", "no supported codec is compatible with all outputs"),
        (["ogg", "hls"], "", None, "no supported codec is compatible with all outputs"),
    ],
)
def test_what_is_refused(outputs: list[str | None], audio: str | None, video: str | None, text: str) -> None:
    with pytest.raises(RefusedError) as refusal:
        choose(outputs, audio, video)
    assert str(refusal.value) == text


@pytest.mark.parametrize(
    ("asked", "container", "called"),
    [
        ("a.mp4", "mp4", "a.mp4"),
        ("a.ogg", "mp4", "a.mp4"),
        ("a.m4a", "mp4", "a.m4a.mp4"),
        ("a.{retry}", "mp4", "a.{retry}.mp4"),
    ],
)
def test_only_extensions_that_the_worker_knows_are_replaced(asked: str, container: str, called: str) -> None:
    assert name(asked, container, "room", {}, 0) == called
