"""The phones that have written and are about to be asked for: what is known of them is then read at once.

To have SQLite look one phone up takes longer than to find it. So whoever is asked for a phone that he does not
remember reads all of these that he does not remember together.
"""

from __future__ import annotations

from collections.abc import Container

__all__ = ["Expected"]

_MOST = 1000  # what is remembered of them has room for several times as many


class Expected:
    """Some phones, those that were added first."""

    def __init__(self) -> None:
        self._phones: dict[str, None] = {}

    def add(self, msisdn: str) -> None:
        """A phone will be asked for in the next transaction, or soon."""
        if len(self._phones) < _MOST:
            self._phones[msisdn] = None

    def unknown(self, msisdn: str, known: Container[str]) -> list[str]:
        """A phone that is asked for now, and all of these that are not `known`."""
        return [msisdn, *[each for each in self._phones if each != msisdn and each not in known]]

    def clear(self) -> None:
        """They were asked for."""
        self._phones.clear()
