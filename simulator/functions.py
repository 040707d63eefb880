"""The product's functions, each invocation a process of its own in an execution environment."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from recorder.api.endpoint import ERRORS
from recorder.errors import DatabaseUnavailableError, RecorderError
from recorder.livekit.egress import LiveKitEgress
from recorder.livekit.lookup import EgressLookup
from recorder.livekit.webhook import snapshot_in, verify
from recorder.settings import StorageSettings, UploadSettings
from recorder.sweep.sweep import Sweep
from recorder.usecases.assembling import Assembling
from recorder.usecases.ledger import Ledger
from recorder.usecases.ports import Clock
from recorder.usecases.recordings import RecordingService
from recorder.usecases.takes import Takes
from simulator import ports
from simulator.kernel import SECOND
from simulator.memory import MemoryWaits

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from livekit_standin.webhooks import Webhook
    from recorder.domain.schedule import Policy
    from recorder.usecases.ports import Egress, Events, Hints, Joiner, Listing, Recordings, Storage, Waits
    from simulator.livekit import SimulatedLiveKit
    from simulator.ports import Gate

API_KEY: Final = "devkey"
API_SECRET: Final = "a-local-secret-that-protects-nothing-at-all"
STORAGE: Final = StorageSettings(bucket="recordings", deployment="ours")
_UPLOAD: Final = UploadSettings(
    endpoint="", region="", secret_arn="", assume_role_arn="", assume_role_external_id="", template_url=""
)
# As in template.yaml.
_API_SECONDS: Final = 29.0
_SWEEP_SECONDS: Final = 75.0
_SWEEP_RESERVE: Final = 25.0
_SWEEP_WAITS: Final = 20.0
_BEGIN_TAKE_SECONDS: Final = 45.0
_ASSEMBLE_SECONDS: Final = 900.0
_ASSEMBLE_MAXIMUM_BYTES: Final = 15_000_000_000
_LATE_SECONDS: Final = 300.0
"""How late a hint may come that comes late."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A warm execution environment: one invocation at a time."""

    service: RecordingService
    ledger: Ledger
    sweep: Sweep
    takes: Takes
    assembling: Assembling


@dataclass(frozen=True, slots=True)
class SimulatedAdapters:
    """The product's ports in a history."""

    repository: Recordings
    waits: Waits
    listing: Listing
    egress: Egress
    storage: Storage
    events: Events
    hints: Hints
    policy: Policy
    clock: Clock


class Functions:
    """Invokes them. Of a killed invocation the environment is never used again."""

    def __init__(
        self,
        gate: Gate,
        livekit: SimulatedLiveKit,
        *,
        recordings: Recordings,
        storage: Storage,
        events: Events,
        joiner: Joiner,
        policy: Policy,
        webhook_url: str | None,
    ) -> None:
        self._gate = gate
        self._kernel = gate.kernel
        self._livekit = livekit
        self._recordings = ports.recordings(gate, recordings)
        self._waits = MemoryWaits()
        self._storage = ports.storage(gate, storage)
        self._events = ports.GatedEvents(gate, events)
        self._joiner = ports.joiner(gate, joiner)
        self._policy = policy
        self._webhook_url = webhook_url
        self._idle: list[Environment] = []

    def invoke(
        self,
        work: Callable[[Environment], None],
        *,
        pace: float = 1.0,
        kill_at: int | None = None,
        seconds: float = _API_SECONDS,
        ended: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Begin an invocation; `ended` is told whether its work was done."""
        environment = self._idle.pop() if self._idle else self._environment()

        def finished(done: bool) -> None:  # noqa: FBT001
            if done:
                self._idle.append(environment)
            ended(done)

        self._kernel.spawn(
            lambda: work(environment), seconds=seconds, pace=pace, kill_at=kill_at, ended=finished
        )

    def sweep(self, *, pace: float = 1.0, kill_at: int | None = None) -> None:
        """Invoke the sweep."""
        kernel = self._kernel
        over_ns = kernel.now_ns + int((_SWEEP_SECONDS - _SWEEP_RESERVE) * SECOND)

        def work(environment: Environment) -> None:
            try:
                environment.sweep.run(lambda: (over_ns - kernel.now_ns) / SECOND, waits=_SWEEP_WAITS)
            except DatabaseUnavailableError:
                return

        self.invoke(work, pace=pace, kill_at=kill_at, seconds=_SWEEP_SECONDS)

    def begin_take(self, recording_id: UUID) -> None:
        """Invoke the function that begins the next take, as Lambda does: later, and without an answer."""
        self._later(partial(self.go_on, recording_id))

    def assemble(self, recording_id: UUID) -> None:
        """Invoke the function that joins takes."""
        self._later(partial(self.join, recording_id))

    def go_on(self, recording_id: UUID, *, pace: float = 1.0, kill_at: int | None = None) -> None:
        """Begin the next take of a recording, if it waits for one."""
        self._work(
            lambda environment: environment.takes.go_on(recording_id, self._webhook_url),
            pace=pace,
            kill_at=kill_at,
            seconds=_BEGIN_TAKE_SECONDS,
        )

    def join(self, recording_id: UUID, *, pace: float = 1.0, kill_at: int | None = None) -> None:
        """Join the takes of a recording, if that is what it waits for, or remove what is left of them."""
        self._work(
            lambda environment: environment.assembling.assemble(recording_id),
            pace=pace,
            kill_at=kill_at,
            seconds=_ASSEMBLE_SECONDS,
        )

    def _work(
        self, work: Callable[[Environment], None], *, pace: float, kill_at: int | None, seconds: float
    ) -> None:
        def run(environment: Environment) -> None:
            with suppress(RecorderError):
                work(environment)

        self.invoke(run, pace=pace, kill_at=kill_at, seconds=seconds)

    def _later(self, invoke: Callable[[], None]) -> None:
        faults, random = self._gate.faults, self._gate.random
        if faults.hint_lost.fires(random):
            return
        for _ in range(2 if faults.hint_doubled.fires(random) else 1):
            late = faults.hint_late.fires(random)
            self._kernel.after(random.uniform(0.0, _LATE_SECONDS) if late else 0.0, invoke)

    def receive(
        self, webhook: Webhook, named: UUID | None, *, pace: float, answer: Callable[[int], None]
    ) -> None:
        """Invoke the function that takes webhooks; `answer` gets the HTTP status."""
        status = 504

        def work(environment: Environment) -> None:
            nonlocal status
            verify(webhook.body, webhook.authorization, api_key=API_KEY, api_secret=API_SECRET)
            snapshot = snapshot_in(webhook.body, STORAGE)
            try:
                if snapshot is not None:
                    environment.ledger.receive(snapshot, named)
                status = 200
            except RecorderError as error:
                status = next(code.value for kind, code, _ in ERRORS if isinstance(error, kind))

        self.invoke(work, pace=pace, ended=lambda done: answer(status if done else 504))

    def _environment(self) -> Environment:
        adapters = SimulatedAdapters(
            repository=self._recordings,
            waits=self._waits,
            listing=EgressLookup("", api_key=API_KEY, api_secret=API_SECRET, storage=STORAGE),
            egress=LiveKitEgress(self._livekit.connect, api_key=API_KEY, storage=STORAGE, upload=_UPLOAD),
            storage=self._storage,
            events=self._events,
            hints=self,
            policy=self._policy,
            clock=Clock(self._kernel.now, self._kernel.sleep),
        )
        return Environment(
            service=RecordingService(adapters),
            ledger=Ledger(adapters),
            sweep=Sweep(adapters),
            takes=Takes(adapters),
            assembling=Assembling(adapters, self._joiner, _ASSEMBLE_MAXIMUM_BYTES),
        )
