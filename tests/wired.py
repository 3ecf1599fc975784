"""A world on the wire: engine, outbox and a session, bound to a message centre over loopback TCP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from world import World

from smsflow.inbox import Inbox
from smsflow.sender import Sender
from smsflow.smpp.backoff import Backoff
from smsflow.smpp.link import LinkSettings
from smsflow.smpp.session import Session
from smsflow.smpp.smsc import MessageCentre, Text
from smsflow.switchboard import Switchboard
from smsflow.writer import Writer

TIMEOUT_S = 10


class Wired:
    """What a test needs of it."""

    def __init__(self, world: World, centre: MessageCentre, texts: asyncio.Queue[Text], port: int) -> None:
        self.world = world
        self.centre = centre
        self.port = port
        self._texts = texts
        self.sender = Sender(world.store, "1414", lambda: world.now)
        self.writer = Writer(world.store, last=self.sender.claim, after=self.sender.send)
        self.sender.writer = self.writer
        inbox = Inbox(world.replies, world.store, self.writer, lambda: world.now, run="test")
        self.switchboard = Switchboard(inbox, self.sender, lambda: world.now)

    async def text(self) -> str:
        """The next text that arrives at the message centre."""
        return (await asyncio.wait_for(self._texts.get(), TIMEOUT_S)).text

    async def birth(self) -> int:
        case = self.world.birth()
        self.writer.wake()
        return case

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until `holds()`; what it looks at is changed by the wire."""
        async with asyncio.timeout(TIMEOUT_S):
            while not holds():  # noqa: ASYNC110 - the store has no event to wait for
                await asyncio.sleep(0.001)

    def statuses(self) -> list[str]:
        return [row[0] for row in self.world.store._connection.execute("SELECT status FROM outbox ORDER BY id")]


@asynccontextmanager
async def wired(world: World, *, window: int = 64) -> AsyncIterator[Wired]:
    """`world` bound to a message centre."""
    texts: asyncio.Queue[Text] = asyncio.Queue()
    centre = MessageCentre(texts.put_nowait)
    port = await centre.start("127.0.0.1", 0)
    wire = Wired(world, centre, texts, port)
    settings = LinkSettings("main", "127.0.0.1", port, "smsflow", "secret", window=window)
    session = Session(settings, wire.switchboard, backoff=Backoff(lambda: 0.0))
    wire.switchboard.add(session)
    task = asyncio.create_task(session.run())
    try:
        await asyncio.wait_for(centre.wait_bound(), TIMEOUT_S)
        yield wire
    finally:
        await session.stop(1)
        await task
        await centre.stop()
        wire.writer.commit()
