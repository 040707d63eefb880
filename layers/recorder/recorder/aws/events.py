"""Publishing state changes to EventBridge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from recorder.telemetry import Code, log

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_events import EventBridgeClient

    from recorder.usecases.ports import StoredEvent

SOURCE: Final = "recorder"
_ENTRIES: Final = 10
"""PutEvents takes at most ten."""


class EventBridge:
    """One EventBridge bus, as `usecases.ports.Events`."""

    def __init__(self, bus_name: str, connect: Callable[[], EventBridgeClient]) -> None:
        """Take `connect`, which is called when there is first something to publish."""
        self._bus_name = bus_name
        self._connect = connect
        self._client: EventBridgeClient | None = None

    def publish(self, events: Sequence[StoredEvent]) -> Sequence[int]:
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - only where a client is used

        if self._client is None:
            self._client = self._connect()
        taken: list[int] = []
        for start in range(0, len(events), _ENTRIES):
            chunk = events[start : start + _ENTRIES]
            try:
                answer = self._client.put_events(
                    Entries=[
                        {
                            "EventBusName": self._bus_name,
                            "Source": SOURCE,
                            "DetailType": event.type,
                            "Detail": event.body,
                        }
                        for event in chunk
                    ]
                )
            except (BotoCoreError, ClientError) as error:
                log.warning(Code.EVENTS_REFUSED, reason=type(error).__name__)
                break
            taken += [
                event.position
                for event, entry in zip(chunk, answer["Entries"], strict=True)
                if "ErrorCode" not in entry
            ]
        return taken
