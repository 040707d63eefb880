"""Links: somebody without an account watches one recording, until the link ends."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, cast
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen
from uuid import uuid4

import pytest

from recorder.usecases.sharing import MAXIMUM_LINKS
from tests.support.events import http_event

if TYPE_CHECKING:
    from tests.support.deployment import Answer, Deployment, User
    from tests.support.logs import Logs

WEEK = 7 * 24 * 60 * 60
DAY = 24 * 60 * 60


@pytest.fixture
def completed(deployment: Deployment, alice: User) -> str:
    """A completed recording of alice's with a title."""
    recording_id = alice.record(seconds=10)
    alice.stop(recording_id, body=b'{"title": "Weekly"}')
    alice.stop(recording_id)
    deployment.advance(10)
    return recording_id


def _token(deployment: Deployment, token: object) -> Answer:
    body = json.dumps({"token": token}).encode()
    return deployment.request(
        "open_link", http_event("open_link_unknown", body=body, domain=deployment.domain)
    )


def _refusal(answer: Answer) -> dict[str, object]:
    """Return all that tells one refusal from another."""
    assert answer.status == 404
    return {
        name: value for name, value in (answer.json | dict(answer.headers)).items() if name != "requestId"
    }


def _seconds(url: object) -> int:
    return int(parse_qs(urlsplit(str(url)).query)["X-Amz-Expires"][0])


def test_a_link_shows_and_plays_the_recording_without_an_account(
    deployment: Deployment, alice: User, completed: str
) -> None:
    made = alice.share(completed)
    assert made.status == 201
    assert made["url"].startswith(f"https://{deployment.domain}/console/shared#")
    left = datetime.fromisoformat(made["expiresAt"]) - deployment.livekit.clock.now()
    assert timedelta(seconds=WEEK - 1) < left <= timedelta(seconds=WEEK)

    shown = deployment.open_link(made["url"])

    assert shown.status == 200
    recording = alice.get(completed).recording
    assert shown.json == {
        "title": "Weekly",
        "roomName": "demo",
        "startedAt": recording["startedAt"],
        "duration": recording["duration"],
        "status": "completed",
        "playbackUrl": shown["playbackUrl"],
        "posterUrl": None,
        "expiresAt": made["expiresAt"],
    }
    with urlopen(shown["playbackUrl"]) as file:
        assert file.headers["Content-Disposition"] == "inline"
        assert file.headers["Content-Type"] == "video/mp4"
        assert len(file.read()) == recording["fileSize"]


def test_the_owner_plays_it_in_the_browser_too(alice: User, completed: str) -> None:
    with urlopen(alice.get(completed)["playbackUrl"]) as file:
        assert file.headers["Content-Disposition"] == "inline"


def test_it_gives_the_file_for_saving_only_where_it_may(
    deployment: Deployment, alice: User, completed: str
) -> None:
    shown = deployment.open_link(alice.share(completed, mayDownload=True)["url"])
    with urlopen(shown["downloadUrl"]) as file:
        assert file.headers["Content-Disposition"].startswith("attachment")
    assert "downloadUrl" not in deployment.open_link(alice.share(completed)["url"]).json


def test_a_live_recording_is_shown_and_plays_once_its_file_is_there(
    deployment: Deployment, alice: User
) -> None:
    recording_id = alice.record()
    url = alice.share(recording_id, mayDownload=True)["url"]

    shown = deployment.open_link(url).json
    assert (shown["status"], shown["playbackUrl"], shown["downloadUrl"]) == ("active", None, None)
    alice.stop(recording_id)
    deployment.advance(10)
    assert deployment.open_link(url).json["playbackUrl"]


def test_presigned_links_end_no_later_than_the_link(
    deployment: Deployment, alice: User, completed: str
) -> None:
    url = alice.share(completed, expiresIn=5400, mayDownload=True)["url"]
    for passed, most in ((0, 3600), (3600, 1800), (1790, 10)):
        deployment.advance(passed)
        shown = deployment.open_link(url)
        assert 0 < _seconds(shown["playbackUrl"]) <= most
        assert 0 < _seconds(shown["downloadUrl"]) <= most
    deployment.advance(9.5)
    assert deployment.open_link(url).status == 404


def test_t97_wrong_expired_revoked_deleted_and_past_retention_are_one_and_the_same(
    deployment: Deployment, alice: User, completed: str
) -> None:
    wrong = _refusal(_token(deployment, "0" * 43))
    assert wrong["code"] == "link_not_found"
    for token in ("", " ", "☃", "x" * 60_000, "../", "%00", "0" * 43 + "\n"):
        assert _refusal(_token(deployment, token)) == wrong

    revoked = alice.share(completed)
    assert alice.revoke(completed, revoked["linkId"]).json == {"success": True}
    assert _refusal(deployment.open_link(revoked["url"])) == wrong

    expired = alice.share(completed, expiresIn=60)
    deployment.advance(60)
    assert _refusal(deployment.open_link(expired["url"])) == wrong

    kept = alice.share(completed)
    assert deployment.open_link(kept["url"]).status == 200
    deployment.execute_unseen(
        "update recordings set expires_at = updated_at where id = cast(:id as uuid)", id=completed
    )
    assert _refusal(deployment.open_link(kept["url"])) == wrong
    deployment.execute_unseen(
        "update recordings set expires_at = null where id = cast(:id as uuid)", id=completed
    )
    assert deployment.open_link(kept["url"]).status == 200

    alice.delete(completed)
    assert _refusal(deployment.open_link(kept["url"])) == wrong


def test_t97_nothing_of_the_secret_is_stored_or_logged(
    deployment: Deployment, alice: User, completed: str, logs: Logs
) -> None:
    made = alice.share(completed)
    token = made["url"].partition("#")[2]
    deployment.open_link(made["url"])
    _token(deployment, token + "x")
    alice.revoke(completed, made["linkId"])
    alice.share(completed)

    assert len(token) == 43
    assert token not in logs.text
    assert made["linkId"] in logs.text
    [row] = deployment.rows("select * from recording_links")
    assert row.keys() == {"id", "recording_id", "token_hash", "expires_at", "may_download", "created_at"}
    assert token not in json.dumps(deployment.rows("select * from recording_links"))
    links = cast("list[dict[str, object]]", alice.get(completed).json["links"])
    assert [each.keys() for each in links] == [{"linkId", "expiresAt", "mayDownload"}]


def test_t97_a_link_shows_its_own_recording_alone(
    deployment: Deployment, alice: User, completed: str
) -> None:
    deployment.livekit.world.open_room("other")
    other = alice.record("other")
    first, second = alice.share(completed), alice.share(other)

    assert deployment.open_link(first["url"])["roomName"] == "demo"
    assert deployment.open_link(second["url"])["roomName"] == "other"
    # A link is revoked at its own recording only.
    assert alice.revoke(other, first["linkId"])["code"] == "link_not_found"
    alice.delete(other)
    assert deployment.open_link(first["url"]).status == 200


def test_t97_a_presigned_link_of_a_deleted_recording_opens_nothing(
    deployment: Deployment, alice: User, completed: str
) -> None:
    playback = deployment.open_link(alice.share(completed)["url"])["playbackUrl"]
    alice.delete(completed)

    with pytest.raises(HTTPError) as refused:
        urlopen(playback)
    refused.value.close()
    assert refused.value.code == 404


def test_only_the_owner_shares_sees_and_revokes(
    deployment: Deployment, alice: User, bob: User, completed: str
) -> None:
    made = alice.share(completed)

    assert bob.share(completed)["code"] == "recording_not_found"
    assert bob.revoke(completed, made["linkId"])["code"] == "recording_not_found"
    assert alice.revoke(completed, str(uuid4()))["code"] == "link_not_found"
    assert alice.revoke(completed, "no-uuid")["code"] == "link_not_found"
    assert deployment.open_link(made["url"]).status == 200


def test_the_links_of_a_recording_are_told_until_they_end(
    deployment: Deployment, alice: User, completed: str
) -> None:
    short = alice.share(completed, expiresIn=60)
    deployment.advance(1)
    long = alice.share(completed, expiresIn=90 * DAY, mayDownload=True)

    def told() -> list[object]:
        return cast("list[object]", alice.get(completed).json["links"])

    first = {"linkId": short["linkId"], "expiresAt": short["expiresAt"], "mayDownload": False}
    second = {"linkId": long["linkId"], "expiresAt": long["expiresAt"], "mayDownload": True}
    assert told() == [first, second]
    deployment.advance(60)
    assert told() == [second]
    alice.revoke(completed, long["linkId"])
    assert told() == []


def test_links_are_bounded_and_expired_ones_make_room(
    deployment: Deployment, alice: User, completed: str
) -> None:
    for _ in range(MAXIMUM_LINKS):
        assert alice.share(completed, expiresIn=60).status == 201
    refused = alice.share(completed)
    assert (refused.status, refused["code"]) == (409, "too_many_links")

    deployment.advance(60)
    assert alice.share(completed).status == 201
    assert deployment.rows("select count(*) as number from recording_links") == [{"number": 1}]


def test_links_go_with_the_row(deployment: Deployment, alice: User, completed: str) -> None:
    alice.share(completed)
    alice.delete(completed)
    deployment.advance(7200)
    deployment.sweeps(2)

    assert deployment.rows("select id from recordings") == []
    assert deployment.rows("select id from recording_links") == []


def test_a_public_url_is_the_links_own(deployment: Deployment, alice: User, completed: str) -> None:
    deployment.configure(PUBLIC_URL="https://recordings.example.com/")

    assert alice.share(completed)["url"].startswith("https://recordings.example.com/console/shared#")


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"expiresIn": 59}, ["expiresIn"]),
        ({"expiresIn": 90 * DAY + 1}, ["expiresIn"]),
        ({"expiresIn": "60"}, ["expiresIn"]),
        ({"expiresIn": None}, ["expiresIn"]),
        ({"mayDownload": 1}, ["mayDownload"]),
        ({"expires_in": 60}, ["expires_in"]),
    ],
)
def test_a_wrong_option_is_named(
    alice: User, completed: str, options: dict[str, object], fields: list[str]
) -> None:
    assert alice.share(completed, **options).details == fields


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"x", b'{"token": 1}', b'{"token": null}', b'{"token": "a", "b": 1}']
)
def test_what_is_no_token_is_named(deployment: Deployment, body: bytes) -> None:
    request = http_event("open_link_unknown", body=body, domain=deployment.domain)

    assert deployment.request("open_link", request).status == 400
