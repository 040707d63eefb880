"""Silence and black pictures, which stand where a take lacks a stream that others have."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from av.audio.frame import AudioFrame
from av.codec import CodecContext
from av.video.frame import VideoFrame

from .media import TICKS

if TYPE_CHECKING:
    from .media import StreamFacts

_BLACK: Final = (16, 128, 128)
"""In each of the three planes."""
_GLOBAL_HEADER: Final = 1 << 22


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A frame of silence, its length in samples, and how it is decoded."""

    content: bytes
    samples: int
    parameters: bytes


@lru_cache
def silence(facts: StreamFacts) -> Silence:
    """Encode silence as a stream has its sound."""
    if facts.codec == "aac":
        encoder, sample_format = CodecContext.create("aac", "w"), "fltp"
    else:
        encoder, sample_format = CodecContext.create("libopus", "w"), "flt"
    encoder.sample_rate = facts.rate
    encoder.layout = facts.layout
    encoder.format = sample_format
    encoder.time_base = Fraction(1, facts.rate)
    encoder.flags |= _GLOBAL_HEADER
    encoder.open()
    frame = AudioFrame(sample_format, facts.layout, encoder.frame_size)
    frame.sample_rate = facts.rate
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    # The first packet tells of the encoder too.
    packets = [bytes(packet) for each in (frame, frame, frame, None) for packet in encoder.encode(each)]
    return Silence(content=packets[2], samples=encoder.frame_size, parameters=encoder.extradata or b"")


@lru_cache
def black_pictures(facts: StreamFacts) -> list[bytes]:
    """Encode two black key frames of a stream's size, to be shown in turns: one may not be followed by itself."""
    encoder = CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = facts.width, facts.height, "yuv420p"
    encoder.time_base = Fraction(1, TICKS)
    encoder.framerate = Fraction(30)
    encoder.gop_size = 1
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency", "threads": "1"}
    frame = VideoFrame(facts.width, facts.height, "yuv420p")
    for plane, value in zip(frame.planes, _BLACK, strict=True):
        plane.update(bytes([value]) * plane.buffer_size)
    pictures: list[bytes] = []
    for moment in (0, TICKS):
        frame.pts = moment
        pictures += [bytes(packet) for packet in encoder.encode(frame)]
    return pictures
