"""The folders of dialogs that a run uses: the shipped ones, and edits of them. Written once for a process."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

from smsflow.library import shipped_dialogs

_EDITS: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (("Ваше образование:", "Образование Ваше:"), ("Your education:", "What is your education?")),  # words only
    (("    then: education\n", "    then: income\n"), ("child_name, education, income", "child_name, income")),
    (("replies: path", "replies: path"), ("remind: [24h, 48h]", "remind: [12h]"), ("give up: 72h", "give up: 36h")),
)


@cache
def folder(edit: int) -> Path:
    """The folder after `edit` edits: of words, then without a question, then with other reminders, then again."""
    edit %= len(_EDITS)
    if edit == 0:
        return shipped_dialogs()
    home = Path(tempfile.mkdtemp(prefix="smsflow-dialogs-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    target = home / "dialogs"
    shutil.copytree(shipped_dialogs(), target)
    file = target / "birth-registration.yaml"
    words = file.read_text(encoding="utf-8")
    for old, new in _EDITS[edit]:
        assert old in words, f"the shipped dialog has changed: {old!r} is no longer in it"
        words = words.replace(old, new)
    if "education\n" in _EDITS[edit][0][0]:
        head, _, rest = words.partition("  education:\n")
        words = head + rest.partition("\n\n")[2]
    file.write_text(words, encoding="utf-8")
    return target
