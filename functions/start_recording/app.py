"""POST /api/video/recordings: start a recording."""

from recorder.bootstrap import current, expect_database, expect_livekit

expect_database()
expect_livekit()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import started_json
from recorder.contract.requests import LAYOUTS, StartRequest, parse
from recorder.errors import ForbiddenError, InvalidRequestError
from recorder.settings import WEBHOOK_PATH


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer 201, or 202 where LiveKit's answer was lost and the sweep will settle it."""
    request.query()
    options = parse(StartRequest, request.body)
    _check_layout(options.layout)
    request.require_room(options.room_name)
    if options.page_url is not None:
        _check_page(options.page_url)
    started = current().recordings.start(
        options,
        user_id=request.user_id,
        idempotency_key=request.idempotency_key,
        webhook_url=f"{request.public_url}{WEBHOOK_PATH}",
    )
    return answer(
        HTTPStatus.CREATED if started.egress_id else HTTPStatus.ACCEPTED,
        started_json(started.recording_id, started.egress_id),
        Location=f"/api/video/recordings/{started.recording_id}",
    )


def _check_layout(layout: str) -> None:
    # Only a page of the deployment's own knows its layouts.
    if layout not in LAYOUTS and not current().upload_settings.template_url:
        raise InvalidRequestError(("layout", f"must be one of {', '.join(LAYOUTS)}"))


def _check_page(page_url: str) -> None:
    if not current().page_settings.allow(page_url):
        raise ForbiddenError("pages of this origin may not be recorded: the deployment names those that may")
