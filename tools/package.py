"""Package a release for a bucket of one's own: `make package BUCKET=...`.

What was built goes into the bucket, and `dist/` gets what deploys it without this repository: `template.yaml`, whose
code is in that bucket, `database.yaml`, `openapi.json` and `CHANGELOG.md`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

from local.processes.environments import ROOT, tool

BESIDE: Final = ("database.yaml", "docs/openapi.json", "CHANGELOG.md")


def main() -> int:
    """Do what the command line says and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.package", description=__doc__)
    parser.add_argument("--bucket", required=True, help="in the region that is deployed to")
    parser.add_argument("--built", type=Path, default=ROOT / ".aws-sam" / "build" / "template.yaml")
    parser.add_argument("--output", type=Path, default=ROOT / "dist")
    arguments = parser.parse_args()
    shutil.rmtree(arguments.output, ignore_errors=True)
    arguments.output.mkdir(parents=True)
    template = arguments.output / "template.yaml"
    done = subprocess.run(
        [
            *(tool("sam"), "package", "--template-file", str(arguments.built)),
            *("--s3-bucket", arguments.bucket, "--s3-prefix", f"recorder-{version()}"),
            *("--output-template-file", str(template)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.stderr.write(done.stdout)
        return done.returncode
    for name in BESIDE:
        shutil.copy(ROOT / name, arguments.output)
    sys.stdout.write(
        f"{arguments.output} is complete. It deploys without this repository:\n\n"
        f"  sam deploy --guided --template-file {template} --capabilities CAPABILITY_IAM CAPABILITY_AUTO_EXPAND\n"
    )
    return 0


def version() -> str:
    """Return the version of this release."""
    project: dict[str, dict[str, str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return project["project"]["version"]


if __name__ == "__main__":
    sys.exit(main())
