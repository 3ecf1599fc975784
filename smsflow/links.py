"""What an operator sees of the links, and does to them, while the daemon runs: figures, pause and resume, traces.

A link of the configuration has one session, or two (receiver and transmitter); each has its own line here.
The sessions tell (through `switchboard`), `tick` is called now and then. A pause is kept across a restart, by
whoever is `keep_pause`; figures are not.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from smsflow.logs import OPERATOR_ACTED
from smsflow.smpp.link import SubmitAnswered
from smsflow.smpp.session import Session
from smsflow.smpp.statuses import Status, status_name
from smsflow.smpp.trace import Capture

__all__ = ["LinkDesk", "LinkFigures", "Meter"]

_RATE_S: Final = 10.0  # over which tps is told
_MOST_NAMES: Final = 64  # of errors for one session: a centre must not fill our memory with inventions
_MOST_WAITING: Final = (
    4 * 1024 * 1024
)  # octets of a trace that its reader has not fetched; later packets are left out
_KNOWN: Final = frozenset(status_name(status) for status in Status)
_RECEIPT: Final = 0x3C  # §5.2.12: bits 5-2 of esm_class, set on receipts and notifications

_log = structlog.get_logger()


@dataclass(slots=True)
class Meter:
    """What one session has done since the daemon started. `tick_s` is of the event loop's clock."""

    since: datetime
    taken: int = 0
    answered: int = 0
    in_doubt: int = 0
    throttles: int = 0
    lost: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    last_receipt_at: datetime | None = None
    round_trip_s: float | None = None
    enquired_at: datetime | None = None
    samples: deque[tuple[float, int, int]] = field(default_factory=lambda: deque(maxlen=64))

    def count_answers(self, answers: Sequence[SubmitAnswered]) -> None:
        """Count these submit_sm_resp."""
        self.answered += len(answers)
        for _, status, _ in answers:
            if status:
                name = status_name(status)
                self.errors[name if name in self.errors or len(self.errors) < _MOST_NAMES else "other"] += 1

    def sample(self, now_s: float, submitted: int) -> None:
        """Note how much has gone in and out until now."""
        self.samples.append((now_s, self.taken, submitted))
        while len(self.samples) > 2 and self.samples[1][0] <= now_s - _RATE_S:
            self.samples.popleft()

    @property
    def tps(self) -> tuple[float, float]:
        """PDUs a second in and out, over the last ten seconds."""
        if len(self.samples) < 2:
            return 0.0, 0.0
        (began_s, *first), (end_s, *last) = self.samples[0], self.samples[-1]
        took_s = max(end_s - began_s, 1e-3)
        return round((last[0] - first[0]) / took_s, 1), round((last[1] - first[1]) / took_s, 1)


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """One session as an operator sees it. Times are aware; `tps_in` and `tps_out` are of the last ten seconds.

    `paused` is by an operator; `paused_until` by the message centre, which wants less, None when it does not.
    """

    name: str
    bind: str
    host: str
    port: int
    state: str
    since: str
    trouble: str
    paused: bool
    paused_until: str | None
    window: int
    in_flight: int
    tps: int
    tps_in: float
    tps_out: float
    taken: int
    submitted: int
    in_doubt: int
    throttles: int
    errors: dict[str, int]
    lost: int
    last_receipt_at: str | None
    enquire_link_at: str | None
    enquire_link_ms: float | None


class LinkDesk:
    """Every session's meter, and the operator's hand on it."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._meters: dict[Session, Meter] = {}
        self._trouble: dict[Session, str] = {}
        self._traces: set[_Trace] = set()
        self.on_pause: Callable[[Session], None] = lambda _: None
        """Told of each session that is paused: what was claimed for it may go another way."""
        self.keep_pause: Callable[[str, bool], Awaitable[None]] | None = None
        """Writes down that the link of a name is paused, or no more."""

    # --- what the switchboard tells -----------------------------------------------------------------

    def add(self, session: Session) -> None:
        """Watch a session."""
        self._meters[session] = Meter(self._now())
        self._trouble[session] = "not connected yet"

    def bound(self, session: Session) -> None:
        self._meters[session].since, self._trouble[session] = self._now(), ""

    def troubled(self, session: Session, reason: str) -> None:
        """A bind was refused, or a connection lost or not made: the first time is when the trouble began."""
        meter = self._meters[session]
        if not self._trouble[session]:
            meter.since = self._now()
            meter.lost += 1
        self._trouble[session] = reason

    def taken(self, session: Session, esm_class: int) -> None:
        """A deliver_sm came in."""
        meter = self._meters[session]
        meter.taken += 1
        if esm_class & _RECEIPT:
            meter.last_receipt_at = self._now()

    def answered(self, session: Session, answers: Sequence[SubmitAnswered]) -> None:
        self._meters[session].count_answers(answers)

    def in_doubt(self, session: Session, count: int) -> None:
        self._meters[session].in_doubt += count

    def throttled(self, session: Session) -> None:
        self._meters[session].throttles += 1

    def tick(self, now_s: float) -> None:
        """Take a sample of every session; some times in ten seconds."""
        for session, meter in self._meters.items():
            meter.sample(now_s, _submitted(session, meter))
            if session.round_trip_s not in (None, meter.round_trip_s):
                meter.round_trip_s, meter.enquired_at = session.round_trip_s, self._now()

    # --- what an operator sees ----------------------------------------------------------------------

    def figures(self) -> tuple[LinkFigures, ...]:
        """Every session, in the order of the configuration."""
        return tuple(self._figures(session, meter) for session, meter in self._meters.items())

    def _figures(self, session: Session, meter: Meter) -> LinkFigures:
        settings = session.settings
        tps_in, tps_out = meter.tps
        left_s = session.pause_left_s
        return LinkFigures(
            name=settings.name,
            bind=settings.bind,
            host=settings.host,
            port=settings.port,
            state=session.state.value,
            since=_moment(meter.since) or "",
            trouble=self._trouble[session],
            paused=session.held,
            paused_until=_moment(self._now() + timedelta(seconds=left_s) if left_s else None),
            window=settings.window,
            in_flight=session.in_flight,
            tps=settings.tps,
            tps_in=tps_in,
            tps_out=tps_out,
            taken=meter.taken,
            submitted=_submitted(session, meter),
            in_doubt=meter.in_doubt,
            throttles=meter.throttles,
            errors=dict(meter.errors.most_common()),
            lost=meter.lost,
            last_receipt_at=_moment(meter.last_receipt_at),
            enquire_link_at=_moment(meter.enquired_at),
            enquire_link_ms=None if meter.round_trip_s is None else round(meter.round_trip_s * 1000, 1),
        )

    def collector(self) -> Collector:
        """The same for Prometheus."""
        return _Collector(self)

    # --- what an operator does ----------------------------------------------------------------------

    def find(self, name: str) -> tuple[Session, ...]:
        """The sessions of the link called `name`; empty when there is none."""
        return tuple(session for session in self._meters if session.settings.name == name)

    async def hold(self, name: str, *, held: bool) -> None:
        """Let the link send nothing, or go on; it stays bound and takes replies. A restart changes nothing.

        Raises: StoreError when that could not be written down; nothing has changed then.
        """
        if self.keep_pause is not None:
            await self.keep_pause(name, held)
        for session in self.find(name):
            session.hold(held)
            if held:
                self.on_pause(session)
        _log.info(OPERATOR_ACTED, link=name, action="pause" if held else "resume")

    async def trace(
        self, name: str, seconds: float | None, *, texts: bool = False, passwords: bool = False
    ) -> AsyncIterator[bytes]:
        """A capture of the link in pieces, until `seconds` have passed, `end_traces`, or nobody reads on."""
        _log.info(OPERATOR_ACTED, link=name, action="trace", texts=texts, passwords=passwords)
        trace = _Trace()
        capture = Capture(trace.put, lambda: self._now().timestamp(), texts=texts, passwords=passwords)
        sessions = self.find(name)
        self._traces.add(trace)
        for session in sessions:
            session.tap(capture)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while octets := await trace.get():
                        yield octets
        finally:
            self._traces.discard(trace)
            for session in sessions:
                session.taps.remove(capture)
        capture.finish()
        if rest := trace.take():
            yield rest

    def end_traces(self) -> None:
        """End every trace: the daemon stops."""
        for trace in self._traces:
            trace.end()


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def _submitted(session: Session, meter: Meter) -> int:
    """How many submit_sm have gone out: each of them was answered, is in doubt, or in flight."""
    return meter.answered + meter.in_doubt + session.in_flight


class _Trace:
    """What was captured and not fetched yet."""

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._changed = asyncio.Event()
        self._ended = False

    def put(self, octets: bytes) -> None:
        """Keep a packet; leave it out when the reader is far behind (Wireshark shows the gap)."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting += octets
            self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    def take(self) -> bytes:
        """What is there."""
        octets = bytes(self._waiting)
        self._waiting.clear()
        return octets

    async def get(self) -> bytes:
        """What is there, as soon as there is something; empty at the end."""
        while not self._waiting and not self._ended:
            self._changed.clear()
            await self._changed.wait()
        return self.take()


class _Collector(Collector):
    """The figures as Prometheus wants them: labels are link, bind, and the names of statuses."""

    def __init__(self, desk: LinkDesk) -> None:
        self._desk = desk

    def collect(self) -> Iterator[Metric]:
        lines = [asdict(line) | {"paused": int(line.paused)} for line in self._desk.figures()]
        for key, words in _GAUGES.items():
            yield _family(GaugeMetricFamily(f"smsflow_link_{key}", words, labels=_LABELS), lines, key)
        for key, words in _COUNTERS.items():
            yield _family(CounterMetricFamily(f"smsflow_link_{key}", words, labels=_LABELS), lines, key)
        errors = CounterMetricFamily(
            "smsflow_link_errors", "submit_sm that were answered with an error.", labels=[*_LABELS, "status"]
        )
        for line in lines:
            counts: Counter[str] = Counter()
            for name, count in line["errors"].items():
                counts[name if name in _KNOWN else "vendor"] += count
            for name, count in counts.items():
                errors.add_metric([line["name"], line["bind"], name], count)
        yield errors
        times = GaugeMetricFamily("smsflow_link_enquire_link_seconds", "The last round trip.", labels=_LABELS)
        receipts = GaugeMetricFamily(
            "smsflow_link_last_receipt_timestamp_seconds", "When the last receipt came.", labels=_LABELS
        )
        pauses = GaugeMetricFamily(
            "smsflow_link_paused_until_timestamp_seconds",
            "Until when nothing goes out, while the message centre wants less.",
            labels=_LABELS,
        )
        for line in lines:
            labels = [line["name"], line["bind"]]
            if line["paused_until"] is not None:
                pauses.add_metric(labels, datetime.fromisoformat(line["paused_until"]).timestamp())
            if line["enquire_link_ms"] is not None:
                times.add_metric(labels, line["enquire_link_ms"] / 1000)
            if line["last_receipt_at"] is not None:
                receipts.add_metric(labels, datetime.fromisoformat(line["last_receipt_at"]).timestamp())
        yield times
        yield receipts
        yield pauses


_LABELS: Final = ["link", "bind"]
_GAUGES: Final = {
    "paused": "1 while an operator has paused it.",
    "window": "submit_sm that may be unanswered.",
    "in_flight": "submit_sm that are unanswered.",
}
_COUNTERS: Final = {
    "taken": "deliver_sm that came in, texts and receipts.",
    "submitted": "submit_sm that went out.",
    "in_doubt": "submit_sm that were never answered.",
    "throttles": "How often the message centre wanted less.",
    "lost": "How often a bind ended against our will.",
}


def _family(
    family: GaugeMetricFamily | CounterMetricFamily, lines: Sequence[dict[str, Any]], key: str
) -> GaugeMetricFamily | CounterMetricFamily:
    for line in lines:
        family.add_metric([line["name"], line["bind"]], line[key])
    return family
