"""GET /api/video/recordings: list the caller's recordings."""

from http import HTTPStatus

from recorder.bootstrap import recordings
from recorder.http import Answer, Request, answer, endpoint
from recorder.paging import PARAMETERS, cursor_after, page_of
from recorder.schemas import recording_json


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer one page, newest first unless asked otherwise."""
    page = page_of(request.query(*PARAMETERS), request.user_id)
    listing = recordings().list(page)
    return answer(
        HTTPStatus.OK,
        {
            "recordings": [recording_json(recording) for recording in listing.recordings],
            "nextCursor": cursor_after(page, listing.recordings[-1]) if listing.more else None,
        },
    )
