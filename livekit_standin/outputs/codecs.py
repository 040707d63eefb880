"""The codecs that an egress writes, and the combinations that LiveKit refuses."""

from collections.abc import Sequence

from livekit_standin.outputs.asked import RefusedError

_FORMATS = {
    "mp4": "video/mp4",
    "ogg": "audio/ogg",
    "mp3": "audio/mpeg",
    "hls": "application/x-mpegurl",
    "rtmp": "rtmp",
    None: "",
}
_TYPES = {"aac": "audio/aac", "opus": "audio/opus", "mp3": "audio/mpeg", "h264": "video/h264", "": ""}
_AUDIO = {
    "mp4": ("aac", "opus"),
    "ogg": ("opus",),
    "mp3": ("mp3", "opus", "aac"),
    "hls": ("aac",),
    "rtmp": ("aac",),
    None: ("aac", "opus", "mp3"),
}
"""The codecs of each kind of output, its default first; None is a file whose container is not chosen yet."""
_WITH_PICTURE = {"mp4", "hls", "rtmp", None}
_CONTAINERS = ("ogg", "mp4", "mp3")


def choose(outputs: Sequence[str | None], audio: str | None, video: str | None) -> tuple[str, str, str]:
    """Choose (the file's container, the audio codec, the video codec) for encoded outputs, the file first.

    `audio` and `video` are the codecs wished for, empty where there is no wish, None where the egress has none.
    Raises RefusedError.
    """
    if "rtmp" in outputs:
        audio, video = audio and "aac", video and "h264"
    sounds = _sounds(outputs, audio)
    for output in outputs if video is not None else ():
        if output not in _WITH_PICTURE:
            # LiveKit looks at the wish for sound here, too.
            raise _incompatible(output, video or "") if audio else _no_codec()
    container = "mp4"
    if outputs and outputs[0] is None and video is None:
        container = next(each for each in _CONTAINERS if set(_AUDIO[each]) & set(sounds))
    elif outputs and outputs[0] is not None and outputs[0] in _CONTAINERS:
        container = outputs[0]
    defaults = [_AUDIO[container if output is None else output][0] for output in outputs]
    chosen = next((codec for codec in defaults if codec in sounds), sounds[0] if sounds else "")
    return container, chosen, "" if video is None else "h264"


def _sounds(outputs: Sequence[str | None], wish: str | None) -> tuple[str, ...]:
    if wish is None:
        return ()
    possible = (wish,) if wish else _AUDIO[None]
    for output in outputs:
        possible = tuple(codec for codec in possible if codec in _AUDIO[output])
        if not possible:
            raise _incompatible(output, wish) if wish else _no_codec()
    return possible


def _incompatible(output: str | None, codec: str) -> RefusedError:
    return RefusedError(f"format {_FORMATS[output]} incompatible with codec {_TYPES[codec]}")


def _no_codec() -> RefusedError:
    return RefusedError("no supported codec is compatible with all outputs")
