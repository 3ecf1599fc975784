"""The conversations of the phones that wrote last, as they are on the disk or in the transaction under way.

A mother answers question after question, and all her conversations would be read and decoded each time. Only the
store's one connection writes them, so what it has written last is what it would read. Whatever is rolled back
takes all that is remembered with it; and an update names the version that it goes by, so that of a conversation
that was remembered wrongly nothing could be written.
"""

from __future__ import annotations

from collections import OrderedDict

from smsflow.core.conversation import Conversation

__all__ = ["Recent"]

_MOST = 6000  # phones, some 3.5 KiB each


class Recent:
    """All conversations of a phone, oldest first; of the phones asked for last."""

    def __init__(self) -> None:
        self._by_phone: OrderedDict[str, tuple[Conversation, ...]] = OrderedDict()

    def __contains__(self, msisdn: object) -> bool:
        """Whether a phone's conversations are remembered."""
        return msisdn in self._by_phone

    def find(self, msisdn: str) -> tuple[Conversation, ...] | None:
        """Every conversation of a phone; None when they must be read."""
        found = self._by_phone.get(msisdn)
        if found is not None:
            self._by_phone.move_to_end(msisdn)
        return found

    def keep(self, msisdn: str, conversations: tuple[Conversation, ...]) -> None:
        """Remember all that was read for a phone."""
        self._by_phone[msisdn] = conversations
        if len(self._by_phone) > _MOST:
            self._by_phone.popitem(last=False)

    def move_on(self, before: Conversation, after: Conversation) -> None:
        """`before` was written as `after`, which is as it would be read."""
        if before.msisdn != after.msisdn:
            self.forget(before.msisdn)
            self.forget(after.msisdn)
        elif before.msisdn in self._by_phone:
            held = self._by_phone[before.msisdn]
            self._by_phone[before.msisdn] = tuple([after if each.case == after.case else each for each in held])

    def forget(self, msisdn: str) -> None:
        """Read a phone's conversations anew the next time."""
        self._by_phone.pop(msisdn, None)

    def clear(self) -> None:
        """Read all anew: what was written did not stay, or was written by another way."""
        self._by_phone.clear()
