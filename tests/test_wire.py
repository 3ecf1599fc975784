"""Engine, outbox and SMPP together, over real TCP: commit before acknowledge, nothing lost, nothing twice."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import structlog
from wired import Wired, wired
from world import PHONE, World, a_world

from smsflow.smpp.statuses import Status

NAME = "Нұрмұхамбетова Айгерім Әбілмансұрқызы"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


def play(world: World, story: Callable[[Wired], Awaitable[None]]) -> None:
    async def run() -> None:
        async with wired(world) as wire:
            await story(wire)

    asyncio.run(run())


def test_a_turn_over_the_wire(world: World) -> None:
    """deliver_sm, commit, response, next question; delivered by receipt."""

    async def story(wire: Wired) -> None:
        await wire.birth()
        assert await wire.text() == "greeting R 1 1 1 R 1 1 2"
        assert await wire.centre.send(PHONE, "R 1 1 1") == Status.ROK
        assert await wire.text() == "name R 1 1 1"
        await wire.until(lambda: wire.statuses() == ["delivered", "delivered"])

    play(world, story)


def test_long_kazakh_name_comes_in_parts(world: World) -> None:
    """A reply of several parts is one reply."""

    async def story(wire: Wired) -> None:
        case = await wire.birth()
        await wire.text()
        await wire.centre.send(PHONE, "R 1 1 2")
        await wire.text()
        reply = f"R 1 1 2 {' ' * 50}{NAME}"
        assert len(reply) > 70
        assert await wire.centre.send(PHONE, reply) == Status.ROK
        assert (await wire.text()).startswith("education")
        assert world.case(case).answers["child_name"] == NAME

    play(world, story)


def test_reply_that_cannot_be_committed_is_refused_for_now(world: World) -> None:
    """A full disk: a temporary error, so that the message centre delivers again; then it counts, once."""

    async def story(wire: Wired) -> None:
        case = await wire.birth()
        await wire.text()
        execute = world.store._connection.execute
        execute(
            "CREATE TEMP TRIGGER full BEFORE INSERT ON journal"
            " BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
        )
        assert await wire.centre.send(PHONE, "R 1 1 2") == Status.RSYSERR
        assert "disk is full" in str(wire.writer.failing)
        assert world.case(case).state == "greeting"
        execute("DROP TRIGGER full")
        assert await wire.centre.send(PHONE, "R 1 1 2") == Status.ROK
        assert world.case(case).state == "child_name"

    play(world, story)


def test_reply_that_hits_a_bug_of_ours_is_kept(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is stored raw, flagged and acknowledged, and costs nobody else anything."""

    async def story(wire: Wired) -> None:
        await wire.birth()
        await wire.text()
        handle = world.replies._handle

        def stumble(inbound: object) -> object:
            if getattr(inbound, "text", "") == "bug":
                raise ZeroDivisionError
            return handle(inbound)  # type: ignore[arg-type]

        monkeypatch.setattr(world.replies, "_handle", stumble)
        answers = await asyncio.gather(wire.centre.send(PHONE, "bug"), wire.centre.send(PHONE, "R 1 1 2"))
        assert answers == [Status.ROK, Status.ROK]
        assert await wire.text() == "name R 1 1 2"

    play(world, story)
    rows = world.store._connection.execute("SELECT text, reason FROM inbound ORDER BY id").fetchall()
    assert ("bug", "failed") in rows
    assert world.flags() == ["reply_failed"]


def test_connection_that_is_cut_costs_no_text(world: World) -> None:
    """What was queued goes out after the link is back."""

    async def story(wire: Wired) -> None:
        await wire.birth()
        await wire.text()
        wire.centre.drop_connections()
        await wire.until(lambda: not wire.switchboard.health[0].bound_since)
        with world.store.transaction():
            world.births.record_birth(a_birth("b2", "77017654321"), world.now)
        wire.writer.wake()
        assert await wire.text() == "greeting R 1 1 1 R 1 1 2"

    play(world, story)


def a_birth(birth_id: str, msisdn: str) -> object:
    from smsflow.store.people import Birth

    return Birth(birth_id, "950101200002", msisdn, "2026-11-18T08:00:00+05:00", "male", True, 1, "", "")


def test_same_reply_on_a_new_connection_is_one_reply(world: World) -> None:
    """The response was lost with the connection: delivered again, acknowledged, no second text."""

    async def story(wire: Wired) -> None:
        case = await wire.birth()
        await wire.text()
        await wire.centre.send(PHONE, "nonsense")
        assert (await wire.text()).startswith("hint")
        wire.centre.drop_connections()
        await asyncio.wait_for(wire.centre.wait_bound(), 10)
        assert await wire.centre.send(PHONE, "nonsense") == Status.ROK
        assert world.case(case).misread == 1

    play(world, story)
    assert len(world.store._connection.execute("SELECT 1 FROM outbox").fetchall()) == 2


def test_nothing_personal_in_the_log(world: World) -> None:
    """At INFO and above no number, name, text or account; one line a reply."""
    with structlog.testing.capture_logs() as lines:

        async def story(wire: Wired) -> None:
            await wire.birth()
            await wire.text()
            for reply in ("R 1 1 2", f"R 1 1 2 {NAME}", "чепуха"):
                await wire.centre.send(PHONE, reply)
                await wire.text()

        play(world, story)

    seen = [line for line in lines if line["log_level"] != "debug"]
    assert sum(line["event"] == "reply.handled" for line in seen) == 3
    for personal in (PHONE, "Нұрмұхамбетова", "чепуха", "950101200109"):
        assert personal not in json.dumps(seen, ensure_ascii=False, default=str)
