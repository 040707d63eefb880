"""One history, run against the real product in virtual time."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final, Protocol, cast
from unittest.mock import patch
from uuid import UUID

from livekit.protocol.egress import StopEgressRequest

from livekit_standin.faults import Faults as LiveKitFaults
from livekit_standin.options import WorkerOptions
from livekit_standin.world import World
from recorder.errors import RecordingNotFoundError
from recorder.sweep import finals
from recorder.sweep.context import Context
from recorder.telemetry import log
from recorder.usecases import assembling, ledger, recordings, takes
from recorder.usecases.ports import Recordings
from simulator import plan
from simulator.faults import Faults, every
from simulator.functions import API_KEY, API_SECRET, Functions
from simulator.journal import Journal, require
from simulator.kernel import SECOND, Kernel
from simulator.livekit import SimulatedLiveKit
from simulator.loops import virtual_loops
from simulator.memory import MemoryEvents, MemoryJoiner, MemoryRepository, MemoryStorage
from simulator.outside import HOOK, Outside
from simulator.ports import Gate
from simulator.truth import Truth
from simulator.users import Users

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulator.loops import VirtualLoops


class Spoilable(Recordings, Protocol):
    """A repository whose rows can be made unreadable, and readable again."""

    def spoil(self, recording_id: UUID) -> None:
        """Make a row unreadable, as a value does that Python has not."""

    def mend(self) -> None:
        """Make every row readable again."""


_BEGINNING_NS: Final = 1_795_348_800 * SECOND


class Simulation:
    """Runs a history and raises ViolationError where an invariant breaks."""

    def __init__(
        self, history: plan.History, loops: VirtualLoops, recordings: Spoilable | None = None
    ) -> None:
        self._history = history
        self._loops = loops
        self._random = random = Random(history.seed)
        self._kernel = kernel = Kernel(_BEGINNING_NS)
        faults, livekit_faults = Faults(), LiveKitFaults()
        self._by_name = every(faults, livekit_faults)
        self._world = World(
            kernel.ns,
            Random(history.seed + 1),
            faults=livekit_faults,
            api_key=API_KEY,
            api_secret=API_SECRET,
            webhook_urls=(HOOK,) if history.webhooks in {"global", "both"} else (),
        )
        self._world.settings.page_size = history.page_size
        self._world.settings.worker = WorkerOptions(
            clock_skew=int(history.clock_skew * SECOND),
            storage_prefix="pre" if history.worker == "prefix" else "",
            generate_presigned_url=history.worker == "presigned",
        )
        gate = Gate(kernel, random, faults)
        self._livekit = SimulatedLiveKit(self._world, gate)
        self._recordings = recordings or MemoryRepository(emit_events=True)
        self._journal, bucket, self._bus = Journal(self._recordings), MemoryStorage(), MemoryEvents()
        objects = bucket.objects.keys()
        self._truth = Truth(
            self._world,
            self._livekit,
            self._journal.rows,
            bucket,
            history,
        )
        self._livekit.started, self._livekit.stopping = self._truth.check_start, self._truth.check_stop
        self._journal.written = self._spoil
        self._journal.changing = self._truth.check_change
        bucket.removing = self._truth.check_removal
        self._journal.failing = self._truth.check_verdict
        self._journal.completing = self._truth.check_file
        self._journal.naming = self._truth.named
        self._journal.limiting = self._truth.check_limit
        self._functions = Functions(
            gate,
            self._livekit,
            recordings=cast("Recordings", self._journal),
            storage=bucket,
            events=self._bus,
            joiner=MemoryJoiner(bucket, kernel.now, lambda: faults.joining_refused.fires(random)),
            policy=history.policy,
            webhook_url=HOOK if history.webhooks in {"own", "both"} else None,
        )
        self._outside = Outside(
            kernel,
            random,
            self._world,
            faults,
            functions=self._functions,
            bucket=bucket,
            truth=self._truth,
        )
        kernel.drives(self._world, self._outside.advance)
        self._users = Users(
            kernel,
            random,
            self._functions,
            policy=history.policy,
            journal=self._journal,
            objects=objects,
            track_in=self._outside.track_in,
            webhook_url=HOOK if history.webhooks in {"own", "both"} else None,
        )

    @property
    def told(self) -> list[str]:
        """The events that the bus has heard: the same again where nothing but chance by the seed decides."""
        return [event.body for event in self._bus.taken]

    def run(self) -> None:
        """Let everything happen, then let time pass quietly, and check."""
        self._loops.kernel = self._kernel
        try:
            with (
                _by_chance_of(self._random),
                _at_time_of(self._kernel),
                patch("recorder.livekit.lookup.post", self._livekit.post),
            ):
                self._disturb()
                self._quiesce()
        finally:
            self._kernel.close()

    def _disturb(self) -> None:
        for step in self._history.steps:
            self._kernel.after(step.at, partial(self._take, step))
        self._kernel.run_until(_BEGINNING_NS + int((self._history.ends_at + 1.0) * SECOND))

    def _take(self, step: plan.Step) -> None:
        match step:
            case plan.Sweep():
                self._functions.sweep(pace=step.pace, kill_at=step.kill_at)
            case plan.Hint():
                self._hint(step)
            case plan.InRoom():
                self._outside.in_room(step)
            case plan.ServerAway():
                self._outside.server_away(step)
            case plan.Strike():
                self._outside.strike(step)
            case plan.Foreign():
                self._outside.start_foreign(step)
            case plan.Litter():
                self._outside.litter(step)
            case plan.Trouble():
                fault = self._by_name[step.fault]
                fault.chance(step.probability)
                self._kernel.after(step.seconds, partial(self._end, step.fault))
            case _:
                self._users.act(step)

    def _hint(self, step: plan.Hint) -> None:
        known = list(self._journal.rows)
        if known:
            invoke = self._functions.go_on if step.what == "begin" else self._functions.join
            invoke(known[step.which % len(known)], pace=step.pace, kill_at=step.kill_at)

    def _end(self, fault: str) -> None:
        self._by_name[fault].off()
        if fault == "row_unreadable":
            self._recordings.mend()

    def _spoil(self, recording_id: UUID) -> bool:
        unreadable = self._by_name["row_unreadable"].fires(self._random)
        if unreadable:
            self._recordings.spoil(recording_id)
        return unreadable

    def _quiesce(self) -> None:
        for fault in self._by_name:
            self._end(fault)
        self._outside.server_back()
        self._sweep_each_minute(self._history.calm_sweeps)
        for room in plan.ROOMS:
            self._world.close_room(room)
        self._settle()
        if any(row.due_at is not None for row in self._journal.rows.values()):
            self._pass_time(25 * 3600.0)
            self._settle()

    def _stop_pages(self) -> None:
        """Stop what records a page, which never ends by itself; a handler that stands still hears it another time."""
        for egress_id, info in self._world.unended().items():
            if info.web.url:
                self._world.call("Egress", "StopEgress", StopEgressRequest(egress_id=egress_id))

    def _settle(self) -> None:
        policy = self._history.policy
        graces = policy.starting_timeout + policy.stopping_timeout + policy.upload_grace + policy.unseen_grace
        graces += policy.pause_timeout + policy.resume_timeout + policy.assembling_timeout
        patience = self._kernel.now() + graces + timedelta(minutes=10)
        while (problem := self._unsettled()) is not None:
            require(holds=self._kernel.now() < patience, otherwise=problem)
            self._stop_pages()
            self._sweep_each_minute(1)
        self._truth.check_strangers()
        self._journal.check_events(self._bus.taken, once=self._history.calm)

    def _unsettled(self) -> str | None:
        now = self._kernel.now()
        unpublished = self._recordings.backlog(now).events
        return self._truth.unsettled(now) or (f"7: {unpublished} events unpublished" if unpublished else None)

    def _sweep_each_minute(self, sweeps: int) -> None:
        for _ in range(sweeps):
            self._functions.sweep()
            self._pass_time(plan.SWEEP_SECONDS / 2)
            self._truth.check_after_sweep(self._kernel.now())
            self._pass_time(plan.SWEEP_SECONDS / 2)

    def _pass_time(self, seconds: float) -> None:
        self._kernel.run_until(self._kernel.now_ns + int(seconds * SECOND))


@contextmanager
def _by_chance_of(random: Random) -> Iterator[None]:
    """Let the ids that the product makes follow from the seed."""

    def drawn() -> UUID:
        return UUID(int=random.getrandbits(128), version=4)

    with (
        patch("recorder.usecases.recordings.uuid4", drawn),
        patch("recorder.usecases.assembling.uuid4", drawn),
    ):
        yield


@contextmanager
def _at_time_of(kernel: Kernel) -> Iterator[None]:
    """Let PyJWT, which asks nobody for the time, live in the history's."""

    class Virtual(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]  # noqa: ARG003
            return kernel.now()

    with patch("jwt.api_jwt.datetime", Virtual):
        yield


def _no_metric(*_: object, **__: object) -> None:
    pass


@contextmanager
def simulator() -> Iterator[VirtualLoops]:
    """Make histories runnable: asyncio in virtual time, neither logs nor metrics, and no crash is handled."""
    with ExitStack() as undo:
        level = log.logger.log_level
        undo.callback(lambda: log.logger.setLevel(level))
        log.logger.setLevel("CRITICAL")
        for module in (ledger, recordings, takes, assembling, finals):
            undo.enter_context(patch.object(module, "count", _no_metric))
        undo.enter_context(patch.object(Context, "each", lambda *_: suppress(RecordingNotFoundError)))
        yield undo.enter_context(virtual_loops())
