"""DELETE /api/video/recordings/{id}: remove a recording, its files and whatever still runs for it."""

from http import HTTPStatus

from recorder.bootstrap import recordings
from recorder.http import Answer, Request, answer, endpoint


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer success as soon as the recording is invisible; what is left to remove, the sweep removes."""
    request.query()
    recordings().delete(request.recording_id, user_id=request.user_id)
    return answer(HTTPStatus.OK, {"success": True})
