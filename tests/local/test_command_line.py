"""`make run` and `make invoke` as somebody at a terminal has them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import httpx
import pytest

from local import __main__ as command_line
from local.endpoints import Endpoints
from local.functions.build import built
from local.processes import state, watchdog
from local.processes.children import LOOPBACK, LocalStackError, free_port
from local.processes.environments import ROOT
from local.services.external import Database, External
from local.stack import Stack
from tests.local.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.xdist_group("command line")

ENDPOINTS = {
    *("apiUrl", "consoleUrl", "tokens", "issuer", "livekitUrl", "livekitApiKey", "livekitApiSecret"),
    *("s3Endpoint", "s3AccessKey", "s3SecretKey", "bucket", "databaseUrl"),
}
OTHER_ENDPOINTS = ENDPOINTS - {"tokens", "databaseUrl"}


def local(state: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "local", "--state", str(state), *arguments]


class Refused(Protocol):
    def __call__(self, state: Path, *arguments: str) -> str: ...


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Refused]:
    """Run a command line that ends with an error, and return what it says."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def refused(state: Path, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["local", "--state", str(state), *arguments])
        assert command_line.main() == 1
        return capsys.readouterr().err

    yield refused
    for number, handler in handlers.items():
        signal.signal(number, handler)


@dataclass(frozen=True)
class Running:
    process: subprocess.Popen[bytes]
    state: Path
    output: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("state")
    output = directory / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            local(directory, "run"), cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        eventually(lambda: (directory / "endpoints.json").exists() or process.poll() is not None, seconds=180)
        assert process.poll() is None, output.read_text()
        yield Running(process, directory, output)
    finally:
        process.terminate()
        process.wait()


def test_the_endpoints_are_where_they_are_said_to_be(running: Running) -> None:
    file = running.state / "endpoints.json"
    endpoints = json.loads(file.read_text())
    assert endpoints.keys() == ENDPOINTS
    assert endpoints["tokens"].keys() == {"alice", "bob"}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for address in (endpoints["issuer"] + "/.well-known/openid-configuration", endpoints["livekitUrl"]):
        assert httpx.get(address).status_code == 200
    for token in endpoints["tokens"].values():
        headers = {"authorization": f"Bearer {token}"}
        assert httpx.get(f"{endpoints['apiUrl']}/api/video/recordings", headers=headers).status_code == 200


def commands(text: str) -> list[str]:
    """The commands in a text, in one line each."""
    lines = text.replace("\\\n", "\\\0").splitlines()
    return [line.replace("\0", "\n") for line in lines if re.match(r"(API|ALICE|BOB|ID)=|curl ", line)]


def test_the_printed_lines_work_as_they_are(running: Running) -> None:
    script = "\n".join(commands(running.output.read_text()))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True, timeout=90)
    got, stopped, got_again, listed = (json.loads(line) for line in done.stdout.splitlines())
    assert '"status":"starting"' in done.stderr
    assert got["recording"]["status"] == "active"
    assert stopped["status"] == got_again["recording"]["status"] == "completed"
    (found,) = (each for each in listed["recordings"] if each["id"] == stopped["recordingId"])
    assert found["status"] == "completed"
    assert httpx.get(got_again["downloadUrl"]).status_code == 200


def test_the_readme_shows_the_printed_lines(running: Running) -> None:
    section = (ROOT / "README.md").read_text().partition("### A first recording")[2]
    shown = commands(section.partition("```sh\n")[2].partition("```")[0])
    assert [line.partition("=")[0] for line in shown[:2]] == ["API", "ALICE"]
    # Of those printed, the third is bob's token.
    assert shown[2:] == commands(running.output.read_text())[3:]


def test_a_second_one_says_that_one_runs(running: Running, refused: Refused) -> None:
    assert f"runs already (process {running.process.pid})" in refused(running.state, "run")


def test_one_function_can_be_run_beside_it(running: Running) -> None:
    event = "events/list_recordings_first_page.json"
    done = subprocess.run(
        local(running.state, "invoke", "ListRecordings", event),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=90,
    )
    assert json.loads(done.stdout)["statusCode"] == 200
    assert "START RequestId" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_event_can_be_run_beside_it(running: Running) -> None:
    done = subprocess.run(
        local(running.state, "invoke"), cwd=ROOT, capture_output=True, text=True, check=True, timeout=90
    )
    statuses = {event: status for _, event, status, *_ in map(str.split, done.stdout.splitlines())}
    assert statuses.keys() == {each.name for each in (ROOT / "events").iterdir()}
    assert statuses["delete_recording_one.json"] == statuses["get_recording_completed.json"] == "200"
    assert statuses["start_recording_unknown_field.json"] == "400"
    assert statuses["list_recordings_no_subject.json"] == "401"


def test_an_unknown_function_is_told_with_those_that_there_are(running: Running, refused: Refused) -> None:
    said = refused(running.state, "invoke", "Nothing", str(ROOT / "events/list_recordings_first_page.json"))
    assert "There is no function Nothing; there are AssembleRecording, BeginTake, CheckDeployment" in said


def test_an_event_that_is_none_is_told(tmp_path: Path, refused: Refused) -> None:
    assert "cannot be read as an event" in refused(
        tmp_path, "invoke", "ListRecordings", str(tmp_path / "none")
    )


def children(process: int) -> list[int]:
    task = Path(f"/proc/{process}/task")
    return [int(pid) for each in task.iterdir() for pid in (each / "children").read_text().split()]


def test_hanging_up_ends_everything(running: Running) -> None:
    sessions = children(running.process.pid)
    assert len(sessions) >= 4
    running.process.send_signal(signal.SIGHUP)
    assert running.process.wait(timeout=60) == 0
    assert [watchdog.members(session) for session in sessions] == [[] for _ in sessions]
    assert not (running.state / "endpoints.json").exists()
    assert "Traceback" not in running.output.read_text()


def test_a_taken_port_is_told(tmp_path: Path, refused: Refused) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        said = refused(tmp_path, "run", "--port", str(port))
    assert said == f"Port {port} cannot be used (Address already in use). Choose another: make run PORT=...\n"


@pytest.mark.parametrize("port", ["99999", "-1"])
def test_a_port_that_is_none_is_told(tmp_path: Path, refused: Refused, port: str) -> None:
    said = refused(tmp_path, "run", "--port", port)
    assert said == f"Port {port} cannot be used (ports are 1 to 65535). Choose another: make run PORT=...\n"


def test_a_stack_that_is_still_starting_is_told(tmp_path: Path, refused: Refused) -> None:
    # Left by an earlier one that was killed.
    (tmp_path / "deployment.json").write_text("{}")
    event = str(ROOT / "events/list_recordings_first_page.json")
    with state.exclusive(tmp_path):
        said = refused(tmp_path, "invoke", "ListRecordings", event)
    assert said.startswith(f"The stack in {tmp_path} is not ready: it is starting")


def test_half_a_service_is_told(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_URL", "wss://livekit.example.com")
    assert (
        refused(tmp_path, "run")
        == "LIVEKIT_API_KEY, LIVEKIT_API_SECRET must be set as well as LIVEKIT_URL.\n"
    )


def test_the_password_of_a_database_of_somebodys_own_is_not_printed(tmp_path: Path) -> None:
    url = "postgresql://me:canary@db.example.com/recorder"
    stack = Stack(tmp_path, external=External(database=Database(url)))
    stack.endpoints = Endpoints(
        tokens={"alice": "a", "bob": "b"}, database_url=url, **dict.fromkeys(OTHER_ENDPOINTS, "https://x")
    )
    printed = command_line._welcome(stack, 1)
    assert "postgresql://me:***@db.example.com/recorder" in printed
    assert "canary" not in printed


def test_a_failed_migration_is_told_in_a_line(
    tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = free_port()
    monkeypatch.setenv("DATABASE_URL", f"postgresql://me:secret@{LOOPBACK}:{port}/recorder?sslmode=disable")
    *_, reason, where = refused(tmp_path, "run").splitlines()
    assert reason.startswith("The database could not be migrated: [ERROR] ConnectionRefusedError: ")
    assert reason.endswith("Connection refused")
    log = tmp_path / "logs" / "MigrateDatabase.log"
    assert where == f"All of it: {log}"
    assert "Traceback" in log.read_text()


def test_a_full_disk_is_told(tmp_path: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_line, "NEEDED_BYTES", shutil.disk_usage(tmp_path).total * 2)
    assert f"The disk of {tmp_path} has" in refused(tmp_path, "run")


def test_a_start_that_hangs_can_be_ended(tmp_path: Path) -> None:
    output = tmp_path / "output"
    with socket.create_server((LOOPBACK, 0)) as silent, output.open("wb") as file:
        url = f"postgresql://me:secret@{LOOPBACK}:{silent.getsockname()[1]}/recorder?sslmode=disable"
        process = subprocess.Popen(
            local(tmp_path / "state", "run"),
            cwd=ROOT,
            env={**os.environ, "DATABASE_URL": url},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            silent.settimeout(180)
            migrating, _ = silent.accept()
            with migrating:
                process.terminate()
                assert process.wait(timeout=30) == 130
        finally:
            process.kill()
            process.wait()
    assert output.read_text().splitlines()[-1] == "Migrating the database ..."


def test_a_build_that_fails_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    project, cache = tmp_path / "project", tmp_path / "cache"
    requirements = ("Makefile", "assemble.txt", "layer.txt", "migrate.txt")
    for name in (*(f"requirements/{each}" for each in requirements), "docs/openapi.json"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    (project / "template.yaml").write_text("Resources: {Broken: {Type: AWS::Serverless::Function}}\n")
    with (
        pytest.raises(LocalStackError, match="sam build failed"),
        built(lambda _: None, root=project, cache=cache),
    ):
        pass
    assert not list((cache / "build").glob("*/build"))


def test_a_missing_python_is_told(tmp_path: Path) -> None:
    make = shutil.which("make")
    assert make
    for name in ("Makefile", "console", "requirements"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        [make, "run"],
        cwd=tmp_path,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode
    assert "python3.13 is needed and was not found on PATH" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_disk_without_room_for_the_tools_is_told(tmp_path: Path) -> None:
    for name in ("Makefile", "console", "requirements"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "python3.13").symlink_to(sys.executable)
    df = tmp_path / "df"
    df.write_text("#!/bin/sh\necho Filesystem 1M-blocks Used Available\necho /dev/disk 9000 7801 1199\n")
    df.chmod(0o755)
    done = subprocess.run(
        ["make", "run"],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode
    assert done.stdout == f"The disk of {tmp_path} has 1199 MB left; the tool environment needs 1,200 MB.\n"
    assert not (tmp_path / ".venv").exists()
