"""The brain of a session, with integer time and no socket."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsflow.core.errors import LocalViolation
from smsflow.smpp.codec import (
    BindTransceiverResp,
    BindTransmitterResp,
    DataSm,
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
    decode,
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

TEXT = SubmitSm(source_addr="1414", destination_addr="77011234567", short_message=b"Hi")
MO = DeliverSm(sequence=40, source_addr="77011234567", destination_addr="1414", short_message=b"R 1 1 2")


def make_link(**changes) -> Link:
    defaults = {"name": "main", "host": "h", "port": 1, "system_id": "id", "password": "secret"}
    return Link(LinkSettings(**(defaults | changes)), now=0)


def sent(link: Link) -> list:
    """Return the PDUs that the link wants to send."""
    return [decode(frame) for frame in Framer("test").receive(link.data_to_send())]


def bound(**changes) -> Link:
    link = make_link(**changes)
    link.receive(encode(BindTransceiverResp(sequence=1, system_id="smsc")), 0)
    assert link.state is LinkState.BOUND
    link.data_to_send()
    return link


def answer(sequence: int, status: int = 0, message_id: str = "") -> bytes:
    return encode(SubmitSmResp(sequence=sequence, status=status, message_id=message_id))


# ------------------------------------------------------------------------------------------------- bind


def test_the_password_is_not_in_the_repr_of_settings():
    """Settings end up in logs and tracebacks."""
    assert "secret" not in repr(make_link().settings)


def test_a_link_binds_and_says_so():
    """The first PDU is the bind, with interface_version 0x34."""
    link = make_link()
    (bind,) = sent(link)
    assert (bind.sequence, bind.system_id, bind.password, bind.interface_version) == (1, "id", "secret", 0x34)
    assert link.room(0) == 0
    events = link.receive(encode(BindTransceiverResp(sequence=1, system_id="smsc")), 1)
    assert events == (Bound("smsc"), Room())
    assert link.room(1) == 64


def test_any_pdu_may_come_before_the_answer_to_the_bind():
    """enquire_link is answered, a text is taken, and the bind is still open (smsc-behaviours §4, 15)."""
    link = make_link()
    sent(link)
    events = link.receive(encode(EnquireLink(sequence=9)) + encode(MO), 0)
    assert events == (Delivered(MO),)
    assert sent(link) == [EnquireLinkResp(sequence=9)]
    assert link.state is LinkState.BINDING
    link.respond(40, 0)
    assert sent(link) == [DeliverSmResp(sequence=40)]


@pytest.mark.parametrize(
    "other", [BindTransceiverResp(sequence=2), BindTransmitterResp(sequence=1), EnquireLinkResp(sequence=1)]
)
def test_only_the_answer_to_our_bind_binds(other):
    """By sequence and by command."""
    link = make_link()
    assert link.receive(encode(other), 0) == ()
    assert link.state is LinkState.BINDING


@pytest.mark.parametrize(
    "refusal",
    [
        BindTransceiverResp(sequence=1, status=0x0E),
        BindTransmitterResp(sequence=1, status=0x0E),
        GenericNack(sequence=1, status=0x0E),
        GenericNack(sequence=0, status=0x0E),
    ],
)
def test_a_refused_bind_closes(refusal):
    """The status is told, by whatever PDU it came."""
    link = make_link()
    assert link.receive(encode(refusal), 0) == (Refused(0x0E), Closed("the bind was refused"))
    assert link.receive(encode(MO), 0) == ()


def test_a_bind_that_is_refused_without_a_status_is_refused():
    """A generic_nack is a no, whatever it says."""
    link = make_link()
    assert link.receive(encode(GenericNack(sequence=1)), 0)[0] == Refused(0xFF)


def test_a_bind_that_is_not_answered_ends():
    """A connection that is accepted and silent (smsc-behaviours §4, 16)."""
    link = make_link(bind_timeout_s=15)
    assert link.next_timer() == 15
    assert link.tick(14) == ()
    assert link.tick(15) == (Closed("the bind was not answered"),)
    assert link.tick(16) == ()


# ----------------------------------------------------------------------------------- submit, window, tps


def test_a_submit_is_answered_by_its_token():
    """Whatever the order of the answers."""
    link = bound()
    for token in ("a", "b"):
        link.submit(token, TEXT, 0)
    assert [pdu.sequence for pdu in sent(link)] == [2, 3]
    events = link.receive(answer(3, 0, "B2") + answer(2, 8), 1)
    assert events == (SubmitAnswered("b", 0, "B2"), SubmitAnswered("a", 8, ""))
    assert link.in_flight == 0


def test_the_window_is_kept_and_room_is_told():
    """No more than `window` are unanswered."""
    link = bound(window=2)
    link.submit("a", TEXT, 0)
    link.submit("b", TEXT, 0)
    assert link.room(0) == 0
    with pytest.raises(LocalViolation):
        link.submit("c", TEXT, 0)
    assert link.receive(answer(2), 0) == (SubmitAnswered("a", 0, ""), Room())
    assert link.room(0) == 1


def test_submits_given_together_go_as_if_one_by_one():
    """The same octets, tokens, window and pace; all of them or none."""
    together, apart = (bound(window=3, tps=1000) for _ in range(2))
    octets = [encode(SubmitSm(destination_addr=phone)) for phone in ("7701", "77023")]
    together.submit_all(list(zip("ab", octets, strict=True)), 0)
    for token, each in zip("ab", octets, strict=True):
        apart.submit(token, decode(each), 0)

    assert together.data_to_send() == apart.data_to_send() != b""
    for link in (together, apart):
        assert link.room(0) == 1
        with pytest.raises(LocalViolation):
            link.submit_all([("c", octets[0]), ("d", octets[1])], 0)
        assert (link.in_flight, link.data_to_send()) == (2, b"")
        link.submit_all([("c", octets[0])], 0)
        assert link.receive(answer(2, 0, "A"), 0) == (SubmitAnswered("a", 0, "A"), Room())


def test_tps_is_kept_though_submits_are_given_together():
    """tps 100: twenty milliseconds' worth at once, and no more."""
    link = bound(tps=100, window=1000)
    link.submit_all([(number, encode(TEXT)) for number in range(link.room(0))], 0)
    assert link.in_flight == 2
    assert link.room(0.009) == 0
    assert link.room(0.01) == 1


def test_tps_is_kept_with_integer_time():
    """tps 10: ten in a second, evenly, and no more."""
    link = bound(tps=10, window=1000)
    times = []
    for tick in range(100):
        now = tick / 50
        while link.room(now):
            link.submit(tick, TEXT, now)
            times.append(now)
    assert len(times) == 20
    assert all(sum(start <= each < start + 1 for each in times) <= 10 for start in times)


def test_tps_tells_when_there_is_room_again():
    """The timer comes when the next token does, and only then."""
    link = bound(tps=1)
    link.submit("a", TEXT, 0)
    assert link.room(0) == 0
    assert link.next_timer() == 1
    assert link.tick(1) == (Room(),)
    assert link.room(1) == 1
    assert link.next_timer() > 1


def test_a_receiver_never_has_room():
    """bind_receiver cannot submit (§2.2.1)."""
    link = make_link(bind="receiver")
    link.receive(bytes.fromhex("0000001180000001000000000000000100"), 0)
    assert link.state is LinkState.BOUND
    assert link.room(0) == 0


def test_a_submit_without_an_answer_is_in_doubt_and_frees_the_window():
    """The outcome is unknown; an answer that comes late all the same is told (smsc-behaviours §4, 11)."""
    link = bound(window=1, response_timeout_s=20)
    link.submit("a", TEXT, 5)
    assert link.next_timer() == 25
    assert link.tick(25) == (InDoubt(("a",)), Room())
    assert link.receive(answer(2, 0, "late"), 26) == (SubmitAnswered("a", 0, "late"),)
    assert link.receive(answer(2, 0, "late"), 27) == ()
    assert link.room(26) == 1


def test_a_submit_that_cannot_be_encoded_leaves_no_trace():
    """The window and the octets are as before."""
    link = bound()
    with pytest.raises(LocalViolation):
        link.submit("a", SubmitSm(destination_addr="7" * 40), 0)
    assert link.in_flight == 0
    assert link.data_to_send() == b""


def test_generic_nack_answers_a_submit():
    """§4.3: with the sequence of what is refused."""
    link = bound()
    link.submit("a", TEXT, 0)
    assert link.receive(encode(GenericNack(sequence=2, status=3)), 0) == (SubmitAnswered("a", 3, ""),)
    assert link.receive(encode(GenericNack(sequence=0, status=3)), 0) == ()


@pytest.mark.parametrize("status", [0x58, 0x14])
def test_throttling_pauses_longer_each_time_and_ends_with_success(status):
    """0.5 s, then 1 s; one pause however many of a window are refused; a success starts anew."""
    link = bound()
    for token in range(3):
        link.submit(token, TEXT, 0)
    events = link.receive(answer(2, status) + answer(3, status) + answer(4, status), 0)
    assert [event for event in events if isinstance(event, Throttled)] == [Throttled(status, 0.5)]
    assert sum(isinstance(event, SubmitAnswered) for event in events) == 3
    assert link.room(0.4) == 0
    assert link.next_timer() == 0.5
    assert link.tick(0.5) == (Room(),)
    link.submit(3, TEXT, 0.5)
    assert Throttled(status, 1.75) in link.receive(answer(5, status), 0.75)
    assert link.tick(1.75) == (Room(),)
    link.submit(4, TEXT, 2)
    link.receive(answer(6), 2)
    link.submit(5, TEXT, 2)
    assert Throttled(status, 2.5) in link.receive(answer(7, status), 2)


# ---------------------------------------------------------------------------------------- life and death


def test_silence_is_asked_and_then_is_death():
    """enquire_link after 30 s of silence, the end after 30 s more; texts in flight are in doubt."""
    link = bound(response_timeout_s=100)
    link.submit("a", TEXT, 0)
    sent(link)
    assert link.next_timer() == 30
    assert link.tick(30) == ()
    assert sent(link) == [EnquireLink(sequence=3)]
    assert link.tick(129) == (InDoubt(("a",)),)
    (closed,) = link.tick(130)
    assert isinstance(closed, Closed)


def test_any_pdu_is_a_sign_of_life():
    """Not only enquire_link_resp."""
    link = bound()
    link.tick(30)
    link.receive(encode(EnquireLinkResp(sequence=2)), 31)
    assert link.next_timer() == 61
    link.receive(encode(EnquireLink(sequence=9)), 40)
    assert link.next_timer() == 70


def test_octets_that_never_become_a_pdu_are_no_sign_of_life():
    """A header whose body never comes (smsc-behaviours §4, 3)."""
    link = bound()
    for now in range(0, 60, 5):
        link.receive(b"\0" if now else (1000).to_bytes(4, "big"), now)
        link.tick(now)
    assert isinstance(link.tick(60)[-1], Closed)


def test_silence_while_we_did_not_read_does_not_count():
    """Back-pressure must not kill the session."""
    link = bound()
    link.submit("a", TEXT, 0)
    link.resume(100)
    assert link.tick(100) == ()
    assert link.next_timer() == 130


def test_unbind_of_the_message_centre_is_agreed_to_and_the_window_settled():
    """Answers may still come; then the session ends (smsc-behaviours §4, 19)."""
    link = bound()
    link.submit("a", TEXT, 0)
    sent(link)
    assert link.receive(encode(Unbind(sequence=7)), 0) == ()
    assert sent(link) == [UnbindResp(sequence=7)]
    assert link.room(0) == 0
    events = link.receive(answer(2), 1)
    assert events == (SubmitAnswered("a", 0, ""), Closed("the message centre unbound"))


def test_unbind_of_the_message_centre_does_not_wait_for_ever():
    """Two seconds, then what is unanswered is in doubt."""
    link = bound()
    link.submit("a", TEXT, 0)
    link.receive(encode(Unbind(sequence=7)), 0)
    assert link.next_timer() == 2
    assert link.tick(2) == (InDoubt(("a",)), Closed("the message centre unbound"))


def test_our_unbind_waits_for_answers_both_ways():
    """First the window, then what we owe, then unbind."""
    link = bound()
    link.submit("a", TEXT, 0)
    link.receive(encode(MO), 0)
    sent(link)
    assert link.unbind(0, grace_s=10) == ()
    assert sent(link) == []
    link.receive(answer(2), 1)
    assert sent(link) == []
    link.respond(40, 0)
    assert link.next_timer() <= 1
    link.tick(1)
    assert sent(link) == [DeliverSmResp(sequence=40), Unbind(sequence=3)]
    assert link.receive(encode(UnbindResp(sequence=3)), 1) == (Closed("unbound"),)


def test_our_unbind_ends_in_time_whatever_the_message_centre_does():
    """Half of the grace for the window, half for the answer."""
    link = bound()
    link.submit("a", TEXT, 0)
    sent(link)
    link.unbind(0, grace_s=10)
    link.tick(5)
    assert sent(link) == [Unbind(sequence=3)]
    assert link.tick(10) == (InDoubt(("a",)), Closed("unbind was not answered"))


def test_a_connection_that_ends_on_our_unbind_was_left_in_peace():
    """Some message centres hang up instead of answering; before our unbind is out it is a loss."""
    link = bound()
    link.unbind(0, grace_s=10)
    assert sent(link) == [Unbind(sequence=2)]
    assert link.lost("closed") == (Closed("unbound"),)

    link = bound()
    link.submit("a", TEXT, 0)
    link.unbind(0, grace_s=10)
    assert link.lost("closed") == (InDoubt(("a",)), Closed("closed"))


def test_a_lost_connection_leaves_the_window_in_doubt():
    """In the order in which the texts went out, and once."""
    link = bound()
    for token in "abc":
        link.submit(token, TEXT, 0)
    link.receive(answer(3), 0)
    assert link.lost("reset") == (InDoubt(("a", "c")), Closed("reset"))
    assert link.lost("reset") == ()


# ---------------------------------------------------------------------------------- what centres send


def test_sequence_numbers_of_both_sides_do_not_mix():
    """The same number both ways, zero, repeated and beyond the limit (smsc-behaviours §4, 13 and 14)."""
    link = bound()
    link.submit("a", TEXT, 0)
    sent(link)
    for sequence in (2, 0, 0xFFFFFFFF, 2):
        link.receive(encode(MO, sequence), 0)
        link.respond(sequence, 0)
    assert [pdu.sequence for pdu in sent(link)] == [2, 0, 0xFFFFFFFF, 2]
    assert link.in_flight == 1
    assert link.unanswered == 0


def test_data_sm_is_answered_with_data_sm_resp():
    """It is told as a delivery; its answer is its own."""
    link = bound()
    (event,) = link.receive(encode(DataSm(sequence=5, source_addr="77")), 0)
    assert isinstance(event, Delivered)
    link.respond(5, 0)
    link.respond(6, 8)
    assert link.data_to_send().hex() == "00000011800001030000000000000005000000001180000005000000080000000600"


def test_what_cannot_be_read_is_answered_once_and_the_bind_kept():
    """By generic_nack if unknown, by its own response if malformed (smsc-behaviours §4, 4 and 5)."""
    link = bound()
    unknown = bytes.fromhex("0000001000000777000000000000002a")
    broken = bytes.fromhex("0000001200000005000000000000002b0001")
    stray = bytes.fromhex("0000001080000777000000000000002c")
    events = link.receive(unknown + broken + stray, 0)
    assert [(type(event), event.pdu.raw) for event in events] == [
        (Undecoded, unknown),
        (Undecoded, broken),
        (Undecoded, stray),
    ]
    assert not link.data_to_send()  # not before they are kept
    assert link.unanswered == 2
    for event in events:
        link.refuse(event.pdu, event.pdu.answer)
    assert link.unanswered == 0
    assert link.data_to_send().hex() == "0000001080000000000000030000002a0000001180000005000000010000002b00"
    assert link.state is LinkState.BOUND


def test_lost_boundaries_end_the_session_after_what_was_good():
    """generic_nack ESME_RINVCMDLEN, then the end (smsc-behaviours §4, 2)."""
    link = bound()
    events = link.receive(encode(MO) + bytes(16), 0)
    assert events[0] == Delivered(MO)
    assert isinstance(events[-1], Closed)
    assert sent(link) == [GenericNack(status=2)]


def test_requests_that_only_an_esme_makes_are_refused():
    """submit_sm from a message centre."""
    link = bound()
    assert link.receive(encode(TEXT, 9), 0) == ()
    assert sent(link) == [SubmitSmResp(sequence=9, status=3)]


SCRIPT = (
    encode(EnquireLink(sequence=1))
    + encode(BindTransceiverResp(sequence=1, system_id="smsc"))
    + encode(MO)
    + bytes.fromhex("0000001000000777000000000000002a")
    + encode(DeliverSm(sequence=41, esm_class=4, short_message=b"id:1 stat:DELIVRD"))
    + encode(Unbind(sequence=42))
)


def play(cuts: list[int]) -> tuple[list, bytes]:
    link, start, events, octets = make_link(), 0, [], b""
    for cut in (*sorted(cuts), len(SCRIPT)):
        events += link.receive(SCRIPT[start:cut], 0)
        octets += link.data_to_send()
        start = cut
    # Room is a hint that comes once for everything that arrived together.
    return [event for event in events if not isinstance(event, Room)], octets


def test_byte_by_byte_is_as_all_at_once():
    """The same events and the same octets."""
    assert play(list(range(len(SCRIPT)))) == play([])


@given(st.lists(st.integers(0, len(SCRIPT)), max_size=6))
def test_any_split_is_as_all_at_once(cuts):
    """TCP may cut anywhere (smsc-behaviours §4, 1)."""
    assert play(cuts) == play([])


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=60), max_size=5), st.booleans())
def test_no_octets_make_the_link_raise(chunks, framed):
    """Noise ends the session or is answered; it never raises."""
    link = bound()
    for chunk in chunks:
        head = (len(chunk) + 4).to_bytes(4, "big") if framed else b""
        link.receive(head + chunk, 0)
    link.tick(1000)
    link.lost("end")
    assert link.state is LinkState.CLOSED


def test_nothing_is_told_after_the_end():
    """What stands behind the PDU that ends the session, in the same read or in the next, comes again by another."""
    link = bound()
    link.unbind(0, 5)
    (unbind,) = sent(link)

    *_, last = link.receive(encode(UnbindResp(sequence=unbind.sequence)) + encode(MO) + b"\0\0\0\1", 1)

    assert isinstance(last, Closed)
    assert link.receive(encode(MO) + b"\0\0\0\1", 2) == ()
    assert (link.unanswered, link.data_to_send()) == (0, b"")
