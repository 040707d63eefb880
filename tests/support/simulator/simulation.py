"""One history, run against the real product in virtual time."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final, cast
from unittest.mock import patch
from urllib.parse import urlsplit
from uuid import UUID

from livekit.protocol import egress as protocol

from local.livekit.faults import Faults as LiveKitFaults
from local.livekit.webhooks import DeliverWebhook
from local.livekit.world import World
from recorder import errors, reconciler, service
from recorder.domain import Status
from recorder.egress import LiveKitEgress
from recorder.egress_record import EgressRecord
from recorder.http import ERRORS
from recorder.livekit_webhook import snapshot_in, verify
from recorder.paging import cursor_after, page_of
from recorder.ports import Clock
from recorder.reconciler import Reconciler
from recorder.requests import StartRequest
from recorder.service import RecordingService
from recorder.settings import StorageSettings, UploadSettings
from recorder.telemetry import log
from tests.support.memory import MemoryEvents, MemoryRepository, MemoryStorage
from tests.support.simulator import plan, ports
from tests.support.simulator.faults import Faults, every
from tests.support.simulator.journal import Journal, Observer, Paging, ViolationError, listed, require
from tests.support.simulator.kernel import SECOND, Kernel
from tests.support.simulator.livekit import SimulatedLiveKit
from tests.support.simulator.loops import virtual_loops
from tests.support.simulator.truth import Truth

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from local.livekit.workers import Upload
    from recorder.ports import Egress, Recordings
    from tests.support.simulator.loops import VirtualLoops

API_KEY: Final = "devkey"
API_SECRET: Final = "a-local-secret-that-protects-nothing-at-all"
_BEGINNING_NS: Final = 1_795_348_800 * SECOND
_HOOK: Final = "https://api.example/api/video/livekit/webhook"
_STORAGE: Final = StorageSettings(bucket="recordings", deployment="ours")
_UPLOAD: Final = UploadSettings(
    endpoint="", region="", secret_arn="", assume_role_arn="", assume_role_external_id="", template_url=""
)
# As in template.yaml.
_API_SECONDS: Final = 29.0
_SWEEP_SECONDS: Final = 55.0
_SWEEP_RESERVE: Final = 5.0
_SLOW: Final = 3000.0


@dataclass(frozen=True, slots=True)
class Environment:
    """A warm execution environment: one invocation at a time."""

    service: RecordingService
    reconciler: Reconciler


class _Egress:
    """Both adapters as one, as in `recorder.bootstrap`."""

    def __init__(self, adapter: LiveKitEgress, record: EgressRecord) -> None:
        self._adapter = adapter
        self.find = record.find

    def __getattr__(self, name: str) -> object:
        return cast("object", getattr(self._adapter, name))


type Work = Callable[[Environment], None]


class Simulation:
    """Runs a history and raises ViolationError where an invariant breaks."""

    def __init__(
        self, history: plan.History, loops: VirtualLoops, recordings: Recordings | None = None
    ) -> None:
        self._history = history
        self._random = Random(history.seed)
        self._kernel = loops.kernel = Kernel(_BEGINNING_NS)
        self._faults, livekit_faults = Faults(), LiveKitFaults()
        self._by_name = every(self._faults, livekit_faults)
        urls = (_HOOK,) if history.webhooks in {"global", "both"} else ()
        self._world = World(
            self._kernel.ns,
            Random(history.seed + 1),
            faults=livekit_faults,
            api_key=API_KEY,
            api_secret=API_SECRET,
            webhook_urls=urls,
        )
        self._kernel.drives(self._world, self._advance)
        self._gate = ports.Gate(self._kernel, self._random, self._faults)
        self._livekit = SimulatedLiveKit(self._world, self._gate)
        self._recordings = recordings or MemoryRepository(emit_events=True)
        self._journal = Journal(self._recordings)
        self._bucket, self._bus = MemoryStorage(), MemoryEvents()
        self._gated_recordings = ports.recordings(self._gate, cast("Recordings", self._journal))
        self._gated_bucket = ports.storage(self._gate, self._bucket)
        self._truth = Truth(
            self._world, self._livekit, self._journal.rows, self._bucket.objects.keys(), history.policy
        )
        self._truth.hidden = any(
            isinstance(step, plan.Trouble) and step.fault == "recorders_hidden" for step in history.steps
        )
        self._livekit.started, self._journal.failing = self._truth.check_start, self._truth.check_verdict
        self._observer = Observer()
        self._answers: dict[tuple[str, str], UUID] = {}
        self._requests: dict[UUID, StartRequest] = {}
        self._idle: list[Environment] = []
        self._webhook_url = _HOOK if history.webhooks in {"own", "both"} else None

    def run(self) -> None:
        """Let everything happen, then let time pass quietly, and check."""
        try:
            with (
                _by_chance_of(self._random),
                _at_time_of(self._kernel),
                patch("recorder.egress_record.post", self._livekit.post),
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
            case plan.InRoom():
                self._in_room(step)
            case plan.Strike():
                self._strike(step)
            case plan.Trouble():
                fault = self._by_name[step.fault]
                fault.chance(step.probability)
                self._kernel.after(step.seconds, fault.off)
            case plan.Foreign():
                self._foreign(step)
            case _:
                self._take_call(step)

    def _take_call(self, step: plan.Call) -> None:
        match step:
            case plan.Start():
                self._start(step)
            case plan.Stop():
                self._stop(step)
            case plan.Get():
                self._get(step)
            case plan.Delete():
                self._delete(step)
            case plan.List():
                self._list(step)
            case plan.Pry():
                self._pry(step)
            case plan.Sweep():
                self._sweep(pace=step.pace, kill_at=step.kill_at)

    # Time passes quietly.

    def _quiesce(self) -> None:
        for fault in self._by_name.values():
            fault.off()
        self._sweep_each_minute(3)
        for room in plan.ROOMS:
            self._world.close_room(room)
        self._settle()
        if any(row.due_at is not None for row in self._journal.rows.values()):
            self._pass_time(25 * 3600.0)
            self._settle()

    def _settle(self) -> None:
        policy = self._history.policy
        graces = policy.starting_timeout + policy.stopping_timeout + policy.upload_grace + policy.unseen_grace
        patience = self._kernel.now() + graces + timedelta(minutes=10)
        while (problem := self._unsettled()) is not None:
            require(holds=self._kernel.now() < patience, otherwise=problem)
            self._sweep_each_minute(1)
        self._truth.check_strangers()
        self._journal.check_events(self._bus.taken, once=self._history.calm)

    def _unsettled(self) -> str | None:
        now = self._kernel.now()
        unpublished = self._recordings.backlog(now).events
        return self._truth.unsettled(now) or (f"7: {unpublished} events unpublished" if unpublished else None)

    def _sweep_each_minute(self, sweeps: int) -> None:
        for _ in range(sweeps):
            self._sweep(pace=1.0, kill_at=None)
            self._pass_time(plan.SWEEP_SECONDS / 2)
            self._truth.check_after_sweep(self._kernel.now())
            self._pass_time(plan.SWEEP_SECONDS / 2)

    def _pass_time(self, seconds: float) -> None:
        self._kernel.run_until(self._kernel.now_ns + int(seconds * SECOND))

    # What the functions do.

    def _invoke(
        self,
        work: Work,
        *,
        step: plan.Invocation | None = None,
        pace: float = 1.0,
        kill_at: int | None = None,
        seconds: float = _API_SECONDS,
        ended: Callable[[bool], None] = lambda _: None,
    ) -> None:
        if step is not None:
            pace, kill_at = step.pace, step.kill_at
        environment = self._idle.pop() if self._idle else self._environment()

        def finished(done: bool) -> None:  # noqa: FBT001
            if done:
                self._idle.append(environment)
            ended(done)

        self._kernel.spawn(
            lambda: work(environment), seconds=seconds, pace=pace, kill_at=kill_at, ended=finished
        )

    def _environment(self) -> Environment:
        recordings, storage = self._gated_recordings, self._gated_bucket
        adapter = LiveKitEgress(self._livekit.connect, api_key=API_KEY, storage=_STORAGE, upload=_UPLOAD)
        record = EgressRecord("", api_key=API_KEY, api_secret=API_SECRET, storage=_STORAGE)
        egress = cast("Egress", _Egress(adapter, record))
        clock = Clock(self._kernel.now, self._kernel.sleep)
        policy = self._history.policy
        service = RecordingService(recordings, egress, storage, policy, clock)
        events = ports.GatedEvents(self._gate, self._bus)
        reconciler = Reconciler(
            service, recordings, egress, storage, events=events, policy=policy, clock=clock
        )
        return Environment(service, reconciler)

    def _sweep(self, *, pace: float, kill_at: int | None) -> None:
        kernel = self._kernel
        over_ns = kernel.now_ns + int((_SWEEP_SECONDS - _SWEEP_RESERVE) * SECOND)

        def work(environment: Environment) -> None:
            try:
                environment.reconciler.sweep(lambda: (over_ns - kernel.now_ns) / SECOND)
            except errors.DatabaseUnavailableError:
                return

        self._invoke(work, pace=pace, kill_at=kill_at, seconds=_SWEEP_SECONDS)

    def _start(self, step: plan.Start, attempt: int = 0) -> None:
        request = self._start_request(step)
        began = self._observer.begin()
        again = True

        def work(environment: Environment) -> None:
            nonlocal again
            try:
                started = environment.service.start(
                    request, user_id=step.user, idempotency_key=step.key, webhook_url=self._webhook_url
                )
            except errors.RecordingInProgressError as error:
                again = False
                if error.recording_id is not None:
                    self._observer.meet(step.user, error.recording_id)
            except errors.RecorderError as error:
                again = isinstance(error, (errors.DatabaseUnavailableError, errors.EgressUnavailableError))
            else:
                again = False
                self._started(step, request, started.recording_id, began)

        def ended(_: bool) -> None:  # noqa: FBT001
            if again and attempt < step.retries:
                retry = replace(step, kill_at=None)
                self._kernel.after(self._random.uniform(0.2, 5.0), partial(self._start, retry, attempt + 1))

        self._invoke(work, step=step, ended=ended)

    def _start_request(self, step: plan.Start) -> StartRequest:
        if not step.track:
            return StartRequest(room_name=step.room, max_duration=step.max_duration)
        room = self._world._rooms.find(step.room)
        tracks = [track.sid for each in room.participants.values() for track in each.tracks] if room else []
        return StartRequest(
            room_name=step.room,
            track_based=True,
            track_sid=tracks[0] if tracks else "TR_missing",
            max_duration=step.max_duration,
        )

    def _started(self, step: plan.Start, request: StartRequest, recording_id: UUID, began: int) -> None:
        known = self._observer.meet(step.user, recording_id)
        require(
            holds=self._requests.setdefault(recording_id, request) == request,
            otherwise=f"one answer to two requests: {recording_id}",
        )
        require(
            holds=known.deleted_since is None or began < known.deleted_since,
            otherwise=f"4: {recording_id} was deleted and is given out again",
        )
        if step.key is None:
            return
        first = self._answers.setdefault((step.user, step.key), recording_id)
        if first != recording_id:
            row = self._journal.rows.get(first)
            refused = row is not None and row.status is Status.FAILED and row.egress_id is None
            require(
                holds=refused or known.deleting or self._observer.known[first].deleting,
                otherwise=f"one idempotency key, two recordings: {first} and {recording_id}",
            )
            self._answers[step.user, step.key] = recording_id

    def _chosen(self, user: str, which: int) -> UUID | None:
        known = self._observer.of(user)
        return known[which % len(known)] if known else None

    def _about(
        self,
        step: plan.Stop | plan.Get | plan.Delete,
        call: Callable[[Environment, UUID, int], None],
    ) -> None:
        recording_id = self._chosen(step.user, step.which)
        if recording_id is None:
            return
        began = self._observer.begin()

        def work(environment: Environment) -> None:
            try:
                call(environment, recording_id, began)
            except errors.RecordingNotFoundError:
                self._observer.missed(recording_id, expired=recording_id in self._journal.expired)
            except errors.RecordingGoneError:
                require(
                    holds=self._history.policy.retention is not None,
                    otherwise=f"4: {recording_id} expired without a retention",
                )
            except errors.RecorderError:
                return

        self._invoke(work, step=step)

    def _stop(self, step: plan.Stop) -> None:
        def call(environment: Environment, recording_id: UUID, began: int) -> None:
            stopped = environment.service.stop(recording_id, user_id=step.user, wait=step.wait)
            self._observer.saw(step.user, stopped, began)

        self._about(step, call)

    def _get(self, step: plan.Get) -> None:
        def call(environment: Environment, recording_id: UUID, began: int) -> None:
            found = environment.service.get(recording_id, user_id=step.user, wait=step.wait)
            self._observer.saw(step.user, found, began)
            download = environment.service.download(found)
            known = self._observer.known[recording_id]
            if download.url is not None and not known.deleting and not found.expired(self._kernel.now()):
                require(
                    holds=found.storage_key in self._bucket.objects,
                    otherwise=f"{recording_id} links to {found.storage_key}, which is not there",
                )

        self._about(step, call)

    def _delete(self, step: plan.Delete) -> None:
        def call(environment: Environment, recording_id: UUID, _: int) -> None:
            self._observer.deleting(recording_id)
            environment.service.delete(recording_id, user_id=step.user)
            self._observer.deleted(recording_id)

        self._about(step, call)

    def _pry(self, step: plan.Pry) -> None:
        others = [row.id for row in self._journal.rows.values() if row.user_id != step.user]
        if not others:
            return
        recording_id = others[step.which % len(others)]

        def work(environment: Environment) -> None:
            call = getattr(environment.service, step.action)
            try:
                call(recording_id, user_id=step.user)
            except (errors.RecordingNotFoundError, errors.DatabaseUnavailableError):
                return
            raise ViolationError(f"6: {step.user} could {step.action} {recording_id}")

        self._invoke(work, step=step)

    def _list(self, step: plan.List) -> None:
        owed = listed(self._journal.rows, step.user, step.room, self._kernel.now())
        query = {"limit": str(step.limit), "order": "asc" if step.oldest_first else "desc"}
        if step.room is not None:
            query["roomName"] = step.room
        self._turn_page(step, query, Paging(owed), attempts=4)

    def _turn_page(self, step: plan.List, query: dict[str, str], paging: Paging, attempts: int) -> None:
        began = self._observer.begin()

        def work(environment: Environment) -> None:
            page = page_of(query, step.user)
            try:
                listing = environment.service.list(page)
            except errors.DatabaseUnavailableError:
                if attempts:
                    self._kernel.after(1.0, partial(self._turn_page, step, query, paging, attempts - 1))
                return
            for each in listing.recordings:
                self._observer.saw(step.user, each, began)
                paging.seen.append(each.id)
            if listing.more:
                following = query | {"cursor": cursor_after(listing.recordings[-1])}
                self._kernel.after(step.pause, partial(self._turn_page, step, following, paging, attempts))
            else:
                paging.check(listed(self._journal.rows, step.user, step.room, self._kernel.now()))

        self._invoke(work, step=step)

    # What happens in LiveKit.

    def _advance(self) -> None:
        for effect in self._world.advance():
            if isinstance(effect, DeliverWebhook):
                self._deliver(effect)
            else:
                self._kernel.after(self._random.uniform(0.05, 2.0), partial(self._store, effect))

    def _store(self, upload: Upload) -> None:
        size = self._random.randint(1, 2**40)
        if upload.egress_id in self._truth.foreign:
            if upload.s3 is not None and upload.s3.bucket == _STORAGE.bucket:
                self._truth.foreign_objects.add(upload.key)
                self._bucket.put(upload.key, size, self._kernel.now())
        elif upload.backup:
            self._truth.backed_up.add(upload.egress_id)
        else:
            self._bucket.put(upload.key, size, self._kernel.now())
        self._world.uploaded(upload.egress_id, size)

    def _deliver(self, delivery: DeliverWebhook) -> None:
        webhook = delivery.webhook
        if urlsplit(webhook.url).netloc != urlsplit(_HOOK).netloc:
            self._world.delivered(delivery.delivery_id, 200)
            return
        named = webhook.url.removeprefix(_HOOK).strip("/")
        recording_id = UUID(named) if named else None
        status: int | None = None

        def work(environment: Environment) -> None:
            nonlocal status
            verify(webhook.body, webhook.authorization, api_key=API_KEY, api_secret=API_SECRET)
            snapshot = snapshot_in(webhook.body, _STORAGE)
            try:
                if snapshot is not None:
                    environment.service.receive(snapshot, recording_id)
                status = 200
            except errors.RecorderError as error:
                status = next(code.value for kind, code, _ in ERRORS if isinstance(error, kind))

        def ended(done: bool) -> None:  # noqa: FBT001
            self._world.delivered(delivery.delivery_id, status if done else 504)

        slow = self._faults.webhook_slow.fires(self._random)
        self._invoke(work, pace=_SLOW if slow else 1.0, ended=ended)

    def _in_room(self, step: plan.InRoom) -> None:
        if step.action == "open":
            if self._world._rooms.find(step.room) is None:
                self._world.open_room(step.room)
        elif step.action == "close":
            self._world.close_room(step.room)
        else:
            self._world.leave(step.room)

    def _strike(self, step: plan.Strike) -> None:
        if step.what == "lose_records":
            self._world.lose_records()
            return
        running = self._truth.running()
        if running:
            getattr(self._world, step.what)(running[step.which % len(running)].id)

    def _foreign(self, step: plan.Foreign) -> None:
        path = f"recordings/{UUID(int=self._random.getrandbits(128))}/recording.mp4"
        bucket, metadata, webhooks = _STORAGE.bucket, {"deployment": "theirs"}, True
        if step.kind == "bucket":
            bucket, metadata = "theirs", {}
        elif step.kind == "automatic":
            path, metadata, webhooks = "automatic/{room_name}-{time}.mp4", {}, False
        request = protocol.RoomCompositeEgressRequest(
            room_name=step.room,
            file_outputs=[
                protocol.EncodedFileOutput(
                    file_type=protocol.MP4,
                    filepath=path,
                    disable_manifest=True,
                    s3=protocol.S3Upload(bucket=bucket, metadata=metadata),
                )
            ],
        )
        if webhooks:
            request.webhooks.add(url="https://theirs.example/hook", signing_key=API_KEY)
        outcome = self._world.call("Egress", "StartRoomCompositeEgress", request).outcome
        if isinstance(outcome, protocol.EgressInfo):
            self._truth.foreign[outcome.egress_id] = path


@contextmanager
def _by_chance_of(random: Random) -> Iterator[None]:
    """Let the ids that the product makes follow from the seed."""
    with patch("recorder.service.uuid4", lambda: UUID(int=random.getrandbits(128), version=4)):
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
    """Make histories runnable: asyncio in virtual time, and neither logs nor metrics."""
    with ExitStack() as undo:
        level = log.logger.log_level
        undo.callback(lambda: log.logger.setLevel(level))
        log.logger.setLevel("CRITICAL")
        for module in (service, reconciler):
            if hasattr(module, "count"):
                undo.enter_context(patch.object(module, "count", _no_metric))
        yield undo.enter_context(virtual_loops())
