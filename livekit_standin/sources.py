"""The source of an egress in its room: whether it is there, its names and its codecs."""

from dataclasses import replace

from livekit.protocol import models

from livekit_standin.outputs.asked import Names
from livekit_standin.recording import Encoding
from livekit_standin.records import Egress

_TRACK_MEDIA = {
    "audio/opus": ("ogg", Encoding(audio_codec="opus")),
    "video/VP8": ("webm", Encoding(video_codec="vp8")),
    "video/H264": ("mp4", Encoding(video_codec="h264")),
}


def present(found: Egress) -> bool:
    """Say whether what an egress records is there."""
    job, room = found.job, found.room
    if room is None:
        return True
    if job.identity:
        participant = room.participants.get(job.identity)
        return participant is not None and (not job.screen_share or shares_screen(participant))
    if job.tracks:
        return all(room.track(sid) is not None for sid in job.tracks)
    return bool(room.participants)


def shares_screen(participant: models.ParticipantInfo) -> bool:
    """Say whether a participant shares a screen."""
    return any(track.source == models.SCREEN_SHARE for track in participant.tracks)


def missing(found: Egress) -> str:
    """Name what is not there."""
    if not found.job.tracks:
        return f"participant {found.job.identity}"
    room = found.room
    sid = next(sid for sid in found.job.tracks if room is None or room.track(sid) is None)
    return f"track {sid}"


def learn(found: Egress) -> Names:
    """Learn whose departure ends an egress, and a track's codec; give what its names are filled with."""
    job, room = found.job, found.room
    found.publisher = job.identity
    identifier = job.identity or job.room_name or "web"
    replacements: dict[str, str] = {}
    if room is not None:
        replacements = {"room_name": room.name, "room_id": room.info.sid}
        published = room.track(job.tracks[0]) if job.tracks else None
        if published is not None:
            participant, track = published
            found.publisher = participant.identity
            if job.as_published:
                identifier = track.sid
                replacements |= _track_replacements(track)
                _learn_codec(found, track)
    if found.publisher:
        replacements["publisher_identity"] = found.publisher
    return Names(identifier, replacements, found.info.started_at)


def _learn_codec(found: Egress, track: models.TrackInfo) -> None:
    container, encoding = _TRACK_MEDIA[track.mime_type]
    job = found.job
    if job.outputs.file is not None:
        outputs = replace(job.outputs, file=replace(job.outputs.file, container=container))
        found.job = replace(job, encoding=encoding, outputs=outputs)


def _track_replacements(track: models.TrackInfo) -> dict[str, str]:
    return {
        "track_id": track.sid,
        "track_type": models.TrackType.Name(track.type).lower(),
        "track_source": models.TrackSource.Name(track.source).lower(),
    }
