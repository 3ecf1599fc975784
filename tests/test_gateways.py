"""Applications reach bodies over real HTTP: once taken never again, refused and flagged, or tried until taken."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from world import World, a_world

from smsflow.config import GatewayConfig
from smsflow.gateways import Gateways, Verdict, pause_after, verdict_of
from smsflow.store.rows import utc
from smsflow.writer import Writer

NAME = "Ахметов Нурлан"


@dataclass
class Body:
    """A state body: answers with `statuses` in turn (the last for ever; 0 = never), and remembers what came."""

    statuses: list[int]
    requests: list[tuple[dict[str, str], dict[str, object]]] = field(default_factory=list)
    url: str = ""
    location: str = ""  # where it sends those who ask

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await self._read_head(reader):
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head)}
            content = await reader.readexactly(int(headers["content-length"]))
            status = self.statuses[min(len(self.requests), len(self.statuses) - 1)]
            self.requests.append((headers, json.loads(content)))
            if status == 0:
                await reader.read()
                break
            more = f"Location: {self.location}\r\n" if self.location else ""
            writer.write(f"HTTP/1.1 {status} X\r\n{more}Content-Length: 0\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    async def _read_head(self, reader: asyncio.StreamReader) -> list[str]:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return []
        return head.decode().split("\r\n")[1:-2]


@dataclass
class Scene:
    world: World
    gateways: Gateways
    body: Body

    def row(self) -> tuple[str, int, str]:
        """Status, tries and error of the one application."""
        row = self.world.store._connection.execute("SELECT status, attempts, error FROM application").fetchone()
        return (row[0], row[1], row[2] or "")

    def kinds(self) -> Counter[object]:
        """How many applications of each kind have come to the body."""
        return Counter(content["kind"] for _, content in self.body.requests)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():  # noqa: ASYNC110 - what is awaited is a row
                await asyncio.sleep(0.002)


def apply(world: World) -> None:
    """A mother answers everything: an application is due."""
    world.birth()
    for text in ("R 1 1 2", f"R 1 1 2 {NAME}", "R 1 1 2 1", "R 1 1 2 1 1", "R 1 1 2 1 1 1"):
        world.reply(text)


@asynccontextmanager
async def a_scene(
    world: World,
    *statuses: int,
    kind: str | tuple[str, ...] = "registration",
    timeout_s: float = 5.0,
    jitter: float = 0.0,
):
    """Running gateways, and a body behind them."""
    body = Body(list(statuses))
    server = await asyncio.start_server(body.serve, "127.0.0.1", 0)
    body.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/in"
    writer = Writer(world.store, last=lambda: None, after=lambda _: None)
    kinds = (kind,) if isinstance(kind, str) else kind
    configs = dict.fromkeys(kinds, GatewayConfig(body.url, "secret", timeout_s))
    gateways = Gateways(configs, world.store, writer, lambda: world.now, jitter=lambda: jitter)
    running = asyncio.create_task(gateways.run())
    try:
        yield Scene(world, gateways, body)
    finally:
        await gateways.stop()
        await running
        server.close()
        await server.wait_closed()


def play(folder, scenario, *statuses, **options):
    with a_world(folder) as world:

        async def main():
            async with a_scene(world, *statuses, **options) as scene:
                await scenario(scene)

        asyncio.run(main())


def test_application_reaches_its_body_once(tmp_path):
    """The body gets what design §6 promises; taken is taken."""

    async def scenario(scene):
        apply(scene.world)
        scene.gateways.wake()
        await scene.until(lambda: scene.row()[0] == "taken")
        scene.world.now += timedelta(hours=1)
        scene.gateways.wake()
        await asyncio.sleep(0.05)
        [(headers, content)] = scene.body.requests
        assert headers["idempotency-key"] == "1"
        assert headers["authorization"] == "Bearer secret"
        assert (content["application"], content["case"], content["kind"]) == ("1", "1", "registration")
        assert content["data"]["child_name"] == NAME
        assert scene.world.flags() == []

    play(tmp_path, scenario, 201)


def test_refused_application_is_flagged_and_not_sent_again(tmp_path):
    """4xx is about the application: a person looks."""

    async def scenario(scene):
        apply(scene.world)
        scene.gateways.wake()
        await scene.until(lambda: scene.row()[0] == "refused")
        assert scene.row() == ("refused", 1, "http_422")
        assert scene.world.flags() == ["application_refused"]

    play(tmp_path, scenario, 422)


def test_body_that_is_down_is_tried_again_with_growing_pauses(tmp_path):
    """The same key at each try; no try before its time."""

    async def scenario(scene):
        apply(scene.world)
        for tries, pause_s in ((1, 2), (2, 4), (3, 8)):
            scene.gateways.wake()
            await scene.until(lambda tries=tries: scene.row()[1] == tries)
            scene.world.now += timedelta(seconds=pause_s - 0.01)
            scene.gateways.wake()
            await asyncio.sleep(0.02)
            assert len(scene.body.requests) == tries
            scene.world.now += timedelta(seconds=0.02)
        scene.gateways.wake()
        await scene.until(lambda: scene.row()[0] == "taken")
        assert [headers["idempotency-key"] for headers, _ in scene.body.requests] == ["1"] * 4

    play(tmp_path, scenario, 500, 429, 503, 200)


def test_body_that_hangs_is_tried_again(tmp_path):
    """No answer within the timeout is no answer."""

    async def scenario(scene):
        apply(scene.world)
        scene.gateways.wake()
        await scene.until(lambda: scene.row()[1] == 1)
        assert scene.row() == ("queued", 1, "TimeoutError")

    play(tmp_path, scenario, 0, timeout_s=0.05)


def test_body_that_cannot_be_reached_is_tried_again(tmp_path):
    """A refused connection waits for better times."""
    with a_world(tmp_path) as world:
        apply(world)

        async def main():
            writer = Writer(world.store, last=lambda: None, after=lambda _: None)
            configs = {"registration": GatewayConfig("http://127.0.0.1:9/in", None, 1.0)}
            gateways = Gateways(configs, world.store, writer, lambda: world.now)
            running = asyncio.create_task(gateways.run())
            scene = Scene(world, gateways, Body([]))
            await scene.until(lambda: scene.row()[1] == 1)
            await gateways.stop()
            await running
            assert scene.row() == ("queued", 1, "ConnectError")

        asyncio.run(main())


def test_tries_go_on_after_a_restart(tmp_path):
    """What was not taken stands in the store, with its key."""
    with a_world(tmp_path) as world:
        apply(world)

        async def first():
            async with a_scene(world, 500) as scene:
                await scene.until(lambda: scene.row()[1] == 1)

        async def second():
            world.now += timedelta(seconds=3)
            async with a_scene(world, 200) as scene:
                await scene.until(lambda: scene.row()[0] == "taken")
                assert [headers["idempotency-key"] for headers, _ in scene.body.requests] == ["1"]

        asyncio.run(first())
        asyncio.run(second())


def test_stop_does_not_wait_for_a_body_that_hangs(tmp_path):
    """What is under way at the end is sent again after the next start."""

    async def scenario(scene):
        apply(scene.world)
        scene.gateways.wake()
        await scene.until(lambda: len(scene.body.requests) == 1)
        async with asyncio.timeout(4):
            await scene.gateways.stop()
        assert scene.row() == ("queued", 0, "")

    play(tmp_path, scenario, 0, timeout_s=60.0)


def test_kind_without_a_gateway_is_flagged_once_and_put_off(tmp_path):
    """A person has to configure it; the application waits."""

    async def scenario(scene):
        apply(scene.world)
        for tries in (1, 2):
            scene.gateways.wake()
            await scene.until(lambda tries=tries: scene.row()[1] == tries)
            scene.world.now += timedelta(minutes=15)
        assert scene.row()[::2] == ("queued", "no_gateway")
        assert scene.world.flags() == ["no_gateway"]
        assert scene.body.requests == []

    play(tmp_path, scenario, 200, kind="kindergarten")


def add_applications(world: World, count: int, kind: str = "registration") -> None:
    with world.store.transaction():
        for _ in range(count):
            world.store._connection.execute(
                "INSERT INTO application (conversation, kind, data, status, next_at, created_at)"
                " SELECT 1, ?, '{}', 'queued', next_at, created_at FROM application WHERE id = 1",
                (kind,),
            )


def test_application_that_is_under_way_is_not_posted_again(tmp_path):
    """However often the gateways are woken while the body thinks; the others go."""

    async def scenario(scene):
        apply(scene.world)
        for count in range(1, 4):
            scene.gateways.wake()
            await scene.until(lambda count=count: len(scene.body.requests) == count)
            add_applications(scene.world, 1)
        assert [headers["idempotency-key"] for headers, _ in scene.body.requests] == ["1", "2", "3"]

    play(tmp_path, scenario, 0, timeout_s=60.0)


def test_body_that_hangs_has_sixteen_at_once_and_holds_up_no_other(tmp_path):
    """More wait for the one than are looked at in one go; those of the other go at once."""

    async def scenario(scene):
        apply(scene.world)
        add_applications(scene.world, 400)
        scene.gateways.wake()
        await scene.until(lambda: len(scene.body.requests) == 16)
        add_applications(scene.world, 2, kind="allowance")
        scene.gateways.wake()
        await scene.until(lambda: scene.kinds() == Counter(registration=16, allowance=2))
        scene.gateways.wake()
        await scene.until(lambda: len(scene.gateways._under_way) == 18)
        await asyncio.sleep(0.02)
        assert scene.kinds() == Counter(registration=16, allowance=2)

    play(tmp_path, scenario, 0, kind=("registration", "allowance"), timeout_s=60.0)


def test_redirect_is_not_followed(tmp_path):
    """Names and accounts go to the address of the configuration, and to no other."""

    async def scenario(scene):
        scene.body.location = scene.body.url + "/elsewhere"
        apply(scene.world)
        scene.gateways.wake()
        await scene.until(lambda: scene.row()[1] == 1)
        assert scene.row() == ("queued", 1, "http_307")
        assert len(scene.body.requests) == 1

    play(tmp_path, scenario, 307, 200)


def test_proxy_of_the_environment_is_not_used(tmp_path, monkeypatch):
    """What is configured is in one file."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)

    async def scenario(scene):
        apply(scene.world)
        scene.gateways.wake()
        await scene.until(lambda: scene.row()[1] == 1)
        assert scene.row() == ("taken", 1, "")

    play(tmp_path, scenario, 200)


@pytest.mark.parametrize(("jitter", "pause_s"), [(0.0, 2), (1.0, 1)])
def test_pauses_between_tries_are_jittered(tmp_path, jitter, pause_s):
    """Else all that a body was down for would come back in one moment."""

    async def scenario(scene):
        apply(scene.world)
        scene.gateways.wake()
        await scene.until(lambda: scene.row()[1] == 1)
        (next_at,) = scene.world.store._connection.execute("SELECT next_at FROM application").fetchone()
        assert next_at == utc(scene.world.now + timedelta(seconds=pause_s))

    play(tmp_path, scenario, 500, jitter=jitter)


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (200, Verdict.TAKEN), (202, Verdict.TAKEN), (299, Verdict.TAKEN), (301, Verdict.AGAIN),
        (400, Verdict.REFUSED), (404, Verdict.REFUSED), (409, Verdict.REFUSED), (408, Verdict.AGAIN),
        (425, Verdict.AGAIN), (429, Verdict.AGAIN), (500, Verdict.AGAIN), (503, Verdict.AGAIN),
    ],
)  # fmt: skip
def test_status_means_what_the_design_says(status, verdict):
    """2xx = taken, 4xx = refused and flagged, else tried again."""
    assert verdict_of(status) is verdict


def test_pauses_grow_to_a_quarter_of_an_hour():
    """2 s, 4 s … 15 min; jitter cuts up to half."""
    assert [pause_after(attempts, 0.0).total_seconds() for attempts in (0, 1, 2, 8, 9, 1000)] == [
        2,
        4,
        8,
        512,
        900,
        900,
    ]
    assert pause_after(0, 1.0).total_seconds() == 1
