"""POST /api/video/recordings: start a recording."""

from recorder.bootstrap import current, expect_database, expect_livekit

expect_database()
expect_livekit()

from http import HTTPStatus

from pydantic import ValidationError

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import started_json
from recorder.contract.requests import LAYOUTS, StartRequest
from recorder.errors import InvalidRequestError
from recorder.settings import WEBHOOK_PATH
from recorder.untrusted import json_value


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer 201, or 202 where LiveKit's answer was lost and the sweep will settle it."""
    request.query()
    options = _options(request.body)
    _check_layout(options.layout)
    request.require_room(options.room_name)
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
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        raise InvalidRequestError(
            *(_detail(each["type"], each["loc"], each["msg"]) for each in problems)
        ) from None
    except ValueError:
        raise InvalidRequestError(("body", "is not JSON")) from None


def _check_layout(layout: str) -> None:
    # Which layouts a page of the deployment's own has, only that page knows.
    if layout not in LAYOUTS and not current().upload_settings.template_url:
        raise InvalidRequestError(("layout", f"must be one of {', '.join(LAYOUTS)}"))


def _detail(kind: str, location: tuple[int | str, ...], message: str) -> tuple[str, str]:
    # Rules about several fields carry the name of the one to change as their type.
    field = str(location[0]) if location else kind if kind in {"trackSid", "trackBased"} else "body"
    return field, "is not a field of this request" if kind == "extra_forbidden" else message
