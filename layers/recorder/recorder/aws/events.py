"""Publishing state changes to EventBridge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from recorder.aws.calls import put_events
from recorder.errors import AwsError
from recorder.telemetry import Code, cause_of, log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recorder.settings import AwsSettings
    from recorder.usecases.ports import StoredEvent

SOURCE: Final = "recorder"
_ENTRIES: Final = 10
"""PutEvents takes at most ten."""


class EventBridge:
    """One EventBridge bus, as `usecases.ports.Events`."""

    def __init__(self, bus_name: str, settings: AwsSettings) -> None:
        self._bus_name = bus_name
        self._settings = settings

    def publish(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        taken: list[int] = []
        for start in range(0, len(events), _ENTRIES):
            chunk = events[start : start + _ENTRIES]
            try:
                refusals = put_events(self._settings, [self._entry(event) for event in chunk])
            except AwsError as error:
                log.warning(Code.EVENTS_REFUSED, **cause_of(error))
                break
            for refusal in sorted({refusal for refusal in refusals if refusal}):
                log.warning(Code.EVENTS_REFUSED, cause="aws_refused", aws=refusal)
            taken += [event.position for event, refusal in zip(chunk, refusals, strict=True) if not refusal]
        return taken

    def _entry(self, event: StoredEvent) -> dict[str, str]:
        return {
            "EventBusName": self._bus_name,
            "Source": SOURCE,
            "DetailType": event.type,
            "Detail": event.body,
        }
