"""What is wrong with a file that is no text or not YAML, in an editor's words: where, and what to do instead."""

from __future__ import annotations

import re

import yaml

__all__ = ["explain_syntax", "explain_unreadable"]

_ENDED = "the text ended before this; put the whole text in quotes (and only at its two ends)"
_SENTENCES = (
    ("tab character", "a tab; use blanks"),
    ("'-' indicator", "expected another item that begins with -; or is the line not indented enough?"),
    ("block sequence entries", "a list cannot begin here; begin it on a line of its own"),
    ("unknown escape", "a backslash in double quotes; write it twice, or take single quotes"),
    ("another document", "a second document (---); a file holds one"),
    ("document start", "this line is not indented like those above"),
    ("comment or line break", "a text after | or > begins on the next line; or put it in quotes"),
    ("expected node content", "expected a value here; put a text with brackets in quotes"),
)
"""(a part of what libyaml says, what an editor needs to know)."""


def explain_unreadable(error: OSError | UnicodeDecodeError) -> tuple[tuple[int, int], str]:
    """The place at which a file cannot be read as UTF-8 (line, column; 1-based), and what to do about it."""
    if isinstance(error, OSError):
        return (1, 1), f"cannot be read: {error.strerror or error}"
    before = error.object[: error.start]
    begin = before.rfind(b"\n") + 1
    place = before.count(b"\n") + 1, len(before[begin:].decode()) + 1
    return place, f"not UTF-8 (the octet 0x{error.object[error.start]:02X}); save the file as UTF-8"


def explain_syntax(text: str, error: yaml.MarkedYAMLError) -> tuple[tuple[int, int], str]:
    """The place of `error` in `text` (line, column; 1-based), and what to do about it."""
    problem, context = error.problem or "", error.context or ""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return (1, 1), f"not YAML: {problem or context}"
    if "quoted scalar" in context and "end of stream" in problem and error.context_mark:
        mark = error.context_mark
        return _place(mark), "a quote is missing: the text that begins here has no end"
    line = (text.splitlines() or [""])[mark.line] if mark.line < len(text.splitlines()) else ""
    return _place(mark), _explain(problem, line[: mark.column], line[mark.column : mark.column + 1], error)


def _place(mark: yaml.Mark) -> tuple[int, int]:
    return mark.line + 1, mark.column + 1


def _explain(problem: str, before: str, character: str, error: yaml.MarkedYAMLError) -> str:
    """The sentence for `problem` at `character`; `before` is what stands before it on its line."""
    if "cannot start any token" in problem:
        return (
            "a tab; use blanks" if character == "\t" else f"a text that begins with {character}: put it in quotes"
        )
    if "mapping values" in problem:
        if re.search(r":(\s|$)", before):
            return "a colon within a text: put the text in quotes"
        return (
            "this key does not fit here: look at how far it is indented, and whether the line above has its colon"
        )
    closing = re.search(r"',' or '(.)'", problem)
    if closing and error.context_mark:
        opened = f"{'{' if closing[1] == '}' else '['} of line {error.context_mark.line + 1}"
        return f"expected a comma or {closing[1]} (for the {opened}); put a text with a colon or a comma in quotes"
    if "expected key" in problem:
        return "this line is not indented like those above" if not before.strip() else _ENDED
    sentence = next((words for part, words in _SENTENCES if part in problem), None)
    return sentence or f"not YAML: {problem}"
