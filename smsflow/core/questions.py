"""Which replies a conversation can take now: its addresses, its options page by page, and whose answer a text is.

A valid reply = an address that was printed + the missing part. `find_answer` holds a text against every
question of a phone that is open or may still be amended; one match is an answer, anything else is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from smsflow.core.conversation import Conversation, Status
from smsflow.core.dialog import MORE, PAGE, Ask, Dialog, Option, Scheme
from smsflow.core.names import fold_words
from smsflow.core.reply import Answer, Kind, Question, Reading, answer, is_before_name, may_answer

__all__ = [
    "Found",
    "Missed",
    "address_of",
    "chosen",
    "find_answer",
    "group_of",
    "has_more",
    "option_of",
    "options_of",
    "page_of",
    "print_reply",
    "question_of",
]

_Held = Sequence[tuple[Dialog, Conversation]]  # the conversations of one phone
AMBIGUOUS = "ambiguous"
BAD_IBAN = "bad_iban"


class Found(NamedTuple):
    """The text answers question `state` of conversation number `index` with `value`."""

    index: int  # type: ignore[assignment]  # a tuple has a method of that name, of which nobody asks this one
    state: str
    value: str
    also: str
    coercions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missed:
    """The text answers nothing; conversation number `index` is the one to speak (None: there is none open)."""

    index: int | None
    reason: str


def print_reply(digits: str) -> str:
    """Joined digits as she is to write them: `R 1 1 2`."""
    return " ".join(f"R{digits}")


def address_of(dialog: Dialog, conversation: Conversation, ask: Ask) -> str:
    """The joined digits under which `ask` is asked when the conversation's trail was answered on the way to it.

    Each answer of a trail has the address of its question, so the last one tells what all of them have added.
    """
    if dialog.scheme is Scheme.FIXED:
        return dialog.service + conversation.child + ask.number
    if not conversation.trail:
        return dialog.service + conversation.child
    state, address, value = conversation.trail[-1]
    return address + value if state in _adding(dialog) else address


@lru_cache(maxsize=256)  # a dialog is compared by identity: one entry for each revision in use
def _adding(dialog: Dialog) -> frozenset[str]:
    """The states whose answers become part of the addresses that follow."""
    return frozenset(ask.name for ask in dialog.questions() if ask.adds_digits)


def question_of(dialog: Dialog, conversation: Conversation) -> Ask | None:
    """The question that is open; None while a body is at work and after the end."""
    state = dialog.states.get(conversation.state)
    return state if isinstance(state, Ask) and conversation.status is not Status.CLOSED else None


def options_of(dialog: Dialog, conversation: Conversation, ask: Ask) -> tuple[Option, ...]:
    """Every option of `ask` for this mother, all pages; empty when her group has none."""
    return () if ask.options is None else _options(dialog, ask.name, group_of(dialog, conversation, ask))


def option_of(dialog: Dialog, conversation: Conversation, ask: Ask, code: str) -> Option | None:
    """The option of `ask` that this mother chooses with `code`; None when she is offered none of that code."""
    if ask.options is None:
        return None
    return _by_code(dialog, ask.name, group_of(dialog, conversation, ask)).get(code)


@lru_cache(maxsize=2048)
def _options(dialog: Dialog, state: str, group: str) -> tuple[Option, ...]:
    options = _ask(dialog, state).options
    return options.group(group) if options else ()


@lru_cache(maxsize=2048)
def _by_code(dialog: Dialog, state: str, group: str) -> Mapping[str, Option]:
    return {option.code: option for option in _options(dialog, state, group)}


def group_of(dialog: Dialog, conversation: Conversation, ask: Ask) -> str:
    """The name of this mother's group in the list of `ask`: the longest that her place, or choice, begins with.

    "" where the list has no groups, or none is hers. So what is kept for a group is not kept once a place.
    """
    if not ask.of or ask.options is None:
        return ""
    option = chosen(dialog, conversation, ask.of)
    return ask.options.name_of_group(option.id if option else conversation.known(ask.of))


def chosen(dialog: Dialog, conversation: Conversation, save: str) -> Option | None:
    """The option that she chose in the question that saves `save`; None when there is none."""
    offering = _offering(dialog).get(save)
    if offering is None:
        return None
    for asked in reversed(conversation.trail):
        if asked.state in offering:
            return option_of(dialog, conversation, _ask(dialog, asked.state), asked.value)
    return None


@lru_cache(maxsize=256)
def _offering(dialog: Dialog) -> Mapping[str, frozenset[str]]:
    """By the name under which an answer is saved, the questions with options that save it so."""
    saving: dict[str, frozenset[str]] = {}
    for ask in dialog.questions():
        if ask.options is not None:
            saving[ask.save] = saving.get(ask.save, frozenset()) | {ask.name}
    return saving


def page_of(ask: Ask, options: tuple[Option, ...], page: int) -> tuple[Option, ...]:
    """The options that one text shows: all of them, or eight where the list is long or has a way out."""
    return options[page * PAGE : (page + 1) * PAGE] if _is_paged(ask, options) else options


def has_more(ask: Ask, options: tuple[Option, ...], page: int) -> bool:
    """Whether `MORE` turns the page here."""
    return _is_paged(ask, options) and len(options) > (page + 1) * PAGE


def find_answer(reading: Reading, held: _Held) -> Found | Missed:
    """Whose answer the text is, among the conversations of one phone."""
    return _find_at_a_glance(reading, held) or _find_slowly(reading, held)


def _find_at_a_glance(reading: Reading, held: _Held) -> Found | None:
    """What `_find_slowly` finds, where a reply to the open question is spelled as it was asked for; else None.

    None too where another question comes near: one that was ever printed, though it may not be open any more.
    """
    if reading.keyword or reading.coercions or not (reading.has_r and reading.digits):
        return None
    if reading.rest == len(reading.text):
        return _find_code(reading.digits, held)
    return _find_name(reading, held) if is_before_name(reading) else None


def _find_code(digits: str, held: _Held) -> Found | None:
    """The choice that `digits` are to an open question, and to no other that was ever printed; else None."""
    hit: tuple[int, str, str] | None = None
    for index, (dialog, conversation) in enumerate(held):
        for state, addresses in conversation.printed.items():
            values = _ever_read(dialog, state, addresses)
            if values is None:
                return None
            if digits in values:
                value = values[digits]
                if hit or value is None:
                    return None
                hit = index, state, value
    if hit is None:
        return None
    index, state, value = hit
    dialog, conversation = held[index]
    if state != conversation.state:
        return None
    group = group_of(dialog, conversation, _ask(dialog, state))
    if value not in _offered(dialog, state, group, conversation.page):
        return None
    return Found(index, state, value, "", ())


@lru_cache(maxsize=1024)  # thousands of mothers were asked under the same addresses
def _ever_read(dialog: Dialog, state: str, addresses: tuple[str, ...]) -> Mapping[str, str | None] | None:
    """For all digits of a reply that may answer a question under one of `addresses`, what they answer.

    None where that depends on the address that is meant; and None for all of a question for digits.
    """
    codes = _ever_offered(dialog).get(state)
    if codes is None:
        return None
    values: dict[str, str | None] = {}
    for address in addresses:
        for code in codes:
            digits = address + code
            values[digits] = None if digits in values else code
    return values


def _find_name(reading: Reading, held: _Held) -> Found | None:
    """The name that follows the address of an open question, and of no other that was ever printed; else None."""
    found: Found | None = None
    for index, (dialog, conversation) in enumerate(held):
        for state, addresses in conversation.printed.items():
            kind = _ask(dialog, state).kind
            if kind is Kind.TEXT or (kind is Kind.NAME and reading.digits in addresses):
                if found or kind is Kind.TEXT:
                    return None
                found = Found(index, state, reading.text[reading.rest :], "", ())
    if found is None:
        return None
    return found if found.state == held[found.index][1].state else None


@lru_cache(maxsize=256)
def _ever_offered(dialog: Dialog) -> Mapping[str, frozenset[str]]:
    """For each question, the digits that may follow its address: whoever is asked, whichever pages were sent.

    None may where words are asked for. A question for digits is left out: too many may.
    """
    return {
        ask.name: frozenset(
            digits
            for group, options in (ask.options.groups.items() if ask.options else ())
            for digits in _offered(dialog, ask.name, group, len(options) // PAGE)
        )
        for ask in dialog.questions()
        if ask.kind is not Kind.DIGITS
    }


@lru_cache(maxsize=2048)
def _offered(dialog: Dialog, state: str, group: str, page: int) -> frozenset[str]:
    """All digits that may follow the address of a choice whose pages up to `page` were sent."""
    pages = range(page + 1)
    return frozenset(MORE * page + code for page in pages for code in _codes(dialog, state, group, page))


def _find_slowly(reading: Reading, held: _Held) -> Found | Missed:
    """Hold the text against every question that it may answer, by the grammar of replies."""
    open_ones = [
        index for index, (dialog, conversation) in enumerate(held)
        if conversation.status is Status.OPEN and question_of(dialog, conversation)
    ]  # fmt: skip
    found: list[Found] = []
    missed: dict[int, str] = {}
    for index, (dialog, conversation) in enumerate(held):
        bare = open_ones == [index]
        for state, page, question in _questions(dialog, conversation):
            current = state == conversation.state and page == conversation.page
            if not current and not may_answer(reading, question):
                continue
            result = answer(reading, question, bare=bare and current)
            if isinstance(result, Answer):
                value = MORE * page + result.value
                found.append(Found(index, state, value, result.also or "", result.coercions))
            elif index in open_ones and (result.reason == BAD_IBAN or (current and missed.get(index) != BAD_IBAN)):
                missed[index] = result.reason  # an account is one, whichever question it was meant for
    return _decide(reading, held, found, missed)


def _decide(
    reading: Reading,
    held: _Held,
    found: list[Found],
    missed: dict[int, str],
) -> Found | Missed:
    alive = [hit for hit in found if held[hit.index][1].status is Status.OPEN]
    hits = alive or found
    direct = [hit for hit in hits if not hit.also]  # an account by itself answers the question for one
    if len(hits) == 1 or len(direct) == 1:
        return (direct or hits)[0]
    if hits:
        return Missed(hits[0].index, AMBIGUOUS)
    if missed:
        index = max(missed, key=lambda index: _nearness(reading, held[index][1]))
        return Missed(index, missed[index])
    waiting = [index for index, (_, conversation) in enumerate(held) if conversation.status is Status.OPEN]
    return Missed(waiting[-1] if waiting else None, "no_question")


def _nearness(reading: Reading, conversation: Conversation) -> tuple[int, float]:
    """How likely she meant this conversation: digits in common with its address, then the latest question."""
    address = conversation.printed[conversation.state][-1]
    common = next(
        (place for place, pair in enumerate(zip(address, reading.digits, strict=False)) if pair[0] != pair[1]),
        min(len(address), len(reading.digits)),
    )
    asked_at = conversation.asked_at
    return common, asked_at.timestamp() if asked_at else 0.0


def _questions(dialog: Dialog, conversation: Conversation) -> Iterator[tuple[str, int, Question]]:
    """Every question that a reply may mean, page by page: the open one and those answered on the way to it.

    Of a closed case, every question that was ever printed: the reply is late, but it is known for what it is.
    """
    answered = {asked.state: asked for asked in conversation.trail}
    for state, addresses in conversation.printed.items():
        ask = _ask(dialog, state)
        if state == conversation.state:
            pages = conversation.page + 1
        elif conversation.back and state == conversation.back.state:
            pages = 1
        elif state in answered:
            pages = _last_page(answered[state].value) + 1 if ask.options else 1
        elif conversation.status is Status.CLOSED:
            pages = 1
        else:
            continue
        group = group_of(dialog, conversation, ask)
        for page in range(pages):
            yield state, page, _question(dialog, state, group, addresses, page)


@lru_cache(maxsize=1024)  # thousands of mothers have the same questions open
def _question(dialog: Dialog, state: str, group: str, addresses: tuple[str, ...], page: int) -> Question:
    ask = _ask(dialog, state)
    return Question(
        kind=ask.kind,
        addresses=tuple(address + MORE * page for address in addresses),
        codes=_codes(dialog, state, group, page),
        yes_no=ask.yes_no,
        with_iban=_codes_with_iban(dialog, ask),
        length=ask.length,
        strict=ask.strict,
        other_words=_words_of_choices(dialog) if ask.kind is Kind.NAME else frozenset(),
    )


@lru_cache(maxsize=2048)
def _codes(dialog: Dialog, state: str, group: str, page: int) -> tuple[str, ...]:
    """The codes that one page of a question shows, as they stand there; none where it has no options."""
    ask, options = _ask(dialog, state), _options(dialog, state, group)
    codes = [option.code[page:] for option in page_of(ask, options, page)]
    if ask.other or has_more(ask, options, page):
        codes.append(MORE)
    return tuple(codes)


@lru_cache(maxsize=64)
def _words_of_choices(dialog: Dialog) -> frozenset[str]:
    """What stands in the questions with options of a dialog, and so may be an answer to one of them.

    Single words of a label only where they are written small: a place may also be somebody's name.
    """
    found: set[str] = set()
    for ask in dialog.questions():
        if ask.options is None:
            continue
        texts = [part for template in ask.text.values() for part in template if isinstance(part, str)]
        options = (option for group in ask.options.groups.values() for option in group)
        labels = {label for option in options for label in option.label.values()}
        small = [word for label in labels for word in label.split() if word.islower()]
        found.update(word for text in (*texts, *small) for word in fold_words(text))
        found.update(" ".join(fold_words(label)) for label in labels if " " in label)
    return frozenset(found)


def _codes_with_iban(dialog: Dialog, ask: Ask) -> tuple[str, ...]:
    """Codes that lead straight to the question for an account: it may follow in the same reply."""
    codes = (branch for branch in ask.then if branch.code)
    targets = ((branch.code, dialog.states.get(branch.to)) for branch in codes)
    return tuple(code for code, to in targets if code and isinstance(to, Ask) and to.kind is Kind.IBAN)


def _last_page(value: str) -> int:
    """The page on which `value` was chosen: each page before it was turned by `MORE`."""
    turned = len(value) - len(value.lstrip(MORE))
    return turned - 1 if turned == len(value) and turned else turned


def _is_paged(ask: Ask, options: tuple[Option, ...]) -> bool:
    return bool(ask.other) or any(len(option.code) > 1 and option.code[0] == MORE for option in options)


def _ask(dialog: Dialog, state: str) -> Ask:
    ask = dialog.states[state]
    assert isinstance(ask, Ask)  # noqa: S101 - only questions are printed and answered
    return ask
