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

pytestmark = pytest.mark.page
JOINING_SECONDS: Final = 120


@pytest.fixture(scope="module")
def whole_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("whole-stack"), durable=False, fast=True) as stack:
        yield stack


@pytest.fixture
def alice(visitors: Visitors, whole_stack: Stack) -> Visitor:
    visitor = visitors.open(whole_stack.endpoints.api_url)
    visitor.sign_in()
    return visitor


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


def test_nobody_in_the_room_is_said_so(alice: Visitor) -> None:
    alice.expected = "404"
    page = alice.page
    page.get_by_role("button", name="Record", exact=True).first.click()
    page.get_by_label("Room", exact=True).nth(1).fill("nobody-here")
    page.get_by_role("button", name="Start recording").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("Nobody is in this room yet")
