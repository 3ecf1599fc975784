"""`Dialog` → one flat `transitions.Machine` a revision; the only file that knows `transitions`.

The machine decides where an answer, an event of a body or a silence leads. It holds no conversation: a
conversation lends it its state for the length of one trigger, so a million mothers share one machine.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transitions import EventData, Machine

from smsflow.core.conversation import Conversation
from smsflow.core.dialog import Ask, Branch, Dialog, Rule, Wait

__all__ = ["ANSWERED", "BEGAN", "GAVE_UP", "LEFT_LIST", "body_event", "destination"]

ANSWERED = "answered"
BEGAN = "began"
GAVE_UP = "gave_up"
LEFT_LIST = "left_list"  # "other": none of the options is hers

_START = "_start"  # before the first state; no slug of a dialog begins with an underscore

logging.getLogger("transitions").setLevel(logging.WARNING)  # its INFO names every move; ours is one line a reply


def body_event(name: str) -> str:
    """The trigger of event `name` of a body."""
    return f"body_{name}"


def destination(dialog: Dialog, conversation: Conversation, trigger: str, code: str = "") -> str | None:
    """The state to which `trigger` (with the answer's `code`) leads from here; None when it leads nowhere."""
    here = conversation.state or _START
    ways = _ways(dialog, here, trigger)
    if ways.by_rule:
        return _follow(dialog, here, trigger, code, conversation)
    return _led(dialog, here, trigger, code if code in ways.codes else "")  # no name is kept in a cache


def _follow(dialog: Dialog, here: str, trigger: str, code: str, conversation: Conversation | None) -> str | None:
    event = _machine(dialog).events.get(trigger)
    if event is None:
        return None
    lent = _Lent(here)
    moved = event.trigger(lent, conversation=conversation, code=code)
    return str(lent.state) if moved else None


@lru_cache(maxsize=2048)
def _led(dialog: Dialog, here: str, trigger: str, code: str) -> str | None:
    """Where everybody is led, as long as no rule looks at the conversation: the machine is asked once."""
    return _follow(dialog, here, trigger, code, None)


@dataclass(frozen=True, slots=True)
class _Ways:
    """What decides where a trigger leads: codes of answers, or a rule about the conversation."""

    codes: frozenset[str]
    by_rule: bool


@lru_cache(maxsize=2048)
def _ways(dialog: Dialog, here: str, trigger: str) -> _Ways:
    state = dialog.states.get(here)
    branches = dialog.begin if state is None else ()
    if isinstance(state, Ask) and trigger == ANSWERED:
        branches = state.then
    return _Ways(
        codes=frozenset(branch.code for branch in branches if branch.code is not None),
        by_rule=any(branch.rule is not None for branch in branches),
    )


@dataclass(slots=True)
class _Lent:
    """What the machine moves: a state and nothing else."""

    state: str


@lru_cache(maxsize=256)  # a dialog is compared by identity: one machine for each revision in use
def _machine(dialog: Dialog) -> Machine:
    machine = Machine(
        model=None,
        states=[_START, *dialog.states],
        initial=_START,
        auto_transitions=False,
        send_event=True,
        ignore_invalid_triggers=True,
    )
    for branch in dialog.begin:
        _add(machine, BEGAN, _START, branch)
    for state in dialog.states.values():
        if isinstance(state, Ask):
            for branch in state.then:
                _add(machine, ANSWERED, state.name, branch)
            machine.add_transition(GAVE_UP, state.name, state.silence.then)
            if state.other:
                machine.add_transition(LEFT_LIST, state.name, state.other)
        elif isinstance(state, Wait):
            for event, reaction in state.on.items():
                if reaction.then:
                    machine.add_transition(body_event(event), state.name, reaction.then)
    return machine


def _add(machine: Machine, trigger: str, source: str, branch: Branch) -> None:
    condition = _condition(branch)
    machine.add_transition(trigger, source, branch.to, conditions=[condition] if condition else None)


def _condition(branch: Branch) -> Callable[[EventData], bool] | None:
    """A callable, never a name: `transitions` imports names that it is given."""
    if branch.code is not None:
        return lambda event: bool(event.kwargs["code"] == branch.code)
    if branch.rule is not None:
        holds = _rule(branch.rule)
        return lambda event: bool(holds(event.kwargs["conversation"]))
    return None


def _rule(rule: Rule) -> Callable[[Conversation], Any]:
    return {
        "account known": lambda conversation: conversation.known("account"),
        "address known": lambda conversation: conversation.known("address_kato"),
        "language known": lambda conversation: conversation.known("language"),
        "birth_order at least": lambda conversation: int(conversation.known("birth_order") or 0) >= rule.number,
    }[rule.name]
