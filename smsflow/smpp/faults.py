"""Faults for the message centre to make, so that an operator can rehearse what centres do.

Rules say which fault meets which PDUs, how often and when. `Faults.join` puts them between a connection and the
message centre. Everything here works on octets, after the specification, and knows nothing of `codec`: a mistake
there must not hide itself here. Refusals, wrong receipts and the odd frames are written by hand.

    >>> make_rule("throttle", {"every": "3"}).every
    3
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from smsflow.smpp.statuses import Status, status_name

__all__ = ["FAULTS", "FRAMES", "PDUS", "RECEIPTS", "Faults", "Rule", "Wire", "make_rule"]

# §5.1.2.1
PDUS: Final = {
    "bind_receiver": 0x01,
    "bind_transmitter": 0x02,
    "bind_transceiver": 0x09,
    "submit_sm": 0x04,
    "deliver_sm": 0x05,
    "unbind": 0x06,
    "enquire_link": 0x15,
    "data_sm": 0x103,
}
PDUS.update({f"{name}_resp": number | 0x80000000 for name, number in tuple(PDUS.items())})
_NAMES: Final = {number: name for name, number in PDUS.items()}
_BINDS: Final = ("bind_receiver", "bind_transmitter", "bind_transceiver")
_BIND_RESPONSES: Final = tuple(f"{name}_resp" for name in _BINDS)
_GENERIC_NACK: Final = 0x80000000
_RESPONSE: Final = 0x80000000
_HEADER: Final = struct.Struct(">IIII")
_HELD_S: Final = 1.0
"""A PDU that waits to be overtaken does not wait longer."""


class _Fault(NamedTuple):
    """What a fault does, in words; which PDUs it meets when nothing is said; and which options it has besides."""

    words: str
    on: tuple[str, ...]
    options: tuple[str, ...] = ()


FAULTS: Final = {
    "throttle": _Fault("refuse with ESME_RTHROTTLED", ("submit_sm",)),
    "refuse": _Fault("refuse with `status`", ("submit_sm",), ("status",)),
    "delay": _Fault("send `seconds` late", ("submit_sm_resp",), ("seconds",)),
    "drop": _Fault("lose", ("submit_sm_resp",)),
    "duplicate": _Fault("send twice; a request gets another sequence number", ("deliver_sm",)),
    "reorder": _Fault("send after the next PDU", ("submit_sm_resp",)),
    "receipt": _Fault("write receipts as `as` says", ("deliver_sm",), ("as",)),
    "cut": _Fault("send one half, and close", ("submit_sm_resp",)),
    "silence": _Fault("hear nothing and say nothing", ()),
    "frame": _Fault("send `octets` after it", _BIND_RESPONSES, ("octets",)),
}
_COMMON: Final = ("on", "every", "times", "after", "for")

# Frames that no encoder of ours makes: header (§3.2) and body, octet by octet.
FRAMES: Final = {
    "unbind": bytes.fromhex("00000010 00000006 00000000 00000063"),
    "outbind": bytes.fromhex("00000014 0000000b 00000000 00000064 61006200"),
    "alert": bytes.fromhex("00000018 00000102 00000000 00000065 0101370001013100"),
    "unknown": bytes.fromhex("00000014 00000abc 00000000 00000066 deadbeef"),
    "junk": bytes.fromhex("00000005 00000000 00"),  # command_length is less than a header
    "huge": bytes.fromhex("7fffffff 00000005 00000000 00000067"),
    "nack": bytes.fromhex("00000010 80000000 000000ff 00000000"),
    "stray": bytes.fromhex("00000013 80000004 00000000 7ffffff0 787900"),  # an answer to nothing
}
RECEIPTS: Final = {
    "decimal": "the id as a decimal number, while the response gave it in hexadecimal",
    "lower": "the id in small letters",
    "padded": "the id with leading zeros",
    "unknown": "an id that was never given",
    "failed": "stat UNDELIV",
    "text": "no optional parameters",
    "tlv": "no text, only optional parameters",
    "ucs2": "the text in UCS-2",
    "data_sm": "as data_sm",
    "unmarked": "esm_class 0, as if a phone had written it",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault: it meets each `every`th PDU of `on`, `times` at most (0: no limit), in its time.

    `after_s` counts from the first connection, `for_s` from then. `detail` is what the fault needs besides: the
    status, the seconds, the kind of receipt, the octets.
    """

    fault: str
    on: frozenset[int]
    every: int = 1
    times: int = 0
    after_s: float = 0.0
    for_s: float = float("inf")
    detail: int | float | str | bytes = 0


def make_rule(fault: str, options: Mapping[str, object]) -> Rule:
    """Return the rule; option values may be texts.

    Raises:
        ValueError: what is wrong, in a sentence.
    """
    if fault not in FAULTS:
        raise ValueError(f"there is no fault {fault}; there is: {', '.join(FAULTS)}")
    known = FAULTS[fault]
    for name in options:
        if name not in (*_COMMON, *known.options):
            raise ValueError(f"{fault} has no option {name}; it has: {', '.join((*known.options, *_COMMON))}")
    missing = [name for name in known.options if name not in options]
    if missing:
        raise ValueError(f"{fault} needs {missing[0]}")
    words = {name: str(value).strip() for name, value in options.items()}
    return Rule(
        fault=fault,
        on=_read_pdus(options.get("on", known.on)),
        every=int(_number("every", words.get("every", "1"), least=1)),
        times=int(_number("times", words.get("times", "0"))),
        after_s=_number("after", words.get("after", "0")),
        for_s=_number("for", words.get("for", "inf")),
        detail=_read_detail(fault, words),
    )


def _read_pdus(names: object) -> frozenset[int]:
    if isinstance(names, str):
        names = [name for name in re.split(r"[\s+]+", names) if name]
    if not isinstance(names, Sequence):
        raise ValueError("on: expected the name of a PDU, or several")  # noqa: TRY004 - the reader wants this one
    for name in names:
        if name not in PDUS:
            raise ValueError(f"on: there is no PDU {name}; there is: {', '.join(PDUS)}")
    return frozenset(PDUS[str(name)] for name in names)


def _number(name: str, words: str, *, least: float = 0.0) -> float:
    try:
        number = float(words.removesuffix("s") if words != "inf" else words)
    except ValueError:
        number = -1.0
    if not number >= least:
        raise ValueError(f"{name}: expected a number from {least:g} on, got {words!r}")
    return number


def _read_detail(fault: str, words: Mapping[str, str]) -> int | float | str | bytes:
    match fault:
        case "throttle":
            return Status.RTHROTTLED
        case "refuse":
            return _read_status(words["status"])
        case "delay":
            return _number("seconds", words["seconds"])
        case "receipt":
            if words["as"] not in RECEIPTS:
                raise ValueError(f"as: expected one of {', '.join(RECEIPTS)}, got {words['as']!r}")
            return words["as"]
        case "frame":
            return FRAMES.get(words["octets"]) or _read_octets(words["octets"])
        case _:
            return 0


def _read_status(words: str) -> int:
    named = {status_name(status): status.value for status in Status}
    try:
        return named[words] if words in named else int(words, 0)
    except ValueError:
        raise ValueError(f"status: expected a name such as ESME_RMSGQFUL, or a number, got {words!r}") from None


def _read_octets(words: str) -> bytes:
    try:
        return bytes.fromhex(words)
    except ValueError:
        raise ValueError(f"octets: expected hexadecimal, or one of {', '.join(FRAMES)}, got {words!r}") from None


# ------------------------------------------------------------------------------------------- making them


@dataclass(slots=True)
class _Armed:
    """A rule, how many PDUs it has met, and how many of them had its fault."""

    rule: Rule
    met: int = 0
    done: int = 0

    def strikes(self, command_id: int, passed_s: float) -> bool:
        """Whether this PDU gets the fault; counts it."""
        rule = self.rule
        if command_id not in rule.on or not self.in_time(passed_s) or (rule.times and self.done >= rule.times):
            return False
        self.met += 1
        if self.met % rule.every:
            return False
        self.done += 1
        return True

    def in_time(self, passed_s: float) -> bool:
        return self.rule.after_s <= passed_s < self.rule.after_s + self.rule.for_s


@dataclass
class Faults:
    """The rules of one message centre, for all its connections. `note` is told of each fault, in words."""

    rules: Sequence[Rule] = ()
    note: Callable[[str], None] = field(default=lambda _: None)
    _armed: list[_Armed] = field(init=False)
    _began: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._armed = [_Armed(rule) for rule in self.rules]

    def join(self, put: Callable[[bytes], None], close: Callable[[], None]) -> Wire:
        """Return what stands between a connection and the message centre from now on."""
        if self._began is None:
            self._began = asyncio.get_running_loop().time()
        return Wire(self, put, close)

    def passed_s(self) -> float:
        """Seconds since the first connection."""
        return asyncio.get_running_loop().time() - (self._began or 0.0)

    def silent(self) -> bool:
        """Whether nothing is heard or said now."""
        passed_s = self.passed_s()
        return any(armed.rule.fault == "silence" and armed.in_time(passed_s) for armed in self._armed)

    def find(self, frame: bytes, faults: frozenset[str]) -> Rule | None:
        """Return the first rule among `faults` that strikes this PDU; tell it."""
        command_id, passed_s = _HEADER.unpack_from(frame)[1], self.passed_s()
        for armed in self._armed:
            fault = armed.rule.fault
            if fault not in faults or (fault == "receipt" and not _RECEIPT.search(frame)):
                continue
            if armed.strikes(command_id, passed_s):
                self.note(f"{armed.rule.fault}: {_NAMES.get(command_id, hex(command_id))}")
                return armed.rule
        return None


_INCOMING: Final = frozenset(("throttle", "refuse", "drop"))
_OUTGOING: Final = frozenset(("delay", "drop", "duplicate", "reorder", "receipt", "cut", "frame"))


class Wire:
    """One connection with faults: `takes` says whether a frame is heard, `send` sends one as the rules will."""

    def __init__(self, faults: Faults, put: Callable[[bytes], None], close: Callable[[], None]) -> None:
        self._faults = faults
        self._put = put
        self._close = close
        self._held: list[bytes] = []
        self._loop = asyncio.get_running_loop()

    def takes(self, frame: bytes) -> bool:
        """Whether the message centre hears `frame`; when it is refused, the answer has been sent."""
        if not self._faults.rules:
            return True
        if self._faults.silent():
            return False
        _, command_id, _, sequence = _HEADER.unpack_from(frame)
        rule = self._faults.find(frame, _INCOMING)
        if rule is None:
            return True
        if rule.fault != "drop":
            self._put(_refusal(command_id, int(rule.detail), sequence))
        return False

    def send(self, frame: bytes) -> None:
        """Send one frame."""
        if not self._faults.rules:
            self._put(frame)
            return
        if self._faults.silent():
            return
        rule = self._faults.find(frame, _OUTGOING)
        if rule is not None and rule.fault == "reorder":
            self._held.append(frame)
            self._loop.call_later(_HELD_S, self._release)
            return
        if rule is None:
            self._put(frame)
        else:
            self._strike(rule, frame)
        self._release()

    def _release(self) -> None:
        """Send what was to be overtaken."""
        held, self._held = self._held, []
        for frame in held:
            self._put(frame)

    def _strike(self, rule: Rule, frame: bytes) -> None:
        match rule.fault, rule.detail:
            case "delay", int(seconds) | float(seconds):
                self._loop.call_later(seconds, self._put, frame)
            case "duplicate", _:
                self._put(frame)
                self._put(_twin(frame))
            case "receipt", str(kind):
                self._put(_wrong_receipt(frame, kind))
            case "cut", _:
                self._put(frame[: len(frame) // 2])
                self._close()
            case "frame", bytes(octets):
                self._put(frame)
                self._put(octets)
            case _:
                pass  # dropped


def _refusal(command_id: int, status: int, sequence: int) -> bytes:
    """Return the answer with an error: a header alone (§4.4.2, §4.1.2: no body when there is an error)."""
    return _HEADER.pack(16, command_id | _RESPONSE, status, sequence)


def _twin(frame: bytes) -> bytes:
    """Return the same PDU as a centre sends it again: a request with a number of its own."""
    length, command_id, status, sequence = _HEADER.unpack_from(frame)
    if not command_id & _RESPONSE:
        sequence ^= 0x40000000
    return _HEADER.pack(length, command_id, status, sequence) + frame[16:]


# ----------------------------------------------------------------------------------------- wrong receipts


_RECEIPT: Final = re.compile(rb"id:(\S+) sub:(.*) submit date:(\d+) done date:(\d+) stat:(\w+) err:(\d+)")


def _wrong_receipt(frame: bytes, kind: str) -> bytes:
    """Return another receipt instead of the one in `frame`, a deliver_sm; what is none stays (§4.6.1, App. B)."""
    found = _RECEIPT.search(frame)
    service, ton_npi, source, ton_npi_2, destination = _addresses(frame)
    if found is None:
        return frame
    identity, state = found[1], found[5]
    number = int(identity, 16)
    new = {
        "lower": b"%x" % number,
        "decimal": b"%d" % number,
        "padded": b"0000" + identity,
        "unknown": b"ffffffff00",
    }.get(kind, identity)
    if kind == "failed":
        state = b"UNDELIV"
    text = b"id:%s sub:%s submit date:%s done date:%s stat:%s err:%s text:" % (
        new, found[2], found[3], found[4], state, found[6],
    )  # fmt: skip
    if kind == "ucs2":
        text = text.decode("ascii").encode("utf-16-be")
    message_state = b"\x05" if kind == "failed" else b"\x02"  # §5.2.28: UNDELIVERABLE, DELIVERED
    # §5.3.2: tag, length, value; receipted_message_id, message_state
    tlvs = struct.pack(">HH", 0x001E, len(new) + 1) + new + b"\0" + struct.pack(">HH", 0x0427, 1) + message_state
    head = service + b"\0" + ton_npi + source + b"\0" + ton_npi_2 + destination + b"\0"
    esm_class = b"\0" if kind == "unmarked" else b"\x04"
    coding = b"\x08" if kind == "ucs2" else b"\0"
    if kind == "data_sm":  # §4.7.1: esm_class registered_delivery data_coding; the text is message_payload
        payload = struct.pack(">HH", 0x0424, len(text)) + text
        return _frame(0x103, frame, head + esm_class + b"\0" + coding + payload + tlvs)
    if kind == "tlv":
        text = b""
    if kind in ("text", "unmarked"):
        tlvs = b""
    # esm_class protocol_id priority schedule validity registered replace data_coding default_msg_id sm_length text
    body = head + esm_class + b"\0\0" + b"\0" + b"\0" + b"\0\0" + coding + b"\0" + bytes([len(text)]) + text + tlvs
    return _frame(0x05, frame, body)


def _frame(command_id: int, like: bytes, body: bytes) -> bytes:
    """Return a request under the number of `like`."""
    return _HEADER.pack(16 + len(body), command_id, 0, _HEADER.unpack_from(like)[3]) + body


def _addresses(frame: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """Return service_type, TON and NPI, source, TON and NPI, destination (§4.6.1)."""
    service, rest = frame[16:].split(b"\0", 1)
    source, after = rest[2:].split(b"\0", 1)
    destination = after[2:].split(b"\0", 1)[0]
    return service, rest[:2], source, after[:2], destination
