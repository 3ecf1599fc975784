"""References of long texts: what keeps the parts of two texts to one phone apart (3GPP TS 23.040 §9.2.3.24.1).

Each phone's go up by one with each long text, so that an 8-bit reference comes again only after 255 others. The
table `long_text` does not say which was given last, but up to which they may have been given: some are reserved
at once, and the others of these need no write. Whoever does not know what was given of them, because a
transaction failed, the daemon was started again, or the phone was forgotten among many, goes on behind them. At
worst that happens before each text of a phone: then the reference comes again after 256 / `_RESERVED` texts, all of
which would have to be on their way to one handset to be mixed up.
"""

from __future__ import annotations

from smsflow.store.statements import Statements

__all__ = ["References"]

_RESERVED = 8
_MOST = 0xFFFF  # from 1 to this
_KNOWN = 10_000  # phones


class References:
    """Gives the references. Called inside the store's transactions."""

    def __init__(self, statements: Statements) -> None:
        self._execute = statements.execute
        self._given: dict[str, tuple[int, int]] = {}  # by phone: the last that was given, and the last reserved

    def give(self, msisdn: str) -> int:
        """The reference of a phone's next long text."""
        last, reserved = self._given.get(msisdn, (0, 0))
        if last == reserved:
            reserved = self._reserve(msisdn)
            last = (reserved - _RESERVED - 1) % _MOST + 1
        last = last % _MOST + 1
        self._given[msisdn] = last, reserved
        return last

    def _reserve(self, msisdn: str) -> int:
        if len(self._given) >= _KNOWN:
            del self._given[next(iter(self._given))]
        row = self._execute(
            "INSERT INTO long_text (msisdn, reference) VALUES (?1, ?2) ON CONFLICT (msisdn)"
            " DO UPDATE SET reference = (reference + ?2 - 1) % ?3 + 1 RETURNING reference",
            (msisdn, _RESERVED, _MOST),
        ).fetchone()
        return int(row[0])

    def forget(self) -> None:
        """A transaction has failed: what it reserved was not."""
        self._given.clear()
