"""Octets to PDUs and back: the one place that knows smpplib.

smpplib's field tables say what a PDU holds; its parsing methods are replaced here, because message centres
send what the specification forbids (unknown and truncated optional parameters, C-strings without their NUL,
text beyond `sm_length`) and a reply must not be lost for that. What cannot be read even so becomes an
`Undecodable`, which holds enough to be answered.

The header (SMPP v3.4 §3.2) is ours: `Framer` cuts the stream, `decode` reads one frame, `encode` writes one.

    >>> encode(EnquireLink(sequence=7)).hex()
    '00000010000000150000000000000007'
    >>> decode(bytes.fromhex("00000010000000150000000000000007"))
    EnquireLink(sequence=7, status=0)

PDUs are named, and their fields spelled, as in the specification. Addresses are str (Latin 1, which reads
any octet); `short_message` is octets, taken from `message_payload` where that was used instead.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from operator import attrgetter
from typing import Any, Final, TypeAlias

from smpplib import command as smpplib

from smsflow.core.errors import LocalViolation, RemoteViolation
from smsflow.smpp.statuses import Status

__all__ = [
    "MAX_FRAME_OCTETS",
    "AlertNotification",
    "Bind",
    "BindMode",
    "BindReceiver",
    "BindReceiverResp",
    "BindResp",
    "BindTransceiver",
    "BindTransceiverResp",
    "BindTransmitter",
    "BindTransmitterResp",
    "CancelSm",
    "CancelSmResp",
    "DataSm",
    "DataSmResp",
    "DeliverSm",
    "DeliverSmResp",
    "EnquireLink",
    "EnquireLinkResp",
    "Framer",
    "GenericNack",
    "Outbind",
    "Pdu",
    "ReplaceSm",
    "ReplaceSmResp",
    "SmPdu",
    "SubmitSm",
    "SubmitSmResp",
    "Tag",
    "Tlvs",
    "Unbind",
    "UnbindResp",
    "Undecodable",
    "decode",
    "encode",
    "find_tlv",
    "make_error",
    "read_tlvs",
    "write_tlvs",
]

MAX_FRAME_OCTETS: Final = 64 * 1024
_HEADER: Final = struct.Struct(">LLLL")
_LENGTH: Final = struct.Struct(">L")
_TLV_HEADER: Final = struct.Struct(">HH")
_RESPONSE: Final = 0x80000000
_LONGEST_STRING_OCTETS: Final = 255

Tlvs: TypeAlias = tuple[tuple[int, bytes], ...]
"""Optional parameters as (tag, value) in the order in which they came; unknown tags included."""


class Tag(IntEnum):
    """Tags of the optional parameters that we read or write (SMPP v3.4 §5.3.2)."""

    RECEIPTED_MESSAGE_ID = 0x001E
    SAR_MSG_REF_NUM = 0x020C
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    SC_INTERFACE_VERSION = 0x0210
    MESSAGE_PAYLOAD = 0x0424
    MESSAGE_STATE = 0x0427


@dataclass(frozen=True, slots=True, kw_only=True)
class Pdu:
    """The header's part of every PDU; `raw` is the frame as it came, empty in what we make."""

    sequence: int = 0
    status: int = 0
    raw: bytes = field(default=b"", repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bind(Pdu):
    """What all three bind requests hold (§4.1)."""

    system_id: str = ""
    password: str = field(default="", repr=False)
    system_type: str = ""
    interface_version: int = 0x34
    addr_ton: int = 0
    addr_npi: int = 0
    address_range: str = ""


class BindReceiver(Bind):
    """§4.1.3."""

    __slots__ = ()


class BindTransmitter(Bind):
    """§4.1.1."""

    __slots__ = ()


class BindTransceiver(Bind):
    """§4.1.5."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BindResp(Pdu):
    """What all three answers to a bind hold (§4.1.2, §4.1.4, §4.1.6)."""

    system_id: str = ""
    tlvs: Tlvs = ()


class BindReceiverResp(BindResp):
    """§4.1.4."""

    __slots__ = ()


class BindTransmitterResp(BindResp):
    """§4.1.2."""

    __slots__ = ()


class BindTransceiverResp(BindResp):
    """§4.1.6."""

    __slots__ = ()


BindMode: TypeAlias = type[BindReceiver | BindTransmitter | BindTransceiver]


@dataclass(frozen=True, slots=True, kw_only=True)
class SmPdu(Pdu):
    """What submit_sm and deliver_sm hold (§4.4.1, §4.6.1)."""

    service_type: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""
    esm_class: int = 0
    protocol_id: int = 0
    priority_flag: int = 0
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    replace_if_present_flag: int = 0
    data_coding: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = field(default=b"", repr=False)
    tlvs: Tlvs = field(default=(), repr=False)


class SubmitSm(SmPdu):
    """§4.4.1."""

    __slots__ = ()


class DeliverSm(SmPdu):
    """§4.6.1: a text from a phone, or a receipt."""

    __slots__ = ()


class DataSm(DeliverSm):
    """§4.7.1: carries the same as deliver_sm; fields that it lacks keep their defaults."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitSmResp(Pdu):
    """§4.4.2: `message_id` is empty in an error, and from centres that give none."""

    message_id: str = ""


class DeliverSmResp(SubmitSmResp):
    """§4.6.2: `message_id` is unused."""

    __slots__ = ()


class DataSmResp(SubmitSmResp):
    """§4.7.2."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelSm(Pdu):
    """§4.9.1; smpplib lacks it."""

    service_type: str = ""
    message_id: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    dest_addr_ton: int = 0
    dest_addr_npi: int = 0
    destination_addr: str = ""


class CancelSmResp(Pdu):
    """§4.9.2."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceSm(Pdu):
    """§4.10.1; smpplib lacks it."""

    message_id: str = ""
    source_addr_ton: int = 0
    source_addr_npi: int = 0
    source_addr: str = ""
    schedule_delivery_time: str = ""
    validity_period: str = ""
    registered_delivery: int = 0
    sm_default_msg_id: int = 0
    short_message: bytes = field(default=b"", repr=False)


class ReplaceSmResp(Pdu):
    """§4.10.2."""

    __slots__ = ()


class EnquireLink(Pdu):
    """§4.11.1."""

    __slots__ = ()


class EnquireLinkResp(Pdu):
    """§4.11.2."""

    __slots__ = ()


class Unbind(Pdu):
    """§4.2.1."""

    __slots__ = ()


class UnbindResp(Pdu):
    """§4.2.2."""

    __slots__ = ()


class GenericNack(Pdu):
    """§4.3.1."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbind(Pdu):
    """§4.1.7: the message centre asks to be bound to. It has no answer; smpplib lacks it."""

    system_id: str = ""
    password: str = field(default="", repr=False)


class AlertNotification(Pdu):
    """§4.12.1; its body is not read. It has no answer."""

    __slots__ = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable(Pdu):
    """A frame that could not be read, though its boundaries are sound.

    `answer` is the status to answer with (`make_error`); it is not read from the frame.
    """

    command_id: int
    reason: str
    answer: int

    @property
    def is_request(self) -> bool:
        """Whether the other side waits for an answer (§3.2: bit 31 of command_id is clear)."""
        return not self.command_id & _RESPONSE


def find_tlv(tlvs: Tlvs, tag: int) -> bytes | None:
    """Return the value of the first optional parameter with `tag`, or None."""
    for candidate, value in tlvs:
        if candidate == tag:
            return value
    return None


def read_tlvs(octets: bytes, pos: int) -> Tlvs:
    """Return the whole optional parameters from `pos` on; the rest is padding (§3.3: ignore)."""
    tlvs: list[tuple[int, bytes]] = []
    while pos + _TLV_HEADER.size <= len(octets):
        tag, size = _TLV_HEADER.unpack_from(octets, pos)
        pos += _TLV_HEADER.size
        if pos + size <= len(octets):
            tlvs.append((tag, octets[pos : pos + size]))
        pos += size
    return tuple(tlvs)


def write_tlvs(tlvs: Tlvs) -> bytes:
    """Return the octets of `tlvs`."""
    return b"".join([_TLV_HEADER.pack(tag, len(value)) + value for tag, value in tlvs])


# ---------------------------------------------------------------------------------------------- framing


class Framer:
    """Cuts a stream of octets into frames, by `command_length` only (§3.2)."""

    def __init__(self, link: str) -> None:
        self._link = link
        self._buffer = b""

    @property
    def begun(self) -> bytes:
        """What has come of a frame that is not whole yet."""
        return self._buffer

    def receive(self, octets: bytes) -> Iterator[bytes]:
        """Yield each whole frame; what is left waits for the next call. Consume it to the end.

        Raises:
            RemoteViolation: `command_length` cannot be true, so the boundaries are lost: after the frames
                before it were yielded. Answer generic_nack ESME_RINVCMDLEN and close.
        """
        for *_, frame in self.cut(octets):
            yield frame

    def cut(self, octets: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        """As `receive`, but yield command_id, status and sequence too, which are read on the way."""
        buffer = self._buffer + octets if self._buffer else octets
        self._buffer = b""
        start, length = 0, len(buffer)
        while length - start >= _HEADER.size:
            size, command_id, status, sequence = _HEADER.unpack_from(buffer, start)
            if not _HEADER.size <= size <= MAX_FRAME_OCTETS:
                raise self._lost(size)
            if length - start < size:
                break
            yield command_id, status, sequence, buffer[start : start + size]
            start += size
        if _LENGTH.size <= length - start < _HEADER.size:  # enough to see that it cannot be true
            (size,) = _LENGTH.unpack_from(buffer, start)
            if not _HEADER.size <= size <= MAX_FRAME_OCTETS:
                raise self._lost(size)
        self._buffer = buffer[start:]

    def _lost(self, size: int) -> RemoteViolation:
        return RemoteViolation(self._link, f"command_length {size} is outside 16 … {MAX_FRAME_OCTETS}")


# --------------------------------------------------------------------------------------------- decoding


class _Malformed(Exception):
    """A mandatory field does not fit into the frame; `status` is the answer."""

    def __init__(self, reason: str, status: Status) -> None:
        super().__init__(reason)
        self.status = status


class _Tolerant:
    """smpplib's parsing with every read checked; mixed in before a smpplib command."""

    params: dict[str, Any]
    params_order: tuple[str, ...]
    mandatory: tuple[str, ...]
    tlvs: Tlvs = ()

    def _parse_int(self, name: str, data: bytes, pos: int) -> tuple[bytes, int]:
        end = pos + self.params[name].size
        if end > len(data):
            raise _Malformed(f"the body ends inside {name}", Status.RINVMSGLEN)
        setattr(self, name, int.from_bytes(data[pos:end], "big"))
        return data, end

    def _parse_string(self, name: str, data: bytes, pos: int) -> tuple[bytes, int]:
        end = data.find(b"\0", pos)
        if end < 0:
            # A string that ends the body needs no NUL to be unambiguous; in the middle it swallows the rest.
            if name != self.mandatory[-1]:
                raise _Malformed(f"{name} has no end", Status.RINVPARLEN)
            end = len(data)
        if end - pos > _LONGEST_STRING_OCTETS:
            raise _Malformed(f"{name} has {end - pos} octets", Status.RINVPARLEN)
        setattr(self, name, data[pos:end].decode("latin-1"))
        return data, min(end + 1, len(data))

    def _parse_ostring(self, name: str, data: bytes, pos: int) -> tuple[bytes, int]:
        # sm_length may promise more than there is: command_length is to be trusted, so take what is there.
        end = min(pos + getattr(self, self.params[name].len_field), len(data))
        setattr(self, name, data[pos:end])
        return data, end

    def parse_optional_params(self, data: bytes) -> None:
        self.tlvs = read_tlvs(data, 0)


def _make_reader(source: type[Any]) -> type[Any]:
    """Return `source`, a command of smpplib, with tolerant parsing and its mandatory fields named."""
    return type(f"_{source.__name__}", (_Tolerant, source), {"mandatory": _find_mandatory(source)})


def _find_mandatory(source: type[Any]) -> tuple[str, ...]:
    """Return the names of the mandatory fields of `source`, in the order of the body."""
    return tuple(name for name in source.params_order if name not in smpplib.consts.OPTIONAL_PARAMS)


def _read_body(reader: type[Any], frame: bytes) -> Any:  # noqa: ANN401 - smpplib has no types
    """Return a smpplib command whose attributes are the fields of `frame`.

    The constructor is passed over: it wants a client, and clears fifty attributes that parsing sets anyway.
    """
    body = object.__new__(reader)
    if len(frame) > _HEADER.size:
        body.parse_params(frame[_HEADER.size :])
    return body


def _make_request_decoder(pdu: type[Pdu], source: type[Any], *names: str) -> _Decoder:
    """Return the decoder of a request all of whose mandatory fields must be there."""
    reader = _make_reader(source)
    values = attrgetter(*names)
    last = reader.mandatory[-1]
    # A missing short_message is an empty one: sm_length before it is what must be there.
    needed = "sm_length" if last == "short_message" else last
    with_tlvs = issubclass(pdu, SmPdu)
    with_text = with_tlvs or last == "short_message"

    def decode_request(frame: bytes, sequence: int, status: int) -> Pdu:
        body = _read_body(reader, frame)
        if needed not in body.__dict__:
            raise _Malformed(f"the body ends before {needed}", Status.RINVMSGLEN)
        fields = dict(zip(names, values(body), strict=True))
        if with_tlvs:
            fields["tlvs"] = body.tlvs
        if with_text:
            fields["short_message"] = _find_octets(body)
        return pdu(sequence=sequence, status=status, raw=frame, **fields)

    return decode_request


def _find_octets(body: Any) -> bytes:  # noqa: ANN401 - smpplib has no types
    """Return the text's octets: message_payload if it holds any (§5.3.2.32), else short_message."""
    payload = find_tlv(body.tlvs, Tag.MESSAGE_PAYLOAD) if body.tlvs else None
    return payload or body.__dict__.get("short_message") or b""


def _make_response_decoder(pdu: type[Pdu], source: type[Any], name: str) -> _Decoder:
    """Return the decoder of a response with one string, which errors, and some centres, leave out.

    It reads anything: what was accepted must not be sent again because its id makes no sense.
    """
    reader = _make_reader(source)
    with_tlvs = issubclass(pdu, BindResp)

    def decode_response(frame: bytes, sequence: int, status: int) -> Pdu:
        try:
            body = _read_body(reader, frame)
        except _Malformed:
            return pdu(sequence=sequence, status=status, raw=frame)
        fields = {name: body.__dict__.get(name, "")}
        if with_tlvs:
            fields["tlvs"] = body.tlvs
        return pdu(sequence=sequence, status=status, raw=frame, **fields)

    return decode_response


def _make_header_decoder(pdu: type[Pdu]) -> _Decoder:
    """Return the decoder of a PDU whose body is empty, or of no interest."""

    def decode_header(frame: bytes, sequence: int, status: int) -> Pdu:
        return pdu(sequence=sequence, status=status, raw=frame)

    return decode_header


class _Outbind(smpplib.Command):  # type: ignore[misc]  # smpplib has no types
    params = {  # noqa: RUF012 - as smpplib wants it
        "system_id": smpplib.Param(type=str, max=16),
        "password": smpplib.Param(type=str, max=9),
    }
    params_order = ("system_id", "password")


_PARAMS: Final = smpplib.SubmitSM.params | {"message_id": smpplib.Param(type=str, max=65)}
_REPLACE: Final = (
    *("message_id", "source_addr_ton", "source_addr_npi", "source_addr"),
    *("schedule_delivery_time", "validity_period", "registered_delivery", "sm_default_msg_id"),
)
_CANCEL: Final = (
    *("service_type", "message_id", "source_addr_ton", "source_addr_npi", "source_addr"),
    *("dest_addr_ton", "dest_addr_npi", "destination_addr"),
)


class _CancelSM(smpplib.Command):  # type: ignore[misc]  # smpplib has no types
    params = _PARAMS
    params_order = _CANCEL


class _ReplaceSM(smpplib.SubmitSM):  # type: ignore[misc]  # smpplib has no types
    params = _PARAMS
    params_order = (*_REPLACE, "sm_length", "short_message")


_Decoder: TypeAlias = Callable[[bytes, int, int], Pdu]
_BIND: Final = (
    "system_id",
    "password",
    "system_type",
    "interface_version",
    "addr_ton",
    "addr_npi",
    "address_range",
)
_ADDRESSES: Final = (
    *("service_type", "source_addr_ton", "source_addr_npi", "source_addr"),
    *("dest_addr_ton", "dest_addr_npi", "destination_addr"),
    *("esm_class", "registered_delivery", "data_coding"),
)
_SM: Final = (
    *_ADDRESSES,
    *("protocol_id", "priority_flag", "schedule_delivery_time", "validity_period"),
    *("replace_if_present_flag", "sm_default_msg_id"),
)

# §5.1.2.1: command_id of everything that we send or understand.
_COMMAND_IDS: Final[dict[type[Pdu], int]] = {
    GenericNack: 0x80000000,
    BindReceiver: 0x00000001,
    BindReceiverResp: 0x80000001,
    BindTransmitter: 0x00000002,
    BindTransmitterResp: 0x80000002,
    SubmitSm: 0x00000004,
    SubmitSmResp: 0x80000004,
    DeliverSm: 0x00000005,
    DeliverSmResp: 0x80000005,
    Unbind: 0x00000006,
    UnbindResp: 0x80000006,
    ReplaceSm: 0x00000007,
    ReplaceSmResp: 0x80000007,
    CancelSm: 0x00000008,
    CancelSmResp: 0x80000008,
    BindTransceiver: 0x00000009,
    BindTransceiverResp: 0x80000009,
    Outbind: 0x0000000B,
    EnquireLink: 0x00000015,
    EnquireLinkResp: 0x80000015,
    AlertNotification: 0x00000102,
    DataSm: 0x00000103,
    DataSmResp: 0x80000103,
}
_RESPONSES: Final[dict[int, type[Pdu]]] = {
    command_id & ~_RESPONSE: pdu
    for pdu, command_id in _COMMAND_IDS.items()
    if command_id & _RESPONSE and pdu is not GenericNack
}
_SPECIAL_DECODERS: Final[dict[type[Pdu], _Decoder]] = {
    BindReceiver: _make_request_decoder(BindReceiver, smpplib.BindReceiver, *_BIND),
    BindTransmitter: _make_request_decoder(BindTransmitter, smpplib.BindTransmitter, *_BIND),
    BindTransceiver: _make_request_decoder(BindTransceiver, smpplib.BindTransceiver, *_BIND),
    BindReceiverResp: _make_response_decoder(BindReceiverResp, smpplib.BindReceiverResp, "system_id"),
    BindTransmitterResp: _make_response_decoder(BindTransmitterResp, smpplib.BindTransmitterResp, "system_id"),
    BindTransceiverResp: _make_response_decoder(BindTransceiverResp, smpplib.BindTransceiverResp, "system_id"),
    SubmitSm: _make_request_decoder(SubmitSm, smpplib.SubmitSM, *_SM),
    DeliverSm: _make_request_decoder(DeliverSm, smpplib.DeliverSM, *_SM),
    DataSm: _make_request_decoder(DataSm, smpplib.DataSM, *_ADDRESSES),
    Outbind: _make_request_decoder(Outbind, _Outbind, "system_id", "password"),
    CancelSm: _make_request_decoder(CancelSm, _CancelSM, *_CANCEL),
    ReplaceSm: _make_request_decoder(ReplaceSm, _ReplaceSM, *_REPLACE),
    SubmitSmResp: _make_response_decoder(SubmitSmResp, smpplib.SubmitSMResp, "message_id"),
    DeliverSmResp: _make_response_decoder(DeliverSmResp, smpplib.DeliverSMResp, "message_id"),
    DataSmResp: _make_response_decoder(DataSmResp, smpplib.DataSMResp, "message_id"),
}
_DECODERS: Final[dict[int, _Decoder]] = {
    command_id: _SPECIAL_DECODERS.get(pdu) or _make_header_decoder(pdu) for pdu, command_id in _COMMAND_IDS.items()
}


def decode(frame: bytes) -> Pdu:
    """Return the PDU in `frame`, one whole frame from `Framer`; `Undecodable` if it cannot be read."""
    _, command_id, status, sequence = _HEADER.unpack_from(frame)
    decoder = _DECODERS.get(command_id)
    if decoder is None:
        reason, answer = f"command_id 0x{command_id:08X} is unknown", Status.RINVCMDID
    else:
        try:
            return decoder(frame, sequence, status)
        except _Malformed as malformed:
            reason, answer = str(malformed), malformed.status
        except Exception as error:  # noqa: BLE001 - a bug of ours or of smpplib's must not cost the bind
            reason, answer = f"reading it failed: {type(error).__name__}", Status.RSYSERR
    return Undecodable(
        sequence=sequence, status=status, raw=frame, command_id=command_id, reason=reason, answer=answer
    )


def make_error(request: Pdu, status: int) -> Pdu:
    """Return the answer that refuses `request` with `status`: its own response, or generic_nack (§4.3)."""
    command_id = request.command_id if isinstance(request, Undecodable) else _COMMAND_IDS[type(request)]
    return _RESPONSES.get(command_id, GenericNack)(sequence=request.sequence, status=status)


# --------------------------------------------------------------------------------------------- encoding


# §4.1.1 allows a password of eight octets; some operators give longer ones.
_PASSWORD: Final = {"password": smpplib.Param(type=str, max=65)}


def _make_writer(source: type[Any], *names: str) -> tuple[type[Any], tuple[str, ...]]:
    """Return `source`, a command of smpplib, without optional parameters, and the fields that it takes."""
    params = source.params | (_PASSWORD if "password" in source.params else {})
    order = _find_mandatory(source)
    return type(f"_{source.__name__}", (source,), {"params": params, "params_order": order}), names


_WRITERS: Final[dict[type[Pdu], tuple[type[Any], tuple[str, ...]]]] = {
    BindReceiver: _make_writer(smpplib.BindReceiver, *_BIND),
    BindTransmitter: _make_writer(smpplib.BindTransmitter, *_BIND),
    BindTransceiver: _make_writer(smpplib.BindTransceiver, *_BIND),
    BindReceiverResp: _make_writer(smpplib.BindReceiverResp, "system_id"),
    BindTransmitterResp: _make_writer(smpplib.BindTransmitterResp, "system_id"),
    BindTransceiverResp: _make_writer(smpplib.BindTransceiverResp, "system_id"),
    SubmitSm: _make_writer(smpplib.SubmitSM, *_SM, "short_message"),
    DeliverSm: _make_writer(smpplib.DeliverSM, *_SM, "short_message"),
    DataSm: _make_writer(smpplib.DataSM, *_ADDRESSES),
    Outbind: _make_writer(_Outbind, "system_id", "password"),
    CancelSm: _make_writer(_CancelSM, *_CANCEL),
    ReplaceSm: _make_writer(_ReplaceSM, *_REPLACE, "short_message"),
    SubmitSmResp: _make_writer(smpplib.SubmitSMResp, "message_id"),
    DeliverSmResp: _make_writer(smpplib.DeliverSMResp, "message_id"),
    DataSmResp: _make_writer(smpplib.DataSMResp, "message_id"),
}
# "The … PDU Body is not returned if the command_status field contains a non-zero value" (§4.1.2, §4.4.2).
_BODILESS_ERRORS: Final = (BindReceiverResp, BindTransmitterResp, BindTransceiverResp, SubmitSmResp)


def encode(pdu: Pdu, sequence: int | None = None) -> bytes:
    """Return `pdu` as octets, under `sequence` if given, else under its own.

    Raises:
        LocalViolation: a field cannot be written as SMPP wants it; nothing was written.
    """
    body = b"" if pdu.status and type(pdu) in _BODILESS_ERRORS else _encode_body(pdu)
    command_id = _COMMAND_IDS[type(pdu)]
    number = pdu.sequence if sequence is None else sequence
    return _HEADER.pack(_HEADER.size + len(body), command_id, pdu.status, number) + body


def _encode_body(pdu: Pdu) -> bytes:
    """Return the body of `pdu`: mandatory fields by smpplib, then its optional parameters."""
    writer = _WRITERS.get(type(pdu))
    if writer is None:
        return b""
    source, names = writer
    command = object.__new__(source)
    command.__dict__.update((name, getattr(pdu, name)) for name in names)
    tlvs: Tlvs = getattr(pdu, "tlvs", ())
    if isinstance(pdu, SmPdu):
        tlvs = _place_text(pdu, command.__dict__)
    _check_fields(type(pdu).__name__, source.params, command.__dict__)
    body: bytes = command.generate_params()
    return body + write_tlvs(tlvs)


def _place_text(pdu: SmPdu, fields: dict[str, Any]) -> Tlvs:
    """Return the parameters of `pdu`, its text among them if `short_message` is not the place for it.

    "The sm_length field should be set to zero if using the message_payload parameter" (§5.3.2.32); data_sm has
    no other place.
    """
    carried = any(tag == Tag.MESSAGE_PAYLOAD for tag, _ in pdu.tlvs)
    if carried and "short_message" in fields:
        fields["short_message"] = b""
    if carried or "short_message" in fields or not pdu.short_message:
        return pdu.tlvs
    return (*pdu.tlvs, (Tag.MESSAGE_PAYLOAD, pdu.short_message))


def _check_fields(pdu: str, params: dict[str, Any], fields: dict[str, Any]) -> None:
    """Raise LocalViolation where smpplib would cut a field without a word, or fail in its own way."""
    for name, value in fields.items():
        param = params[name]
        if isinstance(value, int):
            sound = 0 <= value < 1 << 8 * param.size
        elif isinstance(value, bytes):
            sound = len(value) <= param.max
        else:
            sound = len(value) < param.max and value.isascii() and "\0" not in value
        if not sound:
            raise LocalViolation("encoder", f"{name} of {pdu} cannot be written as SMPP wants it")
