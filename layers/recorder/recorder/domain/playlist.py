"""HLS playlists: LiveKit's own of each take, and the live one that the product makes of them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate, pairwise
from typing import Final, NamedTuple

ENTRY_BYTES: Final = 128
"""The most that one segment takes of a playlist of LiveKit: its time, its length and its name are some 85 bytes."""

ENDED: Final = "#EXT-X-ENDLIST"
"""The line of a playlist to which no segment is added any more."""
_DURATION: Final = "#EXTINF:"
_BEGAN: Final = "#EXT-X-PROGRAM-DATE-TIME:"
_NUMBER: Final = r"_([0-9]{5,9})\.ts"


class Segment(NamedTuple):
    """One segment as a playlist of LiveKit names it."""

    number: int
    """Its place among the segments of its take, from 0: LiveKit puts it into the name."""
    name: str
    """Its file name: it lies in the playlist's folder."""
    seconds: float
    began_at: datetime | None = None
    """Wall-clock time of its first frame."""


def segments_in(playlist: str) -> list[Segment]:
    """Return the segments of a playlist that LiveKit wrote, or of the end of one, in order.

    A line that cannot be read costs its segment only.
    """
    segments: list[Segment] = []
    seconds, began_at = 0.0, None
    for line in playlist.splitlines():
        if line.startswith(_DURATION):
            seconds = _seconds(line.removeprefix(_DURATION))
        elif line.startswith(_BEGAN):
            began_at = _time(line.removeprefix(_BEGAN))
        elif line and not line.startswith("#"):
            name = line.rpartition("/")[2]
            numbered = re.search(_NUMBER, name)
            if seconds > 0 and numbered is not None and numbered.end() == len(name):
                segments.append(Segment(int(numbered[1]), name, seconds, began_at))
            seconds, began_at = 0.0, None
    return segments


def count_of(segments: Sequence[Segment]) -> int:
    """Return how many segments a take has, by the last one that its playlist names."""
    return segments[-1].number + 1 if segments else 0


def has_ended(playlist: str) -> bool:
    """Tell whether a playlist that LiveKit wrote grows no more."""
    return any(line == ENDED for line in playlist.splitlines()[-2:])


def _seconds(text: str) -> float:
    try:
        seconds = float(text.partition(",")[0])
    except ValueError:
        return 0.0
    return seconds if 0 < seconds < float("inf") else 0.0


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    return time.astimezone(UTC) if time.tzinfo is not None else None


class Part(NamedTuple):
    """The segments of a take in the live playlist."""

    take: int
    segment_count: int
    """How many segments it has in all. It must not change once a later take has one."""
    segments: Sequence[Segment] = ()
    """Its last ones without a gap, up to the last of all; none where they are not needed, or not there any more."""


def part_of(take: int, playlist: str, count: int | None) -> Part:
    """Return what a take gives by the end of its playlist; `count` is how many of its segments count, once fixed."""
    segments = segments_in(playlist)
    if count is None:
        count = count_of(segments)
    segments = [each for each in segments if each.number < count]
    if count_of(segments) < count:
        return Part(take, count)
    gaps = [
        index for index, (one, other) in enumerate(pairwise(segments), 1) if other.number != one.number + 1
    ]
    return Part(take, count, segments[gaps[-1] :] if gaps else segments)


class Shown(NamedTuple):
    """A segment in the window of the live playlist."""

    number: int
    """Its media sequence number: its place among all segments of the recording, from 0."""
    take: int
    segment: Segment


def window_of(parts: Sequence[Part], seconds: float) -> list[Shown]:
    """Return the last segments that last so long together, and the last one in any case, oldest first."""
    shown: list[Shown] = []
    for part, base in reversed(list(zip(parts, _bases(parts), strict=True))):
        for segment in reversed(part.segments):
            if shown and segment.seconds > seconds:
                return shown[::-1]
            seconds -= segment.seconds
            shown.append(Shown(base + segment.number, part.take, segment))
        if part.segment_count and not (part.segments and part.segments[0].number == 0):
            break
    return shown[::-1]


def live_playlist(
    parts: Sequence[Part],
    shown: Sequence[Shown],
    urls: Sequence[str],
    *,
    target_seconds: int,
    hold_back_seconds: float,
    ended: bool,
) -> str:
    """Return one playlist over all takes, with a discontinuity between them.

    `parts` are the takes in order, `shown` is their window and `urls` has the address of each segment in it.
    `target_seconds` is the longest segment to expect, the same at each call. A player stays `hold_back_seconds` behind
    the end.
    """
    # The first segment of all begins without a discontinuity; one counts as passed once it leaves the window.
    seams = [base for part, base in zip(parts, _bases(parts), strict=True) if part.segment_count][1:]
    first = shown[0].number if shown else sum(part.segment_count for part in parts)
    longest = max((int(each.segment.seconds + 0.5) for each in shown), default=0)
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:6",
        f"#EXT-X-TARGETDURATION:{max(target_seconds, longest)}",
        f"#EXT-X-MEDIA-SEQUENCE:{first}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{sum(seam < first for seam in seams)}",
        f"#EXT-X-SERVER-CONTROL:HOLD-BACK={hold_back_seconds:.1f}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    for each, url in zip(shown, urls, strict=True):
        if each.number in seams:
            lines.append("#EXT-X-DISCONTINUITY")
        if each.segment.began_at is not None:
            lines.append(f"{_BEGAN}{each.segment.began_at.isoformat(timespec='milliseconds')}")
        lines += [f"{_DURATION}{each.segment.seconds:.3f},", url]
    if ended:
        lines.append(ENDED)
    return "\n".join([*lines, ""])


def _bases(parts: Sequence[Part]) -> list[int]:
    return list(accumulate((part.segment_count for part in parts[:-1]), initial=0)) if parts else []
