"""Wireshark's dissector reads what the link has sent: no malformed PDU, every field as it was meant."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from peers.capture import Dissected, dissect, write_pcap
from peers.raw import DELIVER_SM, ENQUIRE_LINK, GENERIC_NACK, RESP, SENT_BY_THE_LINK, UNBIND, a_centre, frame, sm
from peers.stack import a_daemon, run

NUMBER = re.compile("0x[0-9a-f]+|[1-9][0-9]*|0")
SHORT, KAZAKH, LONG = "hello [€]", "Сәбиіңіз құтты болсын", "Сәбиіңіз құтты болсын! 👶 " * 6


def sent_in(folder: Path, tshark: str, *texts: str, **link: object) -> list[Dissected]:
    """Let the link send `texts` and answer all kinds of requests; return how tshark reads it."""
    first = len(SENT_BY_THE_LINK)

    async def whole() -> None:
        async with a_centre() as centre, a_daemon(folder, centre.port, enquire_s=0.1, **link) as stack:  # type: ignore[arg-type]
            wire = await centre.bound()
            await wire.deliver(sm(b"STOP"))
            await wire.deliver(sm(b"\0\1\1"[:2]))  # cut short: refused
            wire.write(frame(0x0A0A, 9))
            await wire.next(GENERIC_NACK)
            await wire.deliver(b"\0\1\1777\0\0\1 1414\0\0\0\0", command=0x103)
            await wire.next(ENQUIRE_LINK)
            stack.say(*texts, to="77019999999")
            await stack.until(lambda: stack.statuses()[1:] == ["accepted"] * len(texts))
            wire.write(frame(UNBIND, 3))
            await wire.next(UNBIND | RESP)
            await centre.bound()
            await stack.until(lambda: stack.daemon.find_health().links[0].bound_since is not None)

    run(whole())
    file = folder / "link.pcap"
    write_pcap(file, SENT_BY_THE_LINK[first:])
    pdus, complaints = dissect(tshark, file)
    assert complaints == []
    return pdus


def only(pdus: list[Dissected], command: int) -> list[Dissected]:
    return [pdu for pdu in pdus if int(pdu.command, 0) == command]


def test_every_kind_of_pdu_is_well_formed(tmp_path: Path, tshark: str) -> None:
    """Bind, submit, answers, refusals, enquire_link, unbind: each is there, and read to its end."""
    pdus = sent_in(tmp_path, tshark, SHORT)

    commands = {int(pdu.command, 0) for pdu in pdus}
    assert commands == {
        0x09, 0x04, 0x06, DELIVER_SM | RESP, 0x103 | RESP, GENERIC_NACK, ENQUIRE_LINK, UNBIND | RESP,
    }  # fmt: skip


def test_bind_as_meant(tmp_path: Path, tshark: str) -> None:
    """Who we are, by version 3.4."""
    [bind, *_] = only(sent_in(tmp_path, tshark, system_type="VMA", address_range='"^1414$"'), 0x09)

    assert bind.fields["smpp.interface_version"] in ("52", "0x34")
    assert bind.fields["smpp.system_id"] == "smsflow"
    assert bind.fields["smpp.password"] == "secret"
    assert bind.fields["smpp.system_type"] == "VMA"
    assert bind.fields["smpp.address_range"] == "^1414$"


def test_submit_as_meant(tmp_path: Path, tshark: str) -> None:
    """Source, destination, coding, class and receipt, for a text in GSM 03.38 and one in UCS-2."""
    pdus = only(sent_in(tmp_path, tshark, SHORT, KAZAKH), 0x04)[-2:]

    for pdu, coding, octets in zip(
        pdus, (0, 8), (b"hello \x1b\x3c\x1b\x65\x1b\x3e", KAZAKH.encode("utf-16-be")), strict=True
    ):
        number = {name: int(value, 0) for name, value in pdu.fields.items() if NUMBER.fullmatch(value)}
        assert pdu.fields["smpp.source_addr"] == "1414"
        assert pdu.fields["smpp.destination_addr"] == "77019999999"
        assert (number["smpp.dest_addr_ton"], number["smpp.dest_addr_npi"]) == (1, 1)
        assert (number["smpp.source_addr_ton"], number["smpp.source_addr_npi"]) == (0, 0)
        assert number["smpp.data_coding"] == coding
        assert number["smpp.regdel.receipt"] == 1
        assert number["smpp.esm.submit.features"] == number["smpp.esm.submit.msg_type"] == 0
        assert number["smpp.esm.submit.msg_mode"] == 0
        assert number["smpp.sm_length"] == len(octets)
        assert number["smpp.protocol_id"] == number["smpp.priority_flag"] == 0
        assert pdu.octets["smpp.message"] == octets.hex()


def test_address_kinds_as_configured(tmp_path: Path, tshark: str) -> None:
    """TON and NPI per link."""
    pdu = only(sent_in(tmp_path, tshark, SHORT, source="{ton: 3, npi: 0}", destination="{ton: 2, npi: 8}"), 0x04)[
        -1
    ]

    names = ("source_addr_ton", "source_addr_npi", "dest_addr_ton", "dest_addr_npi")
    assert [int(pdu.fields[f"smpp.{name}"], 0) for name in names] == [3, 0, 2, 8]


@pytest.mark.parametrize("form", ["udh8", "udh16", "sar", "payload"])
def test_long_text_as_meant(tmp_path: Path, tshark: str, form: str) -> None:
    """Each way of sending it, joined by what tshark reads, is the text."""
    pdus = only(sent_in(tmp_path, tshark, LONG, long_texts=form), 0x04)
    parts = [pdu for pdu in pdus if pdu.fields["smpp.destination_addr"] == "77019999999"]
    joined, references = b"", set()
    for number, pdu in enumerate(parts, start=1):
        head = {"udh8": 6, "udh16": 7}.get(form, 0)
        octets = bytes.fromhex(pdu.octets["smpp.message_payload" if form == "payload" else "smpp.message"])
        assert int(pdu.fields["smpp.esm.submit.features"], 0) == (1 if head else 0)
        assert int(pdu.fields["smpp.data_coding"], 0) == 8
        if head:
            assert octets[:3] == (b"\x05\x00\x03" if form == "udh8" else b"\x06\x08\x04")
            assert octets[head - 2 : head] == bytes((len(parts), number))
            references.add(octets[3 : head - 2])
        if form == "sar":
            assert int(pdu.fields["smpp.sar_total_segments"], 0) == len(parts)
            assert int(pdu.fields["smpp.sar_segment_seqnum"], 0) == number
        assert len(octets) <= 140 or form == "payload"
        joined += octets[head:]

    assert joined.decode("utf-16-be") == LONG
    assert len(references) == (1 if form.startswith("udh") else 0)
    assert len(parts) == (1 if form == "payload" else 3)


def test_everything_that_the_link_sent_in_this_run_is_well_formed(tmp_path: Path, tshark: str) -> None:
    """All connections of all tests against the raw message centre, when they ran before this one."""
    if not SENT_BY_THE_LINK:
        sent_in(tmp_path, tshark, SHORT)
    file = tmp_path / "run.pcap"
    write_pcap(file, SENT_BY_THE_LINK)

    pdus, complaints = dissect(tshark, file)

    assert complaints == []
    assert len(pdus) >= len(SENT_BY_THE_LINK)


def test_tshark_is_no_friend(tmp_path: Path, tshark: str) -> None:
    """It does complain: of a PDU that ends too early, and of one that says less than it holds."""
    for body in (b"smsflow\0secr", b"smsflow\0secret\0\0\x34\0"):
        write_pcap(tmp_path / "bad.pcap", [[frame(0x09, 1, body)]])
        assert dissect(tshark, tmp_path / "bad.pcap")[1]
