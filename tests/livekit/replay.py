"""Leads a World through the steps of a capture and holds its answers and webhooks against those recorded."""

import json
import re
from base64 import b64decode
from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from livekit.protocol import egress, room
from pydantic import JsonValue

from livekit_standin.outputs.streams import PushStream
from livekit_standin.protojson import twirp_json
from livekit_standin.timing import SECOND, Delay, Timing
from livekit_standin.twirp import Answer, TwirpError
from livekit_standin.uploads import Upload
from livekit_standin.webhooks import DeliverWebhook
from livekit_standin.world import World
from tests.livekit.life import NOBODY_LISTENS
from tests.livekit.recorded import KEY, SECRET, Step, load

RECEIVER = "http://127.0.0.1:9100"
SIZE = 12345
PATIENCE = 40 * SECOND
RACE = SECOND // 16
OMITTED = "omitted"
REQUESTS: dict[str, type[Message]] = {
    "StartRoomCompositeEgress": egress.RoomCompositeEgressRequest,
    "StartTrackCompositeEgress": egress.TrackCompositeEgressRequest,
    "StartTrackEgress": egress.TrackEgressRequest,
    "StartParticipantEgress": egress.ParticipantEgressRequest,
    "StartWebEgress": egress.WebEgressRequest,
    "StartEgress": egress.StartEgressRequest,
    "StopEgress": egress.StopEgressRequest,
    "ListEgress": egress.ListEgressRequest,
    "UpdateLayout": egress.UpdateLayoutRequest,
    "UpdateStream": egress.UpdateStreamRequest,
    "CreateRoom": room.CreateRoomRequest,
    "DeleteRoom": room.DeleteRoomRequest,
    "ListRooms": room.ListRoomsRequest,
    "ListParticipants": room.ListParticipantsRequest,
}
# Values that differ from run to run, and the part of each that must be alike all the same.
MASKS = (
    (re.compile(r"\b(EG|RM|EV|PA)_[0-9A-Za-z]{12}\b"), r"\1_"),
    (re.compile(r'"(duration|size)":"[1-9]\d*"'), r'"\1":"<n>"'),
    (re.compile(r'"179\d{16}"'), '"<ns>"'),
    (re.compile(r'"179\d{10}"'), '"<ms>"'),
    (re.compile(r'"179\d{7}"'), '"<s>"'),
    (re.compile(r"2026-11-2\dT\d{6}"), "<time>"),
    # Where there are several outputs of a kind, LiveKit shows their keys.
    (re.compile(r'("access_?[kK]ey":)"local"'), r'\1"REDACTED"'),
    (re.compile(r'("retries"): ?[1-9]\d*'), r'\1:"<n>"'),
    (re.compile(r'("turn_password"):"[0-9A-Za-z]+"'), r'\1:"<password>"'),
)
STATUS = re.compile(r'"status":"(\w+)"')


def masked(text: str) -> str:
    for pattern, replacement in MASKS:
        text = pattern.sub(replacement, text)
    return text


@dataclass
class Case:
    """A capture, and what happened in it beside the calls: each before the step at that time."""

    name: str
    before: dict[float, Callable[["Replay"], None]] = field(default_factory=dict)
    camera: str = "video/H264"
    identities: tuple[str, ...] = ("alice",)
    deaf: frozenset[str] = frozenset()
    """Streams that nobody receives."""
    races: tuple[str, ...] = ()
    """Patterns of what may be there already, or not yet."""
    trimmed: bool = False
    """Some of its webhooks are not in the capture."""
    skip: frozenset[str] = frozenset()
    """Labels of calls that depend on what the recorded machine lacked."""


class Replay:
    def __init__(self, case: Case) -> None:
        capture = load(case.name)
        self.case = case
        self.steps = capture.steps
        self.now = int(capture.recorded_at.timestamp()) * SECOND
        self.world = World(
            lambda: self.now,
            Random(1),
            Timing(stop=Delay(0.008), publish=Delay(0.020)),
            api_key=KEY,
            api_secret=SECRET,
            webhook_urls=[RECEIVER + "/global"],
            identities=(),
        )
        self.upload_error = ""
        self.streams: list[int] = []
        self.ids: dict[str, str] = {}
        """Ours by those of the capture."""
        self.webhooks: dict[tuple[str, str], deque[str]] = defaultdict(deque)
        """Bodies by egress id and path, not yet compared."""
        self._open_rooms()

    def run(self) -> None:
        ended, recorded = self.now, 0.0
        for step in self.steps:
            # The time between one answer and the next call is as in the capture.
            target = ended + int((step.at_s - recorded) * SECOND)
            if act := self.case.before.get(step.at_s):
                self.until(target)
                act(self)
            if step.kind == "call":
                if step.label not in self.case.skip:
                    self.until(target)
                    self._call(step)
                ended, recorded = self.now, step.at_s + step.took_s
            elif step.kind == "webhook" and "egressInfo" in step.body:
                self._compare_webhook(step)
        if not self.case.trimmed:
            self.until(self.now + PATIENCE)
            assert {key: [*map(_event, bodies)] for key, bodies in self.webhooks.items() if bodies} == {}

    def until(self, target: int) -> None:
        while (due := self.world.next_at()) is not None and due <= target:
            self.now = max(self.now, due)
            self._work()
        self.now = max(self.now, target)

    def newest(self) -> str:
        """Give the id of the newest egress that runs."""
        return list(self.world.unended())[-1]

    def _open_rooms(self) -> None:
        tracks_of: dict[str, list[str]] = {}
        for step in self.steps:
            absent = "requested room does not exist" in step.response_body
            if "Start" in step.path and "room_name" in step.request and not absent:
                tracks = [sid for sid in map(str, step.request.values()) if re.match("TR_(AM|VC)", sid)]
                tracks_of.setdefault(str(step.request["room_name"]), []).extend(tracks)
        created = {step.request["name"] for step in self.steps if "CreateRoom" in step.path}
        for name in tracks_of.keys() - created:
            opened = self.world.open_room(name, identities=self.case.identities)
            camera, microphone = opened.participants[self.case.identities[0]].tracks
            camera.mime_type = self.case.camera
            for sid in tracks_of[name]:
                (microphone if sid.startswith("TR_AM") else camera).sid = sid

    def _work(self) -> None:
        for effect in self.world.advance():
            if isinstance(effect, DeliverWebhook):
                webhook = effect.webhook
                if webhook.egress_id:
                    path = webhook.url.removeprefix(RECEIVER)
                    self.webhooks[webhook.egress_id, path].append(webhook.body.decode())
                self.world.delivered(effect.delivery_id, 200)
            elif not isinstance(effect, Upload):
                if isinstance(effect, PushStream):
                    self._push(effect)
            elif self.upload_error:
                again = "exceeded maximum number of attempts" in self.upload_error
                self.world.upload_failed(effect.id, 400, self.upload_error, again=again)
            else:
                self.world.uploaded(effect.id, SIZE)

    def _push(self, stream: PushStream) -> None:
        self.streams.append(stream.id)
        if stream.url not in self.case.deaf:
            self.world.stream_connected(stream.id)

    def fail_stream(self) -> None:
        """Let the newest stream reach nobody."""
        self.world.stream_failed(self.streams[-1], NOBODY_LISTENS)

    def lose_stream(self) -> None:
        """Let the receiver of the first stream be gone."""
        self.world.stream_lost(self.streams[0], NOBODY_LISTENS)

    def _masked(self, text: str) -> str:
        for part in self.case.races:
            text = re.sub(part, "", text)
        return masked(text)

    def _parsed(self, text: str) -> JsonValue:
        parsed: JsonValue = json.loads(self._masked(text.removesuffix(" (trimmed)").replace(": ", ":")))
        return parsed

    def _call(self, step: Step) -> None:
        expected = _expected(step)
        answer = self._ask(step)
        # Within some milliseconds of a change a list may say either.
        give_up = self.now + RACE
        while "List" in step.path and _statuses(answer) != STATUS.findall(expected):
            due = self.world.next_at()
            if due is None or due > give_up:
                break
            self.until(due)
            answer = self._ask(step)
        self.until(self.now + answer.after)
        assert step.took_s * SECOND == pytest.approx(answer.after, rel=0.3, abs=2 * SECOND), step.label
        outcome = answer.outcome
        if expected == OMITTED:
            assert step.status == (outcome.status if isinstance(outcome, TwirpError) else 200), step.label
            return
        if step.trimmed:
            assert step.status == 200, step.label
            assert contains(self._parsed(twirp_json(_only(outcome))), self._parsed(expected)), step.label
            return
        if isinstance(outcome, TwirpError):
            refusal = {"code": outcome.code, "msg": outcome.message}
            meta = {"meta": dict(outcome.meta)} if outcome.meta else {}
            assert (outcome.status, refusal | meta) == (step.status, json.loads(expected))
            return
        if "Start" in step.path:
            self.ids[_egress_id(expected)] = _egress_id(twirp_json(outcome))
        assert (200, self._masked(twirp_json(outcome))) == (step.status, self._masked(expected))

    def _ask(self, step: Step) -> Answer:
        service, method = step.path.removeprefix("/twirp/livekit.").split("/")
        # A method that does not exist takes any message.
        request = REQUESTS.get(method, egress.EgressInfo)()
        if "base64" in step.request:
            request.ParseFromString(b64decode(str(step.request["base64"])))
        else:
            json_format.ParseDict(step.request, request, ignore_unknown_fields=True)
        if isinstance(
            request,
            egress.StopEgressRequest
            | egress.ListEgressRequest
            | egress.UpdateLayoutRequest
            | egress.UpdateStreamRequest,
        ):
            request.egress_id = self.ids.get(request.egress_id, request.egress_id)
        return self.world.call(service, method, request)

    def _compare_webhook(self, step: Step) -> None:
        ours = self.webhooks[self.ids[_egress_id(step.body)], step.path]
        give_up = self.now + PATIENCE
        while not ours or (self.case.trimmed and _event(ours[0]) != _event(step.body)):
            if ours:
                ours.popleft()
                continue
            due = self.world.next_at()
            assert due is not None, step.summary
            assert due <= give_up, step.summary
            self.until(due)
        if step.trimmed:
            assert contains(self._parsed(ours.popleft()), self._parsed(step.body)), step.summary
        else:
            assert self._masked(ours.popleft()) == self._masked(step.body)


def contains(whole: JsonValue, part: JsonValue) -> bool:
    """Say whether a JSON value has all that is in a part of it."""
    if isinstance(whole, dict) and isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(whole, list) and isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part


def _only(outcome: Message | TwirpError) -> Message:
    """Give the one egress of a list, as a trimmed capture shows it."""
    assert not isinstance(outcome, TwirpError)
    return outcome.items[0] if isinstance(outcome, egress.ListEgressResponse) else outcome


def _egress_id(text: str) -> str:
    found = re.search(r'"(?:egress_id|egressId)": ?"(\w+)"', text)
    assert found is not None
    return found[1]


def _event(body: str) -> tuple[str, list[str]]:
    return body.partition(",")[0], STATUS.findall(body)


def _statuses(answer: Answer) -> list[str]:
    return [] if isinstance(answer.outcome, TwirpError) else STATUS.findall(twirp_json(answer.outcome))


def _expected(step: Step) -> str:
    if step.response_body:
        return step.response_body
    # Only this one was recorded as protobuf.
    return twirp_json(egress.ListEgressResponse.FromString(b64decode(step.response_body_base64)))
