"""The message centre of the bench, a process of its own: raw `struct` over one socket, so that it never limits.

It takes one bind, then lets mothers write: reply by reply, each when the whole next question has come. What it is
to do comes as one line of JSON on standard input; what has happened goes as lines of JSON to standard output:

    {"port": 40123}     listening
    {"greeted": 500}    every mother has her first question; it waits for a line on standard input
    {"begun": true}     the first reply goes out
    {"turns": …}        everything is answered, in figures; see `Result`. Bound until it is killed

With `until_told` a line on standard input ends it, and the next line lets those go on who have something to answer.

With `receipts` each part that asks for a delivery receipt has one. It comes before the reply of who has read the
text: those of a question just before the answer to it, in the same write, so that a part is never told of before
the submit_sm_resp that brings its id; those of a text that is not answered any more, and of the first questions
before the load begins, as soon as the whole text has come.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter, process_time, strftime
from typing import Any

__all__ = ["Load", "Result", "main", "phone_of"]

_HEADER = struct.Struct(">LLLL")
_BIND_TRANSCEIVER, _SUBMIT_SM, _DELIVER_SM, _UNBIND, _ENQUIRE_LINK = 9, 4, 5, 6, 0x15
_RESPONSE = 0x80000000
_STALLED_S = 20.0  # without anything new: somebody has forgotten a mother
_BIND_S = 7200.0  # for the first connection: many cases are filled in before it
_RECEIVE_OCTETS = 1 << 18
_RECEIPT = b"id:%b sub:001 dlvrd:001 submit date:%b done date:%b stat:DELIVRD err:000 text:%b"
_QUOTED = 20  # octets of a GSM text that its receipt quotes; none of one in UCS-2, for the receipt is GSM


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be played. `scripts` holds, language by language, the replies of a mother.

    `window` mothers at most wait for their next question at a time; with `offered` (turns a second, 0 for as fast
    as it goes) replies go out at that rate whatever comes back. `in_turn`: who has a question waits for all who had
    theirs before; else each goes on at once, to the end. `system_id` of the bind is not looked at. `receipts`: the
    parts of those who play have the delivery receipts that they ask for.
    """

    number: str
    mothers: int
    scripts: tuple[tuple[str, ...], ...]
    window: int
    offered: float = 0.0
    in_turn: bool = False
    receipts: bool = False
    until_told: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What was seen on the wire. Times in seconds, `latency_*` from a reply to its whole next question.

    `parts` went to those who play, `others` to phones that do not. `receipts` are those that were sent and answered
    meanwhile; None where the load has none.
    `core` is the share of one core that this process has used meanwhile: below 1 it was not the limit.
    """

    turns: int
    seconds: float
    parts: int
    others: int
    receipts: int | None
    refused: int
    latency_p50: float
    latency_p99: float
    latency_max: float
    core: float


_NUMBERS = 10_000_000
_STRIDE = 7_654_321  # has no divisor in common with how many there are
_BACK = pow(_STRIDE, -1, _NUMBERS)


_PLAYING, _OTHER = "03", "05"  # how the numbers end of those who play, and of those who only read


def phone_of(mother: int, *, plays: bool = True) -> str:
    """The number of mother `mother`, 0 first: neighbours have numbers far apart, as in life."""
    return f"77{mother * _STRIDE % _NUMBERS:07}{_PLAYING if plays else _OTHER}"


def _mother_of(phone: bytes) -> int:
    return int(phone[2:9]) * _BACK % _NUMBERS


class _Stalled(Exception):
    """Nothing has come for too long."""


class _Centre:
    """One connection, and where each mother stands."""

    def __init__(self, connection: socket.socket, load: Load) -> None:
        connection.settimeout(0)  # never wait
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._load = load
        self._rest = b""
        self._out = bytearray()
        self._sequence = 0
        self._message = 0
        self._step = [-1] * load.mothers  # the number of her question, -1 before the greeting
        self._sent_at = [0.0] * load.mothers
        self._ready: deque[int] = deque()  # mothers with a question that is not answered yet
        self._scripts = [[_tail(reply, load.number) for reply in script] for script in load.scripts]
        self._head = b"\0\1\1"
        self._receipts: defaultdict[int, list[bytes]] = defaultdict(list)  # of her question, not sent yet
        self._now = b""  # as receipts have it: YYMMDDhhmm
        self.greeted = 0
        self.playing = False
        self.unanswered = 0
        self.turns = self.parts = self.others = self.receipts = self.refused = 0
        self.latencies: list[float] = []

    # --- what goes out ------------------------------------------------------------------------------

    def write(self, mother: int, at: float) -> None:
        """Let a mother answer her question; she began to at `at`."""
        self._send_receipts(mother)
        tail = self._scripts[mother % len(self._scripts)][self._step[mother]]
        self._deliver(self._head + phone_of(mother).encode() + tail)
        self._sent_at[mother] = at

    def write_next(self, at: float) -> bool:
        """Let the next mother write who has something to answer; False when there is none."""
        if not self._ready:
            return False
        self.write(self._ready.popleft(), at)
        return True

    def _send_receipts(self, mother: int) -> None:
        bodies = self._receipts.pop(mother, ())
        for body in bodies:
            self._deliver(body)
        self.receipts += len(bodies)

    def _deliver(self, body: bytes) -> None:
        self._sequence += 1
        self._out += _HEADER.pack(16 + len(body), _DELIVER_SM, 0, self._sequence) + body
        self.unanswered += 1

    # --- what comes in ------------------------------------------------------------------------------

    def exchange(self, wait_s: float) -> None:
        """Send what waits, and act on what has come, after `wait_s` at the latest."""
        readable, writable, _ = select.select([self._socket], [self._socket] if self._out else [], [], wait_s)
        if readable:
            octets = self._socket.recv(_RECEIVE_OCTETS)
            if not octets:
                raise _Stalled("the other side has closed the connection")
            self._take(self._rest + octets if self._rest else octets)
        if self._out and (writable or readable):
            try:
                sent = self._socket.send(self._out)
            except BlockingIOError:
                return
            del self._out[:sent]

    def _take(self, octets: bytes) -> None:
        now, start, end = perf_counter(), 0, len(octets)
        if self._load.receipts:
            self._now = strftime("%y%m%d%H%M").encode()
        while end - start >= 16:
            length, command, status, sequence = _HEADER.unpack_from(octets, start)
            if end - start < length:
                break
            if command == _SUBMIT_SM:
                self._take_text(octets, start, sequence, now)
            elif command == _DELIVER_SM | _RESPONSE:
                self.unanswered -= 1
                self.refused += status != 0
            elif command < _RESPONSE:
                self._answer(command, sequence)
            start += length
        self._rest = octets[start:]

    def _answer(self, command: int, sequence: int) -> None:
        body = b"bench\0" if command == _BIND_TRANSCEIVER else b""
        self._out += _HEADER.pack(16 + len(body), command | _RESPONSE, 0, sequence) + body

    def _take_text(self, octets: bytes, start: int, sequence: int, now: float) -> None:
        """A part of a text (§4.4.1); the last one of a question lets its mother go on."""
        self._message += 1
        message_id = b"%x\0" % self._message
        self._out += _HEADER.pack(16 + len(message_id), _SUBMIT_SM | _RESPONSE, 0, sequence) + message_id
        source = octets.index(b"\0", start + 16) + 3
        phone = octets.index(b"\0", source) + 3
        end = octets.index(b"\0", phone)
        if octets[end - 2 : end] == _OTHER.encode():
            self.others += 1
            return
        self.parts += 1
        mother = _mother_of(octets[phone:end])
        text = octets.index(b"\0", octets.index(b"\0", end + 4) + 1) + 6
        has_header = octets[end + 1] & 0x40  # esm_class: before the text 05 00 03 and reference, total, number
        if self._load.receipts and octets[text - 5] & 0x03 == 0x01:  # registered_delivery (§5.2.17)
            addresses = octets[phone - 2 : end + 1] + octets[source - 2 : phone - 2]  # turned round
            first = text + 6 if has_header else text
            quoted = b"" if octets[text - 3] else octets[first : text + octets[text - 1]]
            self._receipts[mother].append(_receipt(addresses, message_id[:-1], self._now, quoted))
        if has_header and octets[text + 4] != octets[text + 5]:
            return
        self._go_on(mother, now)

    def _go_on(self, mother: int, now: float) -> None:
        self._step[mother] += 1
        if not self.playing:
            self.greeted += 1
            self._ready.append(mother)
            self._send_receipts(mother)
            return
        self.turns += 1
        self.latencies.append(now - self._sent_at[mother])
        more = self._step[mother] < len(self._scripts[mother % len(self._scripts)])
        if not more:
            self._send_receipts(mother)
        if self._load.offered:
            if more:
                self._ready.append(mother)
        elif more and not self._load.in_turn:
            self.write(mother, now)
        else:
            if more:
                self._ready.append(mother)
            self.write_next(now)


def _tail(reply: str, number: str) -> bytes:
    """What follows the phone in a deliver_sm (§4.6.1): GSM where it is digits, else UCS-2."""
    coding, text = (0, reply.encode()) if reply.isascii() else (8, reply.encode("utf-16-be"))
    return b"\0\0\0" + number.encode() + b"\0\0\0\0\0\0\0\0" + bytes((coding, 0, len(text))) + text


def _receipt(addresses: bytes, message_id: bytes, at: bytes, quoted: bytes) -> bytes:
    """The deliver_sm (§4.6.1) that tells that a part has reached its phone, its text as in Appendix B."""
    text = _RECEIPT % (message_id, at, at, quoted[:_QUOTED])
    return b"\0" + addresses + b"\4\0\0\0\0\0\0\0\0" + bytes((len(text),)) + text


def _measure(centre: _Centre, load: Load) -> Result:
    """Let mothers write until everything is answered, or until we are told, and look on."""
    total = sum(len(load.scripts[mother % len(load.scripts)]) for mother in range(load.mothers))
    centre.playing = True
    centre.turns = centre.parts = centre.others = centre.receipts = 0
    centre.latencies.clear()
    began, used = perf_counter(), process_time()
    written, heard, heard_at = 0, 0, began
    if not load.offered:
        for _ in range(load.window):
            centre.write_next(began)
    told = not load.until_told
    while not told or centre.turns < total or centre.unanswered:
        wait_s = 1.0
        if not told and _is_told():
            told, total = True, written
        if load.offered:
            due = min(total, int((perf_counter() - began) * load.offered) + 1)
            while written < due and centre.write_next(began + written / load.offered):
                written += 1
            wait_s = 0.001
        centre.exchange(wait_s)
        if centre.turns + centre.unanswered != heard:
            heard, heard_at = centre.turns + centre.unanswered, perf_counter()
        elif perf_counter() - heard_at > _STALLED_S and (told or centre.turns < written):
            raise _Stalled(
                f"{centre.turns} of {total} turns, then nothing for {_STALLED_S:.0f} s;"
                f" {centre.unanswered} deliver_sm are not answered"
            )
    seconds, used_s = perf_counter() - began, process_time() - used
    times = sorted(centre.latencies)
    if not times:
        raise _Stalled("no mother had anything to answer any more")
    return Result(
        turns=centre.turns,
        seconds=seconds,
        parts=centre.parts,
        others=centre.others,
        receipts=centre.receipts if load.receipts else None,
        refused=centre.refused,
        latency_p50=_at(times, 0.5),
        latency_p99=_at(times, 0.99),
        latency_max=times[-1],
        core=used_s / seconds,
    )


def _at(times: Sequence[float], share: float) -> float:
    return times[min(len(times) - 1, int(len(times) * share))]


def _tell(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)  # noqa: T201 - our parent reads it


def _await_greetings(centre: _Centre, mothers: int) -> None:
    """Take texts until every mother has her first question, and the receipts of these are answered."""
    heard, heard_at = (0, 0), perf_counter()
    while centre.greeted < mothers or centre.unanswered:
        centre.exchange(1.0)
        if (centre.greeted, centre.unanswered) != heard:
            heard, heard_at = (centre.greeted, centre.unanswered), perf_counter()
        elif heard[0] and perf_counter() - heard_at > _STALLED_S:
            raise _Stalled(
                f"{centre.greeted} of {mothers} mothers were greeted, then nobody;"
                f" {centre.unanswered} receipts are not answered"
            )


def _await_line(centre: _Centre) -> None:
    """Stay bound until there is a line on standard input."""
    while not _is_told():
        centre.exchange(0.05)


def _is_told() -> bool:
    """Whether there is a line on standard input; it is read."""
    if not select.select([sys.stdin], [], [], 0)[0]:
        return False
    if not sys.stdin.readline():
        raise _Stalled("nobody listens any more")
    return True


def _play(load: Load) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(_BIND_S)
        _tell({"port": server.getsockname()[1]})
        connection, _ = server.accept()
    with connection:
        centre = _Centre(connection, load)
        _await_greetings(centre, load.mothers)
        _tell({"greeted": centre.greeted})
        while True:
            _await_line(centre)
            _tell({"begun": True})
            _tell(asdict(_measure(centre, load)))


def main() -> int:
    """Play what standard input says; 1 when somebody was forgotten."""
    facts = json.loads(sys.stdin.readline())
    try:
        _play(Load(**facts | {"scripts": tuple(tuple(script) for script in facts["scripts"])}))
    except (_Stalled, OSError) as error:
        _tell({"failed": str(error) or type(error).__name__})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
