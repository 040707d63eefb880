"""Egress that write into our folders and that no live recording of this sweep owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.domain.recording import Recording, Status, StopReason
from recorder.domain.sources import Source
from recorder.sweep.context import BATCH, Outcome
from recorder.telemetry import Code, log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from recorder.domain.egress import EgressSnapshot
    from recorder.sweep.context import ActiveListing, Context


def settle(context: Context, listing: ActiveListing) -> bool:
    """Give each a recording that stops it; tell whether all of them were handled in time."""
    unmatched = [
        each
        for each in listing.by_id.values()
        if each.recording_id is not None and each.egress_id not in context.matched
    ]
    for start in range(0, len(unmatched), BATCH):
        if start and context.over:
            return False
        _settle(context, unmatched[start : start + BATCH])
    return True


def _settle(context: Context, snapshots: Sequence[EgressSnapshot]) -> None:
    repository = context.adapters.repository
    owners = repository.owners([each.recording_id for each in snapshots if each.recording_id is not None])
    ended: list[UUID] = []
    doubled: dict[str, UUID] = {}
    for snapshot in snapshots:
        if snapshot.recording_id is None:
            continue
        owner = owners.get(snapshot.recording_id)
        if owner is None:
            row = _deleted_row(snapshot, snapshot.recording_id, context.now)
            with context.each(row):
                repository.insert(row)
                log.warning(Code.ORPHAN, recording_id=row.id, egress_id=row.egress_id)
                context.outcomes[Outcome.ORPHAN] += 1
        elif not owner.known:
            context.outcomes[Outcome.LEFT_ALONE] += 1
        elif not owner.live:
            ended.append(owner.id)
        elif owner.egress_id is None:
            context.ledger.receive(snapshot)
            context.outcomes[Outcome.ADOPTED] += 1
        elif owner.egress_id != snapshot.egress_id:
            log.warning(Code.SECOND_EGRESS, recording_id=owner.id, egress_id=snapshot.egress_id)
            doubled[snapshot.egress_id] = owner.id
            context.outcomes[Outcome.SECOND_EGRESS] += 1
    context.stop(doubled)
    if ended:
        repository.make_due(ended, context.now)


def _deleted_row(snapshot: EgressSnapshot, recording_id: UUID, now: datetime) -> Recording:
    """Return a deleted recording for an egress without a row: the sweep stops and removes those anyway."""
    return Recording(
        id=recording_id,
        user_id="",
        room_name=snapshot.room_name,
        source=Source.ROOM_COMPOSITE,
        status=Status.STOPPING,
        created_at=now,
        updated_at=now,
        status_at=now,
        egress_id=snapshot.egress_id,
        stop_reason=StopReason.ORPHAN,
        stop_requested_at=now,
        deleted_at=now,
        due_at=now,
    )
