"""Texts on the air: GSM 03.38, UCS-2, segments."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsflow.core.encoding import (
    Coding,
    decode,
    decode_gsm,
    decode_ucs2,
    encode,
    encode_gsm,
    is_gsm,
    segments,
    split,
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
