"""`smpp.hot` says what `smpp.codec` says: the same values and octets, or the same refusal.

`SMSFLOW_FUZZ=1000000 pytest tests/smpp/test_hot_properties.py` for a million random frames, `SMSFLOW_FUZZ_SEED=…`
for others.
"""

from __future__ import annotations

import dataclasses
import os
import pickle
import random
import struct
import timeit

import pytest
from frames import hostile, samples
from hypothesis import given
from hypothesis import strategies as st

from smsflow.core.errors import LocalViolation
from smsflow.smpp import codec, hot
from smsflow.smpp.codec import DataSmResp, DeliverSm, DeliverSmResp, Pdu, SubmitSm, SubmitSmResp

FRAMES = int(os.environ.get("SMSFLOW_FUZZ", "20000"))
SEED = int(os.environ.get("SMSFLOW_FUZZ_SEED", "34"))
HOT = (SubmitSm, DeliverSm, SubmitSmResp, DeliverSmResp, DataSmResp)
KINDS = sorted(codec._COMMAND_IDS, key=lambda kind: codec._COMMAND_IDS[kind])
INTEGERS = (0, 1, 0x40, 0x7F, 0x80, 0xFF, 0x100, -1, 1 << 32)
LENGTHS = (0, 1, 4, 5, 6, 12, 13, 15, 16, 17, 19, 20, 21, 63, 64, 65, 254, 255, 256)
TEXT_LENGTHS = (0, 1, 139, 140, 160, 253, 254, 255, 1000)
TAGS = st.sampled_from([0x001E, 0x020C, 0x0424, 0x0427, 0xFFFF, 0x10000]) | st.integers(0, 0xFFFF)
TLVS = st.lists(st.tuples(TAGS, st.binary(max_size=20)), max_size=4).map(tuple)


def look(pdu: Pdu) -> tuple[object, ...]:
    """Everything that can be seen of `pdu`: `==` and repr leave fields out."""
    values = (getattr(pdu, each.name) for each in dataclasses.fields(pdu))
    return type(pdu), tuple((type(value), value) for value in values), repr(pdu), hash(pdu)


def assert_read_alike(frame: bytes) -> Pdu:
    pdu, expected = hot.decode(frame), codec.decode(frame)
    assert pdu == expected
    assert look(pdu) == look(expected), frame.hex()
    if isinstance(expected, SubmitSmResp):
        assert hot.read_message_id(frame) in (None, expected.message_id)
    return pdu


def try_encode(encode, pdu, sequence):
    try:
        return encode(pdu, sequence)
    except (LocalViolation, struct.error) as error:
        return type(error), str(error)


def assert_written_alike(pdu: Pdu, sequence: int | None = None) -> bytes | tuple[type, str]:
    octets = try_encode(hot.encode, pdu, sequence)
    assert octets == try_encode(codec.encode, pdu, sequence)
    return octets


def bounds_of(kind: type[Pdu]) -> dict[str, tuple[object, ...]]:
    """Values of each field of `kind` at, below and above every length that SMPP sets; and letters it lacks."""
    strings = (*("x" * length for length in LENGTHS), "ә", "é", "a\0", "\0", "\x7f", " ")
    tlvs = ((), ((0x001E, b"1\0"),), ((0x0424, b""),), ((0x0424, b"R 1"), (1, b"")), ((0x10000, b""),))
    found: dict[str, tuple[object, ...]] = {}
    for each in dataclasses.fields(kind):
        if each.name == "short_message":
            found[each.name] = tuple(b"\xe9" * length for length in TEXT_LENGTHS)
        elif each.name == "tlvs":
            found[each.name] = (*tlvs, ((7, bytes(70_000)),))
        elif each.type == "int":
            found[each.name] = INTEGERS
        elif each.type == "str":
            found[each.name] = strings
    return found


def any_of(kind: type[Pdu]) -> st.SearchStrategy[Pdu]:
    """PDUs of `kind`: mostly sound ones, with fields beyond what SMPP can carry among them."""
    odd = {name: st.sampled_from(values) for name, values in bounds_of(kind).items()}
    usual: dict[str, st.SearchStrategy] = {}
    for each in dataclasses.fields(kind):
        if each.name == "short_message":
            usual[each.name] = st.binary(max_size=254)
        elif each.name == "tlvs":
            usual[each.name] = TLVS
        elif each.type == "int":
            usual[each.name] = st.integers(0, 255)
        elif each.type == "str":
            usual[each.name] = st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=5)
    odd_one = st.sampled_from(sorted(odd)).flatmap(lambda name: odd[name].map(lambda value: {name: value}))
    return st.tuples(st.fixed_dictionaries({}, optional=usual), st.just({}) | odd_one).map(
        lambda pair: kind(**pair[0] | pair[1])
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_every_pdu_is_written_and_read_alike(kind, data):
    """Over the whole field space, and beyond it."""
    pdu = data.draw(any_of(kind))
    octets = assert_written_alike(pdu, data.draw(st.none() | st.integers(-1, 1 << 32)))
    if isinstance(octets, bytes):
        assert_read_alike(octets)


@pytest.mark.parametrize("kind", HOT, ids=lambda kind: kind.__name__)
def test_every_field_at_its_bounds_is_written_and_read_alike(kind):
    """Each alone, and with TLVs behind it."""
    base = {"source_addr": "77011234567", "short_message": b"R 1", "tlvs": ((0x0427, b"\2"),)}
    own = {each.name for each in dataclasses.fields(kind)}
    written = refused = 0
    for name, values in bounds_of(kind).items():
        for value in values:
            for rest in ({}, {key: each for key, each in base.items() if key in own}):
                octets = assert_written_alike(kind(**rest | {name: value}))
                if isinstance(octets, bytes):
                    assert_read_alike(octets)
                    written += 1
                else:
                    refused += 1
    assert written > 20
    assert refused > 5


@pytest.mark.parametrize("sequence", [0, 1, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("status", [0, 1, 0x58, 0xFFFFFFFF])
def test_an_answer_is_written_alike_without_a_pdu(sequence, status):
    """`encode_deliver_sm_resp` spares the PDU only."""
    expected = codec.encode(DeliverSmResp(sequence=sequence, status=status))
    assert hot.encode_deliver_sm_resp(sequence, status) == expected


@pytest.mark.parametrize("message_id", ["", "0A1", "x" * 64])
def test_an_ordinary_answer_is_read_without_a_pdu(message_id):
    """With an id and without."""
    frame = codec.encode(SubmitSmResp(sequence=7, message_id=message_id))
    assert hot.read_message_id(frame) == message_id


@pytest.mark.parametrize("pdu", samples(), ids=lambda pdu: type(pdu).__name__)
def test_every_cut_and_every_odd_octet_is_read_alike(pdu):
    """Each frame cut at each place, with more behind it, and with each octet in turn made another."""
    frame = codec.encode(pdu)
    for place in range(16, len(frame) + 1):
        assert_read_alike(frame[:place])
        assert_read_alike(frame[:place] + b"\0" + frame[place:])
        assert_read_alike(frame[:place] + frame[place + 1 :])
    for place in range(4, len(frame)):
        for octet in (0, 1, 0x04, 0x24, 0x7F, 0x80, 0xFE, 0xFF):
            assert_read_alike(frame[:place] + bytes((octet,)) + frame[place + 1 :])
    for padding in range(1, 9):
        assert_read_alike(frame + bytes(padding))
        assert_read_alike(frame + b"\x04\x24\0\x02Ab"[:padding])


@pytest.mark.parametrize("length", [*range(95, 130), *range(250, 262)])
@pytest.mark.parametrize("field", ["service_type", "source_addr", "destination_addr", "message_id"])
def test_strings_beyond_their_length_are_read_alike(field, length):
    """smpplib writes none of those; message centres do."""
    if field == "message_id":
        assert_read_alike(bytes.fromhex("00000000 80000004 00000000 00000001") + b"x" * length + b"\0")
    else:
        strings = {"service_type": b"", "source_addr": b"7", "destination_addr": b"1"} | {field: b"\xe9" * length}
        service, source, destination = strings.values()
        body = service + b"\0\1\1" + source + b"\0\1\1" + destination + b"\0" + bytes(9) + b"\3abc"
        for command_id in ("00000004", "00000005"):
            assert_read_alike(bytes.fromhex(f"00000000 {command_id} 00000000 00000001") + body)


def test_random_and_flipped_frames_are_read_alike():
    """In bulk; and what was read is written alike again."""
    again = 0
    for frame in hostile(FRAMES, SEED):
        pdu = assert_read_alike(frame)
        if type(pdu) in HOT:
            again += isinstance(assert_written_alike(pdu), bytes)
    assert again > FRAMES // 30


def test_random_bodies_of_the_hot_pdus_are_read_alike():
    """Bodies of few different octets, so that strings end, lengths fit and parameters follow by chance."""
    dice, whole = random.Random(SEED), 0
    ids = [codec._COMMAND_IDS[kind].to_bytes(4, "big") for kind in HOT]
    for _ in range(FRAMES):
        body = bytes(dice.choices(b"\0\0\0\0\1\2\3\4\x247\xe9", k=dice.randrange(48)))
        pdu = assert_read_alike(bytes(4) + dice.choice(ids) + bytes(4) + dice.randbytes(4) + body)
        whole += isinstance(pdu, SubmitSm | DeliverSm)
    assert whole > FRAMES // 20


@pytest.mark.parametrize("kind", HOT, ids=lambda kind: kind.__name__)
def test_what_was_read_is_frozen_and_like_any_other(kind):
    """Nobody can tell how it was made."""
    pdu = hot.decode(codec.encode(kind(sequence=7)))

    assert type(pdu) is kind
    with pytest.raises(dataclasses.FrozenInstanceError):
        pdu.sequence = 8
    with pytest.raises(dataclasses.FrozenInstanceError):
        del pdu.sequence
    assert pickle.loads(pickle.dumps(pdu)) == pdu
    assert dataclasses.replace(pdu, sequence=8) == kind(sequence=8)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_what_is_made_quickly_is_like_any_other(kind, data):
    """With any fields, and with the defaults of the rest."""
    make, pdu = hot.quick(kind), data.draw(any_of(kind))

    assert look(make()) == look(kind())
    assert look(make(**{each.name: getattr(pdu, each.name) for each in dataclasses.fields(kind)})) == look(pdu)
    with pytest.raises(dataclasses.FrozenInstanceError):
        make().sequence = 8
    with pytest.raises(TypeError, match="nothing"):
        make(nothing=1)


TEXT = DeliverSm(source_addr="77011234567", destination_addr="1414", short_message=b"R 1 1 2")
RECEIPT = DeliverSm(esm_class=4, short_message=b"id:1 stat:DELIVRD", tlvs=((0x001E, b"1\0"), (0x0427, b"\2")))
SUBMIT = SubmitSm(source_addr="1414", destination_addr="77011234567", data_coding=8, short_message=bytes(140))


@pytest.mark.parametrize("pdu", [TEXT, RECEIPT, SUBMIT, SubmitSmResp(message_id="0A1F")])
def test_what_is_usual_takes_half_of_the_time_at_most(pdu):
    """It is read and written here, and not left to the codec; a tenth of the time or so, by the best of five."""
    frame = codec.encode(pdu)

    def take(module):
        reading = min(timeit.repeat(lambda: module.decode(frame), number=500, repeat=5))
        writing = min(timeit.repeat(lambda: module.encode(pdu, 7), number=500, repeat=5))
        return reading, writing

    (read_s, write_s), (reference_read_s, reference_write_s) = take(hot), take(codec)
    assert reference_read_s > 2 * read_s
    assert reference_write_s > 2 * write_s
