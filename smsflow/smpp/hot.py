"""The PDUs of every turn, without smpplib: a text in, its answer, a text out, its answer, a receipt in.

`decode` and `encode` do exactly what those of `smpp.codec` do, some ten times faster for what is usual in
submit_sm, deliver_sm and their answers. Whatever is not usual (a string without its end, a field at odds with
its length, a scheduled text, a value that cannot be written, any other PDU) is left to the codec, which is the
reference: nothing is refused here, and nothing is tolerated here.

    >>> decode(bytes.fromhex("0000001480000004000000000000000130413100"))
    SubmitSmResp(sequence=1, status=0, message_id='0A1')
"""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeAlias, TypeVar, cast

from smsflow.smpp import codec
from smsflow.smpp.codec import (
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    Pdu,
    SubmitSm,
    SubmitSmResp,
    Tag,
    find_tlv,
    read_tlvs,
    write_tlvs,
)

__all__ = ["decode", "decode_cut", "encode", "encode_deliver_sm_resp", "quick", "read_message_id"]

_HEADER: Final = struct.Struct(">LLLL")
_EMPTY_RESP: Final = struct.Struct(">LLLLx")
# From esm_class to sm_length (§4.4.1, §4.6.1), where schedule_delivery_time and validity_period are empty, each
# the octet of its NUL.
_MIDDLE: Final = struct.Struct("10B")
# From service_type to sm_length, likewise, then the text.
_SM_BODY: Final = b"%b\0%c%c%b\0%c%c%b\0%c%c%c\0\0%c%c%c%c%c%b"
_PAYLOAD: Final = int(Tag.MESSAGE_PAYLOAD)
# The three strings of an ordinary submit_sm or deliver_sm end before this place of the frame.
_STRINGS_END: Final = 128

_P = ParamSpec("_P")
_T = TypeVar("_T")
_Reader: TypeAlias = Callable[[bytes, int, int], Pdu | None]
_Writer: TypeAlias = Callable[[Any, int], bytes | None]


def decode(frame: bytes) -> Pdu:
    """Return the PDU in `frame`, as `codec.decode` does."""
    _, command_id, status, sequence = _HEADER.unpack_from(frame)
    return decode_cut(command_id, status, sequence, frame)


def decode_cut(command_id: int, status: int, sequence: int, frame: bytes) -> Pdu:
    """Return the PDU in `frame`, as `decode` does, from what `Framer.cut` yields."""
    reader = _READERS.get(command_id)
    pdu = reader(frame, sequence, status) if reader is not None else None
    return codec.decode(frame) if pdu is None else pdu


def read_message_id(frame: bytes) -> str | None:
    """Return the message_id of an answer whose body it is, and which need not be made for that; may be empty.

    None when it is not so simple, and `decode` must say.
    """
    last = len(frame) - 1
    if last > _STRINGS_END or (last > 15 and frame.find(0, 16) != last):
        return None
    return frame[16:last].decode("latin-1")


def encode(pdu: Pdu, sequence: int | None = None) -> bytes:
    """Return `pdu` as octets, under `sequence` if given, as `codec.encode` does.

    Raises:
        LocalViolation: a field cannot be written as SMPP wants it; nothing was written.
    """
    writer = _WRITERS.get(type(pdu))
    if writer is not None:
        try:
            octets = writer(pdu, pdu.sequence if sequence is None else sequence)
        except (struct.error, OverflowError):  # a number that has no room: the codec says which
            octets = None
        if octets is not None:
            return octets
    return codec.encode(pdu, sequence)


def encode_deliver_sm_resp(sequence: int, status: int) -> bytes:
    """Return the octets of DeliverSmResp(sequence=sequence, status=status), which need not be made for that."""
    return _EMPTY_RESP.pack(_EMPTY_RESP.size, 0x80000005, status, sequence)


def quick(kind: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return what makes a `kind`, a type of PDU, from the same keywords in a third of the time."""
    draft = _make_draft(kind)

    def become(pdu: Any) -> None:  # noqa: ANN401 - its class is what changes
        pdu.__class__ = kind

    fields = [(each.name, each.type, dataclasses.field(default=each.default)) for each in dataclasses.fields(draft)]
    thawed: Any = dataclasses.make_dataclass("_", fields, kw_only=True, namespace={"__post_init__": become})
    draft.__init__, draft.__post_init__ = thawed.__init__, become
    return draft  # type: ignore[no-any-return]  # what it makes is a `kind`


def _make_draft(kind: Callable[..., object]) -> Any:  # noqa: ANN401 - it is written to, which the PDUs' types forbid
    """Return a class of the same slots as `kind`, not frozen: what it makes becomes a `kind` by `__class__`.

    A frozen dataclass calls object.__setattr__ for each of its fields: 3 µs for a submit_sm, thrice what all the
    reading takes.
    """
    members = {"__slots__": (), "__setattr__": object.__setattr__, "__delattr__": object.__delattr__}
    return type("_Draft", (cast("type", kind),), members)


def _make_sm_reader(kind: type[SubmitSm | DeliverSm]) -> _Reader:
    """Return the reader of submit_sm or deliver_sm."""
    draft, new, unpack_middle = _make_draft(kind), object.__new__, _MIDDLE.unpack_from

    def read_sm(frame: bytes, sequence: int, status: int) -> Pdu | None:
        service_end = frame.find(0, 16)
        source_end = frame.find(0, service_end + 3)
        destination_end = frame.find(0, source_end + 3)
        text = destination_end + 11
        if not (0 < service_end < source_end < destination_end < _STRINGS_END and text <= len(frame)):
            return None
        pdu: Any = new(draft)
        (
            pdu.esm_class,
            pdu.protocol_id,
            pdu.priority_flag,
            scheduled,
            valid,
            pdu.registered_delivery,
            pdu.replace_if_present_flag,
            pdu.data_coding,
            pdu.sm_default_msg_id,
            sm_length,
        ) = unpack_middle(frame, destination_end + 1)
        end = text + sm_length
        if scheduled or valid:
            return None
        pdu.sequence = sequence
        pdu.status = status
        pdu.raw = frame
        pdu.service_type = frame[16:service_end].decode("latin-1")
        pdu.source_addr_ton = frame[service_end + 1]
        pdu.source_addr_npi = frame[service_end + 2]
        pdu.source_addr = frame[service_end + 3 : source_end].decode("latin-1")
        pdu.dest_addr_ton = frame[source_end + 1]
        pdu.dest_addr_npi = frame[source_end + 2]
        pdu.destination_addr = frame[source_end + 3 : destination_end].decode("latin-1")
        pdu.schedule_delivery_time = pdu.validity_period = ""
        pdu.short_message = frame[text:end]
        pdu.tlvs = ()
        if end < len(frame):
            pdu.tlvs = read_tlvs(frame, end)
            pdu.short_message = find_tlv(pdu.tlvs, _PAYLOAD) or pdu.short_message
        pdu.__class__ = kind
        return pdu  # type: ignore[no-any-return]  # it is a `kind` now

    return read_sm


def _make_resp_reader(kind: type[SubmitSmResp]) -> _Reader:
    """Return the reader of an answer with a message_id that ends the frame, or with none."""
    draft, new = _make_draft(kind), object.__new__

    def read_resp(frame: bytes, sequence: int, status: int) -> Pdu | None:
        message_id = read_message_id(frame)
        if message_id is None:
            return None
        pdu: Any = new(draft)
        pdu.sequence = sequence
        pdu.status = status
        pdu.raw = frame
        pdu.message_id = message_id
        pdu.__class__ = kind
        return pdu  # type: ignore[no-any-return]  # it is a `kind` now

    return read_resp


def _make_sm_writer(command_id: int) -> _Writer:
    """Return the writer of submit_sm or deliver_sm."""

    def write_sm(pdu: SubmitSm | DeliverSm, sequence: int) -> bytes | None:
        service, source, destination, text = (
            pdu.service_type,
            pdu.source_addr,
            pdu.destination_addr,
            pdu.short_message,
        )
        strings = service + source + destination
        if (
            not strings.isascii()
            or "\0" in strings
            or (len(service) > 5 or len(source) > 20 or len(destination) > 20 or len(text) > 254)
            or (pdu.schedule_delivery_time or pdu.validity_period)
        ):
            return None
        tlvs = b""
        if pdu.tlvs:
            if find_tlv(pdu.tlvs, _PAYLOAD) is not None:
                return None
            tlvs = write_tlvs(pdu.tlvs)
        body = _SM_BODY % (
            service.encode(),
            pdu.source_addr_ton,
            pdu.source_addr_npi,
            source.encode(),
            pdu.dest_addr_ton,
            pdu.dest_addr_npi,
            destination.encode(),
            pdu.esm_class,
            pdu.protocol_id,
            pdu.priority_flag,
            pdu.registered_delivery,
            pdu.replace_if_present_flag,
            pdu.data_coding,
            pdu.sm_default_msg_id,
            len(text),
            text,
        )
        return _HEADER.pack(16 + len(body) + len(tlvs), command_id, pdu.status, sequence) + body + tlvs

    return write_sm


def _write_submit_sm_resp(pdu: SubmitSmResp, sequence: int) -> bytes | None:
    """Return the octets of a submit_sm_resp that says yes."""
    message_id = pdu.message_id
    if pdu.status or len(message_id) > 64 or not message_id.isascii() or "\0" in message_id:
        return None
    return _HEADER.pack(17 + len(message_id), 0x80000004, 0, sequence) + message_id.encode() + b"\0"


# By command_id (§5.1.2.1). data_sm, and all that comes once in a while, is the codec's.
_READERS: Final[dict[int, _Reader]] = {
    0x00000004: _make_sm_reader(SubmitSm),
    0x00000005: _make_sm_reader(DeliverSm),
    0x80000004: _make_resp_reader(SubmitSmResp),
    0x80000005: _make_resp_reader(DeliverSmResp),
    0x80000103: _make_resp_reader(DataSmResp),
}
_WRITERS: Final[dict[type[Pdu], _Writer]] = {
    SubmitSm: _make_sm_writer(0x00000004),
    DeliverSm: _make_sm_writer(0x00000005),
    SubmitSmResp: _write_submit_sm_resp,
}
