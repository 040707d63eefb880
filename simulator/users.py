"""The steps of users, and the sights that they must never have."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from recorder import errors
from recorder.api.paging import cursor_after, page_of
from recorder.contract.requests import StartRequest
from recorder.domain.recording import Status
from recorder.domain.sources import Source
from simulator import kinds, plan
from simulator.journal import Observer, Paging, ViolationError, listed, require

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from random import Random
    from uuid import UUID

    from recorder.domain.schedule import Policy
    from simulator.functions import Environment, Functions
    from simulator.journal import Journal
    from simulator.kernel import Kernel


class Users:
    """Everybody with an access token. `objects` are the keys in the bucket, `track_in` gives a track of a room."""

    def __init__(
        self,
        kernel: Kernel,
        random: Random,
        functions: Functions,
        *,
        policy: Policy,
        journal: Journal,
        objects: Collection[str],
        track_in: Callable[[str], str | None],
        webhook_url: str | None,
    ) -> None:
        self._kernel = kernel
        self._random = random
        self._functions = functions
        self._policy = policy
        self._journal = journal
        self._objects = objects
        self._track_in = track_in
        self._webhook_url = webhook_url
        self._observer = Observer()
        self._answers: dict[tuple[str, str], UUID] = {}
        self._requests: dict[UUID, StartRequest] = {}

    def act(self, step: plan.UserCall) -> None:
        """Do what a step says."""
        match step:
            case plan.Start():
                self.start(step)
            case plan.Stop():
                self.stop(step)
            case plan.Pause():
                self.pause(step)
            case plan.Resume():
                self.resume(step)
            case plan.Get():
                self.get(step)
            case plan.Delete():
                self.delete(step)
            case plan.List():
                self.list_all(step)
            case plan.Pry():
                self.pry(step)

    def start(self, step: plan.Start, attempt: int = 0) -> None:
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
                self._kernel.after(self._random.uniform(0.2, 5.0), partial(self.start, retry, attempt + 1))

        self._functions.invoke(work, pace=step.pace, kill_at=step.kill_at, ended=ended)

    def _start_request(self, step: plan.Start) -> StartRequest:
        if not step.track:
            chosen = kinds.CHOICES[step.choice]
            options: dict[str, object] = {"room_name": step.room, "max_duration": step.max_duration, **chosen}
            if step.opus and "outputs" not in chosen:
                options["audio_codec"] = "opus"
            if chosen.get("source") is not Source.WEB:
                options["on_worker_lost"] = "continue" if step.worker_lost == "continue" else "end"
            return StartRequest.model_validate(options)
        return StartRequest(
            room_name=step.room,
            track_based=True,
            track_sid=self._track_in(step.room) or "TR_missing",
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
            unstarted = row is not None and row.status is Status.FAILED and row.egress_id is None
            refused = unstarted or first in self._journal.refused
            gone = self._observer.known[first].deleting or first in self._journal.expired
            require(
                holds=refused or gone or known.deleting,
                otherwise=f"one idempotency key, two recordings: {first} and {recording_id}",
            )
            self._answers[step.user, step.key] = recording_id

    def _chosen(self, user: str, which: int) -> UUID | None:
        known = self._observer.of(user)
        return known[which % len(known)] if known else None

    def _about(
        self,
        step: plan.Stop | plan.Pause | plan.Resume | plan.Get | plan.Delete,
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
                journal = self._journal
                gone = recording_id in journal.expired | journal.refused | journal.unreadable
                self._observer.missed(recording_id, gone=gone)
            except errors.RecordingGoneError:
                require(
                    holds=self._policy.retention is not None,
                    otherwise=f"4: {recording_id} expired without a retention",
                )
            except errors.RecorderError:
                return

        self._functions.invoke(work, pace=step.pace, kill_at=step.kill_at)

    def stop(self, step: plan.Stop) -> None:
        def call(environment: Environment, recording_id: UUID, began: int) -> None:
            service = environment.service
            stopped = service.stop_and_wait(recording_id, user_id=step.user, wait=step.wait).recording
            self._observer.saw(step.user, stopped, began)

        self._about(step, call)

    def pause(self, step: plan.Pause) -> None:
        def call(environment: Environment, recording_id: UUID, began: int) -> None:
            paused = environment.service.pause(recording_id, user_id=step.user)
            self._observer.saw(step.user, paused, began)

        self._about(step, call)

    def resume(self, step: plan.Resume) -> None:
        def call(environment: Environment, recording_id: UUID, began: int) -> None:
            service = environment.service
            resumed = service.resume(recording_id, user_id=step.user, webhook_url=self._webhook_url)
            self._observer.saw(step.user, resumed, began)

        self._about(step, call)

    def get(self, step: plan.Get) -> None:
        def call(environment: Environment, recording_id: UUID, began: int) -> None:
            service = environment.service
            found = service.get_changed(recording_id, user_id=step.user, wait=step.wait).recording
            self._observer.saw(step.user, found, began)
            files = environment.service.media(found).files
            known = self._observer.known[recording_id]
            if files and not known.deleting and not found.expired(self._kernel.now()):
                gone = [part.key for part in found.parts if part.key not in self._objects]
                require(holds=not gone, otherwise=f"{recording_id} links to {gone}, which are not there")

        self._about(step, call)

    def delete(self, step: plan.Delete) -> None:
        def call(environment: Environment, recording_id: UUID, _: int) -> None:
            self._observer.deleting(recording_id)
            environment.service.delete(recording_id, user_id=step.user)
            self._observer.deleted(recording_id)

        self._about(step, call)

    def pry(self, step: plan.Pry) -> None:
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

        self._functions.invoke(work, pace=step.pace, kill_at=step.kill_at)

    def list_all(self, step: plan.List) -> None:
        owed = self._listed(step)
        query = {"limit": str(step.limit), "order": "asc" if step.oldest_first else "desc"}
        if step.room is not None:
            query["roomName"] = step.room
        self._turn_page(step, query, Paging(owed), attempts=4)

    def _listed(self, step: plan.List) -> set[UUID]:
        there = listed(self._journal.rows, step.user, step.room, self._kernel.now())
        return there - self._journal.unreadable

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
                following = query | {"cursor": cursor_after(page, listing.recordings[-1])}
                self._kernel.after(step.pause, partial(self._turn_page, step, following, paging, attempts))
            else:
                paging.check(self._listed(step))

        self._functions.invoke(work, pace=step.pace, kill_at=step.kill_at)
