"""Live playlists over takes, and LiveKit's own that they are made of."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from recorder.domain.playlist import Segment, live_playlist, segments_in

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


def show(takes: list[list[Segment]], window: float = 1800.0, *, ended: bool = False) -> str:
    return live_playlist(
        takes,
        lambda take, name: f"https://bucket/{take}/{name}",
        window_seconds=window,
        target_seconds=4,
        ended=ended,
    )


def numbered(text: str) -> dict[int, str]:
    """Return what a player that reads this playlist takes for the segment of each number."""
    first = int(re.findall(r"#EXT-X-MEDIA-SEQUENCE:(\d+)", text)[0])
    return dict(enumerate((line for line in text.splitlines() if line.startswith("http")), first))


def seams(text: str) -> dict[str, int]:
    """Return the discontinuity number of each segment."""
    number = int(re.findall(r"#EXT-X-DISCONTINUITY-SEQUENCE:(\d+)", text)[0])
    found = {}
    for line in text.splitlines():
        number += line == "#EXT-X-DISCONTINUITY"
        if line.startswith("http"):
            found[line] = number
    return found


def test_segments_of_livekits_playlist() -> None:
    first, second = segments_in(OF_LIVEKIT)
    assert (first.name, first.seconds) == ("seg_00000.ts", 4.0)
    assert second.began_at == datetime(2026, 11, 26, 4, 49, 4, 876_000, tzinfo=UTC)


def test_line_that_cannot_be_read_costs_its_segment_only() -> None:
    for strange in ("#EXTINF:nan,", "#EXTINF:,", "#EXTINF:-4,", "#EXTINF:inf,", "#EXTINF:four,", "seg_9.ts"):
        text = OF_LIVEKIT.replace("#EXTINF:4.000,", strange)
        assert [each.name for each in segments_in(text)][-1:] == ["seg_00001.ts"]
        assert len(segments_in(text)) == 1
    assert segments_in(OF_LIVEKIT.replace("2026-11-26T04:49:00.876Z", "yesterday"))[0].began_at is None


def test_takes_are_joined_by_a_discontinuity() -> None:
    text = show([[Segment("a.ts", 2.0)], [], [Segment("b.ts", 2.0)]], ended=True)
    assert text.splitlines()[-4:] == [
        "#EXT-X-DISCONTINUITY",
        "#EXTINF:2.000,",
        "https://bucket/2/b.ts",
        "#EXT-X-ENDLIST",
    ]
    assert text.count("#EXT-X-DISCONTINUITY\n") == 1


lengths = st.lists(st.integers(0, 5), min_size=1, max_size=5)


@given(lengths=lengths, window=st.sampled_from([4.0, 9.0, 100.0]))
def test_t95_numbers_never_go_back_and_each_segment_keeps_its_own(lengths: list[int], window: float) -> None:
    takes: list[list[Segment]] = []
    known: dict[int, str] = {}
    of_seam: dict[str, int] = {}
    last = (0, 0)
    for take, length in enumerate(lengths):
        takes.append([])
        for number in range(length):
            takes[-1].append(Segment(f"{take}-{number}.ts", 2.0))
            text = show(takes, window)
            now = numbered(text)
            assert all(known.get(each, url) == url for each, url in now.items())
            known |= now
            shown = seams(text)
            assert all(of_seam.get(url, seam) == seam for url, seam in shown.items())
            of_seam |= shown
            first = (min(now), min(shown.values()))
            assert first >= last
            last = first
    assert len(known) == sum(lengths)
