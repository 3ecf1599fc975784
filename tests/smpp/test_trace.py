"""Captures: right by tshark, and with nothing in them that was not asked for."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from smsflow.smpp.trace import Capture, blank

# By hand, after SMPP v3.4: header, then the fields in order.
BIND = bytes.fromhex("00000009 00000000 00000001") + b"smsflow\0secret\0\0\x34\0\0\0"
UDH = bytes.fromhex("050003070201")
SUBMIT_HEAD = (
    bytes.fromhex("00000004 00000000 00000002") + b"\0\0\0001414\0\x01\x0177011234567\0\x40\0\0\0\0\x01\0\x08\0"
)
RECEIPT = b"id:1F sub:001 dlvrd:001 submit date:2611201200 done date:2611201201 stat:DELIVRD err:000 text:R 1 1 2"
DELIVER_HEAD = bytes.fromhex("00000005 00000000 00000003") + b"\0\x01\x0177011234567\0\0\0001414\0"


def frame(octets: bytes) -> bytes:
    return struct.pack(">L", len(octets) + 4) + octets


def submit(text: bytes, tlvs: bytes = b"") -> bytes:
    payload = UDH + text
    return frame(SUBMIT_HEAD + bytes([len(payload)]) + payload + tlvs)


def deliver(text: bytes, esm_class: int = 0) -> bytes:
    return frame(DELIVER_HEAD + bytes([esm_class]) + b"\0\0\0\0\0\0\0\0" + bytes([len(text)]) + text)


RESPONSE = frame(bytes.fromhex("80000004 00000058 00000002"))
ENQUIRE = frame(bytes.fromhex("00000015 00000000 00000004"))


class Recording:
    """A capture in memory."""

    def __init__(self, **options: bool) -> None:
        self.octets = bytearray()
        self.capture = Capture(self.octets.extend, lambda: 1_795_000_000.25, **options)

    def packets(self) -> list[bytes]:
        found, pos = [], 24
        while pos < len(self.octets):
            _, _, length, whole = struct.unpack_from("<IIII", self.octets, pos)
            assert length == whole
            found.append(bytes(self.octets[pos + 16 : pos + 16 + length]))
            pos += 16 + length
        return found


def play(recording: Recording, addresses: tuple[str, str] = ("10.0.0.1", "10.9.0.2")) -> Recording:
    capture = recording.capture
    capture.opened("one", (addresses[0], 40_000), (addresses[1], 3_550))
    capture.sent("one", frame(BIND) + submit("Сәлем".encode("utf-16-be")))
    whole = deliver(b"R 1 1 2 Aigerim") + deliver(RECEIPT, 0x04) + RESPONSE + ENQUIRE
    for at in range(0, len(whole), 7):
        capture.received("one", whole[at : at + 7])
    capture.ended("one")
    return recording


def tshark(file: Path, *options: str) -> str:
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("tshark is not installed: apt-get install tshark")
    done = subprocess.run(
        [program, "-r", str(file), "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", *options],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout


def texts_in(file: Path) -> list[bytes]:
    """Each short_message, as tshark finds it."""
    fields = tshark(file, "-Y", "smpp.message", "-T", "fields", "-e", "smpp.message")
    return [bytes.fromhex(line) for line in fields.split()]


@pytest.mark.parametrize("addresses", [("10.0.0.1", "10.9.0.2"), ("2001:db8::1", "2001:db8::2")])
def test_tshark_reads_every_pdu(tmp_path: Path, addresses) -> None:
    """Nothing malformed, no bad checksum or sequence number, every field as it was meant."""
    file = tmp_path / "x.pcap"
    file.write_bytes(play(Recording(texts=True, passwords=True), addresses).octets)

    details = tshark(file, "-d", "tcp.port==2775,smpp", "-V")

    for bad in ("Malformed", "incorrect, should be", "[Bad", "out-of-order", "previous segment", "Retransmission"):
        assert bad not in details
    assert re.findall(r"Operation: (.+?) \(", details) == [
        "Bind_transceiver", "Submit_sm", "Deliver_sm", "Deliver_sm", "Submit_sm - resp", "Enquire_link",
    ]  # fmt: skip
    for words in ("System ID: smsflow", "Password: secret", "77011234567"):
        assert words in details
    assert texts_in(file) == [UDH + "Сәлем".encode("utf-16-be"), b"R 1 1 2 Aigerim", RECEIPT]
    assert re.search(r"Result: .*\(0x00000058\)", details)


def test_tshark_knows_smpp_without_being_told(tmp_path: Path) -> None:
    """The centre's port is always 2775."""
    file = tmp_path / "x.pcap"
    file.write_bytes(play(Recording()).octets)

    assert len(tshark(file, "-Y", "smpp", "-T", "fields", "-e", "smpp.command_id").split()) == 6


def test_tshark_reads_what_is_blanked(tmp_path: Path) -> None:
    """Lengths, references and receipts stay; the password and the texts do not."""
    file = tmp_path / "x.pcap"
    file.write_bytes(play(Recording()).octets)

    details = tshark(file, "-V")

    assert "Malformed" not in details
    assert "Password: ******" in details
    assert "secret" not in details
    quoted = b"R 1 1 2"
    assert texts_in(file) == [UDH + b"*" * 10, b"*" * 15, RECEIPT.removesuffix(quoted) + b"*" * len(quoted)]


# --- blanking ---------------------------------------------------------------------------------------------


def test_a_password_is_overwritten_and_its_length_kept() -> None:
    """Everything around it stays."""
    assert blank(frame(BIND)) == frame(BIND).replace(b"secret", b"******")
    assert blank(frame(BIND), passwords=True) == frame(BIND)
    assert blank(frame(BIND), texts=True) == frame(BIND).replace(b"secret", b"******")


def test_a_text_is_overwritten_and_its_user_data_header_kept() -> None:
    """Parts can still be told apart."""
    text = "Сәлем".encode("utf-16-be")
    assert blank(submit(text)) == submit(b"*" * len(text))
    assert blank(submit(text), texts=True) == submit(text)


@pytest.mark.parametrize(
    ("tlv", "shown"),
    [
        (b"\x04\x24\0\x09" + UDH + b"abc", b"\x04\x24\0\x09" + UDH + b"***"),  # message_payload
        (b"\x14\x00\0\x03abc", b"\x14\x00\0\x03***"),  # a vendor's: nobody knows what is in it
        (b"\x00\x1e\0\x0312\0", b"\x00\x1e\0\x0312\0"),  # receipted_message_id
        (b"\x04\x24\0\xffabc", b"*" * 7),  # cut off
        (b"abc", b"***"),  # junk
    ],
)
def test_optional_parameters_with_texts_are_overwritten(tlv: bytes, shown: bytes) -> None:
    """Those that tell nothing of a text stay."""
    assert blank(submit(b"x", tlv)) == submit(b"*", shown)


def test_a_receipt_keeps_all_but_what_it_quotes() -> None:
    """In UCS-2 too; a mother's text that looks like one is a text."""
    wide = RECEIPT.decode().encode("utf-16-be")
    for receipt, quoted in ((RECEIPT, 7), (wide, 14)):
        keep = len(receipt) - quoted
        expected = deliver(receipt[:keep] + b"*" * quoted, 0x04)
        shown = blank(deliver(receipt, 0x04))
        assert shown[:-quoted] == expected[:-quoted]
        assert b"R" not in shown[-quoted:]
    assert b"DELIVRD" not in blank(deliver(RECEIPT))
    assert b"Aigerim" not in blank(deliver(b"Aigerim", 0x04))


def test_what_cannot_be_read_is_overwritten() -> None:
    """A text may be in it: only the header stays."""
    for odd in (
        frame(bytes.fromhex("00000005 00000000 00000003") + b"Aigerim"),  # no end of service_type
        frame(bytes.fromhex("00000777 00000000 00000003") + b"Aigerim"),  # unknown command
        frame(bytes.fromhex("00000009 00000000 00000003") + b"smsflow\0Aigerim"),  # password without end
    ):
        assert b"Aigerim" not in blank(odd)
        assert len(blank(odd)) == len(odd)


def test_lost_boundaries_show_one_header_and_no_text(tmp_path: Path) -> None:
    """From there on everything is overwritten, however it is split."""
    recording = Recording()
    recording.capture.opened("one", ("10.0.0.1", 40_000), ("10.9.0.2", 2775))
    recording.capture.received("one", b"\xff\xff\xff\xff" + b"0123456789ab" + b"Aigerim")
    recording.capture.received("one", b"Aigerim Aigerim Aigerim")
    recording.capture.finish()

    assert b"0123456789ab" in recording.octets
    assert b"Aigerim" not in recording.octets


@pytest.mark.parametrize("texts", [True, False])
def test_no_octets_make_a_capture_raise(texts: bool) -> None:
    """Whatever comes is written; lengths are kept."""
    import random

    dice = random.Random(3)
    samples = [frame(BIND), submit(b"text"), deliver(RECEIPT, 0x04)]
    for _ in range(3000):
        octets = bytearray(dice.choice(samples))
        for _ in range(dice.randrange(1, 5)):
            octets[dice.randrange(4, len(octets))] = dice.randrange(256)
        cut = bytes(octets[: dice.randrange(16, len(octets) + 1)])
        assert len(blank(cut, texts=texts)) == len(cut)
    for _ in range(200):
        recording = Recording()
        recording.capture.opened("one", ("10.0.0.1", 40_000), ("10.9.0.2", 2775))
        for _ in range(5):
            recording.capture.received("one", dice.randbytes(dice.randrange(1, 100)))
        recording.capture.ended("one")
        recording.packets()
