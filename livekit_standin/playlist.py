"""HLS playlists as the worker writes them."""

from collections import deque
from time import gmtime, strftime

from livekit_standin.timing import SECOND

_WINDOW = 5


class Playlist:
    """A playlist that grows: of all segments, or `live` a window of the last ones."""

    def __init__(self, target: int, *, live: bool) -> None:
        self._live = live
        self._entries: deque[str] = deque()
        self._sequence = 0
        kind = "" if live else "#EXT-X-PLAYLIST-TYPE:EVENT\n"
        self._header = (
            f"#EXTM3U\n#EXT-X-VERSION:4\n{kind}#EXT-X-ALLOW-CACHE:NO\n"
            f"#EXT-X-TARGETDURATION:{target // SECOND}\n"
        )

    def append(self, begun_at: int, duration: int, name: str) -> None:
        """Add a segment that begun at a time (ns) of the worker's clock."""
        self._entries.append(
            f"#EXT-X-PROGRAM-DATE-TIME:{date_time(begun_at // 1_000_000)}\n"
            f"#EXTINF:{duration / SECOND:.3f},\n{name}\n"
        )
        if self._live and len(self._entries) > _WINDOW:
            self._entries.popleft()
            self._sequence += 1

    def text(self, *, ended: bool) -> bytes:
        """Write it; one that has ended grows no more."""
        sequence = f"#EXT-X-MEDIA-SEQUENCE:{self._sequence}\n"
        end = "#EXT-X-ENDLIST\n" if ended else ""
        return (self._header + sequence + "".join(self._entries) + end).encode()


def date_time(milliseconds: int) -> str:
    """Write a Unix time as RFC 3339, without zeros at the end of its fraction."""
    fraction = f".{milliseconds % 1000:03d}".rstrip("0").rstrip(".")
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(milliseconds // 1000)) + fraction + "Z"
