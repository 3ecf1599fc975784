"""JSON in the store: the same text and the same values, whichever library writes and reads it."""

from collections.abc import Mapping
from typing import Any

import pytest
from world import NOON

from smsflow.core.events import Answered
from smsflow.store import rows

VALUES: tuple[Mapping[str, Any], ...] = (
    {},
    {"facts": {"child_name": 'Ким "Анна" \\ Қ\n\u2028\x7f'}, "trail": [("greeting", "11", "1")], "back": None},
    {"page": 0, "wait": 2**53, "alive": True, "printed": {"check": ("1121", "1122")}},
)


@pytest.mark.parametrize("value", VALUES)
def test_json_is_the_same_with_and_without_orjson(
    value: Mapping[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that one process wrote is read by another that lacks the library, and is compared as text."""
    pytest.importorskip("orjson", reason="orjson is not installed")
    quick = rows.dump(value)
    event = rows.event_json(Answered(NOON, "check", "1", text="R 1"))
    read = rows.load(quick)
    monkeypatch.setattr(rows, "orjson", None)

    assert rows.dump(value) == quick
    assert rows.load(quick) == read
    assert rows.event_json(Answered(NOON, "check", "1", text="R 1")) == event
