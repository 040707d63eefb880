from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from tests.page.media import TAKE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Route

    from tests.page.conftest import Site, Visitor, Visitors
    from tests.page.contract_api import Recording

pytestmark = pytest.mark.page

PLAYING = "!document.querySelector('video').paused && document.querySelector('video').readyState > 2"
POSITION = "document.querySelector('video').currentTime"


def seamed(site: Site) -> Recording:
    """Return a completed recording of two takes between which a worker was lost."""
    recording = site.api.add("alice", "standup", ago=4000, seconds=TAKE_SECONDS, title="Stand-up")
    recording.takes[0].end, recording.takes[0].lost = "worker_lost", 3.4
    again = recording.created + TAKE_SECONDS + 3.4
    recording.begin_take(again)
    recording.end_take(again + TAKE_SECONDS, "stopped")
    recording.status = "completed"
    return recording


def play(visitor: Visitor) -> None:
    visitor.page.get_by_role("button", name="play", exact=True).click()
    visitor.until(PLAYING)


def test_live_ones_are_on_top_and_their_time_ticks(site: Site, visitor: Visitor) -> None:
    site.api.add("alice", "old-but-live", ago=7200)
    site.api.add("alice", "new-and-done", ago=60, seconds=30)
    site.api.add("bob", "not-hers", ago=60, seconds=30)
    visitor.sign_in()
    rows = visitor.page.get_by_role("listitem")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("old-but-live")
    expect(rows.first).to_contain_text("Recording")
    shown = rows.first.locator(".timecode").inner_text()
    expect(rows.first.locator(".timecode")).not_to_have_text(shown)


def test_a_live_one_of_an_older_page_is_on_top_too(site: Site, visitor: Visitor) -> None:
    site.api.list_page = 5
    site.api.add("alice", "since-yesterday", ago=90_000)
    for number in range(8):
        site.api.add("alice", f"room-{number}", ago=100 * number + 50, seconds=30)
    visitor.sign_in()
    expect(visitor.page.get_by_role("listitem").first).to_contain_text("since-yesterday")
    visitor.page.get_by_role("button", name="Show older").click()
    expect(visitor.page.get_by_role("listitem")).to_have_count(9)


def test_filters_and_search_live_in_the_address(site: Site, visitor: Visitor) -> None:
    site.api.add("alice", "first", ago=300, seconds=30, reference="crm-1")
    failed = site.api.add("alice", "second", ago=200, seconds=30)
    failed.status = "failed"
    visitor.sign_in(path="/console?reference=crm-1")
    expect(visitor.page.get_by_role("listitem")).to_have_count(1)
    expect(visitor.page.get_by_label("Reference", exact=True)).to_have_value("crm-1")
    visitor.page.get_by_role("button", name="Clear filters").click()
    expect(visitor.page.get_by_role("listitem")).to_have_count(2)
    visitor.page.get_by_label("Status").select_option(label="Failed")
    expect(visitor.page).to_have_url(re.compile(r"\?status=failed$"))
    expect(visitor.page.get_by_role("listitem")).to_have_count(1)
    visitor.page.go_back()
    expect(visitor.page.get_by_role("listitem")).to_have_count(2)
    visitor.page.get_by_role("searchbox").fill("fir")
    expect(visitor.page).to_have_url(re.compile(r"\?q=fir$"))
    expect(visitor.page.get_by_role("listitem")).to_have_count(1)
    visitor.page.get_by_role("searchbox").fill("neither")
    visitor.page.get_by_role("heading", name="Nothing matches").wait_for()


def test_nothing_yet_and_no_permission_say_so(site: Site, visitor: Visitor) -> None:
    visitor.expected = "403"
    visitor.sign_in()
    visitor.page.get_by_role("heading", name="Nothing recorded yet").wait_for()
    answer = {"error": "the token lacks recordings:read", "code": "forbidden", "requestId": "req-4"}
    site.api.refusals["GET /api/video/recordings"] = (403, {**answer})
    visitor.go("/console?kind=web")
    visitor.page.get_by_role("heading", name="You may not see recordings here").wait_for()


def test_an_error_is_told_with_its_request_and_what_was_there_stays(site: Site, visitor: Visitor) -> None:
    visitor.expected = "503"
    site.api.add("alice", "first", ago=30)
    visitor.sign_in()
    expect(visitor.page.get_by_role("listitem")).to_have_count(1)
    answer = {"error": "the database did not answer", "code": "database_unavailable", "requestId": "req-77"}
    site.api.refusals["GET /api/video/recordings"] = (503, {**answer})
    alert = visitor.page.get_by_role("alert").filter(has_text="req-77")
    expect(alert).to_contain_text("The database did not answer. Try again in 2 s.")
    expect(visitor.page.get_by_role("listitem")).to_have_count(1)
    site.api.refusals.clear()
    alert.get_by_role("button", name="Try again").click()
    expect(alert).to_have_count(0)


def test_a_recording_is_started_watched_paused_resumed_and_stopped(visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in()
    page.get_by_role("button", name="Record", exact=True).first.click()
    page.get_by_label("Room", exact=True).nth(1).fill("townhall")
    page.get_by_label("Title (optional)").fill("Town hall")
    page.get_by_role("button", name="Start recording").click()
    page.get_by_role("heading", name="Town hall").wait_for()
    expect(page.locator(".status")).to_have_text("Recording")
    page.get_by_role("region", name="Player").wait_for()
    play(visitor)
    edge = page.evaluate(POSITION)
    visitor.until(f"{POSITION} > {edge} + 1")
    page.get_by_role("button", name="Pause", exact=True).click()
    expect(page.locator(".status")).to_have_text("Pausing")
    expect(page.locator(".status")).to_have_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".status")).to_have_text("Resuming")
    expect(page.locator(".status")).to_have_text("Recording")
    expect(page.get_by_role("region", name="Takes")).to_contain_text(re.compile(r"Paused \d"))
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".status")).to_have_text("Saving")
    expect(page.locator(".status")).to_have_text("Ready")
    expect(page.get_by_role("link", name="Download")).to_be_visible()


def test_one_goes_back_while_it_records(site: Site, visitor: Visitor) -> None:
    live = site.api.add("alice", "townhall", ago=TAKE_SECONDS - 10)
    visitor.sign_in(path=f"/console/recordings/{live.id}")
    play(visitor)
    before = visitor.page.evaluate(POSITION)
    assert before > 20
    visitor.page.get_by_role("button", name="seek back 10 seconds").click()
    visitor.until(f"{POSITION} < {before} - 5")
    visitor.until(PLAYING)
    visitor.page.get_by_role("button", name="seek to live").click()
    visitor.until(f"{POSITION} > {before}")


def test_a_seam_is_marked_and_played_over(site: Site, visitor: Visitor) -> None:
    recording = seamed(site)
    visitor.sign_in(path=f"/console/recordings/{recording.id}?t={TAKE_SECONDS - 2}")
    expect(visitor.page.get_by_role("region", name="Takes")).to_contain_text("Worker lost, 3.4 s missing")
    tick = visitor.page.locator(".seam-tick.lost")
    expect(tick).to_have_count(1)
    left = tick.evaluate("each => each.offsetLeft / each.parentElement.offsetWidth")
    assert abs(left - 0.5) < 0.02
    visitor.until(f"{POSITION} > {TAKE_SECONDS - 3}")
    play(visitor)
    visitor.until(f"{POSITION} > {TAKE_SECONDS} + 1")


def test_a_seam_is_played_over_while_it_records(site: Site, visitor: Visitor) -> None:
    live = site.api.add("alice", "townhall", ago=TAKE_SECONDS)
    live.end_take(live.created + 20, "worker_lost")
    live.takes[0].lost = 4.0
    live.begin_take(live.created + 24)
    visitor.sign_in(path=f"/console/recordings/{live.id}")
    expect(visitor.page.locator(".seam-tick.lost")).to_have_count(1)
    play(visitor)
    visitor.page.evaluate("document.querySelector('video').currentTime = 18")
    visitor.until(f"{POSITION} > 21")
    visitor.until(PLAYING)


def test_a_link_that_has_run_out_is_renewed_without_a_stop(site: Site, visitor: Visitor) -> None:
    visitor.expected = "403"
    recording = seamed(site)
    visitor.sign_in(path=f"/console/recordings/{recording.id}")
    play(visitor)
    visitor.until(f"{POSITION} > 1")
    site.api.signed_after = time.time()
    visitor.page.evaluate(f"document.querySelector('video').currentTime = {2 * TAKE_SECONDS - 10}")
    visitor.until(f"{POSITION} > {2 * TAKE_SECONDS - 9}")
    visitor.until(PLAYING)


def test_the_position_is_remembered_and_a_moment_can_be_linked(site: Site, visitor: Visitor) -> None:
    recording = seamed(site)
    path = f"/console/recordings/{recording.id}"
    visitor.sign_in(path=path)
    visitor.page.get_by_role("button", name="Play from 0:40").click()
    visitor.until(f"{POSITION} > 41")
    visitor.page.keyboard.press("Tab")
    visitor.page.get_by_role("button", name="pause", exact=True).click()
    visitor.page.get_by_role("button", name="Copy link to this moment").click()
    assert re.search(path + r"\?t=4\d$", visitor.page.evaluate("navigator.clipboard.readText()"))
    visitor.page.get_by_role("link", name="All recordings").click()
    visitor.page.get_by_role("link", name="Stand-up").click()
    expect(visitor.page.get_by_text(re.compile(r"Goes on at 0:4\d"))).to_be_visible()
    visitor.until(f"{POSITION} > 40")


def test_a_moment_that_is_chosen_before_the_player_is_there_is_played(site: Site, visitor: Visitor) -> None:
    recording = seamed(site)
    held: list[Route] = []
    visitor.page.route("**/player-*.js", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks what it calls
    visitor.sign_in(path=f"/console/recordings/{recording.id}")
    visitor.page.get_by_role("button", name="Play from 0:40").click()
    visitor.wait_for(lambda: bool(held))
    held[0].continue_()
    visitor.page.locator("video").wait_for()
    visitor.until(f"{POSITION} > 41")


def test_the_player_is_worked_by_keys(site: Site, visitor: Visitor) -> None:
    recording = seamed(site)
    visitor.sign_in(path=f"/console/recordings/{recording.id}")
    visitor.page.get_by_role("button", name="play", exact=True).focus()
    visitor.page.keyboard.press("k")
    visitor.until(PLAYING)
    visitor.page.keyboard.press("ArrowRight")
    visitor.until(f"{POSITION} > 9")
    visitor.page.keyboard.press(">")
    visitor.until("document.querySelector('video').playbackRate > 1")
    visitor.page.keyboard.press("k")
    visitor.until("document.querySelector('video').paused")


def test_a_share_link_opens_elsewhere_and_ends_when_revoked(
    site: Site, visitor: Visitor, visitors: Visitors
) -> None:
    recording = seamed(site)
    visitor.sign_in(path=f"/console/recordings/{recording.id}")
    visitor.page.get_by_role("button", name="Share").click()
    visitor.page.get_by_label("They may download it too").check()
    visitor.page.get_by_role("button", name="Make a link").click()
    url = visitor.page.get_by_role("textbox", name="Share").input_value()
    guest = visitors.open(site.url)
    guest.expected = "404"
    guest.page.goto(url)
    guest.page.get_by_role("heading", name="Stand-up").wait_for()
    expect(guest.page.get_by_role("link", name="Download")).to_be_visible()
    play(guest)
    visitor.page.get_by_role("button", name="Revoke").click()
    expect(visitor.page.get_by_text("No link works now.")).to_be_visible()
    # Nothing behind a dialog is read aloud.
    expect(visitor.page.get_by_role("dialog").get_by_role("status")).to_contain_text(["", "Link revoked", ""])
    visitor.page.keyboard.press("Escape")
    expect(visitor.page.get_by_role("status").get_by_text("Link revoked")).to_be_visible()
    guest.page.reload()
    guest.page.get_by_role("heading", name="This link does not work").wait_for()


def test_a_link_to_a_live_recording_plays_it_live_and_offers_no_download(
    site: Site, visitors: Visitors
) -> None:
    live = site.api.add("alice", "townhall", ago=20, title="Town hall")
    guest = visitors.open(site.url)
    guest.page.goto(site.url + site.api.share(live))
    guest.page.get_by_role("heading", name="Town hall").wait_for()
    play(guest)
    expect(guest.page.get_by_role("link", name="Download")).to_have_count(0)


def test_deleting_asks_first(site: Site, visitor: Visitor) -> None:
    recording = seamed(site)
    visitor.sign_in(path=f"/console/recordings/{recording.id}")
    visitor.page.get_by_role("button", name="Delete").click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(visitor.page.get_by_role("button", name="Delete")).to_be_focused()
    visitor.page.get_by_role("button", name="Delete").click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    visitor.page.get_by_text("Stand-up deleted").wait_for()
    visitor.page.get_by_role("heading", name="Nothing recorded yet").wait_for()
    assert site.api.recordings == {}


def test_what_could_not_be_deleted_of_several_is_reported_and_comes_back(
    site: Site, visitor: Visitor
) -> None:
    stays = site.api.add("alice", "stays", ago=300, seconds=30)
    site.api.add("alice", "goes", ago=200, seconds=30)
    gone = site.api.add("alice", "was deleted elsewhere", ago=100, seconds=30)
    site.api.undeletable.add(stays.id)
    visitor.sign_in()
    visitor.page.get_by_role("button", name="Select").click()
    for box in visitor.page.get_by_role("checkbox").all():
        box.check()
    del site.api.recordings[gone.id]
    visitor.page.get_by_role("button", name="Delete").click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    dialog = visitor.page.get_by_role("dialog", name="1 of 3 could not be deleted")
    expect(dialog).to_contain_text("stays")
    expect(dialog).to_contain_text("The files could not be removed.")
    dialog.get_by_role("button", name="Close").last.click()
    expect(visitor.page.get_by_role("listitem")).to_have_count(1)


def test_what_is_refused_is_taken_back_and_told(site: Site, visitor: Visitor) -> None:
    visitor.expected = "503"
    live = site.api.add("alice", "townhall", ago=30)
    visitor.sign_in()
    answer = {"error": "LiveKit cannot be reached", "code": "egress_unavailable", "requestId": "req-5"}
    site.api.refusals[f"PATCH /api/video/recordings/{live.id}"] = (503, {**answer})
    visitor.page.get_by_role("button", name="Stop: townhall").click()
    alert = visitor.page.get_by_role("alert").filter(has_text="Could not stop")
    expect(alert).to_contain_text("LiveKit cannot be reached.")
    expect(alert).to_contain_text("req-5")
    expect(visitor.page.locator(".status")).to_have_text("Recording")


def test_a_start_that_is_refused_says_why_and_where(site: Site, visitor: Visitor) -> None:
    visitor.expected = "40[049]"
    other = site.api.add("alice", "busy", ago=30)
    page = visitor.page
    visitor.sign_in()
    page.get_by_role("button", name="Record", exact=True).click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Start recording").click()
    room = page.get_by_label("Room", exact=True).nth(1)
    expect(room).to_be_focused()
    expect(room).to_have_attribute("aria-invalid", "true")
    room.fill("nobody")
    dialog.get_by_role("button", name="Start recording").click()
    expect(dialog.locator("form").get_by_role("alert")).to_contain_text("Nobody is in this room yet")
    dialog.get_by_text("More options").click()
    dialog.get_by_label("Frames per second").select_option("60")
    room.fill("quick")
    dialog.get_by_role("button", name="Start recording").click()
    expect(dialog).to_contain_text("the worker records at most 30")
    dialog.get_by_label("Frames per second").select_option("30")
    room.fill("busy")
    dialog.get_by_role("button", name="Start recording").click()
    dialog.get_by_role("link", name="Open that recording").click()
    expect(page).to_have_url(re.compile(other.id))


def test_a_start_has_the_fields_of_its_kind(site: Site, visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in()
    page.get_by_role("banner").get_by_role("button", name="Record").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("More options").click()
    asked = {
        "Room": {"Room", "Layout", "Sound and picture", "If the worker is lost", "Thumbnails"},
        "Participant": {"Room", "Participant's identity", "If the worker is lost", "Thumbnails"},
        "Tracks": {"Room", "Audio track", "Video track", "Thumbnails"},
        "Single track": {"Room", "Track"},
        "Web page": {"Address of the page", "Room name, as a label (optional)", "Thumbnails"},
    }
    for kind, labels in asked.items():
        dialog.get_by_role("radio", name=kind, exact=True).check(force=True)
        for label in set().union(*asked.values()):
            field = dialog.locator("label:not(.kind)").get_by_text(label, exact=True)
            field = field.or_(dialog.locator("label.check", has_text=re.compile(f"^{label}$")))
            expect(field).to_have_count(1 if label in labels else 0)
    dialog.get_by_role("radio", name="Participant").check(force=True)
    dialog.get_by_label("Room", exact=True).last.fill("demo")
    dialog.get_by_label("Participant's identity").fill("eve")
    dialog.get_by_label("Their shared screen").check()
    dialog.get_by_label("Picture, kbit/s").fill("2500")
    dialog.get_by_label("A file to play").uncheck()
    dialog.get_by_role("button", name="Start recording").click()
    expect(dialog.get_by_label("A file to play")).to_be_focused()
    expect(dialog).to_contain_text("Keep the file, the playlist, or both.")
    dialog.get_by_label("A playlist with segments").check()
    dialog.get_by_label("Stream it to").fill("rtmps://live.example.com/app/key")
    dialog.get_by_role("button", name="Start recording").click()
    expect(page.locator(".status")).to_have_text("Recording")
    assert site.api.starts == [
        {
            "source": "participant",
            "roomName": "demo",
            "participantIdentity": "eve",
            "screenShare": True,
            "videoBitrate": 2500,
            "outputs": {"file": False, "hls": True, "streams": ["rtmps://live.example.com/app/key"]},
        }
    ]


def test_a_poster_is_asked_for_once(site: Site, visitor: Visitor) -> None:
    site.api.add("alice", "demo", ago=300)
    site.api.add("alice", "demo-2", ago=900, seconds=60)
    visitor.page.clock.install()
    visitor.sign_in()
    pictures = visitor.page.locator(".poster img")
    expect(pictures).to_have_count(2)
    shown = pictures.first.get_attribute("src")
    asked = len(site.api.requests)
    visitor.page.clock.run_for(20_000)
    visitor.wait_for(lambda: len(site.api.requests) > asked)
    assert not [each for each in site.api.requests[asked:] if "/recordings/" in each]
    expect(pictures.first).to_have_attribute("src", shown or "")


def test_a_recording_is_made_and_removed_by_the_keyboard_alone(site: Site, visitor: Visitor) -> None:
    page = visitor.page
    page.goto(f"{visitor.url}/console")
    page.get_by_role("button", name="Sign in").wait_for()
    visitor.tab_to("Sign in")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="alice").press("Enter")
    page.get_by_role("heading", name="Nothing recorded yet").wait_for()
    page.reload()
    page.get_by_role("heading", name="Nothing recorded yet").wait_for()
    visitor.tab_to("Skip to the content")
    page.keyboard.press("Enter")
    visitor.tab_to("Record")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    visitor.tab_to("Room")
    page.keyboard.press("ArrowRight")
    visitor.tab_to("Room")
    page.keyboard.type("demo")
    visitor.tab_to("Participant's identity")
    page.keyboard.type("eve")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_have_text("Recording")
    visitor.tab_to("Pause")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_have_text("Paused")
    visitor.tab_to("Stop")
    page.keyboard.press("Enter")
    expect(page.locator(".status")).to_have_text("Ready")
    visitor.tab_to("Delete")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Delete")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    visitor.tab_to("Delete")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Nothing recorded yet").wait_for()
    assert site.api.starts == [{"source": "participant", "roomName": "demo", "participantIdentity": "eve"}]


def test_a_failure_is_told_in_words_with_what_to_do(site: Site, visitor: Visitor) -> None:
    failed = site.api.add("alice", "townhall", ago=300)
    failed.status, failed.takes[0].ended = "failed", time.time()
    failed.more |= {
        "failureCode": "404",
        "failureReason": "what was to be recorded did not appear in the room",
        "endReason": "failure",
    }
    visitor.sign_in(path=f"/console/recordings/{failed.id}")
    told = visitor.page.get_by_role("region", name="What went wrong")
    expect(told).to_contain_text("What was to be recorded did not appear in the room.")
    expect(told).to_contain_text("See that the room is open")
    told.get_by_role("button", name="Copy").click()
    assert failed.id in visitor.page.evaluate("navigator.clipboard.readText()")
    expect(visitor.page.get_by_text("Ended because")).to_have_count(0)


def test_a_recording_is_renamed(site: Site, visitor: Visitor) -> None:
    recording = seamed(site)
    visitor.sign_in(path=f"/console/recordings/{recording.id}")
    visitor.page.get_by_role("button", name="Rename").click()
    visitor.page.get_by_label("Title").fill("Monday")
    visitor.page.keyboard.press("Enter")
    visitor.page.get_by_role("heading", name="Monday").wait_for()
    expect(visitor.page.get_by_role("button", name="Rename")).to_be_focused()
    visitor.page.get_by_text("Renamed").wait_for()
    assert recording.more["title"] == "Monday"


def test_what_is_asked_for_is_shown_until_it_is_answered_whatever_else_is(
    site: Site, visitor: Visitor
) -> None:
    live = site.api.add("alice", "townhall", ago=30)
    page = visitor.page
    held: list[Route] = []
    visitor.sign_in(path=f"/console/recordings/{live.id}")

    def hold(route: Route) -> None:
        held.append(route) if route.request.post_data_json == {"action": "stop"} else route.continue_()

    page.route(f"**/api/video/recordings/{live.id}", hold)
    page.get_by_role("button", name="Stop").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_label("Title").fill("Monday")
    page.keyboard.press("Enter")
    page.get_by_text("Renamed").wait_for()
    expect(page.get_by_role("heading", name="Monday")).to_be_visible()
    assert page.locator(".status").inner_text() == "Saving"
    held[0].continue_()
    expect(page.locator(".status")).to_have_text("Ready")


def test_an_unknown_recording_and_one_whose_time_is_over(site: Site, visitor: Visitor) -> None:
    visitor.expected = "404|410"
    recording = seamed(site)
    visitor.sign_in(path="/console/recordings/00000000-0000-4000-8000-000000000000")
    visitor.page.get_by_role("heading", name="No such recording").wait_for()
    answer = {"error": "the recording has expired", "code": "recording_gone", "requestId": "req-6"}
    site.api.refusals[f"GET /api/video/recordings/{recording.id}"] = (410, {**answer})
    visitor.go(f"/console/recordings/{recording.id}")
    visitor.page.get_by_role("heading", name="This recording's time is over").wait_for()


def test_tokens_are_renewed_and_never_stored(site: Site, visitor: Visitor) -> None:
    site.api.add("alice", "townhall", ago=30)
    visitor.page.clock.install()
    visitor.sign_in()
    with visitor.page.expect_response(lambda answer: answer.url.endswith("/token")) as renewed:
        visitor.page.clock.fast_forward(290_000)
    assert renewed.value.ok
    kept = visitor.page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "eyJ" not in kept


def test_a_session_that_cannot_be_renewed_ends_and_begins_again_where_it_was(
    site: Site, visitor: Visitor
) -> None:
    visitor.expected = "40[01]"
    recording = seamed(site)
    visitor.sign_in(path=f"/console/recordings/{recording.id}")
    visitor.page.get_by_role("heading", name="Stand-up").wait_for()
    site.api.forget_issuer()
    visitor.page.get_by_role("button", name="Delete").click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    visitor.page.get_by_text("Your session has ended.").first.wait_for()


def test_a_reload_comes_back_without_asking(site: Site, visitor: Visitor) -> None:
    recording = seamed(site)
    visitor.sign_in(path=f"/console/recordings/{recording.id}")
    visitor.page.reload()
    visitor.page.get_by_role("heading", name="Stand-up").wait_for()
    visitor.page.get_by_label("Signed in as Alice").click()
    visitor.page.get_by_role("button", name="Sign out").click()
    visitor.page.get_by_role("button", name="Sign in").wait_for()


def test_nothing_is_asked_while_the_tab_is_hidden(site: Site, visitor: Visitor) -> None:
    site.api.add("alice", "townhall", ago=30)
    visitor.page.clock.install()
    visitor.sign_in()
    visitor.page.locator(".poster img").wait_for()
    visitor.page.evaluate(HIDE)
    asked = len(site.api.requests)
    visitor.page.clock.run_for(60_000)
    visitor.page.evaluate(SHOW)
    visitor.page.clock.run_for(100)
    # A request of the hidden minute would have come before this one.
    visitor.wait_for(lambda: len(site.api.requests) > asked)
    assert len(site.api.requests) == asked + 1
    expect(visitor.page.get_by_role("listitem")).to_have_count(1)


HIDE = """Object.defineProperty(document, 'hidden', {configurable: true, value: true});
document.dispatchEvent(new Event('visibilitychange'));"""
SHOW = HIDE.replace("value: true", "value: false")


def test_a_violation_of_the_policy_is_heard(visitor: Visitor) -> None:
    visitor.expected = "Content Security Policy"
    visitor.sign_in()
    visitor.page.evaluate("new Image().src = 'https://elsewhere.example.com/'")
    visitor.wait_for(lambda: bool(visitor.complaints))
    assert "Content Security Policy" in visitor.complaints[0]


def test_what_was_asked_for_is_done_also_where_the_page_is_left_at_once(site: Site, visitor: Visitor) -> None:
    recording = seamed(site)
    site.api.deletes.clear()
    visitor.sign_in(path=f"/console/recordings/{recording.id}")
    visitor.page.get_by_role("button", name="Delete").click()
    visitor.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    visitor.page.get_by_role("heading", name="Recordings").wait_for()
    visitor.page.goto("about:blank")
    site.api.deletes.set()
    visitor.wait_for(lambda: not site.api.recordings)
