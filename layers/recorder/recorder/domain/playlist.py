"""HLS playlists: LiveKit's own of each take, and the live one that the product makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ENDED: Final = "#EXT-X-ENDLIST"
"""The line of a playlist to which no segment is added any more."""
_DURATION: Final = "#EXTINF:"
_BEGAN: Final = "#EXT-X-PROGRAM-DATE-TIME:"


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment as a playlist of LiveKit names it."""

    name: str
    """Its file name: it lies in the playlist's folder."""
    seconds: float
    began_at: datetime | None = None
    """Wall-clock time of its first frame."""


def segments_in(playlist: str) -> list[Segment]:
    """Return the segments of a playlist that LiveKit wrote, in order.

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
            if seconds > 0:
                segments.append(Segment(line.rpartition("/")[2], seconds, began_at))
            seconds, began_at = 0.0, None
    return segments


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


def live_playlist(
    takes: Sequence[Sequence[Segment]],
    url: Callable[[int, str], str],
    *,
    window_seconds: float,
    target_seconds: int,
    ended: bool,
) -> str:
    """Return one playlist over all takes: their last `window_seconds`, with a discontinuity between takes.

    `takes` holds the segments of each take in order. The number of a take's segments must not change once a later
    take has one: sequence numbers count from the recording's first segment. `url` makes the address of a segment of
    its take's position and its name. `target_seconds` is the longest segment to expect, the same at each call.
    """
    placed = [
        (position, segment, index == 0)
        for position, segments in enumerate(takes)
        for index, segment in enumerate(segments)
    ]
    dropped, left = 0, sum(segment.seconds for _, segment, _ in placed)
    while dropped < len(placed) - 1 and left > window_seconds:
        left -= placed[dropped][1].seconds
        dropped += 1
    # The first segment of all begins without one; a discontinuity counts as passed once it leaves the window.
    seams = [number for number, (_, _, first) in enumerate(placed) if first and number]
    shown = placed[dropped:]
    lines = [
        "#EXTM3U",
        "#EXT-X-VERSION:6",
        f"#EXT-X-TARGETDURATION:{max([target_seconds, *(ceil(each.seconds) for _, each, _ in placed)])}",
        f"#EXT-X-MEDIA-SEQUENCE:{dropped}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{sum(seam < dropped for seam in seams)}",
        "#EXT-X-INDEPENDENT-SEGMENTS",
    ]
    for number, (position, segment, _) in enumerate(shown, dropped):
        if number in seams:
            lines.append("#EXT-X-DISCONTINUITY")
        if segment.began_at is not None:
            lines.append(f"{_BEGAN}{segment.began_at.isoformat(timespec='milliseconds')}")
        lines += [f"{_DURATION}{segment.seconds:.3f},", url(position, segment.name)]
    if ended:
        lines.append(ENDED)
    return "\n".join([*lines, ""])
