"""The function that checks a deployment, as operators and schedules of strangers may call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from tests.support.events import EVENTS, event

if TYPE_CHECKING:
    from tests.support.deployment import Deployment


@pytest.mark.parametrize("name", sorted(path.stem for path in EVENTS.glob("check_deployment_*.json")))
def test_every_event_is_answered_with_all_findings(deployment: Deployment, name: str) -> None:
    report = cast("dict[str, object]", deployment.invoke("check_deployment", event(name)))
    findings = cast("list[dict[str, str]]", report["findings"])
    assert report["summary"]
    assert {"Postgres", "LiveKit"} <= {word for each in findings for word in each["check"].split()}
