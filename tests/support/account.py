"""An AWS account on this machine: MiniStack, into which `sam deploy` deploys as into AWS, Postgres, and an issuer.

All of them speak TLS, which everybody verifies. What roles and policies do not allow is refused.
"""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, cast

import boto3
import httpx
import pg8000.native

from local.functions.build import architecture
from local.processes.children import LOOPBACK, free_port, inherited_environment
from local.processes.environments import ROOT, tool
from local.services.authority import Authority
from local.services.aws import SERVICES, Aws
from local.services.issuer import AUDIENCE, Issuer
from local.services.postgres import DATABASE, USER, Postgres

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client

    from local.processes.children import Processes
    from local.processes.server import Server

STACK: Final = "recorder"
DATABASE_STACK: Final = "recorder-database"
DEPLOYED_SERVICES: Final = (
    *SERVICES,
    "apigateway",
    "apigatewayv2",
    "cloudformation",
    "ec2",
    "iam",
    "lambda",
    "logs",
    "monitoring",
    "rds",
    "ssm",
)


@dataclass(frozen=True)
class Keys:
    """Keys with which somebody signs requests to AWS."""

    access_key: str
    secret_key: str
    session_token: str | None = None


@dataclass(frozen=True)
class StackEvent:
    """CloudFormation's report of one step."""

    resource: str
    status: str
    reason: str


class _Users(Protocol):
    def create_user(self, *, UserName: str) -> dict[str, dict[str, str]]: ...  # noqa: N803
    def put_user_policy(self, *, UserName: str, PolicyName: str, PolicyDocument: str) -> object: ...  # noqa: N803
    def create_access_key(self, *, UserName: str) -> dict[str, dict[str, str]]: ...  # noqa: N803


class _Sessions(Protocol):
    def assume_role(
        self,
        *,
        RoleArn: str,  # noqa: N803
        RoleSessionName: str,  # noqa: N803
        **external_id: str,
    ) -> dict[str, dict[str, str]]: ...


class _Parameters(Protocol):
    def put_parameter(self, *, Name: str, Value: str, Type: str) -> object: ...  # noqa: N803


class _Session(Protocol):
    def client(self, service: str, *, endpoint_url: str, verify: str) -> object: ...


class _Paginator(Protocol):
    def paginate(self, *, StackName: str) -> Iterable[dict[str, list[dict[str, str]]]]: ...  # noqa: N803


class _Stacks(Protocol):
    def get_paginator(self, operation: str) -> _Paginator: ...
    def describe_stacks(self, *, StackName: str) -> dict[str, list[dict[str, object]]]: ...  # noqa: N803


class _Body(Protocol):
    def read(self) -> bytes: ...


class _Functions(Protocol):
    def get_function_configuration(self, *, FunctionName: str) -> dict[str, dict[str, dict[str, str]]]: ...  # noqa: N803
    def get_alias(self, *, FunctionName: str, Name: str) -> dict[str, str]: ...  # noqa: N803
    def invoke(self, *, FunctionName: str, Payload: bytes) -> dict[str, _Body]: ...  # noqa: N803


class _Logs(Protocol):
    def describe_log_groups(self) -> dict[str, list[dict[str, str]]]: ...


class Account:
    """The account, and the stack `recorder` in it."""

    def __init__(self, directory: Path, processes: Processes, server: Server) -> None:
        self._authority = Authority(directory / "authority")
        certificate = self._authority.certificate(LOOPBACK)
        self.postgres = Postgres(directory / "postgres", processes, durable=False)
        self.aws = Aws(directory / "s3", processes, services=DEPLOYED_SERVICES, certificate=certificate)
        listener = server.listen()
        self.issuer = Issuer(directory / "issuer", f"https://{LOOPBACK}:{listener.getsockname()[1]}")
        server.serve(self.issuer.app(), listener, certificate)
        self._directory = directory
        self._seen = 0

    def start(self) -> None:
        """Start the account and its database, and store the secrets."""
        self.postgres.start()
        self._authority.certify(self.postgres, LOOPBACK)
        self.aws.start()
        self._stacks = cast("_Stacks", self._client("cloudformation"))
        self._functions = cast("_Functions", self._client("lambda"))
        self._logs = cast("_Logs", self._client("logs"))
        self._parameters = {
            "Architecture": architecture(),
            "JwtIssuer": self.issuer.url,
            "JwtAudience": AUDIENCE,
            "RoomClaim": "*",
            "LiveKitUrl": f"ws://{LOOPBACK}:{free_port()}",
            "LiveKitSecretArn": self._secret("livekit", {"api_key": "key", "api_secret": "s" * 32}),
            "DatabaseHost": LOOPBACK,
            "DatabasePort": str(self.postgres.port),
            "DatabaseSecretArn": self._secret("database", {"password": self.postgres.password}),
            "DatabaseCaBundle": str(self._authority.bundle),
        }

    def put_secret(self, name: str, value: dict[str, str]) -> str:
        """Store a secret, and return its ARN."""
        return self._secret(name, value)

    def user(self, name: str) -> tuple[str, Keys]:
        """Make an IAM user who may assume the roles that trust it and nothing else, and return its ARN and keys."""
        users = cast("_Users", self._client("iam"))
        arn = users.create_user(UserName=name)["User"]["Arn"]
        statement = {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        users.put_user_policy(UserName=name, PolicyName="assume", PolicyDocument=document)
        key = users.create_access_key(UserName=name)["AccessKey"]
        return arn, Keys(key["AccessKeyId"], key["SecretAccessKey"])

    def assume(self, role: str, keys: Keys, **external_id: str) -> Keys:
        """Assume a role with somebody's keys. Raises ClientError where its trust does not allow that."""
        sessions = cast("_Sessions", self._client("sts", keys))
        found = sessions.assume_role(RoleArn=role, RoleSessionName="test", **external_id)["Credentials"]
        return Keys(found["AccessKeyId"], found["SecretAccessKey"], found["SessionToken"])

    def put_parameter(self, name: str, value: str) -> None:
        """Store a parameter of Systems Manager."""
        cast("_Parameters", self._client("ssm")).put_parameter(Name=name, Value=value, Type="String")

    def s3(self, keys: Keys) -> S3Client:
        """Return a client of S3 that signs with somebody's keys."""
        return cast("S3Client", self._client("s3", keys))

    def variables(self, function: str) -> dict[str, str]:
        """Return what a function is told."""
        found = self._functions.get_function_configuration(FunctionName=self.functions()[function])
        return found["Environment"]["Variables"]

    def _client(self, service: str, keys: Keys | None = None) -> object:
        keys = keys or Keys(self.aws.access_key, self.aws.secret_key)
        session = boto3.Session(
            keys.access_key, keys.secret_key, keys.session_token, region_name=self.aws.region
        )
        return cast("_Session", session).client(
            service, endpoint_url=self.aws.endpoint, verify=str(self._authority.bundle)
        )

    def trust(self) -> ssl.SSLContext:
        """Return what believes the certificates of this account."""
        return ssl.create_default_context(cafile=self._authority.bundle)

    def request(self, method: str, path: str, token: str | None = None) -> httpx.Response:
        """Send a request to the API through its routes and authorizer."""
        # The API's host name is one that only AWS' name servers would know.
        host = self.outputs()["ApiUrl"].partition("://")[2]
        headers = {"host": host} | ({"authorization": f"Bearer {token}"} if token else {})
        return httpx.request(
            method, f"{self.aws.endpoint}{path}", headers=headers, verify=self.trust(), timeout=60
        )

    def _secret(self, name: str, value: dict[str, str]) -> str:
        return self.aws.secrets.create_secret(Name=name, SecretString=json.dumps(value))["ARN"]

    def deploy(self, built: Path, **parameters: str) -> subprocess.CompletedProcess[str]:
        """Run `sam deploy` on a built template, as samconfig.toml has it for development; parameters stay as given."""
        self._parameters |= parameters
        return self._deploy(ROOT / "samconfig.toml", built, STACK, self._parameters)

    def deploy_planned(self, plan: Path, built: Path) -> subprocess.CompletedProcess[str]:
        """Run `sam deploy` with the answers that a file has, and no other."""
        return self._deploy(plan, built, STACK, {})

    def deploy_database(self, template: Path, **parameters: str) -> subprocess.CompletedProcess[str]:
        """Run `sam deploy` on a template of database.yaml's kind."""
        return self._deploy(ROOT / "samconfig.toml", template, DATABASE_STACK, parameters)

    def package(self, built: Path, bucket: str, output: Path) -> subprocess.CompletedProcess[str]:
        """Run `make package` on what was built, with a bucket of the account's."""
        self.aws.create_bucket(bucket)
        arguments = ("--bucket", bucket, "--built", str(built), "--output", str(output))
        return self._run([sys.executable, "-m", "tools.package", *arguments])

    def doctor(self) -> subprocess.CompletedProcess[str]:
        """Run `make doctor STACK=...`."""
        return self._run([sys.executable, "-m", "tools.doctor", "--stack", STACK])

    def plan(self, file: Path) -> subprocess.CompletedProcess[str]:
        """Run `make deploy-plan` with the outputs of the database's stack."""
        arguments = ("--database-stack", DATABASE_STACK, "--file", str(file))
        return self._run([sys.executable, "-m", "tools.deploy_plan", *arguments])

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters with which `deploy` deploys."""
        return dict(self._parameters)

    def _deploy(
        self, config: Path, template: Path, stack: str, parameters: dict[str, str]
    ) -> subprocess.CompletedProcess[str]:
        overrides = [f'{name}="{value}"' for name, value in parameters.items()]
        return self._sam(
            "deploy",
            *("--config-file", str(config), "--config-env", "dev"),
            *("--template-file", str(template)),
            *("--stack-name", stack),
            *(["--parameter-overrides", *overrides] if overrides else []),
        )

    def delete(self) -> subprocess.CompletedProcess[str]:
        """Run `sam delete`."""
        return self._sam("delete", "--no-prompts", "--stack-name", STACK)

    def _sam(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self._run([tool("sam"), command, "--region", self.aws.region, *arguments])

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=inherited_environment(
                AWS_ACCESS_KEY_ID=self.aws.access_key,
                AWS_CA_BUNDLE=str(self._authority.bundle),
                AWS_DEFAULT_REGION=self.aws.region,
                AWS_ENDPOINT_URL=self.aws.endpoint,
                AWS_SECRET_ACCESS_KEY=self.aws.secret_key,
                PYTHONPATH=str(ROOT),
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
        """Return which version of each function that has an alias takes the traffic."""
        aliases = {
            each["LogicalResourceId"]
            for each in self._each("list_stack_resources", "StackResourceSummaries")
            if each["ResourceType"] == "AWS::Lambda::Alias"
        }
        return {
            logical_id: self._functions.get_alias(FunctionName=name, Name="live")["FunctionVersion"]
            for logical_id, name in self.functions().items()
            if f"{logical_id}Aliaslive" in aliases
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
