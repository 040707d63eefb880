"""POST /api/video/livekit/webhook[/{id}]: what LiveKit reports of its egress."""

from recorder.bootstrap import current, expect_database, expect_livekit_secret

expect_database()
expect_livekit_secret()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, public_endpoint
from recorder.errors import InvalidRequestError, UnauthorizedError
from recorder.livekit.webhook import MAXIMUM_BYTES, snapshot_in, verify
from recorder.telemetry import Code, count, log


@public_endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer 200 once what the webhook says is stored, 5xx where it could not be, so that LiveKit tries again."""
    try:
        body = _verified_body(request)
        snapshot = snapshot_in(body, current().storage_settings)
    except (UnauthorizedError, InvalidRequestError) as error:
        recording_id = request.logged_recording_id
        log.warning(Code.WEBHOOK_REJECTED, recording_id=recording_id, reason=type(error).__name__)
        count("WebhooksRejected", reason=type(error).__name__)
        raise
    recording_id = request.named_recording_id
    if snapshot is not None:
        current().ledger.receive(snapshot, recording_id)
    return answer(HTTPStatus.OK, {"success": True})


def _verified_body(request: Request) -> bytes:
    authorization = request.header("authorization")
    if not authorization:
        raise UnauthorizedError("the webhook is not signed")
    body = request.body_up_to(MAXIMUM_BYTES)
    keys = current().livekit_keys
    verify(body, authorization, api_key=keys["api_key"], api_secret=keys["api_secret"])
    return body
