"""Run random histories, and on failure print the shortest one and how to replay it; or show that bugs are found.

make simulate HISTORIES=2000 [SEED=…] [STEPS=…]
make sabotage
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Final

from simulator import plan
from simulator.saboteurs import SABOTEURS
from simulator.shrink import failure, kind, shrink
from simulator.simulation import simulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_CHUNK: Final = 50
_PROGRESS_SECONDS: Final = 5.0
_SABOTAGE_SEED: Final = 1_000_000

tell = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class Failed:
    """A history that failed, by its seed, and the steps that are enough for it."""

    seed: int
    kept: tuple[int, ...]
    text: str


def run(seeds: Sequence[int]) -> Failed | None:
    """Run histories by their seeds; returns the first that fails."""
    with simulator() as loops:
        for seed in seeds:
            history = plan.generate(seed)
            error = failure(history, loops)
            if error is not None:
                kept = shrink(history, kind(error), loops)
                last = failure(plan.only(history, kept), loops) or error
                return Failed(seed, kept, "".join(traceback.format_exception(last, limit=-3)))
    return None


def run_all(first: int, count: int, workers: int) -> Failed | None:
    """Run so many histories, with progress; returns one that fails."""
    began, done, told = time.monotonic(), 0, 0.0
    chunks = _chunks(first, count)
    with ProcessPoolExecutor(workers) as pool:
        running: dict[Future[Failed | None], int] = {}
        while True:
            while len(running) < 2 * workers and (chunk := next(chunks, None)) is not None:
                running[pool.submit(run, chunk)] = len(chunk)
            if not running:
                return None
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for each in finished:
                done += running.pop(each)
                failed = each.result()
                if failed is not None:
                    pool.shutdown(wait=True, cancel_futures=True)
                    return failed
            seconds = time.monotonic() - began
            if seconds - told > _PROGRESS_SECONDS or done == count:
                told = seconds
                tell(f"{done:,} of {count:,} histories in {seconds:.0f} s, {done / seconds:.0f} a second")


def _chunks(first: int, count: int) -> Iterator[range]:
    end = first + count
    return (range(start, min(start + _CHUNK, end)) for start in range(first, end, _CHUNK))


def report(failed: Failed) -> None:
    """Print the history that failed."""
    history = plan.generate(failed.seed)
    tell(f"\nHistory {failed.seed} fails. Of its {len(history.steps)} steps these are enough:")
    tell(f"  policy {plan.POLICIES.index(history.policy)}, webhooks {history.webhooks}")
    for number in failed.kept:
        tell(f"  {number}: {history.steps[number]}")
    steps = ".".join(map(str, failed.kept))
    tell(f"\n{failed.text}\nReplay: make simulate HISTORIES=1 SEED={failed.seed} STEPS={steps}")


def replay(seed: int, kept: Sequence[int]) -> Failed | None:
    """Run the given steps of one history."""
    with simulator() as loops:
        error = failure(plan.only(plan.generate(seed), kept), loops)
    if error is None:
        return None
    return Failed(seed, tuple(kept), "".join(traceback.format_exception(error)))


def hunt(name: str, first: int, count: int) -> tuple[int, str] | None:
    """Run histories with a saboteur at work; returns how many it took to find it, and by what."""
    with simulator() as loops, SABOTEURS[name]():
        for number in range(count):
            error = failure(plan.generate(first + number), loops)
            if error is not None:
                return number + 1, kind(error)
    return None


def hunt_all(first: int, count: int, workers: int) -> bool:
    """Print after how many histories each saboteur was found; returns whether all were."""
    complete = True
    with ProcessPoolExecutor(workers) as pool:
        hunts = {name: pool.submit(hunt, name, first, count) for name in SABOTEURS}
        for name, each in hunts.items():
            found = each.result()
            complete = complete and found is not None
            number, what = found or (count, "NOT FOUND")
            tell(f"{name:<44} {number:>5}  {what[:70]}")
    return complete


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--histories", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--steps", default="", help="numbers of the steps to keep, with dots between")
    parser.add_argument("--sabotage", action="store_true")
    parser.add_argument("--workers", type=int, default=os.process_cpu_count() or 1)
    arguments = parser.parse_args()
    # As Ctrl-C: the workers are not left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if arguments.sabotage:
        seed = _SABOTAGE_SEED if arguments.seed is None else arguments.seed
        return 0 if hunt_all(seed, arguments.histories, arguments.workers) else 1
    seed = SystemRandom().randrange(10**9) if arguments.seed is None else arguments.seed
    tell(f"Seed {seed}")
    if arguments.steps:
        failed = replay(seed, [int(number) for number in arguments.steps.split(".")])
    else:
        failed = run_all(seed, arguments.histories, arguments.workers)
    if failed is not None:
        report(failed)
        return 1
    tell("Every invariant holds.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
