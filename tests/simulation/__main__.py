"""`python -m tests.simulation`: run seeds, explain a failure, or break rules on purpose and see who notices."""

from __future__ import annotations

import argparse
import sys
import time

from .mutations import MUTATIONS, find
from .run import run, shrink
from .world import Result

_DAY_S = 86_400.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=100, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="only this one, and why it fails")
    parser.add_argument("-v", "--verbose", action="store_true", help="with --seed: its whole history")
    parser.add_argument("--mutations", action="store_true", help="break each rule: seeds until it is noticed")
    asked = parser.parse_args()
    if asked.mutations:
        return _break_rules(asked.seeds)
    if asked.seed is not None:
        result = run(asked.seed)
        print(f"seed {asked.seed}: trace {result.trace[:16]}, {result.virtual_s / _DAY_S:.1f} virtual days")
        if asked.verbose:
            print("\n".join(result.history))
        return _explain(result) if result.failure else 0
    return _run_many(asked.first, asked.seeds)


def _run_many(first: int, count: int) -> int:
    began_s, virtual_s, failed = time.perf_counter(), 0.0, 0
    texts = replies = crashes = 0
    for seed in range(first, first + count):
        result = run(seed)
        virtual_s += result.virtual_s
        texts, replies, crashes = texts + result.texts, replies + result.replies, crashes + result.crashes
        if result.failure:
            failed += 1
            _explain(result)
    took_s = time.perf_counter() - began_s
    days = virtual_s / _DAY_S
    print(f"{count} seeds, {failed} failed; {texts} parts of texts, {replies} replies, {crashes} crashes;")
    print(f"{days:.0f} virtual days in {took_s:.0f} s: {days / took_s * 3600:.0f} an hour")
    return 1 if failed else 0


def _explain(result: Result) -> int:
    faults, shortest = shrink(result.seed)
    print(f"\nseed {result.seed}: {shortest.failure}")
    print(f"the faults that it takes ({len(faults)}):")
    print("\n".join(f"  {fault}" for fault in faults) or "  none")
    print("the shortest history:")
    print("\n".join(f"  {line[:300]}" for line in shortest.history[-60:]))
    return 1


def _break_rules(most: int) -> int:
    unnoticed = 0
    print("| what is broken | seeds | noticed as |\n|---|---|---|")
    for mutation in MUTATIONS:
        seeds, failure = find(mutation, most)
        unnoticed += not seeds
        print(f"| {mutation} | {seeds or f'not in {most}'} | {failure.partition(':')[0]} |", flush=True)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
