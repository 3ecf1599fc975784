"""What can go wrong, as types.

SmsflowError
├── ConfigError          the configuration cannot be used (all findings at once)
├── DialogError          a dialog cannot be used (all findings at once)
├── ReplyError           a mother's text is not a reply; never leaves the parser
├── LinkError            an SMPP session
│   ├── BindRefused      the message centre answered the bind with an error status
│   ├── LinkLost         the connection ended or went silent
│   ├── LocalViolation   we broke the protocol: a bug of ours
│   └── RemoteViolation  the message centre broke the protocol
└── StoreError           the database
    └── StaleConversation  somebody else moved the conversation in between

Errors hold facts as attributes; the sentence is made in `__str__`: what, where, what to do.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "BindRefused",
    "ConfigError",
    "DialogError",
    "Finding",
    "LinkError",
    "LinkLost",
    "LocalViolation",
    "RemoteViolation",
    "ReplyError",
    "SmsflowError",
    "StaleConversation",
    "StoreError",
]


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that is wrong in a file: where (1-based line and column), the trail to it, and what to do."""

    file: str
    line: int
    column: int
    trail: str
    problem: str

    def __str__(self) -> str:
        trail = f"{self.trail}: " if self.trail else ""
        return f"{self.file}:{self.line}:{self.column}: {trail}{self.problem}"


class SmsflowError(Exception):
    """Anything that smsflow raises on purpose."""


class _FindingsError(SmsflowError):
    """A text that cannot be used; `findings` holds every reason, in file order."""

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        super().__init__(findings)
        self.findings = tuple(sorted(findings))

    def __str__(self) -> str:
        return "\n".join(str(finding) for finding in self.findings)


class ConfigError(_FindingsError):
    """The configuration cannot be used."""


class DialogError(_FindingsError):
    """A dialog, or a list or text that it uses, cannot be used."""


class ReplyError(SmsflowError):
    """A text that is not a reply: `reason` (a name from `core.reply`) and `position` in the text (0-based)."""

    def __init__(self, reason: str, position: int) -> None:
        super().__init__(reason, position)
        self.reason = reason
        self.position = position

    def __str__(self) -> str:
        return f"not understood at character {self.position + 1}: {self.reason}"


class LinkError(SmsflowError):
    """Something about the SMPP session named `link`."""

    def __init__(self, link: str, reason: str) -> None:
        super().__init__(link, reason)
        self.link = link
        self.reason = reason

    def __str__(self) -> str:
        return f"link {self.link}: {self.reason}"


class BindRefused(LinkError):
    """The message centre answered the bind with `status` (SMPP v3.4 §5.1.3)."""

    def __init__(self, link: str, status: int, reason: str) -> None:
        super().__init__(link, reason)
        self.status = status

    def __str__(self) -> str:
        return f"link {self.link}: bind refused with status 0x{self.status:08X} ({self.reason})"


class LinkLost(LinkError):
    """The connection ended, or nothing was heard for too long."""


class LocalViolation(LinkError):
    """We were about to break the protocol; a bug of ours."""


class RemoteViolation(LinkError):
    """The message centre broke the protocol beyond what can be tolerated."""


class StoreError(SmsflowError):
    """The database cannot do what was asked."""


class StaleConversation(StoreError):
    """Case `case` has moved on since it was read at `version`; load it again and repeat."""

    def __init__(self, case: int, version: int) -> None:
        super().__init__(case, version)
        self.case = case
        self.version = version

    def __str__(self) -> str:
        return f"case {self.case} has moved on since version {self.version}; load it again and repeat"
