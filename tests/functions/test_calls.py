"""The functions that other functions call for one recording: each of their event files does what its name says."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from recorder.errors import InvalidRequestError
from tests.support.events import event

if TYPE_CHECKING:
    from tests.support.deployment import Deployment

FUNCTIONS = ("begin_take", "assemble_recording")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_recording_that_is_gone_needs_nothing(deployment: Deployment, function: str) -> None:
    assert deployment.invoke(function, event(f"{function}_of_a_recording")) == {}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_recording_that_records_is_left_alone(deployment: Deployment, function: str) -> None:
    alice = deployment.as_user("alice")
    recording_id = alice.record()
    before = deployment.row(recording_id)

    assert deployment.invoke(function, {"recordingId": str(UUID(recording_id))}) == {}

    assert deployment.row(recording_id) == before


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("name", ["s3_notification", "sns_message"])
def test_event_of_somebody_else_is_refused(deployment: Deployment, function: str, name: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        deployment.invoke(function, event(f"{function}_{name}"))

    assert [field for field, _ in refused.value.details] == ["recordingId"]
