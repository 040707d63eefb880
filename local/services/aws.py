"""S3, Secrets Manager and EventBridge on one local endpoint: MiniStack, which keeps the objects on disk."""

from __future__ import annotations

import contextlib
import json
import ssl
import urllib.request
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config

from local.processes.children import LOOPBACK, Process, Processes, claimed_port, inherited_environment
from local.processes.environments import environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CORSRuleTypeDef, LifecycleRuleTypeDef
    from mypy_boto3_secretsmanager import SecretsManagerClient

    from local.processes.certificate import Certificate

REGION = "us-east-1"
ACCESS_KEY = "local"
SECRET_KEY = "local-stack-only"  # noqa: S105 - opens nothing but this server on loopback
BUCKET = "recordings"
SERVICES = ("s3", "secretsmanager", "events", "sqs", "sts")


class Aws:
    """The AWS services of one stack; objects stay in `directory` from start to start, secrets and rules do not.

    Presigned URLs are checked as on S3 (a wrong signature or an expired one is a 403), and an unsigned request is
    refused; header signatures are not compared.
    """

    def __init__(
        self,
        directory: Path,
        processes: Processes,
        *,
        access_key: str = ACCESS_KEY,
        secret_key: str = SECRET_KEY,
        region: str = REGION,
        port: int = 0,
        services: Sequence[str] = SERVICES,
        certificate: Certificate | None = None,
    ) -> None:
        self._directory = directory
        self._processes = processes
        self._process: Process | None = None
        self.access_key = access_key
        self.secret_key = secret_key
        self.region = region
        self.bucket = BUCKET
        self._preferred_port = port
        self._services = services
        self._certificate = certificate
        self._secrets: dict[str, Mapping[str, str]] = {}
        self.port = 0

    @property
    def endpoint(self) -> str:
        """The address of all the services, as AWS_ENDPOINT_URL wants it."""
        return f"{'https' if self._certificate else 'http'}://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start the server and return when it answers and `bucket` exists."""
        python = environment("aws") / "bin" / "python"
        with claimed_port(self.port or self._preferred_port) as self.port:
            self._process = self._processes.start(
                "aws",
                [python, "-P", Path(__file__).with_name("aws_server.py")],
                environment=inherited_environment(
                    AUTH="true",
                    AWS_ACCESS_KEY_ID=self.access_key,
                    AWS_SECRET_ACCESS_KEY=self.secret_key,
                    BIND_HOST=LOOPBACK,
                    GATEWAY_PORT=str(self.port),
                    IOT_MTLS_ENABLED="0",
                    LOG_LEVEL="WARNING",
                    MINISTACK_HOST=LOOPBACK,
                    MINISTACK_REGION=self.region,
                    S3_DATA_DIR=str(self._directory),
                    S3_PERSIST="1",
                    SERVICES=",".join(self._services),
                    SFTP_ENABLED="0",
                    **self._tls(),
                ),
            )
            self._process.wait_until(self._answers)
        self.create_bucket(self.bucket)
        for name, value in self._secrets.items():
            self.put_secret(name, value)

    def _tls(self) -> dict[str, str]:
        """Return what makes the server speak TLS, and what makes those that it starts believe its certificate."""
        if self._certificate is None:
            return {}
        return {
            "AWS_CA_BUNDLE": str(self._certificate.authorities),
            "AWS_ENDPOINT_URL": self.endpoint,
            "MINISTACK_SSL_CERT": str(self._certificate.file),
            "MINISTACK_SSL_KEY": str(self._certificate.key),
            "SSL_CERT_FILE": str(self._certificate.authorities),
            "USE_SSL": "1",
        }

    def stop(self) -> None:
        """Stop the server."""
        if self._process:
            self._process.stop()

    @cached_property
    def s3(self) -> S3Client:
        """A client of the local S3, for use once the server has started."""
        return self._session.client(
            "s3",
            endpoint_url=self.endpoint,
            verify=self._verify,
            config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
        )

    @cached_property
    def secrets(self) -> SecretsManagerClient:
        """A client of the local Secrets Manager, for use once the server has started."""
        return self._session.client("secretsmanager", endpoint_url=self.endpoint, verify=self._verify)

    @cached_property
    def events(self) -> EventBridgeClient:
        """A client of the local EventBridge, for use once the server has started."""
        return self._session.client("events", endpoint_url=self.endpoint, verify=self._verify)

    def create_bucket(self, name: str) -> None:
        """Create a bucket unless it exists, whose links every page may play and which forgets segments.

        So template.yaml makes it.
        """
        with contextlib.suppress(self.s3.exceptions.BucketAlreadyOwnedByYou):
            self.s3.create_bucket(Bucket=name)
        rules: list[CORSRuleTypeDef] = [
            {"AllowedOrigins": ["*"], "AllowedMethods": ["GET", "HEAD"], "AllowedHeaders": ["*"]}
        ]
        self.s3.put_bucket_cors(Bucket=name, CORSConfiguration={"CORSRules": rules})
        expiry: LifecycleRuleTypeDef = {
            "ID": "SafetySegments",
            "Status": "Enabled",
            "Filter": {"Prefix": "segments/"},
            "Expiration": {"Days": 7},
        }
        self.s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration={"Rules": [expiry]})

    def put_secret(self, name: str, value: Mapping[str, str]) -> str:
        """Store a secret as the JSON object that the functions read, and return its ARN.

        The ARN lacks the random characters at its end, so that it is the same after a restart; AWS takes it too.
        """
        self._secrets[name] = value
        text = json.dumps(value)
        try:
            arn = self.secrets.create_secret(Name=name, SecretString=text)["ARN"]
        except self.secrets.exceptions.ResourceExistsException:
            arn = self.secrets.put_secret_value(SecretId=name, SecretString=text)["ARN"]
        return arn.rpartition("-")[0]

    @property
    def _verify(self) -> str | None:
        return str(self._certificate.authorities) if self._certificate else None

    @property
    def _session(self) -> boto3.Session:
        return boto3.Session(self.access_key, self.secret_key, region_name=self.region)

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(
                f"{self.endpoint}/_ministack/ready",
                timeout=1,
                context=ssl.create_default_context(cafile=self._verify),
            ) as answer,
        ):
            return bool(answer.status == 200)
        return False
