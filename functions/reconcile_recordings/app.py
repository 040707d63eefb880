"""Every minute: make true what webhooks missed, and leave nothing unowned."""

from recorder.bootstrap import current, expect_database, expect_livekit

expect_database()
expect_livekit()

from typing import TYPE_CHECKING

from aws_lambda_powertools.metrics import MetricUnit

from recorder.errors import DatabaseBusyError
from recorder.telemetry import Code, count, log

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

_RESERVE_SECONDS = 5.0
# Rows are leased for less than a minute, so nothing but waiting may take longer.
_WAIT_SECONDS = 20.0


@log.logger.inject_lambda_context
def lambda_handler(_event: dict[str, object], context: "LambdaContext") -> dict[str, object]:
    """Sweep for as long as this invocation may run; the summary goes into the log and the metrics."""

    def seconds_left() -> float:
        return context.get_remaining_time_in_millis() / 1000 - _RESERVE_SECONDS - _WAIT_SECONDS

    try:
        summary = current().sweep.run(seconds_left, waits=_WAIT_SECONDS)
    except DatabaseBusyError:
        # It passes, and is no failure of this release: SweepSilent tells where it does not pass.
        log.warning(Code.SWEEP_POSTPONED)
        return {"outcomes": {}, "finished": False}
    outcomes = {outcome.value: number for outcome, number in sorted(summary.outcomes.items())}
    for outcome, number in outcomes.items():
        count("RecordingsReconciled", number, outcome=outcome)
    count("OldestUnsettledSeconds", summary.oldest_due_seconds, unit=MetricUnit.Seconds)
    count("UnpublishedEvents", summary.unpublished_events)
    report: dict[str, object] = {
        "outcomes": outcomes,
        "finished": summary.finished,
        "oldestDueSeconds": round(summary.oldest_due_seconds, 1),
        "unpublishedEvents": summary.unpublished_events,
    }
    log.info(Code.SWEPT, **report)
    return report
