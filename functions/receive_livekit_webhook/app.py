"""POST /api/video/livekit/webhook[/{id}]: what LiveKit reports of its egress."""

from recorder.bootstrap import current, expect_database, expect_livekit_secret

expect_livekit_secret()
expect_database()

from http import HTTPStatus

from recorder.api.endpoint import Answer, Request, answer, public_endpoint
from recorder.errors import InvalidRequestError, UnauthorizedError
from recorder.livekit.webhook import MAXIMUM_BYTES, snapshot_in, verify
from recorder.telemetry import Code, count, log

_DOTS_OF_A_JWT = 2


@public_endpoint
def lambda_handler(request: Request) -> Answer:
    """Answer 200 once what the webhook says is stored, 5xx where it could not be, so that LiveKit tries again."""
    try:
        body = _verified_body(request)
        snapshot = snapshot_in(body, current().storage_settings)
    except (UnauthorizedError, InvalidRequestError) as error:
        reason = _reason(request, error)
        log.warning(Code.WEBHOOK_REJECTED, recording_id=request.logged_recording_id, reason=reason)
        count("WebhooksRejected", reason=reason)
        raise
    recording_id = request.named_recording_id
    if snapshot is not None:
        current().ledger.receive(snapshot, recording_id)
    return answer(HTTPStatus.OK, {"success": True})


def _reason(request: Request, error: UnauthorizedError | InvalidRequestError) -> str:
    """Tell what anybody may send to an open address from what only a key that has changed explains."""
    if isinstance(error, InvalidRequestError):
        return "not_a_webhook"
    signed = (request.header("authorization") or "").count(".") == _DOTS_OF_A_JWT
    return "wrong_signature" if signed else "unsigned"


def _verified_body(request: Request) -> bytes:
    authorization = request.header("authorization")
    if not authorization:
        raise UnauthorizedError("the webhook is not signed")
    body = request.body_up_to(MAXIMUM_BYTES)
    keys = current().livekit_keys
    verify(body, authorization, api_key=keys["api_key"], api_secret=keys["api_secret"])
    return body
