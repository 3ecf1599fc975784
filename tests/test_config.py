"""The configuration: the shipped file is right, and everything wrong is told at once with its place."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import time, timedelta
from pathlib import Path

import pytest

from smsflow.config import GatewayConfig, LinkConfig, Right, Settings, load_config
from smsflow.core.errors import ConfigError
from smsflow.core.hours import QuietHours
from smsflow.daemon import find_sessions
from smsflow.smpp.statuses import Rule, Verdict
from smsflow.store.outbox import OnDoubt

SHIPPED = Path(__file__).parent.parent / "config" / "smsflow.yaml"
SECRETS = {
    name: f"secret-{name}"
    for name in (
        "SMSC_PASSWORD", "MOH_TOKEN", "BODIES_TOKEN", "DESK_TOKEN", "REGISTRY_TOKEN", "AKIMAT_TOKEN",
        "LABOUR_TOKEN",
    )
}  # fmt: skip

MINIMAL = """\
store: sqlite:///smsflow.db
dialogs: .
number: "1414"
zone: Asia/Almaty
quiet: none
links:
  - {name: main, host: localhost, port: 2775, system_id: smsflow, password: pw}
"""


def load(folder: Path, text: str, **environ: str) -> Settings:
    file = folder / "smsflow.yaml"
    file.write_text(text, encoding="utf-8")
    return load_config(file, environ)


def problems(folder: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text, **environ)
    return str(caught.value).replace(f"{folder}/smsflow.yaml:", "").replace(str(folder), "FOLDER").splitlines()


def test_shipped_configuration_is_the_one_of_the_design():
    """Every key of design §6 is understood, and paths are relative to the file."""
    settings = load_config(SHIPPED, SECRETS)

    assert settings.store_path == SHIPPED.parent.parent / "var" / "smsflow.db"
    assert settings.dialogs == SHIPPED.parent.parent / "dialogs"
    assert settings.number == "1414"
    assert settings.zone.key == "Asia/Almaty"
    assert settings.quiet == QuietHours(time(21), time(9), weekends=True)
    assert settings.links == (LinkConfig("main", "127.0.0.1", 2775, "smsflow", "secret-SMSC_PASSWORD"),)
    assert settings.api is not None
    assert (settings.api.host, settings.api.port) == ("127.0.0.1", 8414)
    assert settings.api.clients[2].rights == {Right.READ, Right.OPERATE}
    assert settings.gateways["kindergarten"] == GatewayConfig(
        "https://akimat.example/applications", "secret-AKIMAT_TOKEN", 15.0
    )


def test_secrets_are_never_shown():
    """A printed configuration holds no password and no token."""
    assert "secret-" not in repr(load_config(SHIPPED, SECRETS))


def test_least_configuration_has_defaults(tmp_path):
    """Without api and gateways there is none; `none` is never quiet."""
    settings = load(tmp_path, MINIMAL)

    assert (settings.quiet, settings.api, settings.gateways) == (None, None, {})
    assert (settings.parts_timeout, settings.retention) == (timedelta(minutes=10), None)
    assert (settings.links[0].window, settings.links[0].tps, settings.links[0].tls) == (64, 100, None)


def test_absolute_store_path_is_kept(tmp_path):
    """sqlite://// begins an absolute path."""
    text = MINIMAL.replace("sqlite:///smsflow.db", f"sqlite:///{tmp_path}/deep/a.db")

    assert load(tmp_path, text).store_path == tmp_path / "deep" / "a.db"


def test_secret_comes_from_a_file_beside_the_configuration(tmp_path):
    """A secret's file may end with a line break."""
    (tmp_path / "pw").write_text("from-file\n")

    assert load(tmp_path, MINIMAL.replace("password: pw", "password: {file: pw}")).links[0].password == "from-file"


def test_everything_wrong_is_told_at_once_with_its_place(tmp_path):
    """Shapes, secrets, folders and repeated names are all found in one go."""
    text = """\
store: mysql://x
dialogs: nowhere
number: 14a
zone: Asia/Almat
quiet: {from: "25:00", to: "09:00", weekend: true}
links:
  - {name: a, host: h, port: 99999, system_id: x, password: {env: NOPE}, bind: both, window: 0, tps: x, tls: ja}
  - {name: a, host: h, port: 1, system_id: x, password: {foo: NOPE}}
api:
  listen: 8414
  clients:
    - {name: b, token: same, may: [births, x]}
    - {name: b, token: same, may: []}
gateways:
  registration: {url: "ftp:x", token: {file: no}, timeout: 0s}
"""

    assert problems(tmp_path, text) == [
        "1:1: store: expected sqlite:///FILE (relative) or sqlite:////FILE (absolute), got 'mysql://x'",
        "2:1: dialogs: expected a folder with dialogs, there is none at FOLDER/nowhere",
        "3:1: number: expected the short number in digits, such as \"1414\", got '14a'",
        "4:1: zone: expected a time zone such as Asia/Almaty, got 'Asia/Almat'",
        "5:9: quiet → from: expected a time of day such as \"21:00\", got '25:00'",
        "5:37: quiet → weekend: unknown key",
        "7:24: links → 1 → port: expected 65535 or less, got '99999'",
        "7:62: links → 1 → password → env: the environment variable NOPE is not set or empty",
        "7:74: links → 1 → bind: expected 'transceiver' or 'receiver+transmitter', got 'both'",
        "7:86: links → 1 → window: expected 1 or more, got '0'",
        "7:97: links → 1 → tps: expected a whole number, got 'x'",
        "7:105: links → 1 → tls: expected true, false or {ca: FILE, cert: FILE, key: FILE, verify: true}, got 'ja'",
        "8:6: links → 2 → name: repeated: the name a stands on line 7 already",
        "8:47: links → 2 → password: expected a text, {env: NAME} or {file: PATH}",
        "10:3: api → listen: expected HOST:PORT with a port from 1 to 65535, got '8414'",
        "12:44: api → clients → 1 → may → 2: expected 'births', 'citizens', 'events', 'read' or 'operate', got 'x'",
        "13:8: api → clients → 2 → name: repeated: the name b stands on line 12 already",
        "13:17: api → clients → 2 → token: repeated: the same token stands on line 12 already",
        "13:30: api → clients → 2 → may: must not be empty",
        "15:18: gateways → registration → url: expected an address such as https://host/path, got 'ftp:x'",
        "15:40: gateways → registration → token → file: no cannot be read: No such file or directory",
        "15:51: gateways → registration → timeout: expected a duration such as 15s, got '0s'",
    ]


def with_link(more: str) -> str:
    return MINIMAL.replace("password: pw}", f"password: pw, {more}}}")


def test_link_can_be_made_to_differ_in_every_way(tmp_path):
    """What an operator's centre needs besides, each key by itself optional."""
    more = """system_type: ESME, address_range: "^1414", source: {ton: 3, npi: 0}, destination: {ton: 0, npi: 1},
        alphabet: latin1, long_texts: sar, message_ids: hex-decimal, udh: guess,
        enquire_link: 10s, response_timeout: 1m, prefixes: ["7701", "7702"],
        statuses: {"0x400": {then: retry}, esme_rmsgqful: {then: final}, "88": {then: pause, pause: 5s, times: 9}},
        outbind: "0.0.0.0:2776", on_doubt: {notices: hold, replace: true}"""
    link = load(tmp_path, with_link(more)).links[0]

    assert (link.system_type, link.address_range) == ("ESME", "^1414")
    assert (link.source, link.destination) == ((3, 0), (0, 1))
    assert (link.alphabet, link.long_texts, link.message_ids, link.udh) == ("latin1", "sar", "hex-decimal", "guess")
    assert (link.enquire_link_s, link.response_timeout_s) == (10, 60)
    assert (link.prefixes, link.outbind) == (("7701", "7702"), ("0.0.0.0", 2776))
    assert link.on_doubt == OnDoubt(hold_notices=True, replace=True)
    assert link.statuses == {
        0x400: Rule(Verdict.RETRY, times=5, pause_s=30),
        0x14: Rule(Verdict.FINAL),
        0x58: Rule(Verdict.PAUSE, times=9, pause_s=5),
    }


def test_every_key_of_a_link_reaches_its_sessions(tmp_path):
    """A key that is read and goes nowhere is worse than none."""
    defaults = find_sessions(load(tmp_path, MINIMAL).links[0])[0]
    changed = {
        "window": 3, "tps": 7, "system_type": "t", "address_range": "r", "source": (1, 2), "destination": (3, 4),
        "alphabet": "latin1", "long_texts": "sar", "message_ids": "same", "udh": "guess", "enquire_link_s": 1.0,
        "response_timeout_s": 2.0, "prefixes": ("7",), "outbind": ("h", 1),
    }  # fmt: skip
    link = replace(load(tmp_path, MINIMAL).links[0], **changed, statuses={1: Rule(Verdict.FINAL)})
    for session in find_sessions(link):
        assert {name: getattr(session, name) for name in changed} == changed
        assert session.rules == {1: Rule(Verdict.FINAL)}
    own = {field.name for field in fields(LinkConfig)} & {field.name for field in fields(defaults)}
    assert own - set(changed) == {"name", "host", "port", "system_id", "password", "bind"}


def test_one_word_says_what_becomes_of_every_text_in_doubt(tmp_path):
    """`hold` is for questions and notices alike."""
    assert load(tmp_path, with_link("on_doubt: hold")).links[0].on_doubt == OnDoubt(True, True)
    assert load(tmp_path, with_link("on_doubt: resend")).links[0].on_doubt == OnDoubt()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            "statuses: {ESME_NONE: {then: retry}}",
            "expected a status such as ESME_RTHROTTLED or 0x400, got 'ESME_NONE'",
        ),
        ('statuses: {"0x400": {then: wait}}', "then: expected 'retry', 'final' or 'pause', got 'wait'"),
        ('statuses: {"0x400": {then: retry, pause: 0s}}', "pause: expected a duration such as 15s, got '0s'"),
        ("prefixes: [+7701]", "expected the first digits of phones, such as \"7701\", got '+7701'"),
        ("source: {ton: 300, npi: 0}", "ton: expected 255 or less, got '300'"),
        ("alphabet: ebcdic", "expected 'gsm', 'gsm-packed', 'latin1', 'ascii' or 'utf8', got 'ebcdic'"),
        ("message_ids: hex", "expected 'auto', 'same', 'hex-decimal' or 'decimal-hex', got 'hex'"),
        ("outbind: 2776", "outbind: expected HOST:PORT with a port from 1 to 65535, got '2776'"),
        ('outbind: "0.0.0.0:2776", tls: true', "outbind cannot have tls"),
        ("on_doubt: never", "on_doubt: expected resend, hold or {questions: resend, notices: hold"),
        ("on_doubt: {notices: drop}", "notices: expected 'resend' or 'hold', got 'drop'"),
        ("tls: {ca: none.pem}", "tls → ca: expected a file, there is none at FOLDER/none.pem"),
        ("tls: {ca: smsflow.yaml}", "tls: these certificates cannot be used"),
        ("tls: {key: smsflow.yaml}", "tls: a key needs its certificate"),
        ("tls: {verify: perhaps}", "verify: expected true or false, got 'perhaps'"),
    ],
)
def test_mistake_in_a_link_is_told(tmp_path, more, problem):
    """Each with what was expected."""
    assert any(problem in line for line in problems(tmp_path, with_link(more)))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (MINIMAL.replace("sqlite:///smsflow.db", "sqlite:///"), "1:1: store: expected sqlite:///FILE"),
        (MINIMAL.replace("quiet: none", "quiet: never"), "5:1: quiet: expected {from:"),
        (
            MINIMAL.replace("quiet: none", 'quiet: {from: "09:00", to: "09:00"}'),
            "5:1: quiet: from and to",
        ),
        (
            MINIMAL.replace("password: pw", 'password: ""'),
            "7:67: links → 1 → password: must not be empty",
        ),
        (MINIMAL.replace("  - {name", "  # {name"), "6:1: links: expected a list"),
        (MINIMAL + "speed: 9\n", "8:1: speed: unknown key"),
        (MINIMAL + "zone: Asia/Almaty\n", "8:1: zone: repeated"),
        (MINIMAL.replace("quiet: none\n", ""), "1:1: quiet: missing"),
        ("- a\n", "1:1: expected keys with values"),
        ("a: [", "2:1: expected a value here"),
        ("", "1:1: the file is empty"),
    ],
)
def test_problem_is_told_with_its_place(tmp_path, text, problem):
    """One mistake, one line that says where it is and what was expected."""
    assert any(line.startswith(problem) for line in problems(tmp_path, text))


def test_retention_is_a_time_of_a_year_at_least(tmp_path):
    """Births may be recorded so late, and one that was forgotten cannot be told from a new one."""
    assert load(tmp_path, MINIMAL + "retention: 1095 days\n").retention == timedelta(days=1095)
    assert load(tmp_path, MINIMAL + "retention: 365d\n").retention == timedelta(days=365)
    for words in ("364d", "0d", "400 working days"):
        (problem,) = problems(tmp_path, MINIMAL + f"retention: {words}\n")
        assert problem == (
            f"8:1: retention: expected 365 days or more, such as 1095 days, got '{words}': births are recorded up"
            " to a year late, and one that was forgotten cannot be told from a new one"
        )
    (problem,) = problems(tmp_path, MINIMAL + "retention: 3y\n")
    assert problem.startswith("8:1: retention: expected a duration such as")


def test_missing_file_is_a_configuration_error(tmp_path):
    """A file that is not there is told like any other mistake."""
    with pytest.raises(ConfigError, match=r"none\.yaml:1:1: cannot be read: No such file"):
        load_config(tmp_path / "none.yaml", {})
