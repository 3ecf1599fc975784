"""The values of `command_status`, their names, and what each means for a text that we submitted.

SMPP v3.4 §5.1.3 holds the names; the verdicts are practice.

    >>> status_name(0x58), submit_verdict(0x58)
    ('ESME_RTHROTTLED', <Verdict.PAUSE: 'pause'>)
"""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import Final

__all__ = ["Status", "Verdict", "status_name", "submit_verdict"]


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
    FINAL = "final"
    """The same text will be refused again."""


_VERDICTS: Final = {
    Status.ROK: Verdict.SENT,
    Status.RTHROTTLED: Verdict.PAUSE,
    Status.RMSGQFUL: Verdict.PAUSE,
    Status.RSYSERR: Verdict.RETRY,
    Status.RINVBNDSTS: Verdict.RETRY,
    Status.RSUBMITFAIL: Verdict.RETRY,
    Status.RX_T_APPN: Verdict.RETRY,
    Status.RDELIVERYFAILURE: Verdict.RETRY,
    Status.RUNKNOWNERR: Verdict.RETRY,
}
_NAMES: Final = {status.value: f"ESME_{status.name}" for status in Status}


def status_name(status: int) -> str:
    """Return the name of `status` by the specification, or its number in hexadecimal."""
    return _NAMES.get(status) or f"0x{status:08X}"


def submit_verdict(status: int) -> Verdict:
    """Return what `status` in a submit_sm_resp means for the text.

    A status that the specification does not name is a vendor's: most are temporary, so it is tried again.
    """
    try:
        return _VERDICTS.get(Status(status), Verdict.FINAL)
    except ValueError:
        return Verdict.RETRY
