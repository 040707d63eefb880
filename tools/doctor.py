"""Check a deployment from this machine: `make doctor`.

Without arguments, the stack of `make run`. With ENV=dev, what samconfig.local.toml has for an environment, before it is
deployed: what the deploy makes, and what only the functions' network reaches, is left to the check at its end. With
STACK=..., a deployed stack: its function CheckDeployment looks from where the functions run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.functions.deployment import Deployment
from local.processes import state
from local.processes.children import LocalStackError
from local.processes.environments import ROOT
from local.template.transform import Template
from recorder.doctor import Finding, Verdict, examine, summary
from tools.deploy_plan import PLAN, PlanError, answers, outputs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

STATE: Final = ROOT / ".local"
FUNCTION: Final = "CheckDeployment"
_FUNCTION_SECONDS: Final = 310
MADE_BY_THE_DEPLOY: Final = "RecordingsBucket", "EgressSecret.Id", "EgressRole.Arn", "HttpApi.ApiEndpoint"


def main() -> int:
    """Do what the command line says; return 1 where a check has failed."""
    arguments = _arguments()
    try:
        findings = _findings(arguments)
        told = [*_printed(findings)]
    except (LocalStackError, PlanError) as error:
        _say(str(error))
        return 2
    except (BotoCoreError, ClientError) as error:
        _say(f"AWS refuses: {error}")
        return 2
    _say(f"\n{summary(told)}")
    return 1 if any(each.verdict is Verdict.FAILED for each in told) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.doctor", description=__doc__)
    parser.add_argument("--stack", help="the name of a deployed stack")
    parser.add_argument("--environment", help="a section of samconfig.local.toml, before its deploy")
    parser.add_argument("--file", type=Path, default=PLAN, help="that file")
    parser.add_argument(
        "--state", type=lambda text: ROOT / text, default=STATE, help="of `make run` (.local)"
    )
    parser.add_argument(
        "--record", action="store_true", help="have a worker record and upload some seconds too"
    )
    return parser.parse_args()


def _findings(arguments: argparse.Namespace) -> Iterable[Finding]:
    if arguments.stack:
        return deployed(arguments.stack, record=arguments.record)
    if arguments.environment:
        return planned(arguments.file, arguments.environment, record=arguments.record)
    return running(arguments.state, record=arguments.record)


def running(directory: Path, *, record: bool) -> Iterator[Finding]:
    """Check a running local stack. Raises LocalStackError where there is none."""
    if not state.running(directory):
        raise LocalStackError("No stack runs here. Start one with `make run`, or give ENV=... or STACK=...")
    deployment = Deployment.read(directory / "deployment.json")
    os.environ |= settings_of(deployment.parameters, deployment.resources, deployment.region)
    os.environ |= deployment.environment | {
        "AWS_REGION": deployment.region,
        "AWS_ACCESS_KEY_ID": deployment.access_key,
        "AWS_SECRET_ACCESS_KEY": deployment.secret_key,
    }
    os.environ.pop("AWS_SESSION_TOKEN", None)
    return examine(record=record)


def planned(file: Path, environment: str, *, record: bool) -> Iterator[Finding]:
    """Check what is to be deployed. Raises PlanError where there are no answers yet."""
    if not file.exists():
        raise PlanError(f"{file.name} is not there: make deploy-plan, and a guided deploy, write it.")
    parameters = answers(file, environment)
    session = boto3.Session()
    found = session.get_credentials()
    if found is None or session.region_name is None:
        raise PlanError("AWS credentials and a region are needed, as for `sam deploy`.")
    keys = found.get_frozen_credentials()
    os.environ |= settings_of(parameters, dict.fromkeys(MADE_BY_THE_DEPLOY, ""), session.region_name)
    os.environ |= {
        "AWS_REGION": session.region_name,
        "AWS_ACCESS_KEY_ID": keys.access_key or "",
        "AWS_SECRET_ACCESS_KEY": keys.secret_key or "",
        "AWS_SESSION_TOKEN": keys.token or "",
    }
    later = {"webhook"}
    if not parameters.get("ExistingBucket") or parameters.get("EgressCredentials", "create") == "create":
        later.add("bucket")
    if parameters.get("SubnetIds"):
        later.add("Postgres")
    return examine(record=record and "bucket" not in later, later=later)


def settings_of(parameters: Mapping[str, str], resources: Mapping[str, str], region: str) -> dict[str, str]:
    """Return what the template tells the function with these parameters, as a deploy would."""
    template = Template(ROOT / "template.yaml", parameters, resources, region)
    functions = dict(template.select("AWS::Lambda::Function", "Environment"))
    return cast("dict[str, dict[str, str]]", functions[FUNCTION]["Environment"])["Variables"]


class _Body(Protocol):
    def read(self) -> bytes: ...


class _Functions(Protocol):
    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, _Body]: ...  # noqa: N803


def deployed(stack: str, *, record: bool) -> Iterator[Finding]:
    """Yield what the function of a deployed stack finds. Raises PlanError, or what boto3 raises."""
    name = outputs_of(stack).get(f"{FUNCTION}Name")
    if not name:
        raise PlanError(f"The stack {stack} has no {FUNCTION}: it is of a release before it.")
    once = Config(read_timeout=_FUNCTION_SECONDS, retries={"total_max_attempts": 1, "mode": "standard"})
    functions = cast("_Functions", boto3.client("lambda", config=once))
    payload = json.dumps({"record": record}).encode()
    told = json.loads(functions.invoke(FunctionName=name, Payload=payload)["Payload"].read())
    if "findings" not in told:
        raise PlanError(f"{name} failed: {told.get('errorType')}. Its log says more.")
    for each in told["findings"]:
        yield Finding(each["check"], Verdict(each["verdict"]), each["says"], each["advice"])


def _printed(findings: Iterable[Finding]) -> Iterator[Finding]:
    for each in findings:
        _say(each.line())
        yield each


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
