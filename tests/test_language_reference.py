"""dialogs/README.md names everything that the reader takes, and nothing that it does not."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest
import yaml
from small import small_files

from smsflow.checking import SURROUNDING_CODES
from smsflow.core import forms
from smsflow.core.check import CODES
from smsflow.core.dialog import KNOWN_FACTS, KNOWN_RULES, REQUIRED_TEXTS, Rung, Scheme
from smsflow.core.durations import parse_duration
from smsflow.core.longest import OF_QUESTION
from smsflow.core.reader import read_dialogs
from smsflow.core.text import LONGEST

REFERENCE = (Path(__file__).parent.parent / "dialogs" / "README.md").read_text(encoding="utf-8")
MODELS = (
    forms.DialogForm,
    forms.SilenceForm,
    forms.AskForm,
    forms.ReactionForm,
    forms.WaitForm,
    forms.EndForm,
    forms.ListForm,
)
KEYS = sorted({field.alias or name for model in MODELS for name, field in model.model_fields.items()})


@pytest.mark.parametrize("key", KEYS)
def test_every_key_stands_in_the_reference(key):
    """Between back quotes, or in an example."""
    assert re.search(rf"`{key}`|^{key}:|[{{ ]{key}: ", REFERENCE, re.MULTILINE)


@pytest.mark.parametrize("kind", get_args(forms.AskForm.model_fields["ask"].annotation))
def test_every_kind_of_question_stands_in_the_reference(kind):
    """A row of its own."""
    assert f"| `{kind}` |" in REFERENCE


@pytest.mark.parametrize("rule", KNOWN_RULES)
def test_every_rule_stands_in_the_reference(rule):
    """With a number where it takes one."""
    assert f"| `{rule.replace('N', '4')}` |" in REFERENCE


@pytest.mark.parametrize("fact", KNOWN_FACTS)
def test_every_fact_stands_in_the_reference(fact):
    """In the table of what is known."""
    table = REFERENCE.partition("| fact |")[2].partition("\n\n")[0]
    assert f"`{fact}`" in table


@pytest.mark.parametrize("name", sorted({*OF_QUESTION, *LONGEST}))
def test_every_placeholder_stands_in_the_reference(name):
    """In braces, as it is written."""
    assert f"`{{{name}}}`" in REFERENCE


@pytest.mark.parametrize("word", [word.value for words in (Rung, Scheme) for word in words])
def test_every_word_of_a_closed_list_stands_in_the_reference(word):
    """Rungs of the ladder, and how replies are made."""
    assert f"`{word}`" in REFERENCE


@pytest.mark.parametrize(("name", "purpose"), (REQUIRED_TEXTS | CODES | SURROUNDING_CODES).items())
def test_every_text_and_code_stands_in_the_reference_with_its_meaning(name, purpose):
    """In the words of the program itself."""
    assert f"`{name}`" in REFERENCE
    assert purpose in REFERENCE or name in ("more", "other")


def test_the_examples_can_be_read():
    """Each block is YAML, and each duration is one."""
    blocks = re.findall(r"```yaml\n(.*?)```", REFERENCE, re.DOTALL)
    durations = re.search(r"Durations: (.*?)\(", REFERENCE)

    assert blocks
    for line in blocks[0].splitlines():
        assert yaml.load(line, yaml.BaseLoader)
    for block in blocks[1:]:
        assert yaml.load(block, yaml.BaseLoader)
    assert durations
    for words in re.findall(r"`(.*?)`", durations[1]):
        assert parse_duration(words)


def test_the_lists_of_the_reference_are_read():
    """Whoever copies an example gets a list."""
    blocks = re.findall(r"```yaml\n(list: .*?)```", REFERENCE, re.DOTALL)
    assert [block.split()[1] for block in blocks] == ["education", "offices"]

    for block in blocks:
        cut = re.sub(r", en: \w+", "", block)  # the small dialog has no English
        name = block.split()[1]
        other = ("    list: colours\n", f"    list: {name}\n    other: check\n")
        assert read_dialogs(small_files(other, **{f"lists__{name}": cut}))
