"""Other Lambda code of the team uses the package as its docstring says."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import recorder
from recorder import (
    Page,
    RecorderError,
    Recording,
    RecordingService,
    StartRequest,
    Status,
    Waited,
    bootstrap,
    recordings,
)
from recorder.errors import RecordingInProgressError, RecordingNotFoundError

if TYPE_CHECKING:
    from tests.support.deployment import Deployment


def _use(deployment: Deployment) -> None:
    started = recordings().start(StartRequest(room_name="demo"), user_id="alice")
    assert started.egress_id is not None
    with pytest.raises(RecordingInProgressError) as conflict:
        recordings().start(StartRequest(room_name="demo"), user_id="bob")
    assert isinstance(conflict.value, RecorderError)
    deployment.advance(10)
    waited = recordings().stop_and_wait(started.recording_id, user_id="alice", wait=20)
    assert isinstance(waited, Waited)
    recording = waited.recording
    assert isinstance(recording, Recording)
    assert recording.status is Status.COMPLETED
    assert recordings().media(recording).download
    assert [each.id for each in recordings().list(Page(user_id="alice", limit=10)).recordings] == [
        recording.id
    ]
    with pytest.raises(RecordingNotFoundError):
        recordings().get(recording.id, user_id="bob")
    recordings().delete(recording.id, user_id="alice")
    assert isinstance(recordings(), RecordingService)


def test_use_from_other_code(deployment: Deployment) -> None:
    deployment.sweep()
    token = bootstrap.environment.set(deployment.cold())
    try:
        _use(deployment)
    finally:
        bootstrap.environment.reset(token)
    assert deployment.objects() == []


def test_names_of_the_package_exist_and_no_others() -> None:
    for name in recorder.__all__:
        assert getattr(recorder, name).__module__.startswith("recorder.")
    with pytest.raises(AttributeError):
        getattr(recorder, "nothing")  # noqa: B009 - a name that mypy would refuse


def test_what_is_not_asked_for_is_not_imported() -> None:
    code = "import sys; from recorder import recordings; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert "recorder.bootstrap" in modules
    assert not modules & {
        "recorder.livekit.egress",
        "pydantic",
        "livekit",
        "aiohttp",
        "boto3",
        "botocore.session",
    }
