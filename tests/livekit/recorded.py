"""Recordings of a real LiveKit server and egress worker."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, JsonValue

FOLDER = Path(__file__).parent / "captures"
CASES = sorted(file.stem for file in FOLDER.glob("*.json") if file.stem != "python_client_errors")
KEY = "devkey"
SECRET = "throwaway-dev-secret-of-forty-characters"


class StoredObject(BaseModel):
    key: str
    size: int = 0
    content_type: str = ""
    content_disposition: str = ""
    metadata: dict[str, str] = {}
    body: str = ""


def _spread(stored: JsonValue) -> JsonValue:
    """Read the short form of an object, its key and its size; of several, only how many they were."""
    if not isinstance(stored, str):
        return stored
    key, _, size = stored.rpartition(" ")
    return {"key": key, "size": size} if size.isdigit() else {"key": stored}


def _whole(request: JsonValue) -> JsonValue:
    """Leave out a request that is only described."""
    return {} if isinstance(request, str) else request


class Step(BaseModel):
    """A call, a webhook, or what was noted in between."""

    at_s: float = 0.0
    kind: str = ""
    label: str = ""

    path: str = ""
    request: Annotated[dict[str, JsonValue], BeforeValidator(_whole)] = {}
    request_headers: dict[str, str] = {}
    status: JsonValue = None
    took_s: float = 0.0
    response_headers: dict[str, str] = {}
    response_body: str = ""
    response_body_base64: str = ""
    start_filename: list[str] = []

    id: str = ""
    summary: str = ""
    body: str = ""
    headers: dict[str, str] = {}
    answered: int | None = None
    answered_after_s: float = 0.0
    trimmed: str = ""
    """The parts that were left out."""

    room: str = ""
    filename: list[str] = []
    location: list[str] = []
    manifest_location: str = ""
    objects: list[Annotated[StoredObject, BeforeValidator(_spread)]] = []

    texts: dict[str, str] = {}
    """Of objects, by key."""
    timeline: list[tuple[float, str, int] | str] = []
    """When objects were seen, what, and their sizes."""

    text: str = ""
    details: str = ""
    error_code: int = 0

    when: str = ""
    active_recording: bool = False


class Capture(BaseModel):
    recorded_at: datetime
    steps: list[Step]

    def calls(self) -> list[Step]:
        return [step for step in self.steps if step.kind == "call"]

    def webhooks(self, path: str) -> list[Step]:
        """Give the attempts at one receiver, in order."""
        return [step for step in self.steps if step.kind == "webhook" and step.path == path]


def load(case: str) -> Capture:
    return Capture.model_validate_json((FOLDER / f"{case}.json").read_bytes())
