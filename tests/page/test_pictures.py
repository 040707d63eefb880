"""Each view in light and dark at three widths: looked at by axe, and kept as a picture to be looked at by people."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from local.processes.environments import ROOT
from tests.page.media import TAKE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.page.conftest import Site, Visitor, Visitors
    from tests.page.contract_api import Recording

pytestmark = pytest.mark.page

PICTURES: Final = Path(os.environ.get("PICTURES", ROOT / ".local/pictures"))
WIDTHS: Final = (360, 768, 1280)
README_SIZE: Final = (960, 600)
MOST_README_BYTES: Final = 100_000
HOUR: Final = 3600
DAY: Final = 86_400


def furnish(site: Site) -> dict[str, Recording]:
    """Give alice recordings of every kind and status."""
    add = site.api.add
    found = {
        "live": add("alice", "design-review", ago=2 * TAKE_SECONDS - 3, title="Design review"),
        "paused": add("alice", "board", ago=2 * HOUR, title="Board meeting"),
        "seams": add(
            "alice",
            "standup",
            ago=4 * HOUR,
            seconds=TAKE_SECONDS,
            title="Monday stand-up",
            reference="crm-4711",
        ),
        "tracks": add("alice", "interview-17", ago=5 * HOUR, seconds=1954, source="participant", title=None),
        "failed": add("alice", "all-hands", ago=DAY, seconds=1),
        "web": add(
            "alice",
            "",
            ago=DAY + HOUR,
            seconds=3 * HOUR,
            source="web",
            pageUrl="https://status.example.com/wall",
        ),
        "long": add(
            "alice", "quarterly-business-review-with-all-regions-and-guests", ago=9 * DAY, seconds=4321
        ),
        "calm": add("alice", "waiting-room", ago=10 * DAY, seconds=1),
        "parts": add("alice", "webinar", ago=11 * DAY, seconds=TAKE_SECONDS, title="Webinar"),
    }
    paused = found["paused"]
    paused.end_take(paused.created + TAKE_SECONDS, "paused")
    paused.status = "paused"
    live = found["live"]
    live.end_take(live.created + TAKE_SECONDS, "worker_lost")
    live.takes[0].lost = 3.4
    live.begin_take(live.created + TAKE_SECONDS + 3.4)
    for name in ("seams", "parts"):
        first = found[name].takes[0]
        first.end, first.lost = "worker_lost", 3.4
        assert first.ended
        found[name].begin_take(first.ended + 3.4)
        found[name].end_take(first.ended + 3.4 + TAKE_SECONDS, "stopped")
        found[name].status = "completed"
    found["parts"].in_parts = True
    failure = {
        "failureCode": "worker_lost",
        "failureReason": "The worker that recorded was lost, and nothing could be saved.",
    }
    found["failed"].status = found["calm"].status = "failed"
    found["failed"].more |= failure
    found["calm"].more |= {
        "failureCode": "stopped_before_start",
        "failureReason": "It was stopped before anything was recorded.",
    }
    return found


def show_list(visitor: Visitor, _: dict[str, Recording]) -> None:
    visitor.page.get_by_role("heading", name="Happening now").wait_for()
    visitor.page.locator(".poster img").first.wait_for()


def show_filters(visitor: Visitor, _: dict[str, Recording]) -> None:
    visitor.go("/console?status=failed")
    visitor.page.get_by_role("link", name="all-hands").wait_for()


def show_nothing(visitor: Visitor, _: dict[str, Recording]) -> None:
    visitor.go("/console?q=nothing-like-it")
    visitor.page.get_by_role("heading", name="Nothing matches").wait_for()


def show_selection(visitor: Visitor, _: dict[str, Recording]) -> None:
    visitor.page.get_by_role("button", name="Select").click()
    for name in ("Monday stand-up", "interview-17"):
        visitor.page.get_by_role("checkbox", name=f"Select {name}").check()


def show_recording(visitor: Visitor, made: dict[str, Recording]) -> None:
    visitor.go(f"/console/recordings/{made['seams'].id}?t=15")
    visitor.page.get_by_role("region", name="Player").wait_for()
    visitor.until("document.querySelector('video')?.readyState >= 2")


def show_live(visitor: Visitor, made: dict[str, Recording]) -> None:
    visitor.go(f"/console/recordings/{made['live'].id}")
    visitor.until("document.querySelector('video')?.readyState >= 2")


def show_paused(visitor: Visitor, made: dict[str, Recording]) -> None:
    visitor.go(f"/console/recordings/{made['paused'].id}")
    visitor.page.get_by_role("button", name="Resume").wait_for()


def show_failed(visitor: Visitor, made: dict[str, Recording]) -> None:
    visitor.go(f"/console/recordings/{made['failed'].id}")
    visitor.page.get_by_role("heading", name="What went wrong").wait_for()


def show_parts(visitor: Visitor, made: dict[str, Recording]) -> None:
    visitor.go(f"/console/recordings/{made['parts'].id}")
    visitor.page.get_by_role("heading", name="In parts").wait_for()
    visitor.until("document.querySelector('video')?.readyState >= 2")


def show_start(visitor: Visitor, _: dict[str, Recording]) -> None:
    visitor.page.get_by_role("button", name="Record", exact=True).click()
    visitor.page.get_by_text("More options").click()


def show_outputs(visitor: Visitor, made: dict[str, Recording]) -> None:
    show_start(visitor, made)
    visitor.page.get_by_label("Stream it to").scroll_into_view_if_needed()


def show_sharing(visitor: Visitor, made: dict[str, Recording]) -> None:
    show_recording(visitor, made)
    visitor.page.get_by_role("button", name="Share").click()
    visitor.page.get_by_role("button", name="Make a link").click()
    visitor.page.get_by_text("shown once").wait_for()


def show_removing(visitor: Visitor, made: dict[str, Recording]) -> None:
    show_paused(visitor, made)
    visitor.page.get_by_role("button", name="Delete").click()
    visitor.page.get_by_role("dialog").wait_for()


TOO_WIDE: Final = """
    [document.documentElement, ...document.querySelectorAll("dialog[open]")]
        .filter((each) => each.scrollWidth > each.clientWidth)
        .flatMap((each) => [...each.querySelectorAll("*")]
            .filter((inner) => inner.getBoundingClientRect().right > each.getBoundingClientRect().right)
            .map((inner) => `wider than its window: ${inner.outerHTML.slice(0, 80)}`))
"""

VIEWS: Final[dict[str, Callable[[Visitor, dict[str, Recording]], None]]] = {
    "list": show_list,
    "filters": show_filters,
    "nothing": show_nothing,
    "selection": show_selection,
    "recording": show_recording,
    "live": show_live,
    "paused": show_paused,
    "failed": show_failed,
    "parts": show_parts,
    "start": show_start,
    "outputs": show_outputs,
    "sharing": show_sharing,
    "removing": show_removing,
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_each_view_is_accessible_and_has_its_picture(
    site: Site, visitors: Visitors, width: int, *, dark: bool
) -> None:
    made = furnish(site)
    visitor = visitors.open(site.url, width=width, height=800, dark=dark)
    found = {}
    for name, show in VIEWS.items():
        visitor.go("/console") if name != "list" else visitor.sign_in()
        visitor.page.keyboard.press("Escape")
        show(visitor, made)
        found[name] = picture(visitor, name, width, dark=dark)
    assert {name: each for name, each in found.items() if each} == {}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_each_view_without_an_account_is_too(
    site: Site, visitors: Visitors, width: int, *, dark: bool
) -> None:
    made = furnish(site)
    visitor = visitors.open(site.url, width=width, height=800, dark=dark)
    visitor.expected = "404"
    visitor.page.goto(f"{site.url}/console")
    visitor.page.get_by_role("button", name="Sign in").wait_for()
    found = {"sign-in": picture(visitor, "sign-in", width, dark=dark)}
    link = site.api.share(made["seams"], may_download=True)
    visitor.page.goto(site.url + link)
    visitor.until("document.querySelector('video')?.readyState >= 2")
    found["shared"] = picture(visitor, "shared", width, dark=dark)
    visitor.page.goto("about:blank")
    visitor.page.goto(f"{site.url}/console/shared#unknown")
    visitor.page.get_by_role("heading", name="This link does not work").wait_for()
    found["not-shared"] = picture(visitor, "not-shared", width, dark=dark)
    visitor.page.goto(f"{site.url}/console/licences")
    visitor.page.get_by_text("hls.js").first.wait_for()
    found["licences"] = picture(visitor, "licences", width, dark=dark)
    assert {name: each for name, each in found.items() if each} == {}


def test_the_readme_has_its_picture(site: Site, visitors: Visitors) -> None:
    made = furnish(site)
    visitor = visitors.open(site.url, width=README_SIZE[0], height=README_SIZE[1])
    visitor.sign_in()
    show_list(visitor, made)
    visitor.until("[...document.querySelectorAll('.poster img')].every((each) => each.complete)")
    path = PICTURES / "console.png"
    visitor.page.screenshot(path=path)
    assert path.stat().st_size <= MOST_README_BYTES


def picture(visitor: Visitor, name: str, width: int, *, dark: bool) -> list[str]:
    """Take a picture, and return what is wrong for those who cannot see it, or see it too small."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}-{width}-{'dark' if dark else 'light'}.png"
    visitor.page.screenshot(path=path)
    return [*visitor.violations(), *visitor.page.evaluate(TOO_WIDE)]
