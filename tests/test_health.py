"""Health tells the truth: of the real process over HTTP, and of each figure alone."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import repeat
from pathlib import Path
from random import Random
from typing import Any

import pytest
from api_world import BOUND, an_api
from by_hand import Centre
from process import Daemon, a_free_port, seams, write_config
from world import NOON, PHONE, ZONE, World, a_world

from smsflow.core.effects import Send, Urgency
from smsflow.health import Health, Pulse
from smsflow.store.outbox import Routes
from smsflow.store.queries import Queries

TIMEOUT_S = 30
BIRTH = {
    "birth_id": "b1", "mother_iin": "950101200109", "msisdn": PHONE, "sex": "female", "alive": True,
    "born_at": "2026-11-20T08:00:00+05:00", "birth_order": 1,
}  # fmt: skip


@asynccontextmanager
async def a_daemon(
    folder: Path, *, probe_s: float = 10.0, commit_s: float = 0.0
) -> AsyncIterator[tuple[Daemon, Centre]]:
    """A daemon as a process, bound to a centre by hand."""
    centre = Centre(Random(1), lambda *_: None)
    config = write_config(folder, await centre.start(), a_free_port())
    api_port = int(config.read_text().split("listen: 127.0.0.1:")[1].split()[0])
    daemon = Daemon(config, api_port, seams(commit_s=commit_s, probe_s=probe_s))
    await daemon.start()
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await daemon.until_healthy()
            yield daemon, centre
    finally:
        await daemon.end()
        centre.stop()


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    for pause_s in repeat(0.05):
        if await holds():
            return
        await asyncio.sleep(pause_s)


async def live(daemon: Daemon) -> int:
    async with daemon.http() as http:
        return (await http.get("/v1/health/live")).status_code


def test_disk_that_refuses_is_told_until_it_takes_again(tmp_path: Path) -> None:
    """503 without a break while nothing can be written, though nobody writes; 200 again by itself."""

    async def play() -> None:
        async with a_daemon(tmp_path) as (daemon, centre):
            daemon.limit_files(1)
            reply = centre.reply(PHONE, "R 1 1 2")
            await centre.until(lambda: bool(reply.tries[-1][1]))
            centre.drop(rudely=False)  # it is not delivered again until the next bind, at which the link is up
            for _ in range(15):
                status, health = await daemon.health()
                assert (status, health["store"] == "ok") == (503, False)
                assert any(reason.startswith("store: ") for reason in health["reasons"])
                await asyncio.sleep(0.1)
            assert await live(daemon) == 200
            daemon.limit_files(-1)
            await daemon.until_healthy()
            await centre.until(lambda: reply.acknowledged)

    asyncio.run(play())


def test_disk_is_tried_when_nothing_is_written(tmp_path: Path) -> None:
    """A full disk is told before the first reply is refused."""

    async def play() -> None:
        async with a_daemon(tmp_path, probe_s=0.5) as (daemon, _):
            daemon.limit_files(1)
            await until(lambda: is_status(daemon, 503))
            assert (await daemon.health())[1]["links"][0]["bound_since"]

    asyncio.run(play())


async def is_status(daemon: Daemon, status: int) -> bool:
    return (await daemon.health())[0] == status


def test_age_of_the_oldest_text_grows_until_it_goes_out(tmp_path: Path) -> None:
    """While no link is bound; and it is in `/metrics` too."""

    async def play() -> None:
        async with a_daemon(tmp_path) as (daemon, centre):
            assert (await daemon.health())[1]["oldest_queued_s"] == 0
            centre.refuses = True
            centre.drop(rudely=True)
            await until(lambda: is_status(daemon, 503))
            async with daemon.http("ward") as http:
                await http.post("/v1/births", json=BIRTH)
                began = time.monotonic()
                await asyncio.sleep(1)
                told = (await daemon.health())[1]["oldest_queued_s"]
                assert abs(told - (time.monotonic() - began)) < 0.3
                metrics = (await http.get("/metrics")).text
            assert float(metrics.split("\nsmsflow_oldest_queued_seconds ")[1].split()[0]) >= told
            centre.refuses = False
            await daemon.until_healthy()
            await centre.until(lambda: bool(centre.texts))
            await until(lambda: is_none_queued(daemon))

    asyncio.run(play())


async def is_none_queued(daemon: Daemon) -> bool:
    return bool((await daemon.health())[1]["oldest_queued_s"] == 0)


def test_lag_of_the_loop_is_told(tmp_path: Path) -> None:
    """A commit that takes a second makes a tick late, and that is remembered for some seconds."""

    async def play() -> None:
        async with a_daemon(tmp_path, commit_s=1.0) as (daemon, centre):
            reply = centre.reply(PHONE, "R 1 1 2")
            await centre.until(lambda: reply.acknowledged)
            health = (await daemon.health())[1]
            assert health["last_write_s"] < 0.5
            await until(lambda: has_lagged(daemon))

    asyncio.run(play())


async def has_lagged(daemon: Daemon) -> bool:
    return bool((await daemon.health())[1]["loop_lag_s"] > 0.4)


# --- each figure ----------------------------------------------------------------------------------------------


def queue(world: World, *, route: str = "", urgency: Urgency = Urgency.ANSWER, held_s: float = 0) -> None:
    with world.store.transaction():
        world.store.outbox.use_routes(Routes(frozenset({"main", "other"}), ((PHONE, route),) if route else ()))
        send = Send("text", urgency, world.now + timedelta(seconds=held_s))
        world.store.outbox.add(None, PHONE, send, None, world.now)


@pytest.fixture
def queries(tmp_path: Path):
    with a_world(tmp_path) as world:
        found = Queries(tmp_path / "store.db", ZONE, world.engine._library)
        yield world, found
        found.close()


def test_oldest_text_of_any_route_and_urgency_counts(queries) -> None:
    """The first of each line; none without texts."""
    world, found = queries
    assert found.find_oldest_queued() is None
    began = world.now
    for route, urgency in (("", Urgency.ANSWER), ("other", Urgency.ANSWER), ("main", Urgency.NOTICE)):
        queue(world, route=route, urgency=urgency)
        world.now += timedelta(seconds=10)
    for passed in (0, 10, 20):
        assert found.find_oldest_queued() == began + timedelta(seconds=passed)
        world.store._connection.execute("DELETE FROM outbox WHERE id = (SELECT min(id) FROM outbox)")


def test_held_text_waits_from_its_time_on(queries) -> None:
    """The night is no delay."""
    world, found = queries
    queue(world, held_s=3600)
    assert found.find_oldest_queued() is None
    world.wait(timedelta(hours=2))

    assert found.find_oldest_queued() == NOON + timedelta(hours=1)


def test_no_health_scans_the_queue(queries) -> None:
    """One look by index for each route and urgency, however many wait."""
    world, found = queries
    for _ in range(3):
        queue(world)
    statements: list[str] = []
    found._connection.set_trace_callback(statements.append)
    found.find_oldest_queued()
    found._connection.set_trace_callback(None)
    plans = [row[3] for each in statements for row in found._connection.execute(f"EXPLAIN QUERY PLAN {each}")]

    assert len(statements) == 2
    assert all(plan.startswith("SEARCH outbox USING INDEX outbox_queued") for plan in plans)


def test_loop_without_a_beat_is_not_alive() -> None:
    """Ten seconds; and the lag is the worst of the last ticks."""
    clock = [0.0]
    pulse = Pulse(lambda: clock[0])
    clock[0] = 9.9
    assert pulse.alive
    clock[0] = 10.0
    assert not pulse.alive
    pulse.beat()
    assert pulse.alive
    for lag_s in (0.1, 3.0, -0.1):
        pulse.note_lag(lag_s)
    assert pulse.lag_s == 3.0
    for _ in range(20):
        pulse.note_lag(0.2)
    assert pulse.lag_s == 0.2


def test_stuck_loop_is_told_to_orchestrators(tmp_path: Path) -> None:
    """`/v1/health/live` is about the process alone; `/v1/health` about everything."""

    async def play() -> list[tuple[int, Any]]:
        answers = []
        async with an_api(tmp_path) as api:
            for health in (Health("disk full", (BOUND,)), Health("", (BOUND,), alive=False)):
                api.health = health
                for path in ("/v1/health/live", "/v1/health"):
                    answer = await api.get(path)
                    answers.append((answer.status_code, answer.json()["status"]))
        return answers

    assert asyncio.run(play()) == [(200, "alive"), (503, "failing"), (503, "stuck"), (503, "failing")]


def test_figures_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    """Null in the answer, nothing in `/metrics`; the rest is told."""

    async def play() -> tuple[Any, str]:
        async with an_api(tmp_path) as api:
            api.health = Health("gone", (BOUND,), oldest_queued_s=None, oldest_unanswered_s=2.5)
            return (await api.get("/v1/health")).json(), (await api.get("/metrics")).text

    health, metrics = asyncio.run(play())
    assert (health["oldest_queued_s"], health["oldest_unanswered_s"]) == (None, 2.5)
    assert "smsflow_oldest_queued_seconds" not in metrics
    assert "\nsmsflow_oldest_unanswered_seconds 2.5\n" in metrics
    assert "\nsmsflow_store_writes 0.0\n" in metrics
