"""The page on the whole stack, as `make run` brings it up: nothing here is the tests' own but the browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import httpx
import pytest
from playwright.sync_api import expect

from local.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.page.conftest import Visitor, Visitors

pytestmark = [pytest.mark.page, pytest.mark.xdist_group("whole stack")]
JOINING_SECONDS: Final = 120


@pytest.fixture(scope="module")
def whole_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("whole-stack"), durable=False, fast=True) as stack:
        yield stack


@pytest.fixture
def alice(visitors: Visitors, whole_stack: Stack) -> Visitor:
    forget_recordings(whole_stack, "alice")
    visitor = visitors.open(whole_stack.endpoints.api_url)
    visitor.sign_in()
    return visitor


def forget_recordings(stack: Stack, user: str) -> None:
    headers = {"authorization": f"Bearer {stack.token(user)}"}
    base = f"{stack.endpoints.api_url}/api/video/recordings"
    ids = [each["id"] for each in httpx.get(base, headers=headers).json()["recordings"]]
    if ids:
        httpx.post(f"{base}/delete", headers=headers, json={"ids": ids}, timeout=30).raise_for_status()


def record(visitor: Visitor, room: str) -> None:
    page = visitor.page
    page.get_by_role("button", name="Record", exact=True).first.click()
    page.get_by_label("Room", exact=True).nth(1).fill(room)
    page.get_by_role("button", name="Start recording").click()
    expect(page.locator(".status")).to_have_text("Recording")


def test_a_recording_from_its_start_to_its_end(
    alice: Visitor, visitors: Visitors, whole_stack: Stack
) -> None:
    page = alice.page
    record(alice, "demo")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".status")).to_have_text("Ready")
    page.get_by_role("button", name="play", exact=True).click()
    alice.until("document.querySelector('video').currentTime > 0.5")
    link = page.get_by_role("link", name="Download").get_attribute("href") or ""
    saved = page.request.get(link)
    assert saved.ok
    assert saved.headers["content-disposition"].startswith("attachment")

    bob = visitors.open(whole_stack.endpoints.api_url)
    bob.expected = "404"
    bob.sign_in("bob", path=page.evaluate("location.pathname"))
    bob.page.get_by_role("heading", name="No such recording").wait_for()

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Nothing recorded yet").wait_for()
    page.get_by_text("demo deleted").wait_for()
    page.reload()
    page.get_by_role("heading", name="Nothing recorded yet").wait_for()


def test_t95_a_recording_is_watched_from_its_start_over_a_lost_worker_to_its_end(
    alice: Visitor, whole_stack: Stack
) -> None:
    page, control = alice.page, f"{whole_stack.endpoints.livekit_url}/_control"
    httpx.post(f"{control}/rooms/demo/join", json={"identity": "ada"}).raise_for_status()
    with page.expect_response("**/live.m3u8?token=*") as first:
        record(alice, "demo")
    video = "document.querySelector('video')"
    page.get_by_role("button", name="play", exact=True).click()
    alice.until(f"{video}.currentTime > 1 && {video}.duration === Infinity")

    [running] = httpx.get(f"{control}/egress").json()
    httpx.post(f"{control}/egress/{running['egressId']}/kill-handler").raise_for_status()
    url, seam = first.value.url, None
    while seam is None:
        page.wait_for_timeout(500)
        playlist = page.request.get(url).text()
        before, discontinuity, _ = playlist.partition("#EXT-X-DISCONTINUITY\n")
        seam = sum(map(float, re.findall(r"#EXTINF:([\d.]+)", before))) if discontinuity else None
    page.evaluate(f"{video}.currentTime = 0")
    alice.until(f"{video}.currentTime > 0.5 && {video}.currentTime < {seam}")
    page.evaluate(f"{video}.currentTime = {seam - 1}")
    alice.until(f"{video}.currentTime > {seam + 1}")
    assert page.evaluate(f"{video}.error") is None

    page.get_by_role("button", name="Stop").click()
    # Its two takes are joined by a function of their own.
    expect(page.locator(".status")).to_have_text("Ready", timeout=JOINING_SECONDS * 1000)
    alice.until(f"{video}.currentSrc.includes('.mp4')")
    assert page.evaluate(f"{video}.error") is None


def test_t97_a_paused_recording_is_renamed_shared_and_taken_back(
    alice: Visitor, visitors: Visitors, whole_stack: Stack
) -> None:
    page = alice.page
    record(alice, "demo")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator(".status")).to_have_text("Paused")
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Title").fill("Monday")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".status")).to_have_text("Recording")
    page.get_by_role("button", name="Share").click()
    page.get_by_label("They may download it too").check()
    page.get_by_role("button", name="Make a link").click()
    url = page.get_by_role("textbox", name="Share").input_value()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".status")).to_have_text("Ready", timeout=JOINING_SECONDS * 1000)
    expect(page.get_by_role("region", name="Takes")).to_contain_text("Paused")

    guest = visitors.open(whole_stack.endpoints.api_url)
    guest.expected = "404"
    guest.page.goto(url)
    guest.page.get_by_role("heading", name="Monday").wait_for()
    saved = page.request.get(guest.page.get_by_role("link", name="Download").get_attribute("href") or "")
    assert saved.headers["content-disposition"].startswith("attachment")
    guest.page.get_by_role("button", name="play", exact=True).click()
    guest.until("document.querySelector('video').currentTime > 0.5")
    page.get_by_role("button", name="Share").click()
    page.get_by_role("button", name="Revoke").click()
    page.get_by_text("No link works now.").wait_for()
    guest.page.reload()
    guest.page.get_by_role("heading", name="This link does not work").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Nothing recorded yet").wait_for()


def test_several_are_deleted_together(alice: Visitor) -> None:
    page = alice.page
    for _ in range(2):
        record(alice, "demo")
        page.get_by_role("button", name="Stop").click()
        expect(page.locator(".status")).to_have_text("Ready")
        alice.go("/console")
    page.get_by_role("button", name="Select").click()
    for box in page.get_by_role("checkbox").all():
        box.check()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("heading", name="Nothing recorded yet").wait_for()
    page.get_by_text("2 recordings deleted").wait_for()
    page.reload()
    page.get_by_role("heading", name="Nothing recorded yet").wait_for()


def test_nobody_in_the_room_is_said_so(alice: Visitor) -> None:
    alice.expected = "404"
    page = alice.page
    page.get_by_role("button", name="Record", exact=True).first.click()
    page.get_by_label("Room", exact=True).nth(1).fill("nobody-here")
    page.get_by_role("button", name="Start recording").click()
    form = page.get_by_role("dialog").locator("form")
    expect(form.get_by_role("alert")).to_contain_text("Nobody is in this room yet")
