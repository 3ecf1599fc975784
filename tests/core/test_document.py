"""YAML as plain values with places."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ConfigDict, Field

from smsflow.core.document import read_document, validate


class Model(BaseModel):
    """Something of every kind that a schema here has."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1)
    number: int = Field(default=1, ge=1, le=9)
    flag: bool = False
    items: list[str] = []
    inner: dict[str, str] = {}


def _shown(findings):
    return [str(finding) for finding in findings]


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("a: no", {"a": "no"}),
        ("a: 012", {"a": "012"}),
        ("a: 1:30", {"a": "1:30"}),
        ("a: 2026-11-20", {"a": "2026-11-20"}),
        ("a: ~", {"a": "~"}),
        ("a:", {"a": ""}),
        ("1: {yes: on}", {"1": {"yes": "on"}}),
        ("- a\n- [b, {c: 1.0}]", ["a", ["b", {"c": "1.0"}]]),
        ('a: "Қазақша"', {"a": "Қазақша"}),
    ],
)
def test_nothing_is_typed_by_guesses(text, data):
    """Every scalar is the string that stands there."""
    document = read_document(text, "x.yaml")

    assert document.data == data
    assert document.findings == ()


def test_every_path_has_its_place():
    """Line and column, from 1, of a key or of an item of a list."""
    document = read_document("a:\n  - b\n  - {c: d}\n", "x.yaml")

    assert document.places["a",] == (1, 1)
    assert document.places["a", 0] == (2, 5)
    assert document.places["a", 1, "c"] == (3, 6)


def test_a_finding_without_a_place_of_its_own_stands_at_the_nearest_above():
    """Something that is missing is shown where it should be."""
    document = read_document("a:\n  b: c\n", "x.yaml")

    assert str(document.finding(("a", "b", "z"), "missing")) == "x.yaml:2:3: a → b → z: missing"
    assert str(document.finding((), "wrong")) == "x.yaml:1:1: wrong"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "x.yaml:1:1: the file is empty"),
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3:1: a: repeated: it stands on line 1 already"),
        ("a: &x 1\nb: *x\n", "x.yaml:1:4: anchors (&name) and aliases (*name) are not allowed; write it out"),
        ("a: !tag 1\n", "x.yaml:1:4: a: tags (!tag) are not allowed"),
        ("? [a]\n: b\n", "x.yaml:1:3: a key must be a word or a number"),
        ("a: {b\nc: d", "x.yaml:"),
        ("a: \x00", "x.yaml:1:4: a character that cannot be seen (U+0000); delete it"),
        ("[" * 5000, "x.yaml:"),
    ],
    ids=["empty", "repeated", "alias", "tag", "key", "not yaml", "control", "deep"],
)
def test_what_the_text_does_wrong_is_a_finding(text, shown):
    """Never an exception, whatever stands in the file."""
    findings = _shown(read_document(text, "x.yaml").findings)

    assert any(finding.startswith(shown) for finding in findings), findings


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a:\n\tb: 2\n", "x.yaml:2:1: a tab; use blanks"),
        ("a: 1\n\tb: 2\n", "x.yaml:2:1: a tab; use blanks"),
        ("a: Иван: да\n", "x.yaml:1:8: a colon within a text: put the text in quotes"),
        ("a: b\n  c: d\n", "x.yaml:2:4: this key does not fit here"),
        ('a: "abc\nb: 2\n', "x.yaml:1:4: a quote is missing: the text that begins here has no end"),
        (
            "a: {kk: x, ru: y: z}\n",
            "x.yaml:1:17: expected a comma or } (for the { of line 1); put a text with a colon",
        ),
        ("a: {reply} x\n", "x.yaml:1:12: the text ended before this; put the whole text in quotes"),
        ("a:\n  b: 1\n c: 2\n", "x.yaml:3:2: this line is not indented like those above"),
        ("a: @b\n", "x.yaml:1:4: a text that begins with @: put it in quotes"),
        ("a: *b\n", "x.yaml:1:4: anchors (&name) and aliases (*name) are not allowed"),
        ("# nothing\n", "x.yaml:1:1: the file is empty"),
    ],
)
def test_what_is_not_yaml_is_said_in_an_editors_words(text, shown):
    """One error, in its place, with what to write instead."""
    document = read_document(text, "x.yaml")

    assert not document.is_readable
    assert len(document.findings) == 1
    assert str(document.findings[0]).startswith(shown), document.findings


def test_no_tag_makes_an_object():
    """What stands behind a tag of YAML's own is a word like any other."""
    assert read_document("a: !!python/name:os.system x\nb: !!int 3\n", "x.yaml").data == {"a": "x", "b": "3"}


def test_all_findings_come_at_once():
    """A repeated key does not hide a tag further down."""
    document = read_document("a: 1\na: 2\nb: !x 1\n", "x.yaml")

    assert [finding.line for finding in document.findings] == [2, 3]
    assert document.data == {"a": "1", "b": "1"}


def test_a_right_document_is_the_model():
    """Validated, with types from the schema."""
    model, findings = validate(Model, read_document("name: a\nnumber: 3\nflag: true\n", "x.yaml"))

    assert findings == []
    assert model == Model(name="a", number=3, flag=True)


def test_a_part_can_be_validated():
    """With its whole trail in the findings."""
    document = read_document("outer:\n  inner: {nmae: x}\n", "x.yaml")

    model, findings = validate(Model, document, ("outer", "inner"))
    assert model is None
    assert (
        sorted(_shown(findings))
        == [
            "x.yaml:2:11: outer → inner → nmae: unknown key",
            "x.yaml:2:3: outer → inner → name: missing",
        ]
        or sorted(_shown(findings))
        == [
            "x.yaml:2:11: outer → inner → nmae: unknown key",
            "x.yaml:2:3: outer → inner → name: missing",
        ][::-1]
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("number: 3", "x.yaml:1:1: name: missing"),
        ("name: ''", "x.yaml:1:1: name: must not be empty"),
        ("name: [a]", "x.yaml:1:1: name: expected a text, got a list"),
        ("name: a\nnumber: x", "x.yaml:2:1: number: expected a whole number, got 'x'"),
        ("name: a\nnumber: 0", "x.yaml:2:1: number: expected 1 or more, got '0'"),
        ("name: a\nnumber: 10", "x.yaml:2:1: number: expected 9 or less, got '10'"),
        ("name: a\nflag: maybe", "x.yaml:2:1: flag: expected true or false, got 'maybe'"),
        ("name: a\nitems: b", "x.yaml:2:1: items: expected a list, got 'b'"),
        ("name: a\ninner: b", "x.yaml:2:1: inner: expected keys with values, got 'b'"),
        ("name: a\ninner: {b: [c]}", "x.yaml:2:9: inner → b: expected a text, got a list"),
        ("name: a\nother: b", "x.yaml:2:1: other: unknown key"),
        ("just words", "x.yaml:1:1: expected keys with values, got 'just words'"),
    ],
)
def test_what_the_schema_does_not_take_says_what_was_expected(text, shown):
    """In its place, in words that an editor understands."""
    _, findings = validate(Model, read_document(text, "x.yaml"))

    assert _shown(findings) == [shown]
