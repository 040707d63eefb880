"""DELETE /api/video/recordings/{id}/links/{linkId}: revoke a link."""

from recorder.bootstrap import current, expect_database

expect_database()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, endpoint


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer success once the link opens nothing any more; presigned links that it gave last up to an hour."""
    request.query()
    current().sharing.revoke(request.recording_id, request.link_id, user_id=request.user_id)
    return answer(HTTPStatus.OK, {"success": True})
