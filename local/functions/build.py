"""`sam build`, skipped while nothing that goes into it has changed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from local.processes.children import LocalStackError
from local.processes.environments import CACHE, ROOT, locked, tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ARCHITECTURES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}
_SOURCES = (
    "template.yaml",
    "requirements/Makefile",
    "requirements/layer.txt",
    "requirements/migrate.txt",
    "docs/openapi.json",
)
_SOURCE_FOLDERS = ("functions", "layers/recorder", "console", "requirements/licences")
_NO_SOURCES = {"__pycache__", "node_modules", "dist", "openapi.d.ts"}


def architecture() -> str:
    """Return this machine's instruction set under AWS's name for it."""
    return ARCHITECTURES[platform.machine().lower()]


@contextlib.contextmanager
def built(report: Callable[[str], None], *, root: Path = ROOT, cache: Path = CACHE) -> Iterator[Path]:
    """Give the path of the built template, which stays as it is until the block is left.

    `report` is told what is being done when it takes more than a moment. Raises LocalStackError with the end of the
    tool's output when the build fails.
    """
    digest = _digest(root)
    directory = cache / "build" / digest
    with locked(cache / "build.lock"):
        if not directory.exists():
            report("Building the functions and their layer (sam build) ...")
            _build(root, directory)
        in_use = _lock_file(directory).open("a")
        fcntl.flock(in_use, fcntl.LOCK_SH)
        _remove_unused(directory.parent)
    with in_use:
        yield directory / "build" / "template.yaml"


def _digest(root: Path) -> str:
    files = [root / name for name in _SOURCES]
    for folder in _SOURCE_FOLDERS:
        files += sorted(
            path for path in (root / folder).rglob("*") if path.is_file() and not _NO_SOURCES & {*path.parts}
        )
    digest = hashlib.sha256(f"{sys.version} {platform.machine()}".encode())
    for path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]


def _build(root: Path, directory: Path) -> None:
    unfinished = directory.with_name("unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    done = subprocess.run(
        [
            tool("sam"),
            "build",
            *("--template-file", str(root / "template.yaml")),
            *("--base-dir", str(root)),
            *("--build-dir", str(unfinished / "build")),
            *("--cache-dir", str(unfinished / "cache")),
            *("--parameter-overrides", f"Architecture={architecture()}"),
        ],
        cwd=root,
        env={
            **os.environ,
            "ARCHITECTURE": architecture(),
            "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
            "SAM_CLI_TELEMETRY": "0",
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LocalStackError(
            "sam build failed:\n" + "\n".join(f"  {line}" for line in done.stdout.splitlines()[-25:])
        )
    unfinished.rename(directory)


def _lock_file(directory: Path) -> Path:
    return directory.with_suffix(".lock")


def _remove_unused(builds: Path) -> None:
    """Remove the builds of earlier sources, but for those that a running stack uses."""
    for lock in builds.glob("*.lock"):
        with lock.open("a") as file, contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
            lock.unlink()
