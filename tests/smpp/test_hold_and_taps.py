"""What an operator does to a link while it runs: hold it, measure it, look at its octets."""

from __future__ import annotations

from smsflow.smpp.codec import (
    BindTransceiverResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    SubmitSm,
    decode,
    encode,
)
from smsflow.smpp.link import Delivered, Link, LinkSettings, Room

TEXT = SubmitSm(source_addr="1414", destination_addr="77011234567", short_message=b"Hi")
MO = DeliverSm(sequence=40, source_addr="77011234567", destination_addr="1414", short_message=b"R 1 1 2")


def bound() -> Link:
    link = Link(LinkSettings("main", "h", 1, "id", "secret", enquire_link_s=30), now=0)
    link.receive(encode(BindTransceiverResp(sequence=1, system_id="smsc")), 0)
    link.data_to_send()
    return link


def sent(link: Link) -> list:
    return [decode(frame) for frame in Framer("test").receive(link.data_to_send())]


def test_a_held_link_takes_replies_and_gives_no_room() -> None:
    """It stays bound and answers; no timer spins; room is told when it ends."""
    link = bound()
    assert link.hold(True, 1) == ()
    assert link.room(1) == 0
    assert link.next_timer() == 30

    assert link.receive(encode(MO), 2) == (Delivered(MO),)
    link.respond(40, 0)
    assert sent(link) == [DeliverSmResp(sequence=40)]

    assert link.hold(False, 3) == (Room(),)
    assert link.room(3) == 64


def test_what_was_sent_before_a_hold_is_still_answered() -> None:
    """Holding costs nothing that is in flight."""
    link = bound()
    link.submit("text", TEXT, 1)
    link.hold(True, 1)
    assert link.in_flight == 1


def test_the_round_trip_of_enquire_link_is_measured() -> None:
    """From our enquire_link to the answer with its own number."""
    link = bound()
    assert link.round_trip_s is None
    link.tick(30)
    (enquiry,) = sent(link)
    assert isinstance(enquiry, EnquireLink)
    link.receive(encode(EnquireLinkResp(sequence=enquiry.sequence + 1)), 30.1)
    assert link.round_trip_s is None
    link.receive(encode(EnquireLinkResp(sequence=enquiry.sequence)), 30.25)
    assert link.round_trip_s == 0.25


def test_what_has_come_of_a_pdu_can_be_told() -> None:
    """Who begins to look in the middle of a PDU can still find its boundaries."""
    link = bound()
    link.receive(encode(MO)[:20], 1)
    assert link.begun == encode(MO)[:20]
