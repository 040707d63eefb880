"""The seven invariants, held against what LiveKit really runs, what the bucket really holds and what is stored."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from livekit.protocol import egress as protocol

from recorder.domain import PREFIX, Status
from tests.support.simulator.journal import require

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from datetime import datetime

    from local.livekit.records import Egress
    from local.livekit.world import World
    from recorder.domain import Policy, Recording
    from tests.support.simulator.livekit import SimulatedLiveKit

_RUNS: Final = {protocol.EGRESS_STARTING, protocol.EGRESS_ACTIVE}
_SWEEPS: Final = 2
_SLACK: Final = timedelta(minutes=3)


class Truth:
    """What is so, whatever anybody's record says. `objects` are the keys in the bucket."""

    def __init__(
        self,
        world: World,
        livekit: SimulatedLiveKit,
        rows: Mapping[UUID, Recording],
        objects: Collection[str],
        policy: Policy,
    ) -> None:
        self.backed_up: set[str] = set()
        """The egress whose files went to the workers' backup storage."""
        self.foreign: dict[str, str] = {}
        """Other people's egress by id, with their keys."""
        self.foreign_objects: set[str] = set()
        self._world = world
        self._livekit = livekit
        self._rows = rows
        self._objects = objects
        self._policy = policy
        self._unowned: dict[str, int] = {}
        self._calm_since: datetime | None = None

    def running(self) -> list[Egress]:
        """Give the egress of this deployment that really run."""
        return [found for found in self._alive() if found.id in self._livekit.ours]

    def _alive(self) -> Iterator[Egress]:
        return (
            found
            for found in list(self._world._records.unended())
            if found.alive and found.info.status in _RUNS
        )

    def check_strangers(self) -> None:
        """What others run in the same project is left alone, and so is what they store."""
        touched = [egress_id for egress_id in self._livekit.stopped if egress_id in self.foreign]
        require(holds=not touched, otherwise=f"1: {touched} of others were stopped")
        gone = self.foreign_objects.difference(self._objects)
        require(holds=not gone, otherwise=f"3: {gone} of others were deleted")

    # While time passes quietly.

    def check_after_sweep(self, now: datetime) -> None:
        """Check, after each of the sweeps that nothing disturbs, what two of them have to settle."""
        if self._calm_since is None:
            self._calm_since = now
        self._check_owned(now)
        for row in self._rows.values():
            limit = {
                Status.STARTING: self._policy.starting_timeout,
                Status.STOPPING: self._policy.stopping_timeout,
            }.get(row.status)
            if limit is not None:
                deadline = max(row.status_at + limit, self._calm_since) + _SLACK
                require(holds=now < deadline, otherwise=f"2: {row.id} is still {row.status}")

    def _check_owned(self, now: datetime) -> None:
        unowned: dict[str, int] = {}
        for found in self.running():
            if self._owned(found, now) or found.waiting:
                continue
            count = unowned[found.id] = self._unowned.get(found.id, 0) + 1
            require(holds=count <= _SWEEPS, otherwise=f"1: {found.id} runs and belongs to no live recording")
        self._unowned = unowned

    def _owned(self, found: Egress, now: datetime) -> bool:
        row = self._rows.get(UUID(self._livekit.ours[found.id]))
        if row is not None and row.live and row.egress_id in {None, found.id}:
            return row.egress_id is not None or now < row.created_at + self._policy.start_grace
        # Whose id nobody was told before LiveKit forgot it, nobody can stop.
        return found.record is None and (row is None or row.egress_id != found.id)

    # When all is over.

    def unsettled(self, now: datetime) -> str | None:
        """Say what is not yet as it has to be in the end, when every room is closed and every grace over."""
        for found in self.running():
            return f"1: {found.id} runs on"
        for row in self._rows.values():
            problem = self._unsettled_row(row, now)
            if problem:
                return f"{problem}: {row}"
        for key in self._objects:
            if key not in self.foreign_objects and not self._owned_object(key):
                return f"3: {key} belongs to no recording"
        return None

    def _unsettled_row(self, row: Recording, now: datetime) -> str | None:
        missing = row.downloadable and row.storage_key not in self._objects
        lacking = row.status is Status.COMPLETED and not row.downloadable
        problems = {
            "1: live although every egress has ended": row.live,
            "3: a tombstone is left": row.deleted_at is not None and not self._zombie(row),
            "3: expired and still there": row.deleted_at is None and row.expired(now),
            "the file that it names is not there": row.deleted_at is None and missing,
            "completed without a file": lacking and row.egress_id not in self.backed_up,
            "2: due and not handled": row.due_at is not None and row.due_at <= now - _SLACK,
        }
        return next((problem for problem, there in problems.items() if there), None)

    def _owned_object(self, key: str) -> bool:
        row = self._rows.get(UUID(key.removeprefix(PREFIX).partition("/")[0]))
        return row is not None and row.deleted_at is None and row.storage_key == key and row.downloadable

    def _zombie(self, row: Recording) -> bool:
        """Whether LiveKit has a dead egress on record as running, for ever: a tombstone stays as long."""
        return any(
            not found.alive and self._livekit.ours.get(found.id) == str(row.id)
            for found in self._world._records.unended()
        )
