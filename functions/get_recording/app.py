"""GET /api/video/recordings/{id}: one recording, with a link to its file."""

from recorder.bootstrap import current, expect_database

expect_database()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import link_json, recording_json, time_json


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer the recording as it is now; `Prefer: wait=N` waits for its status to change."""
    request.query()
    waited = current().recordings.get_changed(
        request.recording_id, user_id=request.user_id, wait=request.wait
    )
    download = current().recordings.download(waited.recording)
    return answer(
        HTTPStatus.OK,
        {
            "recording": recording_json(waited.recording),
            "links": [link_json(link) for link in current().sharing.links_of(waited.recording)],
            "playbackUrl": download.playback_url,
            "downloadUrl": download.url,
            "downloadUrlExpiresAt": time_json(download.expires_at),
        },
        **request.wait_granted(waited),
    )
