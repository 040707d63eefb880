"""`sam deploy --guided`, as a person meets it at a terminal: Enter at everything that has a default."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest

from local.processes.children import Processes, inherited_environment
from local.processes.environments import ROOT, tool
from local.services.aws import Aws
from tests.support.account import DEPLOYED_SERVICES
from tests.support.template import PARAMETERS, evaluated, section
from tools.deploy_plan import PLAN, PRESETS, PlanError, answers, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE_SECONDS: Final = 120.0
PROMPT: Final = re.compile(r"\t(?:Parameter )?([\w ?'.]+?)(?: \[(.*)\])?: $")
SECRET: Final = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:made-up"
ANSWERS: Final = PARAMETERS | {"LiveKitSecretArn": SECRET, "DatabaseSecretArn": SECRET}
"""The answers of somebody who has the password in a secret; the rest is Enter."""
DONE: Final = "Saved arguments to config file"


class Terminal:
    """The other side of a program's terminal."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._until = time.monotonic() + PATIENCE_SECONDS
        self.screen = ""

    def read(self) -> bool:
        """Wait for more on the screen; tell whether the program still writes."""
        ready, _, _ = select.select([self._descriptor], [], [], max(0.0, self._until - time.monotonic()))
        assert ready, f"nothing more is asked or said:\n{self.screen}"
        try:
            said = os.read(self._descriptor, 65536).decode()
        except OSError:  # how Linux says that nobody has the terminal open any more
            return False
        # Without colours and carriage returns.
        self.screen += re.sub(r"\x1b\[[\d;?]*[a-zA-Z]|\r", "", said)
        return bool(said)

    def type(self, text: str) -> None:
        os.write(self._descriptor, f"{text}\n".encode())


@contextmanager
def guided(aws: Aws, *arguments: str) -> Iterator[Terminal]:
    """Run the deploy at a terminal of its own, and end it with the block."""
    ours, its = pty.openpty()
    program = subprocess.Popen(
        [tool("sam"), "deploy", "--guided", "--template-file", str(ROOT / "template.yaml"), *arguments],
        env=inherited_environment(
            AWS_ACCESS_KEY_ID=aws.access_key,
            AWS_DEFAULT_REGION=aws.region,
            AWS_ENDPOINT_URL=aws.endpoint,
            AWS_SECRET_ACCESS_KEY=aws.secret_key,
            SAM_CLI_TELEMETRY="0",
        ),
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
    )
    os.close(its)
    try:
        yield Terminal(ours)
    finally:
        program.kill()
        program.wait()
        os.close(ours)


def answer(terminal: Terminal, typed: dict[str, str]) -> dict[str, str]:
    """Answer until all is saved; return what was asked, with the defaults shown."""
    asked: dict[str, str] = {}
    answered = 0
    while DONE not in terminal.screen:
        assert terminal.read(), f"it ended:\n{terminal.screen}"
        if found := PROMPT.search(terminal.screen, answered):
            answered = len(terminal.screen)
            name = found[1].strip()
            assert name not in asked, f"{name} is asked again:\n{terminal.screen}"
            asked[name] = found[2] or ""
            terminal.type(typed.get(name, ""))
    return asked


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    directory = tmp_path_factory.mktemp("guided")
    with Processes(directory / "logs") as processes:
        aws = Aws(directory / "s3", processes, services=DEPLOYED_SERVICES)
        aws.start()
        yield aws


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_enter_is_an_answer_to_all_that_is_optional(aws: Aws, tmp_path: Path, environment: str) -> None:
    file = tmp_path / "samconfig.local.toml"
    write(file, environment, {})
    with guided(aws, "--config-file", str(file), "--config-env", environment) as terminal:
        asked = answer(terminal, ANSWERS)

    parameters = section("Parameters")
    assert [name for name in asked if name in parameters] == [*parameters]
    assert asked["SAM configuration file"] == str(file)
    kept = answers(file, environment)
    assert {name: kept[name] for name in ANSWERS} == ANSWERS
    for name, parameter in parameters.items():
        if "AllowedPattern" in parameter:
            assert re.fullmatch(str(parameter["AllowedPattern"]), kept[name]), name
    # The template's own rules take them, too.
    evaluated(**kept)

    # Next time Enter does for all, also with what the database's stack says now.
    write(file, environment, {"DatabaseHost": "other.example.com"})
    with guided(aws, "--config-file", str(file), "--config-env", environment) as terminal:
        answer(terminal, {})
    assert answers(file, environment) == kept | {"DatabaseHost": "other.example.com"}


def test_answers_of_another_stack_are_taken_over_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "samconfig.local.toml"

    assert write(file, "dev", {"DatabaseHost": "db.example.com", "VpcId": "vpc-1"}) == ["DatabaseHost"]
    write(file, "dev", {"DatabaseSecretArn": SECRET})

    assert answers(file, "dev") == {
        "LogRetentionDays": "14",
        "DatabaseHost": "db.example.com",
        "DatabaseSecretArn": SECRET,
    }
    assert "DatabaseHost" not in answers(file, "prod")
    with pytest.raises(PlanError, match=r"no section \[test\.deploy\.parameters\]"):
        write(file, "test", {})


def test_answers_stay_out_of_git() -> None:
    ignored = subprocess.run(["git", "check-ignore", "--quiet", str(PLAN)], cwd=ROOT, check=False)

    assert ignored.returncode == 0
    assert PRESETS.is_file()
