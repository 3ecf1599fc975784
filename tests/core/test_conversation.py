"""A conversation is never written to, and the next one is made quickly."""

from dataclasses import FrozenInstanceError, fields, replace

import pytest

from smsflow.core.conversation import Conversation, Status, changed

ONE = Conversation(7, "d", "r", "b", "77011234567", "1", "ru", answers={"name": "Ким Анна"}, wait=3)


@pytest.mark.parametrize("name", [each.name for each in fields(Conversation)])
def test_changed_is_replace(name: str) -> None:
    """Field by field: what is changed is, and the rest stays; the first one is as it was."""
    before = replace(ONE)

    after = changed(ONE, **{name: Status.CLOSED})

    assert after == replace(ONE, **{name: Status.CLOSED})
    assert type(after) is Conversation
    assert before == ONE
    with pytest.raises(FrozenInstanceError):
        setattr(after, name, "")


def test_what_is_no_field_cannot_be_changed() -> None:
    """A slip is an error, not a field that nobody reads."""
    with pytest.raises(AttributeError):
        changed(ONE, stat="closed")
