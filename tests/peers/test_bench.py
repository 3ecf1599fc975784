"""The same load through Kannel and a small HTTP application."""

from __future__ import annotations

from pathlib import Path

import pytest
from world import NOON

from smsflow.bench.measure import Plan, measure
from smsflow.bench.players import start_kannel
from smsflow.bench.rehearsal import rehearse
from smsflow.library import Library, shipped_dialogs


@pytest.mark.parametrize("receipts", [False, True])
def test_kannel_plays_the_same_load(tmp_path: Path, bearerbox: str, *, receipts: bool) -> None:
    """Every reply leads to the next question there too, in as many parts; it asks for no receipts."""
    dialog = Library.load(shipped_dialogs(), lambda _: None).any_dialog
    plan = Plan(9, 4, offered=0, cases=0, parts=rehearse(dialog, NOON), born_at=NOON, receipts=receipts)

    figures = measure(tmp_path / "kannel", plan, start_kannel, lambda _: None)

    assert figures.player == "kannel"
    assert figures.turns == 9 * 5
    assert figures.parts_per_turn == 1.73
    assert figures.receipts_per_turn == (0 if receipts else None)
    assert figures.commits is None
