"""YAML text as plain values that remember their places.

Every scalar is a string: types come from our schema, never from YAML's guesses (`no`, `012`, `1:30`).
Repeated keys, aliases, tags and keys that are not scalars are findings. Nothing here opens a file.

>>> read_document("a: {b: no}", "x.yaml").data
{'a': {'b': 'no'}}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from smsflow.core.errors import Finding

__all__ = ["Document", "Path", "Value", "read_document", "validate"]

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

    def finding(self, path: Sequence[str | int], problem: str) -> Finding:
        """The finding `problem` at `path`, or at the nearest place above it that exists."""
        known = tuple(path)
        while known and known not in self.places:
            known = known[:-1]
        line, column = self.places.get(known, (1, 1))
        return Finding(self.file, line, column, " → ".join(str(part) for part in path), problem)


def read_document(text: str, file: str) -> Document:
    """The document in `text`; what cannot be read is in its `findings`, never an exception."""
    findings: list[Finding] = []
    places: dict[Path, tuple[int, int]] = {(): (1, 1)}
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        findings.append(Finding(file, line, column, "", f"not YAML: {error.problem or error.context}"))
        return Document(file, {}, places, tuple(findings))
    except (yaml.YAMLError, RecursionError) as error:
        findings.append(Finding(file, 1, 1, "", f"not YAML: {str(error).splitlines()[0]}"))
        return Document(file, {}, places, tuple(findings))
    if root is None:
        return Document(file, {}, places, (Finding(file, 1, 1, "", "the file is empty"),))
    data = _Walk(file, places, findings).value(root, ())
    return Document(file, data, places, tuple(findings))


class _Walk:
    """One pass over the composed nodes; remembers those it has seen, because an alias is a node met again."""

    def __init__(self, file: str, places: dict[Path, tuple[int, int]], findings: list[Finding]) -> None:
        self._file = file
        self._places = places
        self._findings = findings
        self._seen: set[int] = set()

    def value(self, node: yaml.Node, path: Path) -> Value:
        self._places.setdefault(path, _place(node))
        if id(node) in self._seen:
            self._find(node, path, "aliases (*name) are not allowed; write it out")
            return ""
        self._seen.add(id(node))
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
        line, column = _place(node)
        self._findings.append(Finding(self._file, line, column, " → ".join(map(str, path)), problem))


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1


def validate(model: type[Model], document: Document, path: Path = ()) -> tuple[Model | None, list[Finding]]:
    """`document`'s part at `path` as `model`, or None and every reason why not, each with its place."""
    value: Any = document.data
    for part in path:
        value = value[part]
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        return None, [_explain(document, path, dict(detail)) for detail in error.errors(include_url=False)]


_SENTENCES = {
    "extra_forbidden": "unknown key",
    "missing": "missing",
    "string_type": "expected a text, got {got}",
    "dict_type": "expected keys with values, got {got}",
    "list_type": "expected a list, got {got}",
    "tuple_type": "expected a list, got {got}",
    "model_type": "expected keys with values, got {got}",
    "int_parsing": "expected a whole number, got {got}",
    "bool_parsing": "expected true or false, got {got}",
    "literal_error": "expected {expected}, got {got}",
    "enum": "expected {expected}, got {got}",
    "greater_than_equal": "expected {ge} or more, got {got}",
    "less_than_equal": "expected {le} or less, got {got}",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
}


def _explain(document: Document, path: Path, detail: dict[str, Any]) -> Finding:
    kind, context = detail["type"], detail.get("ctx", {})
    where = (*path, *(part for part in detail["loc"] if part != "[key]"))
    got = detail.get("input")
    shown = "keys" if isinstance(got, dict) else "a list" if isinstance(got, list) else repr(got)
    if kind == "value_error":
        return document.finding(where, str(context.get("error", detail["msg"])))
    sentence = _SENTENCES.get(kind)
    if sentence is None:
        return document.finding(where, f"{detail['msg']}, got {shown}")
    return document.finding(where, sentence.format(got=shown, **context))
