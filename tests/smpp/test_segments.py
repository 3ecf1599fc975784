"""Long texts, out and in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsflow.core.encoding import Coding, segments
from smsflow.smpp.codec import DeliverSm
from smsflow.smpp.segments import Kind, Part, join, read_part, segment, submits

KAZAKH = (
    "Құттықтаймыз! Сіздің балаңыз өмірге келді. Туу туралы куәлікті алу үшін жауап беріңіз: R 1 1 1 немесе R 1 1 2."
)


def deliver(each) -> DeliverSm:
    return DeliverSm(esm_class=each.esm_class, data_coding=each.data_coding, short_message=each.short_message)


def test_a_short_text_has_no_header():
    """What fits alone goes alone."""
    (only,) = segment("R 1 1 2", reference=9)
    assert (only.esm_class, only.data_coding, only.short_message) == (0, 0, b"R 1 1 2")
    assert read_part(deliver(only)) == (None, b"R 1 1 2")


def test_a_long_kazakh_text_goes_as_two_parts_with_an_8_bit_reference():
    """05 00 03 reference total number, esm_class 0x40, data_coding 8, at most 140 octets."""
    first, second = segment(KAZAKH, reference=0x1A7)
    assert first.short_message[:6] == bytes.fromhex("050003a70201")
    assert second.short_message[:6] == bytes.fromhex("050003a70202")
    assert {each.esm_class for each in (first, second)} == {0x40}
    assert {each.data_coding for each in (first, second)} == {8}
    assert len(first.short_message) == 140


def test_submits_carry_addresses_and_ask_for_receipts():
    """The daemon gives texts and addresses only."""
    pdus = submits(KAZAKH, source_addr="1414", destination_addr="77011234567", reference=1)
    assert [(pdu.source_addr, pdu.destination_addr) for pdu in pdus] == [("1414", "77011234567")] * 2
    assert [(pdu.dest_addr_ton, pdu.dest_addr_npi, pdu.registered_delivery) for pdu in pdus] == [(1, 1, 1)] * 2


def test_more_than_255_segments_are_refused():
    """The header has one octet for the total."""
    with pytest.raises(ValueError, match="255"):
        segment("ә" * 67 * 256, reference=1)


@given(st.text(st.sampled_from("әҚ😀R€ 1"), min_size=1, max_size=600), st.integers(0, 255), st.randoms())
def test_parts_in_any_order_join_to_the_text(text, reference, random):
    """Sorted by number and joined as octets, then decoded."""
    out = list(segment(text, reference))
    assert len(out) == segments(text)
    random.shuffle(out)
    read = [read_part(deliver(each)) for each in out]
    if len(out) == 1:
        assert read[0][0] is None
    else:
        assert {part.key for part, _ in read} == {(Kind.UDH8, reference, len(out))}
        read.sort(key=lambda pair: pair[0].number)
    assert join(out[0].data_coding, [payload for _, payload in read]) == text


def test_a_forced_coding_is_obeyed():
    """A message centre may send Latin letters as UCS-2."""
    (only,) = segment("R 1", reference=1, coding=Coding.UCS2)
    assert (only.data_coding, only.short_message) == (8, b"\x00R\x00 \x001")


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("05 0003 2a0201", Part(0x2A, 2, 1, Kind.UDH8)),
        ("06 0804 012a0302", Part(0x12A, 3, 2, Kind.UDH16)),
        ("0b 0504 0b8423f0 0003 2a0202", Part(0x2A, 2, 2, Kind.UDH8)),  # ports come first
        ("06 0504 0b8423f0", None),  # ports only
        ("05 0003 2a0101", None),  # the only part
        ("05 0003 2a0200", None),  # part 0
        ("05 0003 2a0203", None),  # part 3 of 2
        ("05 0003 2a0001", None),  # of 0
        ("04 0003 2a02", None),  # too short an element
        ("01 00", None),
        ("00", None),
    ],
)
def test_user_data_headers(header, part):
    """3GPP TS 23.040 §9.2.3.24: elements are found among others; unsound ones make a whole text."""
    octets = bytes.fromhex(header)
    assert read_part(DeliverSm(esm_class=0x40, short_message=octets + b"R 1")) == (part, b"R 1")


@pytest.mark.parametrize("octets", [b"", b"\x50R 1", b"\x05"])
def test_a_flag_without_a_header_keeps_all_octets(octets):
    """A length that cannot be true is text."""
    assert read_part(DeliverSm(esm_class=0x40, short_message=octets)) == (None, octets)


def test_a_header_without_the_flag_is_text():
    """Trust the flag (smsc-behaviours §4, 28)."""
    octets = bytes.fromhex("0500032a0201") + b"R 1"
    assert read_part(DeliverSm(short_message=octets)) == (None, octets)


def test_sar_parameters_are_parts():
    """SMPP v3.4 §5.3.2.22 to 24; all three, in any order."""
    tlvs = ((0x020C, b"\x01\x2a"), (0x020E, b"\x02"), (0x020F, b"\x01"))
    for order in itertools.permutations(tlvs):
        pdu = DeliverSm(short_message=b"R 1", tlvs=order)
        assert read_part(pdu) == (Part(0x12A, 2, 1, Kind.SAR), b"R 1")
    assert read_part(DeliverSm(short_message=b"R 1", tlvs=tlvs[:2])) == (None, b"R 1")


@given(st.binary(max_size=160), st.integers(0, 255))
def test_no_octets_make_read_part_raise(octets, esm_class):
    """Anything is a part or a whole text."""
    read_part(DeliverSm(esm_class=esm_class, short_message=octets))
