"""Texts with `{placeholders}` from a whitelist; no expressions, no code.

>>> fill(parse_template("Жауап: {reply 2}"), lambda name, argument: {"reply": "R 1 1"}[name] + " " + argument)
'Жауап: R 1 1 2'
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["LONGEST", "Placeholder", "Template", "cut", "fill", "fill_within", "parse_template"]


@dataclass(frozen=True, slots=True)
class Placeholder:
    """`{name}` or `{name argument}`."""

    name: str
    argument: str = ""

    def __str__(self) -> str:
        return f"{{{self.name} {self.argument}}}" if self.argument else f"{{{self.name}}}"


Template = tuple[str | Placeholder, ...]  # plain text and placeholders, in order

LONGEST = {
    "account": 5,
    "amount": 10,
    "birth_order": 2,
    "child_name": 60,
    "date": 10,
    "deadline": 16,
    "locality": 24,
    "number": 12,
    "place": 45,
    "reason": 40,
    "settlement": 24,
}
"""The whitelist beside `reply`, `example`, `options` and saved answers: characters at the longest.

A value that a body sends may be longer; it is cut only when the text would go over its budget."""

_FORM = re.compile(r"\{([^{}]*)\}")
_INSIDE = re.compile(r"([a-z][a-z0-9_]*)(?: (\d+))?")


def parse_template(text: str) -> Template:
    """The template in `text`. Raises: ValueError on a brace that stands alone or a placeholder of no known form."""
    parts: list[str | Placeholder] = []
    end = 0
    for form in _FORM.finditer(text):
        inside = _INSIDE.fullmatch(form[1].strip())
        if not inside:
            raise ValueError(f"{form[0]} is not a placeholder; write {{name}} or {{reply 1}}")
        parts += [text[end : form.start()], Placeholder(inside[1], inside[2] or "")]
        end = form.end()
    parts.append(text[end:])
    for part in parts:
        if isinstance(part, str) and ("{" in part or "}" in part):
            raise ValueError("a brace without its partner")
    return tuple(part for part in parts if part != "")


def fill(template: Template, value_of: Callable[[str, str], str]) -> str:
    """The text of `template`; `value_of(name, argument)` gives the value of each placeholder."""
    return "".join([part if isinstance(part, str) else value_of(part.name, part.argument) for part in template])


def fill_within(template: Template, value_of: Callable[[str, str], str], fits: Callable[[str], bool]) -> str:
    """Like `fill`, but when the text does not fit, each value is cut to its longest declared length."""
    text = fill(template, value_of)
    if fits(text):
        return text
    return fill(template, lambda name, argument: cut(value_of(name, argument), LONGEST.get(name)))


def cut(value: str, length: int | None) -> str:
    """`value` in at most `length` characters, two dots at the end where it was cut; None: as it is."""
    if length is None or len(value) <= length:
        return value
    return value[: length - 2].rstrip() + ".."
