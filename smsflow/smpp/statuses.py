"""The values of `command_status`, their names, and what each means for a text that we submitted.

SMPP v3.4 §5.1.3 holds the names; the verdicts are practice.

    >>> status_name(0x58), submit_verdict(0x58)
    ('ESME_RTHROTTLED', <Verdict.PAUSE: 'pause'>)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final

__all__ = ["Rule", "Status", "Verdict", "find_status", "status_name", "submit_rule", "submit_verdict"]


class Status(IntEnum):
    """SMPP v3.4 §5.1.3; the names there begin with `ESME_`."""

    ROK = 0x00
    RINVMSGLEN = 0x01
    RINVCMDLEN = 0x02
    RINVCMDID = 0x03
    RINVBNDSTS = 0x04
    RALYBND = 0x05
    RINVPRTFLG = 0x06
    RINVREGDLVFLG = 0x07
    RSYSERR = 0x08
    RINVSRCADR = 0x0A
    RINVDSTADR = 0x0B
    RINVMSGID = 0x0C
    RBINDFAIL = 0x0D
    RINVPASWD = 0x0E
    RINVSYSID = 0x0F
    RCANCELFAIL = 0x11
    RREPLACEFAIL = 0x13
    RMSGQFUL = 0x14
    RINVSERTYP = 0x15
    RINVNUMDESTS = 0x33
    RINVDLNAME = 0x34
    RINVDESTFLAG = 0x40
    RINVSUBREP = 0x42
    RINVESMCLASS = 0x43
    RCNTSUBDL = 0x44
    RSUBMITFAIL = 0x45
    RINVSRCTON = 0x48
    RINVSRCNPI = 0x49
    RINVDSTTON = 0x50
    RINVDSTNPI = 0x51
    RINVSYSTYP = 0x53
    RINVREPFLAG = 0x54
    RINVNUMMSGS = 0x55
    RTHROTTLED = 0x58
    RINVSCHED = 0x61
    RINVEXPIRY = 0x62
    RINVDFTMSGID = 0x63
    RX_T_APPN = 0x64
    RX_P_APPN = 0x65
    RX_R_APPN = 0x66
    RQUERYFAIL = 0x67
    RINVOPTPARSTREAM = 0xC0
    ROPTPARNOTALLWD = 0xC1
    RINVPARLEN = 0xC2
    RMISSINGOPTPARAM = 0xC3
    RINVOPTPARAMVAL = 0xC4
    RDELIVERYFAILURE = 0xFE
    RUNKNOWNERR = 0xFF


class Verdict(Enum):
    """What an answered submit_sm means for the text."""

    SENT = "sent"
    RETRY = "retry"
    """Submit it again later; how often is the caller's policy."""
    PAUSE = "pause"
    """The link pauses by itself; submit it again, before the texts that were queued after it."""
    REBIND = "rebind"
    """The message centre knows nothing of our bind: the link binds again; submit it then."""
    FINAL = "final"
    """The same text will be refused again."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows from one status of a submit_sm_resp.

    `times`: how often the text is refused so before it fails, 0 for any number. `pause_s`: before a RETRY, and
    twice as long before each further one; the first pause of the link on PAUSE, 0 for the link's own.
    """

    then: Verdict
    times: int = 0
    pause_s: float = 0.0


_SENT: Final = Rule(Verdict.SENT)
_PAUSE: Final = Rule(Verdict.PAUSE)
_REBIND: Final = Rule(Verdict.REBIND)
_RETRY: Final = Rule(Verdict.RETRY, times=5, pause_s=30.0)
_FINAL: Final = Rule(Verdict.FINAL)
_RULES: Final[Mapping[int, Rule]] = {
    Status.ROK: _SENT,
    Status.RTHROTTLED: _PAUSE,
    Status.RMSGQFUL: _PAUSE,
    Status.RSYSERR: _RETRY,
    Status.RINVBNDSTS: _REBIND,
    Status.RSUBMITFAIL: _RETRY,
    Status.RX_T_APPN: _RETRY,
    Status.RDELIVERYFAILURE: _RETRY,
    Status.RUNKNOWNERR: _RETRY,
}
_NO_RULES: Final[Mapping[int, Rule]] = {}
_NAMES: Final = {status.value: f"ESME_{status.name}" for status in Status}
_BY_NAME: Final = {name: status for status, name in _NAMES.items()}
_MOST: Final = 0xFFFFFFFF


def status_name(status: int) -> str:
    """Return the name of `status` by the specification, or its number in hexadecimal."""
    return _NAMES.get(status) or f"0x{status:08X}"


def find_status(word: str) -> int:
    """Return the status that `word` names: `ESME_RTHROTTLED`, or a number such as `0x58` or `88`.

    Raises:
        ValueError: it names none.
    """
    named = _BY_NAME.get(word.strip().upper())
    if named is not None:
        return named
    try:
        status = int(word, 0)
    except ValueError as error:
        raise ValueError(f"expected a status such as ESME_RTHROTTLED or 0x400, got {word!r}") from error
    if not 0 < status <= _MOST:
        raise ValueError(f"expected a status from 0x1 to 0xFFFFFFFF, got {word!r}")
    return status


def submit_rule(status: int, rules: Mapping[int, Rule] = _NO_RULES) -> Rule:
    """Return what follows from `status` in a submit_sm_resp: by the link's own `rules`, else by ours.

    A status that the specification does not name is a vendor's: most are temporary, so it is tried again.
    """
    rule = rules.get(status) or _RULES.get(status)
    if rule is not None:
        return rule
    return _FINAL if status in _NAMES else _RETRY


def submit_verdict(status: int, rules: Mapping[int, Rule] = _NO_RULES) -> Verdict:
    """Return what `status` in a submit_sm_resp means for the text."""
    return submit_rule(status, rules).then
