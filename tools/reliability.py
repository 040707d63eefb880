"""Write the generated parts of docs/reliability.md: the state machine, and which test shows which scenario.

With `--check` nothing is written, and the exit code is 1 where the file is not up to date.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

from recorder.domain.events import EVENTS
from recorder.domain.lifecycle import OBSERVED, TRANSITIONS
from recorder.domain.recording import FINAL, Status
from recorder.domain.takes import FOLLOWS

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "reliability.md"
SCENARIO_TEST = re.compile(r"^ *(?:async )?def (test_t(\d\d)_\w+)", re.MULTILINE)
ROW = re.compile(r"^\| T(\d+) \| ([^|]+) \|.*$", re.MULTILINE)


def diagram() -> str:
    """Return the state machine as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> starting"]
    lines += [
        f"    {status} --> {following}"
        for status, onward in TRANSITIONS.items()
        for following in Status
        if following in onward
    ]
    lines += [f"    {status} --> [*]" for status in Status if status in FINAL]
    return "\n".join([*lines, "```"])


def takes_diagram() -> str:
    """Return how a take ends, and what becomes of its recording then, as a Mermaid diagram."""
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> asked_for", "    asked_for --> records"]
    lines += [f"    records --> take_{end}: {end}" for end in FOLLOWS]
    lines += [
        f"    take_{end} --> {status}"
        for end, following in FOLLOWS.items()
        for status in Status
        if status in following
    ]
    lines += [
        "    asked_for --> paused: refused, asked for by resume",
        "    asked_for --> resuming: refused, a rescue",
    ]
    return "\n".join([*lines, "```"])


def observed() -> str:
    """Return what each of LiveKit's statuses means here, as a table."""
    when = {Status.COMPLETED: ", once its file is there"}
    rows = [
        f"| `{egress}` | {status}{when.get(status, '')} | `{EVENTS[status]}` |"
        for egress, status in OBSERVED.items()
    ]
    return "\n".join(["| LiveKit says | the recording becomes | event |", "|---|---|---|", *rows])


def tests() -> dict[int, list[str]]:
    """Return the scenario tests by the number of their scenario."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name, number in SCENARIO_TEST.findall(path.read_text()):
            found[int(number)].append(f"`{path.relative_to(ROOT / 'tests')}::{name}`")
    return found


def generate(text: str) -> str:
    """Return the document with its generated parts made anew."""
    for marker, part in (("diagram", diagram()), ("takes", takes_diagram()), ("observed", observed())):
        begin, end = f"<!-- {marker} -->\n", f"<!-- end {marker} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{part}\n{end}{rest.partition(end)[2]}"
    found = tests()

    def row(match: re.Match[str]) -> str:
        number = int(match[1])
        return f"| T{number} | {match[2]} | {'<br>'.join(found.get(number, ['-']))} |"

    return ROW.sub(row, text)


def main() -> int:
    """Write or check."""
    text = DOCUMENT.read_text()
    generated = generate(text)
    if "--check" in sys.argv[1:]:
        return int(generated != text)
    DOCUMENT.write_text(generated)
    return 0


if __name__ == "__main__":
    sys.exit(main())
