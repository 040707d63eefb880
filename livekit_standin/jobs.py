"""A start request, read from its many forms, and LiveKit's refusals of it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from google.protobuf.message import Message
from livekit.protocol import egress, models

from livekit_standin.files import clean
from livekit_standin.outputs import asked, codecs
from livekit_standin.outputs.asked import (
    FileOutput,
    ImagesOutput,
    Outputs,
    SegmentsOutput,
    StreamsOutput,
    invalid,
)
from livekit_standin.recording import Encoding
from livekit_standin.timing import SECOND

type OutputRequest = (
    egress.RoomCompositeEgressRequest
    | egress.WebEgressRequest
    | egress.ParticipantEgressRequest
    | egress.TrackCompositeEgressRequest
)
type StartRequest = OutputRequest | egress.TrackEgressRequest | egress.StartEgressRequest

# The field of EgressInfo that echoes the request.
_ECHO_FIELDS: dict[type[Message], str] = {
    egress.RoomCompositeEgressRequest: "room_composite",
    egress.WebEgressRequest: "web",
    egress.ParticipantEgressRequest: "participant",
    egress.TrackCompositeEgressRequest: "track_composite",
    egress.TrackEgressRequest: "track",
    egress.StartEgressRequest: "egress",
}


@dataclass(frozen=True, slots=True)
class Job:
    """One egress as it is to be done."""

    kind: str
    """The field of EgressInfo that echoes the request."""
    room_name: str
    source_type: egress.EgressSourceType
    encoding: Encoding
    """An empty codec means that it has no sound, or no picture."""
    outputs: Outputs
    webhooks: tuple[models.WebhookConfig, ...]
    layout: str = ""
    tracks: tuple[str, ...] = ()
    """The track SIDs that it needs."""
    identity: str = ""
    """The participant that it needs."""
    screen_share: bool = False
    """It needs the screen that the participant shares."""

    @property
    def web(self) -> bool:
        """Whether a browser records."""
        return self.source_type == egress.EGRESS_SOURCE_TYPE_WEB

    @property
    def as_published(self) -> bool:
        """Whether a track is written as it is."""
        return self.kind == "track"


_HD = Encoding()
_FULL_HD = Encoding(width=1920, height=1080, video_bitrate=4500)
_PRESETS = {
    egress.H264_720P_30: _HD,
    egress.H264_720P_60: replace(_HD, framerate=60, video_bitrate=4500),
    egress.H264_1080P_30: _FULL_HD,
    egress.H264_1080P_60: replace(_FULL_HD, framerate=60, video_bitrate=6000),
    egress.PORTRAIT_H264_720P_30: replace(_HD, width=720, height=1280),
    egress.PORTRAIT_H264_720P_60: replace(_HD, width=720, height=1280, framerate=60, video_bitrate=4500),
    egress.PORTRAIT_H264_1080P_30: replace(_FULL_HD, width=1080, height=1920),
    egress.PORTRAIT_H264_1080P_60: replace(
        _FULL_HD, width=1080, height=1920, framerate=60, video_bitrate=6000
    ),
}
_AUDIO_CODECS = {models.OPUS: "opus", models.AAC: "aac", models.AC_MP3: "mp3"}
# VP8 is missing on purpose: LiveKit ignores the wish and writes H264.
_VIDEO_CODECS = {models.H264_BASELINE: "h264", models.H264_MAIN: "h264", models.H264_HIGH: "h264"}
_CONTAINERS = {egress.MP4: "mp4", egress.OGG: "ogg", egress.MP3: "mp3"}
_LEAST_LENGTH = 16
_DEPTHS = {0, 8, 16, 24}


def read(request: StartRequest) -> Job:
    """Read a start request; raises RefusedError as the worker does."""
    match request:
        case egress.TrackEgressRequest():
            return _track(request)
        case egress.StartEgressRequest():
            return _version_2(request)
        case egress.RoomCompositeEgressRequest():
            return _room_composite(request)
        case egress.WebEgressRequest():
            return _web(request)
        case egress.ParticipantEgressRequest():
            return _participant(request)
        case egress.TrackCompositeEgressRequest():
            return _track_composite(request)


def echo(request: StartRequest, info: egress.EgressInfo) -> None:
    """Repeat a request in the info about it, its secrets masked."""
    copy: Message = getattr(info, _ECHO_FIELDS[type(request)])
    copy.CopyFrom(request)
    _mask(copy)


def _mask(echo: Message) -> None:
    if isinstance(echo, egress.TrackEgressRequest):
        _mask_upload(echo.file)
    elif isinstance(echo, egress.StartEgressRequest):
        _mask_upload(echo.storage)
        for output in echo.outputs:
            _mask_upload(output.storage)
            _mask_streams(output.stream)
    elif isinstance(
        echo,
        egress.RoomCompositeEgressRequest
        | egress.WebEgressRequest
        | egress.TrackCompositeEgressRequest
        | egress.ParticipantEgressRequest,
    ):
        # LiveKit masks one of a kind only: where there are several, their secrets show.
        for outputs_of_a_kind in (echo.file_outputs, echo.segment_outputs, echo.image_outputs):
            if len(outputs_of_a_kind) == 1:
                _mask_upload(outputs_of_a_kind[0])
        if len(echo.stream_outputs) == 1:
            _mask_streams(echo.stream_outputs[0])
        if not isinstance(echo, egress.ParticipantEgressRequest):
            for old in (echo.file, echo.segments):
                _mask_upload(old)
            _mask_streams(echo.stream)


def _mask_upload(
    output: egress.EncodedFileOutput
    | egress.DirectFileOutput
    | egress.SegmentedFileOutput
    | egress.ImageOutput
    | egress.StorageConfig,
) -> None:
    if not output.HasField("s3"):
        return
    s3 = output.s3
    s3.access_key = s3.access_key and "{access_key}"
    s3.secret = s3.secret and "{secret}"
    s3.session_token = s3.session_token and "{session_token}"
    s3.assume_role_external_id = s3.assume_role_external_id and "{external_id}"


def _mask_streams(output: egress.StreamOutput) -> None:
    if output.urls:
        output.urls[:] = [asked.redacted(url) for url in output.urls]


def _room_composite(request: egress.RoomCompositeEgressRequest) -> Job:
    if request.audio_only and request.video_only:
        raise invalid("audio_only and video_only")
    job = _encoded(request, audio=not request.video_only, video=not request.audio_only)
    if not request.room_name:
        raise invalid("token or api key/secret")
    without_page = request.audio_only and not request.layout and not request.custom_base_url
    source = egress.EGRESS_SOURCE_TYPE_SDK if without_page else egress.EGRESS_SOURCE_TYPE_WEB
    return replace(job, layout=request.layout, source_type=source)


def _web(request: egress.WebEgressRequest) -> Job:
    if not request.url.startswith(("http://", "https://")):
        raise invalid("web url")
    if request.audio_only and request.video_only:
        raise invalid("audio_only and video_only")
    job = _encoded(request, audio=not request.video_only, video=not request.audio_only)
    return replace(job, source_type=egress.EGRESS_SOURCE_TYPE_WEB)


def _participant(request: egress.ParticipantEgressRequest) -> Job:
    if not request.identity:
        raise invalid("identity")
    job = _encoded(request, audio=True, video=True)
    return replace(job, identity=request.identity, screen_share=request.screen_share)


def _track_composite(request: egress.TrackCompositeEgressRequest) -> Job:
    tracks = tuple(sid for sid in (request.audio_track_id, request.video_track_id) if sid)
    if not tracks:
        raise invalid("audio_track_id or video_track_id")
    job = _encoded(request, audio=bool(request.audio_track_id), video=bool(request.video_track_id))
    if not job.encoding.audio_codec:
        tracks = (request.video_track_id,)
    return replace(job, tracks=tracks)


def _track(request: egress.TrackEgressRequest) -> Job:
    if not request.track_id:
        raise invalid("track_id")
    if request.WhichOneof("output") != "file":
        raise invalid("output")
    file = FileOutput(
        clean(request.file.filepath), None, asked.upload_of(request.file), request.file.disable_manifest
    )
    return Job(
        kind=_ECHO_FIELDS[type(request)],
        room_name=request.room_name,
        source_type=egress.EGRESS_SOURCE_TYPE_SDK,
        encoding=Encoding(),
        outputs=Outputs(file),
        webhooks=tuple(request.webhooks),
        tracks=(request.track_id,),
    )


def _version_2(request: egress.StartEgressRequest) -> Job:
    source = request.WhichOneof("source")
    if source is None:
        raise invalid("source")
    if source == "media":
        audio, video = request.media.HasField("audio"), request.media.WhichOneof("video") is not None
    else:
        settings = request.template if source == "template" else request.web
        audio, video = not settings.video_only, not settings.audio_only
    job = _job(request, _version_2_outputs(request), audio=audio, video=video)
    return replace(
        job,
        layout=request.template.layout,
        source_type=egress.EGRESS_SOURCE_TYPE_WEB if video and source != "media" else job.source_type,
    )


def _version_2_outputs(request: egress.StartEgressRequest) -> Outputs:
    found = _Found()
    for output in request.outputs:
        storage = output.storage if output.HasField("storage") else request.storage
        match output.WhichOneof("config"):
            case "file":
                file = output.file
                found.files.append(_file(file, file.file_type, asked.upload_of(storage)))
            case "stream":
                found.streams.append(asked.read_streams(output.stream))
            case "segments":
                found.segments.append(asked.read_segments(output.segments, storage))
            case "images":
                found.images.append(asked.read_images(output.images, storage))
            case _:
                raise invalid("output config")
    return found.checked()


def _encoded(request: OutputRequest, *, audio: bool, video: bool) -> Job:
    found = _Found()
    files, segments = [*request.file_outputs], [*request.segment_outputs]
    streams = [*request.stream_outputs]
    if not isinstance(request, egress.ParticipantEgressRequest):
        old = request.WhichOneof("output")
        files = files or ([request.file] if old == "file" else [])
        streams = streams or ([request.stream] if old == "stream" else [])
        segments = segments or ([request.segments] if old == "segments" else [])
    found.files = [_file(file, file.file_type, asked.upload_of(file)) for file in files]
    found.streams = [asked.read_streams(output) for output in streams]
    found.segments = [asked.read_segments(output) for output in segments]
    found.images = [asked.read_images(output) for output in request.image_outputs]
    return _job(request, found.checked(), audio=audio, video=video)


def _file(
    output: egress.EncodedFileOutput | egress.FileOutput,
    file_type: egress.EncodedFileType,
    upload: egress.S3Upload | None,
) -> FileOutput:
    return FileOutput(clean(output.filepath), _CONTAINERS.get(file_type), upload, output.disable_manifest)


class _Found:
    """The outputs of a request, of each kind as many as it has."""

    def __init__(self) -> None:
        self.files: list[FileOutput] = []
        self.segments: list[SegmentsOutput] = []
        self.images: list[ImagesOutput] = []
        self.streams: list[StreamsOutput] = []

    def checked(self) -> Outputs:
        for found, text in (
            (self.files, "multiple file outputs"),
            (self.streams, "multiple stream outputs"),
            (self.segments, "multiple segmented file outputs"),
        ):
            if len(found) > 1:
                raise invalid(text)
        read = Outputs(_first(self.files), _first(self.segments), tuple(self.images), _first(self.streams))
        if not read.count():
            raise invalid("stream url" if self.streams else "output")
        return read


def _first[Output](found: Iterable[Output]) -> Output | None:
    return next(iter(found), None)


def _job(
    request: OutputRequest | egress.StartEgressRequest, wanted: Outputs, *, audio: bool, video: bool
) -> Job:
    if wanted.images and not video:
        raise invalid("audio_only images")
    # Images alone are silent.
    audio = audio and bool(wanted.encoded())
    wish = _encoding(request)
    container, sound, picture = codecs.choose(
        wanted.encoded(), wish.audio_codec if audio else None, wish.video_codec if video else None
    )
    if wanted.file is not None:
        wanted = replace(wanted, file=replace(wanted.file, container=container))
    segments, interval = wanted.segments, request.advanced.key_frame_interval
    if segments is not None and wanted.streams is not None and interval > 0:
        seconds = min(int(interval), segments.duration // SECOND)
        wanted = replace(wanted, segments=replace(segments, duration=seconds * SECOND))
    return Job(
        kind=_ECHO_FIELDS[type(request)],
        room_name="" if isinstance(request, egress.WebEgressRequest) else request.room_name,
        source_type=egress.EGRESS_SOURCE_TYPE_SDK,
        encoding=replace(wish, audio_codec=sound, video_codec=picture),
        outputs=wanted,
        webhooks=tuple(request.webhooks),
    )


def _encoding(request: OutputRequest | egress.StartEgressRequest) -> Encoding:
    if request.HasField("preset"):
        return _PRESETS.get(request.preset, _HD)
    if not request.HasField("advanced"):
        return _HD
    wish = request.advanced
    for name, length in (("width", wish.width), ("height", wish.height)):
        if length > 0 and (length < _LEAST_LENGTH or length % 2):
            raise invalid(name)
    if wish.depth not in _DEPTHS:
        raise invalid("depth")
    return Encoding(
        width=wish.width or _HD.width,
        height=wish.height or _HD.height,
        framerate=wish.framerate or _HD.framerate,
        video_codec=_VIDEO_CODECS.get(wish.video_codec, ""),
        video_bitrate=wish.video_bitrate or _HD.video_bitrate,
        audio_codec=_AUDIO_CODECS.get(wish.audio_codec, ""),
        audio_bitrate=wish.audio_bitrate or _HD.audio_bitrate,
        audio_frequency=wish.audio_frequency or _HD.audio_frequency,
    )
