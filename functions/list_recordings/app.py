"""GET /api/video/recordings: list the caller's recordings."""

from recorder.bootstrap import current, expect_database

expect_database()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.api.paging import PARAMETERS, cursor_after, page_of
from recorder.contract.answers import recording_json


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer one page, newest first unless asked otherwise."""
    page = page_of(request.query(*PARAMETERS), request.user_id)
    listing = current().recordings.list(page)
    return answer(
        HTTPStatus.OK,
        {
            "recordings": [recording_json(recording) for recording in listing.recordings],
            "nextCursor": cursor_after(page, listing.recordings[-1]) if listing.more else None,
        },
    )
