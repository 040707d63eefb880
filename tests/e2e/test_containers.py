"""A function that does not run on the stack's loopback, as in a container of `sam local invoke`."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import boto3
import httpx
import pytest
from botocore.config import Config

from local import sample
from local.__main__ import PORTS
from local.functions.build import built
from local.functions.deployment import Deployment
from local.functions.emulator import Emulator, Lambda
from local.processes.children import Processes
from local.processes.environments import ROOT, environment
from local.services.aws import BUCKET, REGION

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic import JsonValue

    from local.stack import Stack
    from recorder.contract.schemas import RecordingDetailJson

pytestmark = pytest.mark.xdist_group("e2e")

HOST = "host.docker.internal"


def settings(stack: Stack, bridge: str) -> dict[str, str]:
    """The variables of `local/sam-env.json`, with this stack's ports and the host's name in a container."""
    ports = {
        PORTS.aws: urlsplit(stack.endpoints.s3_endpoint).port,
        PORTS.postgres: urlsplit(stack.endpoints.database_url).port,
        PORTS.livekit: urlsplit(stack.endpoints.livekit_url).port,
    }
    text = (ROOT / "local" / "sam-env.json").read_text().replace(HOST, bridge)
    for usual, port in ports.items():
        text = text.replace(str(usual), str(port))
    values: dict[str, str] = json.loads(text)
    return values


def test_a_function_reaches_everything_from_there(running: Stack, bridge: str, tmp_path: Path) -> None:
    sample.ensure(running.endpoints)
    event: JsonValue = json.loads((ROOT / "events" / "get_recording_completed.json").read_text())
    deployment = Deployment.read(running.directory / "deployment.json")
    platform = Lambda(environment("runtime"), "", "", deployment.region, tmp_path)
    with built(lambda _: None) as template, Processes(tmp_path) as processes, asyncio.Runner() as runner:
        # SAM sets what the template says, and of the stack's own settings those in the file.
        function = deployment.model_copy(update={"environment": {}}).load(template).functions["GetRecording"]
        elsewhere = replace(function, environment={**function.environment, **settings(running, bridge)})
        emulator = Emulator({function.name: elsewhere}, processes, platform)
        answer = cast("Mapping[str, object]", runner.run(emulator.invoke(function.name, event)))
    assert answer["statusCode"] == 200
    details: RecordingDetailJson = json.loads(str(answer["body"]))
    link = details["downloadUrl"]
    assert link is not None
    assert urlsplit(link).hostname == bridge
    assert httpx.get(link).status_code == 200


def test_a_link_to_the_containers_name_for_the_host_is_good(running: Stack, bridge: str) -> None:
    sample.ensure(running.endpoints)
    port = urlsplit(running.endpoints.s3_endpoint).port
    s3 = boto3.client(
        "s3",
        endpoint_url=f"http://{HOST}:{port}",
        aws_access_key_id=running.endpoints.s3_access_key,
        aws_secret_access_key=running.endpoints.s3_secret_key,
        region_name=REGION,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )
    link = s3.generate_presigned_url("get_object", Params={"Bucket": BUCKET, "Key": sample.KEY})
    headers = {"host": f"{HOST}:{port}"}
    assert httpx.get(link.replace(HOST, bridge), headers=headers).status_code == 200
