"""PATCH /api/video/recordings/{id}: stop, pause or resume a recording, or change its description."""

from recorder.bootstrap import current, expect_database, expect_livekit

expect_database()
expect_livekit()

from http import HTTPStatus
from typing import TYPE_CHECKING

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import stopped_json
from recorder.settings import WEBHOOK_PATH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recorder.contract.requests import Action


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer the recording as it is then; `Prefer: wait=N` waits for the final status of one that stops.

    A description may be changed in every status, and no event tells of it.
    """
    request.query()
    recordings, recording_id, user_id = current().recordings, request.recording_id, request.user_id
    match _wish(request.body):
        case "stop":
            waited = recordings.stop_and_wait(recording_id, user_id=user_id, wait=request.wait)
            return answer(HTTPStatus.OK, stopped_json(waited.recording), **request.wait_granted(waited))
        case "pause":
            changed = recordings.pause(recording_id, user_id=user_id)
        case "resume":
            webhook_url = f"{request.public_url}{WEBHOOK_PATH}"
            changed = recordings.resume(recording_id, user_id=user_id, webhook_url=webhook_url)
        case description:
            changed = recordings.describe(recording_id, description, user_id=user_id)
    return answer(HTTPStatus.OK, stopped_json(changed))


def _wish(body: bytes) -> "Action | Mapping[str, object]":
    """Return what to do, or the description's new values."""
    if not body.strip():
        return "stop"
    # A stop without a body, the usual one, does not pay for pydantic.
    from recorder.contract.requests import DescribeRequest, parse_patch  # noqa: PLC0415

    wish = parse_patch(body)
    return wish.given if isinstance(wish, DescribeRequest) else wish.action
