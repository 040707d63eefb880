"""Egress that write into our folders and that no live recording of this sweep owns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.sweep.context import BATCH, Outcome
from recorder.telemetry import Code, log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from recorder.domain.egress import EgressSnapshot
    from recorder.sweep.context import ActiveListing, Context
    from recorder.usecases.ports import Owner


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
    ended: list[EgressSnapshot] = []
    doubled: dict[str, UUID] = {}
    for snapshot in snapshots:
        if snapshot.recording_id is None:
            continue
        owner = owners.get(snapshot.recording_id)
        if owner is None:
            with context.each(snapshot.recording_id):
                context.ledger.insert_deleted(snapshot, snapshot.recording_id)
                context.outcomes[Outcome.ORPHAN] += 1
        elif not owner.known:
            context.outcomes[Outcome.LEFT_ALONE] += 1
        elif not owner.live:
            ended.append(snapshot)
        elif _is_of_current_take(snapshot, owner):
            with context.each(snapshot.recording_id):
                context.ledger.receive(snapshot)
                context.outcomes[Outcome.ADOPTED] += 1
        elif snapshot.egress_id in owner.lost:
            ended.append(snapshot)
        elif owner.egress_id != snapshot.egress_id or owner.between_takes:
            log.warning(Code.SECOND_EGRESS, recording_id=owner.id, egress_id=snapshot.egress_id)
            doubled[snapshot.egress_id] = owner.id
            context.outcomes[Outcome.SECOND_EGRESS] += 1
    context.stop(doubled)
    _settle_ended(context, ended)


def _is_of_current_take(snapshot: EgressSnapshot, owner: Owner) -> bool:
    """Tell whether it is the egress that a take waits for whose Start was not answered."""
    waits = owner.egress_id is None and not owner.between_takes
    return waits and snapshot.owner is not None and snapshot.owner.take == owner.take


def _settle_ended(context: Context, snapshots: Sequence[EgressSnapshot]) -> None:
    """Look after egress whose recordings are final, or whose takes were lost.

    A dead worker's egress stays listed for ever, and its recording is looked at ever more seldom. Should it come
    back to life, its room shows it; of a web page, which has no room, its handler answers.
    """
    unasked = {each.egress_id: each for each in snapshots if each.egress_id not in context.asked}
    if not unasked:
        return
    owners = [each.recording_id for each in unasked.values() if each.recording_id is not None]
    context.adapters.repository.make_due(owners, context.now)
    alive = context.alive({each.egress_id: each.room_name for each in unasked.values()})
    running: dict[str, UUID] = {}
    for egress_id, snapshot in unasked.items():
        if egress_id in alive and snapshot.recording_id is not None:
            log.warning(Code.STILL_RUNNING, recording_id=snapshot.recording_id, egress_id=egress_id)
            running[egress_id] = snapshot.recording_id
            with context.each(snapshot.recording_id):
                # So that its file is looked for.
                context.ledger.receive(snapshot)
                context.outcomes[Outcome.STOPPING] += 1
    context.stop(running)
