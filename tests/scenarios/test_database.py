"""A real Postgres that has not failed, but is busy, set up by others, or shared with others."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Protocol

import pytest
from livekit.protocol import egress as protocol

from tests.support.livekit import MEDIA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.deployment import Answer, Deployment, User
    from tests.support.logs import Logs

PASSING: Final = ("57014", "55P03", "40001", "40P01", "53200", "53300", "25006", "57P01")
ALWAYS: Final = 1_000_000


class Refusing(Protocol):
    """Have Postgres refuse so many writes of recordings with a SQLSTATE, of one row or of all."""

    def __call__(self, state: str, times: int, row: str | None = None) -> None: ...


@pytest.fixture
def refusing(deployment: Deployment) -> Iterator[Refusing]:
    def refuse(state: str, times: int, row: str | None = None) -> None:
        condition = f"when (new.id = '{row}')" if row else ""
        deployment.execute(
            f"""create sequence refusal;
            create function refuse() returns trigger language plpgsql as $$ begin
                if nextval('public.refusal') <= {times} then
                    raise exception 'canary' using errcode = '{state}';
                end if;
                return new;
            end $$;
            create trigger refuse before insert or update on recordings for each row {condition}
            execute function refuse();"""
        )

    yield refuse
    deployment.execute(
        "drop trigger if exists refuse on recordings; drop function if exists refuse; drop sequence if exists refusal"
    )


@contextmanager
def _defaults(deployment: Deployment, **settings: str) -> Iterator[None]:
    """Give the role of the functions other defaults; they log in anew before and after."""
    role, database = deployment.settings["DATABASE_USER"], deployment.site.name
    for name, value in settings.items():
        deployment.execute(f"""alter role {role} in database "{database}" set {name} = {value}""")
    deployment.configure()
    try:
        yield
    finally:
        deployment.execute(f"""alter role {role} in database "{database}" reset all""")
        deployment.configure()


def _told(answer: Answer) -> None:
    assert (answer.status, answer["code"]) == (503, "database_unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "canary" not in answer.text


# T51: passing errors.


@pytest.mark.parametrize("state", PASSING)
def test_t51_passing_error_is_tried_again(
    deployment: Deployment, alice: User, logs: Logs, refusing: Refusing, state: str
) -> None:
    refusing(state, 1)

    started = alice.start(roomName="demo")

    assert started.status == 201
    assert [line["state"] for line in logs.of("DATABASE_BUSY")] == [state]
    assert logs.metrics("RequestsFailed") == []
    assert [row["id"] for row in deployment.rows("select id from recordings")] == [started["recordingId"]]


@pytest.mark.parametrize("state", PASSING)
def test_t51_passing_error_that_does_not_pass_is_no_failure_of_the_release(
    deployment: Deployment, alice: User, logs: Logs, refusing: Refusing, state: str
) -> None:
    recording_id = alice.record()
    refusing(state, ALWAYS)

    for answer in (alice.stop(recording_id), alice.start(roomName="other"), alice.delete(recording_id)):
        _told(answer)
    deployment.advance(61)
    assert deployment.sweep() == {}

    assert {line["state"] for line in logs.of("DATABASE_BUSY")} == {state}
    assert {each["reason"] for each in logs.metrics("RequestsFailed") if "reason" in each} == {
        "database_busy"
    }
    assert "canary" not in logs.text
    assert alice.get(recording_id).status in {200, 503}


@pytest.mark.parametrize("state", ["22012", "23514", "P0001"])
def test_t51_error_that_does_not_pass_is_told_with_its_state(
    alice: User, logs: Logs, refusing: Refusing, state: str
) -> None:
    refusing(state, ALWAYS)

    answer = alice.start(roomName="demo")

    assert (answer.status, answer["code"]) == (500, "internal")
    assert [line["state"] for line in logs.of("STATEMENT_REFUSED")] == [state]
    assert "canary" not in logs.text + answer.text


@pytest.mark.parametrize(("setting", "state"), [("statement_timeout", "57014"), ("lock_timeout", "55P03")])
def test_t51_lock_that_is_not_given_up_is_waited_for_as_long_as_the_role_allows(
    deployment: Deployment, alice: User, logs: Logs, setting: str, state: str
) -> None:
    recording_id = alice.record()
    with _defaults(deployment, **{setting: "'100ms'"}):
        with deployment.row_locked(recording_id):
            _told(alice.stop(recording_id))
        assert alice.stop(recording_id).status == 200
    assert {line["state"] for line in logs.of("DATABASE_BUSY")} == {state}


@pytest.mark.parametrize("state", ["55P03", "40001"])
def test_t51_row_that_is_busy_does_not_keep_a_sweep_from_the_others(
    deployment: Deployment, alice: User, refusing: Refusing, state: str
) -> None:
    rooms = ["other", "third", "fourth"]
    for room in rooms:
        deployment.livekit.world.open_room(room)
    deployment.livekit.world.faults.webhook_lost.always()
    ids = [alice.record(room, seconds=10) for room in ["demo", *rooms]]
    for recording_id in ids:
        deployment.livekit.stop(recording_id)
    deployment.advance(61)
    deployment.execute("update recordings set due_at = now() - interval '1 year'")
    # The lease changes the row too, and so do five tries.
    refusing(state, ALWAYS, ids[1])
    deployment.execute(
        f"""drop trigger refuse on recordings;
        create trigger refuse before update of status on recordings for each row
        when (new.id = '{ids[1]}' and new.status <> old.status) execute function refuse()"""
    )

    report = deployment.sweep()

    assert (report["completed"], report["database_busy"]) == (3, 1)
    deployment.execute("drop trigger refuse on recordings")
    deployment.sweeps(1)
    assert set(alice.statuses()) == {"completed"}


@pytest.mark.parametrize(("state", "outcome"), [("55P03", "database_busy"), ("23514", "error")])
def test_t51_row_that_is_busy_or_refused_does_not_keep_a_sweep_from_noting_who_records_the_others(
    deployment: Deployment, alice: User, refusing: Refusing, state: str, outcome: str
) -> None:
    deployment.livekit.world.open_room("other")
    ids = [alice.record(room, seconds=10) for room in ("demo", "other")]
    deployment.advance(61)
    refusing(state, ALWAYS, ids[0])
    deployment.execute(
        f"""drop trigger refuse on recordings;
        create trigger refuse before update of recorder_seen_at on recordings for each row
        when (new.id = '{ids[0]}' and new.recorder_seen_at is not null) execute function refuse()"""
    )

    report = deployment.sweep()

    assert (report["unchanged"], report[outcome]) == (1, 1)
    seen = deployment.rows("select id::text from recordings where recorder_seen_at is not null")
    assert [row["id"] for row in seen] == [ids[1]]


def test_t51_old_primary_of_a_failover_is_left(deployment: Deployment, alice: User, logs: Logs) -> None:
    recording_id = alice.record()
    # The warm connection is one to the old primary, which only reads now; a new one reaches the new primary.
    with _defaults(deployment, default_transaction_read_only="on"):
        assert alice.list().status == 200
        role, database = deployment.settings["DATABASE_USER"], deployment.site.name
        deployment.execute(f"""alter role {role} in database "{database}" reset all""")

        assert alice.stop(recording_id).status == 200

    assert [line["state"] for line in logs.of("DATABASE_BUSY")] == ["25006"]


def test_t51_replica_is_told_as_such(deployment: Deployment, alice: User, logs: Logs) -> None:
    recording_id = alice.record()
    with _defaults(deployment, default_transaction_read_only="on"):
        _told(alice.start(roomName="other"))
        assert alice.list().status == 200
        # It would note that LiveKit was asked.
        assert alice.get(recording_id).recording["status"] == "active"
    assert {line["state"] for line in logs.of("DATABASE_BUSY")} == {"25006"}


@pytest.mark.usefixtures("refused_connections")
def test_t51_too_many_connections_are_no_refused_login(
    deployment: Deployment, alice: User, logs: Logs
) -> None:
    deployment.execute("create role few login superuser password 'few' connection limit 0")
    deployment.execute("alter role few nosuperuser")
    try:
        arn = deployment.site.aws.put_secret("few", {"password": "few"})
        deployment.configure(DATABASE_USER="few", DATABASE_SECRET_ARN=arn)
        _told(alice.list())
    finally:
        deployment.configure(
            **{name: deployment.site.settings[name] for name in ("DATABASE_USER", "DATABASE_SECRET_ARN")}
        )
        deployment.execute("drop role few")
    assert {line["state"] for line in logs.of("DATABASE_BUSY")} == {"53300"}
    assert logs.of("DATABASE_LOGIN_REFUSED") == []


# T52: what a role has by default.

DEFAULTS: Final = {
    "DateStyle": "'German, DMY'",
    "datestyle": "'SQL, MDY'",
    "TimeZone": "'Asia/Kathmandu'",
    "client_encoding": "'LATIN1'",
    "extra_float_digits": "-15",
    "default_transaction_isolation": "'serializable'",
    "Default_transaction_isolation": "'repeatable read'",
    "default_transaction_deferrable": "on",
    "statement_timeout": "'6s'",
    "lock_timeout": "'6s'",
    "search_path": "'nowhere'",
    "Search_path": "'shadow, public'",
    "IntervalStyle": "'sql_standard'",
    "bytea_output": "'escape'",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "array_nulls": "off",
    "transform_null_equals": "on",
    "plan_cache_mode": "'force_generic_plan'",
    "client_min_messages": "'debug5'",
    "row_security": "off",
    "jit_above_cost": "0",
}


@pytest.fixture
def shadow(deployment: Deployment) -> Iterator[None]:
    """Tables of the same names in another schema."""
    deployment.execute(
        "create schema shadow; create table shadow.recordings (id text); create table shadow.recording_events ()"
    )
    yield
    deployment.execute("drop schema shadow cascade")


@pytest.mark.usefixtures("shadow")
@pytest.mark.parametrize("name", DEFAULTS)
def test_t52_default_of_the_role_changes_nothing(deployment: Deployment, alice: User, name: str) -> None:
    room = "Größe ☃ 😀 o'brien \\"
    deployment.livekit.world.open_room(room)
    deployment.livekit.world.faults.webhook_lost.always()
    with _defaults(deployment, **{name: DEFAULTS[name]}):
        first, second = alice.record(room), alice.record()
        for recording_id in (first, second):
            deployment.livekit.stop(recording_id)
        deployment.advance(60)
        with deployment.row_locked(second):
            # A sweep that leaves something behind.
            report = deployment.begin(deployment.sweep).result(timeout=20)
        assert report["completed"] == 1
        deployment.sweeps(1)
        page = alice.list("limit=1&order=asc")
        following = alice.list(f"limit=1&order=asc&cursor={page['nextCursor']}")
        assert [each["id"] for each in page.recordings + following.recordings] == [first, second]
        shown = alice.get(first).recording
        [row] = deployment.rows("select * from recordings where id = cast(:id as uuid)", id=first)
        assert (shown["roomName"], shown["status"], shown["fileSize"]) == (room, "completed", len(MEDIA))
        assert shown["duration"] == row["duration"]
        assert alice.list(f"from={shown['createdAt']}&status=completed").recordings
        assert alice.delete(first).status == 200
        headers = {"idempotency-key": "key"}
        again = [alice.start(roomName="demo", headers=headers) for _ in range(2)]
        assert again[0].json == again[1].json
        assert alice.start(roomName="demo").status == 409
        deployment.sweeps(1)
        assert alice.stop(again[0]["recordingId"], wait=5).status == 200


@pytest.mark.parametrize("level", ["serializable", "repeatable read"])
def test_t52_many_at_once_at_another_isolation_level(deployment: Deployment, alice: User, level: str) -> None:
    with _defaults(deployment, default_transaction_isolation=f"'{level}'"):
        answers = deployment.at_once(*[lambda: alice.start(roomName="demo")] * 8)
        assert sorted(answer.status for answer in answers) == [201] + [409] * 7
        reports = deployment.at_once(*[deployment.sweep] * 4)
        assert sum(report.get("published", 0) for report in reports) <= 2
        deployment.sweep()


# T48: what others have put on the table.

FOREIGN: Final = {
    "unique index": (
        "create unique index foreign_thing on recordings (room_name)",
        "drop index foreign_thing",
    ),
    "trigger": (
        """create function swallow() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger foreign_thing before insert on recordings for each row execute function swallow()""",
        "drop trigger foreign_thing on recordings; drop function swallow",
    ),
    "rule": (
        "create rule foreign_thing as on insert to recordings do instead nothing",
        "drop rule foreign_thing on recordings",
    ),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_t48_row_that_something_foreign_keeps_out_is_an_error_with_a_name(
    deployment: Deployment, alice: User, logs: Logs, kind: str
) -> None:
    make, remove = FOREIGN[kind]
    recording_id = alice.record()
    alice.stop(recording_id)
    deployment.advance(60)
    calls = len(deployment.livekit.calls)
    deployment.execute(make)
    try:
        answer = alice.start(roomName="demo")
        assert (answer.status, answer["code"]) == (500, "internal")
        assert len(logs.of("ROW_REFUSED")) + len(logs.of("STATEMENT_REFUSED")) == 1
        # LiveKit was asked for nothing, and everything else goes on.
        assert len(deployment.livekit.calls) == calls
        assert alice.get(recording_id).recording["status"] == "completed"
        deployment.sweep()
    finally:
        deployment.execute(remove)
    assert alice.start(roomName="demo").status == 201


def test_t48_row_that_something_foreign_keeps_out_is_tried_a_few_times(
    deployment: Deployment, alice: User
) -> None:
    # A sequence counts also what is rolled back.
    deployment.execute(
        """create sequence tries;
        create function swallow() returns trigger language plpgsql as
            $$ begin perform nextval('tries'); return null; end $$;
        create trigger foreign_thing before insert on recordings for each row execute function swallow()"""
    )
    try:
        assert alice.start(roomName="demo").status == 500
        assert deployment.rows("select true from tries where last_value between 2 and 10")
    finally:
        deployment.execute("drop function swallow cascade; drop sequence tries")


def test_t48_orphan_that_cannot_be_stored_keeps_a_sweep_from_nothing(
    deployment: Deployment, alice: User, bob: User
) -> None:
    make, remove = FOREIGN["trigger"]
    for room in ("other", "third"):
        deployment.livekit.world.open_room(room)
    orphan, others = alice.record("third"), bob.record("other")
    deployment.execute("delete from recordings where id = cast(:id as uuid)", id=orphan)
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.stop(others)
    deployment.advance(61)
    deployment.execute(make)
    try:
        report = deployment.sweep()
    finally:
        deployment.execute(remove)
    assert (report["completed"], report["error"]) == (1, 1)
    assert bob.get(others).recording["status"] == "completed"
    deployment.sweeps(2)


# T58: the original recipe goes on writing.

RECIPE: Final = """
insert into recordings (room_name, egress_id, layout, codec, resolution, user_id)
values ('demo', :egress, 'grid', 'h264', '1080p', 'alice')"""
KEY: Final = "rooms/demo/2026-01-01 10:00.mp4"


def test_t58_row_of_the_recipe_is_listed_and_settled(deployment: Deployment, alice: User) -> None:
    output = protocol.EncodedFileOutput(filepath=KEY, s3=protocol.S3Upload(bucket=deployment.site.name))
    request = protocol.RoomCompositeEgressRequest(room_name="demo", file_outputs=[output])
    info = deployment.livekit.world.call("Egress", "StartRoomCompositeEgress", request).outcome
    assert isinstance(info, protocol.EgressInfo)
    deployment.execute_unseen(RECIPE, egress=info.egress_id)
    [listed] = alice.list().recordings
    assert (listed["status"], listed["egressId"]) == ("starting", info.egress_id)

    deployment.sweeps(1)
    assert alice.statuses() == ["active"]
    deployment.livekit.world.call(
        "Egress", "StopEgress", protocol.StopEgressRequest(egress_id=info.egress_id)
    )
    deployment.sweeps(1)

    [ended] = alice.list().recordings
    assert (ended["status"], ended["storageKey"]) == ("completed", KEY)
    assert alice.get(str(ended["id"]))["downloadUrl"]
