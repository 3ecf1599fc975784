"""YAML text as plain values that remember their places.

Every scalar is a string: types come from our schema, never from YAML's guesses (`no`, `012`, `1:30`).
Repeated keys, anchors, aliases, tags and keys that are not scalars are findings. Nothing here opens a file.

>>> read_document("a: {b: no}", "x.yaml").data
{'a': {'b': 'no'}}
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from smsflow.core.errors import Finding
from smsflow.core.syntax import explain_syntax

__all__ = ["Document", "Mended", "Model", "Path", "Value", "mend", "read_document", "validate"]

Path = tuple[str | int, ...]
Value = str | list["Value"] | dict[str, "Value"]
Model = TypeVar("Model", bound=BaseModel)

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C loader where libyaml is there: 30 times faster


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML text: `data` (strings, lists and dicts only) and the place (line, column; 1-based) of each path."""

    file: str
    data: Value
    places: Mapping[Path, tuple[int, int]]
    findings: tuple[Finding, ...]  # what the text itself does wrong; `data` then lacks those parts
    is_readable: bool = True  # False: it is not YAML, or empty; the one finding says why

    def finding(self, path: Sequence[str | int], problem: str) -> Finding:
        """The finding `problem` at `path`, or at the nearest place above it that exists."""
        known = tuple(path)
        while known and known not in self.places:
            known = known[:-1]
        line, column = self.places.get(known, (1, 1))
        return Finding(self.file, line, column, _trail(path), problem)


def read_document(text: str, file: str) -> Document:
    """The document in `text`; what cannot be read is in its `findings`, never an exception."""
    findings: list[Finding] = []
    places: dict[Path, tuple[int, int]] = {(): (1, 1)}
    try:
        anchor = _find_anchor(text)
        if anchor:
            return _unreadable(file, anchor, _ANCHOR)
        root = yaml.compose(text, Loader=_Loader)
        data = _Walk(file, places, findings).value(root, ()) if root else ""
    except yaml.MarkedYAMLError as error:
        return _unreadable(file, *explain_syntax(text, error))
    except (yaml.YAMLError, RecursionError) as error:
        return _unreadable(file, *_explain_character(text, error))
    if root is None:
        return _unreadable(file, (1, 1), "the file is empty")
    return Document(file, data, places, tuple(findings))


def _unreadable(file: str, place: tuple[int, int], problem: str) -> Document:
    return Document(file, {}, {(): (1, 1)}, (Finding(file, *place, "", problem),), is_readable=False)


_ANCHOR = (
    "anchors (&name) and aliases (*name) are not allowed; write it out, or put a text that begins so in quotes"
)


def _find_anchor(text: str) -> tuple[int, int] | None:
    """The place of the first anchor or alias; one error is enough, and nothing is read behind it."""
    if "&" not in text and "*" not in text:
        return None
    try:
        for event in yaml.parse(text, Loader=_Loader):
            if getattr(event, "anchor", None):
                return _place(event)
    except yaml.YAMLError:
        pass  # said by whoever composes
    return None


def _explain_character(text: str, error: Exception) -> tuple[tuple[int, int], str]:
    """What no text may hold: a character that cannot be seen, or brackets within brackets without end."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if not found:
        return (1, 1), f"not YAML: {str(error).splitlines()[0]}"
    before = text[: found.start()]
    place = before.count("\n") + 1, found.start() - before.rfind("\n")
    return place, f"a character that cannot be seen (U+{ord(found[0]):04X}); delete it"


class _Walk:
    """One pass over the composed nodes."""

    def __init__(self, file: str, places: dict[Path, tuple[int, int]], findings: list[Finding]) -> None:
        self._file = file
        self._places = places
        self._findings = findings

    def value(self, node: yaml.Node, path: Path) -> Value:
        self._places.setdefault(path, _place(node))
        if not node.tag.startswith("tag:yaml.org,2002:"):
            self._find(node, path, f"tags ({node.tag}) are not allowed")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        return str(node.value)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Value]:
        values: dict[str, Value] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._find(key_node, path, "a key must be a word or a number")
                continue
            key = str(key_node.value)
            if key in values:
                first = self._places[(*path, key)]
                self._find(key_node, (*path, key), f"repeated: it stands on line {first[0]} already")
                continue
            self._places[(*path, key)] = _place(key_node)
            values[key] = self.value(value_node, (*path, key))
        return values

    def _find(self, node: yaml.Node, path: Path, problem: str) -> None:
        self._findings.append(Finding(self._file, *_place(node), _trail(path), problem))


def _place(node: Any) -> tuple[int, int]:  # noqa: ANN401 - a node or an event of yaml
    return node.start_mark.line + 1, node.start_mark.column + 1


def _trail(path: Sequence[str | int]) -> str:
    """The way to a part, as people count: the first item of a list is 1."""
    return " → ".join(str(part + 1 if isinstance(part, int) else part) for part in path)


@dataclass(frozen=True, slots=True)
class Mended(Generic[Model]):
    """What can be read of a part that is not right: the model without what is broken, and why.

    `broken` are the paths that were left out or stubbed. `model` is None when even that does not help.
    """

    model: Model | None
    findings: list[Finding]
    broken: frozenset[Path]


def validate(model: type[Model], document: Document, path: Path = ()) -> tuple[Model | None, list[Finding]]:
    """`document`'s part at `path` as `model`, or None and every reason why not, each with its place."""
    value = _part(document, path)
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        return None, [document.finding((*path, *where), words) for where, words in _problems(value, error)]


def mend(
    model: type[Model], document: Document, path: Path = (), *, stubs: Mapping[str, Any] = MappingProxyType({})
) -> Mended[Model]:
    """Like `validate`, but goes on without what is broken, so that it hides nothing else.

    `stubs` holds a value for each key that must not be missing.
    """
    value = deepcopy(_part(document, path))
    findings: list[Finding] = []
    broken: set[Path] = set()
    for attempt in range(_MOST_ATTEMPTS):
        try:
            return Mended(model.model_validate(value), findings, frozenset(broken))
        except ValidationError as error:
            problems = list(_problems(value, error))
        if attempt == 0:
            findings = [document.finding((*path, *where), words) for where, words in problems]
        for where, words in problems:
            value, left_out = _without(value, where, stubs if words == _MISSING else {})
            broken.add((*path, *left_out))
    return Mended(None, findings, frozenset(broken))


_MOST_ATTEMPTS = 8  # a stub may bring to light that something else is missing, but not for long
_MISSING = "missing"
_TYPES = {
    "string_type": "a text",
    "dict_type": "keys with values",
    "model_type": "keys with values",
    "list_type": "a list",
    "tuple_type": "a list",
}
_SENTENCES = {
    "extra_forbidden": "unknown key",
    "missing": _MISSING,
    "int_parsing": "expected a whole number, got {got}",
    "bool_parsing": "expected true or false, got {got}",
    "literal_error": "expected {expected}, got {got}",
    "enum": "expected {expected}, got {got}",
    "greater_than_equal": "expected {ge} or more, got {got}",
    "less_than_equal": "expected {le} or less, got {got}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def _part(document: Document, path: Path) -> Any:  # noqa: ANN401 - any value of the document
    value: Any = document.data
    for part in path:
        value = value[part]
    return value


def _without(value: Any, where: Path, stubs: Mapping[str, Any]) -> tuple[Any, Path]:  # noqa: ANN401 - any part of the document
    """`value` without what is at `where` (or with its stub), and the path that was left out: never half a list."""
    holders = [value]
    for part in where[:-1]:
        if not _has(holders[-1], part):
            return value, where  # gone already, with something above it
        holders.append(holders[-1][part])
    while holders and where and not isinstance(holders[-1], dict):
        holders, where = holders[:-1], where[:-1]
    if not where:
        return {}, ()
    key = str(where[-1])
    holders[-1].pop(key, None)
    if key in stubs:
        holders[-1][key] = deepcopy(stubs[key])
    return value, where


def _problems(value: Any, error: ValidationError) -> Iterator[tuple[Path, str]]:  # noqa: ANN401 - any part of the document
    """Each place below `value` that is not right, with what was expected; one sentence a place.

    Where one of several forms may stand, pydantic complains once for each; only the form that was meant counts.
    """
    by_place: dict[Path, list[dict[str, Any]]] = {}
    for detail in error.errors(include_url=False):
        where = _place_of(value, detail["loc"], is_missing=detail["type"] == "missing")
        by_place.setdefault(where, []).append(dict(detail))
    for where, details in by_place.items():
        others = [detail for detail in details if detail["type"] not in _TYPES]
        if others:
            yield where, _sentence(others[0])
        elif not any(place[: len(where)] == where and len(place) > len(where) for place in by_place):
            expected = " or ".join(dict.fromkeys(_TYPES[detail["type"]] for detail in details))
            yield where, f"expected {expected}, got {_shown(details[0].get('input'))}"


def _has(value: Any, part: str | int) -> bool:  # noqa: ANN401 - any part of the document
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _place_of(value: Any, location: Sequence[str | int], *, is_missing: bool) -> Path:  # noqa: ANN401 - any part of the document
    """`location` without the parts that name a form of a union, which are nowhere in the file."""
    where: list[str | int] = []
    for number, part in enumerate(location, 1):
        if _has(value, part):
            value = value[part]
        elif not (is_missing and number == len(location)):
            continue
        where.append(part)
    return tuple(where)


def _sentence(detail: dict[str, Any]) -> str:
    kind, context, got = detail["type"], detail.get("ctx", {}), _shown(detail.get("input"))
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    sentence = _SENTENCES.get(kind)
    return sentence.format(got=got, **context) if sentence else f"{detail['msg']}, got {got}"


def _shown(got: object) -> str:
    return "keys" if isinstance(got, dict) else "a list" if isinstance(got, list) else repr(got)
