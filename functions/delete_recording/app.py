"""DELETE /api/video/recordings/{id}: remove a recording, its files and whatever still runs for it."""

from recorder.bootstrap import current, expect_database

expect_database()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import deleted_json


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer success as soon as the recording is invisible; what is left to remove, the sweep removes."""
    request.query()
    left = current().recordings.delete(request.recording_id, user_id=request.user_id)
    return answer(HTTPStatus.OK, deleted_json(left))
