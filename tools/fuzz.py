"""Fuzz the HTTP API on a stack of its own: every answer that schemathesis gets is held against docs/openapi.json."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from local.processes.children import LocalStackError
from local.processes.environments import ROOT, environment
from local.stack import Stack
from tools.openapi import DOCUMENT

if TYPE_CHECKING:
    from local.endpoints import Endpoints

HOOKS: Final = "tools.fuzz_hooks"


def main() -> int:
    """Return schemathesis' exit code: 0 where all its checks found nothing."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument(
        "--examples", type=int, default=100, help="the most random requests to an operation (100)"
    )
    parser.add_argument("--seed", type=int, help="repeat an earlier run")
    arguments = parser.parse_args()
    try:
        with (
            tempfile.TemporaryDirectory(prefix="recorder-fuzz-") as directory,
            Stack(Path(directory), durable=False, fast=True, report=_say) as stack,
        ):
            return fuzz(stack.endpoints, Path(directory), arguments.examples, arguments.seed)
    except LocalStackError as error:
        _say(str(error))
        return 1


def fuzz(endpoints: "Endpoints", directory: Path, examples: int, seed: int | None) -> int:
    """Let schemathesis loose on a running stack; `directory` takes what it needs and leaves."""
    users = directory / "users.json"
    users.write_text(json.dumps({"auth": [_user(name, token) for name, token in endpoints.tokens.items()]}))
    command = [
        str(environment("fuzz") / "bin" / "schemathesis"),
        *("--config-file", str(ROOT / "schemathesis.toml")),
        *("run", str(DOCUMENT), "--url", endpoints.api_url, "--auth-wfc", str(users)),
        *("--checks", "all", "--max-examples", str(examples), "--continue-on-failure"),
        *(("--seed", str(seed)) if seed is not None else ()),
    ]
    variables = {
        "LIVEKIT_API_KEY": endpoints.livekit_api_key,
        "LIVEKIT_API_SECRET": endpoints.livekit_api_secret,
        "LIVEKIT_URL": endpoints.livekit_url,
        "PYTHONPATH": str(ROOT),
        "SCHEMATHESIS_HOOKS": HOOKS,
    }
    # It leaves a folder of its own where it runs.
    return subprocess.run(command, env={**os.environ, **variables}, cwd=directory, check=False).returncode


def _user(name: str, token: str) -> dict[str, object]:
    return {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}]}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
