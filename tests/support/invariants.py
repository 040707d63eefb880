"""The invariants, checked on what Postgres, S3, EventBridge and LiveKit hold after a scenario."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, cast

from livekit.protocol import egress as protocol

from recorder.domain.events import EVENTS, EventType
from recorder.domain.lifecycle import TRANSITIONS
from recorder.domain.recording import FINAL, Status

if TYPE_CHECKING:
    from tests.support.deployment import Deployment, Row

ROUNDS: Final = 4
FOLDERS: Final = ("recordings/", "segments/")

# Every change of a row, seen from inside of Postgres.
INSTRUMENT: Final = """
create table observed_change (
    position bigint generated always as identity, recording_id uuid, before text, after text, deleted boolean,
    deleted_before boolean, refused boolean, target text
);
create function observe() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' then
        if old.deleted_at is not null or current_setting('application_name') <> 'recorder' then
            return null;
        end if;
        -- Only a start that was refused goes without having been deleted: its last change is its end.
        insert into public.observed_change (recording_id, before, after, deleted, deleted_before, refused, target)
        values (old.id, old.status, 'failed', true, false, true, old.target);
        return null;
    end if;
    insert into public.observed_change (recording_id, before, after, deleted, deleted_before, refused, target)
    values (new.id, case when tg_op = 'UPDATE' then old.status end, new.status, new.deleted_at is not null,
            tg_op = 'UPDATE' and old.deleted_at is not null,
            new.egress_id is null and new.failure_code in
                ('room_not_found', 'egress_refused', 'egress_unavailable', 'egress_misconfigured'), new.target);
    return null;
end $$;
create trigger observe after insert or update or delete on recordings for each row execute function observe();
"""


def check(deployment: Deployment, *, rounds: int = ROUNDS) -> None:
    """Let the faults end and some sweeps run, then check."""
    deployment.livekit.world.faults.off()
    _let_sweeps_run(deployment, rounds)
    rows = deployment.rows("select * from recordings")
    _every_egress_has_a_recording(deployment, rows)
    _nothing_outlives_its_deadline(deployment)
    _every_object_has_a_row(deployment, rows)
    _what_is_deleted_goes(deployment, rows)
    _states_only_move_forward(deployment)
    _targets_are_held_once(deployment)
    _nobody_sees_another(deployment, rows)
    _every_change_is_told(deployment)


def _let_sweeps_run(deployment: Deployment, rounds: int) -> None:
    """Sweep until two in a row have found nothing to change: the second may be what a doubt needs."""
    quiet = 0
    for _ in range(rounds):
        deployment.advance(61)
        quiet = quiet + 1 if deployment.sweep().keys() <= {"unchanged"} else 0
        if quiet == 2:
            return


def _every_egress_has_a_recording(deployment: Deployment, rows: list[Row]) -> None:
    alive = {each.id for each in deployment.livekit.world._records.unended() if each.alive}
    ours = {
        each.id
        for each in deployment.livekit.world._records.unended()
        if each.alive
        and each.info.status in {protocol.EGRESS_STARTING, protocol.EGRESS_ACTIVE}
        and (file := each.job.outputs.file) is not None
        and file.upload is not None
        and file.upload.bucket == deployment.site.name
        and file.filepath.startswith("recordings/")
    }
    live = [
        row
        for row in rows
        if row["status"] not in FINAL and row["egress_id"] is not None and row["take_ended_at"] is None
    ]
    owned = [row["egress_id"] for row in live]
    wanted = {row["egress_id"] for row in live if row["stop_requested_at"] is None}
    assert len(owned) == len(set(owned)), "an egress belongs to two recordings"
    assert ours <= wanted, f"egress that no recording wants: {ours - wanted}"
    assert set(owned) <= alive, f"recordings live whose egress has died: {set(owned) - alive}"


def _nothing_outlives_its_deadline(deployment: Deployment) -> None:
    late = deployment.rows(
        """select id, status from recordings
           where status = 'starting' and status_at < cast(:now as timestamptz) - interval '8 minutes'
              or status = 'stopping' and status_at < cast(:now as timestamptz) - interval '33 minutes'
              or status = 'resuming' and status_at < cast(:now as timestamptz) - interval '8 minutes'
              or status = 'paused' and status_at < cast(:now as timestamptz) - interval '63 minutes'""",
        now=deployment.livekit.clock.now(),
    )
    assert not late, f"beyond their deadline: {late}"


def _every_object_has_a_row(deployment: Deployment, rows: list[Row]) -> None:
    ids = {cast("str", row["id"]) for row in rows}
    for key in deployment.objects():
        if key.startswith(FOLDERS):
            assert key.split("/")[1] in ids, f"an object without a row: {key}"


def _what_is_deleted_goes(deployment: Deployment, rows: list[Row]) -> None:
    """Let the grace of late uploads pass, if anything was deleted: then neither rows nor objects are left of it."""
    if all(row["deleted_at"] is None for row in rows):
        return
    deployment.advance(3 * 3600)
    _let_sweeps_run(deployment, ROUNDS)
    dead = {each.id for each in deployment.livekit.world._records.unended() if not each.alive}
    # As long as LiveKit has a dead egress on record, its tombstone stays; and as long as its key, a refused start.
    left = deployment.rows(
        """select id, array_append(array(select egress_id from recording_takes where recording_id = id), egress_id)
                      as egress
           from recordings where deleted_at is not null and idempotency_key is null"""
    )
    kept_for = (set(cast("list[str]", row["egress"])) for row in left)
    assert all(egress & dead for egress in kept_for), "a tombstone is left"
    gone = {cast("str", row["id"]) for row in rows if row["deleted_at"] is not None}
    kept = [key for key in deployment.objects() if key.startswith(FOLDERS) and key.split("/")[1] in gone]
    assert kept == [], f"objects of what was deleted are left: {kept}"


def _states_only_move_forward(deployment: Deployment) -> None:
    for change in deployment.rows(
        "select * from observed_change where before is distinct from after order by position"
    ):
        if change["before"] is None:
            assert change["after"] in {Status.STARTING, Status.STOPPING}
        else:
            before, after = Status(cast("str", change["before"])), Status(cast("str", change["after"]))
            assert after in TRANSITIONS[before], f"{before} became {after}"


def _targets_are_held_once(deployment: Deployment) -> None:
    held: dict[object, object] = {}
    for change in deployment.rows("select * from observed_change where target is not null order by position"):
        target, recording = change["target"], change["recording_id"]
        if change["after"] not in FINAL:
            assert held.setdefault(target, recording) == recording, f"{target} was recorded twice at a time"
        elif held.get(target) == recording:
            del held[target]


def _nobody_sees_another(deployment: Deployment, rows: list[Row]) -> None:
    stranger = deployment.as_user("stranger")
    assert stranger.list().recordings == []
    for row in rows[:3]:
        assert stranger.get(cast("str", row["id"])).status == 404
    for name in {cast("str", row["user_id"]) for row in rows} - {""}:
        assert {each["userId"] for each in deployment.as_user(name).list().recordings} <= {name}


def _every_change_is_told(deployment: Deployment) -> None:
    if not deployment.settings["EVENT_BUS_NAME"]:
        return
    happened: dict[object, list[str]] = defaultdict(list)
    for change in deployment.rows("select * from observed_change order by position"):
        adopted_orphan = change["before"] is None and change["deleted"]
        if change["deleted_before"] or adopted_orphan:
            continue
        if change["deleted"] and not change["refused"]:
            happened[change["recording_id"]].append(EventType.DELETED)
        elif change["before"] != change["after"]:
            happened[change["recording_id"]].append(EVENTS[Status(cast("str", change["after"]))])
    told: dict[object, dict[str, str]] = defaultdict(dict)
    sequences: dict[object, list[int]] = defaultdict(list)
    for event in deployment.events():
        recording, identity = event["recordingId"], cast("str", event["id"])
        if identity not in told[recording]:
            told[recording][identity] = cast("str", event["type"])
            sequences[recording].append(cast("int", event["sequence"]))
    assert {recording: list(events.values()) for recording, events in told.items()} == happened
    for order in sequences.values():
        assert order == sorted(order)
