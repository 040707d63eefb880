"""PATCH /api/video/recordings/{id}: stop, pause or resume a recording."""

from recorder.bootstrap import current, expect_database, expect_livekit

expect_database()
expect_livekit()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import stopped_json
from recorder.errors import InvalidRequestError
from recorder.settings import WEBHOOK_PATH
from recorder.untrusted import json_value

ACTIONS = ("stop", "pause", "resume")


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer the recording as it is then; `Prefer: wait=N` waits for the final status of one that stops."""
    request.query()
    recordings, recording_id, user_id = current().recordings, request.recording_id, request.user_id
    match _action(request.body):
        case "pause":
            return answer(HTTPStatus.OK, stopped_json(recordings.pause(recording_id, user_id=user_id)))
        case "resume":
            webhook_url = f"{request.public_url}{WEBHOOK_PATH}"
            resumed = recordings.resume(recording_id, user_id=user_id, webhook_url=webhook_url)
            return answer(HTTPStatus.OK, stopped_json(resumed))
        case _:
            waited = recordings.stop_and_wait(recording_id, user_id=user_id, wait=request.wait)
            return answer(HTTPStatus.OK, stopped_json(waited.recording), **request.wait_granted(waited))


def _action(body: bytes) -> str:
    if not body.strip():
        return "stop"
    try:
        wish = json_value(body)
    except ValueError:
        raise InvalidRequestError(("body", "is not JSON")) from None
    if not isinstance(wish, dict):
        raise InvalidRequestError(("body", "must be an object"))
    for field in wish:
        if field != "action":
            raise InvalidRequestError((str(field), "is not a field of this request"))
    action = wish.get("action", "stop")
    if action not in ACTIONS:
        raise InvalidRequestError(("action", f"must be one of {', '.join(ACTIONS)}"))
    return str(action)
