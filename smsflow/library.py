"""The dialogs: those in the folder, which new conversations begin, and every revision that one is pinned to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from smsflow.core.check import Severity, check_dialogs
from smsflow.core.dialog import Dialog
from smsflow.core.errors import DialogError, Finding
from smsflow.core.reader import read_dialog, read_dialogs
from smsflow.core.syntax import explain_unreadable

__all__ = ["Library", "load_files", "shipped_dialogs"]


def shipped_dialogs() -> Path:
    """The folder of the dialogs that come with smsflow: in the package, or beside it in a checkout."""
    inside = Path(__file__).parent / "_dialogs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "dialogs"


def load_files(folder: Path) -> dict[str, str]:
    """Every YAML file below `folder`, by its name from there. Raises: DialogError when one cannot be read."""
    files: dict[str, str] = {}
    findings: list[Finding] = []
    for path in sorted(folder.rglob("*.yaml")):
        name = path.relative_to(folder).as_posix()
        try:
            files[name] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            place, problem = explain_unreadable(error)
            findings.append(Finding(name, *place, "", problem))
    if findings:
        raise DialogError(tuple(findings))
    return files


class Library:
    """Dialogs by name and by revision. `find_sources` gives the files of a revision that was used before."""

    def __init__(
        self, dialogs: tuple[Dialog, ...], find_sources: Callable[[str], Mapping[str, str] | None]
    ) -> None:
        self._current = {dialog.name: dialog for dialog in dialogs}
        self._revisions = {dialog.revision: dialog for dialog in dialogs}
        self._find_sources = find_sources

    @classmethod
    def load(cls, folder: Path, find_sources: Callable[[str], Mapping[str, str] | None]) -> Library:
        """The dialogs in `folder`. Raises: DialogError with everything that is wrong in any of them.

        Errors that `core.check` finds count too; its warnings do not. A pinned revision is never judged again.
        """
        dialogs = read_dialogs(load_files(folder))
        flaws = check_dialogs(dialogs)
        errors = tuple(flaw.as_finding() for flaw in flaws if flaw.severity is Severity.ERROR)
        if errors:
            raise DialogError(errors)
        return cls(dialogs, find_sources)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._current)

    @property
    def at_birth(self) -> Dialog | None:
        """The dialog that a birth begins; None when none says so."""
        return next((dialog for dialog in self._current.values() if dialog.starts_at_birth), None)

    @property
    def any_dialog(self) -> Dialog:
        """A dialog whose texts will do for a stranger: the one that a birth begins, or the first by name."""
        return self.at_birth or next(iter(self._current.values()))

    def current(self, name: str) -> Dialog | None:
        """The dialog that a new conversation called `name` begins."""
        return self._current.get(name)

    def pinned(self, revision: str) -> Dialog:
        """The dialog as it was when a conversation began. Raises: KeyError for a revision that was never used."""
        dialog = self._revisions.get(revision)
        if dialog is None:
            sources = self._find_sources(revision)
            if sources is None:
                raise KeyError(revision)
            dialog = read_dialog(sources, next(iter(sources)))
            self._revisions[revision] = dialog
        return dialog
