"""Functions in the emulator, beside a running stack: what `sam local invoke` does with Docker."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from local import sample
from local.endpoints import Endpoints
from local.functions.build import built
from local.functions.deployment import Deployment
from local.functions.emulator import Emulator, FunctionError, FunctionRefusedError, Lambda
from local.processes.children import LocalStackError, Processes
from local.processes.environments import environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import JsonValue


def invoke(function: str, event: JsonValue, state: Path) -> bool:
    """Print the function's answer on standard output and its log on standard error; return whether it succeeded.

    `state` is the directory of the running stack, from which the function gets its settings.
    """
    with _beside(state) as functions:
        try:
            answer = functions.invoke(function, event)
        except FunctionError as error:
            _report(f"{error}\n{functions.log(function)}")
            return False
        _report(functions.log(function))
    print(json.dumps(answer, indent=2))
    return True


def invoke_all(events: Mapping[str, JsonValue], state: Path) -> bool:
    """Run each event, by its file's name, in the function that the name begins with; print a line for each.

    Return whether every function answered, be it with a refusal.
    """
    succeeded = True
    with _beside(state) as functions:
        for name, event in events.items():
            function = functions.of(name)
            try:
                answer = functions.invoke(function, event)
            except FunctionRefusedError as error:
                print(f"{function:<22} {name:<44} {error}")
                continue
            except FunctionError as error:
                succeeded = False
                print(f"{function:<22} {name:<44} {error}\n{functions.log(function)}")
                continue
            status = answer.get("statusCode") if isinstance(answer, dict) else None
            print(f"{function:<22} {name:<44} {status or json.dumps(answer)}")
    return succeeded


@dataclass(frozen=True)
class _Functions:
    names: tuple[str, ...]
    emulator: Emulator
    endpoints: Endpoints
    logs: Path
    runner: asyncio.Runner

    def of(self, name: str) -> str:
        """Return the function that a file in `events/` is for."""
        words = "".join(part.capitalize() for part in name.split("_"))
        return max((each for each in self.names if words.startswith(each)), key=len)

    def invoke(self, function: str, event: JsonValue) -> JsonValue:
        sample.ensure(self.endpoints)
        return self.runner.run(self.emulator.invoke(function, event))

    def log(self, function: str) -> str:
        return (self.logs / f"{function}.log").read_text()


@contextmanager
def _beside(state: Path) -> Iterator[_Functions]:
    try:
        # The last thing that a starting stack writes, and the first that it removes.
        endpoints = Endpoints.read(state / "endpoints.json")
    except FileNotFoundError:
        raise LocalStackError(
            f"The stack in {state} is not ready: it is starting, or stopping. Try again in a moment."
        ) from None
    deployment = Deployment.read(state / "deployment.json")
    with tempfile.TemporaryDirectory() as directory, built(_report) as template:
        logs = Path(directory)
        platform = Lambda(
            environment("runtime"), deployment.access_key, deployment.secret_key, deployment.region, logs
        )
        functions = deployment.load(template).functions
        with Processes(logs) as processes, asyncio.Runner() as runner:
            emulator = Emulator(functions, processes, platform)
            yield _Functions(tuple(functions), emulator, endpoints, logs, runner)


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
