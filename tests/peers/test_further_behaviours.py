"""Twenty more things that message centres do, after the thirty of `test_behaviours`: seen in public, or allowed.

The message centre is `raw`: octets by hand. The other side is the whole daemon, store and engine included.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest
from peers.raw import (
    ALERT_NOTIFICATION,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    BINDS,
    DELIVER_SM,
    ENQUIRE_LINK,
    GENERIC_NACK,
    OUTBIND,
    RESP,
    SUBMIT_SM,
    UNBIND,
    Frame,
    RawCentre,
    Wire,
    a_centre,
    frame,
    read_sm,
    receipt,
    sm,
    tlv,
)
from peers.stack import LOCKOUT_S, Stack, a_daemon, run
from peers.test_behaviours import DELIVER_RESP, ROK, play, udh8

SUBMIT_RESP, ENQUIRE_RESP = SUBMIT_SM | RESP, ENQUIRE_LINK | RESP
RINVBNDSTS, RALYBND, RSYSERR, RINVPASWD = 0x04, 0x05, 0x08, 0x0E


def test_behaviour_31_the_centre_forgets_the_bind(tmp_path: Path) -> None:
    """ESME_RINVBNDSTS to enquire_link (users of naz and node-smpp saw it): unbind, bind again, go on."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(ENQUIRE_LINK)
        async with asyncio.timeout(2):  # before nothing is heard for so long that the link is dead anyway
            wire.answer(await wire.next(ENQUIRE_LINK), status=RINVBNDSTS)
            await wire.next(UNBIND)
            await wire.closed.wait()
            again = await centre.bound()
        stack.say("hello")
        await stack.until(lambda: stack.statuses() == ["accepted"])
        assert len(again.submits()) == 1

    play(tmp_path, scene, enquire_s=0.1)


@pytest.mark.parametrize(("sequence", "status"), [(0, RINVBNDSTS), (0, 0x03), (1, ROK), (0, ROK)])
def test_behaviour_32_the_bind_is_nacked_without_a_number(tmp_path: Path, sequence: int, status: int) -> None:
    """A generic_nack that names no request, or no error, refuses the only one (§4.3.1; seen with Jasmin)."""

    async def whole() -> None:
        async with a_centre() as centre, a_daemon(tmp_path, centre.port, bind_s=15) as stack:
            wire = await centre.connected()
            await wire.next(*BINDS)
            wire.write(frame(GENERIC_NACK, sequence, status=status))
            await wire.closed.wait()
            [health] = stack.daemon.find_health().links
            assert "refused" in health.trouble
            assert "ESME_ROK" not in health.trouble
            assert (await (await centre.bound()).deliver(sm(b"hello"))).key == (DELIVER_RESP, ROK)

    run(whole())


BIND_ANSWERS = {
    "no_body": b"",
    "no_nul": b"raw",
    "long_name": b"x" * 200 + b"\0",
    "version_3_3": b"raw\0" + tlv(0x210, b"\x33"),
    "version_empty": b"raw\0" + tlv(0x210, b""),
    "version_of_four": b"raw\0" + tlv(0x210, b"\0\0\0\x34"),
    "version_cut_off": b"raw\0" + tlv(0x210, b"\x34")[:-1],
    "endless_name": b"\xff" * 3000,
}


@pytest.mark.parametrize("body", BIND_ANSWERS.values(), ids=BIND_ANSWERS)
def test_behaviour_33_bind_resp_of_any_shape(tmp_path: Path, body: bytes) -> None:
    """Its status counts; sc_interface_version is optional (§4.1.6), and some send it wrongly."""

    async def whole() -> None:
        async with a_centre() as centre, a_daemon(tmp_path, centre.port, bind_s=0.5) as stack:
            wire = await centre.connected()
            wire.answer(await wire.next(*BINDS), body)
            stack.say("hello")
            await wire.next(SUBMIT_SM)
            assert (await wire.deliver(sm(b"hello"))).key == (DELIVER_RESP, ROK)

    run(whole())


@pytest.mark.parametrize("status", [ROK, RINVPASWD])
def test_behaviour_33_bind_resp_of_another_command(tmp_path: Path, status: int) -> None:
    """A yes to what was not asked is no bind; a no is one, with its long pause: the account may get locked."""

    async def whole() -> None:
        async with a_centre() as centre, a_daemon(tmp_path, centre.port, bind_s=0.3) as stack:
            clock = asyncio.get_running_loop().time
            wire = await centre.connected()
            request = await wire.next(BIND_TRANSCEIVER)
            stack.say("hello")
            wire.write(frame(BIND_TRANSMITTER | RESP, request.sequence, b"raw\0", status))
            await wire.closed.wait()
            closed_at = clock()
            assert wire.submits() == []
            again = await centre.bound()
            if status:
                assert clock() - closed_at > LOCKOUT_S / 2
            await again.next(SUBMIT_SM)

    run(whole())


@pytest.mark.parametrize("body", [b"", b"\xff" * 300])
def test_behaviour_34_pdus_that_nobody_asked_for(tmp_path: Path, body: bytes) -> None:
    """No answer, no harm: alert_notification and outbind (§4.12.1, §4.1.7), and answers to nothing."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        unasked = (
            ALERT_NOTIFICATION, OUTBIND, BIND_TRANSCEIVER | RESP, UNBIND | RESP, ENQUIRE_RESP, SUBMIT_RESP,
            DELIVER_RESP, 0x03 | RESP, 0x07 | RESP, 0x08 | RESP, 0x21 | RESP, 0x103 | RESP, 0x10201 | RESP,
        )  # fmt: skip
        for number, command in enumerate(unasked):
            for sequence in (0, 1, 0x7FFFFFFF - number):
                wire.write(frame(command, sequence, body if command != OUTBIND else b"raw\0secret\0", RALYBND))
        await wire.alive()
        assert {each.command for each in wire.frames} == {BIND_TRANSCEIVER, ENQUIRE_RESP}
        stack.say("hello")
        await stack.until(lambda: stack.statuses() == ["accepted"])

    play(tmp_path, scene)


def test_behaviour_35_the_centre_reads_no_more(tmp_path: Path) -> None:
    """It writes on, its window at zero for ever (seen with smpplib): we stop reading, give up, bind again."""

    async def whole() -> None:
        async with (
            a_centre(receive_octets=4096) as centre,
            a_daemon(tmp_path, centre.port, enquire_s=0.2, response_s=0.3) as stack,
        ):
            wire = await centre.bound()
            await wire.alive()
            wire.reading.clear()
            wire.write(*(frame(ENQUIRE_LINK, number) for number in range(400_000)))
            again = await centre.connected()
            assert stack.daemon.find_health().links[0].trouble == "the message centre reads nothing"
            again.answer(await again.next(*BINDS), b"raw\0")
            stack.say("hello")
            await stack.until(lambda: stack.statuses() == ["accepted"])
            assert len(again.submits()) == 1

    run(whole())


def test_behaviour_36_flood_of_enquiries(tmp_path: Path) -> None:
    """Ten thousand enquire_link in one write: each is answered once, in order, and the rest goes on."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.write(*(frame(ENQUIRE_LINK, number) for number in range(10_000)))
        stack.say("hello")
        wire.write(frame(DELIVER_SM, 5, sm(b"R 1 1 2")))
        assert (await wire.next(DELIVER_RESP)).key == (DELIVER_RESP, ROK)
        await stack.until(lambda: "accepted" in stack.statuses())
        answers = [each.sequence for each in wire.frames if each.command == ENQUIRE_RESP]
        assert answers == list(range(10_000))

    play(tmp_path, scene)


ENQUIRY_ANSWERS = {
    "with_a_body": (ENQUIRE_RESP, ROK, b"\0"),
    "error": (ENQUIRE_RESP, RSYSERR, b""),
    "not_known": (GENERIC_NACK, 0x03, b""),
    "not_known_and_a_body": (GENERIC_NACK, 0x03, b"what?"),
}


@pytest.mark.parametrize(("command", "status", "body"), ENQUIRY_ANSWERS.values(), ids=ENQUIRY_ANSWERS)
def test_behaviour_37_enquire_link_answered_oddly(tmp_path: Path, command: int, status: int, body: bytes) -> None:
    """A body (as php-smpp sends), an error, or a generic_nack from a centre that does not know it: all are life."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(ENQUIRE_LINK)
        for numbered in (True, True, False, False):
            request = await wire.next(ENQUIRE_LINK)
            wire.write(frame(command, request.sequence * numbered, body, status))
        assert (await wire.deliver(sm(b"R 1 1 2"))).key == (DELIVER_RESP, ROK)
        assert centre.wires == [wire]

    play(tmp_path, scene, enquire_s=0.05, response_s=0.2)


FOREIGN = {
    "http": b"HTTP/1.1 400 Bad Request\r\nConnection: keep-alive\r\n\r\n",
    "tls_alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "ssh": b"SSH-2.0-OpenSSH_9.2p1\r\n",
    "smtp": b"220 ready\r\n",
    "text": b"Too many connections from your address\n",
}


@pytest.mark.parametrize("octets", FOREIGN.values(), ids=FOREIGN)
def test_behaviour_38_another_protocol_on_the_port(tmp_path: Path, octets: bytes) -> None:
    """No wait for the bind's time to pass: lost at once, told in `health`, and tried again (§3.2)."""

    async def whole() -> None:
        async with a_centre() as centre, a_daemon(tmp_path, centre.port, bind_s=15) as stack:
            wire = await centre.connected()
            wire.write(octets)
            await wire.closed.wait()
            [health] = stack.daemon.find_health().links
            assert "command_length" in health.trouble
            await (await centre.bound()).alive()

    run(whole())


def test_behaviour_39_connections_that_end_at_once(tmp_path: Path) -> None:
    """A hundred of them, before the bind and right after it (node-smpp's users saw it): nothing is left behind."""

    async def whole() -> None:
        async with a_centre() as centre, a_daemon(tmp_path, centre.port, pause_s=0.001) as stack:
            files: list[int] = []
            for number in range(100):
                wire = await (centre.connected if number % 2 else centre.bound)()
                wire.cut()
                await wire.closed.wait()
                files.append(len(os.listdir("/dev/fd")))  # noqa: PTH208 - the count is all that is wanted
            assert files[-1] <= files[10] + 2
            stack.say("hello")
            wire = await centre.bound()
            await stack.until(lambda: stack.statuses() == ["accepted"])
            assert len(centre.submits()) == 1

    run(whole())


def test_behaviour_40_the_answer_comes_before_the_question(tmp_path: Path) -> None:
    """What a submit_sm_resp says about a number that is not in use says nothing about its next user."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        early = range(2, 10)
        wire.write(*(frame(SUBMIT_RESP, number, b"early\0", 0x0B * (number % 2)) for number in early))
        await wire.alive()
        stack.say("hello")
        request = await wire.next(SUBMIT_SM)
        assert request.sequence in early
        await wire.alive()
        assert stack.statuses() == ["sending"]
        wire.accept(request, "own")
        await stack.until(lambda: stack.statuses() == ["accepted"])
        assert stack.rows("SELECT message_id FROM segment") == [("own",)]

    play(tmp_path, scene)


@pytest.mark.parametrize("second", [(SUBMIT_RESP, 0x0B), (SUBMIT_RESP, RSYSERR), (GENERIC_NACK, 0x03)], ids=str)
def test_behaviour_41_a_submit_is_answered_twice(tmp_path: Path, second: tuple[int, int]) -> None:
    """In one segment, a text between the two: the first answer counts, nothing is sent again."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say_to_many(2)
        one, other = await wire.next(SUBMIT_SM), await wire.next(SUBMIT_SM)
        wire.write(
            frame(SUBMIT_RESP, one.sequence, b"first\0"),
            frame(DELIVER_SM, other.sequence, sm(b"R 1 1 2")),
            frame(second[0], one.sequence, b"", second[1]),
            frame(SUBMIT_RESP, one.sequence, b"third\0"),
            frame(SUBMIT_RESP, other.sequence, b"other\0"),
        )
        assert (await wire.next(DELIVER_RESP)).sequence == other.sequence
        await stack.until(lambda: stack.statuses()[:2] == ["accepted"] * 2)
        await wire.alive()
        assert stack.rows("SELECT message_id FROM segment ORDER BY outbox LIMIT 2") == [("first",), ("other",)]
        assert [read_sm(each).text for each in (one, other)] == [each.text for each in wire.submits()][:2]
        assert Counter(each.text for each in wire.submits())[b"hello"] == 2

    play(tmp_path, scene)


def test_behaviour_42_unbind_instead_of_an_answer_to_the_bind(tmp_path: Path) -> None:
    """A centre that shuts down (§4.2): unbind_resp, and another try; the late bind_resp binds nothing."""

    async def whole() -> None:
        async with a_centre() as centre, a_daemon(tmp_path, centre.port, bind_s=15) as stack:
            wire = await centre.connected()
            request = await wire.next(*BINDS)
            stack.say("hello")
            wire.write(frame(UNBIND, 9), frame(BIND_TRANSCEIVER | RESP, request.sequence, b"raw\0"))
            assert (await wire.next(UNBIND | RESP)).sequence == 9
            await wire.closed.wait()
            assert wire.submits() == []
            await (await centre.bound()).next(SUBMIT_SM)

    run(whole())


def test_behaviour_42_texts_and_unbind_in_one_segment(tmp_path: Path) -> None:
    """Every text is answered, on this connection, before it is closed."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        texts = (frame(DELIVER_SM, n, sm(b"n%d" % n, source=b"7701%07d" % n)) for n in range(1, 51))
        wire.write(*texts, frame(UNBIND, 77))
        await wire.closed.wait()
        answers = [each for each in wire.frames if each.command == DELIVER_RESP]
        assert {each.status for each in answers} == {ROK}
        assert sorted(each.sequence for each in answers) == list(range(1, 51))
        assert len(stack.texts_in()) == 50
        await (await centre.bound()).alive()

    play(tmp_path, scene)


def test_behaviour_43_a_text_between_our_unbind_and_its_answer(tmp_path: Path) -> None:
    """It is on the disk if it is answered ROK, and else it was not answered so."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(UNBIND)
        stopping = asyncio.create_task(stack.daemon.stop())
        unbind = await wire.next(UNBIND)
        assert (await wire.deliver(sm(b"last"))).key == (DELIVER_RESP, ROK)
        wire.answer(unbind)
        await wire.closed.wait()
        await stopping
        assert stack.texts_in() == ["last"]

    play(tmp_path, scene)


def a_text(**changes: int | bytes) -> bytes:
    """The body of a deliver_sm with every field in reach (§4.6.1)."""
    fields: dict[str, int | bytes] = {
        "service": b"", "source_ton": 1, "source_npi": 1, "source": b"77011234567", "ton": 0, "npi": 1,
        "destination": b"1414", "esm": 0, "protocol": 0, "priority": 0, "schedule": b"", "validity": b"",
        "registered": 0, "replace": 0, "coding": 0, "default_id": 0,
    }  # fmt: skip
    assert changes.keys() <= fields.keys()
    values = (fields | changes).values()
    body = b"".join(bytes((value,)) if isinstance(value, int) else value + b"\0" for value in values)
    return body + b"\x07R 1 1 2"


ODD_FIELDS = {
    "none": a_text(),
    "reply_path": a_text(esm=0x80),
    "store_and_forward": a_text(esm=0x03),
    "datagram": a_text(esm=0x01),
    "conversation_abort": a_text(esm=0x18),
    "asks_for_a_receipt": a_text(registered=0x1F),
    "times": a_text(schedule=b"261120080000000+", validity=b"000002000000000R"),
    "times_without_sense": a_text(schedule=b"tomorrow at noon, if it rains", validity=b"x" * 60),
    "service_type": a_text(service=b"CMT"),
    "service_type_too_long": a_text(service=b"CELLULAR_MESSAGING"),
    "protocol": a_text(protocol=0x7F, priority=3, replace=1, default_id=254),
    "all_ones": a_text(protocol=0xFF, priority=0xFF, replace=0xFF, default_id=0xFF, registered=0xFF),
    "types_of_number": a_text(source_ton=255, source_npi=255, ton=255, npi=255),
    "alphanumeric": a_text(source_ton=5, source_npi=0),
}


@pytest.mark.parametrize("body", ODD_FIELDS.values(), ids=ODD_FIELDS)
def test_behaviour_44_fields_that_say_nothing_here(tmp_path: Path, body: bytes) -> None:
    """Reply path, modes, times "not used" that are used (§4.6.1), a status in a request (§5.1.3): her answer."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        stack.birth()
        await stack.until(lambda: stack.statuses() == ["accepted"])
        wire.write(frame(DELIVER_SM, 70, body, RSYSERR))
        answer = await wire.next(DELIVER_RESP)
        assert (answer.key, answer.sequence) == ((DELIVER_RESP, ROK), 70)
        assert stack.rows("SELECT outcome FROM inbound") == [("answered",)]
        await stack.until(lambda: len(stack.statuses()) == 2)

    play(tmp_path, scene)


CONTRADICTIONS = {
    "text_delivered_parameter_not": (b"id:0A1F stat:DELIVRD err:000", tlv(0x427, b"\5"), "failed"),
    "text_not_parameter_delivered": (b"id:0A1F stat:UNDELIV err:001", tlv(0x427, b"\2"), "delivered"),
    "error_and_delivered": (b"id:0A1F stat:DELIVRD err:0F4", tlv(0x423, b"\3\0\xf4"), "delivered"),
    "text_of_another": (b"id:9999 stat:UNDELIV", tlv(0x1E, b"0A1F\0") + tlv(0x427, b"\2"), "delivered"),
    "quotes_a_receipt": (b"id:0A1F stat:DELIVRD err:000 text:id:9999 stat:UNDELIV", b"", "delivered"),
    "payload_and_text": (b"id:9999 stat:UNDELIV", tlv(0x424, b"id:0A1F stat:DELIVRD"), "delivered"),
}


@pytest.mark.parametrize(("text", "tlvs", "becomes"), CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_behaviour_45_receipt_that_contradicts_itself(
    tmp_path: Path, text: bytes, tlvs: bytes, becomes: str
) -> None:
    """The parameters (§5.3.2.35) are believed before the text, whose form is the vendor's (Appendix B)."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say("hello")
        wire.accept(await wire.next(SUBMIT_SM), "0A1F")
        await stack.until(lambda: stack.statuses() == ["accepted"])
        assert (await wire.deliver(sm(text, esm=4, tlvs=tlvs))).key == (DELIVER_RESP, ROK)
        assert stack.statuses() == [becomes]

    play(tmp_path, scene)


IDS = ["smsc_7", "7@smsc-1", "$7", "{0A1F-77}", "[7]", "a~b^c|d\\e", "7/8+9=10,11;12", "x" * 64]


@pytest.mark.parametrize("place", ["text", "parameter"])
def test_behaviour_46_ids_of_any_characters(tmp_path: Path, place: str) -> None:
    """ASCII in a receipt's text, whatever data_coding 0 means for texts: `_` is no `§` there (§5.2.23)."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        for number, message_id in enumerate(IDS, start=1):
            stack.say("hello")
            wire.accept(await wire.next(SUBMIT_SM), message_id)
            await stack.until(lambda: stack.statuses()[-1] == "accepted")
            in_tlvs = sm(b"", esm=4, tlvs=tlv(0x1E, message_id.encode() + b"\0") + tlv(0x427, b"\2"))
            assert (await wire.deliver(in_tlvs if place == "parameter" else receipt(message_id))).status == ROK
            assert stack.statuses() == ["delivered"] * number, message_id

    play(tmp_path, scene)


def test_behaviour_46_id_that_is_no_ascii(tmp_path: Path) -> None:
    """Octets are octets: the receipt that bears the same ones is its receipt."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say("hello")
        raw_id = "№7-ә".encode()
        wire.answer(await wire.next(SUBMIT_SM), raw_id + b"\0")
        await stack.until(lambda: stack.statuses() == ["accepted"])
        await wire.deliver(sm(b"", esm=4, tlvs=tlv(0x1E, raw_id + b"\0") + tlv(0x427, b"\2")))
        assert stack.statuses() == ["delivered"]

    play(tmp_path, scene)


def test_behaviour_47_one_id_for_all_parts(tmp_path: Path) -> None:
    """As many receipts as parts deliver a long text (as centres of Jasmin's users do); one more does no harm."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say("w" * 400, "short")
        parts = [await wire.next(SUBMIT_SM) for _ in range(3)]
        for part in reversed(parts):
            wire.accept(part, "one")
        wire.accept(await wire.next(SUBMIT_SM), "another")
        await stack.until(lambda: stack.statuses() == ["accepted", "accepted"])
        for becomes in ("accepted", "accepted", "delivered", "delivered"):
            await wire.deliver(receipt("one"))
            assert stack.statuses() == [becomes, "accepted"]

    play(tmp_path, scene)


def test_behaviour_47_one_id_for_two_texts_to_one_phone(tmp_path: Path) -> None:
    """Two receipts are for two texts."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        wire.answering.discard(SUBMIT_SM)
        stack.say("first", "second")
        for _each in range(2):
            wire.accept(await wire.next(SUBMIT_SM), "same")
        await stack.until(lambda: stack.statuses() == ["accepted"] * 2)
        await wire.deliver(receipt("same"))
        assert sorted(stack.statuses()) == ["accepted", "delivered"]
        await wire.deliver(receipt("same"))
        assert stack.statuses() == ["delivered"] * 2

    play(tmp_path, scene)


async def over_two_links(folder: Path, bodies: list[tuple[int, bytes]]) -> tuple[list[Frame], Stack]:
    """Deliver each body by the link that is named, all at once; the answers."""
    async with (
        a_centre() as first,
        a_centre() as second,
        a_daemon(folder, first.port, second_port=second.port) as stack,
    ):
        wires = [await first.bound(), await second.bound()]
        stack.birth()
        await stack.until(lambda: stack.statuses() == ["accepted"])
        for number, (link, body) in enumerate(bodies):
            wires[link].write(frame(DELIVER_SM, 40 + number, body))
        answers = [await wires[link].next(DELIVER_RESP) for link, _ in bodies]
        await asyncio.sleep(0)
    return answers, stack


def test_behaviour_48_the_same_reply_by_two_links_at_once(tmp_path: Path) -> None:
    """A centre that fails over delivers what is unanswered by the other bind as well: it counts once."""

    async def whole() -> None:
        answers, stack = await over_two_links(tmp_path, [(0, sm(b"R 1 1 2")), (1, sm(b"R 1 1 2"))])
        assert [each.status for each in answers] == [ROK, ROK]
        found = sorted(stack.rows("SELECT outcome, reason FROM inbound"))
        assert found == [("answered", ""), ("repeated", "delivered_again")]
        assert stack.rows("SELECT count(*) FROM journal WHERE outcome = 'answered'") == [(1,)]
        assert len(stack.statuses()) == 2, "one question, and the next"

    run(whole())


def test_behaviour_48_the_parts_of_a_text_by_two_links(tmp_path: Path) -> None:
    """Each part by another bind, and one part by both: one text."""

    async def whole() -> None:
        parts = [
            (link, sm(udh8(7, 3, number) + text, esm=0x40))
            for link, number, text in ((1, 3, b" 2"), (0, 1, b"R "), (0, 3, b" 2"), (1, 2, b"1 1"))
        ]
        answers, stack = await over_two_links(tmp_path, parts)
        assert {each.status for each in answers} == {ROK}
        assert stack.rows("SELECT text, outcome FROM inbound") == [("R 1 1 2", "answered")]

    run(whole())


def test_behaviour_49_two_long_texts_of_one_phone_at_once(tmp_path: Path) -> None:
    """The same reference and different totals, part by part in turn: two texts, whole (23.040 §9.2.3.24.1)."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        for total, number in ((2, 1), (3, 3), (3, 1), (2, 2), (3, 2)):
            body = sm(udh8(7, total, number) + b"%d/%d " % (number, total), esm=0x40)
            assert (await wire.deliver(body)).key == (DELIVER_RESP, ROK)
        assert stack.texts_in() == ["1/2 2/2 ", "1/3 2/3 3/3 "]

    play(tmp_path, scene)


def test_behaviour_49_a_part_of_255_that_stays_alone(tmp_path: Path) -> None:
    """It is answered, waits on the disk, and keeps no other text of hers waiting."""

    async def scene(_: RawCentre, wire: Wire, stack: Stack) -> None:
        stack.birth()
        await stack.until(lambda: stack.statuses() == ["accepted"])
        assert (await wire.deliver(sm(udh8(7, 255, 200) + b"lost", esm=0x40))).key == (DELIVER_RESP, ROK)
        assert (await wire.deliver(sm(b"R 1 1 2"))).key == (DELIVER_RESP, ROK)
        assert stack.rows("SELECT text, outcome FROM inbound") == [("R 1 1 2", "answered")]
        assert stack.rows("SELECT payload, state FROM part") == [(b"lost", "waiting")]

    play(tmp_path, scene)


def test_behaviour_50_a_text_that_kills_the_centre(tmp_path: Path) -> None:
    """It ends the connection whenever one text comes: the others go out, and that one goes to a person."""

    async def scene(centre: RawCentre, wire: Wire, stack: Stack) -> None:
        deadly: list[Wire] = []

        async def serve(wire: Wire) -> None:
            wire.answering.discard(SUBMIT_SM)
            while not wire.closed.is_set():
                request = await wire.next(SUBMIT_SM)
                if read_sm(request).text == b"deadly":
                    deadly.append(wire)
                    wire.cut()
                    await wire.closed.wait()
                    wire = await centre.bound()
                    wire.answering.discard(SUBMIT_SM)
                else:
                    wire.accept(request)

        serving = asyncio.create_task(serve(wire))
        stack.say("deadly", to="77019999999")
        stack.say_to_many(30)
        await stack.until(lambda: stack.statuses() == ["in_doubt"] + ["accepted"] * 30)
        assert len(deadly) == 4
        assert stack.rows("SELECT max(attempts) FROM outbox WHERE status = 'accepted'") == [(4,)]
        serving.cancel()

    play(tmp_path, scene, window=8)
