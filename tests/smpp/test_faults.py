"""Faults of the message centre, seen by an ESME of raw octets over real TCP: nothing of our codec reads them."""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Awaitable, Callable

import pytest

from smsflow.smpp.faults import FAULTS, FRAMES, RECEIPTS, Faults, make_rule
from smsflow.smpp.smsc import MessageCentre, Text

BIND_RESP, SUBMIT_RESP, DELIVER, DATA, ENQUIRE_RESP = 0x80000009, 0x80000004, 0x05, 0x103, 0x80000015
PHONE = "77011234567"


class Esme:
    """Speaks SMPP by hand, after the specification."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, command_id: int, sequence: int, body: bytes = b"", status: int = 0) -> None:
        self._writer.write(struct.pack(">IIII", 16 + len(body), command_id, status, sequence) + body)

    def bind(self) -> None:
        self.say(0x09, 1, b"smsflow\0secret\0\0\x34\0\0\0")

    def submit(self, sequence: int, *, receipt: bool = False) -> None:
        head = b"\0\0\x001414\0\x01\x01" + PHONE.encode() + b"\0\0\0\0\0\0"
        self.say(0x04, sequence, head + bytes([receipt]) + b"\0\0\0\x02Hi")

    async def hear(self) -> tuple[int, int, int, bytes]:
        """The next PDU: command_id, status, sequence, body."""
        length, command_id, status, sequence = struct.unpack(">IIII", await self._reader.readexactly(16))
        return command_id, status, sequence, await self._reader.readexactly(length - 16)

    async def answers(self, count: int) -> list[tuple[int, int, int]]:
        return [(await self.hear())[:3] for _ in range(count)]

    async def rest(self) -> bytes:
        """All that still comes before the end of the connection."""
        return await self._reader.read()


def play(
    *rules: str, story: Callable[[Esme, MessageCentre, list[Text]], Awaitable[None]], bind: bool = True
) -> None:
    """`story` against a message centre with `rules`, each `fault option=value …`."""

    async def scene() -> None:
        made = []
        for rule in rules:
            fault, *options = rule.split()
            made.append(make_rule(fault, dict(option.split("=", 1) for option in options)))
        texts: list[Text] = []
        centre = MessageCentre(texts.append, faults=Faults(made), response_timeout_s=0.3)
        reader, writer = await asyncio.open_connection("127.0.0.1", await centre.start())
        esme = Esme(reader, writer)
        try:
            if bind:
                esme.bind()
                assert (await esme.hear())[:3] == (BIND_RESP, 0, 1)
            await story(esme, centre, texts)
        finally:
            writer.close()
            await centre.stop()

    asyncio.run(asyncio.wait_for(scene(), 10))


def test_throttle_refuses_each_nth_and_takes_no_text() -> None:
    """`every` and `times` count the PDUs that it meets."""

    async def story(esme: Esme, _centre: MessageCentre, texts: list[Text]) -> None:
        for sequence in range(2, 9):
            esme.submit(sequence)
        answers = await esme.answers(7)
        assert [status for _, status, _ in answers] == [0, 0x58, 0, 0x58, 0, 0, 0]
        assert [sequence for *_, sequence in answers] == list(range(2, 9))
        assert len(texts) == 5

    play("throttle every=2 times=2", story=story)


def test_refuse_answers_with_any_status() -> None:
    """A bind is refused with a header alone, under its own number."""

    async def story(esme: Esme, _centre: MessageCentre, _texts: list[Text]) -> None:
        esme.bind()
        assert await esme.hear() == (BIND_RESP, 0x0D, 1, b"")
        esme.bind()
        assert (await esme.hear())[:2] == (BIND_RESP, 0)
        esme.submit(2)
        assert await esme.hear() == (SUBMIT_RESP, 0x442, 2, b"")

    play(
        "refuse status=ESME_RBINDFAIL on=bind_transceiver times=1",
        "refuse status=0x442",
        story=story,
        bind=False,
    )


def test_delay_and_reorder_let_answers_overtake_each_other() -> None:
    """By number they can still be told apart; what waits to be overtaken does not wait for ever."""

    async def delayed(esme: Esme, _centre: MessageCentre, _texts: list[Text]) -> None:
        began = asyncio.get_running_loop().time()
        esme.submit(2)
        esme.submit(3)
        assert [sequence for *_, sequence in await esme.answers(2)] == [3, 2]
        assert asyncio.get_running_loop().time() - began >= 0.19

    async def reordered(esme: Esme, _centre: MessageCentre, _texts: list[Text]) -> None:
        for sequence in (2, 3, 4):
            esme.submit(sequence)
        assert [sequence for *_, sequence in await esme.answers(3)] == [3, 2, 4]

    async def alone(esme: Esme, _centre: MessageCentre, _texts: list[Text]) -> None:
        esme.submit(2)
        assert (await esme.answers(1))[0][2] == 2

    play("delay seconds=0.2 times=1", story=delayed)
    play("reorder times=1", story=reordered)
    play("reorder", story=alone)


def test_drop_loses_an_answer_though_the_text_was_taken() -> None:
    """Or a text, or our answer: then it is delivered again."""

    async def answer(esme: Esme, _centre: MessageCentre, texts: list[Text]) -> None:
        esme.submit(2)
        esme.submit(3)
        assert await esme.answers(1) == [(SUBMIT_RESP, 0, 3)]
        assert len(texts) == 2

    async def text(esme: Esme, _centre: MessageCentre, texts: list[Text]) -> None:
        esme.submit(2)
        esme.submit(3)
        assert await esme.answers(1) == [(SUBMIT_RESP, 0, 3)]
        assert len(texts) == 1

    async def ours(esme: Esme, centre: MessageCentre, _texts: list[Text]) -> None:
        sending = asyncio.create_task(centre.send(PHONE, "R 1 1 2"))
        first, second = None, None
        for _ in range(2):
            command_id, _, sequence, body = await esme.hear()
            assert command_id == DELIVER
            esme.say(0x80000005, sequence, b"\0")
            first, second = second, body
        assert first == second
        assert await sending == 0

    play("drop times=1", story=answer)
    play("drop on=submit_sm times=1", story=text)
    play("drop on=deliver_sm_resp times=1", story=ours)


def test_duplicate_delivers_the_same_reply_under_another_number() -> None:
    """Octet for octet the same but for the sequence."""

    async def story(esme: Esme, centre: MessageCentre, _texts: list[Text]) -> None:
        sending = asyncio.create_task(centre.send(PHONE, "R 1 1 2"))
        one, two = await esme.hear(), await esme.hear()
        assert one[3] == two[3]
        assert one[2] != two[2]
        for *_, sequence, _ in (one, two):
            esme.say(0x80000005, sequence, b"\0")
        assert await sending == 0

    play("duplicate", story=story)


def test_cut_ends_in_the_middle_of_a_pdu() -> None:
    """Half of it, then the end of the connection."""

    async def story(esme: Esme, _centre: MessageCentre, _texts: list[Text]) -> None:
        esme.submit(2)
        half = await esme.rest()
        assert half[4:8] == bytes.fromhex("80000004")[: len(half) - 4]
        assert 0 < len(half) < int.from_bytes(half[:4], "big")

    play("cut", story=story)


def test_silence_hears_and_says_nothing_in_its_time() -> None:
    """Not even enquire_link; afterwards all is well."""

    async def story(esme: Esme, _centre: MessageCentre, _texts: list[Text]) -> None:
        await asyncio.sleep(0.2)
        esme.say(0x15, 2)
        await asyncio.sleep(0.5)
        esme.say(0x15, 3)
        assert await esme.answers(1) == [(ENQUIRE_RESP, 0, 3)]

    play("silence after=0.1 for=0.4", story=story)


@pytest.mark.parametrize("name", FRAMES)
def test_odd_frames_come_after_the_bind(name: str) -> None:
    """As they are written in the table: octets from the specification."""

    async def story(esme: Esme, centre: MessageCentre, _texts: list[Text]) -> None:
        esme.bind()
        await esme.hear()
        assert await esme._reader.readexactly(len(FRAMES[name])) == FRAMES[name]

    play(f"frame octets={name}", story=story, bind=False)


@pytest.mark.parametrize("kind", RECEIPTS)
def test_wrong_receipts(kind: str) -> None:
    """Each kind is what it says; a mother's text is left alone."""

    async def story(esme: Esme, centre: MessageCentre, _texts: list[Text]) -> None:
        esme.submit(2, receipt=True)
        answer = await esme.hear()
        assert answer[:3] == (SUBMIT_RESP, 0, 2)
        identity = answer[3].rstrip(b"\0").decode()
        command_id, _, sequence, body = await esme.hear()
        esme.say(command_id | 0x80000000, sequence, b"\0")
        sending = asyncio.create_task(centre.send(PHONE, "id:1"))
        assert b"id:1" in (await esme.hear())[3]
        sending.cancel()

        assert command_id == (DATA if kind == "data_sm" else DELIVER)
        assert body.startswith(b"\0\x01\x01" + PHONE.encode() + b"\0\0\x001414\0")
        esm_class = body[3 + len(PHONE) + 1 + 2 + 5]
        assert esm_class == (0 if kind == "unmarked" else 4)
        written = re.search(rb"id:(\S+) sub.* stat:(\w+)", body.replace(b"\0", b"") if kind == "ucs2" else body)
        tlv = re.search(rb"\x00\x1e(..)", body, re.DOTALL)
        assert (written is None) == (kind == "tlv")
        assert (tlv is None) == (kind in ("text", "unmarked"))
        number = str(int(identity, 16))
        shown = {
            "decimal": number, "lower": identity.lower(), "padded": f"0000{identity}", "unknown": "ffffffff00",
        }.get(kind, identity)  # fmt: skip
        if written:
            assert written[1].decode() == shown
            assert written[2] == (b"UNDELIV" if kind == "failed" else b"DELIVRD")
        if tlv:
            assert body[tlv.end() :].startswith(shown.encode() + b"\0")

    play(f"receipt as={kind}", story=story)


def test_faults_can_be_told_as_they_happen() -> None:
    """In words that the terminal shows."""

    async def scene() -> list[str]:
        told: list[str] = []
        wire = Faults([make_rule("throttle", {})], told.append).join(lambda _: None, lambda: None)
        assert not wire.takes(struct.pack(">IIII", 16, 4, 0, 9))
        return told

    assert asyncio.run(scene()) == ["throttle: submit_sm"]


@pytest.mark.parametrize(
    ("fault", "options", "words"),
    [
        ("throtle", {}, "there is no fault throtle; there is: throttle"),
        ("throttle", {"evry": "3"}, "has no option evry"),
        ("throttle", {"every": "0"}, "every: expected a number from 1 on"),
        ("throttle", {"on": "submit"}, "there is no PDU submit"),
        ("delay", {}, "delay needs seconds"),
        ("delay", {"seconds": "soon"}, "seconds: expected a number"),
        ("refuse", {"status": "ESME_RNOTHING"}, "status: expected a name"),
        ("receipt", {"as": "poem"}, "as: expected one of"),
        ("frame", {"octets": "xyz"}, "octets: expected hexadecimal"),
    ],
)
def test_what_is_wrong_with_a_rule_is_said(fault: str, options: dict, words: str) -> None:
    """What, where, and what there is instead."""
    with pytest.raises(ValueError, match=re.escape(words)):
        make_rule(fault, options)


def test_every_fault_is_in_the_help() -> None:
    """And every kind of receipt, and every odd frame."""
    from click.testing import CliRunner

    from smsflow.cli import main

    shown = CliRunner().invoke(main, ["smsc", "--help"]).output
    for name in (*FAULTS, *RECEIPTS, *FRAMES):
        assert re.search(rf"\b{name}\b", shown), name
