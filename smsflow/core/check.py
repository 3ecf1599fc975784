"""What is wrong with a dialog that can be read: states nobody reaches, ways that never end, texts too long.

Errors of form (a missing key, an unknown name) are the reader's. Each flaw has a code that does not change,
its place in the file, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import Enum

from smsflow.core.dialog import KNOWN_FACTS, MORE, REQUIRED_TEXTS, Ask, Dialog, End, Scheme, State, Texts, Wait
from smsflow.core.document import Document, Path, read_document
from smsflow.core.errors import Finding
from smsflow.core.longest import OF_QUESTION, LongText, longest_texts, said_texts, unheard_texts
from smsflow.core.reply import Kind
from smsflow.core.text import LONGEST, Placeholder

__all__ = ["CODES", "Flaw", "Severity", "check_dialog", "check_dialogs"]

CODES = {
    "unreachable": "no way leads to this state",
    "dead_end": "no way leads from this state to an end",
    "endless": "questions that pass a mother without a list on to each other, round and round",
    "ambiguous": "nobody could tell which question a reply answers",
    "no_address": "a question that does not say how to reply",
    "no_such_reply": "a text prints a reply that the question does not take",
    "unknown_placeholder": "a placeholder that has no value here",
    "differs": "a placeholder that stands in one language and not in another",
    "too_long": "a text that takes too many SMS with everything filled in at its longest",
    "unconfirmed": "an account or an application that she has not seen before it goes",
    "unknown_name": "`with` or `of` names what no question saves, and what is no known fact",
    "never_late": "a body may forget this application, and nobody is told",
}
"""Every code, and what it stands for."""

_BUDGETED = ("kk", "ru")  # the dialog's budget is theirs
_MOST_SEGMENTS = 3  # in any other language
_TYPED = (Kind.NAME, Kind.IBAN, Kind.TEXT)
_OF_NO_QUESTION = frozenset({"unknown", "more", "other", "no_reply_needed", "closed"})


class Severity(Enum):
    """Whether a dialog may be used as it is."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing that is wrong: how bad, its code, where and what (`finding`), and what to do (`fix`)."""

    severity: Severity
    code: str
    finding: Finding
    fix: str

    def __str__(self) -> str:
        place = f"{self.finding.file}:{self.finding.line}:{self.finding.column}"
        trail = f"{self.finding.trail}: " if self.finding.trail else ""
        return f"{place}: {self.severity.value} {self.code}: {trail}{self.finding.problem}; {self.fix}"

    def as_finding(self) -> Finding:
        """The flaw as a reason to refuse the dialog: code, problem and what to do in one."""
        return replace(self.finding, problem=f"{self.code}: {self.finding.problem}; {self.fix}")


def check_dialogs(dialogs: Sequence[Dialog], meant: Sequence[Dialog] | None = None) -> tuple[Flaw, ...]:
    """What is wrong with the dialogs of a folder (or with those `meant`); a shared text is wrong once."""
    found = (flaw for dialog in (dialogs if meant is None else meant) for flaw in check_dialog(dialog, dialogs))
    return tuple(dict.fromkeys(found))


def check_dialog(dialog: Dialog, beside: Sequence[Dialog] = ()) -> tuple[Flaw, ...]:
    """Everything that is wrong with `dialog`, in the order of its files; empty when it is right.

    `beside` are the dialogs of its folder: one that begins this one leaves its answers to it.
    """
    look = _Look(dialog)
    found = (
        *_find_lost_states(look),
        *_find_endless(look),
        *_find_ambiguous(look),
        *_find_unconfirmed(look),
        *_find_never_late(look),
        *_find_unknown_names(look, beside),
        *_find_bad_placeholders(look),
        *_find_silent_questions(look),
        *_find_too_long(look),
    )
    return tuple(sorted(set(found), key=lambda flaw: (flaw.finding, flaw.code)))


class _Look:
    """A dialog and the places of its parts: the sources are read again, once."""

    def __init__(self, dialog: Dialog) -> None:
        self.dialog = dialog
        self._documents = [read_document(text, file) for file, text in dialog.sources.items()]

    def flaw(self, severity: Severity, code: str, path: Path, problem: str, fix: str) -> Flaw:
        """A flaw at `path` of the dialog's own file, or of the shared texts when it stands there."""
        return Flaw(severity, code, self._document(path).finding(path, problem), fix)

    def path_of(self, ask: Ask) -> Path:
        """Where the question's text stands: in its state, or among the texts."""
        said = self._documents[0].data
        for part in ("states", ask.name, "say"):
            said = said.get(part, "") if isinstance(said, dict) else ""
        return ("texts", said) if isinstance(said, str) and said else ("states", ask.name, "text")

    def in_language(self, path: Path, language: str) -> Path:
        """`path` in one language; a text that is written once for all has no such place."""
        inner = (*path, language)
        return inner if inner in self._document(path).places else path

    def _document(self, path: Path) -> Document:
        own = self._documents[0]
        return next((document for document in self._documents if path[:2] in document.places), own)


def _state(name: str) -> Path:
    return ("states", name)


# --- ways -------------------------------------------------------------------------------------------


def _find_lost_states(look: _Look) -> Iterator[Flaw]:
    dialog = look.dialog
    reached = _closure((branch.to for branch in dialog.begin), _ways(dialog))
    back: dict[str, set[str]] = {name: set() for name in dialog.states}
    for name, ways in _ways(dialog).items():
        for to in ways:
            back[to].add(name)
    ending = _closure((state.name for state in dialog.states.values() if isinstance(state, End)), back)
    for name in dialog.states:
        if name not in reached:
            fix = "lead an answer or an event to it with `then`, or delete it"
            yield look.flaw(Severity.WARNING, "unreachable", _state(name), "no way leads here", fix)
        if name not in ending:
            fix = "let one of the states that follow lead to a state with `end`"
            yield look.flaw(Severity.ERROR, "dead_end", _state(name), "no way leads from here to an end", fix)


def _ways(dialog: Dialog) -> dict[str, set[str]]:
    return {name: set(dialog.destinations(state)) for name, state in dialog.states.items()}


def _closure(start: Iterable[str], ways: Mapping[str, Iterable[str]]) -> set[str]:
    """Every name that can be reached from `start`, those included."""
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += ways[name]
    return reached


def _find_endless(look: _Look) -> Iterator[Flaw]:
    """A question with a list `of` something passes her on to `other` unasked when her list is empty."""
    passing = {ask.name: [ask.other] for ask in look.dialog.questions() if ask.of and ask.other}
    ways = {name: passing.get(name, []) for name in look.dialog.states}
    for name in passing:
        if name in _closure(ways[name], ways):
            problem = "a mother who has no list here is passed on for ever, and never asked"
            fix = "lead `other` to a question that everybody can answer"
            yield look.flaw(Severity.ERROR, "endless", (*_state(name), "other"), problem, fix)


def _find_ambiguous(look: _Look) -> Iterator[Flaw]:
    """Under Scheme.PATH words add nothing to the address, so the next question for words has the same one."""
    if look.dialog.scheme is Scheme.FIXED:
        return
    for ask in look.dialog.questions():
        if ask.length[0] != ask.length[1] and (follower := _next_question(look.dialog, ask)):
            problem = f"digits of no fixed number: nobody could tell where they end and {follower} begins"
            fix = "write one number, such as `length: 4`, or `replies: fixed`"
            yield look.flaw(Severity.ERROR, "ambiguous", (*_state(ask.name), "length"), problem, fix)
        if ask.kind in _TYPED:
            for other in sorted(_same_address(look.dialog, ask), key=lambda other: other.name):
                problem = f"shares its address with {ask.name}, and both take words"
                fix = "ask a choice in between, such as a confirmation, or write `replies: fixed`"
                yield look.flaw(Severity.ERROR, "ambiguous", _state(other.name), problem, fix)


def _next_question(dialog: Dialog, ask: Ask) -> str:
    """A question that comes after `ask`, "" when none does."""
    after = _closure((branch.to for branch in ask.then), _ways(dialog))
    return next((other.name for other in dialog.questions() if other.name in after - {ask.name}), "")


def _same_address(dialog: Dialog, ask: Ask) -> list[Ask]:
    """Questions for words that follow with no digit in between. A name is never taken for an account."""
    still: dict[str, list[str]] = {}
    for name, state in dialog.states.items():
        if isinstance(state, Ask) and state.kind not in _TYPED:
            still[name] = [state.other] if state.other else []
        else:
            still[name] = list(dialog.destinations(state))
    followers = (dialog.states[name] for name in _closure([branch.to for branch in ask.then], still))
    return [
        other
        for other in followers
        if isinstance(other, Ask)
        and other.kind in _TYPED
        and other.name != ask.name
        and {ask.kind, other.kind} != {Kind.NAME, Kind.IBAN}
    ]


# --- what cannot be undone --------------------------------------------------------------------------


def _find_unconfirmed(look: _Look) -> Iterator[Flaw]:
    for ask in look.dialog.questions():
        if ask.kind is Kind.IBAN and not all(_confirms(look.dialog, branch.to, ask) for branch in ask.then):
            problem = "the account is used without her having seen how it was understood"
            fix = f"let `ask: confirm` follow, with a text that shows {{{ask.save}}}"
            yield look.flaw(Severity.WARNING, "unconfirmed", (*_state(ask.name), "then"), problem, fix)
        if ask.yes_no or _echoes(ask):
            continue
        for branch in ask.then:
            to = look.dialog.states[branch.to]
            if isinstance(to, Wait) and to.send:
                problem = f"the application {to.send} goes out after this answer, unconfirmed"
                fix = "let `ask: confirm` come in between, with a text that shows what is sent"
                yield look.flaw(Severity.WARNING, "unconfirmed", (*_state(ask.name), "then"), problem, fix)


def _confirms(dialog: Dialog, name: str, ask: Ask) -> bool:
    state: State = dialog.states[name]
    return isinstance(state, Ask) and state.yes_no and all(ask.save in _names(state.text[x]) for x in state.text)


def _echoes(ask: Ask) -> bool:
    """Whether a choice shows something of what is known, so that the choice confirms it."""
    return ask.options is not None and all(_names(ask.text[language]) - OF_QUESTION for language in ask.text)


def _find_never_late(look: _Look) -> Iterator[Flaw]:
    for state in look.dialog.states.values():
        if isinstance(state, Wait) and state.late is None:
            problem = "if the body never answers, nobody is told"
            fix = "write after how long a person must look, such as `late: 3 working days`"
            yield look.flaw(Severity.WARNING, "never_late", _state(state.name), problem, fix)


def _find_unknown_names(look: _Look, beside: Sequence[Dialog]) -> Iterator[Flaw]:
    known = {*KNOWN_FACTS, *_answers(look.dialog)}
    known |= {name for dialog in _beginners(look.dialog, beside) for name in _left_behind(dialog)}
    fix = f"known here: {', '.join(sorted(known))}"
    for state in look.dialog.states.values():
        if isinstance(state, Wait):
            named = [((*_state(state.name), "with", index), name) for index, name in enumerate(state.content)]
        else:
            named = [((*_state(state.name), "of"), state.of)] if isinstance(state, Ask) and state.of else []
        for path, name in named:
            if name not in known:
                problem = f"{name} is saved by no question, and is no known fact"
                yield look.flaw(Severity.ERROR, "unknown_name", path, problem, fix)


def _answers(dialog: Dialog) -> set[str]:
    return {ask.save for ask in dialog.questions()}


def _left_behind(dialog: Dialog) -> set[str]:
    """What the dialogs that `dialog` begins know from it: its answers, and choices also in words."""
    return _answers(dialog) | {f"{ask.save}_text" for ask in dialog.questions() if ask.options}


def _beginners(dialog: Dialog, beside: Sequence[Dialog]) -> list[Dialog]:
    """The dialogs that begin `dialog`, or one that begins it, and so on."""
    by_name = {other.name: other for other in beside}
    back: dict[str, set[str]] = {name: set() for name in (*by_name, dialog.name)}
    for other in beside:
        for name in other.begins & back.keys():
            back[name].add(other.name)
    return [by_name[name] for name in _closure(back[dialog.name], back)]


# --- texts ------------------------------------------------------------------------------------------


def _texts(look: _Look) -> Iterator[tuple[Path, Texts, Ask | None]]:
    """Every text of the dialog with its place, and its question where it is one."""
    for ask in look.dialog.questions():
        yield look.path_of(ask), ask.text, ask
    used = said_texts(look.dialog) | set(REQUIRED_TEXTS) | unheard_texts(look.dialog).keys()
    for name, texts in look.dialog.texts.items():
        if name in used:
            yield ("texts", name), texts, None


def _placeholders(template: Iterable[str | Placeholder]) -> set[Placeholder]:
    return {part for part in template if isinstance(part, Placeholder)}


def _names(template: Iterable[str | Placeholder]) -> set[str]:
    return {part.name for part in _placeholders(template)}


def _find_bad_placeholders(look: _Look) -> Iterator[Flaw]:
    silent = said_texts(look.dialog) | _OF_NO_QUESTION
    unheard = unheard_texts(look.dialog)
    silent |= {name for name, base in unheard.items() if base in silent}
    before = _codes_before(look.dialog)
    for path, texts, ask in _texts(look):
        codes = _codes(ask) if ask else before if path[1] in unheard else frozenset[str]()
        everywhere = set.intersection(*(_placeholders(template) for template in texts.values()))
        for language, template in texts.items():
            for placeholder in sorted(_placeholders(template), key=str):
                where = look.in_language(path, language)
                yield from _judge(look, where, placeholder, codes, is_silent=path[1] in silent)
                if placeholder not in everywhere:
                    problem = f"{placeholder} does not stand in every language"
                    fix = "say the same in each language"
                    yield look.flaw(Severity.ERROR, "differs", where, problem, fix)


def _judge(
    look: _Look, path: Path, placeholder: Placeholder, codes: Set[str], *, is_silent: bool
) -> Iterator[Flaw]:
    """What is wrong with one placeholder in one text, which may print replies with these `codes`."""
    name, argument = placeholder.name, placeholder.argument
    answers = {
        question.save: question.kind for question in look.dialog.questions() if question.kind is not Kind.IBAN
    }
    known = {*LONGEST, *answers} | (set() if is_silent else OF_QUESTION)
    if name not in known or (argument and name != "reply"):
        fix = f"known here: {', '.join(f'{{{name}}}' for name in sorted(known))}"
        yield look.flaw(Severity.ERROR, "unknown_placeholder", path, f"{placeholder} has no value here", fix)
    elif argument and argument not in codes:
        takes = ", ".join(sorted(codes)) or "whatever its question takes: write {reply} or {example}"
        problem = f"{placeholder} prints a reply that is not taken"
        yield look.flaw(Severity.ERROR, "no_such_reply", path, problem, f"the codes are {takes}")


def _codes(ask: Ask) -> frozenset[str]:
    groups = ask.options.groups.values() if ask.options else ()
    codes = {option.code for group in groups for option in group}
    return frozenset(codes | ({MORE} if ask.other else set()))


def _codes_before(dialog: Dialog) -> frozenset[str]:
    """Codes that a text may print while she has not chosen a language: one for all questions that are open then."""
    states = dialog.unheard_states()
    asked = [_codes(ask) if ask.sets_language else frozenset() for ask in dialog.questions() if ask.name in states]
    return frozenset.intersection(*asked) if asked else frozenset()


def _find_silent_questions(look: _Look) -> Iterator[Flaw]:
    for ask in look.dialog.questions():
        for language, template in ask.text.items():
            if not _names(template) & {"reply", "example"}:
                problem = "the question does not say how to reply"
                fix = "print {reply}, {reply 1} or {example}"
                path = look.in_language(look.path_of(ask), language)
                yield look.flaw(Severity.ERROR, "no_address", path, problem, fix)


def _find_too_long(look: _Look) -> Iterator[Flaw]:
    for long in longest_texts(look.dialog):
        most = look.dialog.budget if long.language in _BUDGETED else max(look.dialog.budget, _MOST_SEGMENTS)
        if long.segments > most:
            path = look.in_language(_path_of(look, long), long.language)
            problem = f"{long.segments} SMS ({len(long.text)} characters) at its longest; {most} are allowed"
            where = f" (in the question {long.state})" if long.state else ""
            yield look.flaw(Severity.ERROR, "too_long", path, problem, f"shorten it{where}, longest: {long.text!r}")


def _path_of(look: _Look, long: LongText) -> Path:
    state = look.dialog.states.get(long.state)
    return look.path_of(state) if isinstance(state, Ask) else ("texts", long.name)
