"""Asynchronous invocations of the functions that go on where another one has ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recorder.aws.calls import invoke
from recorder.errors import AwsError
from recorder.telemetry import Code, cause_of, count, log

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from recorder.settings import AwsSettings, HintSettings


class LambdaHints:
    """The functions `begin_take`, `assemble_recording` and `reconcile_recordings`, as `usecases.ports.Hints`."""

    def __init__(self, functions: HintSettings, settings: AwsSettings) -> None:
        self._functions = functions
        self._settings = settings

    def begin_take(self, recording_id: UUID) -> None:
        self._go_on(self._functions.begin_take, recording_id)

    def assemble(self, recording_id: UUID) -> None:
        self._go_on(self._functions.assemble, recording_id)

    def sweep(self) -> None:
        self._invoke(self._functions.sweep, {})

    def _go_on(self, function: str, recording_id: UUID) -> None:
        self._invoke(function, {"recordingId": str(recording_id)})

    def _invoke(self, function: str, event: Mapping[str, str]) -> None:
        if not function:
            return
        try:
            invoke(self._settings, function, event)
        except AwsError as error:
            recording_id = event.get("recordingId")
            log.warning(Code.HINT_LOST, recording_id=recording_id, function=function, **cause_of(error))
            count("HintsLost")
