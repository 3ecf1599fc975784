"""Delivery receipts, and what only looks like one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsflow.core.encoding import Alphabet, pack
from smsflow.smpp import receipts
from smsflow.smpp.codec import DeliverSm
from smsflow.smpp.receipts import Ids, Receipt, State, id_key, id_keys, read_receipt

TEXT = b"id:0A1F sub:001 dlvrd:001 submit date:2610011200 done date:2610011201 stat:DELIVRD err:000 text:Hello"
ID, STATE = 0x001E, 0x0427


def test_the_form_of_appendix_b():
    """The textbook's receipt."""
    assert read_receipt(DeliverSm(esm_class=0x04, short_message=TEXT)) == Receipt("0A1F", State.DELIVERED, "000")


def test_a_mothers_text_that_looks_like_a_receipt_is_a_text():
    """Never by the look of it."""
    assert read_receipt(DeliverSm(short_message=TEXT)) is None
    assert read_receipt(DeliverSm(esm_class=0x40, short_message=TEXT)) is None


def test_an_id_parameter_alone_is_no_receipt():
    """Kannel's drive_smpp sets receipted_message_id on ordinary texts."""
    assert read_receipt(DeliverSm(short_message=b"R 1 1 2", tlvs=((ID, b"1\0"),))) is None


def test_both_parameters_without_the_bit_are_a_receipt():
    """Some centres forget esm_class."""
    pdu = DeliverSm(tlvs=((ID, b"0a1f"), (STATE, b"\x02")))
    assert read_receipt(pdu) == Receipt("0a1f", State.DELIVERED)


@pytest.mark.parametrize("esm_class", [0x04, 0x44, 0x08, 0x10])
def test_every_kind_of_receipt_is_known(esm_class):
    """§5.2.12: delivery receipt, with a header too, and the two acknowledgements."""
    text = b"\x00" + TEXT if esm_class & 0x40 else TEXT
    assert read_receipt(DeliverSm(esm_class=esm_class, short_message=text)).state is State.DELIVERED


def test_an_intermediate_notification_is_not_final():
    """Whatever it says, the centre goes on trying."""
    pdu = DeliverSm(esm_class=0x20, short_message=TEXT.replace(b"DELIVRD", b"UNDELIV"))
    assert read_receipt(pdu).state is State.UNDER_WAY


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("DELIVRD", State.DELIVERED),
        ("delivered", State.DELIVERED),
        ("DELIV", State.DELIVERED),
        ("EXPIRED", State.EXPIRED),
        ("UNDELIV", State.FAILED),
        ("UNDELIVERABLE", State.FAILED),
        ("DELETED", State.FAILED),
        ("REJECTD", State.FAILED),
        ("FAILED", State.FAILED),
        ("ACCEPTD", State.UNDER_WAY),
        ("ENROUTE", State.UNDER_WAY),
        ("UNKNOWN", State.UNDER_WAY),
        ("whatever", State.UNDER_WAY),
    ],
)
def test_words_of_state(word, state):
    """Appendix B, table B-2, abbreviated or spelled out."""
    pdu = DeliverSm(esm_class=4, short_message=f"id:1 stat:{word}".encode())
    assert read_receipt(pdu).state is state


@pytest.mark.parametrize(
    ("value", "state"),
    [
        (0, State.UNDER_WAY),  # SCHEDULED, of v5.0
        (1, State.UNDER_WAY),  # ENROUTE
        (2, State.DELIVERED),
        (3, State.EXPIRED),
        (4, State.FAILED),  # DELETED
        (5, State.FAILED),  # UNDELIVERABLE
        (6, State.UNDER_WAY),  # ACCEPTED: a final state or nothing follows
        (7, State.UNDER_WAY),  # UNKNOWN
        (8, State.FAILED),  # REJECTED
        (9, State.FAILED),  # SKIPPED, of v5.0
        (10, State.UNDER_WAY),
        (255, State.UNDER_WAY),
    ],
)
def test_values_of_message_state(value, state):
    """§5.2.28, and what is in no table; the parameter counts, whatever the text says."""
    word = b"EXPIRED" if state is not State.EXPIRED else b"DELIVRD"
    pdu = DeliverSm(esm_class=4, short_message=b"id:1 stat:" + word, tlvs=((STATE, bytes([value])),))
    assert read_receipt(pdu).state is state


@pytest.mark.parametrize(
    ("text", "message_id", "error"),
    [
        ("stat:DELIVRD id:77 err:00A", "77", "00A"),
        ("ID:77 Stat:DELIVRD", "77", ""),
        ("id: 77 stat:DELIVRD Err:1", "77", "1"),
        ("id: sub:001 stat:DELIVRD", "", ""),
        ("id:3fa85f64-5717-4562 stat:DELIVRD", "3fa85f64-5717-4562", ""),
        ("", "", ""),
    ],
)
def test_texts_of_receipts_are_read_with_patience(text, message_id, error):
    """Fields reordered, missing, empty, in any case."""
    receipt = read_receipt(DeliverSm(esm_class=4, short_message=text.encode()))
    assert (receipt.message_id, receipt.error) == (message_id, error)


@pytest.mark.parametrize("written", [b"a_7@$", b"a\x117\x00\x02"], ids=["ascii", "gsm"])
@pytest.mark.parametrize("coding", [0, 0xF0])
def test_an_id_is_the_same_in_ascii_and_in_the_gsm_alphabet(written, coding):
    """Many centres write receipts in ASCII under data_coding 0; some do convert."""
    text = TEXT.replace(b"0A1F", written)
    receipt = read_receipt(DeliverSm(esm_class=0x04, data_coding=coding, short_message=text))
    assert receipt == Receipt("a_7@$", State.DELIVERED, "000")


def test_a_receipt_in_ascii_is_read_where_texts_are_packed():
    """The centre writes receipts, and packs what comes from phones; one that packs both is read too."""
    for octets in (TEXT, pack(TEXT)):
        receipt = read_receipt(DeliverSm(esm_class=0x04, short_message=octets), Alphabet.GSM_PACKED)
        assert receipt == Receipt("0A1F", State.DELIVERED, "000")


def test_a_receipt_in_ucs2_is_read():
    """vumi#635."""
    pdu = DeliverSm(esm_class=4, data_coding=8, short_message=TEXT.decode().encode("utf-16-be"))
    assert read_receipt(pdu) == Receipt("0A1F", State.DELIVERED, "000")


def test_parameters_come_before_the_text_and_both_ids_are_kept():
    """One in hexadecimal, one in decimal: both are looked for."""
    pdu = DeliverSm(esm_class=4, short_message=b"id:2591 stat:EXPIRED", tlvs=((ID, b"0A1F\0"), (STATE, b"\x02")))
    receipt = read_receipt(pdu)
    assert receipt == Receipt("0A1F", State.DELIVERED, other_id="2591")
    assert receipt.find_keys() == ("a1f", "2591", "9617")
    assert receipt.find_own_keys() == ("a1f", "2591")


@pytest.mark.parametrize(
    ("submitted", "receipted"),
    [
        ("0A1F", "0A1F"),
        ("0A1F", "0a1f"),
        ("00000A1F", "a1f"),
        ("a1f", "0000000A1F"),
        ("A1F", "2591"),
        ("2591", "A1F"),
        ("0000002591", "00000a1f"),
        ("3fa85f64-57", "3FA85F64-57"),
    ],
)
def test_ids_meet_however_they_are_written(submitted, receipted):
    """Raw, case, leading zeros, hexadecimal or decimal."""
    assert receipted == submitted or id_key(submitted) in id_keys(receipted)


def test_keys_are_few_and_the_likelier_first():
    """The order is the order of evidence."""
    assert id_keys("0012") == ("12", "18", "c")
    assert id_keys("") == ()
    assert id_keys("000") == ("0",)
    assert id_keys("x-1") == ("x-1",)


@pytest.mark.parametrize(
    ("ids", "keys"),
    [
        (Ids.AUTO, ("12", "18", "c")),
        (Ids.SAME, ("12",)),
        (Ids.HEX_DECIMAL, ("c",)),
        (Ids.DECIMAL_HEX, ("18",)),
    ],
)
def test_8_an_operator_says_in_which_base_ids_are_written(ids, keys):
    """Then nothing is guessed: another id that reads the same in the other base is not looked for."""
    assert id_keys("0012", ids) == keys
    assert id_keys("x-1", ids) == ("x-1",)
    assert Receipt("0012", State.DELIVERED).find_own_keys(ids) == (keys[:1])


@pytest.mark.parametrize(("ids", "text_id"), [(Ids.HEX_DECIMAL, "18"), (Ids.DECIMAL_HEX, "c")])
def test_8_an_id_in_the_parameters_that_differs_from_the_texts_is_the_one_of_the_response(ids, text_id):
    """§5.3.2.12: it is returned as it was in submit_sm_resp; the other is read in the base that was said."""
    assert Receipt("12", State.DELIVERED, other_id=text_id).find_keys(ids) == ("12",)


@pytest.mark.parametrize(
    ("ids", "keys"),
    [
        (Ids.AUTO, ("16", "22", "10", "24", "36", "18")),
        (Ids.SAME, ("16", "24")),
        (Ids.HEX_DECIMAL, ("16", "18")),
        (Ids.DECIMAL_HEX, ("16", "36")),
    ],
)
def test_8_both_ids_of_a_receipt_are_looked_for(ids, keys):
    """That of the parameters first, as it is; that of the text as the link says."""
    assert Receipt("16", State.DELIVERED, other_id="24").find_keys(ids) == keys


@given(st.binary(max_size=160), st.integers(0, 255), st.binary(max_size=70), st.binary(max_size=3))
def test_nothing_makes_read_receipt_raise(octets, coding, message_id, state):
    """Any octets in any field."""
    pdu = DeliverSm(esm_class=4, data_coding=coding, short_message=octets, tlvs=((ID, message_id), (STATE, state)))
    receipt = read_receipt(pdu)
    for ids in Ids:
        keys = receipt.find_keys(ids)
        assert len(keys) == len(set(keys))
        assert bool(keys) == bool(receipt.message_id)


FORM = (
    ("id:0A1F", "id:7f_3-b", "ID:1", "id :1", "id:", "id:1 2"), (" sub:001", " "), (" dlvrd:001",),
    (" submit date:2610011200", " submit date:10-12-2026"), (" done date:2610011201",),
    (" stat:DELIVRD", " stat:UNDELIV", " Stat:Delivrd"), (" err:000", " err:0A", " err:-1", ""),
    (" text:", " Text:", " TEXT:", ""), ("Hello", " id:2 stat:EXPIRED err:9", ""),
)  # fmt: skip
ODD = ("", "0", "a", "Z", " ", ":", "_", ".", "\0", "\n", "§", "\x11", " é", "id:2 ", " stat:X ", " err:1 ")


def nearly_usual() -> Iterator[bytes]:
    """Receipts of the form; one piece of each may be another, or anything short, or have it before or after it."""
    usual = [words[0] for words in FORM]
    for place, words in enumerate(FORM):
        for odd in (*words, *ODD, *(odd + words[0] for odd in ODD), *(words[0] + odd for odd in ODD)):
            yield "".join([*usual[:place], odd, *usual[place + 1 :]]).encode("latin-1")


@pytest.mark.parametrize("esm_class", [0x04, 0x44])
@pytest.mark.parametrize("coding", [0, 1, 3, 8, 0xF0])
@pytest.mark.parametrize("alphabet", Alphabet)
def test_usual_receipt_is_read_as_every_other(esm_class, coding, alphabet):
    """The short way through the form of Appendix B finds what the long one finds, or is not taken."""
    pdus = [DeliverSm(esm_class=esm_class, data_coding=coding, short_message=octets) for octets in nearly_usual()]
    with patch.object(receipts, "_USUAL", re.compile(rb"(?!)")):
        patient = [read_receipt(pdu, alphabet) for pdu in pdus]

    assert [read_receipt(pdu, alphabet) for pdu in pdus] == patient


@given(st.text(st.sampled_from("0123456789abfgxABF_+- ٣²"), min_size=1, max_size=34))
def test_ids_are_numbers_where_all_their_digits_are(message_id):
    """Python reads more as a number than a centre writes: `0x1f`, `1_0`, `+1`, digits of other scripts."""
    key = id_key(message_id)
    short = len(key) <= 32
    in_decimal = [str(int(key, 16))] if short and re.fullmatch("[0-9a-f]+", key) else []
    in_hex = [f"{int(key):x}"] if short and re.fullmatch("[0-9]+", key) else []

    assert id_keys(message_id) == tuple(dict.fromkeys([key, *in_decimal, *in_hex]))
    assert id_keys(message_id, Ids.HEX_DECIMAL) == tuple(in_hex or [key])
    assert id_keys(message_id, Ids.DECIMAL_HEX) == tuple(in_decimal or [key])
