"""The values of joining: takes and their parts, where parts are read and the result goes, and what can go wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

_SEGMENT: Final = re.compile(r"_(\d+)\.ts$")


class Objects(Protocol):
    """Objects that can be read in pieces. Several threads call it at once."""

    def read(self, key: str, start: int, length: int) -> bytes:
        """Return the `length` bytes of an object from `start` on.

        Joining and verifying let its errors pass through as they are.
        """


class Upload(Protocol):
    """One object that is written in parts, as S3 has them.

    The parts come in no order and from several threads at once, numbered from 1 on and at most 10,000. Each but the
    last has at least 5 MiB; they are not all of one size. Errors pass through `join` as they are.
    """

    def create(self) -> None:
        """Begin; called once, first."""

    def upload_part(self, number: int, content: bytes) -> None:
        """Store one part."""

    def complete(self) -> None:
        """Make one object of the parts, in the order of their numbers."""

    def abort(self) -> None:
        """Forget the parts; called once where something failed, in place of `complete`."""


@dataclass(frozen=True)
class Part:
    """One object that holds media, of `size` bytes."""

    key: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Take:
    """One take, with its segments, its file, or both. `number` is the take's own."""

    number: int
    segments: tuple[Part, ...] = ()
    """In the order of their numbers, as `segments_in` gives them."""
    file: Part | None = None
    ends_early: bool = False
    """Its last segments are known to be missing."""
    most_seconds: float | None = None
    """Seconds after its beginning, from which on its media is left out; None leaves out nothing."""

    @property
    def is_whole(self) -> bool:
        """Whether no segment is missing, as far as is known, and none is empty."""
        numbers = [segment_number(each.key) for each in self.segments if each.size]
        return bool(numbers) and numbers == list(range(len(numbers))) and not self.ends_early


def segment_number(key: str) -> int | None:
    """Return the number in the key of an MPEG-TS segment, as in `…/segment_00012.ts`; None if it is no segment."""
    found = _SEGMENT.search(key)
    return int(found[1]) if found else None


def segments_in(listing: Iterable[Part]) -> tuple[Part, ...]:
    """Return the segments among the objects of a take's folder, in the order of their numbers."""
    numbered = [(number, each) for each in listing if (number := segment_number(each.key)) is not None]
    return tuple(each for _, each in sorted(numbered, key=lambda pair: pair[0]))


class Kind(StrEnum):
    """The two kinds of streams."""

    VIDEO = "video"
    AUDIO = "audio"


class Reason(StrEnum):
    """Why takes cannot become one file, so that the recording is completed in parts."""

    NOTHING_RECORDED = "nothing_recorded"
    UNSUPPORTED_CODEC = "unsupported_codec"
    AUDIO_CODEC_CHANGES = "audio_codec_changes"
    SAMPLE_RATE_CHANGES = "sample_rate_changes"
    STREAM_APPEARS = "stream_appears"


class JoiningError(Exception):
    """Takes were not joined."""


class CannotJoinError(JoiningError):
    """The takes cannot become one file that plays everywhere: they stay in parts. Trying again changes nothing."""

    def __init__(self, reason: Reason, text: str) -> None:
        """Take the reason, and a sentence that names the take."""
        super().__init__(text)
        self.reason = reason


class UnreadableError(JoiningError):
    """A part cannot be read as media: cut, empty or something else."""

    def __init__(self, key: str, text: str) -> None:
        """Take the part's key, and a sentence."""
        super().__init__(f"{key}: {text}")
        self.key = key


class VerificationError(JoiningError):
    """The joined file is not what it has to be. Its parts must stay."""
