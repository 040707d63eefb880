"""Rights: scopes and claims of the caller's token, room claims, and tokens that are not what they seem."""

from __future__ import annotations

import base64
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.api.authorization import claims_in
from recorder.errors import UnauthorizedError
from tests.support.events import bearer

if TYPE_CHECKING:
    from tests.support.deployment import Answer, Deployment


def start(deployment: Deployment, claims: dict[str, object], room: str = "demo") -> Answer:
    """Start as alice, whose token has these claims beside `sub`."""
    handed_on = {name: str(value) for name, value in claims.items()}
    alice = deployment.as_user("alice", **handed_on)
    return alice.start(roomName=room, headers={"authorization": bearer({"sub": "alice", **claims})})


# A scope, or a claim, for each operation


@pytest.mark.parametrize(
    "claims",
    [
        {"scope": "openid recordings:write"},
        {"scp": "recordings:write"},
        {"scp": "[recordings:read recordings:write]"},
    ],
)
def test_a_token_with_the_scope_may(deployment: Deployment, claims: dict[str, str]) -> None:
    deployment.configure(REQUIRED_SCOPE="recordings:write")

    assert deployment.as_user("alice", **claims).start(roomName="demo").status == 201


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"scope": "recordings:write:none recordings:writer xrecordings:write"},
        {"recordings:write": ""},
        {"aud": "recordings:write"},
    ],
)
def test_a_token_without_it_may_not_and_learns_nothing(
    deployment: Deployment, claims: dict[str, str]
) -> None:
    recording_id = deployment.as_user("alice").start(roomName="demo")["recordingId"]
    deployment.configure(REQUIRED_SCOPE="recordings:write")
    alice = deployment.as_user("alice", **claims)

    answers = [
        alice.start(roomName="demo"),
        alice.start(roomName=""),
        alice.list(),
        alice.list("limit=none"),
        alice.get(recording_id),
        alice.get("none"),
        alice.stop(recording_id),
        alice.delete(recording_id),
    ]

    assert {(answer.status, answer["code"], answer["error"]) for answer in answers} == {
        (403, "forbidden", "the token lacks recordings:write")
    }


@pytest.mark.parametrize("claim", ["staff", ["guests", "staff"]])
def test_a_claim_can_stand_for_the_scope(deployment: Deployment, claim: object) -> None:
    deployment.configure(REQUIRED_SCOPE="cognito:groups=staff")

    assert start(deployment, {"cognito:groups": claim}).status == 201


@pytest.mark.parametrize(
    "claims", [{}, {"cognito:groups": "staffer"}, {"cognito:groups": ["a staff"]}, {"scope": "staff"}]
)
def test_another_claim_cannot(deployment: Deployment, claims: dict[str, object]) -> None:
    deployment.configure(REQUIRED_SCOPE="cognito:groups=staff")

    assert start(deployment, claims).status == 403


# Rooms


@pytest.mark.parametrize(
    ("rule", "claims"),
    [
        ("*", {}),
        ("rooms", {"rooms": "demo"}),
        ("rooms", {"rooms": ["other", "demo"]}),
        ("video.room", {"video": {"room": "demo"}}),
        ("video.roomRecord", {"video": {"roomRecord": True}}),
        ("https://example.com/rooms", {"https://example.com/rooms": ["demo"]}),
        ("video.roomRecord,video.room", {"video": {"roomRecord": True, "room": "demo"}}),
    ],
)
def test_a_token_may_record_the_rooms_that_it_names(
    deployment: Deployment, rule: str, claims: dict[str, object]
) -> None:
    deployment.configure(ROOM_CLAIM=rule)

    assert start(deployment, claims).status == 201


@pytest.mark.parametrize(
    ("rule", "claims"),
    [
        ("", {"": "demo"}),
        ("*,rooms", {"rooms": "demo"}),
        ("rooms", {}),
        ("rooms", {"rooms": None}),
        ("rooms", {"rooms": "demo other"}),
        ("rooms", {"rooms": ["other", ["demo"], {"demo": True}]}),
        ("rooms", {"rooms": 1}),
        ("rooms", {"rooms": "true"}),
        ("video.room", {"video": "demo"}),
        ("video.room", {"room": "demo"}),
        ("video.roomRecord", {"video": {"roomRecord": False}}),
        ("video.roomRecord,video.room", {"video": {"roomRecord": True}}),
        ("video.roomRecord,video.room", {"video": {"room": "demo"}}),
        ("video.roomRecord,", {"video": {"roomRecord": True}}),
    ],
)
def test_it_may_record_no_other_room(deployment: Deployment, rule: str, claims: dict[str, object]) -> None:
    deployment.configure(ROOM_CLAIM=rule)
    answer = start(deployment, claims)

    assert (answer.status, answer["code"]) == (403, "forbidden")
    assert deployment.livekit.world.calls == []


@pytest.mark.parametrize("subject", [42, 0, -1, 2**63, 1.5])
@pytest.mark.parametrize("rule", ["*", "rooms"])
def test_a_subject_that_is_a_number_is_one_with_and_without_room_claims(
    deployment: Deployment, rule: str, subject: float
) -> None:
    deployment.configure(ROOM_CLAIM=rule)
    token = bearer({"sub": subject, "rooms": "demo"})
    answer = deployment.as_user(str(subject)).start(roomName="demo", headers={"authorization": token})

    assert answer.status == 201


# Tokens that are not what they seem


GOOD = bearer({"sub": "alice", "rooms": "other"})
FORGED = bearer({"sub": "alice", "rooms": "demo"})


@pytest.mark.parametrize(
    "authorization",
    [
        f"{GOOD},{FORGED}",
        f"{GOOD}, {FORGED}",
        f"{FORGED},{GOOD}",
        f"{GOOD} {FORGED}",
        f"{FORGED}.{FORGED}",
        f"Basic {FORGED}",
        bearer({"sub": "mallory", "rooms": "demo"}),
        bearer({"rooms": "demo"}),
        "Bearer " + ".".join([base64.urlsafe_b64encode(b"[]").decode()] * 3),
        "Bearer a.b.c",
        "",
    ],
)
def test_a_second_or_another_token_decides_nothing(deployment: Deployment, authorization: str) -> None:
    deployment.configure(ROOM_CLAIM="rooms")
    answer = deployment.as_user("alice").start(roomName="demo", headers={"authorization": authorization})

    assert (answer.status, answer["code"]) == (401, "unauthorized")


@given(st.text())
def test_any_header_is_one_token_or_none(authorization: str) -> None:
    with suppress(UnauthorizedError):
        claims_in(authorization, "alice")
