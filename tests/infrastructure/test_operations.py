"""docs/operations.md tells of every log code, metric and alarm that there is, and of no other."""

from __future__ import annotations

import ast
import json
import re
from typing import TYPE_CHECKING, cast

import pytest

from recorder.domain.recording import CLIENT_FAULTS, FailureCode
from recorder.telemetry import NAMESPACE, Code
from tests.support import template
from tests.support.template import evaluated, of_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import JsonValue

ROOT = template.SOURCE.parent
DOCUMENT = (ROOT / "docs" / "operations.md").read_text()
SOURCES = [*(ROOT / "layers/recorder/recorder").rglob("*.py"), *(ROOT / "functions").glob("*/app.py")]
ALARM = "AWS::CloudWatch::Alarm"

type Metric = tuple[str, frozenset[str]]


def part(heading: str) -> str:
    """Return what the document says under a heading of the second level."""
    [text] = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    return str(text)


def rows(text: str) -> dict[str, list[str]]:
    """Return a table's rows by what their first cell names."""
    found = re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split(" |")] for name, rest in found}


def calls() -> Iterator[ast.Call]:
    for path in SOURCES:
        yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


def levels() -> dict[str, set[str]]:
    """Return at which levels the code logs each message."""
    found: dict[str, set[str]] = {}
    for call in calls():
        match call:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                args=[ast.Attribute(value=ast.Name(id="Code"), attr=code)],
            ):
                found.setdefault(code, set()).add(level)
            case _:
                pass
    return found


def emitted() -> dict[str, set[str]]:
    """Return the metrics that the code emits, with the dimensions beside `service`."""
    found: dict[str, set[str]] = {}
    for call in calls():
        match call:
            case ast.Call(func=ast.Name(id="count"), args=[ast.Constant(value=str(name)), *_]):
                named = {each.arg for each in call.keywords if each.arg is not None}
                found.setdefault(name, set()).update(named - {"unit"})
            case _:
                pass
    return found


def test_every_log_code_is_documented_with_its_levels() -> None:
    documented = {code: set(cells[0].split(", ")) for code, cells in rows(part("Log codes")).items()}

    assert documented == levels()
    assert set(documented) == set(Code)


def test_every_metric_is_documented_with_its_dimensions() -> None:
    documented = {
        name: set(re.findall(r"`(\w+)`", cells[0])) for name, cells in rows(part("Metrics")).items()
    }

    assert documented == emitted()


def test_every_alarm_has_a_runbook_entry() -> None:
    entries = re.findall(r"^### (\w+)$", part("Alarms"), re.MULTILINE)

    assert sorted(entries) == sorted(of_kind(ALARM))


def test_every_failure_that_needs_an_operator_is_explained() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", part("Alarms")))

    assert {code.value for code in FailureCode if code not in CLIENT_FAULTS} <= documented


def metrics_of(alarm: dict[str, JsonValue]) -> Iterator[tuple[str, Metric, dict[str, str]]]:
    """Yield the namespace, name and dimensions of what an alarm watches."""
    queries = cast("list[dict[str, dict[str, dict[str, JsonValue]]]]", alarm.get("Metrics", []))
    watched = [query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query]
    for each in [*watched, *([alarm] if "MetricName" in alarm else [])]:
        pairs = cast("list[dict[str, str]]", each["Dimensions"])
        dimensions = {pair["Name"]: pair["Value"] for pair in pairs}
        yield str(each["Namespace"]), (str(each["MetricName"]), frozenset(dimensions)), dimensions


def test_alarms_watch_metrics_that_are_emitted_with_exactly_these_dimensions() -> None:
    exist: set[Metric] = {
        (name, frozenset(dimensions))
        for name, named in emitted().items()
        for dimensions in [{"service"}, *({"service", each} for each in named)]
    }
    sources = "".join(path.read_text() for path in SOURCES)
    alarms = dict(
        evaluated(EventBusName="bus", Rollout="Canary10Percent5Minutes").select(
            ALARM, "Metrics", "Namespace", "MetricName", "Dimensions"
        )
    )

    assert set(alarms) == set(of_kind(ALARM))
    for name, alarm in alarms.items():
        for namespace, metric, dimensions in metrics_of(alarm):
            if namespace == NAMESPACE:
                assert metric in exist, name
                assert dimensions.pop("service") == "local"
                assert all(f'"{value}"' in sources for value in dimensions.values()), name
            else:
                assert namespace in {"AWS/Lambda", "AWS/ApiGateway"}, name


def test_what_anybody_may_send_alarms_nobody() -> None:
    alarms = dict(evaluated().select(ALARM, "Dimensions"))
    dimensions = cast("list[dict[str, str]]", alarms["WebhooksRejected"]["Dimensions"])

    assert {"Name": "reason", "Value": "wrong_signature"} in dimensions


def test_alarms_reach_the_topic() -> None:
    told = evaluated(AlarmTopicArn="topic").select(ALARM, "AlarmActions", "OKActions")
    untold = evaluated().select(ALARM, "AlarmActions", "OKActions")

    assert all(alarm == {"AlarmActions": ["topic"], "OKActions": ["topic"]} for _, alarm in told)
    assert all(alarm == {"AlarmActions": [], "OKActions": []} for _, alarm in untold)


@pytest.mark.parametrize(
    "parameters", [{}, {"EventBusName": "bus"}, {"EventBusName": "bus", "Rollout": "Canary10Percent5Minutes"}]
)
def test_every_alarm_that_is_there_and_every_metric_are_on_the_dashboard(parameters: dict[str, str]) -> None:
    made = evaluated(**parameters)
    [(_, dashboard)] = made.select("AWS::CloudWatch::Dashboard", "DashboardBody")
    body = str(dashboard["DashboardBody"])
    [alarms] = [each for each in json.loads(body)["widgets"] if each["type"] == "alarm"]

    assert set(alarms["properties"]["alarms"]) == {f"{name}.Arn" for name, _ in made.select(ALARM)}
    assert [name for name in emitted() if f'"{name}"' not in body.replace("\\", "")] == []
