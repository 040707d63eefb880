"""The files in `events/` have the shape of what `sam local generate-event` makes."""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import cast

import pytest

from tests.support.events import EVENTS
from tests.support.functions import FUNCTIONS, function_of

type Json = dict[str, object]

# Fields that API Gateway leaves out where they are empty, or where the API has no such feature.
OPTIONAL = {
    "": {"cookies", "queryStringParameters", "body", "pathParameters", "stageVariables"},
    "requestContext": {"authentication", "authorizer"},
}
OPEN = {"headers", "queryStringParameters", "pathParameters", "claims", "detail", "MessageAttributes"}
NOT_OF_HTTP = (
    "reconcile_recordings",
    "begin_take",
    "assemble_recording",
    "migrate_database",
    "check_deployment",
)
HTTP = sorted(path.stem for path in EVENTS.iterdir() if not path.stem.startswith(NOT_OF_HTTP))


def _generated(*command: str) -> Json:
    sam = Path(sys.executable).parent / "sam"
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0"}
    made = subprocess.run(
        [sam, "local", "generate-event", *command], capture_output=True, check=True, env=environment
    )
    event: Json = json.loads(made.stdout)
    return event


def _stored(name: str) -> Json:
    event: Json = json.loads((EVENTS / f"{name}.json").read_text())
    return event


def _same_shape(made: object, stored: object, where: str = "") -> None:
    if where == "Records" and isinstance(made, list) and isinstance(stored, list):
        for each in stored:
            _same_shape(made[0], each, "record")
        return
    if not isinstance(made, dict) or where in OPEN:
        assert stored is None or isinstance(stored, type(made)), f"{where} is {stored!r}"
        return
    assert isinstance(stored, dict)
    assert stored.keys() <= made.keys(), where
    assert made.keys() - stored.keys() <= OPTIONAL.get(where, set()), where
    for name, value in stored.items():
        _same_shape(made[name], value, name)


def test_requests_are_in_payload_format_2() -> None:
    made = _generated("apigateway", "http-api-proxy")
    for name in HTTP:
        _same_shape(made, _stored(name))


@pytest.mark.parametrize("name", HTTP)
def test_requests_agree_with_themselves(name: str) -> None:
    event = _stored(name)
    context = cast("Json", event["requestContext"])
    http = cast("dict[str, str]", context["http"])
    method, route = cast("str", event["routeKey"]).split(" ")
    parameters = cast("dict[str, str]", event.get("pathParameters", {}))
    headers = cast("dict[str, str]", event["headers"])
    assert event["version"] == "2.0"
    assert (context["routeKey"], http["method"]) == (event["routeKey"], method)
    path = re.sub(r"{(\w+)\+?}", lambda part: parameters[part[1]], route)
    assert event["rawPath"] == http["path"] == path
    assert headers["host"] == context["domainName"]
    assert all(header == header.lower() for header in headers)
    query = "&".join(
        f"{name}={value}" for name, value in cast("Json", event.get("queryStringParameters", {})).items()
    )
    assert event["rawQueryString"] == query
    if "body" in event:
        body = cast("str", event["body"])
        size = len(base64.b64decode(body, validate=True)) if event["isBase64Encoded"] else len(body.encode())
        assert headers["content-length"] == str(size)


def test_schedule_is_a_scheduled_event() -> None:
    made = _generated("cloudwatch", "scheduled-event")
    stored = _stored("reconcile_recordings_scheduled")
    # The generator leaves out the version of EventBridge's envelope.
    assert stored.pop("version") == "0"
    _same_shape(made, stored)
    assert stored["detail-type"] == "Scheduled Event"


@pytest.mark.parametrize("function", ["reconcile_recordings", "migrate_database"])
@pytest.mark.parametrize(
    ("kind", "command"), [("s3_notification", "s3 delete"), ("sns_message", "sns notification")]
)
def test_what_is_somebody_elses_looks_like_it(function: str, kind: str, command: str) -> None:
    _same_shape(_generated(*command.split()), _stored(f"{function}_{kind}"))


def test_each_function_has_events_that_succeed_and_some_that_are_wrong_or_nobodys() -> None:
    files = [function_of(path.stem) for path in EVENTS.iterdir()]
    assert {name for name, number in Counter(files).items() if number >= 3} == {
        each.name for each in FUNCTIONS.iterdir()
    }
