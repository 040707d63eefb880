"""The kind of a stored recording: each take is asked for with it anew."""

from recorder.domain.recording import Recording
from recorder.domain.sources import (
    Encoding,
    Kind,
    Media,
    Participant,
    RoomComposite,
    Source,
    Track,
    TrackComposite,
    Web,
)


def kind_of(recording: Recording) -> Kind:
    """Return the kind of a recording from what is stored of it."""
    room_name, encoding = recording.room_name, encoding_of(recording)
    media = Media(recording.media or Media.AUDIO_VIDEO)
    match Source(recording.source):
        case Source.ROOM_COMPOSITE:
            layout = recording.layout or "grid"
            return RoomComposite(room_name=room_name, layout=layout, media=media, encoding=encoding)
        case Source.PARTICIPANT:
            return Participant(
                room_name=room_name,
                identity=recording.participant_identity or "",
                screen_share=recording.screen_share,
                encoding=encoding,
            )
        case Source.TRACK_COMPOSITE:
            return TrackComposite(
                room_name=room_name,
                audio_track_sid=recording.audio_track_sid,
                video_track_sid=recording.video_track_sid,
                encoding=encoding,
            )
        case Source.TRACK:
            return Track(room_name=room_name, track_sid=recording.track_sid or "", codec=recording.codec)
        case Source.WEB:
            page_url = recording.page_url or ""
            return Web(page_url=page_url, room_name=room_name, media=media, encoding=encoding)


def encoding_of(recording: Recording) -> Encoding:
    """Return how a recording is encoded."""
    return Encoding(
        resolution=recording.resolution or "1080p",
        orientation=recording.orientation or "landscape",
        framerate=recording.framerate or 30,
        codec=recording.codec or "h264",
        audio_codec=recording.audio_codec or "aac",
        audio_bitrate=recording.audio_bitrate,
        video_bitrate=recording.video_bitrate,
    )
