"""Hold everything that requirements/*.txt lock against OSV's database of known vulnerabilities, with pip-audit.

The exit code is 0 where nothing is known, 1 where something is, and 2 where the database could not be asked.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, Field, ValidationError

from local.processes.children import LocalStackError
from local.processes.environments import ROOT, environment

DATABASE: Final = "https://api.osv.dev/v1/query"


class _Vulnerability(BaseModel):
    id: str
    fix_versions: list[str]


class _Dependency(BaseModel):
    name: str
    version: str = ""
    vulnerabilities: list[_Vulnerability] = Field([], alias="vulns")
    skip_reason: str = ""


class _Report(BaseModel):
    dependencies: list[_Dependency]


def main() -> int:
    """Audit the locks."""
    parser = argparse.ArgumentParser(prog="python -m tools.audit", description=__doc__)
    parser.add_argument("--database", default=DATABASE, help="URL of an OSV query endpoint")
    parser.add_argument("locks", nargs="*", type=Path, default=sorted((ROOT / "requirements").glob("*.txt")))
    arguments = parser.parse_args()
    try:
        return audit(arguments.locks, arguments.database)
    except LocalStackError as error:
        print(error, file=sys.stderr)
        return 2


def audit(locks: Sequence[Path], database: str = DATABASE) -> int:
    """Print what is known of the locked packages; raise LocalStackError where that cannot be told of each of them."""
    report = _report(locks, database)
    skipped = [each for each in report.dependencies if each.skip_reason]
    if skipped:
        raise LocalStackError(
            f"Not audited: {', '.join(f'{each.name}: {each.skip_reason}' for each in skipped)}"
        )
    found = [each for each in report.dependencies if each.vulnerabilities]
    for each in found:
        for vulnerability in each.vulnerabilities:
            fixed = " or ".join(vulnerability.fix_versions) or "no version yet"
            print(f"{each.name} {each.version}: {vulnerability.id}, fixed in {fixed}")
    if not found:
        print(f"Nothing is known against the {len(report.dependencies)} locked packages.")
    return int(bool(found))


def _report(locks: Sequence[Path], database: str) -> _Report:
    done = subprocess.run(
        [
            environment("audit") / "bin" / "pip-audit",
            *(word for lock in locks for word in ("--requirement", str(lock))),
            *(
                "--vulnerability-service",
                "osv",
                "--osv-url",
                database,
                "--format",
                "json",
                "--progress-spinner",
                "off",
            ),
            *("--disable-pip", "--require-hashes"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return _Report.model_validate_json(done.stdout)
    except ValidationError:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LocalStackError(
            f"The locks could not be audited: is {database} within reach of this machine?\n  {reason}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())
