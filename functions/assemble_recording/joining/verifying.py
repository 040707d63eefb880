"""Verifies a joined file as its players will read it: from the place where it lies, in pieces."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import av
from av.error import FFmpegError

from .media import STRICTLY, StreamFacts, facts_of, open_file, streams_of, time
from .reading import READERS
from .values import JoiningError, Kind, VerificationError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.container import InputContainer

    from .joining import Joined, JoinedTake
    from .values import Objects, Part

_BOXES: Final = (b"ftyp", b"moov", b"mdat")
_MOST_BOXES: Final = 8
_BOX_HEADER: Final = 16
_TOLERANCE: Final = 0.1
"""Seconds that a length may differ beside a picture's, for each seam in it: frames of sound have a length too."""
_AFTER_SEAM: Final = 1.0
"""Seconds that are decoded behind a seam."""
_OTHER_SEAMS: Final = 100
"""Seams within takes that are looked at, of which a take with holes may have thousands."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """The content of a joined file, read from the file itself."""

    size: int
    seconds: float
    streams: Mapping[Kind, StreamFacts]


def verify(objects: Objects, file: Part, joined: Joined) -> Verified:
    """Hold a joined file against what `join` put into it.

    Its index has to come first, and all of it has to be there; its streams, the number of their packets and its
    length have to be those of the takes; and around each seam everything has to decode.

    Raises VerificationError where that is not so, and what `objects` raises.
    """
    _check_layout(objects, file, joined)
    for take in joined.takes:
        _check_take(take, joined)
    try:
        with ThreadPoolExecutor(READERS) as pool, open_file(objects, file, pool) as container:
            verified = _check_streams(container, file, joined)
            for seam in _seams(joined):
                _check_seam(container, seam)
    except JoiningError as error:
        raise VerificationError(str(error)) from error
    return verified


def _check_layout(objects: Objects, file: Part, joined: Joined) -> None:
    _require(file.size == joined.size, f"it has {file.size} bytes, not {joined.size}")
    kinds: list[bytes] = []
    position = 0
    while position < file.size and len(kinds) < _MOST_BOXES:
        header = objects.read(file.key, position, min(_BOX_HEADER, file.size - position))
        length, kind = int.from_bytes(header[:4]), header[4:8]
        kinds.append(kind)
        position += int.from_bytes(header[8:]) if length == 1 else max(length, 8)
    _require(position == file.size, "its boxes do not end where it ends")
    _require(tuple(kind for kind in kinds if kind != b"free") == _BOXES, f"its boxes are {kinds}")


def _check_take(take: JoinedTake, joined: Joined) -> None:
    ends_at = take.begins_at + take.seconds
    seams = sum(take.begins_at <= seam < ends_at for seam in joined.seams)
    difference = abs(take.seconds - take.recorded_seconds)
    _require(
        difference <= (_TOLERANCE + joined.longest_interval) * max(seams, 1),
        f"take {take.number} has {take.seconds:.2f} s of {take.recorded_seconds:.2f} s",
    )


def _check_streams(container: InputContainer, file: Part, joined: Joined) -> Verified:
    streams = streams_of(container)
    facts = {kind: facts_of(stream) for kind, stream in streams.items()}
    codecs = {kind: each.codec for kind, each in facts.items()}
    expected = {kind: each.codec for kind, each in joined.streams.items()}
    _require(codecs == expected, f"it holds {codecs}, not {expected}")
    for kind, stream in streams.items():
        count = joined.packets[kind]
        _require(stream.frames == count, f"it has {stream.frames} packets of {kind}, not {count}")
    seconds = (container.duration or 0) / av.time_base
    difference = abs(seconds - joined.seconds)
    _require(
        difference <= _TOLERANCE + joined.longest_interval,
        f"it is {seconds:.2f} s long, not {joined.seconds:.2f} s",
    )
    return Verified(size=file.size, seconds=seconds, streams=facts)


def _seams(joined: Joined) -> list[float]:
    others = joined.seams[:: len(joined.seams) // _OTHER_SEAMS + 1]
    return sorted({*(take.begins_at for take in joined.takes), *others, joined.seconds})


def _check_seam(container: InputContainer, seam: float) -> None:
    streams = streams_of(container)
    for stream in streams.values():
        stream.codec_context.options = STRICTLY
    container.seek(max(0, int(seam * av.time_base) - 1))
    packets = frames = 0
    try:
        for packet in container.demux(*streams.values()):
            if packet.size and time(packet) * packet.time_base > seam + _AFTER_SEAM:
                break
            packets += packet.size > 0
            frames += len(packet.decode())
        frames += sum(len(stream.codec_context.decode(None)) for stream in streams.values())
    except EOFError:
        # The last packets, which are empty, have had the decoders give all that they held.
        pass
    except FFmpegError as error:
        raise VerificationError(f"it does not decode at {seam:.2f} s: {error.strerror}") from error
    _require(0 < packets == frames, f"of {packets} packets at {seam:.2f} s, {frames} decode")


def _require(condition: bool, otherwise: str) -> None:  # noqa: FBT001 - as an assertion reads
    if not condition:
        raise VerificationError(otherwise)
