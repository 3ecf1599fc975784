"""A dialog: what is asked, what is waited for, where each answer leads. Only nouns; `core.reader` makes them.

A state does one thing: it asks (`Ask`), it waits for a state body (`Wait`), or it ends (`End`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from smsflow.core.durations import Duration
from smsflow.core.reply import Kind
from smsflow.core.text import Template

__all__ = [
    "KNOWN_FACTS",
    "KNOWN_RULES",
    "MORE",
    "PAGE",
    "REQUIRED_TEXTS",
    "UNHEARD",
    "Ask",
    "Branch",
    "Dialog",
    "End",
    "Option",
    "OptionList",
    "Reaction",
    "Rule",
    "Rung",
    "Scheme",
    "Silence",
    "State",
    "Texts",
    "Wait",
]

Texts = Mapping[str, Template]  # language → template

PAGE = 8  # options shown in one text; a longer list is shown page by page
UNHEARD = "_unheard"  # ends the name of a text for a mother who has not chosen a language
MORE = "9"  # the code that turns the page, and on the last page leads to `other`

REQUIRED_TEXTS = {
    "hint_form": "a reply that has not the form of one",
    "hint_option": "a choice that was not offered",
    "hint_name": "a name that is none",
    "hint_iban": "an account that is none",
    "hint_digits": "digits that are not what was asked for",
    "desk": "the third reply in a row that was not understood",
    "remind": "no reply yet",
    "stopped": "she has ended the service",
    "sealed": "a correction that comes after the application was sent",
    "closed": "a reply to a case that is closed",
    "no_reply_needed": "a text while a state body is at work",
    "unknown": "a text from a number that has no case",
    "more": "the label of the next page of a long list",
    "other": "the label of the way out of a list",
}
"""Texts that every dialog has, its own or from texts.yaml, and when they are sent."""


KNOWN_FACTS = {
    "birth_id": "from the record of the birth",
    "mother_iin": "from the record of the birth",
    "born_at": "from the record of the birth",
    "sex": "from the record of the birth",
    "birth_order": "from the record of the birth",
    "account": "from the record of the birth, or her answer",
    "address_kato": "from the record of the birth",
    "language": "her choice",
    "child_name": "her answer in the registration",
    "child_iin": "from a body",
    "number": "from a body",
    "place": "from a body",
    "reason": "from a body",
    "locality": "from a body",
    "date": "from a body",
    "amount": "from a body",
}
"""What `with` and `of` may name beside the answers of the dialog, and where it comes from."""


class Scheme(Enum):
    """What the digits of a reply are: the answers so far, or the number of the question."""

    PATH = "path"
    FIXED = "fixed"


class Rung(Enum):
    """What a mother gets for replies in a row that were not understood; after the last rung, silence."""

    HINT = "hint"
    ASK_AGAIN = "ask again"
    DESK = "desk"


@dataclass(frozen=True, slots=True)
class Rule:
    """A named rule from a closed list; `number` where the rule takes one."""

    name: str
    number: int = 0


KNOWN_RULES = {
    "account known": "the birth's record holds an account",
    "address known": "the birth's record holds an address",
    "language known": "she has chosen a language before",
    "birth_order at least N": "the child is her Nth or later",
}


@dataclass(frozen=True, slots=True)
class Branch:
    """One way on: to state `to` when the answer is `code`, or `rule` holds, or always (neither is given)."""

    to: str
    code: str | None = None
    rule: Rule | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One choice: `code` is what she writes, `label` what she reads, `id` what other systems call it."""

    code: str
    label: Mapping[str, str]  # language → words
    id: str = ""


@dataclass(frozen=True, slots=True)
class OptionList:
    """Choices by group. A list without groups has the one group "". Codes are unique within a group."""

    name: str
    groups: Mapping[str, tuple[Option, ...]]
    _lengths: tuple[int, ...] = field(init=False, repr=False, compare=False)  # of the names, the longest first

    def __post_init__(self) -> None:
        object.__setattr__(self, "_lengths", tuple(sorted({len(name) for name in self.groups}, reverse=True)))

    def group(self, key: str) -> tuple[Option, ...]:
        """The options of the group whose name is the longest beginning of `key`; empty when there is none."""
        return self.groups.get(self.name_of_group(key), ())

    def name_of_group(self, key: str) -> str:
        """The longest beginning of `key` that is the name of a group; "" also when there is none."""
        for length in self._lengths:
            name = key[:length]
            if name in self.groups:
                return name
        return ""


@dataclass(frozen=True, slots=True)
class Silence:
    """What happens while no reply comes: reminders (rising), then state `then` after `give_up`."""

    remind: tuple[Duration, ...]
    give_up: Duration
    then: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A question. `of` names the fact or answer that picks the list's group, `other` the state behind "other"."""

    name: str
    kind: Kind
    text: Texts
    save: str
    then: tuple[Branch, ...]
    silence: Silence
    options: OptionList | None = None
    of: str = ""
    other: str = ""
    sets_language: bool = False
    yes_no: bool = False
    strict: bool = False
    length: tuple[int, int] = (1, 1)  # digits: least and most
    number: str = ""  # the question's own digits under Scheme.FIXED

    @property
    def adds_digits(self) -> bool:
        """Whether the answer becomes part of the addresses that follow (Scheme.PATH)."""
        return self.kind in (Kind.CHOICE, Kind.DIGITS)


@dataclass(frozen=True, slots=True)
class Reaction:
    """What follows from an event of a body: a text, other dialogs, another state (None: stay)."""

    say: str = ""
    begin: tuple[str, ...] = ()
    then: str | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait for a body: `send` is the kind of application that goes out on entering, "" for none.

    `content` names the facts and answers that it carries. Sending seals every answer given so far.
    """

    name: str
    on: Mapping[str, Reaction]
    send: str = ""
    content: tuple[str, ...] = ()
    late: Duration | None = None
    say: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The end, with its result; may begin other dialogs."""

    name: str
    result: str
    say: str = ""
    begin: tuple[str, ...] = ()


State = Ask | Wait | End


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Dialog:
    """One revision of a dialog. `revision` is "sha256:" and the hash of all the files that it was read from."""

    name: str
    revision: str
    title: Mapping[str, str]
    service: str  # the first digit of every reply
    languages: tuple[str, ...]  # the first is used until she has chosen
    scheme: Scheme
    budget: int  # segments that any text may have at the most, in Kazakh and Russian
    starts_at_birth: bool
    begin: tuple[Branch, ...]
    states: Mapping[str, State]
    texts: Mapping[str, Texts]
    ladder: tuple[Rung, ...]
    sources: Mapping[str, str]  # file → text: what `revision` is the hash of

    def __repr__(self) -> str:
        return f"<Dialog {self.name} {self.revision[:15]}>"

    def questions(self) -> Iterator[Ask]:
        """The questions, in the order of the file."""
        return (state for state in self.states.values() if isinstance(state, Ask))

    @property
    def begins(self) -> frozenset[str]:
        """The dialogs that this one may begin."""
        begun: set[str] = set()
        for state in self.states.values():
            if isinstance(state, End):
                begun.update(state.begin)
            elif isinstance(state, Wait):
                begun.update(*(reaction.begin for reaction in state.on.values()))
        return frozenset(begun)

    @property
    def asks_language(self) -> bool:
        """Whether any question asks for her language."""
        return any(ask.sets_language for ask in self.questions())

    def unheard_states(self) -> frozenset[str]:
        """The states in which she may not have chosen a language yet; none when the dialog never asks for it."""
        reached: set[str] = set()
        waiting = _unheard_ways(self.begin) if self.asks_language else []
        while waiting:
            name = waiting.pop()
            if name in reached:
                continue
            reached.add(name)
            state = self.states[name]
            if isinstance(state, Ask) and state.sets_language:
                waiting += filter(None, (state.other, state.silence.then))
            elif isinstance(state, Ask):
                waiting += filter(None, (*_unheard_ways(state.then), state.other, state.silence.then))
            else:
                waiting += self.destinations(state)
        return frozenset(reached)

    @property
    def events(self) -> frozenset[str]:
        """The events of bodies that any state waits for."""
        waits = (state for state in self.states.values() if isinstance(state, Wait))
        return frozenset(name for wait in waits for name in wait.on)

    def destinations(self, state: State) -> Iterator[str]:
        """Every state that may follow `state`, in the order of the file; some more than once."""
        if isinstance(state, Ask):
            yield from (branch.to for branch in state.then)
            yield from filter(None, (state.other, state.silence.then))
        elif isinstance(state, Wait):
            yield from (reaction.then for reaction in state.on.values() if reaction.then)


def _unheard_ways(branches: tuple[Branch, ...]) -> list[str]:
    return [branch.to for branch in branches if branch.rule != Rule("language known")]
