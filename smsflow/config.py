"""The configuration file as `Settings`, or every reason why not, each with file:line:col (design.md §6).

Relative paths are relative to the file. A secret is a text, `{env: NAME}` or `{file: PATH}`. What is right
by itself is checked by the pydantic models; what needs the disk, the environment or two places at once is
checked over the document, so that one mistake never hides another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from smsflow.core.document import Document, read_document, validate
from smsflow.core.document import Path as Trail
from smsflow.core.durations import parse_duration
from smsflow.core.errors import ConfigError, Finding
from smsflow.core.hours import QuietHours
from smsflow.core.syntax import explain_unreadable
from smsflow.smpp.statuses import Rule, Verdict, find_status
from smsflow.store.outbox import OnDoubt
from smsflow.tls import TlsFiles, make_context

__all__ = ["ApiConfig", "Client", "GatewayConfig", "LinkConfig", "Right", "Settings", "load_config"]


class Right(Enum):
    """What a client of the HTTP API may do."""

    BIRTHS = "births"
    CITIZENS = "citizens"
    EVENTS = "events"
    READ = "read"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """One connection to a message centre. `window` in PDUs; `tps` in PDUs a second, 0 = no limit.

    `source` and `destination` are (TON, NPI); `outbind` is (host, port) to listen on.
    """

    name: str
    host: str
    port: int
    system_id: str
    password: str = field(repr=False)
    bind: str = "transceiver"  # or "receiver+transmitter"
    window: int = 64
    tps: int = 100
    tls: TlsFiles | None = None
    system_type: str = ""
    address_range: str = ""
    source: tuple[int, int] = (0, 0)
    destination: tuple[int, int] = (1, 1)
    alphabet: str = "gsm"  # what data_coding 0 means: gsm, gsm-packed, latin1, ascii, utf8
    long_texts: str = "udh8"  # udh8, udh16, sar, payload
    message_ids: str = "auto"  # in submit_sm_resp and in receipts: auto, same, hex-decimal, decimal-hex
    udh: str = "flag"  # how a header of a part that comes in is known: flag, guess
    enquire_link_s: float = 30.0
    response_timeout_s: float = 30.0
    statuses: Mapping[int, Rule] = field(default_factory=dict)
    prefixes: tuple[str, ...] = ()
    outbind: tuple[str, int] | None = None
    on_doubt: OnDoubt = field(default_factory=OnDoubt)


@dataclass(frozen=True, slots=True)
class Client:
    """Somebody who may call the HTTP API: by what token, to do what."""

    name: str
    token: str = field(repr=False)
    rights: frozenset[Right] = frozenset()


@dataclass(frozen=True, slots=True)
class ApiConfig:
    """Where the HTTP API listens, and for whom."""

    host: str
    port: int
    clients: tuple[Client, ...]


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Where applications of one kind go."""

    url: str
    token: str | None = field(default=None, repr=False)
    timeout_s: float = 15.0


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole configuration, checked. Paths are absolute; `quiet` is None when nothing is ever quiet.

    `retention` is for how long a case is kept after its end, None for ever.
    """

    file: Path
    store_path: Path
    dialogs: Path
    number: str
    zone: ZoneInfo
    quiet: QuietHours | None
    links: tuple[LinkConfig, ...]
    parts_timeout: timedelta = timedelta(minutes=10)
    retention: timedelta | None = None
    api: ApiConfig | None = None
    gateways: Mapping[str, GatewayConfig] = field(default_factory=dict)


def load_config(path: Path, environ: Mapping[str, str], *, need_secrets: bool = True) -> Settings:
    """The settings in file `path`. Raises: ConfigError with everything that is wrong.

    Without `need_secrets` a secret that cannot be found is "": enough to read the store, or to call the daemon.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        place, problem = explain_unreadable(error)
        raise ConfigError((Finding(str(path), *place, "", problem),)) from error
    document = read_document(text, str(path))
    if not document.is_readable:
        raise ConfigError(document.findings)
    model, findings = validate(_Config, document)
    secrets, missing = _resolve_secrets(document, path.parent, environ)
    if need_secrets:
        findings += missing
    findings += [*document.findings, *_disk_findings(document, path.parent), *_repeats(document, secrets)]
    if model is None or findings:
        raise ConfigError(tuple(dict.fromkeys(findings)))
    return _settings(model, path, secrets)


# --- the shape of the file --------------------------------------------------------------------------------


def _secret(value: object) -> object:
    """The shape of a secret; what it stands for is looked up by `_resolve_secrets`."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in ("env", "file"):
        value = next(iter(value.values()))
    if not isinstance(value, str):
        raise ValueError("expected a text, {env: NAME} or {file: PATH}")  # noqa: TRY004 - pydantic wants this one
    if not value:
        raise ValueError("must not be empty; expected a text, {env: NAME} or {file: PATH}")
    return value


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"expected a time zone such as Asia/Almaty, got {name!r}") from error
    return name


def _clock(text: str) -> str:
    try:
        datetime.strptime(text, "%H:%M")  # noqa: DTZ007 - a time of day has no zone
    except ValueError as error:
        raise ValueError(f'expected a time of day such as "21:00", got {text!r}') from error
    return text


def _timeout(words: str) -> str:
    duration = parse_duration(words)
    if duration.working_days or not duration.seconds:
        raise ValueError(f"expected a duration such as 15s, got {words!r}")
    return words


def _retention(words: str) -> str:
    duration = parse_duration(words)
    if duration.seconds < _RETENTION_LEAST_S:
        raise ValueError(
            f"expected 365 days or more, such as 1095 days, got {words!r}: births are recorded up to a year late,"
            " and one that was forgotten cannot be told from a new one"
        )
    return words


def _short_number(digits: str) -> str:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 20):  # SMPP v3.4 §5.2.8
        raise ValueError(f'expected the short number in digits, such as "1414", got {digits!r}')
    return digits


def _store_url(url: str) -> str:
    if not url.startswith("sqlite:///") or url.endswith("/"):
        raise ValueError(f"expected sqlite:///FILE (relative) or sqlite:////FILE (absolute), got {url!r}")
    return url


def _status(word: str) -> str:
    find_status(word)
    return word


def _prefix(digits: str) -> str:
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(f'expected the first digits of phones, such as "7701", got {digits!r}')
    return digits


def _tls(value: object) -> object:
    if isinstance(value, dict):
        return value
    if value in ("true", "false"):
        return {} if value == "true" else None
    raise ValueError(f"expected true, false or {{ca: FILE, cert: FILE, key: FILE, verify: true}}, got {value!r}")


def _on_doubt(value: object) -> object:
    if isinstance(value, dict | _OnDoubt):
        return value
    if value in ("resend", "hold"):
        return {"questions": value, "notices": value}
    raise ValueError(
        f"expected resend, hold or {{questions: resend, notices: hold, replace: false}}, got {value!r}"
    )


def _listen(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and 1 <= int(port) <= _PORT_MAX):
        raise ValueError(f"expected HOST:PORT with a port from 1 to {_PORT_MAX}, got {text!r}")
    return text


def _http_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"expected an address such as https://host/path, got {url!r}")
    return url


def _quiet(value: object) -> object:
    if isinstance(value, dict) or value == "none":
        return None if value == "none" else value
    raise ValueError(f'expected {{from: "21:00", to: "09:00", weekends: true}} or none, got {value!r}')


def _text(check: Callable[[str], str]) -> AfterValidator:
    return AfterValidator(check)


_PORT_MAX = 65_535
_RETENTION_LEAST_S = 365 * 86_400
Word = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Port = Annotated[int, Field(ge=1, le=_PORT_MAX)]
Secret = Annotated[str, BeforeValidator(_secret)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Quiet(_Model):
    from_: Annotated[str, _text(_clock)] = Field(alias="from")
    to: Annotated[str, _text(_clock)]
    weekends: bool = True

    @model_validator(mode="after")
    def _differ(self) -> _Quiet:
        if self.from_ == self.to:
            raise ValueError("from and to are the same; for no quiet hours write `quiet: none`")
        return self


class _Tls(_Model):
    ca: Word | None = None
    cert: Word | None = None
    key: Word | None = None
    verify: bool = True
    name: Word | None = None

    @model_validator(mode="after")
    def _key_has_certificate(self) -> _Tls:
        if self.key and not self.cert:
            raise ValueError("a key needs its certificate: add cert: FILE")
        return self


class _Address(_Model):
    ton: Annotated[int, Field(ge=0, le=255)]  # SMPP v3.4 §5.2.5
    npi: Annotated[int, Field(ge=0, le=255)]  # §5.2.6


class _Rule(_Model):
    then: Literal["retry", "final", "pause"]
    times: Annotated[int, Field(ge=0)] | None = None
    pause: Annotated[str, _text(_timeout)] | None = None


class _OnDoubt(_Model):
    questions: Literal["resend", "hold"] = "resend"
    notices: Literal["resend", "hold"] = "resend"
    replace: bool = False


class _Link(_Model):
    name: Word
    host: Word
    port: Port
    system_id: Annotated[str, StringConstraints(min_length=1, max_length=15)]  # SMPP v3.4 §4.1.1
    password: Secret
    bind: Literal["transceiver", "receiver+transmitter"] = "transceiver"
    window: Annotated[int, Field(ge=1)] = 64
    tps: Annotated[int, Field(ge=0)] = 100
    tls: Annotated[_Tls | None, BeforeValidator(_tls)] = None
    system_type: Annotated[str, StringConstraints(max_length=12)] = ""  # SMPP v3.4 §5.2.3
    address_range: Annotated[str, StringConstraints(max_length=40)] = ""  # §5.2.7
    source: _Address = _Address(ton=0, npi=0)
    destination: _Address = _Address(ton=1, npi=1)
    alphabet: Literal["gsm", "gsm-packed", "latin1", "ascii", "utf8"] = "gsm"
    long_texts: Literal["udh8", "udh16", "sar", "payload"] = "udh8"
    message_ids: Literal["auto", "same", "hex-decimal", "decimal-hex"] = "auto"
    udh: Literal["flag", "guess"] = "flag"
    enquire_link: Annotated[str, _text(_timeout)] = "30s"
    response_timeout: Annotated[str, _text(_timeout)] = "30s"
    statuses: dict[Annotated[str, _text(_status)], _Rule] = {}
    prefixes: list[Annotated[str, _text(_prefix)]] = []
    outbind: Annotated[str, _text(_listen)] | None = None
    on_doubt: Annotated[_OnDoubt, BeforeValidator(_on_doubt)] = _OnDoubt()

    @model_validator(mode="after")
    def _outbind_is_plain(self) -> _Link:
        if self.outbind and self.tls:
            raise ValueError("outbind cannot have tls: put a tunnel such as stunnel before it")
        return self


class _Client(_Model):
    name: Word
    token: Secret
    may: Annotated[list[Right], Field(min_length=1)]


class _Api(_Model):
    listen: Annotated[str, _text(_listen)]
    clients: Annotated[list[_Client], Field(min_length=1)]


class _Gateway(_Model):
    url: Annotated[str, _text(_http_url)]
    token: Secret | None = None
    timeout: Annotated[str, _text(_timeout)] = "15s"


class _Config(_Model):
    store: Annotated[str, _text(_store_url)]
    dialogs: Word
    number: Annotated[str, _text(_short_number)]
    zone: Annotated[str, _text(_zone)]
    quiet: Annotated[_Quiet | None, BeforeValidator(_quiet)]
    links: Annotated[list[_Link], Field(min_length=1)]
    parts_timeout: Annotated[str, _text(_timeout)] = "10m"
    retention: Annotated[str, _text(_retention)] | None = None
    api: _Api | None = None
    gateways: dict[Word, _Gateway] = {}


# --- what needs the disk, the environment, or two places at once ------------------------------------------

_SECRETS = frozenset({"password", "token"})


def _resolve_secrets(
    document: Document, folder: Path, environ: Mapping[str, str]
) -> tuple[dict[Trail, str], list[Finding]]:
    """Every secret of the document by its path, and those that are not where they should be."""
    secrets: dict[Trail, str] = {}
    findings: list[Finding] = []
    for path in document.places:
        value = _at(document, path)
        if not path or path[-1] not in _SECRETS or isinstance(value, list):
            continue
        if isinstance(value, str):
            secrets[path] = value
            continue
        for kind, name in (value or {}).items():
            found, problem = _look_up(kind, str(name), folder, environ)
            if problem:
                findings.append(document.finding((*path, kind), problem))
            secrets[path] = found
    return secrets, findings


def _look_up(kind: str, name: str, folder: Path, environ: Mapping[str, str]) -> tuple[str, str]:
    """The secret and no problem, or no secret and the problem; anything but env and file is not ours to judge."""
    if kind == "env":
        value = environ.get(name, "")
        return value, "" if value else f"the environment variable {name} is not set or empty"
    if kind == "file":
        try:
            value = (folder / name).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            return "", f"{name} cannot be read: {_reason(error)}"
        return value, "" if value else f"{name} is empty"
    return "", ""


def _disk_findings(document: Document, folder: Path) -> Iterator[Finding]:
    dialogs = _at(document, ("dialogs",))
    if isinstance(dialogs, str) and dialogs and not (folder / dialogs).is_dir():
        yield document.finding(("dialogs",), f"expected a folder with dialogs, there is none at {folder / dialogs}")
    for path in document.places:
        if path[:1] == ("links",) and path[2:] == ("tls",) and isinstance(_at(document, path), dict):
            yield from _tls_findings(document, path, folder)


def _tls_findings(document: Document, path: Trail, folder: Path) -> Iterator[Finding]:
    """Files of certificates that are not there, or are none."""
    value = _at(document, path)
    files = {key: value[key] for key in ("ca", "cert", "key") if isinstance(value.get(key), str) and value[key]}
    missing = [key for key in files if not (folder / files[key]).is_file()]
    for key in missing:
        yield document.finding((*path, key), f"expected a file, there is none at {folder / files[key]}")
    if not missing and ("cert" in files or "key" not in files):
        try:
            make_context(TlsFiles(**{key: folder / file for key, file in files.items()}))
        except (OSError, ValueError) as error:
            yield document.finding(path, f"these certificates cannot be used: {_reason(error)}")


def _repeats(document: Document, secrets: Mapping[Trail, str]) -> Iterator[Finding]:
    """Names and tokens that two links or two clients share."""
    for group in (("links",), ("api", "clients")):
        for key, shown in (("name", True), ("token", False)):
            first: dict[str, int] = {}
            for path in (path for path in document.places if path[:-2] == group and path[-1] == key):
                value = secrets.get(path, "") if key == "token" else _at(document, path)
                if not isinstance(value, str) or not value:
                    continue
                line = document.places[path][0]
                if value in first:
                    what = f"the name {value}" if shown else "the same token"
                    yield document.finding(path, f"repeated: {what} stands on line {first[value]} already")
                first.setdefault(value, line)


def _at(document: Document, path: Trail) -> Any:  # noqa: ANN401 - any value of the document
    """The value at `path`, None where the document has none."""
    value: Any = document.data
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _reason(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


# --- settings ---------------------------------------------------------------------------------------------


def _settings(model: _Config, path: Path, secrets: Mapping[Trail, str]) -> Settings:
    folder = path.resolve().parent
    return Settings(
        file=path.resolve(),
        store_path=(folder / model.store.removeprefix("sqlite:///")).resolve(),
        dialogs=(folder / model.dialogs).resolve(),
        number=model.number,
        zone=ZoneInfo(model.zone),
        quiet=_quiet_hours(model.quiet),
        links=tuple(
            _link(link, secrets["links", index, "password"], folder) for index, link in enumerate(model.links)
        ),
        parts_timeout=timedelta(seconds=_seconds(model.parts_timeout)),
        retention=timedelta(seconds=_seconds(model.retention)) if model.retention else None,
        api=_api(model.api, secrets) if model.api else None,
        gateways={
            kind: GatewayConfig(
                url=gateway.url,
                token=secrets.get(("gateways", kind, "token")),
                timeout_s=_seconds(gateway.timeout),
            )
            for kind, gateway in model.gateways.items()
        },
    )


def _quiet_hours(quiet: _Quiet | None) -> QuietHours | None:
    if quiet is None:
        return None
    return QuietHours(time.fromisoformat(quiet.from_), time.fromisoformat(quiet.to), quiet.weekends)


def _link(link: _Link, password: str, folder: Path) -> LinkConfig:
    return LinkConfig(
        name=link.name,
        host=link.host,
        port=link.port,
        system_id=link.system_id,
        password=password,
        bind=link.bind,
        window=link.window,
        tps=link.tps,
        tls=_tls_files(link.tls, folder) if link.tls else None,
        system_type=link.system_type,
        address_range=link.address_range,
        source=(link.source.ton, link.source.npi),
        destination=(link.destination.ton, link.destination.npi),
        alphabet=link.alphabet,
        long_texts=link.long_texts,
        message_ids=link.message_ids,
        udh=link.udh,
        enquire_link_s=_seconds(link.enquire_link),
        response_timeout_s=_seconds(link.response_timeout),
        statuses={find_status(word): _rule(rule) for word, rule in link.statuses.items()},
        prefixes=tuple(link.prefixes),
        outbind=_address(link.outbind) if link.outbind else None,
        on_doubt=OnDoubt(
            hold_questions=link.on_doubt.questions == "hold",
            hold_notices=link.on_doubt.notices == "hold",
            replace=link.on_doubt.replace,
        ),
    )


def _rule(rule: _Rule) -> Rule:
    """A retry that does not say how often and how long is as patient as our own."""
    then = Verdict(rule.then)
    known = Rule(then, times=5, pause_s=30.0) if then is Verdict.RETRY else Rule(then)
    return Rule(
        then,
        known.times if rule.times is None else rule.times,
        known.pause_s if rule.pause is None else _seconds(rule.pause),
    )


def _tls_files(tls: _Tls, folder: Path) -> TlsFiles:
    ca, cert, key = (folder / name if name else None for name in (tls.ca, tls.cert, tls.key))
    return TlsFiles(ca=ca, cert=cert, key=key, verify=tls.verify, name=tls.name or "")


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _seconds(words: str) -> float:
    return float(parse_duration(words).seconds)


def _api(api: _Api, secrets: Mapping[Trail, str]) -> ApiConfig:
    host, port = _address(api.listen)
    clients = tuple(
        Client(client.name, secrets["api", "clients", index, "token"], frozenset(client.may))
        for index, client in enumerate(api.clients)
    )
    return ApiConfig(host, port, clients)
