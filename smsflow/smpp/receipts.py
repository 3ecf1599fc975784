"""Delivery receipts: what became of a text that a message centre accepted.

A receipt is a deliver_sm or data_sm that says so in its header or its parameters; never by the look of its
text, for a mother may write anything. Once that is settled, its text (SMPP v3.4 Appendix B, in as many
spellings as there are vendors) is read for what the parameters leave out.

    >>> read_receipt(DeliverSm(esm_class=4, short_message=b"id:0A1F sub:001 dlvrd:001 stat:DELIVRD err:000"))
    Receipt(message_id='0A1F', state=<State.DELIVERED: 'delivered'>, error='000', other_id='')
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, NamedTuple

from smsflow.core.encoding import Alphabet, decode_received, is_gsm_coding
from smsflow.smpp.codec import DeliverSm, Tag, find_tlv
from smsflow.smpp.segments import read_part

__all__ = ["Ids", "Receipt", "State", "id_key", "id_keys", "read_receipt"]


class State(Enum):
    """What became of the text; all but UNDER_WAY are final."""

    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    UNDER_WAY = "under_way"


class Ids(Enum):
    """How a centre writes the id of a text in submit_sm_resp, and then in its receipt; the configuration's value.

    Where the parameters and the text of a receipt hold two ids, the one in the parameters is as in submit_sm_resp
    (SMPP v3.4 §5.3.2.12), and what is said here is true of the other.
    """

    AUTO = "auto"
    """The same, or else in the other base, whichever finds a text."""
    SAME = "same"
    HEX_DECIMAL = "hex-decimal"
    DECIMAL_HEX = "decimal-hex"


class Receipt(NamedTuple):
    """What a receipt says. Ids are as they came, and empty if there are none; `error` is the network's code.

    `other_id` is the id in the text where it differs from that in the parameters: some centres write one in
    hexadecimal and the other in decimal.
    """

    message_id: str
    state: State
    error: str = ""
    other_id: str = ""

    def find_keys(self, ids: Ids = Ids.AUTO) -> tuple[str, ...]:
        """Return `id_keys` of both ids, the likelier first; may be empty."""
        if not self.other_id:
            return id_keys(self.message_id, ids)
        if ids in (Ids.AUTO, Ids.SAME):
            return tuple(dict.fromkeys(id_keys(self.message_id, ids) + id_keys(self.other_id, ids)))
        return tuple(dict.fromkeys(id_keys(self.message_id, Ids.SAME) + id_keys(self.other_id, ids)))

    def find_own_keys(self, ids: Ids = Ids.AUTO) -> tuple[str, ...]:
        """Return those of `find_keys` that are no guess: nothing is read in another base unless `ids` says so."""
        return self.find_keys(Ids.SAME if ids is Ids.AUTO else ids)


_LONGEST_NUMBER: Final = 32
"""Digits of an id that is read as a number."""

# SMPP v3.4 §5.2.12: bits 5 to 2 of esm_class, message type.
_TYPE_BITS: Final = 0x3C
_INTERMEDIATE: Final = 0x20
_RECEIPT_TYPES: Final = frozenset({0x04, 0x08, 0x10, _INTERMEDIATE})

# SMPP v3.4 §5.2.28, and 0 and 9 of v5.0. ACCEPTED and UNKNOWN are followed by a final state or by nothing.
_STATES: Final = {
    0: State.UNDER_WAY,
    1: State.UNDER_WAY,
    2: State.DELIVERED,
    3: State.EXPIRED,
    4: State.FAILED,
    5: State.FAILED,
    6: State.UNDER_WAY,
    7: State.UNDER_WAY,
    8: State.FAILED,
    9: State.FAILED,
}
# SMPP v3.4 Appendix B, table B-2, by the first five letters: vendors abbreviate and spell out.
_WORDS: Final = {
    "DELIV": State.DELIVERED,
    "EXPIR": State.EXPIRED,
    "DELET": State.FAILED,
    "UNDEL": State.FAILED,
    "REJEC": State.FAILED,
    "FAILE": State.FAILED,
}
_FIELDS: Final = {
    name: re.compile(rf"(?<!\S){name}\s*:\s*([^\s:]+)(?=\s|$)", re.IGNORECASE) for name in ("id", "stat", "err")
}
# Appendix B to the letter, as most centres write it: what `_FIELDS` find there too, in a fifth of the time.
_USUAL: Final = re.compile(
    rb"id:([!-9;-~]+) sub:\d+ dlvrd:\d+ submit date:\d+ done date:\d+ stat:([A-Z]+) err:([0-9A-Za-z]+) [Tt]ext:"
)


def read_receipt(pdu: DeliverSm, alphabet: Alphabet = Alphabet.GSM) -> Receipt | None:
    """Return the receipt that `pdu` is, or None if it is a text from a phone; `alphabet` as in `segments`.

    The evidence is the message type in esm_class, or both receipted_message_id and message_state. A lone
    receipted_message_id is none: Kannel's drive_smpp sets it on ordinary texts.
    """
    kind = pdu.esm_class & _TYPE_BITS
    if kind not in _RECEIPT_TYPES and not pdu.tlvs:
        return None
    raw_id = find_tlv(pdu.tlvs, Tag.RECEIPTED_MESSAGE_ID)
    raw_state = find_tlv(pdu.tlvs, Tag.MESSAGE_STATE)
    if kind not in _RECEIPT_TYPES and not (raw_id and raw_state):
        return None
    fields = _read_fields(pdu, alphabet)
    # §5.3.2.12 says C-octet string; the NUL is often forgotten.
    tlv_id = raw_id.rstrip(b"\0").decode("latin-1").strip() if raw_id else ""
    message_id = tlv_id or fields["id"]
    return Receipt(
        message_id=message_id,
        state=_find_state(kind, raw_state, fields["stat"]),
        error=fields["err"],
        other_id=fields["id"] if fields["id"] != message_id else "",
    )


def _read_fields(pdu: DeliverSm, alphabet: Alphabet) -> dict[str, str]:
    """Return the id, stat and err of the receipt's text, each empty if it is not there."""
    _, octets = read_part(pdu)
    usual = _USUAL.match(octets) if is_gsm_coding(pdu.data_coding) else None
    if usual:
        return {name: usual[group].decode("ascii") for group, name in enumerate(_FIELDS, 1)}
    text = octets.decode("latin-1")
    if not (is_gsm_coding(pdu.data_coding) and _is_plain(_FIELDS["id"].search(text))):
        _, octets = read_part(pdu, alphabet)
        text = decode_received(pdu.data_coding, octets, alphabet)
    text = text.replace("\0", "")
    found = {name: pattern.search(text) for name, pattern in _FIELDS.items()}
    return {name: match[1] if match else "" for name, match in found.items()}


def _is_plain(message_id: re.Match[str] | None) -> bool:
    """Whether an id was written in ASCII, though data_coding says GSM: what differs there are control characters.

    Most centres write receipts so, also where texts are packed; by the GSM alphabet `_` would be `§`, and the id
    that of no text.
    """
    return message_id is not None and message_id[1].isascii() and message_id[1].isprintable()


def _find_state(kind: int, raw_state: bytes | None, word: str) -> State:
    """Return the state by the parameter, else by the word in the text; unknown ones are still under way."""
    if kind == _INTERMEDIATE:  # an intermediate notification is not final, whatever it says
        return State.UNDER_WAY
    if raw_state:
        return _STATES.get(raw_state[-1], State.UNDER_WAY)
    return _WORDS.get(word[:5].upper(), State.UNDER_WAY)


def id_key(message_id: str) -> str:
    """Return `message_id` as it is compared: case folded, without leading zeros."""
    folded = message_id.strip().casefold()
    return folded.lstrip("0") or folded[:1]


def id_keys(message_id: str, ids: Ids = Ids.AUTO) -> tuple[str, ...]:
    """Return what the id of a receipt may be called in the submit_sm_resp, the likelier first.

    They are to be looked for among `id_key` of the ids that came there: the id as it is, read as hexadecimal and
    written in decimal, and the other way round, as far as `ids` allows. Where it names a base, and the id is no
    number of it, the id stays as it is. Shape: no repetitions; empty for an empty id.
    """
    if not message_id:
        return ()
    key = id_key(message_id)
    if ids is Ids.SAME:
        return (key,)
    in_decimal, in_hex = _in_other_bases(key)
    match ids:
        case Ids.AUTO:
            keys = [key, *in_decimal, *in_hex]
        case Ids.HEX_DECIMAL:
            keys = in_hex or [key]
        case Ids.DECIMAL_HEX:
            keys = in_decimal or [key]
    return tuple(dict.fromkeys(keys))


def _in_other_bases(key: str) -> tuple[list[str], list[str]]:
    """`key` as a hexadecimal number written in decimal, and the other way round; each empty where it is none."""
    if len(key) > _LONGEST_NUMBER or not (key.isascii() and key.isalnum()):  # int() would take "_", "+" and blanks
        return [], []
    try:
        in_decimal = [str(int(key, 16))]
    except ValueError:
        return [], []
    return in_decimal, [f"{int(key):x}"] if key.isdigit() else []
