"""What a start request asks for, read from its many forms, and what LiveKit refuses about it."""

from dataclasses import dataclass, replace

from google.protobuf.message import Message
from livekit.protocol import egress, models

from livekit_standin.files import clean
from livekit_standin.recording import Encoding

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


class RefusedError(Exception):
    """The options are refused; its text is LiveKit's."""


@dataclass(frozen=True, slots=True)
class Job:
    """One egress as it is to be done."""

    kind: str
    """The field of EgressInfo that echoes the request."""
    room_name: str
    source_type: egress.EgressSourceType
    audio: bool
    video: bool
    encoding: Encoding
    container: str | None
    """mp4, ogg, webm or mp3; None for a track, whose codec decides."""
    filepath: str
    """Cleaned, with its placeholders."""
    disable_manifest: bool
    upload: egress.S3Upload | None
    """None where the file stays on the worker."""
    layout: str
    tracks: tuple[str, ...]
    """The track SIDs that it needs."""
    identity: str
    """The participant that it needs."""
    webhooks: tuple[models.WebhookConfig, ...]


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
_MEDIA_TYPES = {"mp4": "video/mp4", "ogg": "audio/ogg", "mp3": "audio/mpeg"}
_AUDIO_IN = {"mp4": ("aac", "opus", "mp3"), "ogg": ("opus",), "mp3": ("mp3",)}
_VIDEO_IN = {"mp4": ("h264",), "ogg": (), "mp3": ()}


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
    elif isinstance(
        echo,
        egress.RoomCompositeEgressRequest
        | egress.WebEgressRequest
        | egress.TrackCompositeEgressRequest
        | egress.ParticipantEgressRequest,
    ):
        for file in echo.file_outputs:
            _mask_upload(file)
        if not isinstance(echo, egress.ParticipantEgressRequest):
            _mask_upload(echo.file)


def _mask_upload(output: egress.EncodedFileOutput | egress.DirectFileOutput | egress.StorageConfig) -> None:
    if not output.HasField("s3"):
        return
    s3 = output.s3
    s3.access_key = s3.access_key and "{access_key}"
    s3.secret = s3.secret and "{secret}"
    s3.session_token = s3.session_token and "{session_token}"
    s3.assume_role_external_id = s3.assume_role_external_id and "{external_id}"


def _invalid(field: str) -> RefusedError:
    return RefusedError(f"request has missing or invalid field: {field}")


def _room_composite(request: egress.RoomCompositeEgressRequest) -> Job:
    if request.audio_only and request.video_only:
        raise _invalid("audio_only and video_only")
    job = _encoded(request, audio=not request.video_only, video=not request.audio_only)
    if not request.room_name:
        raise _invalid("token or api key/secret")
    source = egress.EGRESS_SOURCE_TYPE_SDK if request.audio_only else egress.EGRESS_SOURCE_TYPE_WEB
    return replace(job, layout=request.layout, source_type=source)


def _web(request: egress.WebEgressRequest) -> Job:
    if not request.url:
        raise _invalid("url")
    job = _encoded(request, audio=not request.video_only, video=not request.audio_only)
    return replace(job, source_type=egress.EGRESS_SOURCE_TYPE_WEB)


def _participant(request: egress.ParticipantEgressRequest) -> Job:
    if not request.identity:
        raise _invalid("identity")
    return replace(_encoded(request, audio=True, video=True), identity=request.identity)


def _track_composite(request: egress.TrackCompositeEgressRequest) -> Job:
    tracks = tuple(sid for sid in (request.audio_track_id, request.video_track_id) if sid)
    if not tracks:
        raise _invalid("audio_track_id or video_track_id")
    job = _encoded(request, audio=bool(request.audio_track_id), video=bool(request.video_track_id))
    return replace(job, tracks=tracks)


def _track(request: egress.TrackEgressRequest) -> Job:
    if not request.track_id:
        raise _invalid("track_id")
    if request.WhichOneof("output") != "file":
        raise _invalid("output")
    return _job(request, request.file, encoding=Encoding(), tracks=(request.track_id,))


def _version_2(request: egress.StartEgressRequest) -> Job:
    source = request.WhichOneof("source")
    if source is None:
        raise _invalid("source")
    files = [
        egress.EncodedFileOutput(
            file_type=output.file.file_type,
            filepath=output.file.filepath,
            disable_manifest=output.file.disable_manifest,
            s3=storage.s3 if storage.HasField("s3") else None,
        )
        for output in request.outputs
        if output.WhichOneof("config") == "file"
        for storage in [output.storage if output.HasField("storage") else request.storage]
    ]
    if source == "media":
        audio, video = request.media.HasField("audio"), request.media.WhichOneof("video") is not None
    else:
        settings = request.template if source == "template" else request.web
        audio, video = not settings.video_only, not settings.audio_only
    job = _encoded_job(request, _only_file(files), audio=audio, video=video)
    return replace(
        job,
        layout=request.template.layout,
        source_type=egress.EGRESS_SOURCE_TYPE_WEB if video and source != "media" else job.source_type,
    )


def _encoded(request: OutputRequest, *, audio: bool, video: bool) -> Job:
    files = list(request.file_outputs)
    if not isinstance(request, egress.ParticipantEgressRequest) and request.HasField("file"):
        files.append(request.file)
    return _encoded_job(request, _only_file(files), audio=audio, video=video)


def _encoded_job(
    request: OutputRequest | egress.StartEgressRequest,
    output: egress.EncodedFileOutput,
    *,
    audio: bool,
    video: bool,
) -> Job:
    encoding = _encoding(request)
    container = _container(output.file_type, encoding, audio=audio, video=video)
    return _job(request, output, encoding=encoding, container=container, audio=audio, video=video)


def _only_file(files: list[egress.EncodedFileOutput]) -> egress.EncodedFileOutput:
    if not files:
        raise _invalid("output")
    if len(files) > 1:
        raise _invalid("multiple file outputs")
    return files[0]


def _job(
    request: StartRequest,
    output: egress.EncodedFileOutput | egress.DirectFileOutput,
    *,
    encoding: Encoding,
    container: str | None = None,
    audio: bool = False,
    video: bool = False,
    tracks: tuple[str, ...] = (),
) -> Job:
    if container is not None:
        encoding = replace(
            encoding,
            audio_codec=encoding.audio_codec or _AUDIO_IN[container][0] if audio else "",
            video_codec="h264" if video else "",
        )
    upload: egress.S3Upload | None = None
    if output.HasField("s3"):
        # The caller may change its request afterwards.
        upload = egress.S3Upload()
        upload.CopyFrom(output.s3)
    return Job(
        kind=_ECHO_FIELDS[type(request)],
        room_name="" if isinstance(request, egress.WebEgressRequest) else request.room_name,
        source_type=egress.EGRESS_SOURCE_TYPE_SDK,
        audio=audio,
        video=video,
        encoding=encoding,
        container=container,
        filepath=clean(output.filepath),
        disable_manifest=output.disable_manifest,
        upload=upload,
        layout="",
        tracks=tracks,
        identity="",
        webhooks=tuple(request.webhooks),
    )


def _encoding(request: OutputRequest | egress.StartEgressRequest) -> Encoding:
    if request.HasField("preset"):
        return _PRESETS.get(request.preset, _HD)
    if not request.HasField("advanced"):
        return _HD
    wish = request.advanced
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


def _container(file_type: egress.EncodedFileType, encoding: Encoding, *, audio: bool, video: bool) -> str:
    container = _CONTAINERS.get(file_type)
    if container is None:
        if video:
            return "mp4"
        return {"aac": "mp4", "mp3": "mp3"}.get(encoding.audio_codec, "ogg")
    if audio and encoding.audio_codec and encoding.audio_codec not in _AUDIO_IN[container]:
        raise RefusedError(
            f"format {_MEDIA_TYPES[container]} incompatible with codec audio/{encoding.audio_codec}"
        )
    if video and not _VIDEO_IN[container]:
        if encoding.video_codec:
            raise RefusedError(
                f"format {_MEDIA_TYPES[container]} incompatible with codec video/{encoding.video_codec}"
            )
        raise RefusedError("no supported codec is compatible with all outputs")
    return container
