"""The outputs of an egress, as they are asked for, and their results, as LiveKit reports them.

An output belongs to a take of a recording, and its path says which: it lies below `recordings/{id}/` or
`segments/{id}/`, in the folder of its take where it has one.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple, TypedDict
from urllib.parse import urlsplit
from uuid import UUID

from recorder.domain.recording import (
    MIME_TYPES,
    PREFIX,
    SEGMENTS_PREFIX,
    Kept,
    Recording,
    StoredFile,
    StoredPart,
)
from recorder.domain.sources import Source

_OWNED: Final = (
    rf"(?:{PREFIX}|{SEGMENTS_PREFIX})"
    r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/"
    r"(?:([1-9][0-9]{0,5})/)?"
    r"(.+)"
)


class TakeId(NamedTuple):
    """The recording and the take that an egress records; the one take of the release before is take 1."""

    recording_id: UUID
    take: int = 1


def owner_of(path: str) -> TakeId | None:
    """Return the take below whose folder a path lies; None where it is no path of ours.

    A take has the folder `{id}/{take}/`; what lies in `{id}/` itself, or in a folder there that is no number, is of
    take 1.
    """
    found = re.fullmatch(_OWNED, path)
    if found is None or ".." in found[3].split("/"):
        return None
    return TakeId(UUID(found[1]), int(found[2] or 1))


class OutputColumns(TypedDict):
    """The columns of a recording that hold what it is written to."""

    with_file: bool
    hls_seconds: int | None
    thumbnail_seconds: int | None
    thumbnail_width: int | None
    thumbnail_height: int | None
    stream_urls: tuple[str, ...]


class File(NamedTuple):
    """One media file.

    `path` is its key. Where it has no extension, LiveKit appends that of the codec in which a track was published.
    """

    path: str

    def names(self, key: str) -> bool:
        """Tell whether an object with this key is the file."""
        stem, dot, extension = key.rpartition(".")
        return key == self.path or (stem == self.path and bool(dot) and extension in MIME_TYPES)


class Segments(NamedTuple):
    """HLS: segments of `seconds` and their playlists in `folder`, uploaded while it records."""

    folder: str
    seconds: int

    @property
    def prefix(self) -> str:
        """The beginning of every segment's key."""
        return f"{self.folder}segment"

    @property
    def playlist(self) -> str:
        """Key of the playlist of all segments."""
        return f"{self.folder}playlist.m3u8"

    @property
    def live_playlist(self) -> str:
        """Key of the playlist of the last five segments."""
        return f"{self.folder}live.m3u8"

    def names(self, key: str) -> bool:
        """Tell whether an object with this key is the playlist, which stands for all of it."""
        return key == self.playlist


class Thumbnails(NamedTuple):
    """JPEG images of the picture, one each `every_seconds`, in pixels; without sizes, as large as the picture.

    With `only_latest` there is one image, which is overwritten.
    """

    path: str
    """Key of the one image without its extension, or what the key of every image begins with."""
    every_seconds: int
    width: int | None = None
    height: int | None = None
    only_latest: bool = False

    @property
    def key(self) -> str:
        """Key of the one image, where there is only one."""
        return f"{self.path}.jpeg"


class Streams(NamedTuple):
    """RTMP streams to these addresses, which carry keys."""

    urls: tuple[str, ...]

    def __repr__(self) -> str:
        """Return how many there are: no key is to be in a log."""
        return f"Streams({len(self.urls)})"


type Output = File | Segments | Thumbnails | Streams


_THUMBNAILS: Final = "thumbnails/"
"""The folder of thumbnails in that of their take."""
POSTER_SECONDS: Final = 10
SAFETY_SECONDS: Final = 2
"""Length of a safety segment: 3.4 s are lost with it when a worker's host dies."""


def safety_segments(recording_id: UUID, take: int) -> Segments:
    """Return the segments that keep what a take has recorded while its file is not there."""
    return Segments(folder=f"{SEGMENTS_PREFIX}{recording_id}/{take}/", seconds=SAFETY_SECONDS)


def poster_of(recording_id: UUID) -> Thumbnails:
    """Return the picture of a recording: one image that is overwritten while it records, and stays at the end."""
    return Thumbnails(
        path=f"{PREFIX}{recording_id}/poster",
        every_seconds=POSTER_SECONDS,
        width=640,
        height=360,
        only_latest=True,
    )


def file_of(recording: Recording, *, take: int | None = None) -> File:
    """Return the file that is asked of LiveKit for a take of a recording: the current one unless told otherwise."""
    stem = f"{recording.prefix}{take or recording.take}/recording"
    if recording.source is Source.TRACK:
        return File(path=stem)
    ogg = not recording.has_picture and recording.audio_codec == "opus"
    return File(path=f"{stem}.ogg" if ogg else f"{stem}.mp4")


def segments_of(recording: Recording, take: int) -> Segments:
    """Return the segments of a take that has some: those that the caller asked for, else the safety segments.

    LiveKit writes only one HLS in an egress, so the caller's own keeps what is recorded as well.
    """
    if recording.hls_seconds is None:
        return safety_segments(recording.id, take)
    return Segments(folder=f"{recording.prefix}{take}/hls/", seconds=recording.hls_seconds)


def primary_of(recording: Recording, *, take: int | None = None) -> File | Segments:
    """Return the output of a take without which it is nothing: its file, or where none was asked for, its playlist."""
    if recording.with_file:
        return file_of(recording, take=take)
    return segments_of(recording, take or recording.take)


def can_have_segments(recording: Recording) -> bool:
    """Tell whether LiveKit can write HLS beside the file: a track is stored as it is, and HLS has no Opus."""
    return recording.source is not Source.TRACK and recording.audio_codec != "opus"


def outputs_of(recording: Recording, *, poster: bool) -> list[Output]:
    """Return what the current take of a recording asks of LiveKit."""
    outputs: list[Output] = [file_of(recording)] if recording.with_file else []
    if recording.take_segments:
        # Images beside a file put it at the same risk as segments do, so they come with these only.
        outputs.append(segments_of(recording, recording.take))
        if poster and recording.has_picture:
            outputs.append(poster_of(recording.id))
    if recording.thumbnail_seconds is not None:
        outputs.append(_thumbnails_of(recording, recording.thumbnail_seconds))
    if recording.stream_urls:
        outputs.append(Streams(urls=recording.stream_urls))
    return outputs


def _thumbnails_of(recording: Recording, every_seconds: int) -> Thumbnails:
    return Thumbnails(
        path=f"{recording.prefix}{recording.take}/{_THUMBNAILS}image",
        every_seconds=every_seconds,
        width=recording.thumbnail_width,
        height=recording.thumbnail_height,
    )


def kept_in(objects: Iterable[StoredFile], recording: Recording) -> Mapping[int, Kept]:
    """Return what these objects are of the outputs that are kept beside the file, by take."""
    found: defaultdict[int, Kept] = defaultdict(Kept)
    for each in objects:
        path = recording.path_of(each.key)
        owner = owner_of(path)
        if owner is None or not each.size:
            continue
        kept, hls = found[owner.take], segments_of(recording, owner.take)
        if f"/{owner.take}/{_THUMBNAILS}" in path:
            found[owner.take] = kept._replace(thumbnails=(kept.thumbnails or 0) + 1)
        elif recording.hls_seconds is not None and path.startswith(hls.prefix):
            found[owner.take] = kept._replace(hls_size=(kept.hls_size or 0) + each.size)
    return found


def playlists_of(recording: Recording) -> tuple[StoredPart, ...]:
    """Return the playlists that a final recording has beside its file: one of each take that has left one."""
    if recording.live or not recording.with_file or recording.hls_seconds is None:
        return ()
    sizes = {take.take: take.hls_size for take in recording.takes} or {recording.take: recording.hls_size}
    left = {take: size for take, size in sizes.items() if size is not None}
    seconds = {take.take: take.duration for take in recording.takes} or {recording.take: recording.duration}
    return tuple(
        StoredPart(
            key=segments_of(recording, take).playlist,
            size=size,
            duration=seconds[take],
            take=take if len(left) > 1 else None,
        )
        for take, size in left.items()
    )


def media_among(objects: Iterable[StoredFile], recording: Recording) -> StoredFile | None:
    """Return the file of a recording among these objects.

    It is the one that LiveKit has named, else the one that was asked for: of a recording that has failed, that of any
    take. An empty object is a folder's marker or an upload that never was, and everything else beside it (a manifest,
    images, segments) is no media.
    """
    primary, named = primary_of(recording), None
    ended = () if recording.live else recording.takes
    asked = [primary, *(primary_of(recording, take=each.take) for each in ended)]
    # The release before had one take, whose file lies in the recording's folder itself.
    before = File(path=f"{recording.prefix}{file_of(recording).path.rpartition('/')[2]}")
    objects = tuple(objects)
    for each in objects:
        if each.size and each.key == recording.storage_key:
            return _with_beside(each, objects, recording)
        known = any(one.names(each.key) for one in asked)
        if each.size and (known or (recording.take == 1 and before.names(each.key))):
            named = named or each
    return None if named is None else _with_beside(named, objects, recording)


def _with_beside(file: StoredFile, objects: Iterable[StoredFile], recording: Recording) -> StoredFile:
    """Return a file with what lies beside it; a playlist is as large as its segments."""
    kept = kept_in(objects, recording).get(recording.take, Kept())
    size = file.size if recording.with_file or kept.hls_size is None else kept.hls_size
    return file._replace(size=size, beside=kept)


# Results.


class FileResult(NamedTuple):
    """A file as LiveKit reports it; size and location are real only on a final status."""

    name: str | None = None
    """The key that was asked for, with the extension that the file has."""
    keys: tuple[str, ...] = ()
    """The keys under which it may lie in our bucket, the likeliest first; none where it lies elsewhere."""
    size: int | None = None
    duration: float | None = None
    """Seconds."""
    location: str | None = None
    """Where LiveKit put it: a URL without anything that opens it."""
    started_at: datetime | None = None
    checked: bool = False
    """The bucket has said where it lies, how large it is and how long it lasts."""

    @property
    def key(self) -> str | None:
        """The key under which it lies in our bucket, as far as is known."""
        return self.keys[0] if self.keys else None

    @property
    def stored(self) -> bool:
        """Whether LiveKit has put it somewhere."""
        return self.size is not None or self.location is not None


class SegmentsResult(NamedTuple):
    """Segments as LiveKit reports them: count and size lag, and duration is real only on a final status."""

    playlist: str | None = None
    keys: tuple[str, ...] = ()
    """The keys under which the playlist may lie in our bucket, the likeliest first."""
    segment_count: int = 0
    size: int | None = None
    duration: float | None = None
    location: str | None = None
    started_at: datetime | None = None

    @property
    def kept(self) -> bool:
        """Whether the caller asked for it: safety segments lie in another folder."""
        return self.playlist is not None and self.playlist.startswith(PREFIX)

    @property
    def file(self) -> FileResult:
        """The playlist as the result of an egress that has no file; it is as large as its segments."""
        return FileResult(
            name=self.playlist,
            keys=self.keys,
            size=self.size,
            duration=self.duration,
            location=self.location,
            started_at=self.started_at,
        )


class ThumbnailsResult(NamedTuple):
    """Thumbnails as LiveKit reports them: no keys, and a count that lags."""

    path: str
    image_count: int = 0

    @property
    def kept(self) -> bool:
        """Whether the caller asked for them: the poster lies in another folder."""
        return f"/{_THUMBNAILS}" in self.path


class StreamResult(NamedTuple):
    """A stream as LiveKit reports it."""

    url: str
    """Where it goes, without its key: `rtmp://host/…`."""
    status: str
    """`ACTIVE`, also before it is connected; `FINISHED` or `FAILED`."""
    duration: float | None = None
    started_at: datetime | None = None
    retried_at: datetime | None = None
    """When LiveKit last tried to connect again to a receiver that had been lost."""

    def state(self, now: datetime) -> str:
        """Return its state for a caller: LiveKit calls it active also while there is no connection."""
        if self.status != "ACTIVE":
            return _STREAM_STATES.get(self.status, "unknown")
        if self.started_at is None:
            return "connecting"
        retries = self.retried_at is not None and now - self.retried_at < _RETRYING
        return "retrying" if retries else "active"


_STREAM_STATES: Final = {"FINISHED": "finished", "FAILED": "failed"}
_RETRYING: Final = timedelta(minutes=2)
"""LiveKit tells of its tries once a minute."""


def shown_address(url: str) -> str:
    """Return where a stream goes, without its key, which is in the path: `rtmp://host/…`; empty for what is no URL."""
    try:
        address = urlsplit(url)
    except ValueError:
        return ""
    return f"{address.scheme}://{address.netloc.rpartition('@')[2]}/…" if address.netloc else ""
