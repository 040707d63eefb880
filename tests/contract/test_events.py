"""What the sweep may rely on of the bus: the same of EventBridge and of the bus in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import boto3
import pytest

from recorder.aws.events import EventBridge
from recorder.domain.events import EventType
from recorder.usecases.ports import StoredEvent
from simulator.memory import MemoryEvents

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mypy_boto3_sqs import SQSClient

    from local.stack import Stack
    from recorder.usecases.ports import Events


class Bus(Protocol):
    """A bus, and who listens to it."""

    @property
    def events(self) -> Events: ...
    def heard(self) -> Sequence[str]: ...


@dataclass(frozen=True)
class MemoryBus:
    events: MemoryEvents

    def heard(self) -> Sequence[str]:
        return [each.body for each in self.events.taken]


@dataclass(frozen=True)
class QueueOnBus:
    events: EventBridge
    sqs: SQSClient
    url: str

    def heard(self) -> Sequence[str]:
        heard: list[str] = []
        while messages := self.sqs.receive_message(QueueUrl=self.url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                envelope = json.loads(message["Body"])
                assert envelope["source"] == "recorder"
                assert envelope["detail-type"] == "RecordingStarted"
                heard.append(json.dumps(envelope["detail"]))
                self.sqs.delete_message(QueueUrl=self.url, ReceiptHandle=message["ReceiptHandle"])
        return heard


@pytest.fixture(params=["memory", "eventbridge"])
def bus(request: pytest.FixtureRequest) -> Bus:
    if request.param == "memory":
        return MemoryBus(MemoryEvents())
    stack: Stack = request.getfixturevalue("stack")
    session = boto3.Session(stack.aws.access_key, stack.aws.secret_key, region_name=stack.aws.region)
    sqs, name = session.client("sqs", endpoint_url=stack.aws.endpoint), f"contract-{uuid4().hex}"
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    stack.aws.events.create_event_bus(Name=name)
    stack.aws.events.put_rule(Name=name, EventBusName=name, EventPattern='{"source":["recorder"]}')
    stack.aws.events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn}])
    return QueueOnBus(EventBridge(name, lambda: stack.aws.events), sqs, url)


def event(position: int) -> StoredEvent:
    return StoredEvent(position=position, type=EventType.STARTED, body=json.dumps({"sequence": position}))


def test_takes_each_event_once_and_says_which(bus: Bus) -> None:
    events = [event(position) for position in range(1, 24)]
    assert list(bus.events.publish(events)) == list(range(1, 24))
    assert sorted(bus.heard(), key=lambda body: int(json.loads(body)["sequence"])) == [
        each.body for each in events
    ]


def test_takes_nothing_where_there_is_nothing(bus: Bus) -> None:
    assert list(bus.events.publish([])) == []
    assert list(bus.heard()) == []


def test_takes_nothing_of_what_it_cannot_be_told() -> None:
    session = boto3.Session("any", "any", region_name="us-east-1")
    unreachable = EventBridge("bus", lambda: session.client("events", endpoint_url="http://127.0.0.1:9"))
    assert list(unreachable.publish([event(1)])) == []
