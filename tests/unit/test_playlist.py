"""Live playlists over takes, and LiveKit's own that they are made of."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.domain.playlist import (
    ENTRY_BYTES,
    Part,
    count_of,
    has_ended,
    live_playlist,
    part_of,
    segments_in,
    window_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

# As recorded of a real worker that was killed.
OF_LIVEKIT = """#EXTM3U
#EXT-X-VERSION:4
#EXT-X-PLAYLIST-TYPE:EVENT
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PROGRAM-DATE-TIME:2026-11-26T04:49:00.876Z
#EXTINF:4.000,
seg_00000.ts
#EXT-X-PROGRAM-DATE-TIME:2026-11-26T04:49:04.876Z
#EXTINF:3.967,
seg_00001.ts
"""


def written(numbers: Sequence[int], seconds: float = 2.0, *, ended: bool = False) -> str:
    """Return a playlist as LiveKit writes it."""
    entries = [
        f"#EXT-X-PROGRAM-DATE-TIME:2026-11-26T04:49:00.876Z\n#EXTINF:{seconds:.3f},\nsegment_{number:05d}.ts\n"
        for number in numbers
    ]
    return "".join(["#EXTM3U\n#EXT-X-PLAYLIST-TYPE:EVENT\n", *entries, "#EXT-X-ENDLIST\n" * ended])


def show(parts: Sequence[Part], window: float = 1800.0, *, ended: bool = False) -> str:
    shown = window_of(parts, window)
    return live_playlist(
        parts,
        shown,
        [f"https://bucket/{each.take}/{each.segment.name}" for each in shown],
        target_seconds=3,
        hold_back_seconds=9,
        ended=ended,
    )


def value(text: str, tag: str) -> int:
    [found] = re.findall(rf"^#EXT-X-{tag}:(\d+)$", text, re.MULTILINE)
    return int(found)


def numbered(text: str) -> dict[int, str]:
    """Return what a player that reads this playlist takes for the segment of each number."""
    first = value(text, "MEDIA-SEQUENCE")
    return dict(enumerate((line for line in text.splitlines() if line.startswith("http")), first))


def seams(text: str) -> dict[str, int]:
    """Return the discontinuity number of each segment."""
    number = value(text, "DISCONTINUITY-SEQUENCE")
    found = {}
    for line in text.splitlines():
        number += line == "#EXT-X-DISCONTINUITY"
        if line.startswith("http"):
            found[line] = number
    return found


def test_segments_of_livekits_playlist() -> None:
    first, second = segments_in(OF_LIVEKIT)
    assert (first.number, first.name, first.seconds) == (0, "seg_00000.ts", 4.0)
    assert (second.number, second.began_at) == (1, datetime(2026, 11, 26, 4, 49, 4, 876_000, tzinfo=UTC))
    assert count_of([first, second]) == 2
    assert count_of([]) == 0
    assert has_ended(OF_LIVEKIT + "#EXT-X-ENDLIST\n")
    assert not has_ended(OF_LIVEKIT)
    assert not has_ended("")


def test_line_that_cannot_be_read_costs_its_segment_only() -> None:
    for strange in ("#EXTINF:nan,", "#EXTINF:,", "#EXTINF:-4,", "#EXTINF:inf,", "#EXTINF:four,", "seg_9.ts"):
        text = OF_LIVEKIT.replace("#EXTINF:4.000,", strange)
        assert [each.name for each in segments_in(text)] == ["seg_00001.ts"]
    assert segments_in(OF_LIVEKIT.replace("2026-11-26T04:49:00.876Z", "yesterday"))[0].began_at is None


def test_an_entry_is_shorter_than_is_reckoned_with() -> None:
    [entry] = re.findall(r"#EXT-X-PROGRAM.*segment_00000\.ts\n", written([0]), re.DOTALL)
    # Names have up to nine figures, and a segment that is cut late is shorter than it should be.
    assert len(entry) + 4 < ENTRY_BYTES * 0.75


def test_takes_are_joined_by_a_discontinuity() -> None:
    text = show([part_of(1, written([0]), 1), Part(2, 0), part_of(4, written([0]), None)], ended=True)
    assert text.splitlines()[-5:] == [
        "#EXT-X-DISCONTINUITY",
        "#EXT-X-PROGRAM-DATE-TIME:2026-11-26T04:49:00.876+00:00",
        "#EXTINF:2.000,",
        "https://bucket/4/segment_00000.ts",
        "#EXT-X-ENDLIST",
    ]
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1


@pytest.mark.parametrize(
    ("numbers", "count", "shown"),
    [
        ([0, 1, 2], None, [0, 1, 2]),
        # A worker that was given up has written more since.
        ([0, 1, 2], 2, [0, 1]),
        # The end of a longer one, and one in which a line was unreadable.
        ([7, 8, 9], None, [7, 8, 9]),
        ([4, 5, 7, 8], None, [7, 8]),
        # Segments that count are not there any more, or not in the part that was read.
        ([], 5, []),
        ([0, 1], 5, []),
        ([7, 8, 9], 3, []),
    ],
)
def test_what_a_take_gives(numbers: list[int], count: int | None, shown: list[int]) -> None:
    part = part_of(1, written(numbers), count)
    assert [each.number for each in part.segments] == shown
    assert part.segment_count == (count if count is not None else numbers[-1] + 1)


def test_nothing_is_shown_beyond_a_take_whose_segments_are_gone() -> None:
    parts = [part_of(1, written([0, 1]), 2), Part(2, 3), part_of(3, written([0]), None)]
    text = show(parts)
    assert numbered(text) == {5: "https://bucket/3/segment_00000.ts"}
    assert value(text, "DISCONTINUITY-SEQUENCE") == 1
    gone = show([Part(1, 2), Part(2, 3)])
    assert (value(gone, "MEDIA-SEQUENCE"), value(gone, "DISCONTINUITY-SEQUENCE")) == (5, 1)
    assert value(show([]), "MEDIA-SEQUENCE") == 0


def test_the_longest_segment_counts_once_it_is_longer_than_expected() -> None:
    assert value(show([part_of(1, written([0], 2.4), None)]), "TARGETDURATION") == 3
    assert value(show([part_of(1, written([0], 4.6), None)]), "TARGETDURATION") == 5


@dataclass
class Player:
    """Polls a playlist as a player does, and holds each answer to those before."""

    known: dict[int, str] = field(default_factory=dict)
    of_seam: dict[str, int] = field(default_factory=dict)
    first: tuple[int, int] = (0, 0)

    def poll(self, text: str) -> None:
        now, shown = numbered(text), seams(text)
        assert all(self.known.get(number, url) == url for number, url in now.items())
        assert all(self.of_seam.get(url, seam) == seam for url, seam in shown.items())
        self.known |= now
        self.of_seam |= shown
        first = (value(text, "MEDIA-SEQUENCE"), value(text, "DISCONTINUITY-SEQUENCE"))
        assert first >= self.first
        assert first[1] >= self.first[1]
        self.first = first


@dataclass
class History:
    """A recording's takes as they are written: the playlist of each, and how much of it counts once it has ended."""

    written: list[list[int]] = field(default_factory=list)
    counts: list[int | None] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    def begin(self) -> None:
        if self.written:
            self.counts[-1] = len(self.written[-1])
        self.written.append([])
        self.counts.append(None)

    def parts(self, last: int) -> list[Part]:
        """Return what is read: the last segments of each playlist, of which some are gone."""
        return [
            part_of(take, written([] if take in self.gone else numbers[-last:]), count)
            for take, (numbers, count) in enumerate(zip(self.written, self.counts, strict=True))
        ]


STEPS = st.lists(st.sampled_from(["segment", "segment", "segment", "late", "begin", "remove"]), max_size=60)


@given(steps=STEPS, window=st.sampled_from([4.0, 9.0, 100.0]), last=st.sampled_from([3, 60]))
def test_t95_numbers_never_go_back_and_each_segment_keeps_its_own(
    steps: list[str], window: float, last: int
) -> None:
    """A history that fails is printed, with what reproduces it."""
    history, player, recorded = History(), Player(), 0
    history.begin()
    for step in steps:
        match step:
            case "begin":
                history.begin()
            case "late":
                # A worker that was given up writes on: nothing of it counts any more.
                take = max(0, len(history.written) - 2)
                if history.counts[take] is not None:
                    history.written[take].append(len(history.written[take]))
            case "remove":
                # The lifecycle of the bucket takes the oldest first.
                ended = [take for take, count in enumerate(history.counts) if count is not None]
                history.gone |= set(ended[: len(history.gone) + 1])
            case _:
                history.written[-1].append(len(history.written[-1]))
                recorded += 1
        player.poll(show(history.parts(last), window))
    assert len(player.known) == recorded
