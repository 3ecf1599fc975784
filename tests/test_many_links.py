"""Links as operators have them: two message centres, one daemon's worth of parts, real TCP, a real store."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from wired import Wired
from world import PHONE, World, a_world

from smsflow.core.effects import Send, Urgency
from smsflow.smpp.backoff import Backoff, Pauses
from smsflow.smpp.codec import DeliverSm, DeliverSmResp, Framer, decode, encode
from smsflow.smpp.faults import Faults, make_rule
from smsflow.smpp.faults import Rule as FaultRule
from smsflow.smpp.link import LinkSettings
from smsflow.smpp.session import Session
from smsflow.smpp.smsc import MessageCentre, Text
from smsflow.smpp.statuses import Rule, Status, Verdict
from smsflow.store.outbox import Routes

NORTH, SOUTH = "77010000001", "77020000002"
PATIENCE_S = 20


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with a_world(tmp_path) as world:
        yield world


class Country:
    """Two centres, `north` for 7701 and `south` for 7702, and what has arrived at each."""

    def __init__(self, world: World, faults: Faults | None) -> None:
        """`faults` are those of the centre in the north."""
        self.texts: dict[str, asyncio.Queue[Text]] = {"north": asyncio.Queue(), "south": asyncio.Queue()}
        self.centres = {
            "north": MessageCentre(self.texts["north"].put_nowait, faults=faults),
            "south": MessageCentre(self.texts["south"].put_nowait),
        }
        self.wire = Wired(world, self.centres["north"], self.texts["north"], 0)
        self.world = world

    def say(self, *pairs: tuple[str, str]) -> None:
        with self.world.store.transaction():
            for msisdn, text in pairs:
                send = Send(text, Urgency.ANSWER, self.world.now)
                self.world.store.outbox.add(None, msisdn, send, None, self.world.now)
        self.wire.writer.wake()

    async def next(self, name: str) -> str:
        return (await asyncio.wait_for(self.texts[name].get(), PATIENCE_S)).text


@asynccontextmanager
async def a_country(world: World, bind: str, faults: Faults | None, **link: object) -> AsyncIterator[Country]:
    country = Country(world, faults)
    sessions, tasks = [], []
    with world.store.transaction():
        world.store.outbox.use_routes(Routes(frozenset({"north", "south"}), (("7701", "north"), ("7702", "south"))))
    for name, centre in country.centres.items():
        port = await centre.start()
        for each in bind.split("+"):
            settings = LinkSettings(name, "127.0.0.1", port, "id", "pw", bind=each, **link)
            session = Session(
                settings, country.wire.switchboard, backoff=Backoff(lambda: 0.5, ordinary=Pauses(0.05, 0.1))
            )
            country.wire.switchboard.add(session)
            sessions.append(session)
            tasks.append(asyncio.create_task(session.run()))
    try:
        await country.wire.until(lambda: all(health.bound_since for health in country.wire.switchboard.health))
        yield country
    finally:
        await asyncio.gather(*(session.stop(1) for session in sessions))
        await asyncio.gather(*tasks, *(centre.stop() for centre in country.centres.values()))
        country.wire.writer.commit()


def play(
    world: World,
    story: Callable[[Country], Awaitable[None]],
    bind: str = "transceiver",
    *faults: FaultRule,
    **link: object,
) -> None:
    async def run() -> None:
        async with asyncio.timeout(2 * PATIENCE_S), a_country(world, bind, Faults(faults), **link) as country:
            await story(country)

    asyncio.run(run())


@pytest.mark.parametrize("bind", ["transceiver", "receiver+transmitter"])
def test_text_goes_by_prefix_until_the_person_writes_by_another_link(world: World, bind: str) -> None:
    """Then by that one, the very answer too."""

    async def story(country: Country) -> None:
        country.say((NORTH, "to north"), (SOUTH, "to south"))
        assert [await country.next("north"), await country.next("south")] == ["to north", "to south"]
        assert await country.centres["south"].send(NORTH, "hello?") == 0
        assert await country.next("south")  # the explanation
        country.say((NORTH, "again"))
        assert await country.next("south") == "again"

    play(world, story, bind)


def test_link_that_goes_down_is_stood_in_for_on_the_wire(world: World) -> None:
    """Texts for it go by the other; replies that come by the other are answered there."""

    async def story(country: Country) -> None:
        await country.centres["north"].stop()
        await country.wire.until(lambda: not country.wire.switchboard.health[0].bound_since)
        country.say(*((NORTH, f"text {number}") for number in range(5)))
        assert [await country.next("south") for _ in range(5)] == [f"text {number}" for number in range(5)]

    play(world, story)


@pytest.mark.parametrize(("pause_s", "by"), [(60.0, "south"), (0.3, "north")])
def test_21_a_link_that_is_throttled_for_long_is_stood_in_for(world: World, pause_s: float, by: str) -> None:
    """Its texts go by the other, in order, also that which was refused; a short pause is waited for."""

    async def story(country: Country) -> None:
        country.say(*((NORTH, f"text {number}") for number in range(5)), (SOUTH, "to south"))
        arrived = [await country.next(by) for _ in range(5 + (by == "south"))]
        assert [text for text in arrived if text != "to south"] == [f"text {number}" for number in range(5)]
        assert country.texts["north"].empty()
        assert country.wire.switchboard.desk.figures()[0].throttles == 1

    rules = {Status.RTHROTTLED: Rule(Verdict.PAUSE, pause_s=pause_s)}
    play(world, story, "transceiver", make_rule("throttle", {"times": 1}), rules=rules)


def test_texts_that_wait_for_a_link_leave_by_another_when_an_operator_pauses_it(world: World) -> None:
    """What was claimed and not begun is given back; of what was begun the answer is waited for."""
    phones = [f"7701000000{number}" for number in range(3)]
    texts = [f"{'é' * 90}{number}" for number in range(3)]  # in ASCII two parts each, where one was reckoned with

    async def story(country: Country) -> None:
        country.say(*zip(phones, texts, strict=True))
        assert await country.next("north") == texts[0]
        await country.wire.until(lambda: country.wire.statuses() == ["sending", "sending", "queued"])
        await country.wire.switchboard.desk.hold("north", held=True)
        assert [await country.next("south") for _ in range(2)] == texts[1:]
        assert country.texts["north"].empty()

    dropped = make_rule("drop", {})
    play(world, story, "transceiver", dropped, window=2, alphabet="ascii")


def test_24_a_burst_of_two_thousand_replies_in_one_write_is_kept_and_answered(world: World) -> None:
    """Each is on the disk before it is answered, each once; from one socket write, read with bounded memory."""
    burst = b"".join(
        encode(
            DeliverSm(
                sequence=number,
                source_addr=f"7705{number:07}",
                destination_addr="1414",
                short_message=b"R 1 1 %d" % number,
            )
        )
        for number in range(1, 2001)
    )

    async def story() -> None:
        answers: list[int] = []
        done = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            framer = Framer("test")
            await reader.read(65536)  # the bind
            writer.write(bytes.fromhex("00000013 80000009 00000000 00000001 736300") + burst)
            while len(answers) < 2000:
                for frame in framer.receive(await reader.read(65536)):
                    pdu = decode(frame)
                    if isinstance(pdu, DeliverSmResp):
                        assert pdu.status == 0
                        answers.append(pdu.sequence)
            done.set()
            while await reader.read(65536):
                pass
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        wire = Wired(world, MessageCentre(lambda _: None), asyncio.Queue(), 0)
        settings = LinkSettings("main", "127.0.0.1", server.sockets[0].getsockname()[1], "id", "", window=1)
        session = Session(settings, wire.switchboard)
        wire.switchboard.add(session)
        task = asyncio.create_task(session.run())
        await asyncio.wait_for(done.wait(), PATIENCE_S)
        await session.stop(0.2)
        await task
        server.close()
        assert Counter(answers) == Counter(range(1, 2001))

    asyncio.run(story())
    rows = world.store._connection.execute("SELECT msisdn FROM inbound").fetchall()
    assert Counter(row[0] for row in rows) == Counter(f"7705{number:07}" for number in range(1, 2001))


def test_20_after_a_cut_every_text_arrives_and_none_more_than_twice(world: World) -> None:
    """A centre that takes texts, answers none of them, and hangs up; then one that answers."""

    async def story(country: Country) -> None:
        phones = [f"7701{number:07}" for number in range(200)]
        country.say(*((phone, "hello") for phone in phones))
        await country.next("north")
        country.centres["north"].drop_connections()
        await country.wire.until(lambda: set(country.wire.statuses()) <= {"accepted", "delivered"})
        arrived = Counter([country.texts[name].get_nowait().destination for name in ("north", "south")
                           for _ in range(country.texts[name].qsize())])  # fmt: skip
        assert set(arrived) >= set(phones[1:])
        assert max(arrived.values()) <= 2

    play(world, story)


def test_phone_of_a_reply_is_not_in_two_places(world: World) -> None:
    """The link is kept with the phone, and STOP and explanations with it stay."""
    with world.store.transaction():
        world.store.people.note_link(PHONE, "north")
        world.store.people.mark_stopped(PHONE, frozenset(), world.now)
        world.store.people.note_link(PHONE, "south")
        assert world.store.people.is_stopped(PHONE)
    assert world.store._connection.execute("SELECT link FROM phone").fetchall() == [("south",)]
