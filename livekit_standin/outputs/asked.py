"""The outputs that a start request asks for: what each is called, and what LiveKit refuses about it."""

import re
from dataclasses import dataclass
from posixpath import join, split

from livekit.protocol import egress

from livekit_standin import files
from livekit_standin.timing import SECOND

_DEFAULT_SEGMENT_S = 4
_DEFAULT_CAPTURE_S = 10
_RTMP = re.compile(r"(rtmps?://)(.*/)(.*/)(\S*)( live=1)?")
_RTMP_FORMAT = "rtmp urls must be of format rtmp(s)://{host}(/{path})/{app}/{stream_key}( live=1)"


class RefusedError(Exception):
    """The options are refused; its text is LiveKit's."""


def invalid(field: str) -> RefusedError:
    """Refuse a field of the request."""
    return RefusedError(f"request has missing or invalid field: {field}")


@dataclass(frozen=True, slots=True)
class Names:
    """The values of the placeholders in names."""

    identifier: str
    """Names what has no name."""
    replacements: dict[str, str]
    now: int
    """By the worker's clock, in ns."""

    def fill(self, template: str) -> str:
        """Fill the placeholders of a template."""
        return files.fill(template, self.replacements, self.now)

    def own(self) -> str:
        """Name what has no name."""
        return f"{self.identifier}-{self.fill('{time}')}"


@dataclass(frozen=True, slots=True)
class FileOutput:
    """One file at the end."""

    filepath: str
    """Cleaned, with its placeholders."""
    container: str | None
    """mp4, ogg, webm or mp3; None for a track, whose codec decides."""
    upload: egress.S3Upload | None
    """None where it stays on the worker."""
    disable_manifest: bool

    def write_names(self, result: egress.FileInfo, names: Names) -> None:
        """Write the file's name; a track's file has none until its codec is known."""
        if self.container is not None:
            result.filename = files.name(
                self.filepath, self.container, names.identifier, names.replacements, names.now
            )


@dataclass(frozen=True, slots=True)
class SegmentNames:
    """The names of a segments output, filled."""

    folder: str
    playlist: str
    live_playlist: str
    """Empty: there is none."""
    prefix: str
    """Of each segment, below `folder`."""


@dataclass(frozen=True, slots=True)
class SegmentsOutput:
    """HLS segments and their playlists, stored while they are recorded."""

    prefix: str
    playlist: str
    live_playlist: str
    by_time: bool
    """Segments are named by their time, not by their number."""
    duration: int
    """Of a segment, in ns."""
    upload: egress.S3Upload | None
    disable_manifest: bool

    def write_names(self, result: egress.SegmentsInfo, names: Names) -> None:
        """Write the names of the playlists."""
        filled = self.names(names)
        result.playlist_name = join(filled.folder, filled.playlist)
        if filled.live_playlist:
            result.live_playlist_name = join(filled.folder, filled.live_playlist)

    def names(self, names: Names) -> SegmentNames:
        """Fill the names; raises RefusedError where the playlists do not fit together."""
        folder, playlist = split(names.fill(self.playlist))
        live_folder, live = split(names.fill(self.live_playlist))
        own_folder, prefix = split(names.fill(self.prefix))
        if live_folder and live_folder != folder:
            raise invalid("live_playlist_name must be in same directory as playlist_name")
        if own_folder and not folder:
            folder = own_folder
        if own_folder == folder:
            own_folder = ""
        playlist = _stem(playlist) or prefix or names.own()
        if playlist == _stem(live):
            raise invalid("live_playlist_name cannot be identical to playlist_name")
        return SegmentNames(
            folder=folder,
            playlist=f"{playlist}.m3u8",
            live_playlist=f"{_stem(live)}.m3u8" if live else "",
            prefix=join(own_folder, prefix or playlist),
        )


@dataclass(frozen=True, slots=True)
class ImagesOutput:
    """A frame every now and then, stored while it is recorded."""

    prefix: str
    suffix: egress.ImageFileSuffix
    interval: int
    """In ns."""
    width: int
    """0: that of the picture."""
    height: int
    upload: egress.S3Upload | None
    disable_manifest: bool

    def write_names(self, result: egress.ImagesInfo, names: Names) -> None:
        """Write the prefix of the images' names."""
        result.filename_prefix = names.fill(self.prefix)


@dataclass(frozen=True, slots=True)
class StreamsOutput:
    """Streams to RTMP receivers; more of them may come later."""

    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outputs:
    """The outputs of an egress."""

    file: FileOutput | None = None
    segments: SegmentsOutput | None = None
    images: tuple[ImagesOutput, ...] = ()
    streams: StreamsOutput | None = None

    def encoded(self) -> list[str | None]:
        """Give the kinds of those that need codecs: the container of a file (None: any), hls, rtmp."""
        kinds: list[str | None] = [] if self.file is None else [self.file.container]
        kinds += ["hls"] if self.segments is not None else []
        return [*kinds, "rtmp"] if self.streams is not None else kinds

    def count(self) -> int:
        """Say how many there are; each stream is one."""
        streams = 0 if self.streams is None else len(self.streams.urls)
        return sum(each is not None for each in (self.file, self.segments)) + len(self.images) + streams

    def add_results(self, info: egress.EgressInfo, names: Names) -> None:
        """Write a result of each into the info of an egress that starts."""
        if self.file is not None:
            self.file.write_names(info.file_results.add(), names)
        if self.segments is not None:
            self.segments.write_names(info.segment_results.add(), names)
        for images in self.images:
            images.write_names(info.image_results.add(), names)
        for url in () if self.streams is None else self.streams.urls:
            info.stream_results.add(url=redacted(url), status=egress.StreamInfo.ACTIVE)


def read_segments(
    output: egress.SegmentedFileOutput, storage: egress.StorageConfig | None = None
) -> SegmentsOutput:
    """Read a segments output; `storage` is that of a request of the second version."""
    read = SegmentsOutput(
        prefix=files.clean(output.filename_prefix),
        playlist=files.clean(output.playlist_name),
        live_playlist=files.clean(output.live_playlist_name),
        by_time=output.filename_suffix == egress.TIMESTAMP,
        duration=(output.segment_duration or _DEFAULT_SEGMENT_S) * SECOND,
        upload=upload_of(output if storage is None else storage),
        disable_manifest=output.disable_manifest,
    )
    read.names(Names("", {}, 0))
    return read


def read_images(output: egress.ImageOutput, storage: egress.StorageConfig | None = None) -> ImagesOutput:
    """Read an images output."""
    return ImagesOutput(
        prefix=files.clean(output.filename_prefix),
        suffix=output.filename_suffix,
        interval=(output.capture_interval or _DEFAULT_CAPTURE_S) * SECOND,
        width=output.width,
        height=output.height,
        upload=upload_of(output if storage is None else storage),
        disable_manifest=output.disable_manifest,
    )


def read_streams(output: egress.StreamOutput) -> StreamsOutput:
    """Read a stream output."""
    if output.protocol == egress.DEFAULT_PROTOCOL and not output.urls:
        raise invalid("stream protocol")
    for url in output.urls:
        redacted(url)
    return StreamsOutput(tuple(output.urls))


def redacted(url: str) -> str:
    """Give the URL of a stream without its key; raises RefusedError for what is none."""
    if not url.startswith(("rtmp:", "rtmps:")):
        raise RefusedError(f"invalid url {url}: invalid scheme")
    match = _RTMP.fullmatch(url)
    if match is None:
        raise RefusedError(f"invalid url {url}: {_RTMP_FORMAT}")
    scheme, host, app, key, live = match.groups(default="")
    shown = next((length for length in (3, 2, 1) if len(key) >= length * 3), 0)
    return f"{scheme}{host}{app}{{{key[:shown]}...{key[len(key) - shown :]}}}{live}"


def upload_of(
    output: egress.EncodedFileOutput
    | egress.DirectFileOutput
    | egress.SegmentedFileOutput
    | egress.ImageOutput
    | egress.StorageConfig,
) -> egress.S3Upload | None:
    """Say where an output goes. The caller may change its request afterwards."""
    if not output.HasField("s3"):
        return None
    upload = egress.S3Upload()
    upload.CopyFrom(output.s3)
    return upload


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
