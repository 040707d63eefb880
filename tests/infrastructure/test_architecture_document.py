"""The table "To add X, touch these files" of docs/architecture.md is true for what was added so far."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers" / "recorder" / "recorder"
DOCUMENT = (ROOT / "docs" / "architecture.md").read_text()
TABLE = dict(
    re.findall(
        r"^\| (a kind of recording|an output|an endpoint|a column) \| (.*) \|$", DOCUMENT, re.MULTILINE
    )
)


def files_with(name: str) -> set[str]:
    """Return the files of the layer and the functions that hold a name, as the table writes them."""
    found = [
        *(path for path in LAYER.rglob("*.py") if re.search(rf"\b{name}\b", path.read_text())),
        *(path for path in (ROOT / "functions").rglob("*.py") if re.search(rf"\b{name}\b", path.read_text())),
    ]
    return {str(path.relative_to(LAYER if path.is_relative_to(LAYER) else ROOT)) for path in found}


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("a kind of recording", "TrackComposite"),
        ("an output", "Thumbnails"),
        # A column that callers do not see, and that the rules of the domain use.
        ("a column", "handler_silent_since"),
    ],
)
def test_names_are_in_no_other_files(row: str, name: str) -> None:
    named = re.findall(r"`([^`]+)`", TABLE[row])
    others = {
        file
        for file in files_with(name)
        if not any(file.startswith(each) for each in named) and not file.startswith("domain/")
    }
    assert others == set()
    assert files_with(name)


@pytest.mark.parametrize("row", TABLE)
def test_files_exist(row: str) -> None:
    for each in re.findall(r"`([^`]+\.(?:py|yaml|json)|[^`]+/)`", TABLE[row]):
        pattern = re.sub(r"<\w+>", "*", each)
        assert [*LAYER.glob(pattern), *ROOT.glob(pattern), *(ROOT / "docs").glob(pattern)], each
