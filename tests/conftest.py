"""Options and fixtures for every test."""

from __future__ import annotations

import pytest

from smsflow.core.dialog import Dialog
from smsflow.core.reader import read_dialogs
from smsflow.library import load_files, shipped_dialogs


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="write what happens now into tests/transcripts")


@pytest.fixture(scope="session")
def shipped() -> dict[str, Dialog]:
    """The dialogs that come with smsflow, by name."""
    return {dialog.name: dialog for dialog in read_dialogs(load_files(shipped_dialogs()))}
