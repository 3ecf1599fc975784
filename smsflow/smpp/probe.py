"""One careful try of a link, step by step: resolve, connect, TLS, bind, enquire_link, unbind.

Where the message centre connects to us, listen and outbind stand for connect and TLS.

What fails is told with its likely cause and the next thing to try, from a table. The bind is octet for octet what
the daemon sends. A deliver_sm that comes meanwhile is answered with ESME_RSYSERR, so that it comes again.

    async for step in probe(settings, None, timeout_s=10): …
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final

from smsflow.core.errors import RemoteViolation
from smsflow.smpp import codec
from smsflow.smpp.causes import Cause, find_cause
from smsflow.smpp.codec import (
    BindResp,
    DeliverSm,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    GenericNack,
    Outbind,
    Pdu,
    Tag,
    Unbind,
    UnbindResp,
    Undecodable,
    find_tlv,
)
from smsflow.smpp.link import Link, LinkSettings
from smsflow.smpp.statuses import Status, status_name

__all__ = ["STEPS", "Step", "probe"]

STEPS: Final = ("resolve", "connect", "listen", "outbind", "tls", "bind", "enquire_link", "unbind")
_OUTBOUND: Final = frozenset({"connect"})
_INBOUND: Final = frozenset({"listen", "outbind"})
_BIND_SEQUENCE: Final = 1
_READ_OCTETS: Final = 65_536


@dataclass(frozen=True, slots=True)
class Step:
    """How one step went, and what was seen. `ok` None: it was not tried. `cause` is of a failure."""

    name: str
    ok: bool | None
    took_s: float = 0.0
    detail: str = ""
    cause: Cause | None = None


class _Failed(Exception):
    """A step failed: `kind` is what `causes` knows it by, `detail` what was seen."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail


async def probe(settings: LinkSettings, tls: ssl.SSLContext | None, *, timeout_s: float) -> AsyncIterator[Step]:
    """Yield each step as it is done; after the first that fails, those that were not tried."""
    tried = _Probe(settings, tls)
    work: dict[str, Callable[[], Awaitable[str]]] = {
        "resolve": tried.resolve,
        "connect": lambda: tried.connect(timeout_s),
        "listen": tried.listen,
        "outbind": tried.await_outbind,
        "tls": tried.start_tls,
        "bind": tried.bind,
        "enquire_link": tried.enquire,
        "unbind": tried.unbind,
    }
    left_out = (_OUTBOUND if settings.outbind else _INBOUND) | ({"tls"} if tls is None else set())
    failed = False
    try:
        for name in STEPS:
            if name in left_out:
                continue
            if failed:
                yield Step(name, ok=None)
                continue
            began_s = perf_counter()
            try:
                # each address has its time; the step as a whole must not cut the second one off
                async with asyncio.timeout(None if name == "connect" else timeout_s):
                    detail = await work[name]()
            except (_Failed, TimeoutError) as failure:
                kind = failure.kind if isinstance(failure, _Failed) else "timeout"
                detail = failure.detail if isinstance(failure, _Failed) else f"no answer in {timeout_s:g} s"
                yield Step(
                    name, ok=False, took_s=perf_counter() - began_s, detail=detail, cause=find_cause(name, kind)
                )
                failed = True
            else:
                yield Step(name, ok=True, took_s=perf_counter() - began_s, detail=detail)
    finally:
        tried.close()


class _Probe:
    """The connection, as far as it has come. Each step returns what was seen, or raises _Failed."""

    def __init__(self, settings: LinkSettings, tls: ssl.SSLContext | None) -> None:
        self._settings = settings
        self._tls = tls
        self._framer = Framer(settings.name)
        self._addresses: list[str] = []
        self._frames: list[bytes] = []
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._came = asyncio.Event()

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._writer is not None:
            self._writer.transport.abort()

    async def resolve(self) -> str:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._settings.host, self._settings.port, type=socket.SOCK_STREAM)
        except socket.gaierror as error:
            raise _Failed(_name_of_gai(error), f"{self._settings.host}: {error.strerror}") from error
        self._addresses = list(dict.fromkeys(str(each[4][0]) for each in found))
        return ", ".join(self._addresses)

    async def connect(self, timeout_s: float) -> str:
        failures: list[_Failed] = []
        for address in self._addresses:
            where = f"{address}:{self._settings.port}"
            try:
                async with asyncio.timeout(timeout_s):
                    self._reader, self._writer = await asyncio.open_connection(address, self._settings.port)
            except TimeoutError:
                failures.append(_Failed("timeout", f"{where}: no answer in {timeout_s:g} s"))
            except OSError as error:
                failures.append(_Failed(_name_of_errno(error), f"{where}: {_words(error)}"))
            else:
                return f"{where} from {self._writer.get_extra_info('sockname')[0]}"
        raise _Failed(failures[0].kind, "; ".join(failure.detail for failure in failures))

    async def listen(self) -> str:
        """Listen where the daemon would."""
        host, port = self._settings.outbind or ("", 0)
        try:
            self._server = await asyncio.start_server(self._accept, host, port)
        except OSError as error:
            raise _Failed(_name_of_errno(error), f"{host}:{port}: {_words(error)}") from error
        return f"{host}:{port}"

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the first that comes from `host`; whoever says outbind is told our password."""
        peer = str(writer.get_extra_info("peername")[0]).removeprefix("::ffff:")
        if self._writer is not None or peer not in self._addresses:
            writer.transport.abort()
            return
        self._reader, self._writer = reader, writer
        self._came.set()

    async def await_outbind(self) -> str:
        """Wait for the centre to connect and to say outbind (SMPP v3.4 §2.2.1)."""
        await self._came.wait()
        while not isinstance(pdu := codec.decode(await self._read()), Outbind):
            self._answer(pdu)
        return f"from {self._connected().get_extra_info('peername')[0]}"

    async def start_tls(self) -> str:
        writer = self._connected()
        assert self._tls is not None  # noqa: S101 - the step is left out without it
        try:
            await writer.start_tls(self._tls, server_hostname=self._settings.server_name or self._settings.host)
        except (OSError, EOFError) as error:
            raise _tls_failure(error) from error
        session = writer.get_extra_info("ssl_object")
        until = (session.getpeercert() or {}).get("notAfter", "")
        return f"{session.version()} {session.cipher()[0]}" + (f", certificate until {until}" if until else "")

    async def bind(self) -> str:
        answer = await self._ask(
            Link(replace(self._settings, outbind=None), 0.0).data_to_send(), _BIND_SEQUENCE, BindResp
        )
        if not isinstance(answer, BindResp):
            raise _Failed(status_name(answer.status), f"generic_nack {status_name(answer.status)}")
        version = find_tlv(answer.tlvs, Tag.SC_INTERFACE_VERSION)
        shown = f"SMPP {version[0] >> 4}.{version[0] & 15}" if version else "no sc_interface_version"
        return f"as {self._settings.bind}; the centre is {answer.system_id!r}, {shown}"

    async def enquire(self) -> str:
        await self._ask(codec.encode(EnquireLink(sequence=2)), 2, EnquireLinkResp)
        return ""

    async def unbind(self) -> str:
        try:
            await self._ask(codec.encode(Unbind(sequence=3)), 3, UnbindResp)
        except _Failed as failure:
            if failure.kind not in ("closed", "ECONNRESET"):
                raise
            return "the centre closed without unbind_resp, which is harmless"
        return ""

    async def _ask(self, octets: bytes, sequence: int, answer: type[Pdu]) -> Pdu:
        """Send a request, and return its answer with status 0; whatever comes before it is answered."""
        self._connected().write(octets)
        while True:
            pdu = codec.decode(await self._read())
            if isinstance(pdu, answer | GenericNack) and pdu.sequence in (sequence, 0):
                if pdu.status or isinstance(pdu, GenericNack):
                    name = status_name(pdu.status)
                    nack = "generic_nack " if isinstance(pdu, GenericNack) else ""
                    raise _Failed(name, f"answered with {nack}{name}")
                return pdu
            self._answer(pdu)

    def _answer(self, pdu: Pdu) -> None:
        """Answer a request of the centre: a text must come again, when somebody is there to keep it."""
        writer = self._connected()
        match pdu:
            case EnquireLink():
                writer.write(codec.encode(EnquireLinkResp(sequence=pdu.sequence)))
            case DeliverSm():
                writer.write(codec.encode(codec.make_error(pdu, Status.RSYSERR)))
            case Undecodable() if pdu.is_request:
                writer.write(codec.encode(codec.make_error(pdu, Status.RSYSERR)))
            case Unbind():
                writer.write(codec.encode(UnbindResp(sequence=pdu.sequence)))
                raise _Failed("closed", "the centre sent unbind")
            case _:
                pass

    async def _read(self) -> bytes:
        """The next whole frame."""
        while not self._frames:
            try:
                octets = await self._reader.read(_READ_OCTETS)
            except ssl.SSLError as error:
                raise _tls_failure(error) from error
            except OSError as error:
                raise _Failed(_name_of_errno(error), _words(error)) from error
            if not octets:
                raise _Failed("closed", "the centre closed the connection")
            try:
                self._frames += self._framer.receive(octets)
            except RemoteViolation as violation:
                raise _Failed(_kind_of(octets), f"{violation.reason}; it began {octets[:16]!r}") from violation
        return self._frames.pop(0)

    def _connected(self) -> asyncio.StreamWriter:
        assert self._writer is not None  # noqa: S101 - the steps come in order
        return self._writer


def _kind_of(octets: bytes) -> str:
    """What speaks there instead of SMPP."""
    if octets[:2] in (b"\x15\x03", b"\x16\x03"):  # alert, handshake (RFC 8446 §5.1)
        return "tls_expected"
    return "http" if octets.startswith(b"HTTP/") else "not_smpp"


_VERIFY: Final = {
    10: "expired",
    **dict.fromkeys((18, 19, 20, 21), "self_signed"),
    **dict.fromkeys((62, 64), "hostname"),
}
"""X509_V_ERR_* of OpenSSL."""


def _tls_failure(error: OSError | EOFError) -> _Failed:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _Failed(_VERIFY.get(error.verify_code, "tls"), error.verify_message)
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        if reason in ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
            return _Failed("not_tls", reason)
        wanted = "CERTIFICATE" in reason or "HANDSHAKE_FAILURE" in reason
        return _Failed("client_certificate" if wanted else "tls", reason)
    if isinstance(error, ConnectionError | EOFError):
        return _Failed("closed", "the centre closed the connection during the handshake")
    return _Failed(_name_of_errno(error), _words(error))


def _name_of_gai(error: socket.gaierror) -> str:
    found = (name for name in dir(socket) if name.startswith("EAI_") and getattr(socket, name) == error.errno)
    name = next(found, "")
    return "EAI_NONAME" if name == "EAI_NODATA" else name


def _name_of_errno(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "")


def _words(error: OSError) -> str:
    """The system's own words; asyncio and uvloop each add theirs."""
    return os.strerror(error.errno) if error.errno else str(error)
