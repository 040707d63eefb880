"""Python environments of their own for what must not see the tools' packages, made once and kept in `.local/`."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local.processes.children import LocalStackError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".local" / "cache"


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file, waiting for whoever has it; it is free again when the process ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def tool(name: str) -> str:
    """Return the path of a command from the tool environment."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if not found:
        raise LocalStackError(f"{name} is missing from the tool environment: run `make setup`.")
    return found


def environment(name: str, *, cache: Path = CACHE) -> Path:
    """Return the directory of an environment with exactly `requirements/<name>.txt`, making it if it is absent."""
    requirements = ROOT / "requirements" / f"{name}.txt"
    digest = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    directory = cache / name
    stamp = directory / "stamp"
    with locked(cache / f"{name}.lock"):
        if not stamp.exists() or stamp.read_text() != digest:
            _make(directory, requirements)
            stamp.write_text(digest)
    return directory


def _make(directory: Path, requirements: Path) -> None:
    python = directory / "bin" / "python"
    for command in (
        ["venv", "--clear", "--quiet", "--python", sys.executable, str(directory)],
        [
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            "--require-hashes",
            "--compile-bytecode",
            "-r",
            str(requirements),
        ],
    ):
        done = subprocess.run(
            [tool("uv"), *command],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise LocalStackError(f"The environment {directory} could not be made:\n{done.stderr.strip()}")
