"""Prepare the file in which a guided deploy keeps its answers: `make deploy-plan`.

`samconfig.local.toml`, which git ignores, begins as a copy of `samconfig.toml`. With the name of a stack that
`database.yaml` made, its outputs become answers: each is named as the parameter that it is for.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, cast

import boto3
import tomlkit
from botocore.exceptions import BotoCoreError, ClientError

from local.processes.environments import ROOT
from local.template.transform import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tomlkit import TOMLDocument
    from tomlkit.items import Table

PRESETS: Final = ROOT / "samconfig.toml"
PLAN: Final = ROOT / "samconfig.local.toml"


class PlanError(Exception):
    """Something that the person at the keyboard can mend; its text says what and how."""


def main() -> int:
    """Do what the command line says and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tools.deploy_plan", description=__doc__)
    parser.add_argument("--environment", default="dev", help="the section of samconfig.toml (dev)")
    parser.add_argument("--database-stack", help="the name of a stack of database.yaml")
    parser.add_argument("--file", type=Path, default=PLAN, help="where the answers are kept")
    arguments = parser.parse_args()
    try:
        values = outputs_of(arguments.database_stack) if arguments.database_stack else {}
        set_names = write(arguments.file, arguments.environment, values)
    except PlanError as error:
        _say(str(error))
        return 1
    for name in set_names:
        _say(f"{name}={values[name]}")
    path = arguments.file.relative_to(ROOT) if arguments.file.is_relative_to(ROOT) else arguments.file
    _say(
        f"{path} is ready. Next:\n\n  make build\n"
        f"  .venv/bin/sam deploy --guided --config-file {path} --config-env {arguments.environment}\n"
    )
    return 0


def write(path: Path, environment: str, values: Mapping[str, str]) -> list[str]:
    """Write those values that are parameters of the template over what the file has, and return their names.

    Raises PlanError where there is no such environment.
    """
    document = tomlkit.parse((path if path.exists() else PRESETS).read_text())
    parameters = cast("dict[str, object]", parse((ROOT / "template.yaml").read_text())["Parameters"])
    names = [name for name in values if name in parameters]
    settings = _settings(document, environment)
    kept = _answers(settings) | {name: values[name] for name in names}
    # With quotes, as SAM takes no value that is empty without them.
    overrides = tomlkit.item([f'{name}="{value}"' for name, value in kept.items()])
    settings["parameter_overrides"] = overrides.multiline(multiline=True)
    path.write_text(tomlkit.dumps(document))
    return names


def answers(path: Path, environment: str) -> dict[str, str]:
    """Return the parameters that a file has for an environment. Raises PlanError where it has no such environment."""
    return _answers(_settings(tomlkit.parse(path.read_text()), environment))


def _settings(document: TOMLDocument, environment: str) -> Table:
    try:
        return cast("dict[str, dict[str, dict[str, Table]]]", document)[environment]["deploy"]["parameters"]
    except KeyError:
        raise PlanError(f"{PRESETS.name} has no section [{environment}.deploy.parameters].") from None


def _answers(settings: Table) -> dict[str, str]:
    """Read what the presets have as a list, and what SAM writes as one text with quotes."""
    overrides: object = settings.get("parameter_overrides", [])
    text = overrides if isinstance(overrides, str) else " ".join(cast("Iterable[str]", overrides))
    return {name: value for name, _, value in (pair.partition("=") for pair in shlex.split(text))}


class _Stacks(Protocol):
    def describe_stacks(self, *, StackName: str) -> dict[str, list[dict[str, object]]]: ...  # noqa: N803


def outputs_of(stack: str) -> dict[str, str]:
    """Return the outputs of a stack in the account and region of the AWS credentials at hand.

    Raises PlanError where they cannot be read.
    """
    try:
        stacks = cast("_Stacks", boto3.client("cloudformation"))
        [described] = stacks.describe_stacks(StackName=stack)["Stacks"]
    except (BotoCoreError, ClientError) as error:
        raise PlanError(f"The stack {stack} cannot be read: {error}") from None
    outputs = cast("list[dict[str, str]]", described.get("Outputs", []))
    return {each["OutputKey"]: each["OutputValue"] for each in outputs}


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    sys.exit(main())
