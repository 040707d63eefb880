"""An unmodified `sam deploy` of what `sam build` made: the first one, one that fails, an upgrade, and the way back."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import httpx
import pytest

from local.functions.build import built
from local.processes.children import Processes
from tests.infrastructure.test_template import LIVE
from tests.support.account import Account
from tests.support.events import event, http_event

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.account import StackEvent

pytestmark = pytest.mark.deploy

BROKEN = "create table broken (id integer references absent)"
MENDED = "create table mended (id integer)"


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with Processes(tmp_path / "logs") as processes:
        account = Account(tmp_path, processes)
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
        (directory / "MigrateDatabase" / "migrations" / "versions" / "0004_next.py").write_text(
            f"from alembic import op\nrevision = '0004'\ndown_revision = '0003'\n"
            f"def upgrade() -> None:\n    op.execute('{statement}')\n"
        )
        template = directory / "template.yaml"
        text = template.read_text()
        assert "Revision: '0003'" in text
        template.write_text(text.replace("Revision: '0003'", "Revision: '0004'"))
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
    """Call a function that takes traffic, with the role that the template gives it."""
    answer = account.invoke(
        f"{account.functions()['ListRecordings']}:live", event("list_recordings_first_page")
    )

    assert (answer["statusCode"], answer["body"]) == (200, '{"recordings":[],"nextCursor":null}')


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

    # The functions reach the emulator over plain HTTP, which the bucket refuses.
    assert sweep(account) == {"list_unanswered": 1, "postponed": 1, "cleared": 1}
    account.aws.s3.delete_bucket_policy(Bucket=bucket)
    account.query("update recordings set due_at = now() where deleted_at is not null")
    assert sweep(account) == {"list_unanswered": 1, "removed": 1}
    request = http_event("get_recording_completed", claims={"sub": "alice"}, recording_id=str(kept))
    answer = account.invoke(f"{account.functions()['GetRecording']}:live", request)
    link = json.loads(str(answer["body"]))["downloadUrl"]

    objects = account.aws.s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert [each["Key"] for each in objects] == [f"recordings/{kept}/recording.mp4"]
    assert httpx.get(link).content == b"media"
    account.query("delete from recordings")


def test_releases_come_and_go(account: Account, release: Release, tmp_path: Path) -> None:
    # The first deploy.
    deployed = account.deploy(release.template)
    assert deployed.returncode == 0, deployed.stdout
    assert_migrated_first(account.new_events())
    assert_answers(account)
    assert_roles_suffice(account)
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
    assert (revision(account), account.live_versions()) == ("0003", first)
    assert_answers(account)

    # An upgrade, of which the functions know only through their layer.
    deployed = account.deploy(release.next(tmp_path / "mended", MENDED).template)
    assert deployed.returncode == 0, deployed.stdout
    assert_migrated_first(account.new_events())
    upgraded = account.live_versions()
    assert revision(account) == "0004"
    assert [function for function in LIVE if upgraded[function] == first[function]] == []
    assert_answers(account)

    # Back to the release before: its code runs on the newer schema.
    deployed = account.deploy(release.template)
    assert deployed.returncode == 0, deployed.stdout
    assert revision(account) == "0004"
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
