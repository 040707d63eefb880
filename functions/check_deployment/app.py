"""Check whether all is there that this deployment needs: at the end of each deploy, and by hand."""

import time
from typing import TYPE_CHECKING, Final, cast

from recorder.api.custom_resource import CustomResourceRequest, answer
from recorder.doctor import Finding, Verdict, examine, summary
from recorder.telemetry import Code, log

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# At a first deploy the role is seconds old, and IAM may not have told everybody of it yet.
_IAM_SECONDS: Final = 60.0
_PAUSE_SECONDS: Final = 5.0


@log.logger.inject_lambda_context
def lambda_handler(event: dict[str, object], _context: "LambdaContext") -> dict[str, object]:
    """Return every finding; with `{"record": true}` a worker also records and uploads some seconds.

    A deploy never fails by what is found: the stack's output `Checks` tells it.
    """
    if "ResponseURL" in event:
        request = cast("CustomResourceRequest", event)
        findings = [] if request["RequestType"] == "Delete" else _patiently()
        answer(request, "SUCCESS", "", {"Report": summary(findings)})
    else:
        findings = _told(record=event.get("record") is True)
    return {
        "summary": summary(findings),
        "findings": [
            {"check": each.check, "verdict": each.verdict, "says": each.says, "advice": each.advice}
            for each in findings
        ],
    }


def _patiently() -> list[Finding]:
    until = time.monotonic() + _IAM_SECONDS
    while True:
        findings = _told(record=False)
        refused = any("AccessDenied" in each.says for each in findings)
        if not refused or time.monotonic() + _PAUSE_SECONDS > until:
            return findings
        time.sleep(_PAUSE_SECONDS)


def _told(*, record: bool) -> list[Finding]:
    findings = []
    for each in examine(record=record):
        if each.verdict is Verdict.OK:
            log.info(Code.CHECK_PASSED, check=each.check, reason=each.says)
        else:
            log.warning(Code.CHECK_NOT_PASSED, check=each.check, reason=each.says, advice=each.advice)
        findings.append(each)
    return findings
