"""What sessions tell, as the inbox and the sender hear it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

from smsflow.smpp.codec import DeliverSm
from smsflow.smpp.link import LinkSettings
from smsflow.smpp.session import Session
from smsflow.switchboard import Switchboard


def test_what_comes_together_has_come_at_one_moment() -> None:
    """However long it takes to tell; what comes later has its own."""
    times = (datetime(2026, 11, 18, tzinfo=UTC) + timedelta(milliseconds=each) for each in range(99))
    came: list[tuple[int, datetime]] = []
    inbox = SimpleNamespace(
        add=lambda _: None, take=lambda _session, pdu, _epoch, at: came.append((pdu.sequence, at))
    )
    sender = SimpleNamespace(add=lambda _: None, give_back=lambda _: None)
    board = Switchboard(inbox, sender, lambda: next(times))
    session = Session(LinkSettings("main", "h", 1, "id", ""), board)
    board.add(session)
    for batch in ((1, 2, 3), (4,), (5, 6)):
        for sequence in batch:
            board.delivered(session, DeliverSm(sequence=sequence), 1)
        board.flush(session)

    moments = dict(came)
    assert moments[1] == moments[2] == moments[3] < moments[4] < moments[5] == moments[6]
