"""What message centres do, by the numbers of smsc-behaviours §4: the brain of a session, with integer time."""

from __future__ import annotations

import pytest

from smsflow.smpp import codec
from smsflow.smpp.backoff import Backoff
from smsflow.smpp.codec import (
    BindReceiver,
    BindReceiverResp,
    BindTransceiverResp,
    BindTransmitterResp,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    GenericNack,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    encode,
)
from smsflow.smpp.link import (
    Bound,
    Closed,
    Delivered,
    InDoubt,
    Link,
    LinkSettings,
    LinkState,
    Refused,
    Room,
    SubmitAnswered,
    Throttled,
    Undecoded,
)
from smsflow.smpp.statuses import Rule, Status, Verdict

TEXT = SubmitSm(source_addr="1414", destination_addr="77011234567", short_message=b"Hi")
MO = DeliverSm(sequence=40, source_addr="77011234567", destination_addr="1414", short_message=b"R 1 1 2")
OUTBIND = bytes.fromhex("00000014 0000000b 00000000 00000001 73630000")


def make_link(**changes) -> Link:
    defaults = {"name": "main", "host": "h", "port": 1, "system_id": "id", "password": "secret"}
    return Link(LinkSettings(**(defaults | changes)), now=0)


def sent(link: Link) -> list:
    return [codec.decode(frame) for frame in Framer("test").receive(link.data_to_send())]


def bound(**changes) -> Link:
    link = make_link(**changes)
    link.receive(encode(BindTransceiverResp(sequence=1, system_id="smsc")), 0)
    link.data_to_send()
    return link


def answer(sequence: int, status: int = 0, message_id: str = "") -> bytes:
    return encode(SubmitSmResp(sequence=sequence, status=status, message_id=message_id))


def submit(link: Link, *tokens: str, now: float = 0) -> None:
    for token in tokens:
        link.submit(token, TEXT, now)


# ---------------------------------------------------------------------------------- framing: 1, 2, 3


def test_01_the_same_octets_mean_the_same_however_they_are_cut():
    """Byte by byte is as all at once, bind to unbind, a broken PDU in the middle."""
    octets = b"".join(
        [
            encode(EnquireLink(sequence=7)),
            encode(BindTransceiverResp(sequence=1, system_id="smsc")),
            encode(MO),
            bytes.fromhex("00000012 00000005 00000000 00000009 ffff"),
            encode(EnquireLinkResp(sequence=99)),
            encode(Unbind(sequence=8)),
        ]
    )
    whole, split = make_link(), make_link()
    at_once = whole.receive(octets, 3)
    one_by_one = [event for octet in octets for event in split.receive(bytes([octet]), 3)]
    assert [type(event) for event in at_once if not isinstance(event, Room)] == [Bound, Delivered, Undecoded]
    assert [e for e in one_by_one if not isinstance(e, Room)] == [e for e in at_once if not isinstance(e, Room)]
    assert whole.data_to_send() == split.data_to_send()
    assert whole.state is split.state is LinkState.UNBINDING


@pytest.mark.parametrize("length", ["00000000", "00000008", "0000000f", "7fffffff", "ffffffff"])
def test_02_a_length_that_cannot_be_true_ends_the_session(length):
    """generic_nack with ESME_RINVCMDLEN, then close; what was in flight is in doubt."""
    link = bound()
    submit(link, "a")
    link.data_to_send()
    *events, closed = link.receive(bytes.fromhex(length + "00000005 00000000 00000009"), 1)
    assert events == [InDoubt(("a",))]
    assert isinstance(closed, Closed)
    assert sent(link) == [GenericNack(status=Status.RINVCMDLEN)]


def test_03_a_pdu_that_begins_and_does_not_end_costs_the_connection():
    """The header came, the body never; ten seconds after its last octet we give up."""
    link = bound()
    link.receive(encode(MO)[:20], 5)
    link.receive(encode(MO)[20:24], 9)
    assert link.next_timer() == 19
    assert link.tick(18) == ()
    assert link.tick(19) == (Closed("the rest of a PDU did not come"),)
    assert sent(link) == [GenericNack(status=Status.RINVCMDLEN)]


def test_03_a_pdu_that_comes_slowly_is_read():
    """As long as something comes."""
    link = bound()
    octets = encode(MO)
    for second, octet in enumerate(octets[:-1]):
        link.receive(bytes([octet]), second * 9)
        assert not any(isinstance(event, Closed) for event in link.tick(second * 9 + 8))
        link.receive(b"", second * 9 + 8)
        if second > 1:
            break
    link.resume(1000)
    assert link.receive(octets[second + 1 :], 1005) == (Delivered(MO),)


# ----------------------------------------------------------------------------- answers: 9, 11, 12, 13, 14


@pytest.mark.parametrize(
    "octets",
    [
        "00000012 80000004 00000000 00000002 3100",  # with an id
        "00000011 80000004 00000000 00000002 00",  # with an empty one
        "00000010 80000004 00000000 00000002",  # without a body
    ],
)
def test_09_an_answer_is_believed_with_and_without_an_id(octets):
    """Success is success; without an id the text cannot be followed, and is not sent again."""
    link = bound()
    submit(link, "a")
    (event,) = link.receive(bytes.fromhex(octets), 1)
    assert (event.token, event.status) == ("a", 0)


@pytest.mark.parametrize(
    "octets", ["00000010 80000004 00000008 00000002", "00000012 80000004 00000008 00000002 3100"]
)
def test_09_an_error_is_believed_with_and_without_a_body(octets):
    """By its status."""
    link = bound()
    submit(link, "a")
    (event,) = link.receive(bytes.fromhex(octets), 1)
    assert (event.token, event.status) == ("a", Status.RSYSERR)


def test_11_an_answer_to_nothing_is_passed_over():
    """An unknown sequence, and one that was answered already."""
    link = bound()
    submit(link, "a")
    assert link.receive(answer(77, 0, "x"), 1) == ()
    assert link.receive(answer(2, 0, "1"), 1) == (SubmitAnswered("a", 0, "1"),)
    assert link.receive(answer(2, 0, "1"), 1) == ()


def test_11_an_answer_after_its_time_is_told_once():
    """It settles what was in doubt; the number is not given to another request meanwhile."""
    link = bound(response_timeout_s=20, enquire_link_s=500)
    submit(link, "a")
    assert InDoubt(("a",)) in link.tick(20)
    link._sequence = 1
    submit(link, "b", now=21)
    assert link.receive(answer(2, 0, "late") + answer(3, 0, "b"), 22) == (
        SubmitAnswered("a", 0, "late"),
        SubmitAnswered("b", 0, "b"),
    )


def test_12_answers_come_in_any_order():
    """By sequence."""
    link = bound()
    submit(link, *"abc")
    events = link.receive(answer(4) + answer(2) + answer(3), 1)
    assert [event.token for event in events] == ["c", "a", "b"]


@pytest.mark.parametrize(
    "other",
    [
        DeliverSmResp(sequence=2),
        DataSmResp(sequence=2),
        EnquireLinkResp(sequence=2),
        UnbindResp(sequence=2),
        BindTransmitterResp(sequence=2),
    ],
)
def test_12_an_answer_of_another_kind_leaves_that_one_in_doubt(other):
    """A protocol error for one request; the link stays, and the true answer is still believed."""
    link = bound()
    submit(link, "a", "b")
    assert link.receive(encode(other), 1) == (InDoubt(("a",)),)
    assert link.state is LinkState.BOUND
    assert link.receive(answer(2, 0, "1"), 2) == (SubmitAnswered("a", 0, "1"),)
    assert link.receive(answer(3, 0, "2"), 2) == (SubmitAnswered("b", 0, "2"),)


def test_12_generic_nack_answers_the_submit_whose_number_it_bears():
    """And one without a number answers none."""
    link = bound()
    submit(link, "a", "b")
    events = link.receive(encode(GenericNack(sequence=3, status=8)) + encode(GenericNack(status=2)), 1)
    assert events == (SubmitAnswered("b", 8, ""),)
    assert link.in_flight == 1


def test_12_an_answer_whose_body_is_beyond_reading_says_yes_or_no():
    """An id without its end and far too long: the header's status counts."""
    link = bound()
    submit(link, "a")
    size = 16 + 70_000 // 2
    octets = bytes.fromhex(f"{size:08x} 80000004 00000000 00000002") + b"1" * (size - 16)
    events = link.receive(octets, 1)
    assert [event.status for event in events if isinstance(event, SubmitAnswered)] == [0]
    assert link.in_flight == 0


@pytest.mark.parametrize("sequence", [0, 0x80000000, 0xFFFFFFFF])
def test_13_odd_numbers_are_given_back_as_they_are(sequence):
    """Zero, and beyond 0x7FFFFFFF, for texts and for enquire_link."""
    link = bound()
    octets = bytearray(encode(MO))
    octets[12:16] = sequence.to_bytes(4, "big")
    enquiry = bytes.fromhex(f"00000010 00000015 00000000 {sequence:08x}")
    (delivered,) = link.receive(bytes(octets) + enquiry, 1)
    link.respond(delivered.pdu.sequence, 0)
    answers = link.data_to_send()
    assert answers[12:16] == answers[28:32] == sequence.to_bytes(4, "big")


def test_13_a_number_that_comes_twice_is_answered_twice():
    """Whoever counts badly still gets every answer."""
    link = bound()
    assert len(link.receive(encode(MO) * 2, 1)) == 2
    link.respond(40, 0)
    link.respond(40, 0)
    assert sent(link) == [DeliverSmResp(sequence=40)] * 2


def test_14_our_numbers_and_theirs_are_strangers():
    """The same number both ways at once."""
    link = bound()
    submit(link, "a")
    link.data_to_send()
    mo = DeliverSm(sequence=2, source_addr="7701", destination_addr="1414", short_message=b"R")
    assert link.receive(encode(mo) + answer(2, 0, "1"), 1) == (Delivered(mo), SubmitAnswered("a", 0, "1"))
    link.respond(2, 0)
    assert sent(link) == [DeliverSmResp(sequence=2)]


def test_numbers_begin_again_after_the_last_and_miss_what_is_in_flight():
    """0x7FFFFFFF is followed by 1, never by 0 (§5.1.4)."""
    link = bound()
    link._sequence = 0x7FFFFFFD
    submit(link, *"abc")
    link._sequence = 0x7FFFFFFD
    submit(link, *"de")
    assert [pdu.sequence for pdu in sent(link)] == [0x7FFFFFFE, 0x7FFFFFFF, 1, 2, 3]
    events = link.receive(answer(1, 0, "c") + answer(0x7FFFFFFF, 0, "b"), 1)
    assert [event.token for event in events] == ["c", "b"]


# -------------------------------------------------------------------------------- bind and end: 15 to 20


def test_15_texts_and_enquiries_before_the_bind_is_answered():
    """Taken and answered; the bind is still matched by its number."""
    link = make_link()
    link.data_to_send()
    assert link.receive(encode(MO) + encode(EnquireLink(sequence=3)), 1) == (Delivered(MO),)
    assert sent(link) == [EnquireLinkResp(sequence=3)]
    link.respond(40, 0)
    assert link.receive(encode(BindTransceiverResp(sequence=1)), 2)[0] == Bound("")


def test_16_a_bind_that_is_not_answered_ends_in_time():
    """session_init_timer (§7.2); other PDUs do not prolong it."""
    link = make_link(bind_timeout_s=15)
    link.receive(encode(EnquireLink(sequence=3)), 14)
    assert link.next_timer() == 15
    assert link.tick(15) == (Closed("the bind was not answered"),)


@pytest.mark.parametrize("status", [Status.RINVPASWD, Status.RINVSYSID, Status.RBINDFAIL])
def test_17_a_wrong_password_is_not_tried_every_second(status):
    """A minute at first, a quarter of an hour at most: some centres lock the account."""
    backoff = Backoff(lambda: 0.5)
    assert [backoff.next_s(status) for _ in range(6)] == [60, 120, 240, 480, 900, 900]


def test_17_a_ghost_bind_is_waited_for():
    """ESME_RALYBND: patience, but never for long."""
    backoff = Backoff(lambda: 0.5)
    assert [backoff.next_s(Status.RALYBND) for _ in range(5)] == [5, 10, 20, 30, 30]


def test_16_attempts_are_made_less_and_less_often_and_not_all_at_once():
    """Twice as long each time up to a minute, a quarter more or less; of use: from the beginning."""
    backoff = Backoff(lambda: 0.5)
    assert [backoff.next_s(None) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    backoff.reset()
    assert backoff.next_s(None) == 1
    assert (Backoff(lambda: 0.0).next_s(None), Backoff(lambda: 1.0).next_s(None)) == (0.75, 1.25)


def test_17_a_cause_that_changes_begins_its_own_pauses():
    """Unreachable for hours, then a wrong password: a minute; and back."""
    backoff = Backoff(lambda: 0.5)
    for _ in range(9):
        backoff.next_s(None)
    assert [backoff.next_s(status) for status in (Status.RINVPASWD, None, Status.RSYSERR)] == [60, 1, 2]


def test_17_a_refused_bind_is_told_and_closes():
    """By its status."""
    link = make_link()
    events = link.receive(encode(BindTransceiverResp(sequence=1, status=Status.RALYBND)), 1)
    assert events == (Refused(Status.RALYBND), Closed("the bind was refused"))


def test_18_a_link_that_is_half_dead_is_left():
    """TCP is up, nothing is answered: enquire_link, then unbind and close."""
    link = bound(enquire_link_s=30, response_timeout_s=10)
    assert link.next_timer() == 30
    link.tick(30)
    assert [type(pdu) for pdu in sent(link)] == [EnquireLink]
    assert link.next_timer() == 40
    (closed,) = link.tick(40)
    assert "not even an answer to enquire_link" in closed.reason
    assert [type(pdu) for pdu in sent(link)] == [Unbind]


@pytest.mark.parametrize("life", [encode(EnquireLinkResp(sequence=2)), encode(MO), encode(EnquireLink(sequence=5))])
def test_18_any_pdu_is_a_sign_of_life(life):
    """Not the answer alone."""
    link = bound(enquire_link_s=30, response_timeout_s=10)
    link.tick(30)
    link.receive(life, 39)
    assert link.tick(40) == ()
    assert link.next_timer() == 69


def test_19_unbind_in_the_middle_of_traffic():
    """Agreed to at once; nothing new goes out; what is on its way may be answered, the rest is in doubt."""
    link = bound()
    submit(link, *"ab")
    link.data_to_send()
    link.receive(encode(Unbind(sequence=9)), 5)
    assert sent(link) == [UnbindResp(sequence=9)]
    assert link.room(5) == 0
    assert link.receive(answer(2, 0, "1"), 6) == (SubmitAnswered("a", 0, "1"),)
    assert link.tick(7) == (InDoubt(("b",)), Closed("the message centre unbound"))


def test_20_a_cut_leaves_everything_unanswered_in_doubt_once():
    """Oldest first, also what was sent while the first was late."""
    link = bound(response_timeout_s=10, enquire_link_s=500)
    submit(link, "a")
    assert InDoubt(("a",)) in link.tick(10)
    submit(link, "b", "c", now=11)
    assert link.lost("cut") == (InDoubt(("b", "c")), Closed("cut"))
    assert link.lost("cut") == ()


# ---------------------------------------------------------------------------------- throttling: 21, 22


def throttled(link: Link, now: float, *sequences: int) -> list:
    return list(link.receive(b"".join(answer(each, Status.RTHROTTLED) for each in sequences), now))


def test_21_a_throttled_link_pauses_longer_each_time():
    """Half a second at first, twice as long if that was too short, half a minute at most."""
    link = bound(enquire_link_s=100_000, response_timeout_s=100_000)
    now, pauses = 0.0, []
    for sequence in range(2, 11):
        submit(link, "x", now=now)
        until = next(e.until for e in throttled(link, now, sequence) if isinstance(e, Throttled))
        assert link.room(until - 0.01) == 0
        pauses.append(until - now)
        now = until
        assert link.tick(now) == (Room(),)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_21_after_a_pause_the_link_feels_its_way():
    """Half as many at once as before, one more with each that is taken."""
    link = bound(window=8)
    submit(link, *"abcdefgh")
    assert throttled(link, 1, 2)[0] == Throttled(Status.RTHROTTLED, 1.5)
    throttled(link, 1, *range(3, 10))
    assert link.room(1.4) == 0
    assert link.room(1.5) == 4
    submit(link, *"abcd", now=2)
    link.receive(b"".join(answer(each) for each in range(10, 14)), 3)
    assert link.room(3) == 8


def test_21_many_refusals_at_once_are_one_pause():
    """What was sent before the pause says nothing new, neither no nor yes."""
    link = bound(window=8)
    submit(link, *"abcd")
    assert [e for e in throttled(link, 1, 2, 3, 4) if isinstance(e, Throttled)] == [Throttled(0x58, 1.5)]
    link.receive(answer(5), 1)
    submit(link, "e", now=2)
    assert throttled(link, 2, 6)[0] == Throttled(0x58, 3)


def test_21_a_vendors_status_can_pause_the_link_and_as_long_as_the_operator_says():
    """By the link's own rules."""
    link = bound(rules={0x400: Rule(Verdict.PAUSE, pause_s=45), 0x58: Rule(Verdict.RETRY, 1, 1)})
    submit(link, *"ab")
    assert link.receive(answer(2, 0x58), 1) == (SubmitAnswered("a", 0x58, ""),)
    assert link.receive(answer(3, 0x400), 1) == (Throttled(0x400, 46), SubmitAnswered("b", 0x400, ""))


def test_a_centre_that_does_not_know_our_bind_is_bound_to_again():
    """ESME_RINVBNDSTS: nothing new goes out, the rest is answered, then unbind, and the end is no peace."""
    link = bound(window=8)
    submit(link, *"ab")
    link.data_to_send()
    assert link.receive(answer(2, Status.RINVBNDSTS), 1) == (SubmitAnswered("a", Status.RINVBNDSTS, ""),)
    assert (link.room(1), sent(link)) == (0, [])
    assert link.receive(answer(3, Status.RINVBNDSTS), 1) == (SubmitAnswered("b", Status.RINVBNDSTS, ""),)
    assert [type(pdu) for pdu in sent(link)] == [Unbind]
    (closed,) = link.receive(encode(UnbindResp(sequence=4, status=Status.RINVBNDSTS)), 1)
    assert "does not know our bind" in closed.reason


def test_a_centre_that_says_so_when_nothing_is_sent_is_bound_to_again():
    """ESME_RINVBNDSTS to enquire_link: else no reply would come until something is sent (seen by users of naz)."""
    link = bound(enquire_link_s=30)
    link.tick(30)
    sent(link)
    assert link.receive(encode(EnquireLinkResp(sequence=2, status=Status.RINVBNDSTS)), 31) == ()
    assert [type(pdu) for pdu in sent(link)] == [Unbind]
    (closed,) = link.receive(encode(UnbindResp(sequence=3)), 31)
    assert "does not know our bind" in closed.reason


def test_a_centre_that_does_not_know_our_bind_and_answers_no_more_is_left():
    """Two seconds for answers, two for the unbind; what is not answered is in doubt."""
    link = bound()
    submit(link, *"ab")
    link.receive(answer(2, Status.RINVBNDSTS), 1)
    link.data_to_send()
    assert link.next_timer() == 3
    assert link.tick(3) == ()
    assert [type(pdu) for pdu in sent(link)] == [Unbind]
    assert link.next_timer() == 5
    doubt, closed = link.tick(5)
    assert doubt == InDoubt(("b",))
    assert "does not know our bind" in closed.reason


# ------------------------------------------------------------------------------------------- outbind


def test_outbind_is_waited_for_and_bound_to():
    """Nothing goes out before (§2.2.1); then the session is as any other."""
    link = make_link(bind="receiver", outbind=("0.0.0.0", 2776))
    link.connected(100)
    assert (sent(link), link.state, link.next_timer()) == ([], LinkState.OPEN, 115)
    assert link.receive(OUTBIND, 105) == ()
    (bind,) = sent(link)
    assert isinstance(bind, BindReceiver)
    assert link.next_timer() == 120
    assert link.receive(encode(BindReceiverResp(sequence=1)), 106) == (Bound(""),)
    assert link.receive(OUTBIND, 107) == ()
    assert sent(link) == []


def test_outbind_that_does_not_come_ends_the_connection():
    """As a bind that is not answered."""
    link = make_link(outbind=("0.0.0.0", 2776))
    link.connected(100)
    assert link.tick(115) == (Closed("the outbind did not come"),)
