"""The joined file as it grows: lays each packet on the timeline, and fills what a take lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.rational import AVRational

from .filler import black_pictures, silence
from .media import TICK, TICKS, add_parameters, time
from .timeline import Timeline
from .values import CannotJoinError, JoiningError, Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.container import OutputContainer
    from av.stream import Stream

    from .media import AnyPacket, Content, MediaStream, StreamFacts


_USUAL_FRAME: Final = 1024
"""Samples in a packet of AAC."""
_LONGEST_SILENCE: Final = 6 * 3600
"""Seconds within a take. A time stamp that asks for more is wrong."""


@dataclass
class _Track:
    """A stream of the output."""

    stream: Stream
    time_base: AVRational
    packets: int = 0


class Output:
    """The streams of one MP4."""

    def __init__(self, container: OutputContainer, streams: Mapping[Kind, StreamFacts], delay: int) -> None:
        """Take the streams that there will be; each is then added with a template."""
        self.longest_interval = 0
        """The longest usual time between two pictures, in ticks."""
        self._streams = streams
        self._container = container
        self._tracks: dict[Kind, _Track] = {}
        self._sound = streams.get(Kind.AUDIO)
        self._timeline = Timeline(delay=delay, rate=self._sound.rate if self._sound else TICKS)
        self._missing: set[Kind] = set()
        self._next_sound = self._sound
        self._frame = _USUAL_FRAME
        self._next_black = 0
        self._awaits_key_frame = True

    @property
    def packets(self) -> dict[Kind, int]:
        """How many packets each stream has."""
        return {kind: track.packets for kind, track in self._tracks.items()}

    @property
    def end(self) -> int:
        """Where what was added ends, in ticks."""
        return self._timeline.end

    def add_stream(self, kind: Kind, template: MediaStream, *, in_file: bool) -> None:
        """Add a stream like one of an input that is still open."""
        output = self._container.add_stream_from_template(template, opaque=True)
        time_base = TICK if kind is Kind.VIDEO else AVRational(1, self._timeline.rate)
        output.time_base = time_base
        if in_file and kind is Kind.VIDEO:
            # The filter tells the new stream of the form that it gives to packets.
            BitStreamFilterContext("h264_mp4toannexb", template, output)
        self._tracks[kind] = _Track(output, time_base)

    def begin(self, content: Content, streams: Mapping[Kind, StreamFacts]) -> int:
        """Put what comes next behind what is there, and return where it begins, in ticks.

        `content` is the first part of it, `streams` those of its take: the others are filled while it lasts.
        """
        position = self._timeline.begin(content.starts, content.interval, content.delay)
        self.longest_interval = max(self.longest_interval, content.interval)
        self._missing = set(self._streams.keys() - streams.keys())
        self._next_sound = streams.get(Kind.AUDIO, self._sound)
        self._frame = round(content.frame * self._timeline.rate / TICKS) or _USUAL_FRAME
        self._next_black = position
        self._awaits_key_frame = True
        return position

    def add(self, kind: Kind, packet: AnyPacket) -> None:
        """Add a packet. Raises CannotJoinError for a kind that no take began with."""
        track = self._tracks.get(kind)
        if track is None:
            raise CannotJoinError(Reason.STREAM_APPEARS, f"no take begins with {kind}, and one has it later")
        if self._missing:
            self._missing.discard(kind)
        if kind is Kind.VIDEO:
            self._add_picture(track, packet)
        else:
            self._add_sound(track, packet)

    def _add_picture(self, track: _Track, packet: AnyPacket) -> None:
        if self._awaits_key_frame and not packet.is_keyframe:
            return
        self._awaits_key_frame = False
        moment, decoded = self._timeline.place_picture(time(packet), packet.dts or 0)
        if self._missing:
            while self._timeline.audio_end < moment:
                self._add_silence()
        self._write(track, packet, moment, decoded, self._timeline.interval)

    def _add_sound(self, track: _Track, packet: AnyPacket) -> None:
        missing = self._timeline.missing_frames(time(packet), self._frame)
        if missing < 0:
            return
        if missing * self._frame > _LONGEST_SILENCE * self._timeline.rate:
            raise JoiningError(f"a hole in the sound is longer than {_LONGEST_SILENCE} s")
        for _ in range(missing):
            self._add_silence()
        self._sound = self._next_sound
        if self._missing:
            while self._next_black <= self._timeline.audio_end:
                self._add_black()
        position = self._timeline.add_sound(self._frame)
        self._write(track, packet, position, position, self._frame)

    def _add_silence(self) -> None:
        if self._sound is None:
            return
        track = self._tracks[Kind.AUDIO]
        quiet = silence(self._sound)
        packet = Packet(quiet.content)
        if not track.packets:
            add_parameters(packet, quiet.parameters)
        position = self._timeline.add_sound(quiet.samples)
        self._write(track, packet, position, position, quiet.samples)

    def _add_black(self) -> None:
        track = self._tracks[Kind.VIDEO]
        pictures = black_pictures(self._streams[Kind.VIDEO])
        picture = Packet(pictures[track.packets % len(pictures)])
        picture.is_keyframe = True
        [packet] = BitStreamFilterContext("extract_extradata", "h264").filter(picture)
        moment, decoded = self._timeline.add_picture(
            self._next_black, self._next_black - self._timeline.delay
        )
        self._next_black += TICKS
        self._write(track, packet, moment, decoded, self._timeline.interval)

    def _write(self, track: _Track, packet: AnyPacket, moment: int, decoded: int, duration: int) -> None:
        packet.pts, packet.dts, packet.duration = moment, decoded, duration
        packet.time_base = track.time_base
        packet.stream = track.stream
        self._container.mux_one(packet)
        track.packets += 1
