"""Invoked by the product itself: begin the next take of a recording whose worker was lost."""

from recorder.bootstrap import current, expect_database, expect_livekit

expect_database()
expect_livekit()

from typing import TYPE_CHECKING

from recorder.telemetry import log
from recorder.usecases.calls import recording_of

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@log.logger.inject_lambda_context
def lambda_handler(event: dict[str, object], _context: "LambdaContext") -> dict[str, object]:
    """Work on the recording that `recordingId` names; what cannot be done now, a later invocation does."""
    current().takes.go_on(recording_of(event), current().api_settings.webhook_url or None)
    return {}
