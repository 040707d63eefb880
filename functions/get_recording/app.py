"""GET /api/video/recordings/{id}: one recording, with a link to its file."""

from recorder.bootstrap import current, expect_database

expect_database()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import file_json, link_json, recording_json, takes_json, time_json


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer the recording as it is now; `Prefer: wait=N` waits for its status to change."""
    request.query()
    waited = current().recordings.get_changed(
        request.recording_id, user_id=request.user_id, wait=request.wait
    )
    recording = current().recordings.counted(waited.recording)
    media = current().recordings.media(recording, request.public_url)
    return answer(
        HTTPStatus.OK,
        {
            "recording": recording_json(recording),
            "downloadUrl": media.download.url if media.download is not None else None,
            "downloadUrlExpiresAt": time_json(media.download.expires_at)
            if media.download is not None
            else None,
            "playbackUrl": media.playback_url,
            "posterUrl": media.poster_url,
            "files": [file_json(file) for file in media.files],
            "takes": takes_json(recording),
            "links": [link_json(link) for link in current().sharing.links_of(waited.recording)],
        },
        **request.wait_granted(waited),
    )
