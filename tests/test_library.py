"""Which dialogs new conversations begin, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from small import small_files

from smsflow.core.errors import DialogError
from smsflow.core.reader import read_dialogs
from smsflow.library import Library

SILENT = [('"Имя {reply}"', '"Имя"'), ('"Аты {reply}"', '"Аты"')]  # the question does not say how to reply


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def nothing_pinned(revision: str) -> None:
    """No revision was ever used."""


def test_dialogs_with_errors_are_refused_all_at_once(tmp_path) -> None:
    """Whoever could not reply would be asked for three days."""
    with pytest.raises(DialogError) as caught:
        Library.load(written(tmp_path, small_files(*SILENT)), nothing_pinned)

    assert [str(finding).split(";")[0] for finding in caught.value.findings] == [
        "small.yaml:10:12: states → name → text → kk: no_address: the question does not say how to reply",
        "small.yaml:10:23: states → name → text → ru: no_address: the question does not say how to reply",
    ]


def test_dialogs_with_warnings_are_taken(tmp_path) -> None:
    """They are for an editor, not for the night."""
    files = small_files(("    late: 3 working days\n", ""))

    assert Library.load(written(tmp_path, files), nothing_pinned).names == ("small",)


def test_a_pinned_revision_is_not_judged_again(tmp_path) -> None:
    """What a mother began under older rules she can end."""
    old = read_dialogs(small_files(*SILENT))[0]
    library = Library.load(written(tmp_path, small_files()), {old.revision: old.sources}.get)

    assert library.pinned(old.revision).revision == old.revision


def test_a_birth_begins_nothing_when_no_dialog_says_so(tmp_path) -> None:
    """No guess: the words to strangers come from any dialog all the same."""
    library = Library.load(written(tmp_path, small_files()), nothing_pinned)

    assert library.at_birth is None
    assert library.any_dialog.name == "small"
    starts = ("service: 1\n", "service: 1\nstarts: birth\n")
    library = Library.load(written(tmp_path, small_files(starts)), nothing_pinned)
    assert library.at_birth is library.any_dialog


def test_files_that_are_no_text_are_told_all_at_once(tmp_path) -> None:
    """Where, and what to do: an editor has saved them in a code page, or as UTF-16."""
    folder = written(tmp_path, small_files())
    (folder / "small.yaml").write_bytes('dialog: small\ntitle: {ru: "Имя'.encode() + b"\xff")
    (folder / "texts.yaml").write_bytes("texts: {}".encode("utf-16"))

    with pytest.raises(DialogError) as caught:
        Library.load(folder, nothing_pinned)

    assert [str(finding) for finding in caught.value.findings] == [
        "small.yaml:2:17: not UTF-8 (the octet 0xFF); save the file as UTF-8",
        "texts.yaml:1:1: not UTF-8 (the octet 0xFF); save the file as UTF-8",
    ]
