from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.page.conftest import Site, Visitor

pytestmark = pytest.mark.page


def test_smoke(visitor: Visitor, site: Site) -> None:
    site.api.add("alice", "standup", ago=4000, seconds=40, title="Monday stand-up")
    site.api.add("alice", "design-review", ago=30)
    visitor.sign_in()
    visitor.page.wait_for_timeout(1500)
    visitor.page.screenshot(path="/tmp/c1.png")
    visitor.page.get_by_role("link", name="Monday stand-up").click()
    visitor.page.wait_for_timeout(2500)
    visitor.page.screenshot(path="/tmp/c2.png")
    print(visitor.complaints)
