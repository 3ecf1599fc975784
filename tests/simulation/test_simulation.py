"""The daemon keeps its promises in a simulated world, runs are their seeds, broken rules are noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulation.faults import plan
from simulation.mutations import MUTATIONS, find
from simulation.run import run, shrink

ROOT = Path(__file__).parents[2]
SEEDS = 72
_BLOCK = 12
_CAP = 150  # seeds until a broken rule must be noticed


@pytest.mark.parametrize("first", range(1, SEEDS + 1, _BLOCK))
def test_nothing_that_must_never_happen_happens(first: int) -> None:
    """Under every schedule of faults the invariants hold, after every step and at the end."""
    failures = {seed: failure for seed in range(first, first + _BLOCK) if (failure := run(seed).failure)}

    assert not failures, f"explain one with: python -m tests.simulation --seed {min(failures)}"


def test_seeds_live_through_what_they_are_meant_to() -> None:
    """Texts, replies, crashes and many virtual days: a simulation in which nothing happens proves nothing."""
    results = [run(seed) for seed in range(1, 7)]

    assert sum(result.texts for result in results) > 200
    assert sum(result.replies for result in results) > 100
    assert sum(result.crashes for result in results) > 5
    assert sum(result.virtual_s for result in results) > 7 * 86_400


def _traces(hash_seed: str) -> list[str]:
    program = "from tests.simulation.run import run\nfor seed in (3, 5, 10): print(run(seed).trace)"
    environ = os.environ | {"PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


def test_one_seed_is_one_run() -> None:
    """Octet for octet and callback for callback, in another process, whatever order its sets have."""
    first = _traces("1")

    assert len(set(first)) == 3
    assert first == _traces("2")


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_broken_rule_is_noticed(mutation: str) -> None:
    """The simulation would see it if the daemon did not keep this rule."""
    seeds, failure = find(mutation, _CAP)

    assert seeds, f"{_CAP} seeds did not notice: {mutation}"
    assert failure


@pytest.fixture
def broken() -> Iterator[None]:
    with MUTATIONS["send a text whose wait is over"]():
        yield


def test_failure_is_shrunk_to_the_faults_that_it_takes(broken: None) -> None:
    """What is left of the schedule is a part of it, and still breaks the same invariant."""
    seed = next(seed for seed in range(1, _CAP) if run(seed).failure)
    faults, result = shrink(seed)

    assert result.failure.startswith("stale")
    assert set(faults) <= set(plan(str(seed)))
    assert result == run(seed, faults)
