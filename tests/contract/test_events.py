"""The contract of the bus, held by EventBridge and by the bus in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import boto3
import pytest

from recorder.aws.events import EventBridge
from recorder.domain.events import EventType
from recorder.outbound import all_within
from recorder.settings import AwsSettings
from recorder.usecases.ports import StoredEvent
from simulator.memory import MemoryEvents
from tests.support.outside import LOOPBACK, before, listening, trickling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mypy_boto3_sqs import SQSClient

    from local.stack import Stack
    from recorder.usecases.ports import Events
    from tests.support.logs import Logs
    from tests.support.outside import Reply


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
    return QueueOnBus(EventBridge(name, settings(stack, stack.aws.endpoint)), sqs, url)


def settings(stack: Stack, endpoint: str) -> AwsSettings:
    aws = stack.aws
    return AwsSettings(aws.region, aws.access_key, aws.secret_key, "", events_endpoint_url=endpoint)


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


def test_takes_nothing_of_what_it_cannot_be_told(stack: Stack, logs: Logs) -> None:
    assert list(EventBridge("bus", settings(stack, "http://127.0.0.1:9")).publish([event(1)])) == []
    [line] = logs.of("EVENTS_REFUSED")
    assert line["cause"] == "connection_refused"


def test_an_event_that_is_refused_among_others_is_not_taken(stack: Stack, logs: Logs) -> None:
    def refuses_one(_: str, __: str, ___: Mapping[str, str], body: bytes) -> Reply:
        entries: list[dict[str, object]] = [{"EventId": str(each)} for each in json.loads(body)["Entries"]]
        entries[1] = {"ErrorCode": "ThrottlingException", "ErrorMessage": "later"}
        return 200, json.dumps({"FailedEntryCount": 1, "Entries": entries}).encode()

    with before(stack.aws.endpoint, refuses_one) as endpoint:
        taken = EventBridge("bus", settings(stack, endpoint)).publish([event(each) for each in (1, 2, 3)])
    assert list(taken) == [1, 3]
    assert [line["aws"] for line in logs.of("EVENTS_REFUSED")] == ["ThrottlingException"]


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"", b'{"Entries": []}', b"<html>"])
def test_an_answer_that_does_not_tell_of_each_event_took_none(stack: Stack, answer: bytes) -> None:
    with before(stack.aws.endpoint, lambda *_: (200, answer)) as endpoint:
        assert list(EventBridge("bus", settings(stack, endpoint)).publish([event(1)])) == []


def test_t49_an_answer_of_the_bus_that_trickles_took_none(stack: Stack) -> None:
    answer = b'{"Entries": [{"EventId": "1"}]}'
    with listening(trickling(answer)) as port:
        bus = EventBridge("bus", settings(stack, f"http://{LOOPBACK}:{port}"))
        with all_within(1):
            assert list(bus.publish([event(1)])) == []
