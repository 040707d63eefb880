"""Opens parts with FFmpeg and gives their packets in one form, whatever holds them.

In that form a picture has start codes, and each key frame its parameter sets, in band and as side data; AAC has no
headers, as in MP4. Times are ticks of a 90,000th of a second, as in MPEG-TS.
"""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, Final

import av
from av.audio.stream import AudioStream
from av.bitstream import BitStreamFilterContext
from av.codec import CodecContext
from av.error import FFmpegError
from av.packet import Packet, PacketSideData, packet_sidedata_type_from_literal
from av.rational import AVRational
from av.stream import Stream
from av.video.stream import VideoStream

from .reading import Contents, ObjectFile
from .values import CannotJoinError, Kind, Reason, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Executor

    from av.container import InputContainer

    from .values import Objects, Part

TICKS: Final = 90_000
TICK: Final = AVRational(1, TICKS)

type MediaStream = VideoStream | AudioStream
type AnyPacket = Packet[Stream]
type KindAndPacket = tuple[Kind, AnyPacket]
type _Filter = Callable[[AnyPacket], list[AnyPacket]]

_CODECS: Final = {Kind.VIDEO: frozenset({"h264"}), Kind.AUDIO: frozenset({"aac", "opus"})}
_SEGMENT_BUFFER: Final = 2 * 2**20
"""As much as most segments have: what is read as a whole is not copied once more."""
_FILE_BUFFER: Final = 256 * 1024
# FFmpeg need not decode a picture to know a stream, which a segment of two seconds would otherwise mostly cost. It has
# to see the beginning of each stream, wherever in the segment that is.
_SEGMENT_OPTIONS: Final = {
    "codec_whitelist": "aac",
    "threads": "1",
    "analyzeduration": "60000000",
    "probesize": "100000000",
}
_FILE_OPTIONS: Final = {"skip_frame": "all", "threads": "1"}
_LONGEST_HEAD: Final = 1000
_SHORTEST_HEAD: Final = 20
"""Packets of a file that are read before it is placed: in so many each of its streams has begun."""
_USUAL_INTERVAL: Final = TICKS // 30
_CUT: Final = TICKS // 2
"""A file that ends by more than this before the end that it names is cut."""
_ADTS_HEADER: Final = 7
STRICTLY: Final = {"err_detect": "explode", "skip_loop_filter": "all", "threads": "1"}
"""How a decoder fails at what is damaged; nobody looks at its pictures."""
TRANSPORT_PACKET: Final = 188


@dataclass(frozen=True, kw_only=True)
class StreamFacts:
    """A stream of one take. What its kind does not have is 0, or empty."""

    codec: str
    width: int = 0
    height: int = 0
    rate: int = 0
    """Samples a second."""
    layout: str = ""
    """Of its channels, as in `stereo`."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """The media of one part: all packets of a segment are in `head`; of a file the first ones, and `rest` reads on."""

    key: str
    streams: Mapping[Kind, StreamFacts]
    head: list[KindAndPacket]
    is_cut: bool = False
    """Whether it ends within a packet of MPEG-TS."""
    rest: Iterable[KindAndPacket] = ()

    @property
    def packets(self) -> Iterator[KindAndPacket]:
        """All packets, once."""
        return chain(self.head, self.rest)

    @cached_property
    def starts(self) -> dict[Kind, int]:
        """The first moment of each stream."""
        times = {kind: [time(packet) for packet in self.of(kind)] for kind in self.streams}
        return {kind: min(each) for kind, each in times.items() if each}

    @cached_property
    def ends(self) -> dict[Kind, int]:
        """The moment after the last one of each stream of a segment."""
        pictures = [time(packet) + self.interval for packet in self.of(Kind.VIDEO)]
        sounds = [time(packet) + (packet.duration or 0) for packet in self.of(Kind.AUDIO)]
        ends = {Kind.VIDEO: pictures, Kind.AUDIO: sounds}
        return {kind: max(each) for kind, each in ends.items() if each}

    @cached_property
    def interval(self) -> int:
        """The usual time between two pictures, at most a second."""
        times = [packet.dts or 0 for packet in self.of(Kind.VIDEO)]
        return min(_usual(later - earlier for earlier, later in pairwise(times)) or _USUAL_INTERVAL, TICKS)

    @property
    def frame(self) -> int:
        """The length of a packet of sound; 0 without sound. In a file, one before a hole is said to be longer."""
        return _usual(packet.duration or 0 for packet in self.of(Kind.AUDIO))

    @property
    def delay(self) -> int:
        """How long before its moment the first picture is decoded: pictures may be stored out of order."""
        return next((time(each) - (each.dts or 0) for each in self.of(Kind.VIDEO)), 0)

    @property
    def is_continuous(self) -> bool:
        """Tell whether not one packet is missing. Sound shows it best: pictures may come at any time."""
        sounds = self.of(Kind.AUDIO)
        if sounds:
            times = [(time(packet), packet.duration or 0) for packet in sounds]
        else:
            times = [(packet.dts or 0, self.interval) for packet in self.of(Kind.VIDEO)]
        return not any(packet.is_corrupt for packet in sounds) and all(
            abs(begin - earlier - length) <= length // 2 for (earlier, length), (begin, _) in pairwise(times)
        )

    def of(self, kind: Kind) -> list[AnyPacket]:
        """Return the packets of a stream in `head`."""
        return [packet for each, packet in self.head if each is kind]


def _usual(lengths: Iterable[int]) -> int:
    counted = Counter(length for length in lengths if length > 0)
    return counted.most_common(1)[0][0] if counted else 0


def time(packet: AnyPacket) -> int:
    """Return the moment of a packet, which each has."""
    return packet.pts or 0


@contextmanager
def open_segment(key: str, *contents: bytes) -> Iterator[InputContainer]:
    """Open an MPEG-TS segment, or several that follow each other as one. Raises UnreadableError."""
    with _unreadable(key):
        container = av.open(Contents(contents), "r", "mpegts", _SEGMENT_OPTIONS, buffer_size=_SEGMENT_BUFFER)
    with container:
        yield container


@contextmanager
def open_file(objects: Objects, part: Part, pool: Executor) -> Iterator[InputContainer]:
    """Open a file of any container. Raises UnreadableError, and what `objects` raises."""
    with _unreadable(part.key):
        container = av.open(
            ObjectFile(objects, part, pool), "r", None, _FILE_OPTIONS, buffer_size=_FILE_BUFFER
        )
    with container:
        yield container


def streams_of(container: InputContainer) -> dict[Kind, MediaStream]:
    """Return the first stream of each kind. Raises CannotJoinError for a codec that no joined file has."""
    streams: dict[Kind, MediaStream] = {}
    for stream in container.streams:
        if isinstance(stream, VideoStream | AudioStream):
            kind = Kind(stream.type)
            if stream.codec_context.name not in _CODECS[kind]:
                text = f"its {kind} is {stream.codec_context.name}"
                raise CannotJoinError(Reason.UNSUPPORTED_CODEC, text)
            streams.setdefault(kind, stream)
    return streams


def segment_content(key: str, container: InputContainer) -> Content:
    """Read all of a segment. Of one that is cut, the last picture may be there in part, and the last sound is not."""
    streams = streams_of(container)
    filters = {stream.index: (kind, _segment_filter(stream)) for kind, stream in streams.items()}
    with _unreadable(key):
        head = list(_filtered(container, streams.values(), filters))
    return Content(
        key=key,
        streams={kind: facts_of(stream) for kind, stream in streams.items()},
        head=head,
        is_cut=bool((container.size or 0) % TRANSPORT_PACKET),
    )


def file_content(key: str, container: InputContainer) -> Content:
    """Begin to read a file. Its packets raise UnreadableError where it is cut, and what its `objects` raises."""
    streams = streams_of(container)
    filters = {stream.index: (kind, _file_filter(stream)) for kind, stream in streams.items()}
    with _unreadable(key):
        packets = _whole(key, container, _filtered(container, streams.values(), filters))
        head: list[KindAndPacket] = []
        begun: set[Kind] = set()
        for kind, packet in islice(packets, _LONGEST_HEAD):
            head.append((kind, packet))
            begun.add(kind)
            if len(head) >= _SHORTEST_HEAD and len(begun) == len(streams):
                break
    return Content(
        key=key, streams={kind: facts_of(stream) for kind, stream in streams.items()}, head=head, rest=packets
    )


def is_intact(pictures: Sequence[AnyPacket]) -> bool:
    """Tell whether the last of some pictures, of which the first is a key frame, is there as a whole."""
    decoder = CodecContext.create("h264", "r")
    decoder.options = STRICTLY
    try:
        return not any(frame.is_corrupt for packet in (*pictures, None) for frame in decoder.decode(packet))
    except FFmpegError:
        return False


def _filtered(
    container: InputContainer,
    streams: Iterable[MediaStream],
    filters: Mapping[int, tuple[Kind, _Filter]],
) -> Iterator[KindAndPacket]:
    for packet in container.demux(*streams):
        # The last packet of each stream is an empty one. A packet without its moment is damaged.
        if packet.size and packet.pts is not None and packet.dts is not None:
            kind, normal = filters[packet.stream_index]
            for each in normal(packet):
                yield kind, each


def _segment_filter(stream: MediaStream) -> _Filter:
    if isinstance(stream, VideoStream):
        parameters = BitStreamFilterContext("extract_extradata", stream)
        return lambda packet: parameters.filter(packet) if packet.is_keyframe else [packet]
    if stream.codec_context.name != "aac":
        return lambda packet: [packet]
    headerless = BitStreamFilterContext("aac_adtstoasc", stream)

    def without_header(packet: AnyPacket) -> list[AnyPacket]:
        # Where a segment is cut, the remains of two packets may look like one.
        with suppress(FFmpegError):
            return headerless.filter(packet) if _is_whole_adts(packet) else []
        return []

    return without_header


def _file_filter(stream: MediaStream) -> _Filter:
    if isinstance(stream, VideoStream):
        pictures = BitStreamFilterContext("h264_mp4toannexb,extract_extradata", stream)
        return lambda packet: pictures.filter(_in_ticks(packet))
    parameters = [stream.codec_context.extradata]

    def first_with_parameters(packet: AnyPacket) -> list[AnyPacket]:
        if parameters:
            add_parameters(packet, parameters.pop() or b"")
        return [_in_ticks(packet)]

    return first_with_parameters


def _in_ticks(packet: AnyPacket) -> AnyPacket:
    packet.rescale_ts(TICK)
    return packet


def add_parameters(packet: AnyPacket, parameters: bytes) -> None:
    """Tell with a packet how its stream has to be decoded from there on."""
    # The constructor is missing in PyAV's types only.
    data = PacketSideData(packet_sidedata_type_from_literal("new_extradata"), len(parameters))  # type: ignore[call-arg]
    data.update(parameters)
    data.to_packet(packet, move=True)


def _whole(key: str, container: InputContainer, packets: Iterator[KindAndPacket]) -> Iterator[KindAndPacket]:
    end = 0
    with _unreadable(key):
        for kind, packet in packets:
            if packet.is_corrupt:
                raise UnreadableError(key, "is cut in the middle of a packet")
            end = max(end, time(packet) + (packet.duration or 0))
            yield kind, packet
    named = (container.duration or 0) * TICKS // av.time_base
    if end < named - _CUT:
        raise UnreadableError(key, f"ends at {end / TICKS:.1f} s of {named / TICKS:.1f} s")


def _is_whole_adts(packet: AnyPacket) -> bool:
    header = bytes(memoryview(packet)[:_ADTS_HEADER])
    return len(header) == _ADTS_HEADER and packet.size == (
        (header[3] & 0b11) << 11 | header[4] << 3 | header[5] >> 5
    )


def facts_of(stream: MediaStream) -> StreamFacts:
    """Return what is the same in all of a stream."""
    if isinstance(stream, VideoStream):
        return StreamFacts(codec=stream.codec_context.name, width=stream.width, height=stream.height)
    return StreamFacts(codec=stream.codec_context.name, rate=stream.rate, layout=stream.layout.name)


@contextmanager
def _unreadable(key: str) -> Iterator[None]:
    try:
        yield
    except FFmpegError as error:
        raise UnreadableError(key, f"is no media that can be read ({error.strerror})") from error
