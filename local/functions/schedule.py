"""The template's schedules, as EventBridge keeps them: an invocation every so many seconds."""

from __future__ import annotations

import asyncio
import logging
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import JsonValue, TypeAdapter

from local.functions.emulator import FunctionError
from local.processes.children import LocalStackError
from local.template.account import ACCOUNT

if TYPE_CHECKING:
    from local.gateway.http_api import Invoke
    from local.template.application import Schedule

logger = logging.getLogger(__name__)

_EVENT: TypeAdapter[JsonValue] = TypeAdapter(JsonValue)


async def fire(schedule: Schedule, invoke: Invoke, region: str) -> None:
    """Invoke the schedule's function for ever, the first time after one period."""
    running: set[asyncio.Task[None]] = set()
    while True:
        await asyncio.sleep(schedule.seconds)
        # A slow run does not hold up the next one, as on AWS.
        task = asyncio.create_task(_once(schedule, invoke, region))
        running.add(task)
        task.add_done_callback(running.discard)


async def _once(schedule: Schedule, invoke: Invoke, region: str) -> None:
    event = _EVENT.validate_json(schedule.event) if schedule.event else _scheduled_event(schedule, region)
    try:
        await invoke(schedule.function, event)
    except (FunctionError, LocalStackError) as error:
        logger.error("%s: %s", schedule.name, error)  # noqa: TRY400 - the function's own log has the trace


def _scheduled_event(schedule: Schedule, region: str) -> JsonValue:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": region,
        "resources": [f"arn:aws:events:{region}:{ACCOUNT}:rule/{schedule.name}"],
        "detail": {},
    }
