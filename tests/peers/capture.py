"""Octets to a capture file, and what tshark reads in it: none of this knows smsflow or smpplib."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

_PORT = 2775
_SEGMENT = 1400
_LINKTYPE_RAW = 101
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_pcap(file: Path, connections: Sequence[Sequence[bytes]]) -> None:
    """Write what each connection's client sent, as IPv4 and TCP, each from a port of its own."""
    with file.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _LINKTYPE_RAW))
        for number, chunks in enumerate(connections):
            octets, sequence = b"".join(chunks), 1
            for start in range(0, len(octets), _SEGMENT):
                data = octets[start : start + _SEGMENT]
                packet = _packet(1024 + number, sequence, data)
                out.write(struct.pack("<IIII", number, start // _SEGMENT, len(packet), len(packet)) + packet)
                sequence += len(data)


def _packet(port: int, sequence: int, data: bytes) -> bytes:
    tcp = struct.pack(">HHIIBBHHH", port, _PORT, sequence, 1, 5 << 4, 0x18, 65535, 0, 0)
    local = bytes((127, 0, 0, 1))
    ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 40 + len(data), 0, 0, 64, 6, 0, local, local)
    return ip + tcp + data


@dataclass(frozen=True)
class Dissected:
    """One PDU as tshark reads it: names of fields to their values, and the octets where asked for."""

    fields: dict[str, str]
    octets: dict[str, str]

    @property
    def command(self) -> str:
        return self.fields["smpp.command_id"]


def dissect(tshark: str, file: Path) -> tuple[list[Dissected], list[str]]:
    """Return the PDUs of a capture, and everything that tshark has to complain of."""
    command = [tshark, "-n", "-r", str(file), "-d", f"tcp.port=={_PORT},smpp", "-T", "pdml", "-Y", "tcp.len > 0"]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    # What is no XML (controls, half of a surrogate pair) stands in it for people to read only.
    words = _NO_XML.sub("?", done.stdout.decode("utf-8", "replace"))
    pdus, complaints = [], []
    for packet in ET.fromstring(words.encode()).iter("packet"):
        for proto in packet.iter("proto"):
            name = proto.get("name", "")
            if name == "smpp" and proto.find("field[@name='smpp.command_id']") is not None:
                pdus.append(_read(proto))
            elif name == "_ws.malformed":
                complaints.append(proto.get("showname") or name)
        complaints += [
            field.get("showname", "")
            for field in packet.iter("field")
            if field.get("name") == "_ws.expert.message" and "SMPP" in field.get("showname", "").upper()
        ]
        complaints += [
            field.get("showname", "") for field in packet.iter("field") if "malformed" in field.get("name", "")
        ]
    return pdus, complaints


def _read(proto: ET.Element) -> Dissected:
    fields = {field.get("name", ""): field.get("show", "") for field in proto.iter("field")}
    octets = {field.get("name", ""): field.get("value", "") for field in proto.iter("field")}
    return Dissected(fields, octets)
