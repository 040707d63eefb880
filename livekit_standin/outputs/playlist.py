"""HLS playlists as the worker writes them."""

from collections import deque
from time import gmtime, strftime

from livekit_standin.timing import SECOND

_WINDOW = 5
_END = b"#EXT-X-ENDLIST\n"


class Playlist:
    """All segments of an egress."""

    def __init__(self, target: int) -> None:
        self._text = bytearray(
            "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-ALLOW-CACHE:NO\n"
            f"#EXT-X-TARGETDURATION:{target // SECOND}\n#EXT-X-MEDIA-SEQUENCE:0\n".encode()
        )

    def append(self, entry: bytes) -> None:
        """Add a segment."""
        self._text += entry

    def text(self, *, ended: bool) -> bytes:
        """Write it; one that has ended grows no more."""
        return bytes(self._text) + (_END if ended else b"")


class LivePlaylist:
    """The last segments of an egress."""

    def __init__(self, target: int) -> None:
        self._header = (
            f"#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-ALLOW-CACHE:NO\n#EXT-X-TARGETDURATION:{target // SECOND}\n"
        )
        self._entries: deque[bytes] = deque(maxlen=_WINDOW)
        self._sequence = 0

    def append(self, entry: bytes) -> None:
        """Add a segment; the oldest may go."""
        self._sequence += len(self._entries) == _WINDOW
        self._entries.append(entry)

    def text(self, *, ended: bool) -> bytes:
        """Write it; one that has ended grows no more."""
        head = f"{self._header}#EXT-X-MEDIA-SEQUENCE:{self._sequence}\n".encode()
        return head + b"".join(self._entries) + (_END if ended else b"")


def entry(begun_at: int, duration: int, name: str) -> bytes:
    """Describe a segment that begun at a time (ns) of the worker's clock."""
    program_time = _date_time(begun_at // 1_000_000)
    length = f"{duration / SECOND:.3f}"
    return f"#EXT-X-PROGRAM-DATE-TIME:{program_time}\n#EXTINF:{length},\n{name}\n".encode()


def _date_time(milliseconds: int) -> str:
    fraction = f".{milliseconds % 1000:03d}".rstrip("0").rstrip(".")
    return strftime("%Y-%m-%dT%H:%M:%S", gmtime(milliseconds // 1000)) + fraction + "Z"
