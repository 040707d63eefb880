"""Invoked by the product itself: join the takes of a recording into one file, or remove the parts of one that is."""

from recorder.bootstrap import current, expect_database

expect_database()

from functools import cache
from typing import TYPE_CHECKING

from joiner import BucketJoiner
from recorder.settings import AwsSettings
from recorder.telemetry import log
from recorder.usecases.assembling import Assembling
from recorder.usecases.calls import recording_of

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


@cache
def _joiner() -> BucketJoiner:
    return BucketJoiner.of(current().storage_settings.bucket, AwsSettings.from_environment())


@log.logger.inject_lambda_context
def lambda_handler(event: dict[str, object], _context: "LambdaContext") -> dict[str, object]:
    """Work on the recording that `recordingId` names; what cannot be done now, a later invocation does."""
    environment = current()
    assembling = Assembling(environment, _joiner(), environment.policy.assemble_maximum_bytes)
    assembling.assemble(recording_of(event))
    return {}
