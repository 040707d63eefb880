"""An AWS account on this machine: MiniStack, into which `sam deploy` deploys as into AWS, and a Postgres with TLS.

Functions run with their roles: what a role does not allow is refused.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

import boto3
import pg8000.native

from local.functions.build import architecture
from local.processes.children import LOOPBACK, free_port, inherited_environment
from local.processes.environments import ROOT, tool
from local.services.aws import SERVICES, Aws
from local.services.postgres import DATABASE, USER, Postgres
from tests.support.certificates import Authority

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from local.processes.children import Processes

STACK: Final = "recorder"
DEPLOYED_SERVICES: Final = (
    *SERVICES,
    "apigateway",
    "apigatewayv2",
    "cloudformation",
    "iam",
    "lambda",
    "logs",
    "monitoring",
)


@dataclass(frozen=True)
class StackEvent:
    """What CloudFormation reports of one step."""

    resource: str
    status: str
    reason: str


class _Paginator(Protocol):
    def paginate(self, *, StackName: str) -> Iterable[dict[str, list[dict[str, str]]]]: ...  # noqa: N803


class _Stacks(Protocol):
    def get_paginator(self, operation: str) -> _Paginator: ...
    def describe_stacks(self, *, StackName: str) -> dict[str, list[dict[str, object]]]: ...  # noqa: N803


class _Body(Protocol):
    def read(self) -> bytes: ...


class _Functions(Protocol):
    def get_alias(self, *, FunctionName: str, Name: str) -> dict[str, str]: ...  # noqa: N803
    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, _Body]: ...  # noqa: N803


class _Logs(Protocol):
    def describe_log_groups(self) -> dict[str, list[dict[str, str]]]: ...


class Account:
    """The account, and the stack `recorder` in it."""

    def __init__(self, directory: Path, processes: Processes) -> None:
        self.postgres = Postgres(directory / "postgres", processes, durable=False)
        self.aws = Aws(directory / "s3", processes, services=DEPLOYED_SERVICES)
        self._directory = directory
        self._seen = 0

    def start(self) -> None:
        """Start the account and its database, and store the secrets."""
        self.postgres.start()
        authority = Authority(self._directory / "authority")
        authority.certify(self.postgres, LOOPBACK)
        self.aws.start()
        session = boto3.Session(self.aws.access_key, self.aws.secret_key, region_name=self.aws.region)
        endpoint = self.aws.endpoint
        self._stacks = cast("_Stacks", session.client("cloudformation", endpoint_url=endpoint))
        self._functions = cast("_Functions", session.client("lambda", endpoint_url=endpoint))
        self._logs = cast("_Logs", session.client("logs", endpoint_url=endpoint))
        self._parameters = {
            "Architecture": architecture(),
            "JwtIssuer": "https://issuer.example.com",
            "JwtAudience": "recordings",
            "RoomClaim": "*",
            "LiveKitUrl": f"ws://{LOOPBACK}:{free_port()}",
            "LiveKitSecretArn": self._secret("livekit", {"api_key": "key", "api_secret": "s" * 32}),
            "DatabaseHost": LOOPBACK,
            "DatabasePort": str(self.postgres.port),
            "DatabaseSecretArn": self._secret("database", {"password": self.postgres.password}),
            "DatabaseCaBundle": str(authority.bundle),
        }

    def _secret(self, name: str, value: dict[str, str]) -> str:
        return self.aws.secrets.create_secret(Name=name, SecretString=json.dumps(value))["ARN"]

    def deploy(self, built: Path, **parameters: str) -> subprocess.CompletedProcess[str]:
        """Run `sam deploy` on a built template, as samconfig.toml has it for development; parameters stay as given."""
        self._parameters |= parameters
        return self._sam(
            "deploy",
            *("--config-file", str(ROOT / "samconfig.toml"), "--config-env", "dev"),
            *("--template-file", str(built)),
            *("--stack-name", STACK),
            *("--parameter-overrides", *(f"{name}={value}" for name, value in self._parameters.items())),
        )

    def delete(self) -> subprocess.CompletedProcess[str]:
        """Run `sam delete`."""
        return self._sam("delete", "--no-prompts", "--stack-name", STACK)

    def _sam(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [tool("sam"), command, "--region", self.aws.region, *arguments],
            env=inherited_environment(
                AWS_ACCESS_KEY_ID=self.aws.access_key,
                AWS_ENDPOINT_URL=self.aws.endpoint,
                AWS_SECRET_ACCESS_KEY=self.aws.secret_key,
                SAM_CLI_TELEMETRY="0",
            ),
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )

    def status(self) -> object:
        """Return the stack's status."""
        return self._stack()["StackStatus"]

    def outputs(self) -> dict[str, str]:
        """Return the stack's outputs."""
        outputs = cast("list[dict[str, str]]", self._stack()["Outputs"])
        return {each["OutputKey"]: each["OutputValue"] for each in outputs}

    def _stack(self) -> dict[str, object]:
        [stack] = self._stacks.describe_stacks(StackName=STACK)["Stacks"]
        return stack

    def new_events(self) -> list[StackEvent]:
        """Return what happened since this was last asked, in order."""
        newest_first = [
            StackEvent(
                each["LogicalResourceId"], each["ResourceStatus"], each.get("ResourceStatusReason", "")
            )
            for each in self._each("describe_stack_events", "StackEvents")
        ]
        events = newest_first[::-1]
        new, self._seen = events[self._seen :], len(events)
        return new

    def functions(self) -> dict[str, str]:
        """Return the names of the stack's functions, by their logical ids."""
        return {
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for each in self._each("list_stack_resources", "StackResourceSummaries")
            if each["ResourceType"] == "AWS::Lambda::Function"
        }

    def _each(self, operation: str, field: str) -> Iterator[dict[str, str]]:
        for page in self._stacks.get_paginator(operation).paginate(StackName=STACK):
            yield from page[field]

    def live_versions(self) -> dict[str, str]:
        """Return which version of each function takes the traffic."""
        return {
            logical_id: self._functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
            for logical_id, name in self.functions().items()
            if logical_id != "MigrateDatabase"
        }

    def invoke(self, function: str, event: object) -> dict[str, object]:
        """Invoke a function by its name, and return its answer."""
        answer = self._functions.invoke(FunctionName=function, Payload=json.dumps(event).encode())
        result: dict[str, object] = json.loads(answer["Payload"].read())
        return result

    def log_groups(self) -> list[str]:
        """Return the names of all log groups."""
        return [each["logGroupName"] for each in self._logs.describe_log_groups()["logGroups"]]

    def query(self, statement: str) -> list[list[object]]:
        """Query the database."""
        with pg8000.native.Connection(
            USER, LOOPBACK, DATABASE, self.postgres.port, self.postgres.password
        ) as database:
            rows: list[list[object]] | None = database.run(statement)
            return rows or []
