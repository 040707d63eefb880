"""POST /api/video/recordings: start a recording."""

from recorder.bootstrap import current, expect_database, expect_livekit

expect_database()
expect_livekit()

from http import HTTPStatus

from pydantic import ValidationError

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import started_json
from recorder.contract.requests import LAYOUTS, PROBLEMS, StartRequest
from recorder.errors import ForbiddenError, InvalidRequestError
from recorder.settings import WEBHOOK_PATH
from recorder.untrusted import json_value


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer 201, or 202 where LiveKit's answer was lost and the sweep will settle it."""
    request.query()
    options = _options(request.body)
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


def _options(body: bytes) -> StartRequest:
    try:
        # pydantic's own reader of JSON would pass over a field's Python name instead of naming it.
        return StartRequest.model_validate(json_value(body), by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidRequestError(*_details(error)) from None
    except ValueError:
        raise InvalidRequestError(("body", "is not JSON")) from None


def _check_layout(layout: str) -> None:
    # Which layouts a page of the deployment's own has, only that page knows.
    if layout not in LAYOUTS and not current().upload_settings.template_url:
        raise InvalidRequestError(("layout", f"must be one of {', '.join(LAYOUTS)}"))


def _check_page(page_url: str) -> None:
    if not current().page_settings.allow(page_url):
        raise ForbiddenError("pages of this origin may not be recorded: the deployment names those that may")


def _details(error: ValidationError) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for each in error.errors(include_url=False, include_input=False):
        if each["type"] == PROBLEMS:
            found += each["ctx"][PROBLEMS]
        else:
            field = ".".join(map(str, each["loc"])) or "body"
            unknown = each["type"] == "extra_forbidden"
            found.append((field, "is not a field of this request" if unknown else each["msg"]))
    return found
