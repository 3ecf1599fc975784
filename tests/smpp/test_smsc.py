"""The message centre as any ESME sees it: octets by hand."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress

import pytest

from smsflow.smpp.smsc import MessageCentre, Text

PATIENCE_S = 10


class RawEsme:
    """An ESME that sends and reads octets, and knows no codec but the length of a frame."""

    async def connect(self, port: int) -> None:
        self._reader, self.writer = await asyncio.open_connection("127.0.0.1", port)

    async def read(self) -> str:
        """Return the next frame in hexadecimal; empty at the end of the connection."""
        async with asyncio.timeout(PATIENCE_S):
            length = await self._reader.read(4)
            if not length:
                return ""
            return (length + await self._reader.readexactly(int.from_bytes(length, "big") - 4)).hex()

    def write(self, command: str, sequence: str, body: str = "", status: str = "00000000") -> None:
        octets = bytes.fromhex(command + status + sequence + body)
        self.writer.write((len(octets) + 4).to_bytes(4, "big") + octets)

    async def ask(self, command: str, sequence: str, body: str = "") -> str:
        """Send a request and return the next frame without its length."""
        self.write(command, sequence, body)
        return (await self.read())[8:]


@asynccontextmanager
async def connected(**settings):
    texts: list[Text] = []
    centre = MessageCentre(texts.append, **settings)
    port = await centre.start()
    esme = RawEsme()
    await esme.connect(port)
    try:
        async with asyncio.timeout(2 * PATIENCE_S):
            yield centre, esme, texts
    finally:
        esme.writer.close()
        await centre.stop()


BIND = "690070000034000000"  # "i", "p"
BOUND = "0000000000000001736d73666c6f77000210000134"


def submit_body(octets: str, *, esm_class: str = "00", registered: str = "00", coding: str = "00") -> str:
    head = "00000031343134000101373700" + esm_class + "00000000" + registered + "00" + coding + "00"
    return head + f"{len(octets) // 2:02x}" + octets


@pytest.mark.parametrize("mode", ["00000001", "00000002", "00000009"])
def test_each_kind_of_bind_is_accepted(mode):
    """Receiver, transmitter, transceiver: the answer has our name and version."""

    async def test() -> None:
        async with connected() as (_, esme, _):
            assert await esme.ask(mode, "00000001", BIND) == "8" + mode[1:] + BOUND
            assert await esme.ask(mode, "00000002", BIND) == "8" + mode[1:] + "0000000500000002"
            assert await esme.ask("00000015", "00000003") == "800000150000000000000003"

    asyncio.run(test())


@pytest.mark.parametrize(
    ("credentials", "status"), [({"i": "p"}, "00000000"), ({"i": "x"}, "0000000e"), ({"x": "p"}, "0000000f")]
)
def test_credentials_are_required_where_given(credentials, status):
    """ESME_RINVPASWD and ESME_RINVSYSID, without a body."""

    async def test() -> None:
        async with connected(credentials=credentials) as (_, esme, _):
            assert (await esme.ask("00000009", "00000001", BIND))[8:16] == status

    asyncio.run(test())


def test_a_submitted_text_is_read_and_its_receipt_delivered():
    """submit_sm_resp with an id, then deliver_sm with esm_class 4 and both parameters."""

    async def test() -> None:
        async with connected() as (_, esme, texts):
            await esme.ask("00000009", "00000001", BIND)
            answer = await esme.ask("00000004", "00000002", submit_body("04d90420", coding="08", registered="01"))
            assert answer[:24] == "800000040000000000000002"
            message_id = answer[24:]
            (text,) = texts
            assert (text.source, text.destination, text.text, text.segments) == ("1414", "77", "әР", 1)
            receipt = await esme.read()
            assert receipt[8:16] == "00000005"
            assert receipt[32:].startswith("0001013737000000313431340004")
            assert receipt.endswith(f"001e{len(message_id) // 2:04x}" + message_id + "0427000102")
            assert b"stat:DELIVRD".hex() in receipt

    asyncio.run(test())


def test_parts_are_joined_in_any_order_and_for_each_phone():
    """Two phones with the same reference at the same time."""

    async def test() -> None:
        async with connected() as (_, esme, texts):
            await esme.ask("00000009", "00000001", BIND)
            second = submit_body("0500030702020031", esm_class="40", coding="08")
            first = submit_body("0500030702010052", esm_class="40", coding="08")
            await esme.ask("00000004", "00000002", second)
            await esme.ask("00000004", "00000003", first.replace("373700", "373800"))
            assert texts == []
            await esme.ask("00000004", "00000004", first)
            assert [(text.destination, text.text, text.segments) for text in texts] == [("77", "R1", 2)]

    asyncio.run(test())


@pytest.mark.parametrize("mode", [None, "00000001"])
def test_who_is_not_bound_to_submit_is_refused(mode):
    """ESME_RINVBNDSTS before a bind, and for a receiver."""

    async def test() -> None:
        async with connected() as (_, esme, texts):
            if mode:
                await esme.ask(mode, "00000001", BIND)
            assert await esme.ask("00000004", "00000002", submit_body("52")) == "800000040000000400000002"
            assert texts == []

    asyncio.run(test())


def test_a_phones_text_is_delivered_as_asked():
    """`data_coding` 8 for Latin letters, on request."""

    async def test() -> None:
        async with connected() as (centre, esme, _):
            await esme.ask("00000009", "00000001", BIND)
            sending = asyncio.create_task(centre.send("77", "R1", data_coding=8))
            frame = await esme.read()
            assert frame[32:] == "000101373700000031343134000000000000000008000400520031"
            esme.write("80000005", frame[24:32], "00", status="00000064")
            assert await sending == 0x64
            with pytest.raises(ValueError, match="GSM"):
                await centre.send("77", "Р", data_coding=0)

    asyncio.run(test())


def test_data_sm_is_a_text_too():
    """§4.7: the text is in message_payload."""

    async def test() -> None:
        async with connected() as (_, esme, texts):
            await esme.ask("00000009", "00000001", BIND)
            body = "00000031343134000101373700000000042400025231"
            assert (await esme.ask("00000103", "00000002", body))[:24] == "800001030000000000000002"
            assert [text.text for text in texts] == ["R1"]

    asyncio.run(test())


@pytest.mark.parametrize(
    ("command", "body", "answer"),
    [
        ("00000777", "", "800000000000000300000002"),
        ("00000004", "00", "800000040000000100000002"),
        ("00000005", submit_body("52"), "80000005000000030000000200"),
    ],
)
def test_what_it_does_not_know_is_refused_and_the_bind_kept(command, body, answer):
    """Unknown, malformed, and not for a message centre."""

    async def test() -> None:
        async with connected() as (_, esme, _):
            await esme.ask("00000009", "00000001", BIND)
            assert await esme.ask(command, "00000002", body) == answer
            assert await esme.ask("00000015", "00000003") == "800000150000000000000003"

    asyncio.run(test())


def test_lost_boundaries_end_the_connection():
    """generic_nack ESME_RINVCMDLEN, then the end."""

    async def test() -> None:
        async with connected() as (_, esme, _):
            esme.writer.write(bytes(16))
            assert await esme.read() == "00000010800000000000000200000000"
            assert await esme.read() == ""

    asyncio.run(test())


def test_unbind_is_answered_and_the_connection_closed():
    """§4.2."""

    async def test() -> None:
        async with connected() as (_, esme, _):
            await esme.ask("00000009", "00000001", BIND)
            assert await esme.ask("00000006", "00000002") == "800000060000000000000002"
            assert await esme.read() == ""

    asyncio.run(test())


def test_stop_unbinds_and_a_waiting_send_ends():
    """Whoever waits for a receiver is told that none will come."""

    async def test() -> None:
        async with connected() as (centre, esme, _):
            sending = asyncio.create_task(centre.send("77", "R 1"))
            await esme.ask("00000002", "00000001", BIND)
            stopping = asyncio.create_task(centre.stop())
            frame = await esme.read()
            assert frame[8:16] == "00000006"
            esme.write("80000006", frame[24:32])
            await stopping
            with pytest.raises(ConnectionError):
                await sending

    asyncio.run(test())


def test_a_dead_esme_is_cut():
    """It is asked by enquire_link, and cut when it does not answer."""

    async def test() -> None:
        async with connected(enquire_link_s=0.02) as (centre, esme, _):
            await esme.ask("00000009", "00000001", BIND)
            assert (await esme.read())[8:16] == "00000015"
            with suppress(ConnectionError):
                while await esme.read():
                    pass
            assert centre._clients == []

    asyncio.run(test())
