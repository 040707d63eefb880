"""What a recording is made of: the part of an egress that its picture and sound come from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Encoding:
    """How media is encoded. Bit rates are in kbit/s; an empty codec means that nobody asked for one."""

    width: int = 1280
    height: int = 720
    framerate: int = 30
    video_codec: str = ""
    """h264 or vp8."""
    video_bitrate: int = 3000
    audio_codec: str = ""
    """aac, opus or mp3."""
    audio_bitrate: int = 128
    audio_frequency: int = 44100


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished recording, to be rendered."""

    room_name: str
    container: str
    """mp4, ogg, webm or mp3."""
    encoding: Encoding
    audio: bool
    video: bool
    layout: str
    """grid, speaker or single-speaker, possibly with -light or -dark behind it."""
    duration: int
    """In ns."""
