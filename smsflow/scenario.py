"""Faults for `smsflow smsc`, from the command line and from a YAML scenario.

--fault throttle,every=3,times=10

faults:
  - throttle: {every: 3, times: 10}
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from smsflow.core.document import Document, read_document
from smsflow.core.errors import ConfigError, Finding
from smsflow.core.syntax import explain_unreadable
from smsflow.smpp.faults import Rule, make_rule

__all__ = ["read_fault", "read_scenario"]


def read_fault(words: str) -> Rule:
    """The rule in `FAULT,option=value,…`. Raises: ValueError with what is wrong."""
    fault, *options = (part.strip() for part in words.split(","))
    pairs = [option.partition("=") for option in options if option]
    bare = next((name for name, sign, _ in pairs if not sign), None)
    if bare is not None:
        raise ValueError(f"expected option=value, got {bare!r}")
    return make_rule(fault, {name.strip(): value for name, _, value in pairs})


def read_scenario(file: Path) -> tuple[Rule, ...]:
    """The rules in `file`. Raises: ConfigError with everything that is wrong, each with its place."""
    try:
        document = read_document(file.read_text(encoding="utf-8"), str(file))
    except (OSError, UnicodeDecodeError) as error:
        place, problem = explain_unreadable(error)
        raise ConfigError((Finding(str(file), *place, "", problem),)) from error
    findings = list(document.findings)
    rules = _read_rules(document, findings)
    if findings:
        raise ConfigError(tuple(findings))
    return tuple(rules)


def _read_rules(document: Document, findings: list[Finding]) -> list[Rule]:
    data = document.data
    entries = data.get("faults") if isinstance(data, dict) and set(data) == {"faults"} else None
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        if not findings:
            findings.append(document.finding((), "expected `faults:` and under it a list, and nothing else"))
        return []
    rules = []
    for index, entry in enumerate(entries):
        if isinstance(entry, str):
            entry = {entry: {}}
        if not (isinstance(entry, dict) and len(entry) == 1):
            findings.append(document.finding(("faults", index), "expected one fault with its options"))
            continue
        ((fault, options),) = entry.items()
        try:
            rules.append(make_rule(fault, options if isinstance(options, dict) else {}))
        except ValueError as error:
            findings.append(document.finding(("faults", index, fault), str(error)))
    return rules
