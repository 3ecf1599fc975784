"""The play: births come in, mothers answer what they read, bodies decide, and the end is judged.

Time runs six hours a second. What a mother writes and gets goes over real SMPP; how long she waits for the next
question is measured at the message centre.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from smsflow.centre import Handsets
from smsflow.clock import Clock
from smsflow.demo.cast import Cast, read_births, six_mothers
from smsflow.demo.mothers import Mother, Persona, address_in
from smsflow.demo.outcome import Outcome, judge
from smsflow.demo.screen import Screen, choose_screen
from smsflow.demo.world import NUMBER, World, open_world
from smsflow.importing import problems_of
from smsflow.smpp.smsc import Text
from smsflow.terminal import ending_on_signals, say, say_wrapped

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["run_demo"]

_ZONE = ZoneInfo("Asia/Almaty")
_SPEED = 6 * 3600.0
_THINKS_S = (0.32, 0.41, 0.36, 0.33, 0.28, 0.38)  # mother by mother: real seconds before she answers
_STALLED_S = 20.0  # nothing said for so long (five days): nothing will come
_LOOK_S = 0.05
_BATCH = 5_000  # births in one request
_COLUMN = 6  # characters of a count at least
_UNSETTLED = frozenset({"held", "queued", "sending", "accepted"})
_NEXT = (
    ("smsflow talk birth-registration", "be the mother yourself, and let time jump"),
    ("smsflow demo --keep", "the same, left running for you to try out"),
    ("smsflow smsc", "a message centre for your own `smsflow run`"),
)


async def run_demo(console: Console, *, births: Path | None, keep: bool) -> int:
    """Play the demo; the exit code. Raises: UnreadableFile of births, StoreError, DialogError, OSError."""
    began = perf_counter()
    clock = Clock(_ZONE, speed=_SPEED)
    born_at = (clock.now() - timedelta(hours=9)).replace(microsecond=0).isoformat()
    cast = read_births(births) if births else six_mothers(born_at)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="smsflow-demo-")))
        ending = stack.enter_context(ending_on_signals())
        _introduce(console, cast)
        stage = _Stage(console, clock, cast.personas)
        world = await stack.enter_async_context(open_world(folder, clock, _ZONE, stage.take, cast.languages))
        outcome = await _until(ending, stage.play(world, cast))
        if outcome is None:
            say(console, "Stopped before the end.", "yellow")
            return 1
        _summarise(console, outcome, perf_counter() - began)
        if keep:
            clock.run_at(1.0)
            await _keep(console, world, stage, ending, clock.now().replace(microsecond=0).isoformat())
        else:
            _suggest(console)
    return 1 if outcome.failures else 0


async def _until(ending: asyncio.Event, work: Any) -> Outcome | None:  # noqa: ANN401 - a coroutine
    """The outcome of `work`; None when `ending` comes first."""
    playing = asyncio.ensure_future(work)
    ended = asyncio.ensure_future(ending.wait())
    await asyncio.wait((playing, ended), return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if not playing.done():
        playing.cancel()
        await asyncio.wait((playing,))
        return None
    outcome: Outcome = playing.result()
    return outcome


@dataclass(slots=True)
class _Role:
    """One mother on the stage: who answers, what she has not read yet, how long she thinks."""

    mother: Mother
    thinks_s: float
    unread: asyncio.Queue[str] = field(default_factory=asyncio.Queue)


class _Stage:
    """Where the mothers are: texts reach them here, and their replies leave from here."""

    def __init__(self, console: Console, clock: Clock, personas: Sequence[Persona]) -> None:
        self._clock = clock
        self._screen: Screen = choose_screen(console, [persona.name for persona in personas])
        self._roles = {
            persona.msisdn: _Role(Mother(persona), _THINKS_S[index % len(_THINKS_S)])
            for index, persona in enumerate(personas)
        }
        self._handsets: Handsets | None = None
        self._waiting: dict[tuple[str, str], float] = {}  # (msisdn, service and child) → when she wrote
        self._waits_s: list[float] = []
        self._spoke_at = perf_counter()

    def take(self, text: Text) -> None:
        """A text has reached a phone."""
        at = self._spoke_at = perf_counter()
        if self._handsets:
            self._handsets.take(text)
            return
        role = self._roles.get(text.destination)
        if role is None:
            return
        about = (address_in(text.text) or "")[:2]
        wrote_at = self._waiting.pop((text.destination, about), None)
        if wrote_at is not None:
            self._waits_s.append(at - wrote_at)
        self._screen.show(self._clock.now(), role.mother.persona.name, text.text, reply=False)
        role.unread.put_nowait(text.text)

    def leave(self, handsets: Handsets) -> None:
        """The mothers go; phones are lines in the terminal from now on."""
        self._handsets = handsets

    async def play(self, world: World, cast: Cast) -> Outcome:
        """Hand in the births, let the mothers answer until every case has ended, and judge."""
        tasks = [asyncio.create_task(self._screen.run())]
        tasks += (asyncio.create_task(self._answer(world, role)) for role in self._roles.values())
        try:
            rejected = await _hand_in(world, cast)
            taken = [birth for index, birth in enumerate(cast.births) if index not in rejected]
            cases = await self._follow(world, [birth["birth_id"] for birth in taken])
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            self._screen.finish()
        troubles = [trouble for found in rejected.values() for trouble in found]
        troubles += world.bodies.troubles
        troubles += _troubles_in(world.log)
        return judge(taken, cases, world.bodies.taken, self._waits_s, troubles)

    async def _answer(self, world: World, role: _Role) -> None:
        """One mother: she reads, thinks, and answers."""
        msisdn, name = role.mother.persona.msisdn, role.mother.persona.name
        while True:
            text = await role.unread.get()
            reply = role.mother.hear(text)
            if reply is None:
                continue
            await asyncio.sleep(role.thinks_s)
            self._screen.show(self._clock.now(), name, reply, reply=True)
            self._spoke_at = self._waiting[msisdn, (address_in(text) or "")[:2]] = perf_counter()
            await world.centre.send(msisdn, reply, number=NUMBER)

    async def _follow(self, world: World, births: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """The cases of each birth, once all have ended and every text has arrived, or nothing more comes."""
        cases: dict[str, list[dict[str, Any]]] = {}
        for birth_id in births:
            while True:
                found = await world.call("GET", "/v1/cases", "desk", params={"birth_id": birth_id})
                cases[birth_id] = found["cases"]
                if _is_over(cases[birth_id]) or perf_counter() - self._spoke_at > _STALLED_S:
                    break
                await asyncio.sleep(_LOOK_S)
        return cases


def _troubles_in(log: Path) -> list[str]:
    """What the daemon's log says at ERROR: our bug, or something that a person must see to."""
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]
    return [f"the daemon logged {line['event']}" for line in lines if line.get("level") == "error"]


def _is_over(cases: Sequence[Mapping[str, Any]]) -> bool:
    return all(
        case["status"] == "closed" and not any(text.get("status") in _UNSETTLED for text in case["messages"])
        for case in cases
    )


async def _hand_in(world: World, cast: Cast) -> dict[int, list[str]]:
    """Tell the daemon whose number is whose, and hand in the births; those not taken by place, each with why."""
    rejected: dict[int, list[str]] = {}
    if cast.citizens:
        await world.call("POST", "/v1/citizens", "ministry", json=list(cast.citizens))
    for start in range(0, len(cast.births), _BATCH):
        batch = cast.births[start : start + _BATCH]
        report = await world.call("POST", "/v1/births", "ministry", json=list(batch))
        for item in report["rejected"]:
            index = start + item["index"]
            place = f"{cast.file}:{cast.lines[index]}" if cast.file else f"birth {item['birth_id']}"
            rejected[index] = list(problems_of(place, item))
    return rejected


# --- words ------------------------------------------------------------------------------------------------


def _introduce(console: Console, cast: Cast) -> None:
    births, mothers = len(cast.births), len(cast.personas)
    who = f"{_count(births, 'birth')}, {_count(mothers, 'mother')}"
    say(console, f"{who}, six hours a second: real SMPP, HTTP and SQLite.", "bold")
    say(console, "→ a text to her, ← her reply; quiet hours are off: texts go out at night too\n", "dim")


def _summarise(console: Console, outcome: Outcome, took_s: float) -> None:
    say(console, "")
    for line in _table(outcome):
        say(console, line)
    say(console, "")
    replies = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(outcome.replies.items()))
    say(console, f"texts    {outcome.texts} ({_count(outcome.segments, 'segment')})")
    say(console, f"replies  {sum(outcome.replies.values())}{': ' if replies else ''}{replies}")
    if outcome.waits_ms:
        p50, p99 = outcome.waits_ms
        say(console, f"reply → next question  p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        measured = _count(outcome.waits, "reply", "replies")
        say(console, f"  ({measured}, timed at the message centre until her next text came)", "dim")
    say(console, "")
    if outcome.failures:
        for failure in outcome.failures:
            say(console, failure, "red")
        say(console, f"{len(outcome.failures)} went wrong, in {took_s:.1f} s.", "bold red")
    else:
        about = f"{_count(outcome.cases, 'conversation')} about {_count(outcome.births, 'birth')}"
        ended = f"{about} ended as {'it' if outcome.cases == 1 else 'they'} should"
        say(console, f"{ended}, in {took_s:.1f} s.", "bold green")


def _count(number: int, one: str, many: str = "") -> str:
    """`1 birth`, `2 births`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _table(outcome: Outcome) -> list[str]:
    """Cases by dialog (in the order of the service) and result, aligned."""
    results = sorted({result for _, result in outcome.results})
    dialogs = list(dict.fromkeys(dialog for dialog, _ in outcome.results))
    width = max((len(dialog) for dialog in dialogs), default=0)
    lines = [f"{'cases':{width}}  {'  '.join(f'{result:>{_COLUMN}}' for result in results)}"]
    for dialog in dialogs:
        counts = (f"{outcome.results.get((dialog, result), 0):>{max(_COLUMN, len(result))}}" for result in results)
        lines.append(f"{dialog:{width}}  {'  '.join(counts)}")
    return lines


def _suggest(console: Console) -> None:
    say(console, "\nNext:", "dim")
    width = max(len(command) for command, _ in _NEXT)
    for command, words in _NEXT:
        say(console, f"  {command:{width}}  {words}")


async def _keep(console: Console, world: World, stage: _Stage, ending: asyncio.Event, born_at: str) -> None:
    """Leave everything running until `ending`; phones are lines in the terminal."""
    handsets = Handsets(lambda words, style: say_wrapped(console, words, style), NUMBER)
    handsets.centre = world.centre
    stage.leave(handsets)
    url, tokens = world.api_url, world.tokens
    birth = (
        '{"birth_id": "mine-1", "mother_iin": "950101200109", "msisdn": "77011234567",'
        f' "born_at": "{born_at}", "sex": "female", "alive": true, "birth_order": 1,'
        ' "account": "KZ86125KZT5004100100", "address_kato": "751110000"}'
    )
    say(console, "\nEverything is still running, at the world's own speed, until Ctrl-C:", "bold")
    say(console, f"  HTTP   {url}/docs, and /v1/health, /metrics")
    say(console, f"  SMPP   127.0.0.1:{world.centre_port}, the message centre; the daemon is bound to it")
    say(console, f"  store  {world.store}")
    say(console, f"  log    {world.log}")
    say(console, "\nRecord a birth (the ministry's token), then look at its case (the desk's token):")
    say(console, f"  curl -H 'Authorization: Bearer {tokens['ministry']}' {url}/v1/births -d '{birth}'")
    say(console, f"  curl -H 'Authorization: Bearer {tokens['desk']}' '{url}/v1/cases?birth_id=mine-1'")
    say(console, "\nHer text comes here. Be her: type her number and the reply, for example")
    say(console, "  77011234567 R 1 1 2")
    reading = asyncio.create_task(handsets.read())
    await ending.wait()
    reading.cancel()
    await asyncio.wait((reading,))
