"""The functions in AWS's own Runtime Interface Emulator, as many environments of each as requests come at once."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from pydantic import BaseModel, Field, JsonValue, TypeAdapter, ValidationError

from local.functions.build import architecture
from local.processes.children import LOOPBACK, LocalStackError, Process, Processes, claimed_port, listens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from local.template.application import Function

# Lambda would start more; this machine would not thank us.
MOST_ENVIRONMENTS = 10
_REFUSAL = "InvalidRequestError"
_INVOCATIONS = "/2015-03-31/functions/function/invocations"
_ANSWER: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)


class FunctionError(Exception):
    """The function raised, ended its process, or ran out of time; the text is for a log, never for a caller."""


class FunctionRefusedError(FunctionError):
    """The function refused its event: one that another function calls has no HTTP status to say so with."""


@dataclass(frozen=True)
class Lambda:
    """Lambda's own part: the Python environment of its runtime, the role's credentials, and a log file."""

    runtime: Path
    access_key: str
    secret_key: str
    region: str
    logs: Path


class Emulator:
    """Invokes the functions; each environment serves one request at a time and is used again as long as it works."""

    def __init__(self, functions: Mapping[str, Function], processes: Processes, platform: Lambda) -> None:
        self._pools = {name: _Pool(function, processes, platform) for name, function in functions.items()}

    async def invoke(self, name: str, event: JsonValue) -> JsonValue:
        """Return the function's answer; raise FunctionError, or LocalStackError if there is no such function."""
        if name not in self._pools:
            raise LocalStackError(f"There is no function {name}; there are {', '.join(sorted(self._pools))}.")
        return await self._pools[name].invoke(event)

    def environments(self) -> int:
        """Return how many environments wait for a request."""
        return sum(pool.idle for pool in self._pools.values())


class _ReportedError(BaseModel):
    type: str = Field(alias="errorType")
    message: str = Field(alias="errorMessage")


class _Pool:
    def __init__(self, function: Function, processes: Processes, platform: Lambda) -> None:
        self._function = function
        self._processes = processes
        self._platform = platform
        self._idle: list[Environment] = []
        self._free = asyncio.Semaphore(MOST_ENVIRONMENTS)

    @property
    def idle(self) -> int:
        return len(self._idle)

    async def invoke(self, event: JsonValue) -> JsonValue:
        async with self._free:
            one = self._idle.pop() if self._idle else await asyncio.to_thread(self._start)
            try:
                answer = await one.invoke(event)
            except BaseException:
                await asyncio.shield(asyncio.to_thread(one.stop))
                raise
            self._idle.append(one)
        try:
            error = _ReportedError.model_validate(answer)
        except ValidationError:
            return answer
        kind = FunctionRefusedError if error.type == _REFUSAL else FunctionError
        raise kind(f"{self._function.name} raised {error.type}")

    def _start(self) -> Environment:
        return start(self._function, self._processes, self._platform)


def start(function: Function, processes: Processes, platform: Lambda) -> Environment:
    """Start an environment of a function; its Python starts with the first invocation."""
    with claimed_port() as port, claimed_port() as runtime_port:
        process = processes.start(
            function.name,
            [
                _emulator(),
                *("--log-level", "error"),
                *("--runtime-interface-emulator-address", f"{LOOPBACK}:{port}"),
                *("--runtime-api-address", f"{LOOPBACK}:{runtime_port}"),
                *(platform.runtime / "bin" / "python", "-m", "awslambdaric", function.handler),
            ],
            environment=_variables(function, platform),
            directory=function.directory,
            log=platform.logs / f"{function.name}.log",
            stop_signal=signal.SIGKILL,
            essential=False,
        )
        process.wait_until(lambda: listens(port), seconds=10)
    return Environment(process, port)


class Environment:
    """One execution environment, which takes one request at a time."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self._client = httpx.AsyncClient(
            base_url=f"http://{LOOPBACK}:{port}",
            timeout=None,  # noqa: S113 - the emulator enforces the function's own
            limits=httpx.Limits(max_keepalive_connections=0),
            trust_env=False,
            verify=False,  # noqa: S501 - plain HTTP, and 70 ms to read the authorities that it has no need of
        )

    async def invoke(self, event: JsonValue) -> JsonValue:
        """Return what the function returned or reported; raise FunctionError when the environment is of no more use."""
        try:
            answer = await self._client.post(_INVOCATIONS, json=event)
        except httpx.TransportError as error:
            raise FunctionError(f"{self.process.name} is gone: {error!r}") from error
        if answer.status_code != 200:
            raise FunctionError(f"{self.process.name} ended: {answer.text}")
        try:
            return _ANSWER.validate_json(answer.content)
        except ValidationError:
            # "Task timed out after ..." is the only answer that is not JSON.
            raise FunctionError(f"{self.process.name}: {answer.text}") from None

    def stop(self) -> None:
        """End the process; safe to call twice."""
        self.process.stop()


def _emulator() -> Path:
    package = find_spec("samcli")
    if not package or not package.origin:
        raise LocalStackError("aws-sam-cli is missing from the tool environment: run `make setup`.")
    return Path(package.origin).parent / "local" / "rapid" / f"aws-lambda-rie-{architecture()}"


def _variables(function: Function, platform: Lambda) -> dict[str, str]:
    """Return the function's environment: what the template says and what Lambda itself sets, nothing else."""
    python_path = [str(function.directory), *(str(layer / "python") for layer in function.layers)]
    return {
        "AWS_ACCESS_KEY_ID": platform.access_key,
        "AWS_DEFAULT_REGION": platform.region,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": f"/aws/lambda/{function.name}",
        "AWS_REGION": platform.region,
        "AWS_SECRET_ACCESS_KEY": platform.secret_key,
        "LAMBDA_TASK_ROOT": str(function.directory),
        "LANG": "en_US.UTF-8",
        "PATH": os.defpath,
        # The code and the layers cannot be written to on Lambda.
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join(python_path),
        "TZ": ":UTC",
        **function.environment,
    }
