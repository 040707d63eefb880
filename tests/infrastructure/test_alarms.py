"""Alarms and dashboard against what the functions really emit, and against how CloudWatch judges it.

What each alarm watches is taken from the template; what is emitted, from the lines that the functions print.
"""

from __future__ import annotations

import json
import operator
import re
from itertools import batched, chain
from typing import TYPE_CHECKING, Final, NamedTuple, cast
from uuid import uuid4

import pytest

from recorder.aws.hints import LambdaHints
from recorder.settings import AwsSettings, HintSettings
from recorder.telemetry import NAMESPACE
from tests.support import template
from tests.support.deployment import sign
from tests.support.outside import LOOPBACK
from tests.support.template import evaluated, of_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pydantic import JsonValue

    from local.template.transform import Template
    from tests.support.deployment import Deployment, User
    from tests.support.logs import Logs

ALARM: Final = "AWS::CloudWatch::Alarm"
PROPERTIES: Final = (
    *("Namespace", "MetricName", "Dimensions", "Metrics", "Statistic", "Period", "EvaluationPeriods"),
    *("DatapointsToAlarm", "ComparisonOperator", "Threshold", "TreatMissingData"),
)
STACK: Final = "local"
DOCUMENT: Final = (template.SOURCE.parent / "docs" / "operations.md").read_text()


class Metric(NamedTuple):
    """A metric as CloudWatch knows it: one for each set of dimensions and values."""

    name: str
    dimensions: frozenset[tuple[str, str]]


def deployed() -> Template:
    return evaluated(EventBusName="bus", Rollout="Canary10Percent5Minutes")


def alarms() -> dict[str, dict[str, JsonValue]]:
    return {
        name: {each: value for each, value in alarm.items() if value is not None}
        for name, alarm in deployed().select(ALARM, *PROPERTIES)
    }


# Emitted metrics


def emitted(text: str) -> dict[Metric, list[float]]:
    """Return what CloudWatch makes of the lines in the embedded metric format among those that were printed."""
    found: dict[Metric, list[float]] = {}
    for line in text.splitlines():
        said = cast("dict[str, object]", json.loads(line))
        if "_aws" not in said:
            continue
        [directive] = cast("dict[str, list[dict[str, object]]]", said["_aws"])["CloudWatchMetrics"]
        assert directive["Namespace"] == NAMESPACE
        for names in cast("list[list[str]]", directive["Dimensions"]):
            dimensions = frozenset((name, str(said[name])) for name in names)
            for metric in cast("list[dict[str, str]]", directive["Metrics"]):
                values = cast("list[float]", said[metric["Name"]])
                found.setdefault(Metric(metric["Name"], dimensions), []).extend(values)
    return found


def watched() -> Iterator[tuple[str, Metric]]:
    """Yield each metric of the product's own that an alarm watches, with the alarm's name."""
    for name, alarm in alarms().items():
        queries = cast("list[dict[str, dict[str, dict[str, JsonValue]]]]", alarm.get("Metrics", []))
        for each in [*(query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query), alarm]:
            if each.get("Namespace") == NAMESPACE:
                pairs = cast("list[dict[str, str]]", each["Dimensions"])
                dimensions = frozenset((pair["Name"], pair["Value"]) for pair in pairs)
                yield name, Metric(str(each["MetricName"]), dimensions)


def service_of(metric: Metric) -> Metric:
    """Return a metric as a stack of this template's has it, whose name is the service."""
    return Metric(
        metric.name,
        frozenset((name, STACK if name == "service" else value) for name, value in metric.dimensions),
    )


def _recorded(deployment: Deployment, alice: User, room: str) -> str:
    deployment.livekit.world.open_room(room, permanent=True)
    return alice.record(room)


def _recordings_fail(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.upload_fails.next()
    alice.stop(_recorded(deployment, alice, "failing"))
    deployment.advance(5)


def _livekit_is_away(deployment: Deployment, alice: User) -> None:
    _recorded(deployment, alice, "away")
    whole = deployment.settings["LIVEKIT_URL"]
    deployment.configure(LIVEKIT_URL=f"http://{LOOPBACK}:1")
    deployment.sweeps(1)
    deployment.configure(LIVEKIT_URL=whole)


def _a_stop_is_not_answered(deployment: Deployment, alice: User) -> None:
    recording_id = _recorded(deployment, alice, "unstopped")
    deployment.livekit.world.faults.stop.internal.always()
    alice.stop(recording_id)
    deployment.sweeps(1)
    deployment.livekit.world.faults.off()


def _a_row_cannot_be_written(deployment: Deployment, alice: User) -> None:
    deployment.livekit.world.faults.webhook_lost.always()
    deployment.livekit.stop(_recorded(deployment, alice, "unwritten"))
    deployment.advance(5)
    deployment.livekit.world.faults.off()
    deployment.execute(
        """create function refuse() returns trigger language plpgsql as $$
           begin raise exception 'refused'; end $$"""
    )
    deployment.execute(
        """create trigger refuse before update on recordings for each row
           when (new.version <> old.version) execute function refuse()"""
    )
    deployment.sweeps(1)
    deployment.execute("drop function refuse cascade")


def _a_row_cannot_be_read(deployment: Deployment, alice: User) -> None:
    recording_id, unreadable = (
        _recorded(deployment, alice, "unread"),
        "update recordings set started_at = :time",
    )
    row = deployment.row(recording_id)
    assert row is not None
    deployment.execute_unseen(f"{unreadable} where id = '{recording_id}'", time="12000-01-01T00:00:00Z")
    alice.get(recording_id)
    deployment.execute_unseen(f"{unreadable} where id = '{recording_id}'", time=str(row["started_at"]))


def _the_bucket_is_away(deployment: Deployment, alice: User) -> None:
    recording_id = _recorded(deployment, alice, "unremoved")
    alice.stop(recording_id)
    deployment.advance(5)
    whole = deployment.settings.get("AWS_ENDPOINT_URL_S3", "")
    deployment.configure(AWS_ENDPOINT_URL_S3=f"http://{LOOPBACK}:1")
    alice.delete(recording_id)
    deployment.configure(AWS_ENDPOINT_URL_S3=whole)


def _a_webhook_is_forged(deployment: Deployment, _: User) -> None:
    forged = sign(b"{}", secret="a-key-of-somebody-else-that-is-long-enough")
    deployment.post_webhook("/api/video/livekit/webhook", b"{}", forged)


def _requests_fail(deployment: Deployment, alice: User) -> None:
    _the_bucket_is_away(deployment, alice)
    whole = deployment.settings["DATABASE_PORT"]
    for port in ("1", "not a number"):
        deployment.configure(DATABASE_PORT=port)
        alice.list()
    deployment.configure(DATABASE_PORT=whole)


def _a_worker_is_lost(deployment: Deployment, alice: User) -> None:
    recording_id = _recorded(deployment, alice, "lost")
    deployment.livekit.world.join("lost", "pat")
    deployment.livekit.world.kill_handler(deployment.livekit.egress_of(recording_id))
    deployment.advance(10)
    assert alice.get(recording_id).recording["status"] == "active"


def _two_takes(deployment: Deployment, alice: User, room: str) -> None:
    recording_id = _recorded(deployment, alice, room)
    deployment.livekit.world.join(room, "pat")
    alice.pause(recording_id)
    deployment.advance(10)
    alice.resume(recording_id)
    deployment.advance(20)
    alice.stop(recording_id)
    deployment.advance(10)


def _takes_cannot_be_joined(deployment: Deployment, alice: User) -> None:
    # The file that the tests' workers store is no media.
    _two_takes(deployment, alice, "parts")
    deployment.sweeps(6, minutes=17)


def _takes_are_joined(deployment: Deployment, alice: User) -> None:
    deployment.configure(SAFETY_SEGMENTS="on")
    _two_takes(deployment, alice, "joined")
    deployment.sweeps(2)


def _a_call_is_lost() -> None:
    away = AwsSettings("us-east-1", "key", "secret", "", lambda_endpoint_url=f"http://{LOOPBACK}:1")
    LambdaHints(HintSettings(begin_take="begin", assemble="assemble", sweep="sweep"), away).begin_take(
        uuid4()
    )


PROVOKED: Final[Mapping[str, Callable[[Deployment, User], object]]] = {
    "SweepSilent": lambda deployment, _: deployment.sweep(),
    "SweepBehind": lambda deployment, _: deployment.sweep(),
    "LiveKitUnanswered": _livekit_is_away,
    "StopsUnanswered": _a_stop_is_not_answered,
    "RecordingsUnhandled": _a_row_cannot_be_written,
    "RecordingsUnreadable": _a_row_cannot_be_read,
    "RecordingsFailing": _recordings_fail,
    "ObjectsNotRemoved": _the_bucket_is_away,
    "EventsUnpublished": lambda deployment, _: deployment.sweep(),
    "WebhooksRejected": _a_webhook_is_forged,
    "FunctionsFailing": _requests_fail,
    "RescuesRepeated": _a_worker_is_lost,
    "RecordingsNotAssembled": _takes_cannot_be_joined,
}


@pytest.mark.parametrize("alarm", PROVOKED)
def test_what_an_alarm_watches_is_emitted_when_it_happens(
    deployment: Deployment, alice: User, logs: Logs, alarm: str
) -> None:
    PROVOKED[alarm](deployment, alice)

    found = {service_of(metric) for metric in emitted(logs.printed)}
    wanted = {metric for name, metric in watched() if name == alarm}
    assert wanted
    assert wanted <= found


def test_every_alarm_on_a_metric_of_ours_is_provoked() -> None:
    assert {name for name, _ in watched()} == set(PROVOKED)


def test_the_dashboard_shows_what_is_emitted(deployment: Deployment, alice: User, logs: Logs) -> None:
    for provoke in {*PROVOKED.values()}:
        provoke(deployment, alice)
    _takes_are_joined(deployment, alice)
    _a_call_is_lost()
    alice.stop(_recorded(deployment, alice, "completed"))
    deployment.advance(5)
    deployment.sweeps(1)

    found = {service_of(metric) for metric in emitted(logs.printed)}
    [(_, dashboard)] = deployed().select("AWS::CloudWatch::Dashboard", "DashboardBody")
    shown, sets = shown_on(json.loads(str(dashboard["DashboardBody"])))
    assert shown
    assert sets
    assert shown <= found
    for name, dimensions in sets:
        assert any(
            name == each.name and dimensions == {key for key, _ in each.dimensions} for each in found
        ), name


type Search = tuple[str, frozenset[str]]
"""A metric's name, and the dimensions by all values of which it is shown."""


def shown_on(body: dict[str, list[dict[str, dict[str, object]]]]) -> tuple[set[Metric], set[Search]]:
    """Return the metrics of ours on a dashboard, and what it searches."""
    shown: set[Metric] = set()
    sets: set[Search] = set()
    for widget in body["widgets"]:
        for line in cast("list[list[object]]", widget["properties"].get("metrics", [])):
            match line:
                case [{"expression": str(text)}]:
                    searched = re.search(rf"{{{NAMESPACE},([\w,]+)}}.*MetricName=\"(\w+)\"", text)
                    assert searched, text
                    assert f'service="{STACK}"' in text
                    sets.add((searched[2], frozenset(searched[1].split(","))))
                case [namespace, str(name), *rest] if namespace == NAMESPACE:
                    pairs = [each for each in rest if isinstance(each, str)]
                    shown.add(Metric(name, frozenset(batched(pairs, 2, strict=True))))
                case _:
                    pass
    return shown, sets


# How CloudWatch judges it

type Minutes = Sequence[Sequence[float]]
"""Emitted metrics in each of some minutes."""

STATISTICS: Final[Mapping[str, Callable[[Sequence[float]], float]]] = {
    "Sum": sum,
    "Minimum": min,
    "Maximum": max,
    "SampleCount": len,
}
COMPARISONS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "LessThanThreshold": operator.lt,
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
}
SIGNS: Final = {"LessThanThreshold": "<", "GreaterThanThreshold": ">", "GreaterThanOrEqualToThreshold": "≥"}


class Rule(NamedTuple):
    """The properties by which an alarm decides."""

    statistic: str
    comparison: str
    threshold: float
    minutes: int
    of: int
    at_least: int
    missing: str

    def fires(self, minutes: Minutes) -> bool:
        """Tell whether the alarm is on after these minutes, the last of which ends a period."""
        periods = [[*chain(*part)] for part in batched(minutes, self.minutes, strict=True)]
        breaching = 0
        for values in periods[-self.of :]:
            if values:
                breaching += COMPARISONS[self.comparison](STATISTICS[self.statistic](values), self.threshold)
            else:
                # There is no datapoint where nothing is emitted, also none of SampleCount.
                breaching += self.missing == "breaching"
        return breaching >= self.at_least


def rule_of(alarm: dict[str, JsonValue]) -> Rule:
    """Read an alarm's rule; where it sums over metrics, what is missing of one counts as nothing."""
    statistic, period = alarm.get("Statistic"), alarm.get("Period")
    if statistic is None:
        queries = cast("list[dict[str, JsonValue]]", alarm["Metrics"])
        [summed] = [query for query in queries if "Expression" in query]
        assert summed["Expression"] == "SUM(FILL(METRICS(), 0))"
        stats = [
            cast("dict[str, JsonValue]", query["MetricStat"]) for query in queries if "MetricStat" in query
        ]
        assert {(each["Stat"], each["Period"]) for each in stats} == {("Sum", 60)}
        statistic, period = "Sum", 60
    return Rule(
        statistic=str(statistic),
        comparison=str(alarm["ComparisonOperator"]),
        threshold=float(str(alarm["Threshold"])),
        minutes=int(str(period)) // 60,
        of=int(str(alarm["EvaluationPeriods"])),
        at_least=int(str(alarm["DatapointsToAlarm"])),
        missing=str(alarm["TreatMissingData"]),
    )


NOTHING: Final[Minutes] = [[]] * 60


def each(minutes: int, *values: float, times: int) -> Minutes:
    """Return these values every so many minutes."""
    return ([[]] * (minutes - 1) + [list(values)]) * times


def at(minutes: set[int], length: int) -> Minutes:
    """Return one value in each of these minutes, the first being 0."""
    return [[1.0] if minute in minutes else [] for minute in range(length)]


BACK_OFF: Final = {0, 1, 3, 7, 15, 31}
"""When S3 is asked again to remove a recording's objects."""
JUDGED: Final[Mapping[str, tuple[Sequence[Minutes], Sequence[Minutes]]]] = {
    # In which it must be on, and in which off. Sweeps come every 1, 2 or 5 minutes.
    "SweepSilent": (
        [NOTHING],
        [each(1, 0, times=15), each(5, 400, times=3), [*NOTHING, *each(5, 0, times=1)]],
    ),
    "SweepBehind": (
        [each(1, 301, times=15), each(5, 9000, times=3)],
        [NOTHING, each(1, 300, times=15), [*each(1, 9000, times=10), *each(1, 9000, times=4), [0]]],
    ),
    "LiveKitUnanswered": (
        [each(1, 1, times=15), each(5, 1, times=3)],
        [NOTHING, [*each(1, 1, times=10), *[[]] * 5]],
    ),
    "StopsUnanswered": (
        [each(1, 1, times=15), each(5, 4, times=3)],
        [NOTHING, [*each(1, 1, times=10), *[[]] * 5]],
    ),
    "RecordingsUnhandled": ([each(1, 1, times=15), each(5, 1, times=3)], [NOTHING, at({0, 1}, 15)]),
    "RecordingsUnreadable": ([each(1, 1, times=15), each(5, 2, times=3)], [NOTHING, at({0, 1}, 15)]),
    "RecordingsFailing": ([at({0, 7, 14}, 15), each(15, 3, times=1)], [NOTHING, at({0, 14}, 15)]),
    "ObjectsNotRemoved": ([at(BACK_OFF, 60), at(BACK_OFF, 45)], [NOTHING, at({0, 1, 3, 7}, 60)]),
    "EventsUnpublished": ([each(1, 1, times=15), each(5, 7, times=3)], [NOTHING, each(1, 0, times=15)]),
    "WebhooksRejected": ([at({*range(10)}, 15)], [NOTHING, at({*range(9)}, 15)]),
    "ApiFailing": (
        [each(1, *[1.0] * 3, times=5), [[3.0], [], [3.0], [], [3.0]]],
        [NOTHING, each(1, 1, 1, times=5), [[9.0], [], [], [], [9.0]]],
    ),
    "RescuesRepeated": ([at({0, 7, 14}, 15), each(15, 3, times=1)], [NOTHING, at({0, 14}, 15)]),
    "RecordingsNotAssembled": (
        [at({14}, 15), each(15, 1, times=1)],
        [NOTHING, [*each(1, 1, times=1), *[[]] * 29]],
    ),
    "FunctionsFailing": ([[[3.0], [], [], [1.0, 2.0], []]], [NOTHING, [[99.0], [], [], [], []]]),
}


@pytest.mark.parametrize("name", JUDGED)
def test_an_alarm_fires_for_what_it_is_for_and_for_nothing_less(name: str) -> None:
    rule, (on, off) = rule_of(alarms()[name]), JUDGED[name]

    assert [rule.fires(minutes) for minutes in on] == [True] * len(on)
    assert [rule.fires(minutes) for minutes in off] == [False] * len(off)


def test_every_alarm_is_judged_and_its_rule_documented() -> None:
    rules = {name: rule_of(alarm) for name, alarm in alarms().items()}
    documented = dict(re.findall(r"^\| \[(\w+)\]\(#\w+\) \| (.*) \|$", DOCUMENT, re.MULTILINE))

    assert set(JUDGED) == set(of_kind(ALARM)) == set(rules)
    assert documented == {
        name: f"{metrics_of(name)} | {rule.statistic} {SIGNS[rule.comparison]} {rule.threshold:g} in"
        f" {rule.minutes} min, {rule.at_least} of {rule.of} times | {rule.missing}"
        for name, rule in rules.items()
    }


def metrics_of(name: str) -> str:
    """Return what an alarm watches, as the table of the document has it."""
    alarm = alarms()[name]
    if "MetricName" not in alarm:
        return "`Errors` of the functions, and `RequestsFailed` of three reasons"
    pairs = cast("list[dict[str, str]]", alarm["Dimensions"])
    others = [pair["Value"] for pair in pairs if pair["Name"] not in {"service", "ApiId"}]
    return f"`{alarm['MetricName']}`{''.join(f' by `{value}`' for value in others)}"
