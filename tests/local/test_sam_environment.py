"""`local/sam-env.json`, with which `sam local invoke` runs a function in Docker against the local stack."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, cast

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from local.__main__ import PORTS
from local.functions.build import built
from local.processes.children import LOOPBACK
from local.processes.environments import ROOT, tool
from local.processes.server import Server
from local.services.aws import ACCESS_KEY, BUCKET, REGION, SECRET_KEY
from local.services.postgres import DATABASE, USER
from local.template.account import STACK_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response

HOST = "host.docker.internal"


def test_it_names_the_stack_at_its_usual_ports() -> None:
    text = (ROOT / "local/sam-env.json").read_text()
    assert cast("Mapping[str, str]", json.loads(text)) == {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": f"http://{HOST}:{PORTS.aws}",
        "DATABASE_HOST": HOST,
        "DATABASE_PORT": str(PORTS.postgres),
        "DATABASE_NAME": DATABASE,
        "DATABASE_USER": USER,
        "DATABASE_AUTHENTICATION": "password",
        "DATABASE_SECRET_ARN": "database",
        "DATABASE_TLS": "disable",
        "LIVEKIT_URL": f"http://{HOST}:{PORTS.livekit}",
        "LIVEKIT_SECRET_ARN": "livekit",
        # LiveKit's egress is no container.
        "EGRESS_S3_ENDPOINT": f"http://{LOOPBACK}:{PORTS.aws}",
        "EGRESS_S3_REGION": REGION,
        "EGRESS_S3_SECRET_ARN": "egress",
        "RECORDINGS_BUCKET": BUCKET,
        "DEPLOYMENT": STACK_NAME,
    }


class Engine:
    """As much of Docker's API as SAM needs to ask for a container, which it is then refused."""

    def __init__(self) -> None:
        self.asked: Mapping[str, object] = {}

    async def answer(self, request: Request) -> Response:
        match request.url.path.strip("/").split("/")[1:]:
            case ["_ping"]:
                return PlainTextResponse("OK")
            case ["images", *_, "json"]:
                return JSONResponse({"Id": "sha256:1"})
            case ["build"]:
                async for _ in request.stream():
                    pass
                return PlainTextResponse('{"stream": "Successfully built 123456789abc"}\n')
            case ["containers", "create"]:
                self.asked = await request.json()
                return JSONResponse({"message": "that is all"}, 400)
            case _:
                return JSONResponse({"message": "not here"}, 404)


def readme_command() -> list[str]:
    text = (ROOT / "README.md").read_text().replace("\\\n", " ")
    (line,) = (line for line in text.splitlines() if "sam local invoke" in line)
    return shlex.split(line)


def test_sam_asks_for_a_container_that_reaches_the_host(tmp_path: Path) -> None:
    engine = Engine()
    with Server() as server, built(lambda _: None) as template:
        listener = server.listen()
        server.serve(
            Starlette(routes=[Route("/{path:path}", engine.answer, methods=["GET", "POST", "HEAD"])]),
            listener,
        )
        sam, *arguments = readme_command()
        assert sam == ".venv/bin/sam"
        done = subprocess.run(
            [tool("sam"), *arguments, "--template", str(template)],
            cwd=ROOT,
            env={
                "DOCKER_HOST": f"tcp://{LOOPBACK}:{listener.getsockname()[1]}",
                "HOME": str(tmp_path),
                "PATH": os.defpath,
                "SAM_CLI_TELEMETRY": "0",
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert "that is all" in done.stderr
    host = cast("Mapping[str, object]", engine.asked["HostConfig"])
    assert host["ExtraHosts"] == [f"{HOST}:host-gateway"]
    assert host["NetworkMode"] == "default"
    assert "x86_64" in str(engine.asked["Image"])
    given = cast("list[str]", engine.asked["Env"])
    file = cast("Mapping[str, str]", json.loads((ROOT / "local/sam-env.json").read_text()))
    assert {f"{name}={value}" for name, value in file.items()} <= {*given}
