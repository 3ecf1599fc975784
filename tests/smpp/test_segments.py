"""Long texts, out and in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsflow.core.encoding import Alphabet, Coding, is_gsm, segments
from smsflow.core.errors import LocalViolation
from smsflow.smpp import codec
from smsflow.smpp.codec import DeliverSm
from smsflow.smpp.segments import (
    Kind,
    LongTexts,
    Part,
    SubmitWriter,
    join,
    read_part,
    read_text,
    segment,
    submits,
)

KAZAKH = (
    "Құттықтаймыз! Сіздің балаңыз өмірге келді. Туу туралы куәлікті алу үшін жауап беріңіз: R 1 1 1 немесе R 1 1 2."
)


def deliver(each) -> DeliverSm:
    return DeliverSm(
        esm_class=each.esm_class, data_coding=each.data_coding, short_message=each.short_message, tlvs=each.tlvs
    )


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


@given(
    st.lists(st.text(st.sampled_from("әҚ😀R€ 1"), max_size=500), min_size=1, max_size=3),
    st.lists(st.tuples(st.text("0123456789+A", max_size=20), st.integers(0, 0xFFFF)), min_size=1, max_size=3),
    st.sampled_from(LongTexts),
    st.sampled_from(Alphabet),
    st.tuples(st.text("14x", max_size=20), *[st.tuples(st.integers(0, 9), st.integers(0, 9))] * 2),
    st.booleans(),
)
def test_writer_writes_what_the_codec_writes_of_submits(
    texts, receivers, long_texts, alphabet, addresses, replaces
):
    """The same texts to several phones, by any reference, on every link: octet for octet."""
    way = dict(zip(("source_addr", "source", "destination"), addresses, strict=True))
    way |= {"long_texts": long_texts, "alphabet": alphabet}
    writer = SubmitWriter(**way)
    for text in texts * 2:
        for phone, reference in receivers:
            each = {"destination_addr": phone, "reference": reference, "replaces": replaces}
            assert writer.write(text, **each) == tuple(codec.encode(pdu) for pdu in submits(text, **way, **each))


@pytest.mark.parametrize("long_texts", LongTexts)
def test_writer_writes_long_texts_as_the_codec_does(long_texts):
    """Surely, where chance seldom makes one: phones of two lengths, references of one octet and of two."""
    way = {"source_addr": "1414", "long_texts": long_texts}
    writer = SubmitWriter(**way)
    for phone, reference in (("77011234567", 1), ("77017654321", 0x1A7), ("1414", 0xFFFF), ("0000", 0)):
        each = {"destination_addr": phone, "reference": reference}
        assert writer.write(KAZAKH, **each) == tuple(codec.encode(pdu) for pdu in submits(KAZAKH, **way, **each))


@pytest.mark.parametrize("phone", ["7" * 21, "77\0", "7٧", "ә"])
def test_writer_refuses_a_phone_that_cannot_be_written(phone):
    """As the codec does; the text before it, to another phone, makes no difference."""
    writer = SubmitWriter(source_addr="1414")
    assert writer.write(KAZAKH, destination_addr="77011234567", reference=1)
    with pytest.raises(LocalViolation):
        writer.write(KAZAKH, destination_addr=phone, reference=1)


def test_replacing_is_asked_for_only_where_it_is_wanted():
    """§5.2.18: replace_if_present_flag."""
    for replaces in (False, True):
        (pdu,) = submits("R 1", source_addr="1", destination_addr="7", reference=1, replaces=replaces)
        assert pdu.replace_if_present_flag == replaces


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


@pytest.mark.parametrize(
    ("head", "part"),
    [
        ("0500032a0201", Part(0x2A, 2, 1, Kind.UDH8)),
        ("060804012a0302", Part(0x12A, 3, 2, Kind.UDH16)),
        ("0500032a0203", None),
        ("0500032a0101", None),
        ("0500032a0200", None),
        ("0500032a02", None),
        ("0600032a020100", None),
        ("050003", None),
        ("", None),
    ],
)
def test_28_a_header_without_the_flag_is_found_where_the_link_says_so(head, part):
    """Only one that names a sound part, and no other element: the rest is text."""
    octets = bytes.fromhex(head)
    whole = octets + b"R" if part else octets
    assert read_part(DeliverSm(short_message=whole), guess_header=True) == (part, b"R" if part else octets)


def test_28_packed_septets_after_a_guessed_header_begin_at_a_septets_boundary():
    """As after one with the flag."""
    (first, _) = segment("R" * 161, 1, alphabet=Alphabet.GSM_PACKED)
    pdu = DeliverSm(short_message=first.short_message)
    assert read_part(pdu, Alphabet.GSM_PACKED, guess_header=True) == (Part(1, 2, 1, Kind.UDH8), b"R" * 153)


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


@pytest.mark.parametrize(
    ("long_texts", "esm_class", "head", "tags"),
    [
        (LongTexts.UDH8, 0x40, "050003a70201", ()),
        (LongTexts.UDH16, 0x40, "06080401a70201", ()),
        (LongTexts.SAR, 0, "", ((0x020C, "01a7"), (0x020E, "02"), (0x020F, "01"))),
    ],
)
def test_27_each_link_has_its_way_of_telling_parts(long_texts, esm_class, head, tags):
    """By hand: 3GPP TS 23.040 §9.2.3.24.1 and .8, SMPP v3.4 §5.3.2.22 to 24."""
    first, second = segment(KAZAKH, 0x1A7, long_texts=long_texts)
    assert first.esm_class == second.esm_class == esm_class
    assert first.short_message.hex().startswith(head)
    assert tuple((tag, value.hex()) for tag, value in first.tlvs) == tags
    assert len(first.short_message) <= 140 - (0 if head else 6)


def test_27_a_payload_carries_all_of_a_long_text_and_no_short_one():
    """One PDU, sm_length 0 on the wire (§5.3.2.32); a short text stays where it was."""
    (only,) = segment(KAZAKH, 1, long_texts=LongTexts.PAYLOAD)
    assert only.tlvs == ((0x0424, KAZAKH.encode("utf-16-be")),)
    assert segment("R 1", 1, long_texts=LongTexts.PAYLOAD) == segment("R 1", 1)


@given(
    st.text(st.sampled_from("әҚ😀R€[@ 1éΔ"), min_size=1, max_size=900)
    | st.text(st.sampled_from("€[a@é"), max_size=900),
    st.integers(0, 0xFFFF),
    st.sampled_from(LongTexts),
    st.sampled_from(Alphabet),
)
def test_27_29_every_text_goes_there_and_back_on_every_link(text, reference, long_texts, alphabet):
    """Cut between characters, at most 140 octets on the air, numbered, and the text again when joined."""
    out = segment(text, reference, long_texts=long_texts, alphabet=alphabet)
    read = [read_part(deliver(each), alphabet) for each in out]
    if len(out) > 1:
        assert [part.number for part, _ in read] == list(range(1, len(out) + 1))
        assert {part.total for part, _ in read} == {len(out)}
        assert {part.reference for part, _ in read} == {
            reference & (0xFF if long_texts is LongTexts.UDH8 else 0xFFFF)
        }
        for each, (_, octets) in zip(out, read, strict=True):
            assert read_text([(each.data_coding, octets)], alphabet).encode("utf-16")  # no pair is cut
            if each.data_coding or alphabet is Alphabet.GSM_PACKED:
                assert len(each.short_message) <= 140
            assert not octets.endswith(b"\x1b")
    pieces = [(each.data_coding, octets) for each, (_, octets) in zip(out, read, strict=True)]
    joined = read_text(pieces, alphabet)
    if alphabet is Alphabet.GSM_PACKED and is_gsm(text):
        assert joined.replace("@", "") == text.replace("@", "")  # a part that ends in @ may look like the filling
    else:
        assert joined == text


def test_29_packed_parts_begin_at_a_septets_boundary():
    """A header of 6 octets leaves one bit to fill, one of 7 none."""
    (first, _) = segment("R" * 161, 1, alphabet=Alphabet.GSM_PACKED)
    assert first.short_message[:8].hex() == "05000301020" + "1" + "a452"
    assert len(first.short_message) == 140
