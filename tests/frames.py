"""Frames of every kind of PDU, good and bad."""

from __future__ import annotations

import random
from collections.abc import Iterator

from smsflow.smpp import codec
from smsflow.smpp.codec import Pdu, encode

__all__ = ["hostile", "samples"]


def hostile(count: int, seed: int) -> Iterator[bytes]:
    """Frames whose header is sound: random bodies, and good PDUs with bits flipped, cut, doubled or padded."""
    dice = random.Random(seed)
    ids = [*codec._COMMAND_IDS.values(), 0x03, 0x21, 0x777, 0x80000777]
    good = [encode(pdu) for pdu in samples()]
    for _ in range(count):
        if dice.random() < 0.4:
            body = dice.randbytes(dice.choice((0, 1, 2, 5, 20, 60, 300)))
        else:
            body = bytearray(dice.choice(good)[16:])
            for _ in range(dice.randrange(1, 6)):
                if body:
                    body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
            place = dice.randrange(len(body) + 1)
            body = dice.choice((body, body[:place], body[place:], body + dice.randbytes(place), body * 2))
        head = dice.choice(ids).to_bytes(4, "big") + dice.choice((0, 0, 8, 0x58)).to_bytes(4, "big")
        yield (16 + len(body)).to_bytes(4, "big") + head + dice.randrange(1 << 32).to_bytes(4, "big") + bytes(body)


def samples() -> list[Pdu]:
    tlvs = ((0x001E, b"0A1F\0"), (0x0427, b"\2"), (0x020C, b"\0\1"), (0x020E, b"\2"), (0x020F, b"\1"))
    receipt = b"id:0A1F sub:001 dlvrd:001 submit date:2610011200 stat:DELIVRD err:000 text:R"
    return [
        codec.DeliverSm(source_addr="77011234567", destination_addr="1414", short_message=b"R 1 1 2"),
        codec.DeliverSm(source_addr="77011234567", esm_class=0x44, short_message=b"\5\0\3\1\2\1" + receipt),
        codec.DeliverSm(source_addr="77011234567", esm_class=4, short_message=receipt, tlvs=tlvs),
        codec.DeliverSm(data_coding=8, esm_class=0x40, short_message=b"\5\0\3\1\2\1" + "Әлия".encode("utf-16-be")),
        codec.DataSm(source_addr="77", data_coding=0xF0, tlvs=((0x0424, b"R 1"), *tlvs)),
        codec.SubmitSm(short_message=bytes(254)),
        codec.SubmitSmResp(message_id="0A1F"),
        codec.BindTransceiverResp(system_id="centre", tlvs=((0x0210, b"\x34"),)),
        codec.BindTransceiver(system_id="a", password="b"),
        codec.CancelSm(message_id="1"),
        codec.ReplaceSm(message_id="1", short_message=b"x"),
        codec.Outbind(system_id="a", password="b"),
    ]
