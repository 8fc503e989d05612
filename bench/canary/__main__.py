"""`python -m bench.canary [CELL ...] [--runs 2000] [--seed 1]`: the table of trials; 1 when a target is not met."""

import argparse
import sys
import time

from bench.canary.cells import CELLS
from bench.canary.silence import decisions
from bench.canary.table import HEAD, met, row
from bench.canary.trial import run
from monitor.canary.counts import Decision


def main() -> int:
    """Try the cells whose names contain one of the given words, or all of them."""
    parser = argparse.ArgumentParser(prog="python -m bench.canary", description=__doc__)
    parser.add_argument("words", nargs="*", metavar="CELL", help="a part of the names of the cells to try")
    parser.add_argument("--runs", type=int, default=2000, help="analyses of each cell")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chosen = [cell for cell in CELLS if not arguments.words or any(word in cell.name for word in arguments.words)]
    failed = 0
    print(HEAD)
    for cell in chosen:
        outcomes = run(cell, runs=arguments.runs, seed=arguments.seed)
        failed += not met(cell.target, outcomes["ours"])
        print(row(cell, outcomes), flush=True)
    if not arguments.words:
        failed += _silence(arguments.runs, arguments.seed)
    print(
        f"\n{len(chosen)} cells of {arguments.runs} runs, seed {arguments.seed}, {time.process_time():.0f} CPU-seconds"
    )
    return 1 if failed else 0


def _silence(runs: int, seed: int) -> int:
    """Print what becomes of good canaries whose data is missing; how many ways of missing promoted any."""
    failed = 0
    for name, counted in decisions(runs=runs, seed=seed).items():
        promoted = counted[Decision.PROMOTABLE]
        failed += name != "all minutes" and promoted > 0
        print(f"\na good canary, {name}: " + ", ".join(f"{one} {count}" for one, count in sorted(counted.items())))
    return failed


if __name__ == "__main__":
    sys.exit(main())
