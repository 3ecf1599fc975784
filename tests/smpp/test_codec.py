"""PDUs: hexadecimal written by hand from SMPP v3.4, and everything that a message centre may get wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from smpplib import smpp

from smsflow.core.errors import LocalViolation, RemoteViolation
from smsflow.smpp.codec import (
    BindReceiver,
    BindTransceiver,
    BindTransceiverResp,
    BindTransmitter,
    CancelSm,
    CancelSmResp,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    GenericNack,
    Outbind,
    ReplaceSm,
    ReplaceSmResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    Undecodable,
    decode,
    encode,
    find_tlv,
    make_error,
)


def frame(command_id: str, body: str = "", *, status: str = "00000000", sequence: str = "00000007") -> bytes:
    """Return a PDU written by hand, with a true command_length."""
    octets = bytes.fromhex(command_id + status + sequence + body)
    return (len(octets) + 4).to_bytes(4, "big") + octets


def hexed(text: str) -> str:
    return text.encode("latin-1").hex()


# service_type "", source TON 1 NPI 1 "77011234567", destination TON 0 NPI 0 "1414", esm_class 0, protocol 0,
# priority 0, schedule "", validity "", registered 0, replace 0, data_coding 0, sm_default_msg_id 0
HEAD = "000101" + hexed("77011234567") + "000000" + hexed("1414") + "00000000000000000000"
MO = frame("00000005", HEAD + "07" + hexed("R 1 1 2"))


def test_deliver_sm_by_hand():
    """§4.6.1, field by field."""
    pdu = decode(MO)
    assert isinstance(pdu, DeliverSm)
    assert (pdu.sequence, pdu.source_addr, pdu.destination_addr) == (7, "77011234567", "1414")
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.short_message) == (1, 1, b"R 1 1 2")
    assert pdu.raw == MO
    assert encode(pdu) == MO


@pytest.mark.parametrize(
    ("pdu", "octets"),
    [
        (EnquireLink(sequence=7), frame("00000015")),
        (EnquireLinkResp(sequence=7), frame("80000015")),
        (Unbind(sequence=7), frame("00000006")),
        (UnbindResp(sequence=7), frame("80000006")),
        (GenericNack(sequence=7, status=3), frame("80000000", status="00000003")),
        (DeliverSmResp(sequence=7), frame("80000005", "00")),
        (SubmitSmResp(sequence=7, message_id="0A1F"), frame("80000004", "3041314600")),
        (SubmitSmResp(sequence=7, status=0x58), frame("80000004", status="00000058")),
        (DataSmResp(sequence=7, message_id="1"), frame("80000103", "3100")),
        (
            BindTransceiver(sequence=7, system_id="ab", password="c", system_type="d"),
            frame("00000009", "6162006300640034000000"),
        ),
        (BindReceiver(sequence=7, system_id="ab", password=""), frame("00000001", "616200000034000000")),
        (
            BindTransmitter(sequence=7, system_id="ab", password="a longer one"),
            frame("00000002", "616200" + hexed("a longer one") + "000034000000"),
        ),
        (
            BindTransceiverResp(sequence=7, system_id="ab", tlvs=((0x0210, b"\x34"),)),
            frame("80000009", "6162000210000134"),
        ),
        (
            SubmitSm(
                sequence=7,
                source_addr="1414",
                dest_addr_ton=1,
                dest_addr_npi=1,
                destination_addr="77",
                esm_class=0x40,
                registered_delivery=1,
                data_coding=8,
                short_message=b"\x04\xd9",
            ),
            frame("00000004", "000000313431340001013737004000000000010008000204d9"),
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, bytes) else "",
)
def test_pdus_by_hand_both_ways(pdu, octets):
    """Each PDU is written as the specification's tables say, and read back the same."""
    assert encode(pdu) == octets
    assert decode(octets) == pdu


@pytest.mark.parametrize(
    ("tail", "text", "tags"),
    [
        ("07" + hexed("R 1 1 2") + "00", b"R 1 1 2", ()),  # a stray NUL
        ("07" + hexed("R 1 1 2") + "deadbe", b"R 1 1 2", ()),  # junk
        ("0a" + hexed("R 1 1 2"), b"R 1 1 2", ()),  # sm_length promises more
        ("00", b"", ()),
        ("05", b"", ()),  # sm_length and nothing after it
        ("0004240003" + hexed("R 1"), b"R 1", (0x0424,)),  # message_payload
        ("03" + hexed("abc") + "04240003" + hexed("R 1"), b"R 1", (0x0424,)),  # both: the payload
        ("03" + hexed("R 1") + "0302000100", b"R 1", (0x0302,)),  # not of this PDU's class
        ("03" + hexed("R 1") + "15010002abcd", b"R 1", (0x1501,)),  # a vendor's
        ("03" + hexed("R 1") + "042700020002", b"R 1", (0x0427,)),  # an integer too long
        ("03" + hexed("R 1") + "001e000931", b"R 1", ()),  # cut off
        ("03" + hexed("R 1") + "001e000431323334", b"R 1", (0x001E,)),  # a string without its NUL
    ],
)
def test_odd_ends_of_deliver_sm_keep_the_text(tail, text, tags):
    """Lengths that lie, junk and strange parameters do not cost the reply (smsc-behaviours §4, 5 to 8)."""
    pdu = decode(frame("00000005", HEAD + tail))
    assert isinstance(pdu, DeliverSm)
    assert pdu.short_message == text
    assert tuple(tag for tag, _ in pdu.tlvs) == tags


def test_a_tlv_string_without_nul_keeps_its_last_octet():
    """smpplib drops it, and the receipt would match nothing."""
    pdu = decode(frame("00000005", HEAD + "00001e000431323334"))
    assert find_tlv(pdu.tlvs, 0x001E) == b"1234"
    assert find_tlv(pdu.tlvs, 0x0427) is None


@pytest.mark.parametrize(
    ("body", "message_id"),
    [("", ""), ("00", ""), ("3132", "12"), ("313200", "12"), ("313200001d00024f4b", "12")],
)
@pytest.mark.parametrize("status", ["00000000", "00000008"])
def test_submit_sm_resp_with_any_body_is_read(body, message_id, status):
    """With or without a body, an id, its NUL, or parameters (smsc-behaviours §4, 9)."""
    pdu = decode(frame("80000004", body, status=status))
    assert pdu == SubmitSmResp(sequence=7, status=int(status, 16), message_id=message_id)


@pytest.mark.parametrize(
    ("octets", "answer", "response"),
    [
        (frame("00000777"), 0x03, GenericNack),
        (frame("00000003", "00"), 0x03, GenericNack),  # query_sm
        (frame("00000007", "00"), 0x01, ReplaceSmResp),
        (frame("00000008", "0031"), 0xC2, CancelSmResp),
        (frame("00000005"), 0x01, DeliverSmResp),
        (frame("00000005", HEAD), 0x01, DeliverSmResp),
        (frame("00000005", "000101" + hexed("7701")), 0xC2, DeliverSmResp),
        (frame("00000005", "000101" + hexed("7" * 300) + "00"), 0xC2, DeliverSmResp),
        (frame("00000004", "00"), 0x01, SubmitSmResp),
        (frame("00000103", "0001"), 0x01, DataSmResp),
    ],
)
def test_what_cannot_be_read_can_be_answered(octets, answer, response):
    """An `Undecodable` holds its sequence, the frame, a reason and the answer."""
    pdu = decode(octets)
    assert isinstance(pdu, Undecodable)
    assert pdu.is_request
    assert pdu.raw == octets
    assert pdu.reason
    assert make_error(pdu, pdu.answer) == response(sequence=7, status=answer)


@pytest.mark.parametrize(
    ("pdu", "octets"),
    [
        (Outbind(sequence=7, system_id="a", password="b"), frame("0000000b", "61006200")),
        (
            CancelSm(sequence=7, message_id="12", source_addr="1414", dest_addr_ton=1, destination_addr="77"),
            frame("00000008", "00313200000031343134000100373700"),
        ),
        (
            ReplaceSm(sequence=7, message_id="12", source_addr="1414", short_message=b"R 1"),
            frame("00000007", "313200000031343134000000000003522031"),
        ),
    ],
)
def test_commands_that_smpplib_lacks_are_known(pdu, octets):
    """§4.1.7, §4.9.1, §4.10.1, by hand."""
    assert encode(pdu) == octets
    assert decode(octets) == pdu
    assert pdu.password == "b" if isinstance(pdu, Outbind) else make_error(pdu, 3).status == 3


def test_data_sm_is_a_delivery_whose_text_is_its_payload():
    """§4.7.1."""
    pdu = decode(frame("00000103", "00010137370000003134313400000008042400020420"))
    assert isinstance(pdu, DataSm)
    assert isinstance(pdu, DeliverSm)
    assert (pdu.source_addr, pdu.data_coding, pdu.short_message) == ("77", 8, b"\x04\x20")


@pytest.mark.parametrize(
    "fields",
    [
        {"destination_addr": "7" * 21},
        {"destination_addr": "мама"},
        {"source_addr": "14\x0014"},
        {"short_message": b"x" * 255},
        {"data_coding": 256},
        {"esm_class": -1},
    ],
)
def test_what_smpp_cannot_carry_is_our_fault_and_not_cut(fields):
    """smpplib would cut it silently, or raise something of its own."""
    with pytest.raises(LocalViolation):
        encode(SubmitSm(**fields))


STREAM = MO + frame("00000015") + frame("80000004", "3100") + frame("00000777", "0000")


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_frames_are_the_same_under_every_split(cuts):
    """TCP may cut anywhere."""
    framer, found, start = Framer("main"), [], 0
    for cut in (*sorted(cuts), len(STREAM)):
        found += framer.receive(STREAM[start:cut])
        start = cut
    assert b"".join(found) == STREAM
    assert [type(decode(each)) for each in found] == [DeliverSm, EnquireLink, SubmitSmResp, Undecodable]


@pytest.mark.parametrize("length", [0, 8, 15, 65_537, 0x7FFFFFFF])
def test_an_impossible_command_length_is_a_violation_after_the_good_frames(length):
    """The boundaries are lost, but what came before is kept (smsc-behaviours §4, 2)."""
    frames = Framer("main").receive(MO + length.to_bytes(4, "big"))
    assert next(frames) == MO
    with pytest.raises(RemoteViolation, match=str(length)):
        next(frames)


@given(st.binary(max_size=200), st.sampled_from([5, 0x103, 4, 0x80000004, 0x80000009, 9, 0x15, 0x80000103, 0x102]))
def test_no_body_makes_decode_raise(body, command_id):
    """Whatever follows the header, there is a PDU or an `Undecodable`."""
    octets = frame(command_id.to_bytes(4, "big").hex(), body.hex())
    pdu = decode(octets)
    assert pdu.sequence == 7
    assert pdu.raw == octets


printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
octet = st.integers(0, 255)


@given(
    st.builds(
        DeliverSm,
        sequence=st.integers(0, 0xFFFFFFFF),
        source_addr=printable,
        destination_addr=printable,
        source_addr_ton=octet,
        dest_addr_npi=octet,
        esm_class=octet,
        data_coding=octet,
        registered_delivery=octet,
        protocol_id=octet,
        short_message=st.binary(max_size=254),
    )
)
def test_deliver_sm_goes_there_and_back_and_smpplib_agrees(pdu):
    """decode(encode(x)) == x, and smpplib reads the same from a sound PDU."""
    octets = encode(pdu)
    assert decode(octets) == pdu
    theirs = smpp.make_pdu("deliver_sm", sequence=1)
    theirs.parse(octets)
    assert (theirs.short_message or b"") == pdu.short_message
    assert theirs.source_addr.decode() == pdu.source_addr
    assert theirs.data_coding == pdu.data_coding
