"""TLS towards a message centre: which certificates, and the context that `smpp.session` connects with."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TlsFiles", "make_context"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Whom to believe, and who we are; files are PEM.

    `ca` signs the message centre's certificate (None: whoever the system trusts); `cert` and `key` are ours, the
    key may stand in the same file. `name` must stand in its certificate ("": the link's host). Without `verify`
    anybody is believed: for tests only.
    """

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    verify: bool = True
    name: str = ""


def make_context(files: TlsFiles) -> ssl.SSLContext:
    """The context for a client.

    Raises: OSError (ssl.SSLError too) when a file cannot be read, is no PEM, or the key is not the certificate's.
    """
    context = ssl.create_default_context(cafile=str(files.ca) if files.ca else None)
    if files.cert:
        # An encrypted key is an error, not a question on the terminal of a daemon.
        context.load_cert_chain(files.cert, files.key, password=lambda: "")
    if not files.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
