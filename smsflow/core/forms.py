"""The forms of the YAML files that admins edit: which keys there are, and what may stand behind each.

Values are words; what they mean, and whether what they name is there, is for `core.reader`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from smsflow.core.dialog import Rung, Scheme

__all__ = [
    "AskForm",
    "DialogForm",
    "EndForm",
    "ListForm",
    "SharedTextsForm",
    "SilenceForm",
    "Then",
    "WaitForm",
    "Words",
]


def _form(pattern: str, expected: str) -> AfterValidator:
    """A text of this form; the error says what was expected."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"expected {expected}, got {text!r}")
        return text

    return AfterValidator(check)


Word = Annotated[str, _form(r"[a-z][a-z0-9_-]*", "a word of small letters a to z, digits, - and _")]
Slug = Annotated[str, _form(r"[a-z][a-z0-9_]{0,39}", "a name of small letters a to z, digits and _, 40 at most")]
Language = Annotated[str, _form(r"[a-z]{2}", "a language such as kk, ru or en")]
Service = Annotated[str, _form(r"[0-9]", "one digit")]
Digits = Annotated[str, _form(r"[0-9]{1,3}", "a code of one to three digits")]
Filled = Annotated[str, StringConstraints(min_length=1)]
Labels = dict[Language, Filled]
Words = Filled | Labels
Then = str | dict[str, str]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class SilenceForm(_Model):
    remind: list[str] = []
    give_up: str = Field(alias="give up")
    then: str


class AskForm(_Model):
    ask: Literal["language", "choice", "confirm", "name", "iban", "text", "digits"]
    text: Words | None = None
    say: str | None = None
    save: Slug | None = None
    then: Then
    choices: dict[Digits, Words] | None = None
    list: str | None = None
    of: Slug | None = None
    other: str | None = None
    length: str | None = None
    strict: bool = False
    silence: SilenceForm | None = None


class ReactionForm(_Model):
    say: str = ""
    begin: str | list[str] = []
    then: str | None = None


class WaitForm(_Model):
    send: Word | None = None
    content: list[Slug] = Field(default=[], alias="with")
    wait: dict[Slug, ReactionForm]
    say: str = ""
    late: str | None = None


class EndForm(_Model):
    end: Slug
    say: str = ""
    begin: str | list[str] = []


class DialogForm(_Model):
    dialog: Word
    title: Labels
    service: Service
    starts: Literal["birth"] | None = None
    replies: Scheme = Scheme.PATH
    languages: Annotated[list[Language], Field(min_length=1)]
    budget: str = "2 segments"
    silence: SilenceForm
    not_understood: list[Rung] = Field(default=list(Rung), alias="not understood")
    begin: Then
    states: dict[Slug, dict[str, Any]]
    texts: dict[Slug, Words] = {}


class SharedTextsForm(_Model):
    texts: dict[Slug, Words]


class ListForm(_Model):
    name: Word = Field(alias="list")
    options: dict[Digits, Labels] | list[dict[str, str]] | None = None
    groups: dict[str, list[dict[str, str]]] | None = None
