"""PATCH /api/video/recordings/{id}: stop a recording."""

from recorder.bootstrap import current, expect_database, expect_livekit

expect_database()
expect_livekit()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import stopped_json
from recorder.errors import InvalidRequestError
from recorder.untrusted import json_value


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer `stopping` until the file exists; `Prefer: wait=N` waits for the final status."""
    request.query()
    _check_action(request.body)
    waited = current().recordings.stop_and_wait(
        request.recording_id, user_id=request.user_id, wait=request.wait
    )
    return answer(HTTPStatus.OK, stopped_json(waited.recording), **request.wait_granted(waited))


def _check_action(body: bytes) -> None:
    if not body.strip():
        return
    try:
        wish = json_value(body)
    except ValueError:
        raise InvalidRequestError(("body", "is not JSON")) from None
    if not isinstance(wish, dict):
        raise InvalidRequestError(("body", "must be an object"))
    for field in wish:
        if field != "action":
            raise InvalidRequestError((str(field), "is not a field of this request"))
    if wish.get("action", "stop") != "stop":
        raise InvalidRequestError(("action", "must be stop"))
