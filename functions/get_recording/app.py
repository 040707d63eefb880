"""GET /api/video/recordings/{id}: one recording, with a link to its file."""

from http import HTTPStatus

from recorder.bootstrap import recordings
from recorder.http import Answer, Request, answer, endpoint
from recorder.schemas import recording_json, time_json


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer the recording as it is now; `Prefer: wait=N` waits for its status to change."""
    request.query()
    recording = recordings().get(request.recording_id, user_id=request.user_id, wait=request.wait)
    download = recordings().download(recording)
    return answer(
        HTTPStatus.OK,
        {
            "recording": recording_json(recording),
            "downloadUrl": download.url,
            "downloadUrlExpiresAt": time_json(download.expires_at),
        },
    )
