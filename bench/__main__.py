"""Measure all of it, `python -m bench`, or see where a cold start goes: `python -m bench profile GetRecording`."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import chain
from pathlib import Path

from bench import report
from bench.assembling import USUAL, assembling
from bench.cold import cold_starts
from bench.earlier import Earlier
from bench.laboratory import Laboratory
from bench.layer import layer
from bench.lists import lists
from bench.profile import profile
from bench.sweep import sweep
from bench.warm import warm_requests
from local.processes.children import LocalStackError
from local.processes.environments import ROOT


def main() -> int:
    """Do what the command line says and return the exit code."""
    arguments = _arguments()
    try:
        with tempfile.TemporaryDirectory() as directory, Laboratory(Path(directory), _say) as laboratory:
            if arguments.command == "profile":
                for line in profile(laboratory, arguments.function, _say):
                    _print(line)
            else:
                before = arguments.before
                earlier = Earlier(laboratory, before, Path(directory) / "earlier") if before else None
                _measure(laboratory, arguments.rows, arguments.swept, arguments.times, earlier)
    except LocalStackError as error:
        _say(str(error))
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the large table")
    parser.add_argument("--swept", type=int, default=100_000, help="live recordings of the sweep")
    parser.add_argument("--times", type=int, default=15, help="that each function is started")
    parser.add_argument("--before", metavar="REVISION", help="measure the cold starts of an earlier one too")
    commands = parser.add_subparsers(dest="command")
    one = commands.add_parser("profile", help="show where a cold start goes")
    one.add_argument("function", help="its logical id in template.yaml")
    return parser.parse_args()


def _measure(laboratory: Laboratory, rows: int, swept: int, times: int, earlier: Earlier | None) -> None:
    measured = chain(
        layer(laboratory),
        cold_starts(laboratory, times, _say, earlier),
        warm_requests(laboratory, _say),
        sweep(laboratory, swept, _say),
        lists(laboratory, rows, _say),
        assembling(USUAL, _say),
    )
    figures = list(measured)
    _print(report.table(figures))
    report.write(rows, figures)
    missed = [figure.name for figure in figures if not figure.met]
    _print(f"\nMissed: {'; '.join(missed)}" if missed else "\nEvery goal is met.")
    _print(f"The same as JSON: {report.RESULT.relative_to(ROOT)}")


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _say(text: str) -> None:
    """Tell on standard error what is being done: on a terminal in one line that changes."""
    line = f"\r\x1b[2K{text}" if sys.stderr.isatty() else f"{time.strftime('%H:%M:%S')} {text}\n"
    sys.stderr.write(line)
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
