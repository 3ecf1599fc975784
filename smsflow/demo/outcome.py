"""What became of the demo: counts for the summary, and every conversation that did not end as it should."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Any

from smsflow.demo.bodies import KINDS

__all__ = ["Outcome", "judge"]

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`results`: (dialog, result) → cases. `replies`: outcome → replies. `waits_ms`: p50 and p99, None without any.

    `failures` says in words which conversation did not end as it should, and why.
    """

    births: int
    cases: int
    results: Mapping[tuple[str, str], int]
    texts: int
    segments: int
    replies: Mapping[str, int]
    waits: int
    waits_ms: tuple[float, float] | None
    failures: tuple[str, ...]


def judge(
    births: Sequence[Json],
    cases: Mapping[str, Sequence[Json]],
    applications: Iterable[tuple[str, str]],
    waits_s: Sequence[float],
    troubles: Iterable[str],
) -> Outcome:
    """Judge `cases` (by birth_id, as `GET /v1/cases/{case}` shows them) against the births handed in.

    `applications` are (birth_id, kind) as the bodies took them.
    """
    every = [case for of_birth in cases.values() for case in of_birth]
    texts = [text for case in every for text in case["messages"]]
    out = [text for text in texts if text["direction"] == "out" and text["status"] != "dropped"]
    sent = Counter(applications)
    failures = list(troubles)
    for birth in births:
        birth_id = birth["birth_id"]
        kinds = {kind: sent[birth_id, kind] for kind in KINDS}
        failures += (f"birth {birth_id}: {why}" for why in _judge_birth(birth, cases.get(birth_id, ()), kinds))
    return Outcome(
        births=len(births),
        cases=len(every),
        results=Counter((case["dialog"], case["result"] or case["state"]) for case in every),
        texts=len(out),
        segments=sum(text["segments"] for text in out),
        replies=Counter(text["outcome"] for text in texts if text["direction"] == "in"),
        waits=len(waits_s),
        waits_ms=_percentiles_ms(waits_s),
        failures=tuple(failures),
    )


def _judge_birth(birth: Json, cases: Sequence[Json], sent: Mapping[str, int]) -> Iterator[str]:
    """Why the service for one birth did not end as it should."""
    if not birth["alive"]:
        yield from _judge_silence(cases, "stillbirth")
        return
    if cases and not cases[0]["msisdn"]:
        yield from _judge_silence(cases, "no_phone")
        return
    if not cases:
        yield "no case was opened"
    for case in cases:
        if case["status"] != "closed":
            yield f"{case['dialog']} is still {case['status']} at {case['state']}"
        elif case["result"] != "done":
            yield f"{case['dialog']} ended with {case['result']} at {case['state']}, not with done"
    if all(case["status"] == "closed" for case in cases):
        yield from (f"{count} applications for {kind} instead of 1" for kind, count in sent.items() if count != 1)


def _judge_silence(cases: Sequence[Json], result: str) -> Iterator[str]:
    """Why a birth of which nobody is to hear was not closed in silence."""
    for case in cases:
        if case["result"] != result:
            yield f"{case['dialog']} should be closed with {result}, but is {case['result'] or case['status']}"
        if case["messages"]:
            yield f"{case['dialog']} sent a text, although it should be silent ({result})"


def _percentiles_ms(waits_s: Sequence[float]) -> tuple[float, float] | None:
    if len(waits_s) < 2:
        return None
    cuts = quantiles(waits_s, n=100, method="inclusive")
    return cuts[49] * 1000, cuts[98] * 1000
