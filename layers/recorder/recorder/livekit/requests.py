"""LiveKit's start requests: one builder for each kind, and one for each output."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from livekit.protocol import egress as protocol
from livekit.protocol import models

from recorder.domain.outputs import File, Output, Segments, Streams, Thumbnails
from recorder.domain.sources import (
    Encoding,
    Kind,
    Media,
    Participant,
    RoomComposite,
    Track,
    TrackComposite,
    Web,
)
from recorder.errors import EgressRefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Width and height in pixels and the default video bitrate in kbit/s: LiveKit's presets know no 480p.
_RESOLUTIONS: Final[Mapping[str, tuple[int, int, int]]] = {
    "1080p": (1920, 1080, 4500),
    "720p": (1280, 720, 3000),
    "480p": (854, 480, 1500),
}
_AUDIO_BITRATE: Final = 128
_AUDIO_CODECS: Final = {"aac": models.AudioCodec.AAC, "opus": models.AudioCodec.OPUS}
_FILE_TYPES: Final = {
    "mp4": protocol.EncodedFileType.MP4,
    "ogg": protocol.EncodedFileType.OGG,
    "mp3": protocol.EncodedFileType.MP3,
}

type StartRequest = (
    protocol.RoomCompositeEgressRequest
    | protocol.ParticipantEgressRequest
    | protocol.TrackCompositeEgressRequest
    | protocol.TrackEgressRequest
    | protocol.WebEgressRequest
)


class Delivery(NamedTuple):
    """Where workers upload, which page they record, and where LiveKit reports: the same for every kind."""

    s3: protocol.S3Upload
    template_url: str
    webhooks: Sequence[models.WebhookConfig]


class _Outputs(NamedTuple):
    """The outputs of an encoded egress, as LiveKit takes them."""

    files: Sequence[protocol.EncodedFileOutput]
    segments: Sequence[protocol.SegmentedFileOutput]
    images: Sequence[protocol.ImageOutput]
    streams: Sequence[protocol.StreamOutput]


def start_request(kind: Kind, outputs: Sequence[Output], delivery: Delivery) -> StartRequest:
    """Return what LiveKit is asked in order to record `kind` into `outputs`.

    Raises EgressRefusedError where LiveKit has no such output for the kind.
    """
    match kind:
        case RoomComposite():
            return _room_composite(kind, _encoded(outputs, delivery.s3), delivery)
        case Participant():
            return _participant(kind, _encoded(outputs, delivery.s3), delivery)
        case TrackComposite():
            return _track_composite(kind, _encoded(outputs, delivery.s3), delivery)
        case Track():
            return _track(kind, outputs, delivery)
        case Web():
            return _web(kind, _encoded(outputs, delivery.s3), delivery)


def _room_composite(
    kind: RoomComposite, outputs: _Outputs, delivery: Delivery
) -> protocol.RoomCompositeEgressRequest:
    return protocol.RoomCompositeEgressRequest(
        room_name=kind.room_name,
        layout=kind.layout,
        audio_only=kind.media is Media.AUDIO,
        video_only=kind.media is Media.VIDEO,
        custom_base_url=delivery.template_url,
        advanced=_options(kind.encoding),
        file_outputs=outputs.files,
        segment_outputs=outputs.segments,
        image_outputs=outputs.images,
        stream_outputs=outputs.streams,
        webhooks=delivery.webhooks,
    )


def _participant(
    kind: Participant, outputs: _Outputs, delivery: Delivery
) -> protocol.ParticipantEgressRequest:
    return protocol.ParticipantEgressRequest(
        room_name=kind.room_name,
        identity=kind.identity,
        screen_share=kind.screen_share,
        advanced=_options(kind.encoding),
        file_outputs=outputs.files,
        segment_outputs=outputs.segments,
        image_outputs=outputs.images,
        stream_outputs=outputs.streams,
        webhooks=delivery.webhooks,
    )


def _track_composite(
    kind: TrackComposite, outputs: _Outputs, delivery: Delivery
) -> protocol.TrackCompositeEgressRequest:
    return protocol.TrackCompositeEgressRequest(
        room_name=kind.room_name,
        audio_track_id=kind.audio_track_sid or "",
        video_track_id=kind.video_track_sid or "",
        advanced=_options(kind.encoding),
        file_outputs=outputs.files,
        segment_outputs=outputs.segments,
        image_outputs=outputs.images,
        stream_outputs=outputs.streams,
        webhooks=delivery.webhooks,
    )


def _track(kind: Track, outputs: Sequence[Output], delivery: Delivery) -> protocol.TrackEgressRequest:
    match outputs:
        case [File(path=path)]:
            return protocol.TrackEgressRequest(
                room_name=kind.room_name,
                track_id=kind.track_sid,
                file=protocol.DirectFileOutput(filepath=path, disable_manifest=True, s3=delivery.s3),
                webhooks=delivery.webhooks,
            )
        case _:
            raise EgressRefusedError("a track is recorded into one file and nothing else")


def _web(kind: Web, outputs: _Outputs, delivery: Delivery) -> protocol.WebEgressRequest:
    return protocol.WebEgressRequest(
        url=kind.page_url,
        audio_only=kind.media is Media.AUDIO,
        video_only=kind.media is Media.VIDEO,
        advanced=_options(kind.encoding),
        file_outputs=outputs.files,
        segment_outputs=outputs.segments,
        image_outputs=outputs.images,
        stream_outputs=outputs.streams,
        webhooks=delivery.webhooks,
    )


def _options(encoding: Encoding) -> protocol.EncodingOptions:
    width, height, video_bitrate = _RESOLUTIONS[encoding.resolution]
    if encoding.orientation == "portrait":
        width, height = height, width
    return protocol.EncodingOptions(
        width=width,
        height=height,
        framerate=encoding.framerate,
        video_codec=models.VideoCodec.H264_MAIN,
        video_bitrate=encoding.video_bitrate or video_bitrate,
        audio_codec=_AUDIO_CODECS[encoding.audio_codec],
        audio_bitrate=encoding.audio_bitrate or _AUDIO_BITRATE,
    )


def _encoded(outputs: Sequence[Output], s3: protocol.S3Upload) -> _Outputs:
    files: list[protocol.EncodedFileOutput] = []
    segments: list[protocol.SegmentedFileOutput] = []
    images: list[protocol.ImageOutput] = []
    streams: list[protocol.StreamOutput] = []
    for output in outputs:
        match output:
            case File():
                files.append(_file(output, s3))
            case Segments():
                segments.append(_segments(output, s3))
            case Thumbnails():
                images.append(_images(output, s3))
            case Streams():
                streams.append(_streams(output))
    return _Outputs(files, segments, images, streams)


# Manifests are switched off: LiveKit would write one into the folder of each output.


def _file(output: File, s3: protocol.S3Upload) -> protocol.EncodedFileOutput:
    _, _, extension = output.path.rpartition(".")
    return protocol.EncodedFileOutput(
        file_type=_FILE_TYPES[extension], filepath=output.path, disable_manifest=True, s3=s3
    )


def _segments(output: Segments, s3: protocol.S3Upload) -> protocol.SegmentedFileOutput:
    return protocol.SegmentedFileOutput(
        filename_prefix=output.prefix,
        playlist_name=output.playlist,
        live_playlist_name=output.live_playlist,
        segment_duration=output.seconds,
        disable_manifest=True,
        s3=s3,
    )


def _images(output: Thumbnails, s3: protocol.S3Upload) -> protocol.ImageOutput:
    suffixes = protocol.ImageFileSuffix
    return protocol.ImageOutput(
        capture_interval=output.every_seconds,
        width=output.width or 0,
        height=output.height or 0,
        filename_prefix=output.path,
        filename_suffix=suffixes.IMAGE_SUFFIX_NONE_OVERWRITE
        if output.only_latest
        else suffixes.IMAGE_SUFFIX_INDEX,
        disable_manifest=True,
        s3=s3,
    )


def _streams(output: Streams) -> protocol.StreamOutput:
    return protocol.StreamOutput(protocol=protocol.StreamProtocol.RTMP, urls=output.urls)
