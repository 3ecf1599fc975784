"""What holds for every PDU and every frame, found by machines.

20,000 random and bit-flipped frames in each run; `SMSFLOW_FUZZ=1000000 pytest tests/smpp/test_codec_properties.py`
for the million (some four minutes), `SMSFLOW_FUZZ_SEED=…` for another one.
"""

from __future__ import annotations

import dataclasses
import os
from contextlib import suppress

import pytest
from frames import hostile
from hypothesis import given
from hypothesis import strategies as st

from smsflow.core.encoding import Alphabet
from smsflow.core.errors import RemoteViolation
from smsflow.smpp import codec
from smsflow.smpp.codec import Framer, Pdu, SmPdu, Undecodable, decode, encode, make_error
from smsflow.smpp.link import Delivered, Link, LinkSettings, LinkState, Undecoded
from smsflow.smpp.receipts import read_receipt
from smsflow.smpp.segments import read_part

FRAMES = int(os.environ.get("SMSFLOW_FUZZ", "20000"))
SEED = int(os.environ.get("SMSFLOW_FUZZ_SEED", "34"))
KINDS = sorted(codec._COMMAND_IDS, key=lambda kind: codec._COMMAND_IDS[kind])
MOST = {
    "system_id": 15, "password": 8, "system_type": 12, "address_range": 40, "service_type": 5, "message_id": 64,
    "source_addr": 20, "destination_addr": 20, "schedule_delivery_time": 16, "validity_period": 16,
}  # fmt: skip
TLVS = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=20)), max_size=4).map(tuple)


def c_string(most: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(min_codepoint=0x01, max_codepoint=0x7F), max_size=most)


def fields_of(kind: type[Pdu]) -> dict[str, st.SearchStrategy]:
    """Every field of `kind`, with every value that SMPP can carry."""
    found: dict[str, st.SearchStrategy] = {}
    for each in dataclasses.fields(kind):
        if each.name in MOST:
            found[each.name] = c_string(MOST[each.name])
        elif each.name == "short_message":
            found[each.name] = st.binary(max_size=254)
        elif each.name == "tlvs":
            found[each.name] = TLVS.map(lambda tlvs: tuple(tlv for tlv in tlvs if tlv[0] != 0x0424))
        elif each.name in ("sequence", "status"):
            found[each.name] = st.integers(0, 0xFFFFFFFF)
        elif each.name != "raw":
            found[each.name] = st.integers(0, 255)
    return found


def sound(kind: type[Pdu]) -> st.SearchStrategy[Pdu]:
    """PDUs of `kind` in the form in which they are read: without the body that an error must not have."""

    def build(values: dict) -> Pdu:
        pdu = kind(**values)
        if pdu.status and kind in codec._BODILESS_ERRORS:
            return kind(sequence=pdu.sequence, status=pdu.status)
        if isinstance(pdu, codec.DataSm):
            kept = {name: values[name] for name in ("sequence", "status", *codec._ADDRESSES)}
            tlvs = (*pdu.tlvs, (0x0424, pdu.short_message)) if pdu.short_message else pdu.tlvs
            return kind(**kept, short_message=pdu.short_message, tlvs=tlvs)
        return pdu

    return st.fixed_dictionaries(fields_of(kind)).map(build)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_pdu_goes_there_and_back(kind, data):
    """decode(encode(x)) == x."""
    pdu = data.draw(sound(kind))
    if issubclass(kind, codec.BindResp) and pdu.tlvs and not pdu.status:
        assert decode(encode(pdu)).tlvs == pdu.tlvs
    assert decode(encode(pdu)) == pdu


@given(st.binary(min_size=255, max_size=2000), st.sampled_from([codec.SubmitSm, codec.DeliverSm, codec.DataSm]))
def test_a_long_text_goes_as_message_payload(octets, kind):
    """§5.3.2.32: sm_length is 0 then; both ways the text is `short_message`."""
    pdu = kind(short_message=octets, tlvs=((0x0424, octets),))
    assert decode(encode(pdu)) == pdu
    assert len(encode(pdu)) < 16 + 40 + len(octets)


@given(st.data(), st.lists(st.integers(0, 3000), max_size=40), st.booleans())
def test_1_any_split_of_the_stream_gives_the_same_pdus(data, cuts, one_by_one):
    """TCP may cut anywhere: framed by command_length only."""
    pdus = data.draw(st.lists(st.sampled_from(KINDS).flatmap(sound), min_size=1, max_size=6))
    stream = b"".join(encode(pdu) for pdu in pdus)
    places = range(len(stream) + 1) if one_by_one else sorted(min(cut, len(stream)) for cut in (*cuts, len(stream)))
    framer, found, start = Framer("main"), [], 0
    for place in places:
        found += framer.receive(stream[start:place])
        start = place
    assert [decode(frame) for frame in found] == pdus


def bound(now: float = 0) -> Link:
    link = Link(LinkSettings("main", "host", 2775, "smsflow", "secret"), now=now)
    if hasattr(link, "connected"):
        link.connected(now)
    link.receive(encode(codec.BindTransceiverResp(sequence=1)), now)
    assert link.state is LinkState.BOUND
    return link


def test_no_frame_raises_and_each_request_is_answered_once():
    """4, 5, 6, 7, 8: a session that has seen all of them is bound, or can bind again."""
    link, seen = bound(), 0
    link.data_to_send()
    for frame in hostile(FRAMES, SEED):
        pdu = decode(frame)
        assert pdu.raw == frame
        assert pdu.sequence == int.from_bytes(frame[12:16], "big")
        if isinstance(pdu, Undecodable):
            seen += 1
            assert decode(encode(make_error(pdu, pdu.answer))).sequence == pdu.sequence
        if isinstance(pdu, SmPdu):
            read_part(pdu)
            if isinstance(pdu, codec.DeliverSm):
                read_receipt(pdu)
        if link.state is not LinkState.BOUND:  # an unbind was among them
            link = bound()
            link.data_to_send()
        for event in link.receive(frame, 0):
            if isinstance(event, Delivered):
                link.respond(event.pdu.sequence, 0)
            elif isinstance(event, Undecoded):
                link.refuse(event.pdu, event.pdu.answer)
        answers = list(Framer("main").receive(link.data_to_send()))
        asked = not int.from_bytes(frame[4:8], "big") & 0x80000000
        silent = isinstance(pdu, codec.Outbind | codec.AlertNotification)
        assert len(answers) == (asked and not silent)
        assert all(answer[12:16] == frame[12:16] for answer in answers)
        assert link.unanswered == 0
    assert seen > FRAMES // 50


@given(st.binary(max_size=400))
def test_2_no_stream_makes_the_framer_raise_anything_else(octets):
    """Lost boundaries are a violation of theirs, and nothing worse."""
    with suppress(RemoteViolation):
        for frame in Framer("main").receive(octets):
            decode(frame)


@given(st.binary(max_size=300), st.integers(0, 255), st.integers(0, 255), st.sampled_from(Alphabet))
def test_29_no_text_raises_on_the_way_in(octets, esm_class, data_coding, alphabet):
    """Whatever stands in the text and around it."""
    pdu = codec.DeliverSm(esm_class=esm_class, data_coding=data_coding, short_message=octets)
    read_part(pdu)
    read_receipt(pdu)
