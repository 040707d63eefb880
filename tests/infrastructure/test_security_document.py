"""Every defence that docs/security.md claims is shown by a test that exists."""

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TEXT = (TESTS.parent / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(test_\w+)`", TEXT)))
ROWS = [line for line in TEXT.partition("## Threats")[2].splitlines() if line.startswith("| ")][1:]


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_every_test_that_it_names_exists(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(), re.MULTILINE)


def test_every_threat_names_a_test() -> None:
    assert ROWS
    assert [row for row in ROWS if "::test_" not in row] == []


def test_every_backquoted_test_is_found() -> None:
    assert len(re.findall(r"::test_", TEXT)) == len(re.findall(r"`[\w/]+\.py::test_\w+`", TEXT))
