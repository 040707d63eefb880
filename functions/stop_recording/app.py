"""PATCH /api/video/recordings/{id}: stop a recording, or change its description."""

from recorder.bootstrap import current, expect_database, expect_livekit

expect_database()
expect_livekit()

from http import HTTPStatus
from typing import TYPE_CHECKING

from recorder.api.endpoint import Answer, Request, answer, endpoint
from recorder.contract.answers import stopped_json

if TYPE_CHECKING:
    from collections.abc import Mapping


@endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer `stopping` until the file exists; `Prefer: wait=N` waits for the final status.

    A description may be changed in every status, and no event tells of it.
    """
    request.query()
    recordings, recording_id, user_id = current().recordings, request.recording_id, request.user_id
    description = _description(request.body)
    if description is not None:
        described = recordings.describe(recording_id, description, user_id=user_id)
        return answer(HTTPStatus.OK, stopped_json(described))
    waited = recordings.stop_and_wait(recording_id, user_id=user_id, wait=request.wait)
    return answer(HTTPStatus.OK, stopped_json(waited.recording), **request.wait_granted(waited))


def _description(body: bytes) -> "Mapping[str, object] | None":
    """Return the description's new values; None where the body asks for the stop."""
    if not body.strip():
        return None
    # A stop without a body, the usual one, does not pay for pydantic.
    from recorder.contract.requests import DescribeRequest, parse_patch  # noqa: PLC0415

    wish = parse_patch(body)
    return wish.given if isinstance(wish, DescribeRequest) else None
