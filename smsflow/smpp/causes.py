"""Why a step of `smpp.probe` fails, and what to try next: a table by step and by what was seen.

What was seen is the name of a status, of an errno, or of one of the probe's own findings (`timeout`, `closed` …).

    >>> find_cause("bind", "ESME_RINVSYSID").likely
    'the system_id is not known there'
"""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["Cause", "find_cause"]


class Cause(NamedTuple):
    """What is likely, and the next thing to try, in words for an operator."""

    likely: str
    advice: str


_CAUSES: Final[dict[tuple[str, str], Cause]] = {
    ("resolve", "EAI_NONAME"): Cause(
        "there is no such name",
        "compare `host` with the operator's letter; try `getent hosts NAME`; a name of a private network "
        "needs its VPN and its DNS",
    ),
    ("resolve", "EAI_AGAIN"): Cause(
        "no name server answers",
        "look at /etc/resolv.conf and the network; meanwhile write the address instead of the name into `host`",
    ),
    ("connect", "ECONNREFUSED"): Cause(
        "the machine is there, and nothing listens on this port; or a firewall refuses us",
        "compare `port` with the operator's letter; ask whether the centre is up and whether our address "
        "is allowed",
    ),
    ("connect", "timeout"): Cause(
        "a firewall drops our packets: our address is not allowed there, or the VPN is down",
        "look at the VPN; tell the operator the address that we come from, and ask to allow it for this port",
    ),
    ("connect", "EHOSTUNREACH"): Cause(
        "no route to that machine",
        "look at the VPN and the routes: `ip route get ADDRESS`",
    ),
    ("connect", "ENETUNREACH"): Cause(
        "no route to that network",
        "look at the VPN and the routes: `ip route get ADDRESS`",
    ),
    ("listen", "EADDRINUSE"): Cause(
        "the daemon is up, and listens there itself",
        "`smsflow link list` says whether the centre has come; to try without the daemon, stop it first",
    ),
    ("listen", "EADDRNOTAVAIL"): Cause(
        "this machine does not have that address",
        "write one of ours into `outbind`, or 0.0.0.0 for all: `ip address`",
    ),
    ("outbind", "timeout"): Cause(
        "the centre did not come: it does when it has something for us; or it cannot reach us, or is not `host`",
        "write to our number from a phone and wait longer, `--timeout 300`; compare `host` and `outbind` with what "
        "the operator has, and look at the firewall",
    ),
    ("tls", "not_tls"): Cause(
        "the centre does not speak TLS on this port",
        "ask the operator for the port with TLS, or leave `tls` out if the line is private",
    ),
    ("tls", "self_signed"): Cause(
        "the certificate is signed by nobody whom this machine trusts",
        "ask the operator for the certificate of its authority, and name the file in `tls: {ca: FILE}`",
    ),
    ("tls", "expired"): Cause(
        "the centre's certificate has expired",
        "ask the operator to renew it; look at our clock: `date`",
    ),
    ("tls", "hostname"): Cause(
        "the certificate is for another name",
        "write the name that stands in it into `tls: {name: NAME}`, if the operator confirms that it is theirs",
    ),
    ("tls", "client_certificate"): Cause(
        "the centre wants a certificate of ours",
        "name the files in `tls: {cert: FILE, key: FILE}`",
    ),
    ("tls", "closed"): Cause(
        "the centre does not speak TLS on this port, or refuses our address or certificate",
        "ask the operator for the port with TLS, and whether our address and certificate are known there",
    ),
    ("tls", "timeout"): Cause(
        "the centre does not speak TLS on this port: it waits for SMPP",
        "ask the operator for the port with TLS, or leave `tls` out if the line is private",
    ),
    ("tls", "tls"): Cause(
        "the two sides agree on no version or cipher of TLS",
        "tell the operator the words above",
    ),
    ("bind", "timeout"): Cause(
        "something accepts connections and does not speak SMPP as we do: TLS is expected, a proxy without "
        "its centre, or this kind of bind is not known there",
        "try with `tls`; ask for the kind of bind and set `bind`; ask whether the centre itself is up "
        "behind its proxy",
    ),
    ("bind", "closed"): Cause(
        "the centre does not want us: our address is not allowed, TLS is expected, or too many binds",
        "tell the operator the address that we come from; try with `tls`; ask how many binds we may have",
    ),
    ("bind", "tls_expected"): Cause(
        "the centre speaks TLS on this port",
        "set `tls`",
    ),
    ("bind", "http"): Cause(
        "a web server listens there",
        "compare `host` and `port` with the operator's letter",
    ),
    ("bind", "not_smpp"): Cause(
        "what listens there does not speak SMPP",
        "compare `host` and `port` with the operator's letter",
    ),
    ("bind", "ESME_RINVPASWD"): Cause(
        "the password is wrong, or was changed",
        "compare `password` with the operator's letter, letter by letter; at most 8 characters by the "
        "specification",
    ),
    ("bind", "ESME_RINVSYSID"): Cause(
        "the system_id is not known there",
        "compare `system_id` with the operator's letter",
    ),
    ("bind", "ESME_RBINDFAIL"): Cause(
        "the centre refuses without saying why: wrong name or password, account locked, this kind of bind "
        "not allowed, address not allowed, or too many binds",
        "compare all of the link with the operator's letter; then ask what their log says at this minute",
    ),
    ("bind", "ESME_RALYBND"): Cause(
        "we are bound already: by the running daemon, or by a connection that died and that the centre "
        "still believes in",
        "if the daemon is bound (`smsflow link list`), all is well; else wait two minutes, then ask to "
        "drop the old bind",
    ),
    ("bind", "ESME_RINVSYSTYP"): Cause(
        "the system_type is wrong",
        "ask the operator for it and set `system_type`",
    ),
    ("bind", "ESME_RINVBNDSTS"): Cause(
        "this kind of bind is not allowed",
        "ask which one is, and set `bind`",
    ),
    ("bind", "ESME_RINVCMDID"): Cause(
        "this kind of bind is not known there",
        "set `bind: receiver+transmitter`",
    ),
    ("bind", "ESME_RTHROTTLED"): Cause(
        "too many binds in a short time",
        "wait some minutes; look whether two daemons use the same account",
    ),
    ("bind", "ESME_RSYSERR"): Cause(
        "the centre has trouble of its own",
        "try again in some minutes, then ask the operator",
    ),
    ("bind", "ESME_RINVCMDLEN"): Cause(
        "the centre finds our bind too long",
        "look whether `system_id` (15), `password` (8) or `system_type` (12) are longer than the "
        "specification allows",
    ),
    ("bind", "status"): Cause(
        "a status that is the operator's own, or does not belong here",
        "look for it in the operator's letter, or ask what it means",
    ),
    ("enquire_link", "timeout"): Cause(
        "the centre has bound us and is silent: overloaded, or it does not answer enquire_link before traffic",
        "try again; then ask the operator, because the daemon would cut such a link",
    ),
    ("enquire_link", "closed"): Cause(
        "the centre ends the session right after the bind: too many binds, or another one of ours took its place",
        "look whether two daemons use the same account; ask how many binds we may have",
    ),
    ("enquire_link", "status"): Cause(
        "the centre does not know enquire_link",
        "ask the operator; any PDU counts as life for the daemon, so it may work under traffic",
    ),
    ("unbind", "timeout"): Cause(
        "the centre does not answer unbind",
        "nothing, if all the rest works; it may believe for a while that we are bound (ESME_RALYBND)",
    ),
    ("", "ECONNRESET"): Cause(
        "the centre, or a firewall in between, cuts the connection",
        "tell the operator the address that we come from and the minute, and ask what their log says",
    ),
    ("", "closed"): Cause(
        "the centre closed the connection",
        "tell the operator the minute, and ask what their log says",
    ),
    ("", "timeout"): Cause(
        "no answer in time",
        "try with a longer --timeout; then ask the operator",
    ),
    ("", ""): Cause(
        "not known",
        "tell the operator the words above and the minute",
    ),
}
"""By (step, what was seen); "" is any step, or anything else."""


def find_cause(step: str, seen: str) -> Cause:
    """Return the likely cause of what was `seen` in `step`."""
    others = ((step, "status"),) if seen.startswith(("ESME_", "0x")) else ()
    keys = ((step, seen), *others, ("", seen), ("", ""))
    return next(_CAUSES[key] for key in keys if key in _CAUSES)
