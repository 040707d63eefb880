from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import httpx
import pytest
from playwright.sync_api import expect, sync_playwright

from local.gateway import proxy
from local.processes.environments import ROOT
from local.processes.server import Server
from local.services.issuer import Issuer
from tests.page import media
from tests.page.contract_api import ContractApi
from tests.support.functions import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright
    from pydantic import JsonValue
    from starlette.requests import Request
    from starlette.responses import Response

CHROMIUM: Final = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
AXE: Final = ROOT / "console/node_modules/axe-core/axe.min.js"
PATIENCE_SECONDS: Final = 45
MOST_TABS: Final = 60
FOCUSED: Final = """
    (({ariaLabel, labels, textContent}) => (ariaLabel || labels?.[0]?.textContent || textContent).trim())
    (document.activeElement)
"""
FOCUS_IS_SEEN: Final = """
    [document.activeElement, document.activeElement.closest("label")]
        .some((each) => each && getComputedStyle(each).outlineStyle !== "none")
"""


@dataclass
class Visitor:
    """A browser profile with one tab; what its console says and what its policy refuses is kept."""

    context: BrowserContext
    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    expected: str = "^$"
    """Complaints that belong to what a test does, as a pattern."""

    def sign_in(self, user: str = "alice", path: str = "/console") -> None:
        self.page.goto(self.url + path)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("button", name=user).click()
        self.page.get_by_role("banner").wait_for()

    def go(self, path: str) -> None:
        """Go to another address of the page without loading it anew, which would end the session in memory."""
        script = (
            "path => { history.pushState(null, '', path); dispatchEvent(new PopStateEvent('popstate')); }"
        )
        self.page.evaluate(script, path)

    def until(self, condition: str) -> None:
        """Wait until a JavaScript expression is true; Playwright's own way is refused by the page's policy."""
        self.wait_for(lambda: bool(self.page.evaluate(f"Boolean({condition})")), condition)

    def wait_for(self, condition: Callable[[], bool], otherwise: str = "it never comes true") -> None:
        """Wait until a condition is true, while the browser goes on."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, otherwise
            self.page.wait_for_timeout(100)

    def tab_to(self, name: str) -> None:
        """Press Tab until the focus is on something called so, and see that the focus can be seen."""
        for _ in range(MOST_TABS):
            self.page.keyboard.press("Tab")
            if self.page.evaluate(FOCUSED) == name:
                break
        else:
            raise AssertionError(f"the keyboard does not reach {name}")
        assert self.page.evaluate(FOCUS_IS_SEEN), name

    def violations(self) -> list[str]:
        """Return what axe finds against WCAG 2.2 AA and good practice."""
        # The policy forbids a script element; the debugger's own evaluation is not held to it.
        self.page.evaluate(AXE.read_text())
        tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
        found = self.page.evaluate("tags => axe.run({runOnly: tags})", tags)
        return [
            f"{each['id']}: {node['html'][:160]} {node.get('failureSummary', '')[:200]}"
            for each in found["violations"]
            for node in each["nodes"]
        ]


@pytest.fixture(scope="session")
def function_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's function with the page, as `sam build` lays it out."""
    folder = tmp_path_factory.mktemp("serve_console")
    make = ["make", "--silent", "--file", "requirements/Makefile", "build-ServeConsole"]
    subprocess.run(make, cwd=ROOT, env={**os.environ, "ARTIFACTS_DIR": str(folder)}, check=True)
    return folder


@pytest.fixture(scope="session")
def media_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    media.make(folder)
    return folder


@dataclass
class Site:
    url: str
    api: ContractApi
    issuer: Issuer


@pytest.fixture
def site(
    function_folder: Path, media_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """The contract's API with the page from its function, the bucket and the issuer, each at an origin of its own."""
    with ExitStack() as undo:
        server = undo.enter_context(Server())
        ports = {name: server.listen() for name in ("api", "bucket", "issuer")}
        urls = {name: f"http://127.0.0.1:{port.getsockname()[1]}" for name, port in ports.items()}
        issuer = Issuer(Path(tmp_path_factory.getbasetemp()) / "issuer", urls["issuer"])
        server.serve(issuer.app(), ports["issuer"])
        keys = httpx.get(f"{urls['issuer']}/.well-known/jwks.json").text
        os.environ |= {
            "JWT_ISSUER": urls["issuer"],
            "CONSOLE_CLIENT_ID": "console",
            "CONSOLE_AUTHORIZE_PARAMETERS": "scope=openid+offline_access",
            "CONSOLE_TOKEN_ORIGIN": "",
            "BUCKET_URL": urls["bucket"],
        }
        serve = load(function_folder / "app.py")

        async def page(request: Request) -> Response:
            answer = serve(proxy.event(request, b"", "GET /console", {}, None), None)
            return proxy.response(cast("JsonValue", answer))

        api = ContractApi(keys, media_folder, lambda: urls["bucket"], page)
        server.serve(api.app(), ports["api"])
        server.serve(api.bucket(), ports["bucket"])
        yield Site(urls["api"], api, issuer)
        assert not api.breaches


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    arguments = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required", "--mute-audio"]
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
    yield browser
    browser.close()


@pytest.fixture
def visitors(browser: Browser) -> Iterator[Visitors]:
    opened = Visitors(browser)
    yield opened
    opened.close()


class Visitors:
    """Opens browser profiles; at the end none of them may have complained."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._opened: list[Visitor] = []

    def open(self, url: str, *, width: int = 1280, height: int = 800, dark: bool = False) -> Visitor:
        context = self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
            locale="en-GB",
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(PATIENCE_SECONDS * 1000)
        page = context.new_page()
        visitor = Visitor(context, page, url)
        page.on("console", partial(_hear, visitor))
        page.on("pageerror", lambda error: visitor.complaints.append(str(error)))
        self._opened.append(visitor)
        return visitor

    def close(self) -> None:
        complaints = []
        for visitor in self._opened:
            visitor.context.close()
            complaints += [each for each in visitor.complaints if not re.search(visitor.expected, each)]
        assert not complaints


def _hear(visitor: Visitor, message: ConsoleMessage) -> None:
    if message.type in {"error", "warning"}:
        visitor.complaints.append(f"{message.type}: {message.text} {message.location.get('url', '')}")


@pytest.fixture
def visitor(visitors: Visitors, site: Site) -> Visitor:
    return visitors.open(site.url)
