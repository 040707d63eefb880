"""DELETE /api/video/recordings/{id}: remove a recording, its files and whatever still runs for it."""

from recorder.bootstrap import current, expect_database

expect_database()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, endpoint


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer success as soon as the recording is invisible; what is left to remove, the sweep removes."""
    request.query()
    current().recordings.delete(request.recording_id, user_id=request.user_id)
    return answer(HTTPStatus.OK, {"success": True})
