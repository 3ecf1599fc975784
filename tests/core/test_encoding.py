"""Texts on the air: GSM 03.38, UCS-2, segments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsflow.core import encoding
from smsflow.core.encoding import (
    Alphabet,
    Coding,
    decode,
    decode_gsm,
    decode_received,
    decode_ucs2,
    encode,
    encode_gsm,
    is_gsm,
    is_gsm_coding,
    pack,
    segments,
    split,
    unpack,
)

GSM = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡§¿ÄÖÑÜäöñüàAZaz^{}\\[~]|€\f"
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
gsm_texts = st.text(st.sampled_from(GSM), max_size=700)
long_texts = st.text(st.sampled_from("әҚ😀R 1"), max_size=400)


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("@", b"\x00"),
        ("R 1 1 2", b"R 1 1 2"),
        ("§", b"\x5f"),
        ("_", b"\x11"),
        ("à", b"\x7f"),
        ("€", b"\x1b\x65"),
        ("[~]", b"\x1b\x3c\x1b\x3d\x1b\x3e"),
        ("\f", b"\x1b\x0a"),
        ("Ω", b"\x15"),
    ],
)
def test_gsm_codes_are_those_of_ts_23_038(text, octets):
    """The tables agree with 3GPP TS 23.038 §6.2.1, picked by hand."""
    assert encode_gsm(text) == octets
    assert decode_gsm(octets) == text


@pytest.mark.parametrize("text", ["`", "ә", "Р", "\x1b", "ç", "😀", "\xa0"])
def test_characters_outside_the_alphabet_are_not_gsm(text):
    """What no phone can show as GSM goes as UCS-2, and `encode_gsm` says so."""
    assert not is_gsm(text)
    with pytest.raises(ValueError, match="GSM"):
        encode_gsm(text)
    assert encode(text)[0] is Coding.UCS2


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"A\x1b", "A "),
        (b"A\x1bB", "AB"),
        (b"\x1b\x1b\x65", " €"),
        (b"\x80A\xff", "\ufffdA\ufffd"),
        (b"", ""),
    ],
)
def test_broken_escapes_are_shown_as_the_standard_says(octets, text):
    """A lone escape is a blank, an unknown pair its plain character."""
    assert decode_gsm(octets) == text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("€" * 152, 2),
        ("€" * 153, 3),
        ("ә" * 70, 1),
        ("ә" * 71, 2),
        ("ә" * 134, 2),
        ("ә" * 135, 3),
        ("😀" * 35, 1),
        ("😀" * 36, 2),
        ("😀" * 67, 3),
    ],
)
def test_segments_at_the_edges(text, count):
    """160/153 septets and 70/67 UCS-2 units; pairs are never cut, so parts may stay one short."""
    assert segments(text) == count


@given(texts | gsm_texts | long_texts)
def test_decode_of_encode_is_the_text(text):
    """Whatever goes out comes back."""
    coding, octets = encode(text)
    # A byte order mark at the start is a mark, not a character.
    assert decode(coding.value, octets) == text.removeprefix("\ufeff") or text[0] == "\ufffe"


@given(texts | gsm_texts | long_texts)
def test_parts_fit_join_again_and_never_cut_a_pair(text):
    """Each part is whole characters; together they are the text; `segments` counts them."""
    coding, octets = encode(text)
    parts = split(text)
    assert b"".join(parts) == octets
    assert segments(text) == len(parts)
    if len(parts) > 1:
        assert all(0 < len(part) <= (153 if coding is Coding.GSM else 134) for part in parts)
        assert all(not part.endswith(b"\x1b") for part in parts)
        if coding is Coding.UCS2:
            assert "".join(part.decode("utf-16-be") for part in parts) == text


@given(st.integers(0, 255), st.binary(max_size=300))
def test_decode_never_raises_and_can_be_stored(data_coding, octets):
    """Any octets under any data_coding are some text that UTF-8 can hold."""
    decode(data_coding, octets).encode("utf-8")


@given(st.text(max_size=200))
def test_encode_never_raises(text):
    """Even a lone surrogate goes out as something."""
    assert len(split(text)) == segments(text)


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"\x04\xd9", "ә"),
        (b"\xfe\xff\x04\xd9", "ә"),
        (b"\xff\xfe\xd9\x04", "ә"),
        (b"\x04\xd9\x00", "ә"),
        (b"\xd8\x3d\xde\x00", "😀"),
        (b"\xd8\x3d", "\ufffd"),
        (b"\x00", ""),
    ],
)
def test_ucs2_is_read_with_marks_and_odd_lengths(octets, text):
    """Marks, pairs and stray octets of real phones and message centres."""
    assert decode_ucs2(octets) == text


@pytest.mark.parametrize(
    ("data_coding", "octets", "text"),
    [
        (0x00, b"\x00R", "@R"),
        (0x00, "Р 1".encode(), "Р 1"),
        (0x00, b"R\xa01", "R\xa01"),
        (0x01, b"R@1", "R@1"),
        (0x03, b"\xe9", "é"),
        (0x04, b"R 1 1 2", "R 1 1 2"),
        (0x06, "Р".encode("iso8859-5"), "Р"),
        (0x08, b"\x04\x20", "Р"),
        (0x10, b"\x00", "@"),
        (0x18, b"\x04\x20", "Р"),
        (0xC0, b"\x00", "@"),
        (0xE0, b"\x04\x20", "Р"),
        (0xF0, b"\x00", "@"),
        (0xF5, b"R@", "R@"),
        (0x90, b"R", "R"),
    ],
)
def test_data_coding_is_read_by_smpp_and_by_ts_23_038(data_coding, octets, text):
    """SMPP v3.4 §5.2.19 below 0x10, 3GPP TS 23.038 §4 above."""
    assert decode(data_coding, octets) == text


@pytest.mark.parametrize(
    ("septets", "packed"),
    [
        (b"hellohello", "e8329bfd4697d9ec37"),  # 3GPP TS 23.038 §6.1.2.1, the example of many textbooks
        (b"", ""),
        (b"1234567", "31d98c56b3dd1a"),  # 8n-1 characters: a carriage return in the spare septet
    ],
)
def test_packed_septets_by_hand(septets, packed):
    """Eight septets in seven octets, the lowest bits first."""
    assert pack(septets).hex() == packed
    assert unpack(bytes.fromhex(packed)) == septets


def test_packed_septets_after_a_header_begin_at_a_septets_boundary():
    """A header of 6 octets leaves 1 bit to fill, one of 7 leaves none (3GPP TS 23.040 §9.2.3.24)."""
    assert pack(b"R 1", 1).hex() == "a4a018"
    assert unpack(bytes.fromhex("a4a018"), 1) == b"R 1"


@given(gsm_texts, st.integers(0, 6))
def test_packed_septets_go_there_and_back(text, fill_bits):
    """But for blanks at the very end that look like the filling."""
    septets = encode_gsm(text)
    packed = pack(septets, fill_bits)
    assert len(packed) == -(-(7 * len(septets) + fill_bits) // 8) if septets else True
    assert unpack(packed, fill_bits).rstrip(b"\r\0") == septets.rstrip(b"\r\0")


@given(st.binary(max_size=160), st.integers(0, 6))
def test_unpack_never_raises(octets, fill_bits):
    """Whatever a message centre calls packed."""
    assert all(septet < 0x80 for septet in unpack(octets, fill_bits))


@pytest.mark.parametrize(
    ("alphabet", "octets", "text"),
    [
        (Alphabet.GSM, b"\x00 \x11 \x1b\x65", "@ _ €"),
        (Alphabet.LATIN1, b"@ _ \xe9", "@ _ é"),
        (Alphabet.ASCII, b"@ _ ~ \xe9", "@ _ ~ \ufffd"),
        (Alphabet.UTF8, "R 1 Әлия".encode(), "R 1 Әлия"),
        (Alphabet.UTF8, b"R 1 \xd3", "R 1 \ufffd"),
        (Alphabet.GSM_PACKED, b"\x00R", "@R"),  # unpacked before
    ],
)
def test_29_data_coding_0_means_what_the_link_says(alphabet, octets, text):
    """Per link; everything but 0 means the same on each."""
    assert decode_received(0, octets, alphabet) == text
    assert decode_received(8, b"\x04\x20", alphabet) == "Р"
    assert decode_received(0xF0, b"\x00", alphabet) == "@"


@pytest.mark.parametrize(
    "text", ["R 1 1 2", "Р 1 1 2", "СТОП", "ТОҚТАТУ", "Әлия 😀", "R 1 1 2 «Ә» – №1", "Ｒ１", "1", "ё"]
)
@pytest.mark.parametrize("codec", ["utf-16-be", "utf-16-le"])
def test_29_ucs2_is_read_in_the_order_that_makes_sense(text, codec):
    """Some message centres forget to turn the octets, and send no byte order mark."""
    assert decode_received(8, text.encode(codec)) == text
    assert decode_received(8, text.encode(codec) + b"\0") == text  # an odd length


@pytest.mark.parametrize("text", ["R 1 1 2", "Р 1 1 2", "Әлия"])
def test_29_octets_that_only_claim_to_be_ucs2_are_read_as_what_they_are(text):
    """UTF-8 under data_coding 8, as Vumi's users saw."""
    assert decode_received(8, text.encode()) == text


@given(st.text(st.characters(max_codepoint=0x4FF, exclude_characters="\ufeff"), max_size=300))
def test_29_guessing_spoils_nothing_that_people_here_write(text):
    """Latin and Cyrillic in the right order stay what they are."""
    assert decode_received(8, text.encode("utf-16-be")) == text


@given(st.integers(0, 255), st.binary(max_size=300), st.sampled_from(Alphabet))
def test_29_nothing_that_comes_raises(data_coding, octets, alphabet):
    """Any octets under any data_coding on any link are some text that UTF-8 can hold."""
    decode_received(data_coding, octets, alphabet).encode("utf-8")
    is_gsm_coding(data_coding)


@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("utf-16-be", "replace")))
def test_likely_units_are_counted_as_one_by_one(octets):
    """The glance says what looking at each unit says, in both orders, at odd lengths too."""
    for highs, lows in ((octets[::2], octets[1::2]), (octets[1::2], octets[::2])):
        assert encoding._count_likely(highs, lows) == sum(map(encoding._is_likely, highs, lows))
