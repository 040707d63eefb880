"""POST /api/video/livekit/webhook[/{id}]: what LiveKit reports of its egress."""

from http import HTTPStatus

from recorder.bootstrap import expect_livekit_secret, livekit_secret, recordings, storage_settings
from recorder.errors import InvalidRequestError, UnauthorizedError
from recorder.http import Answer, Request, answer, public_endpoint
from recorder.livekit_webhook import MAXIMUM_BYTES, snapshot_in, verify
from recorder.telemetry import Code, count, log

expect_livekit_secret()


@public_endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer 200 once what the webhook says is stored, 5xx where it could not be, so that LiveKit tries again."""
    try:
        body = _verified_body(request)
        snapshot = snapshot_in(body, storage_settings())
    except (UnauthorizedError, InvalidRequestError) as error:
        recording_id = request.logged_recording_id
        log.warning(Code.WEBHOOK_REJECTED, recording_id=recording_id, reason=type(error).__name__)
        count("WebhooksRejected", reason=type(error).__name__)
        raise
    recording_id = request.named_recording_id
    if snapshot is not None:
        recordings().receive(snapshot, recording_id)
    return answer(HTTPStatus.OK, {"success": True})


def _verified_body(request: Request) -> bytes:
    authorization = request.header("authorization")
    if not authorization:
        raise UnauthorizedError("the webhook is not signed")
    body = request.body_up_to(MAXIMUM_BYTES)
    keys = livekit_secret()
    verify(body, authorization, api_key=keys["api_key"], api_secret=keys["api_secret"])
    return body
