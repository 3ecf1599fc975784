"""YAML text → `Dialog`, or every reason why not, each with file:line:col and a trail.

What is read is a set of files, name → text: the dialogs at the top (`*.yaml`), `texts.yaml` with the texts
that all dialogs share, and `lists/*.yaml` with the choices. Nothing here opens a file.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from smsflow.core.dialog import (
    MORE,
    PAGE,
    REQUIRED_TEXTS,
    Ask,
    Branch,
    Dialog,
    End,
    Option,
    OptionList,
    Reaction,
    Rule,
    Scheme,
    Silence,
    State,
    Texts,
    Wait,
)
from smsflow.core.document import Document, Model, Path, mend, read_document
from smsflow.core.durations import Duration, parse_duration
from smsflow.core.errors import DialogError, Finding
from smsflow.core.forms import (
    AskForm,
    DialogForm,
    EndForm,
    ListForm,
    SharedTextsForm,
    SilenceForm,
    Then,
    WaitForm,
    Words,
)
from smsflow.core.reply import Kind
from smsflow.core.text import Template, parse_template

__all__ = ["SHARED_TEXTS", "read_dialog", "read_dialogs", "revision_of"]

SHARED_TEXTS = "texts.yaml"
_LISTS = "lists/"
_STATE_FORMS: Mapping[str, type[AskForm | WaitForm | EndForm]] = {"ask": AskForm, "wait": WaitForm, "end": EndForm}


def read_dialogs(files: Mapping[str, str]) -> tuple[Dialog, ...]:
    """Every dialog among `files`, by name. Raises: DialogError with everything that is wrong in any of them."""
    findings: list[Finding] = []
    dialogs: list[Dialog] = []
    documents: dict[str, Document] = {}
    tops = sorted(name for name in files if "/" not in name and name != SHARED_TEXTS)
    if not tops:
        findings.append(Finding("dialogs", 1, 1, "", "no dialog here: expected at least one *.yaml"))
    for name in tops:
        try:
            dialogs.append(_Reader(files, name, documents).dialog())
        except DialogError as error:
            findings += error.findings
    findings += _across([documents[name] for name in tops], files)
    if findings:
        raise DialogError(tuple(set(findings)))
    return tuple(sorted(dialogs, key=lambda dialog: dialog.name))


def read_dialog(files: Mapping[str, str], name: str) -> Dialog:
    """The dialog in file `name`. Raises: DialogError with everything that is wrong in it and in what it uses."""
    return _Reader(files, name, {}).dialog()


def revision_of(sources: Mapping[str, str]) -> str:
    """The content hash of a dialog's files: what a conversation is pinned to."""
    canonical = json.dumps(sources, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return "sha256:" + hashlib.sha256(canonical.encode()).hexdigest()


# --- between dialogs --------------------------------------------------------------------------------


def _across(documents: list[Document], files: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong between dialogs. A dialog that cannot be read is known all the same, by name."""
    named = {document.file: _word(document, "dialog") for document in documents}
    same_name = "{word} is the name of {others} too"
    yield from _shared(documents, "dialog", same_name, {document.file: document.file for document in documents})
    one_only = "only one dialog may start at a birth; {others} does too"
    yield from _shared(documents, "starts", one_only, named)
    own_digit = "the replies to {others} begin with {word} too; each dialog has a digit of its own"
    yield from _shared(documents, "service", own_digit, named)
    known = set(named.values()) | {
        guess for file, name in named.items() if not name for guess in _guesses(file, files)
    }
    for document in documents:
        for path, begun in _begun(document):
            if begun not in known:
                names = ", ".join(sorted({name for name in named.values() if name}))
                yield document.finding(path, f"no dialog is called {begun}; known: {names}")


def _shared(documents: list[Document], key: str, problem: str, named: Mapping[str, str]) -> Iterator[Finding]:
    """A finding in each of the dialogs that have the same word behind `key`; `named` says how to call them."""
    for document in documents:
        word = _word(document, key)
        same = [other.file for other in documents if other is not document and word and _word(other, key) == word]
        if same:
            others = ", ".join(named[file] or file for file in same)
            yield document.finding((key,), problem.format(word=word, others=others))


def _word(document: Document, key: str) -> str:
    """What stands behind `key` at the top of a file, "" where that is no word."""
    word = _mapping(document.data).get(key)
    return word if isinstance(word, str) else ""


def _guesses(file: str, files: Mapping[str, str]) -> Iterator[str]:
    """What a dialog may be called in whose file the name cannot be read."""
    yield file.removesuffix(".yaml")
    found = re.search(r"^dialog:\s*[\"']?([\w-]+)", files[file], re.MULTILINE)
    if found:
        yield found[1]


def _begun(document: Document) -> Iterator[tuple[Path, str]]:
    for name, keys in _mapping(_mapping(document.data).get("states")).items():
        path: Path = ("states", name)
        yield from _listed(_mapping(keys).get("begin"), (*path, "begin"))
        for event, reaction in _mapping(_mapping(keys).get("wait")).items():
            yield from _listed(_mapping(reaction).get("begin"), (*path, "wait", event, "begin"))


def _listed(names: Any, path: Path) -> Iterator[tuple[Path, str]]:  # noqa: ANN401 - may be anything
    if isinstance(names, str):
        yield path, names
    elif isinstance(names, list):
        yield from (((*path, index), name) for index, name in enumerate(names) if isinstance(name, str))


@dataclass(frozen=True, slots=True)
class _Raw:
    """A state as it stands in the file, before names are looked up."""

    name: str
    model: AskForm | WaitForm | EndForm


class _Reader:
    """Reads one dialog; collects findings instead of stopping at the first.

    What is broken is left out or stubbed, and remembered in `_broken`: nothing that follows from it is said again.
    `documents` holds the files that were read before, and gets those that are read now.
    """

    def __init__(self, files: Mapping[str, str], name: str, documents: dict[str, Document]) -> None:
        self._files = files
        self._documents = documents
        self._document = self._read(name)
        self._findings: list[Finding] = list(self._document.findings)
        self._broken: set[tuple[str, Path]] = set()
        self._sources: dict[str, str] = {name: files[name]}
        self._languages: tuple[str, ...] = ()
        self._unwritten: frozenset[str] = frozenset()
        self._default_silence = _SOME_SILENCE
        self._texts_by_name: dict[str, Texts] = {}
        self._named_texts: set[str] | None = set()  # None: nobody knows, because a file with texts cannot be read

    def dialog(self) -> Dialog:
        if not self._document.is_readable:
            raise DialogError(self._document.findings)
        model = self._mend(DialogForm, self._document)
        states = self._raw_states()
        if model is None:
            raise DialogError(tuple(self._findings))
        self._languages = tuple(model.languages)
        self._unwritten = self._find_other_languages()
        self._name_texts(self._document)
        texts = self._shared_texts() | self._texts(model.texts, ("texts",), self._document)
        self._texts_by_name = texts
        self._default_silence = self._silence(model.silence, ("silence",)) or _SOME_SILENCE
        lists = self._lists(states)
        built = self._states(states, lists, model.replies)
        dialog = Dialog(
            name=model.dialog,
            revision=revision_of(self._sources),
            title=model.title,
            service=model.service,
            languages=self._languages,
            scheme=model.replies,
            budget=self._budget(model.budget),
            starts_at_birth=model.starts == "birth",
            begin=self._branches(model.begin, ("begin",), coded=set()),
            states=built,
            texts=texts,
            ladder=tuple(model.not_understood),
            sources=self._sources,
        )
        self._find_missing_languages(model.title, ("title",), self._document)
        self._find_unknown_names(dialog, model)
        if self._findings:
            raise DialogError(tuple(self._findings))
        return dialog

    # --- parts -------------------------------------------------------------------------------------

    def _read(self, file: str) -> Document:
        if file not in self._documents:
            self._documents[file] = read_document(self._files[file], file)
        return self._documents[file]

    def _mend(self, form: type[Model], document: Document, path: Path = ()) -> Model | None:
        """The part at `path` as `form`, without what is broken in it."""
        mended = mend(form, document, path, stubs=_STUBS)
        self._findings += mended.findings
        self._broken |= {(document.file, broken) for broken in mended.broken}
        return mended.model

    def _is_intact(self, path: Path, document: Document | None = None) -> bool:
        """Whether nothing is broken at `path`, above it, or below it."""
        file = (document or self._document).file
        return not any(
            broken_file == file and (broken[: len(path)] == path or path[: len(broken)] == broken)
            for broken_file, broken in self._broken
        )

    def _has_strange_key(self, path: Path) -> bool:
        """Whether the state at `path` has a key that no state has: what seems to be missing may be misspelled."""
        inside = (broken for _, broken in self._broken if broken[:-1] == path)
        return any(broken[-1] not in _STATE_KEYS for broken in inside)

    def _find(self, path: Path, problem: str, document: Document | None = None) -> None:
        """Remember what is wrong at `path`, unless something there, or above it, is broken anyway."""
        document = document or self._document
        above = (path[:length] for length in range(len(path) + 1))
        if not any((document.file, part) in self._broken for part in above):
            self._findings.append(document.finding(path, problem))

    def _keys(self, name: str) -> dict[str, Any]:
        """State `name` as it stands in the file."""
        return _mapping(_mapping(_mapping(self._document.data).get("states")).get(name))

    def _name_texts(self, document: Document) -> None:
        """Remember what the texts of a file are called, whether or not they can be read."""
        texts = _mapping(document.data).get("texts", {} if document is self._document else None)
        if not document.is_readable or not isinstance(texts, dict):
            self._named_texts = None
        elif self._named_texts is not None:
            self._named_texts |= texts.keys()

    def _knows_text(self, name: str) -> bool:
        return self._named_texts is None or name in self._named_texts

    def _find_other_languages(self) -> frozenset[str]:
        """Languages on which `languages` and what is written differ: one wrong word, not an error in every text."""
        data = _mapping(self._document.data)
        words = [data.get("title"), *_mapping(data.get("texts")).values()]
        words += [_mapping(keys).get("text") for keys in _mapping(data.get("states")).values()]
        written = {language for labels in words for language in _mapping(labels)}
        unwritten = [language for language in self._languages if written and language not in written]
        for language in unwritten:
            path = ("languages", self._languages.index(language))
            self._find(
                path, f"nothing here is written in {language}; what is written: {', '.join(sorted(written))}"
            )
        unlisted = [x for x in _mapping(data.get("title")) if x not in self._languages]
        if unlisted and self._is_intact(("title",)) and not unwritten:
            self._find(("languages",), f"{', '.join(unlisted)} is missing: the title is written in it")
        return frozenset((*unwritten, *unlisted))

    def _raw_states(self) -> list[_Raw]:
        """The states by themselves: they are judged even where the rest of the dialog cannot be read."""
        raw: list[_Raw] = []
        for name, keys in _mapping(_mapping(self._document.data).get("states")).items():
            if not isinstance(keys, dict):
                continue  # the dialog's own schema has said so
            path: Path = ("states", name)
            kind = next((form for key, form in _STATE_FORMS.items() if key in keys), None)
            if kind is None:
                self._find(path, "a state asks, waits or ends: expected one of the keys ask, wait, end")
                continue
            read = self._mend(kind, self._document, path)
            if read is not None:
                raw.append(_Raw(name, read))
        return raw

    def _states(self, raw: list[_Raw], lists: Mapping[str, OptionList], scheme: Scheme) -> dict[str, State]:
        asks = [state.name for state in raw if isinstance(state.model, AskForm)]
        width = len(str(len(asks)))
        states: dict[str, State] = {}
        for state in raw:
            path: Path = ("states", state.name)
            match state.model:
                case AskForm() as ask:
                    number = str(asks.index(state.name) + 1).zfill(width) if scheme is Scheme.FIXED else ""
                    states[state.name] = self._ask(state.name, ask, path, lists, number)
                case WaitForm() as wait:
                    states[state.name] = self._wait(state.name, wait, path)
                case EndForm() as end:
                    states[state.name] = End(state.name, end.end, end.say, _names(end.begin))
        return states

    def _ask(self, name: str, ask: AskForm, path: Path, lists: Mapping[str, OptionList], number: str) -> Ask:
        options = self._options(name, ask, path, lists) if self._is_intact((*path, "ask")) else None
        silence = self._silence(ask.silence, (*path, "silence")) if ask.silence else None
        return Ask(
            name=name,
            kind=_KINDS[ask.ask],
            text=self._question_text(ask, path),
            save=ask.save or name,
            then=self._branches(
                _yes_no(ask.then) if ask.ask == "confirm" else ask.then,
                (*path, "then"),
                coded=self._codes(ask, path, options),
            ),
            silence=silence or self._default_silence,
            options=options,
            of=ask.of or "",
            other=ask.other or "",
            sets_language=ask.ask == "language",
            yes_no=ask.ask == "confirm",
            strict=ask.strict,
            length=self._length(ask, path),
            number=number,
        )

    def _codes(self, ask: AskForm, path: Path, options: OptionList | None) -> set[str] | None:
        """The codes of a question; None when nobody knows, because something that decides it is broken."""
        decides = [(*path, key) for key in ("ask", "choices", "list")]
        if not all(self._is_intact(part) for part in decides) or (ask.list and not self._is_list_right(ask.list)):
            return None
        if options is None:
            return None if ask.ask in ("language", "choice") else set()
        return {option.code for group in options.groups.values() for option in group}

    def _is_list_right(self, name: str) -> bool:
        document = self._documents.get(f"{_LISTS}{name}.yaml")
        return document is not None and document.is_readable and self._is_intact((), document)

    def _options(self, name: str, ask: AskForm, path: Path, lists: Mapping[str, OptionList]) -> OptionList | None:
        allowed = {
            "language": ("choices",),
            "choice": ("choices", "list", "of", "other"),
            "digits": ("length",),
        }
        for key in ("choices", "list", "of", "other", "length"):
            if getattr(ask, key) is not None and key not in allowed.get(ask.ask, ()):
                self._find((*path, key), f"`ask: {ask.ask}` has no `{key}`")
        if ask.ask == "confirm":
            return OptionList("confirm", {"": _YES_NO})
        if ask.ask not in ("language", "choice"):
            return None
        keys = self._keys(name)
        if "choices" not in keys and "list" not in keys and self._has_strange_key(path):
            return None  # one of them, misspelled
        if ("choices" in keys) == ("list" in keys):
            self._find(path, f"`ask: {ask.ask}` needs `choices`" + (" or `list`" * (ask.ask == "choice")))
            return None
        if ask.list is not None:
            if ask.of and "other" not in keys:
                self._find((*path, "of"), "needs `other`: the state for those who have no such list")
            return lists.get(ask.list)
        return OptionList(name, {"": self._choices(ask, path)})

    def _choices(self, ask: AskForm, path: Path) -> tuple[Option, ...]:
        options = []
        for code, words in (ask.choices or {}).items():
            where = (*path, "choices", code)
            if ask.ask == "language":
                if not isinstance(words, str) or words not in self._languages:
                    if self._is_intact(("languages",)) and not self._unwritten:
                        self._find(where, f"expected a language of this dialog: {', '.join(self._languages)}")
                    words = str(words)
                options.append(Option(code, dict.fromkeys(self._languages, _OWN_NAMES.get(words, words)), words))
            elif isinstance(words, str):
                options.append(Option(code, dict.fromkeys(self._languages, words)))
            else:
                self._find_missing_languages(words, where, self._document)
                options.append(Option(code, words))
        self._find_unclear_codes([option.code for option in options], (*path, "choices"), self._document)
        if len(options) > PAGE + 1:
            self._find((*path, "choices"), f"{len(options)} choices; more than {PAGE + 1} need a `list`")
        if ask.other and any(option.code.startswith(MORE) for option in options):
            self._find((*path, "other"), f"{MORE} is taken by a choice; `other` needs it")
        return tuple(options)

    def _wait(self, name: str, wait: WaitForm, path: Path) -> Wait:
        if not wait.wait and self._is_intact((*path, "wait")):
            self._find((*path, "wait"), "must name at least one event")
        if wait.content and "send" not in self._keys(name) and not self._has_strange_key(path):
            self._find((*path, "with"), "`with` says what is sent; `send` is missing")
        reactions = {
            event: Reaction(reaction.say, _names(reaction.begin), reaction.then)
            for event, reaction in wait.wait.items()
        }
        if self._is_intact((*path, "wait")) and not any(reaction.then for reaction in reactions.values()):
            self._find((*path, "wait"), "no event leads on: at least one needs `then`")
        late = self._parsed(wait.late, (*path, "late"), parse_duration) if wait.late else None
        return Wait(name, reactions, wait.send or "", tuple(wait.content), late, wait.say)

    def _silence(self, silence: SilenceForm, path: Path) -> Silence | None:
        remind = [
            self._parsed(words, (*path, "remind", index), parse_duration)
            for index, words in enumerate(silence.remind)
        ]
        give_up = self._parsed(silence.give_up, (*path, "give up"), parse_duration)
        known = tuple(duration for duration in remind if duration)
        if give_up is None or len(known) < len(remind):
            return None
        spans = [_rough_s(duration) for duration in (*known, give_up)]
        if spans != sorted(set(spans)):
            self._find((*path, "give up"), "reminders must rise, and giving up must come after the last of them")
        return Silence(known, give_up, silence.then)

    def _length(self, ask: AskForm, path: Path) -> tuple[int, int]:
        if ask.ask != "digits":
            return (1, 1)
        least, _, most = (ask.length or "").partition("-")
        if least.isdigit() and (most or least).isdigit() and 1 <= int(least) <= int(most or least) <= 20:
            return int(least), int(most or least)
        self._find((*path, "length"), "expected how many digits, such as 4 or 4-6")
        return (1, 1)

    def _budget(self, words: str) -> int:
        number = words.removesuffix("segments").removesuffix("segment").strip()
        if number.isdigit() and 1 <= int(number) <= 9:
            return int(number)
        self._find(("budget",), f"expected such as `2 segments`, got {words!r}")
        return 2

    def _parsed(self, words: str, path: Path, parse: Callable[[str], Duration]) -> Duration | None:
        try:
            return parse(words)
        except ValueError as error:
            self._find(path, str(error))
            return None

    # --- where each answer leads -------------------------------------------------------------------

    def _branches(self, then: Then, path: Path, *, coded: set[str] | None) -> tuple[Branch, ...]:
        """The ways on. `coded` holds the codes that the question has; None when nobody knows."""
        if isinstance(then, str):
            return (Branch(then),)
        branches = [self._branch(case, to, (*path, case), coded) for case, to in then.items()]
        known = [branch for branch in branches if branch]
        if coded is None or not self._is_intact(path):
            return tuple(sorted(known, key=_precedence))
        missing = sorted((coded or {""}) - {branch.code for branch in known if branch.code})
        if "otherwise" not in then and missing:
            problem = f"no way on for {', '.join(missing)}" if coded else "no way on when no rule holds"
            self._find(path, f"{problem}; add it, or `otherwise`")
        return tuple(sorted(known, key=_precedence))

    def _branch(self, case: str, to: str, path: Path, coded: set[str] | None) -> Branch | None:
        if case == "otherwise":
            return Branch(to)
        if case in coded if coded is not None else re.fullmatch(r"\d+|yes|no", case):
            return Branch(to, code=case)
        if case in ("account known", "address known", "language known"):
            return Branch(to, rule=Rule(case))
        name, _, number = case.rpartition(" ")
        if name == "birth_order at least" and number.isdigit():
            return Branch(to, rule=Rule(name, int(number)))
        offered = ", ".join(sorted(coded or ())) or "none"
        self._find(path, f"expected a code ({offered}), a rule (account known …) or otherwise")
        return None

    def _find_unknown_names(self, dialog: Dialog, model: DialogForm) -> None:
        """Every state and text that is named but not there. What is there but broken is not missing."""
        states = _mapping(self._document.data).get("states")
        for path, name in _named_states(model):
            if isinstance(states, dict) and name not in states:
                self._find(path, f"no state is called {name}")
        for path, name in _named_texts(dialog):
            if not self._knows_text(name):
                self._find(path, f"no text is called {name}")
        kinds = {str(_mapping(keys).get("ask")) for keys in _mapping(states).values()}
        for name, purpose in REQUIRED_TEXTS.items():
            asked = _HINTS.get(name)
            if (asked is None or asked in kinds) and not self._knows_text(name):
                self._find(("texts",), f"no text is called {name} ({purpose})")

    # --- words -------------------------------------------------------------------------------------

    def _text(self, words: Words, path: Path, document: Document) -> Texts:
        by_language = dict.fromkeys(self._languages or ("",), words) if isinstance(words, str) else words
        self._find_missing_languages(by_language, path, document)
        templates: dict[str, Template] = {}
        for language, text in by_language.items():
            if document is not self._document and language not in self._languages:
                continue  # shared, and for a dialog that has this language
            try:
                templates[language] = parse_template(" ".join(text.split()))
            except ValueError as error:
                where = path if isinstance(words, str) else (*path, language)
                self._find(where, str(error), document)
        return templates

    def _question_text(self, ask: AskForm, path: Path) -> Texts:
        """The question's own `text`, or the one among the texts that `say` names."""
        keys = self._keys(str(path[-1]))
        if "text" not in keys and "say" not in keys and self._has_strange_key(path):
            return {}  # one of them, misspelled
        if ("text" in keys) == ("say" in keys):
            self._find(path, "a question has its own `text`, or `say` names one of the texts: expected one of them")
            return {}
        if ask.text is not None:
            return self._text(ask.text, (*path, "text"), self._document)
        if not self._knows_text(ask.say or ""):
            self._find((*path, "say"), f"no text is called {ask.say}")
        return self._texts_by_name.get(ask.say or "", {})

    def _texts(self, texts: Mapping[str, Words], path: Path, document: Document) -> dict[str, Texts]:
        return {name: self._text(words, (*path, name), document) for name, words in texts.items()}

    def _find_missing_languages(self, labels: Mapping[str, str], path: Path, document: Document) -> None:
        """A text must stand in each language. A file that dialogs share may be written in more of them."""
        if not self._is_intact(path, document) or not self._is_intact(("languages",)):
            return
        missing = [x for x in self._languages if x not in labels and x not in self._unwritten]
        others = [x for x in labels if x not in self._languages]
        if document is not self._document or self._unwritten or (set(labels) == {""}):
            others = []
        if others:
            lacking = f"; {', '.join(missing)} is missing" if missing else ""
            for language in others:
                problem = f"{language} is not among the languages of this dialog{lacking}"
                self._find((*path, language), problem, document)
            return
        for language in missing:
            self._find(path, f"{language} is missing", document)

    def _shared_texts(self) -> dict[str, Texts]:
        document = self._used(SHARED_TEXTS)
        if document is None:
            self._named_texts = None
            return {}
        self._name_texts(document)
        model = self._mend(SharedTextsForm, document)
        return self._texts(model.texts, ("texts",), document) if model else {}

    # --- lists -------------------------------------------------------------------------------------

    def _lists(self, states: list[_Raw]) -> dict[str, OptionList]:
        lists: dict[str, OptionList] = {}
        for state in states:
            name = state.model.list if isinstance(state.model, AskForm) else None
            if name is None or name in lists:
                continue
            document = self._used(f"{_LISTS}{name}.yaml", ("states", state.name, "list"))
            model = self._mend(ListForm, document) if document else None
            if model and document:
                if model.name != name:
                    self._find(("list",), f"expected {name}, as the file is called, got {model.name}", document)
                lists[name] = OptionList(name, self._groups(model, document))
        return lists

    def _used(self, file: str, path: Path = ()) -> Document | None:
        if file not in self._files:
            which = ": the texts that every dialog needs, shared by all of the folder" * (file == SHARED_TEXTS)
            self._find(path, f"there is no file {file}{which}")
            return None
        self._sources[file] = self._files[file]
        document = self._read(file)
        self._findings += document.findings
        return document if document.is_readable else None

    def _groups(self, model: ListForm, document: Document) -> dict[str, tuple[Option, ...]]:
        keys = _mapping(document.data)
        if ("options" in keys) == ("groups" in keys):
            self._find((), "a list has either `options` or `groups`", document)
            return {}
        if isinstance(model.options, dict):
            for code, labels in model.options.items():
                self._find_missing_languages(labels, ("options", code), document)
            self._find_unclear_codes(list(model.options), ("options",), document)
            return {"": tuple(Option(code, labels) for code, labels in model.options.items())}
        if model.options is not None:
            return {"": self._rows(model.options, ("options",), document)}
        groups = model.groups or {}
        return {name: self._rows(rows, ("groups", name), document) for name, rows in groups.items()}

    def _rows(self, rows: list[dict[str, str]], path: Path, document: Document) -> tuple[Option, ...]:
        """Options without codes of their own: 1 to 8 on the first page, 91 to 98 on the second, and so on."""
        if not rows:
            self._find(path, "must not be empty", document)
        options = []
        for index, row in enumerate(rows):
            labels = {key: label for key, label in row.items() if key != "id"}
            self._find_missing_languages(labels, (*path, index), document)
            page, place = divmod(index, PAGE)
            options.append(Option(MORE * page + str(place + 1), labels, row.get("id", "")))
        return tuple(options)

    def _find_unclear_codes(self, codes: list[str], path: Path, document: Document) -> None:
        for code in codes:
            longer = [other for other in codes if other != code and other.startswith(code)]
            if longer:
                self._find((*path, code), f"{code} is the beginning of {longer[0]}: nobody could tell", document)


_KINDS = {
    "language": Kind.CHOICE,
    "choice": Kind.CHOICE,
    "confirm": Kind.CHOICE,
    "name": Kind.NAME,
    "iban": Kind.IBAN,
    "text": Kind.TEXT,
    "digits": Kind.DIGITS,
}
_HINTS = {"hint_name": "name", "hint_iban": "iban", "hint_digits": "digits"}  # needed where such a question stands
_STATE_KEYS = {field.alias or name for form in _STATE_FORMS.values() for name, field in form.model_fields.items()}
_SOME_SILENCE = Silence((), Duration(1), "")
_STUBS: Mapping[str, Any] = {
    "dialog": "unnamed",
    "title": {},
    "service": "0",
    "languages": ["kk"],
    "silence": {"give up": "1h", "then": ""},
    "begin": "",
    "states": {},
    "give up": "1h",
    "then": "",
    "ask": "text",
    "wait": {},
    "end": "unnamed",
    "texts": {},
    "list": "unnamed",
}
"""A value for each key that must not be missing: what is read with one never leaves this module."""
_OWN_NAMES = {"kk": "Қазақша", "ru": "Русский", "en": "English"}
_YES_NO = (
    Option("1", {"kk": "иә", "ru": "да", "en": "yes"}, "yes"),
    Option("2", {"kk": "жоқ", "ru": "нет", "en": "no"}, "no"),
)


def _yes_no(then: Then) -> Then:
    """`yes` and `no` as the codes that they stand for."""
    if isinstance(then, str):
        return then
    return {{"yes": "1", "no": "2"}.get(case, case): to for case, to in then.items()}


def _precedence(branch: Branch) -> int:
    """A code decides before a rule, whatever their order in the file; `otherwise` comes last."""
    if branch.code is not None:
        return 0
    return 1 if branch.rule else 2


def _names(begin: str | list[str]) -> tuple[str, ...]:
    return (begin,) if isinstance(begin, str) else tuple(begin)


def _rough_s(duration: Duration) -> int:
    return duration.seconds + duration.working_days * 86400


def _ways(then: Then, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(then, str):
        yield path, then
    else:
        yield from (((*path, case), to) for case, to in then.items() if isinstance(to, str))


def _named_states(model: DialogForm) -> Iterator[tuple[Path, str]]:
    yield from _ways(model.begin, ("begin",))
    yield ("silence", "then"), model.silence.then
    for name, keys in model.states.items():
        path: Path = ("states", name)
        if isinstance(keys.get("then"), str | dict):
            yield from _ways(keys["then"], (*path, "then"))
        if isinstance(keys.get("other"), str):
            yield (*path, "other"), keys["other"]
        if isinstance(keys.get("silence"), dict) and isinstance(keys["silence"].get("then"), str):
            yield (*path, "silence", "then"), keys["silence"]["then"]
        for event, reaction in _mapping(keys.get("wait")).items():
            if isinstance(_mapping(reaction).get("then"), str):
                yield (*path, "wait", event, "then"), reaction["then"]


def _named_texts(dialog: Dialog) -> Iterator[tuple[Path, str]]:
    for name, state in dialog.states.items():
        path = ("states", name)
        if isinstance(state, Wait | End) and state.say:
            yield (*path, "say"), state.say
        if isinstance(state, Wait):
            for event, reaction in state.on.items():
                if reaction.say:
                    yield (*path, "wait", event, "say"), reaction.say


def _mapping(value: Any) -> dict[str, Any]:  # noqa: ANN401 - what stands in a file may be anything
    return value if isinstance(value, dict) else {}
