"""Docstrings and comments begin with the name of the thing, not with a clause."""

from __future__ import annotations

import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLAUSE = re.compile(
    r'^(?:[rf]?"""|#:? ?|//+ |/\*\*? ?)(?:What|Who|Whoever|Whatever|Which|Those (?:that|who))\b'
)


def tracked(*patterns: str) -> list[Path]:
    """Return the project's files of these patterns."""
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines()]


@pytest.mark.parametrize("suffix", ["py", "ts", "tsx"])
def test_no_docstring_and_no_comment_begins_with_a_clause(suffix: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {text}"
        for path in tracked(f"*.{suffix}")
        for number, text in _prose(path)
        if CLAUSE.match(text)
    ]
    assert found == []


def _prose(path: Path) -> list[tuple[int, str]]:
    """Return docstrings and comments, each with its line; of TypeScript every line that may be one."""
    text = path.read_text()
    if path.suffix != ".py":
        return [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    kinds = {tokenize.COMMENT, tokenize.STRING}
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    lines = text.splitlines()
    # The second line of a comment goes on with a sentence.
    return [
        (token.start[0], token.string)
        for token in tokens
        if token.type in kinds and not lines[token.start[0] - 2].strip().startswith("#")
    ]
