"""One function once, in the emulator, beside a running stack: what `sam local invoke` does with Docker."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from local import sample
from local.build import built
from local.deployment import Deployment
from local.emulator import Emulator, FunctionError, Lambda
from local.endpoints import Endpoints
from local.environments import environment
from local.processes import Processes

if TYPE_CHECKING:
    from pydantic import JsonValue


def invoke(function: str, event: JsonValue, state: Path) -> bool:
    """Print the function's answer on standard output and its log on standard error; return whether it succeeded.

    `state` is the directory of the running stack, from which the function gets its settings.
    """
    deployment = Deployment.read(state / "deployment.json")
    if endpoints := Endpoints.read(state / "endpoints.json"):
        sample.ensure(endpoints)
    with tempfile.TemporaryDirectory() as directory, built(_report) as template:
        logs = Path(directory)
        platform = Lambda(
            environment("runtime"), deployment.access_key, deployment.secret_key, deployment.region, logs
        )
        functions = deployment.load(template).functions
        try:
            with Processes(logs) as processes:
                answer = asyncio.run(Emulator(functions, processes, platform).invoke(function, event))
        except FunctionError as error:
            _report(f"{error}\n{_log(logs, function)}")
            return False
        _report(_log(logs, function))
    print(json.dumps(answer, indent=2))
    return True


def _log(logs: Path, function: str) -> str:
    return (logs / f"{function}.log").read_text()


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
