"""An unmodified `sam deploy` of what `sam build` made: the first one, one that fails, an upgrade, and the way back."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import httpx
import pytest
from botocore.exceptions import ClientError

from local.functions.build import built
from local.processes.children import Processes
from local.processes.environments import ROOT
from local.processes.server import Server
from local.template.transform import parse
from tests.infrastructure.test_template import FUNCTIONS, LIVE
from tests.support.account import Account, Keys
from tests.support.database import HEAD, NEXT
from tests.support.events import event, http_event
from tools.deploy_plan import answers, write
from tools.package import version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.account import StackEvent

pytestmark = pytest.mark.deploy

BROKEN = "create table broken (id integer references absent)"
MENDED = "create table mended (id integer)"


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with Processes(tmp_path / "logs") as processes, Server() as server:
        account = Account(tmp_path, processes, server)
        account.start()
        yield account


@dataclass(frozen=True)
class Release:
    """A built version of the product."""

    template: Path

    def next(self, directory: Path, statement: str) -> Release:
        """Return a copy that has one more migration, and a layer that differs."""
        shutil.copytree(self.template.parent, directory)
        (directory / "Recorder" / "python" / "recorder" / "next.py").write_text("")
        (directory / "MigrateDatabase" / "migrations" / "versions" / f"{NEXT}_next.py").write_text(
            f"from alembic import op\nrevision = '{NEXT}'\ndown_revision = '{HEAD}'\n"
            f"def upgrade() -> None:\n    op.execute('{statement}')\n"
        )
        template = directory / "template.yaml"
        text = template.read_text()
        assert f"Revision: '{HEAD}'" in text
        template.write_text(text.replace(f"Revision: '{HEAD}'", f"Revision: '{NEXT}'"))
        return Release(template)


@pytest.fixture(scope="module")
def release() -> Iterator[Release]:
    with built(print) as template:
        yield Release(template)


def revision(account: Account) -> object:
    return account.query("select version_num from alembic_version")[0][0]


def changed(events: list[StackEvent]) -> list[str]:
    return [each.resource for each in events if each.status.endswith("_IN_PROGRESS")]


def assert_migrated_first(events: list[StackEvent]) -> None:
    steps = [each.resource for each in events if each.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}]
    begun = changed(events)
    for function in LIVE:
        assert begun.index(function) > begun.index("Migration") > begun.index("MigrateDatabase")
        assert steps.index(function) > steps.index("Migration") > steps.index("MigrateDatabase")


def assert_answers(account: Account) -> None:
    """Call the API as users, strangers and LiveKit do, with the roles that the template gives to the functions."""
    answer = account.request("GET", "/api/video/recordings", account.issuer.token("alice"))
    assert (answer.status_code, answer.text) == (200, '{"recordings":[],"nextCursor":null}')
    for token in (None, account.issuer.token("alice", aud="others"), "no token"):
        refusal = account.request("GET", "/api/video/recordings", token)
        assert (refusal.status_code, refusal.json()) == (401, {"message": "Unauthorized"})
    # Open to LiveKit, whose signature the function checks.
    unsigned = account.request("POST", "/api/video/livekit/webhook")
    assert (unsigned.status_code, unsigned.json()["code"]) == (401, "unauthorized")


def sweep(account: Account) -> object:
    function = f"{account.functions()['ReconcileRecordings']}:live"
    return account.invoke(function, event("reconcile_recordings_scheduled"))["outcomes"]


def assert_roles_suffice(account: Account) -> None:
    """Have a link made and an object removed, each with the role that the template gives to the function."""
    bucket, deleted, kept = account.outputs()["BucketName"], uuid4(), uuid4()
    for recording_id in (deleted, kept):
        key = f"recordings/{recording_id}/recording.mp4"
        account.aws.s3.put_object(Bucket=bucket, Key=key, Body=b"media")
        account.query(
            f"""insert into recordings
                (id, user_id, room_name, status, status_at, storage_key, file_size, due_at, deleted_at)
                values ('{recording_id}', 'alice', 'demo', 'completed', now(), '{key}', 5, now(),
                        {"now()" if recording_id == deleted else "null"})"""
        )

    assert sweep(account) == {"list_unanswered": 1, "removed": 1, "cleared": 1}
    request = http_event("get_recording_completed", claims={"sub": "alice"}, recording_id=str(kept))
    answer = account.invoke(f"{account.functions()['GetRecording']}:live", request)
    link = json.loads(str(answer["body"]))["downloadUrl"]

    objects = account.aws.s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [each["Key"] for each in objects] == [f"recordings/{kept}/recording.mp4"]
    assert httpx.get(link, verify=account.trust()).content == b"media"
    account.query("delete from recordings")


def verdicts(account: Account) -> dict[str, str]:
    """Return what the doctor finds from where the functions run, with the role that the template gives it."""
    told = account.invoke(account.outputs()["CheckDeploymentName"], {})
    return {each["check"]: each["verdict"] for each in cast("list[dict[str, str]]", told["findings"])}


def assert_doctor_sees(account: Account) -> None:
    """No LiveKit runs here, and the API's address is one that only AWS' name servers know. The rest is well.

    The emulated CloudFormation gives the bucket that it makes no lifecycle: what the template says of that is held by
    its own test.
    """
    ill = {"LiveKit", "webhook", "segments"}
    assert {check for check, verdict in verdicts(account).items() if verdict != "ok"} == ill
    assert " checks FAILED - LiveKit: " in account.outputs()["Checks"]
    seen = account.doctor()
    assert seen.returncode == 1, seen.stdout
    assert "failed   LiveKit: " in seen.stdout
    assert "ok       upload: " in seen.stdout
    bucket = account.outputs()["BucketName"]
    kept = account.aws.s3.get_bucket_policy(Bucket=bucket)["Policy"]
    for check, action in (("download", "s3:GetObject"), ("removal", "s3:DeleteObject")):
        statement = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": action,
            "Resource": f"arn:aws:s3:::{bucket}/*",
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        account.aws.s3.put_bucket_policy(Bucket=bucket, Policy=document)
        found = {each for each, verdict in verdicts(account).items() if verdict != "ok"}
        assert found == {*ill, check}
    account.aws.s3.put_bucket_policy(Bucket=bucket, Policy=kept)
    # It has named each thing that it could not remove.
    objects = account.aws.s3.list_objects_v2(Bucket=bucket)["Contents"]
    left = [each["Key"] for each in objects if each["Key"].endswith("doctor.txt")]
    assert [key.partition("/")[0] for key in left] == ["recordings", "segments"]
    for key in left:
        account.aws.s3.delete_object(Bucket=bucket, Key=key)


def test_releases_come_and_go(account: Account, release: Release, tmp_path: Path) -> None:
    # The first deploy.
    deployed = account.deploy(release.template)
    assert deployed.returncode == 0, deployed.stdout
    assert_migrated_first(account.new_events())
    assert_answers(account)
    assert_roles_suffice(account)
    assert_doctor_sees(account)
    first = account.live_versions()
    assert set(first) == set(LIVE)

    # A parameter alone: every function takes its traffic with it.
    deployed = account.deploy(release.template, RetentionDays="7")
    assert deployed.returncode == 0, deployed.stdout
    configured = account.live_versions()
    assert [function for function in LIVE if configured[function] == first[function]] == []
    first = configured
    account.new_events()

    # One whose migration fails: the reason is told, and nothing else has changed.
    deployed = account.deploy(release.next(tmp_path / "broken", BROKEN).template)
    events = account.new_events()
    [failure] = [each for each in events if (each.resource, each.status) == ("Migration", "UPDATE_FAILED")]
    assert deployed.returncode != 0
    assert failure.reason == 'Postgres refused it: relation "absent" does not exist (SQLSTATE 42P01)'
    assert account.status() == "UPDATE_ROLLBACK_COMPLETE"
    assert set(LIVE) & set(changed(events)) == set()
    assert (revision(account), account.live_versions()) == (HEAD, first)
    assert_answers(account)

    # An upgrade, of which the functions know only through their layer.
    deployed = account.deploy(release.next(tmp_path / "mended", MENDED).template)
    assert deployed.returncode == 0, deployed.stdout
    assert_migrated_first(account.new_events())
    upgraded = account.live_versions()
    assert revision(account) == NEXT
    assert [function for function in LIVE if upgraded[function] == first[function]] == []
    assert_answers(account)

    # Back to the release before: its code runs on the newer schema.
    deployed = account.deploy(release.template)
    assert deployed.returncode == 0, deployed.stdout
    assert revision(account) == NEXT
    assert [function for function in LIVE if account.live_versions()[function] == upgraded[function]] == []
    assert_answers(account)

    # The stack goes; recordings, logs and tables stay.
    bucket, logs = account.outputs()["BucketName"], account.log_groups()
    account.aws.s3.put_object(Bucket=bucket, Key="recordings/a/recording.mp4", Body=b"")
    gone = account.delete()
    assert gone.returncode == 0, gone.stdout
    assert account.functions() == {}
    assert account.aws.s3.list_objects_v2(Bucket=bucket)["KeyCount"] == 2
    assert account.log_groups() == logs
    assert account.query("select count(*) from recordings") == [[0]]


def allowed(account: Account, keys: Keys) -> set[str]:
    """Return what somebody may do with the bucket."""
    bucket, s3 = account.outputs()["BucketName"], account.s3(keys)
    account.aws.s3.put_object(Bucket=bucket, Key="recordings/kept/recording.mp4", Body=b"media")
    attempts: dict[str, Callable[[], object]] = {
        "upload": lambda: s3.put_object(Bucket=bucket, Key="recordings/a/recording.mp4", Body=b"media"),
        "upload elsewhere": lambda: s3.put_object(Bucket=bucket, Key="elsewhere", Body=b"media"),
        "read": lambda: s3.get_object(Bucket=bucket, Key="recordings/kept/recording.mp4"),
        "delete": lambda: s3.delete_object(Bucket=bucket, Key="recordings/kept/recording.mp4"),
        "list": lambda: s3.list_objects_v2(Bucket=bucket),
    }

    def succeeds(attempt: Callable[[], object]) -> bool:
        try:
            attempt()
        except ClientError as error:
            if error.response["Error"]["Code"] == "AccessDenied":
                return False
            raise
        return True

    return {name for name, attempt in attempts.items() if succeeds(attempt)}


def test_each_way_lets_workers_upload_and_nothing_else(account: Account, release: Release) -> None:
    arn, worker = account.user("egress")
    assert account.deploy(release.template).returncode == 0

    secret = account.aws.secrets.get_secret_value(
        SecretId=account.variables("StartRecording")["EGRESS_S3_SECRET_ARN"]
    )["SecretString"]
    made = json.loads(secret)
    assert allowed(account, Keys(made["access_key"], made["secret"])) == {"upload"}
    assert allowed(account, worker) == set()

    deployed = account.deploy(release.template, EgressCredentials="worker", EgressPrincipalArn=arn)
    assert deployed.returncode == 0, deployed.stdout
    assert allowed(account, worker) == {"upload"}
    with pytest.raises(ClientError):
        account.s3(Keys(made["access_key"], made["secret"])).list_buckets()

    given = account.put_secret("egress", {"access_key": worker.access_key, "secret": worker.secret_key})
    deployed = account.deploy(release.template, EgressCredentials="given", EgressS3SecretArn=given)
    assert deployed.returncode == 0, deployed.stdout
    assert account.variables("StartRecording")["EGRESS_S3_SECRET_ARN"] == given
    assert allowed(account, worker) == {"upload"}

    deployed = account.deploy(
        release.template, EgressCredentials="assume-role", EgressS3SecretArn="", EgressS3ExternalId="our-id"
    )
    assert deployed.returncode == 0, deployed.stdout
    told = account.variables("StartRecording")
    assert told["EGRESS_S3_EXTERNAL_ID"] == "our-id"
    assert allowed(account, worker) == set()
    role = told["EGRESS_S3_ASSUME_ROLE_ARN"]
    assert allowed(account, account.assume(role, worker, ExternalId="our-id")) == {"upload"}
    _, stranger = account.user("stranger")
    for keys, external_id in ((stranger, {"ExternalId": "our-id"}), (worker, {})):
        with pytest.raises(ClientError, match="AccessDenied"):
            account.assume(role, keys, **external_id)

    # A way that lacks what it needs is refused before anything changes.
    refused = account.deploy(release.template, EgressCredentials="given", EgressS3ExternalId="")
    assert refused.returncode != 0
    assert "EgressCredentials=given needs EgressS3SecretArn" in refused.stdout


UNKNOWN_TO_THE_EMULATOR = {
    "AWS::EC2::EIP",
    "AWS::EC2::EIPAssociation",
    "AWS::EC2::Instance",
    "AWS::EC2::NatGateway",
    "AWS::EC2::Route",
}
"""And with them the routes, which lead to them."""


def emulated_database(account: Account, file: Path) -> Path:
    """Write database.yaml without the way out; its outputs lead to a Postgres that runs, as the emulator's does not."""
    document = parse((ROOT / "database.yaml").read_text())
    resources = cast("dict[str, dict[str, object]]", document["Resources"])
    for name in [name for name, each in resources.items() if each["Type"] in UNKNOWN_TO_THE_EMULATOR]:
        del resources[name]
    outputs = cast("dict[str, dict[str, object]]", document["Outputs"])
    for name in ("DatabaseHost", "DatabasePort", "DatabaseSecretArn", "DatabaseCaBundle"):
        outputs[name]["Value"] = account.parameters[name]
    file.write_text(json.dumps(document))
    return file


def test_the_databases_outputs_are_answers(account: Account, release: Release, tmp_path: Path) -> None:
    account.put_parameter("/image", "ami-12345678901234567")
    deployed = account.deploy_database(
        emulated_database(account, tmp_path / "database.json"), ImageId="/image"
    )
    assert deployed.returncode == 0, deployed.stdout
    plan = tmp_path / "samconfig.local.toml"
    planned = account.plan(plan)
    assert planned.returncode == 0, planned.stdout
    # The other answers of a guided deploy.
    others = {name: value for name, value in account.parameters.items() if not name.startswith("Database")}
    write(plan, "dev", others)

    deployed = account.deploy_planned(plan, release.template)

    assert deployed.returncode == 0, deployed.stdout
    assert_answers(account)
    assert answers(plan, "dev")["SubnetIds"].count("subnet-") == 2


def test_a_package_deploys_without_the_repository(account: Account, release: Release, tmp_path: Path) -> None:
    packaged = account.package(release.template, "releases", tmp_path / "dist")
    assert packaged.returncode == 0, packaged.stdout
    template = tmp_path / "dist" / "template.yaml"
    resources = cast("dict[str, dict[str, dict[str, str]]]", parse(template.read_text())["Resources"])
    code = [
        resource["Properties"][name]
        for resource in resources.values()
        for name in {"CodeUri", "ContentUri"} & resource.get("Properties", {}).keys()
    ]
    # The page's function, which a deployment may leave out, and the layer.
    assert len(code) == len(FUNCTIONS) + 2
    assert all(uri.startswith(f"s3://releases/recorder-{version()}/") for uri in code)
    assert {path.name for path in template.parent.iterdir()} == {
        "template.yaml",
        "database.yaml",
        "openapi.json",
        "CHANGELOG.md",
    }

    deployed = account.deploy(template)

    assert deployed.returncode == 0, deployed.stdout
    assert_answers(account)
