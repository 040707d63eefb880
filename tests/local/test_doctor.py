"""The doctor on the local stack: all is well, and each check is seen failing, in words that help and tell nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Final, Literal, cast, override

import httpx
import pg8000.native
import pytest

from local.functions.deployment import Deployment
from local.processes.children import LOOPBACK, free_port
from local.processes.environments import ROOT
from local.services.authority import Authority
from local.services.postgres import USER
from local.stack import Stack
from recorder.doctor import Finding, Verdict, examine, summary
from tests.support.functions import LambdaContext, handler
from tools.deploy_plan import write
from tools.doctor import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOUR: Final = 3600
WEAK: Final = "canary-of-a-weak-role"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("doctor"), fast=True, durable=False) as stack:
        yield stack


class Patient:
    """The running stack's settings, to be spoiled one by one."""

    def __init__(self, stack: Stack, patch: pytest.MonkeyPatch, directory: Path) -> None:
        self.stack = stack
        self.directory = directory
        self._patch = patch
        deployment = Deployment.read(stack.directory / "deployment.json")
        self.set(**settings_of(deployment.parameters, deployment.resources, deployment.region))
        self.set(
            **deployment.environment,
            AWS_REGION=deployment.region,
            AWS_ACCESS_KEY_ID=deployment.access_key,
            AWS_SECRET_ACCESS_KEY=deployment.secret_key,
        )
        patch.delenv("AWS_SESSION_TOKEN", raising=False)

    def set(self, **settings: str) -> None:
        for name, value in settings.items():
            self._patch.setenv(name, value)

    def secret(self, name: str, **value: str) -> str:
        return self.stack.aws.put_secret(f"doctor-{name}", value)

    @contextmanager
    def database(self) -> Iterator[pg8000.native.Connection]:
        postgres = self.stack.postgres
        with pg8000.native.Connection(
            USER, LOOPBACK, os.environ["DATABASE_NAME"], postgres.port, postgres.password
        ) as connection:
            yield connection

    def own_database(self, *statements: str) -> None:
        """Give the patient a migrated database of its own, changed by some statements."""
        name = f"doctor-{free_port()}"
        self.stack.postgres.create_database(name)
        self.set(DATABASE_NAME=name)
        handler("migrate_database")({}, LambdaContext("migrate_database", time.time_ns))
        with self.database() as connection:
            for statement in statements:
                connection.run(statement)

    def own_bucket(self) -> None:
        self.stack.aws.create_bucket("doctor")
        self.set(RECORDINGS_BUCKET="doctor")

    def fault(self, **faults: object) -> None:
        url = f"{self.stack.livekit.url}/_control/faults"
        httpx.patch(url, json=faults).raise_for_status()

    def findings(self, *, record: bool = False) -> dict[str, Finding]:
        return {each.check: each for each in examine(record=record)}


@pytest.fixture
def patient(running: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Patient]:
    yield Patient(running, monkeypatch, tmp_path)
    httpx.delete(f"{running.livekit.url}/_control/faults").raise_for_status()


def test_a_healthy_stack_passes_every_check_and_nothing_is_left(patient: Patient) -> None:
    before = patient.stack.aws.s3.list_objects_v2(Bucket=patient.stack.aws.bucket)["KeyCount"]
    findings = patient.findings(record=True)

    assert [each.line() for each in findings.values() if each.verdict is not Verdict.OK] == []
    assert {*findings} == documented()
    assert patient.stack.aws.s3.list_objects_v2(Bucket=patient.stack.aws.bucket)["KeyCount"] == before
    with patient.database() as connection:
        assert connection.run("select count(*) from recordings") == [[0]]


def documented() -> set[str]:
    """Return the checks of which docs/operations.md tells."""
    text = (ROOT / "docs" / "operations.md").read_text()
    _, _, table = text.partition("| check | looks at |\n|---|---|\n")
    rows = table.partition("\n\n")[0].splitlines()
    return {name.strip() for row in rows for name in row.split("|")[1].split(",")}


@contextmanager
def site(answers: dict[str, object], *, status: int = 200, late: float = 0.0) -> Iterator[str]:
    """Serve JSON by path, with a clock that is late by some seconds; `{url}` in an answer is the site's own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(answers.get(self.path, {})).replace("{url}", url).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def date_time_string(self, timestamp: float | None = None) -> str:
            return formatdate(time.time() - late, usegmt=True)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Print nothing."""

    with HTTPServer((LOOPBACK, 0), Handler) as server:
        url = f"http://{LOOPBACK}:{server.server_port}"
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        yield url
        server.shutdown()
        serving.join()


DISCOVERY: Final = "/.well-known/openid-configuration"


def test_a_wrong_clock_is_told(patient: Patient) -> None:
    with site({DISCOVERY: {"issuer": "{url}", "jwks_uri": "{url}/keys"}}, late=HOUR) as url:
        patient.set(JWT_ISSUER=url)
        found = patient.findings()["clock"]

    assert found.verdict is Verdict.FAILED
    assert "s ahead of that of the issuer" in found.says


@pytest.mark.parametrize(
    ("answers", "status", "says"),
    [
        ({}, 404, "answers 404"),
        ({DISCOVERY: {"issuer": "{url}/"}}, 200, "it calls itself"),
        (
            {DISCOVERY: {"issuer": "{url}", "jwks_uri": "{url}/keys"}, "/keys": {"keys": [{"kty": "EC"}]}},
            200,
            "no RSA key",
        ),
    ],
)
def test_an_issuer_that_api_gateway_cannot_use_is_told(
    patient: Patient, answers: dict[str, object], status: int, says: str
) -> None:
    with site(answers, status=status) as url:
        patient.set(JWT_ISSUER=url)
        found = patient.findings()["issuer"]

    assert found.verdict is Verdict.FAILED
    assert says in found.says


def closed() -> str:
    return str(free_port())


def without_tls(patient: Patient) -> None:
    patient.set(DATABASE_TLS="verify")


def without_owner(patient: Patient) -> None:
    patient.own_database("create role doctor_stranger", "alter table recordings owner to doctor_stranger")
    login_of_a_weak_role(patient)


def login_of_a_weak_role(patient: Patient) -> None:
    with patient.database() as connection:
        if not connection.run("select from pg_roles where rolname = 'doctor_weak'"):
            connection.run(f"create role doctor_weak login password '{WEAK}'")
    patient.set(DATABASE_USER="doctor_weak", DATABASE_SECRET_ARN=patient.secret("weak", password=WEAK))


def slow_role(patient: Patient) -> None:
    login_of_a_weak_role(patient)
    with patient.database() as connection:
        connection.run("alter role doctor_weak set statement_timeout = '2s'")


def wrong_egress_keys(patient: Patient) -> None:
    arn = patient.secret("egress", access_key="NOBODY", secret="canary-of-a-key")
    patient.set(EGRESS_S3_SECRET_ARN=arn)


def other_livekit_keys(patient: Patient) -> None:
    arn = patient.secret("livekit", api_key="devkey", api_secret="canary-of-a-secret-that-is-long-enough")
    patient.set(LIVEKIT_SECRET_ARN=arn)


def without_cors(patient: Patient) -> None:
    patient.own_bucket()
    patient.stack.aws.s3.delete_bucket_cors(Bucket="doctor")


def without_lifecycle(patient: Patient) -> None:
    patient.own_bucket()
    patient.stack.aws.s3.delete_bucket_lifecycle(Bucket="doctor")


def lifecycle(prefix: str, status: Literal["Enabled", "Disabled"]) -> Callable[[Patient], None]:
    """Give a bucket one rule, which expires what has this prefix."""

    def spoil(patient: Patient) -> None:
        patient.own_bucket()
        patient.stack.aws.s3.put_bucket_lifecycle_configuration(
            Bucket="doctor",
            LifecycleConfiguration={
                "Rules": [
                    {"ID": "one", "Status": status, "Filter": {"Prefix": prefix}, "Expiration": {"Days": 9}}
                ]
            },
        )

    return spoil


TRIGGER: Final = (
    "create function swallow() returns trigger language plpgsql as 'begin return null; end'",
    "create trigger swallows before insert on recordings for each row execute function swallow()",
)

SPOILED: Final[dict[str, tuple[str, Callable[[Patient], None], str]]] = {
    "issuer away": (
        "issuer",
        lambda it: it.set(JWT_ISSUER=f"http://{LOOPBACK}:{closed()}"),
        "nothing listens",
    ),
    "no secret": ("Postgres", lambda it: it.set(DATABASE_SECRET_ARN="absent"), "password cannot be read"),
    "secret of something else": (
        "Postgres",
        lambda it: it.set(DATABASE_SECRET_ARN=it.secret("other", user="x")),
        "lacks a field (password)",
    ),
    "port closed": ("Postgres", lambda it: it.set(DATABASE_PORT=closed()), "nothing listens there"),
    "host unknown": ("Postgres", lambda it: it.set(DATABASE_HOST="db.invalid"), "name cannot be resolved"),
    "wrong password": (
        "Postgres",
        lambda it: it.set(DATABASE_SECRET_ARN=it.secret("wrong", password="canary-of-a-password")),
        "SQLSTATE 28P01",
    ),
    "no database": ("Postgres", lambda it: it.set(DATABASE_NAME="absent"), "SQLSTATE 3D000"),
    "no TLS": ("Postgres", without_tls, "speaks no TLS"),
    "not the owner": ("database rights", without_owner, "does not own recordings"),
    "no right to create": (
        "database rights",
        login_of_a_weak_role,
        "does not own recordings",
    ),
    "no schema": (
        "database rights",
        lambda it: it.own_database("alter schema public rename to private"),
        "no schema public",
    ),
    "no table": (
        "schema",
        lambda it: it.own_database("drop table recordings, recording_events cascade"),
        "no table recordings",
    ),
    "an older table": (
        "schema",
        lambda it: it.own_database("alter table recordings drop column due_at"),
        "lacks due_at",
    ),
    "a foreign index": (
        "foreign objects",
        lambda it: it.own_database("create unique index one_each on recordings (user_id, room_name)"),
        "unique index one_each is not ours",
    ),
    "a trigger": ("foreign objects", lambda it: it.own_database(*TRIGGER), "trigger swallows is not ours"),
    "a rule": (
        "foreign objects",
        lambda it: it.own_database("create rule none as on delete to recordings do instead nothing"),
        "rule none is not ours",
    ),
    "a hasty role": ("role settings", slow_role, "statement_timeout=2000"),
    "LiveKit away": (
        "LiveKit",
        lambda it: it.set(LIVEKIT_URL=f"ws://{LOOPBACK}:{closed()}"),
        "nothing listens there",
    ),
    "another key": ("LiveKit", other_livekit_keys, "refuses the key"),
    "no LiveKit": ("LiveKit", lambda it: it.set(LIVEKIT_URL=it.stack.endpoints.issuer), "answers 404"),
    "no worker": ("egress worker", lambda it: it.fault(no_worker={"times": 1}), "none is registered"),
    "wrong keys of egress": ("upload", wrong_egress_keys, "refuses an object"),
    "no bucket": ("upload", lambda it: it.set(RECORDINGS_BUCKET="absent"), "NoSuchBucket"),
    # The emulator compares the signatures of links only. What a policy refuses, the emulated account shows.
    "a link that is refused": (
        "download",
        lambda it: it.set(AWS_SECRET_ACCESS_KEY="canary-of-another-key"),
        "answered 403",
    ),
    "no CORS": ("players", without_cors, "lets no page of another origin"),
    "no lifecycle": ("segments", without_lifecycle, "for ever"),
    "a lifecycle of something else": ("segments", lifecycle("logs/", "Enabled"), "no rule of doctor ends"),
    "a lifecycle that is off": ("segments", lifecycle("segments/", "Disabled"), "no rule of doctor ends"),
    "API away": (
        "webhook",
        lambda it: it.set(PUBLIC_URL=f"http://{LOOPBACK}:{closed()}"),
        "cannot be reached",
    ),
    "no API": ("webhook", lambda it: it.set(PUBLIC_URL=it.stack.endpoints.issuer), "answers 404"),
    "keys that the functions lack": ("webhook", other_livekit_keys, "signed webhook is refused"),
}
CANARIES: Final = ("canary", WEAK)


@pytest.mark.parametrize("spoiled", SPOILED)
def test_each_check_is_seen_failing_with_words_that_help_and_tell_no_secret(
    patient: Patient, spoiled: str
) -> None:
    check, spoil, says = SPOILED[spoiled]
    spoil(patient)
    findings = patient.findings()

    assert findings[check].verdict is Verdict.FAILED
    assert says in findings[check].says
    assert findings[check].advice
    secrets = [*CANARIES, patient.stack.postgres.password, patient.stack.livekit.api_secret]
    secrets.append(patient.stack.aws.secret_key)
    told = "\n".join(each.line() for each in findings.values())
    assert [secret for secret in secrets if secret in told] == []
    assert f"{check}: {findings[check].says}" in summary([*findings.values()])


def test_a_certificate_that_cannot_be_verified_is_told(
    patient: Patient, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("authorities")
    other, absent = Authority(directory / "other", "other").bundle, "/opt/certificates/absent.pem"
    Authority(directory / "one").certify(patient.stack.postgres, LOOPBACK)
    try:
        patient.set(DATABASE_TLS="verify", DATABASE_CA_BUNDLE=str(other))
        untrusted = patient.findings()["Postgres"]
        patient.set(DATABASE_CA_BUNDLE=absent)
        missing = patient.findings()["Postgres"]
    finally:
        with patient.database() as connection:
            connection.run("alter system reset ssl")
            connection.run("select pg_reload_conf()")

    assert (untrusted.verdict, missing.verdict) == (Verdict.FAILED, Verdict.FAILED)
    assert "its certificate is not trusted" in untrusted.says
    assert f"{absent}, which is not there" in missing.says


def test_a_worker_that_cannot_upload_is_told(patient: Patient) -> None:
    patient.set(RECORDINGS_BUCKET="absent")
    found = patient.findings(record=True)["recording"]

    assert found.verdict is Verdict.FAILED
    assert "it ends with 400" in found.says


def test_where_only_workers_have_the_right_to_write_it_is_said_how_to_see_it(patient: Patient) -> None:
    patient.set(EGRESS_S3_SECRET_ARN="")
    found = patient.findings()["upload"]

    assert found.verdict is Verdict.UNKNOWN
    assert "make doctor RECORD=1" in found.advice


def test_the_function_finds_the_same_from_where_the_functions_run(running: Stack) -> None:
    told = cast("dict[str, object]", running.invoke("CheckDeployment", {}))
    findings = cast("list[dict[str, str]]", told["findings"])

    assert {each["verdict"] for each in findings} == {"ok"}
    assert told["summary"] == f"{len(findings)} checks passed"


def doctor(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.doctor", "--state", str(stack.directory), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_from_the_command_line_there_is_one_line_for_each_check_and_an_exit_code(patient: Patient) -> None:
    well = doctor(patient.stack)
    assert well.returncode == 0, well.stdout + well.stderr
    *lines, blank, last = well.stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"ok"}
    assert (blank, last) == ("", f"{len(lines)} checks passed")

    patient.fault(no_worker={"times": 1})
    ill = doctor(patient.stack)
    assert ill.returncode == 1
    assert "failed   egress worker: none is registered" in ill.stdout
    assert "1 of" in ill.stdout.splitlines()[-1]


def test_before_a_deploy_the_answers_are_checked_from_here(
    running: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment = Deployment.read(running.directory / "deployment.json")
    plan = tmp_path / "samconfig.local.toml"
    write(plan, "dev", deployment.parameters | {"EgressCredentials": "create", "EgressS3SecretArn": ""})
    for name, value in (deployment.environment | {"AWS_DEFAULT_REGION": deployment.region}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", deployment.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", deployment.secret_key)

    done = doctor(running, "--environment", "dev", "--file", str(plan))

    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok       LiveKit: " in done.stdout
    # Resources that the deploy makes cannot be there yet.
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("unknown")] == [
        "bucket:",
        "webhook:",
    ]


def test_without_a_stack_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.doctor", "--state", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "make run" in done.stdout
