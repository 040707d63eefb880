"""The content of the objects of an egress: the part of it that their picture and sound come from."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Encoding:
    """How media is encoded. Bit rates are in kbit/s; an empty codec means that there is none, or nobody asked."""

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
    """A recording of an egress from its first sample on, to be rendered into one file."""

    room_name: str
    container: str
    """mp4, ogg, webm, mp3 or ts."""
    encoding: Encoding
    audio: bool
    video: bool
    layout: str
    """grid, speaker or single-speaker, possibly with -light or -dark behind it."""
    duration: int
    """In ns."""
    begin: int = 0
    """When its first sample was recorded, by the right clock (ns)."""

    @property
    def span(self) -> tuple[int, int]:
        """When its content was recorded, from and to, by the right clock (ns)."""
        return self.begin, self.begin + self.duration


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a recording, to be rendered as an MPEG transport stream that goes on where the one before ends."""

    recording: Recording
    """As it was when the segment began; its duration is that of the segment's end."""
    number: int
    begin: int
    """From the recording's first sample, in ns."""

    @property
    def end(self) -> int:
        """From the recording's first sample, in ns."""
        return self.recording.duration

    @property
    def span(self) -> tuple[int, int]:
        """When its content was recorded, from and to, by the right clock (ns)."""
        return self.recording.begin + self.begin, self.recording.begin + self.end


@dataclass(frozen=True, slots=True)
class Image:
    """A frame of a recording, to be rendered as JPEG."""

    recording: Recording
    """Its duration is the time of the frame."""
    width: int
    height: int


type Content = Recording | Segment | Image | bytes
"""The content of an object: media to be rendered, or the object as it is."""
