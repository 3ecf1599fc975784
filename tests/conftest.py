"""Options and fixtures for every test."""

from __future__ import annotations

import os

import pytest

from smsflow.core.dialog import Dialog
from smsflow.core.reader import read_dialogs
from smsflow.library import load_files, shipped_dialogs


def pytest_addoption(parser):
    parser.addoption("--update", action="store_true", help="write what happens now into tests/transcripts")
    parser.addoption("--kills", type=int, default=20, help="how often tests/test_kills.py kills the daemon")
    parser.addoption("--flood", type=float, default=6.0, help="seconds of the flood in tests/test_flood.py")
    parser.addoption("--kill-seed", type=int, default=1, help="when it does, and who says what")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """In CI (CI=true) every tool must be there: a test that is skipped has failed."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped, and in CI nothing may be: {call.excinfo.value}"
    return report


@pytest.fixture(scope="session")
def shipped() -> dict[str, Dialog]:
    """The dialogs that come with smsflow, by name."""
    return {dialog.name: dialog for dialog in read_dialogs(load_files(shipped_dialogs()))}
