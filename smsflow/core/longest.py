"""Every text of a dialog at its longest: the longest address, label, answer and value of a body filled in.

So an editor knows how many SMS a text can take before any mother gets it. Nothing here judges; `core.check` does.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from smsflow.core.dialog import (
    MORE,
    PAGE,
    REQUIRED_TEXTS,
    UNHEARD,
    Ask,
    Branch,
    Dialog,
    End,
    Option,
    Scheme,
    Texts,
    Wait,
)
from smsflow.core.encoding import segments
from smsflow.core.names import NAME_MAX
from smsflow.core.questions import has_more, page_of, print_reply
from smsflow.core.reply import TEXT_MAX, Kind
from smsflow.core.text import LONGEST, fill

__all__ = ["OF_QUESTION", "LongText", "address_lengths", "longest_texts", "said_texts", "unheard_texts"]

OF_QUESTION = frozenset({"reply", "options", "example", "deadline"})
"""Placeholders that mean something only while a question is open."""

_DIGITS = frozenset({"account", "amount", "birth_order", "date", "deadline"})  # values that fit GSM 03.38
_HEAD = 2  # digits of every address: the service, the child
_MOST_STEPS = 50_000  # of the search for the longest way to a question


@dataclass(frozen=True, slots=True)
class LongText:
    """The text called `name` (of question `state`, "" for a text that stands among the texts) at its longest."""

    name: str
    state: str
    language: str
    text: str

    @property
    def segments(self) -> int:
        """SMS that it takes."""
        return segments(self.text)


@dataclass(frozen=True, slots=True)
class _Scene:
    """A question as some mother sees it: the digits that it prints, and the choices of one page."""

    ask: Ask
    address: str
    shown: tuple[tuple[str, Mapping[str, str]], ...]  # code, words by language

    def example(self) -> str:
        if self.shown:
            return print_reply(self.address + max((code for code, _ in self.shown), key=len))
        return print_reply(self.address) + (" " + "0" * self.ask.length[1]) * (self.ask.kind is Kind.DIGITS)

    def options(self, language: str) -> str:
        return " ".join(f"{code} {words[language]}" for code, words in self.shown)


def longest_texts(dialog: Dialog) -> tuple[LongText, ...]:
    """Each text of the dialog, in each language, at its longest; in the order of the file, questions first."""
    widths = address_lengths(dialog)
    scenes = {ask.name: tuple(_scenes(dialog, ask, widths.get(ask.name, _HEAD))) for ask in dialog.questions()}
    everywhere = [scene for of_ask in scenes.values() for scene in of_ask]
    found = [
        _longest(dialog, "text", ask.text, language, scenes[ask.name], ask.name)
        for ask in dialog.questions()
        for language in ask.text
    ]
    used = said_texts(dialog) | set(REQUIRED_TEXTS)
    before = [scene for name in scenes.keys() & dialog.unheard_states() for scene in scenes[name]]
    unheard = unheard_texts(dialog)
    for name, texts in dialog.texts.items():
        if name not in used | unheard.keys():
            continue  # shared, and other dialogs use it
        shown = before if name in unheard else everywhere
        found += [_longest(dialog, name, texts, language, shown, "") for language in texts]
    return tuple(found)


def unheard_texts(dialog: Dialog) -> dict[str, str]:
    """The texts for her who has not chosen a language, where they can occur: `stopped_unheard` → `stopped`."""
    states = dialog.unheard_states()
    names = said_texts(dialog, states) | set(REQUIRED_TEXTS) if states else set()
    return {f"{name}{UNHEARD}": name for name in names if f"{name}{UNHEARD}" in dialog.texts}


def said_texts(dialog: Dialog, states: Container[str] | None = None) -> set[str]:
    """Names of the texts that go out with `say` on the way (in `states`), while no question is open."""
    said: set[str] = set()
    for state in dialog.states.values():
        if states is not None and state.name not in states:
            continue
        if isinstance(state, Wait):
            said |= {state.say, *(reaction.say for reaction in state.on.values())}
        elif isinstance(state, End):
            said.add(state.say)
    return said - {""}


def address_lengths(dialog: Dialog) -> dict[str, int]:
    """Digits of the longest address of each question that can be reached.

    Asking a question again takes back the answers since, so no way counts a question twice. When a dialog has
    too many ways to try them all, every answer is taken to be on the way: too long, never too short.
    """
    if dialog.scheme is Scheme.FIXED:
        return {ask.name: _HEAD + len(ask.number) for ask in dialog.questions()}
    lengths: dict[str, int] = {}
    ways = [(branch.to, _HEAD, frozenset[str]()) for branch in dialog.begin]
    for _ in range(_MOST_STEPS):
        if not ways:
            return {ask.name: lengths[ask.name] for ask in dialog.questions() if ask.name in lengths}
        name, length, passed = ways.pop()
        lengths[name] = max(length, lengths.get(name, 0))
        for to, digits in _ways_on(dialog, name):
            if to not in passed and to != name:
                ways.append((to, length + digits, passed | {name}))
    whole = _HEAD + sum(max(_most_digits(ask), _pages(ask) if ask.other else 0) for ask in dialog.questions())
    return {ask.name: whole for ask in dialog.questions()}


def _ways_on(dialog: Dialog, name: str) -> Iterator[tuple[str, int]]:
    """Each state that may follow, and the digits that the way there adds to the address."""
    state = dialog.states[name]
    if isinstance(state, Ask):
        yield from ((branch.to, _digits_of(state, branch)) for branch in state.then)
        yield state.silence.then, 0
        if state.other:
            yield state.other, _pages(state)  # each page is turned, and the list left, by one digit
    elif isinstance(state, Wait):
        yield from ((to, 0) for to in dialog.destinations(state))


def _digits_of(ask: Ask, branch: Branch) -> int:
    return len(branch.code) if branch.code else _most_digits(ask)


def _most_digits(ask: Ask) -> int:
    if ask.kind is Kind.DIGITS:
        return ask.length[1]
    return max((len(option.code) for option in _all_options(ask)), default=0)


def _pages(ask: Ask) -> int:
    """Pages of the longest list of the question."""
    return max((-(-len(group) // PAGE) for group in ask.options.groups.values()), default=1) if ask.options else 1


def _all_options(ask: Ask) -> Iterator[Option]:
    for group in ask.options.groups.values() if ask.options else ():
        yield from group


def _scenes(dialog: Dialog, ask: Ask, width: int) -> Iterator[_Scene]:
    """Every way in which `ask` may be shown, group by group and page by page."""
    for options in ask.options.groups.values() if ask.options else [()]:
        page, is_last = 0, False
        while not is_last:
            is_last = not has_more(ask, options, page)
            shown = [(option.code[page:], option.label) for option in page_of(ask, options, page)]
            way_on = "more" if not is_last else "other" if ask.other else ""
            if way_on:
                shown.append((MORE, _plain(dialog, way_on)))
            yield _Scene(ask, "0" * (width + page), tuple(shown))
            page += 1


def _plain(dialog: Dialog, name: str) -> dict[str, str]:
    return {language: fill(text, lambda *_: "") for language, text in dialog.texts[name].items()}


def _longest(
    dialog: Dialog, name: str, texts: Texts, language: str, scenes: list[_Scene] | tuple[_Scene, ...], state: str
) -> LongText:
    template = texts[language]
    depends = any(not isinstance(part, str) and part.name in OF_QUESTION for part in template)
    candidates: list[_Scene | None] = list(scenes) if depends else []

    def filled(scene: _Scene | None) -> str:
        return fill(template, lambda name, argument: _value(dialog, language, scene, name, argument))

    text = max((filled(scene) for scene in candidates or [None]), key=lambda text: (segments(text), len(text)))
    return LongText(name, state, language, text)


def _value(dialog: Dialog, language: str, scene: _Scene | None, name: str, argument: str) -> str:
    """The longest value of a placeholder; "" where it has none."""
    if scene and name == "reply":
        return print_reply(scene.address + argument)
    if scene and name == "options":
        return scene.options(language)
    if scene and name == "example":
        return scene.example()
    values = [("0" if name in _DIGITS else "Ж") * LONGEST.get(name, 0)]
    values += (_answer(ask, language) for ask in dialog.questions() if ask.save == name and name != "account")
    return max(values, key=lambda value: (segments(value), len(value)))


def _answer(ask: Ask, language: str) -> str:
    """The longest answer to `ask` as a text prints it: the words of a choice, or what she typed."""
    if ask.options:
        return max((option.label[language] for option in _all_options(ask)), key=len, default="")
    if ask.kind is Kind.DIGITS:
        return "0" * ask.length[1]
    most = NAME_MAX if ask.kind is Kind.NAME else TEXT_MAX
    return "Ж" * LONGEST.get(ask.save, most)
