"""The stack from the command line: `python -m local run`, `demo` or `invoke`."""

from __future__ import annotations

import argparse
import errno
import json
import logging
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from local import demo
from local.functions.invoke import invoke, invoke_all
from local.processes import state
from local.processes.children import LOOPBACK, LocalStackError
from local.processes.environments import ROOT
from local.services import issuer
from local.services.external import External
from local.stack import Ports, Stack

if TYPE_CHECKING:
    from pydantic import JsonValue

    from local.processes.children import Process

STATE = ROOT / ".local"
# Taken where they are free, so that addresses and tokens stay the same from start to start.
PORTS = Ports(api=8000, issuer=8001, postgres=54320, aws=4566, livekit=7880)
NEEDED_BYTES = 500_000_000
RESTART_SECONDS = 10


def main() -> int:
    """Do what the command line says and return the exit code."""
    arguments = _arguments()
    # SIGINT too: a shell without job control starts what it puts in the background with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signal.signal(signal.SIGHUP, signal.default_int_handler)
    # Nothing that is here can be reached through a proxy.
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = f"{os.environ.get('NO_PROXY', '')},{LOOPBACK}"
    try:
        _check_machine(arguments.state)
        if arguments.command == "run":
            return _run(arguments.state, arguments.port, arguments.bind, arguments.parameter)
        if arguments.command == "demo":
            return _demo()
        return _invoke(arguments.state, arguments.function, arguments.event)
    except LocalStackError as error:
        _say(str(error))
        return 1
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _say("The disk is full. Make room and try again.")
        return 1
    except KeyboardInterrupt:
        return 130


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument(
        "--state", type=Path, default=STATE, help="where run and invoke keep the stack's data (.local)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run the stack until interrupted")
    run.add_argument("--port", type=int, default=0, help="the API's port (a free one)")
    run.add_argument(
        "--bind",
        default="",
        help="one more address for Postgres, S3 and LiveKit, such as that of Docker's bridge",
    )
    run.add_argument(
        "--parameter", action="append", default=[], type=_pair, metavar="NAME=VALUE", help="of template.yaml"
    )
    commands.add_parser("demo", help="record twice, download and decode on a stack of its own")
    once = commands.add_parser("invoke", help="run one function once, or each with every file in events/")
    once.add_argument("function", nargs="?", help="its logical id in template.yaml")
    once.add_argument("event", nargs="?", type=Path, help="a file from events/")
    return parser.parse_args()


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return name, value


def _check_machine(directory: Path) -> None:
    if platform.system() != "Linux":
        raise LocalStackError(
            "AWS's Runtime Interface Emulator runs on Linux only: use a Linux machine, or WSL."
        )
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if free < NEEDED_BYTES:
        raise LocalStackError(
            f"The disk of {directory} has {free // 1_000_000} MB left; the stack needs {NEEDED_BYTES // 1_000_000} MB."
        )


def _run(directory: Path, port: int, bind: str, parameters: list[tuple[str, str]]) -> int:
    began = time.monotonic()
    external = External.from_environment(os.environ)
    with Stack(
        directory,
        port=port,
        ports=PORTS,
        bind=bind,
        external=external,
        parameters=dict(parameters),
        report=_say,
    ) as stack:
        _log_to_terminal()
        print(_welcome(stack, time.monotonic() - began), flush=True)
        try:
            while True:
                time.sleep(0.5)
                if service := stack.ended():
                    _start_again(stack, service)
        except KeyboardInterrupt:
            _ignore_signals()
            _say("\nStopping ...")
            return 0


def _start_again(stack: Stack, service: Process) -> None:
    """Give whoever stopped a service the time to see how the product does without it."""
    _say(
        f"{service.name} has ended. It is started again in {RESTART_SECONDS} seconds.\n{service.log_tail(5)}"
    )
    time.sleep(RESTART_SECONDS)
    stack.restart(service)
    _say(f"{service.name} answers again.")


def _welcome(stack: Stack, seconds: float) -> str:
    endpoints = stack.endpoints
    authorization = '-H "Authorization: Bearer $ALICE"'
    recordings = "$API/api/video/recordings"
    return f"""
The stack is ready after {seconds:.1f} seconds. Logs: {stack.directory / "logs"}. Ctrl-C stops it.

  Console   {endpoints.console_url}   (sign in as {" or ".join(issuer.USERS)})
  LiveKit   {endpoints.livekit_url}
  Postgres  {stack.database}
  S3        {endpoints.s3_endpoint}/{endpoints.bucket}

API={endpoints.api_url}
ALICE={endpoints.tokens["alice"]}
BOB={endpoints.tokens["bob"]}

Paste the three lines above, and then: start; get, once it is active; stop; get; list.

ID=$(curl -sS -X POST "{recordings}" {authorization} -H 'Content-Type: application/json' \\
  -d '{{"roomName": "demo"}}' -w '\\n' | tee /dev/stderr | sed 's/.*"recordingId":"\\([^"]*\\)".*/\\1/')
curl -sS "{recordings}/$ID" {authorization} -H 'Prefer: wait=10' -w '\\n'
curl -sS -X PATCH "{recordings}/$ID" {authorization} -H 'Prefer: wait=20' -w '\\n'
curl -sS "{recordings}/$ID" {authorization} -w '\\n'
curl -sS "{recordings}?roomName=demo" {authorization} -w '\\n'
"""


def _demo() -> int:
    external = External.from_environment(os.environ)
    with (
        tempfile.TemporaryDirectory(prefix="recorder-demo-") as directory,
        Stack(Path(directory), external=external, durable=False, report=_say) as stack,
    ):
        demo.record(
            stack.endpoints.api_url,
            stack.endpoints.tokens["alice"],
            STATE / "demo",
            livekit_url=None if external.livekit else stack.livekit.url,
            status_age=demo.STATUS_AGE_SECONDS if external.livekit else 0.0,
        )
    return 0


def _invoke(directory: Path, function: str | None, path: Path | None) -> int:
    if function is None or path is None:
        events = {each.name: _event(each) for each in sorted((ROOT / "events").glob("*.json"))}
        run = partial(invoke_all, events, directory)
    else:
        run = partial(invoke, function, _event(path), directory)
    if state.running(directory):
        return 0 if run() else 1
    with Stack(directory, ports=PORTS, external=External.from_environment(os.environ), report=_say):
        return 0 if run() else 1


def _event(path: Path) -> JsonValue:
    try:
        event: JsonValue = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise LocalStackError(f"{path} cannot be read as an event: {error}") from None
    return event


def _log_to_terminal() -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", "%H:%M:%S"))
    logger = logging.getLogger("local")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)


def _ignore_signals() -> None:
    """Let nobody's second Ctrl-C get in the way of an orderly end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
