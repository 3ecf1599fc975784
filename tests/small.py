"""A small dialog that is right, as text, to be broken in tests."""

from __future__ import annotations

from smsflow.core.dialog import REQUIRED_TEXTS, Dialog
from smsflow.core.reader import read_dialog

SMALL = """\
dialog: small
title: {kk: Шағын, ru: Малый}
service: 1
languages: [kk, ru]
silence: {remind: [24h], give up: 72h, then: expired}
begin: name
states:
  name:
    ask: name
    text: {kk: "Аты {reply}", ru: "Имя {reply}"}
    then: colour
  colour:
    ask: choice
    list: colours
    text: {kk: "{options} {example}", ru: "{options} {example}"}
    then: check
  check:
    ask: confirm
    text: {kk: "{name} {reply 1} {reply 2}", ru: "{name} {reply 1} {reply 2}"}
    then: {yes: apply, no: name}
  apply:
    send: paint
    with: [name, colour]
    wait:
      painted: {say: painted, then: done}
    late: 3 working days
  done: {end: done}
  expired: {end: expired}
texts:
  painted: {kk: "Дайын: {colour}", ru: "Готово: {colour}"}
"""
COLOURS = """\
list: colours
options:
  1: {kk: қызыл, ru: красный}
  2: {kk: жасыл, ru: зеленый}
"""
TEXTS = "texts:\n" + "".join(f"  {name}: {{kk: а, ru: а}}\n" for name in REQUIRED_TEXTS)


def small_files(*changes: tuple[str, str], **others: str) -> dict[str, str]:
    """The small dialog's files, with each (old, new) changed in its own text; `others` are whole files."""
    text = SMALL
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    files = {"small.yaml": text, "texts.yaml": TEXTS, "lists/colours.yaml": COLOURS}
    return files | {name.replace("__", "/") + ".yaml": content for name, content in others.items()}


def small_dialog(*changes: tuple[str, str], **others: str) -> Dialog:
    """The small dialog, changed."""
    return read_dialog(small_files(*changes, **others), "small.yaml")
