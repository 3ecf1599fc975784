"""Group commit: one transaction for all, and nobody pays for another's failure."""

import asyncio
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from disks import small_disk
from world import NOON, World, a_world

from smsflow.core.errors import StoreError
from smsflow.writer import _BULK_S, Writer


def writer_of(world: World) -> Writer:
    return Writer(world.store, last=list, after=lambda claimed: None)


def flag(world: World, reason: str) -> Any:
    return lambda: world.store.flags.add(None, reason, NOON)


def test_what_arrives_together_is_committed_together(tmp_path: Path) -> None:
    """Three jobs, one COMMIT."""
    with a_world(tmp_path) as world:
        statements: list[str] = []
        world.store._connection.set_trace_callback(statements.append)

        async def play() -> None:
            writer = writer_of(world)
            await asyncio.gather(*(writer.run(flag(world, name)) for name in "abc"))

        asyncio.run(play())

        assert statements.count("COMMIT") == 1
        assert world.flags() == ["a", "b", "c"]


def test_what_may_wait_goes_with_the_next_transaction(tmp_path: Path) -> None:
    """Nobody is answered when it is written: it costs no COMMIT of its own while others come."""
    with a_world(tmp_path) as world:
        statements: list[str] = []
        world.store._connection.set_trace_callback(statements.append)

        async def play() -> None:
            writer = writer_of(world)
            writer.submit(flag(world, "a"), lambda *_: None, may_wait=True)
            for _ in range(3):
                await asyncio.sleep(0)  # the loop goes round, and nothing is begun
            assert statements == []
            await writer.run(flag(world, "b"))

        asyncio.run(play())

        assert statements.count("COMMIT") == 1
        assert world.flags() == ["a", "b"]


def test_what_may_wait_does_not_wait_for_ever(tmp_path: Path) -> None:
    """When nothing else comes it is written by itself, each time anew."""
    with a_world(tmp_path) as world:

        async def play() -> None:
            writer = writer_of(world)
            for name in "ab":
                done = asyncio.Event()
                writer.submit(flag(world, name), lambda *_, done=done: done.set(), may_wait=True)
                await asyncio.wait_for(done.wait(), 5)

        asyncio.run(play())

        assert world.flags() == ["a", "b"]


def test_job_after_others_is_run_after_those_that_came_later(tmp_path: Path) -> None:
    """In the same transaction, before the bulk; and the next time it has to be said again."""
    with a_world(tmp_path) as world:
        ran: list[str] = []

        async def play() -> None:
            writer = writer_of(world)
            for _ in range(2):
                writer.submit_bulk(lambda: ran.append("bulk"), lambda *_: None)
                writer.submit(lambda: ran.append("late"), lambda *_: None, after_others=True)
                writer.submit(lambda: ran.append("first"), lambda *_: None)
                writer.submit(lambda: ran.append("later"), lambda *_: None, after_others=True)
                await writer.run(lambda: ran.append("second"))
                await writer.run(lambda: ran.append("|"))

        asyncio.run(play())

        assert ran == ["first", "second", "late", "later", "bulk", "|"] * 2


def test_bulk_is_done_bit_by_bit_and_after_everything_else(tmp_path: Path) -> None:
    """Of jobs that take a little more than half of its time two go together; then a reply goes by itself.

    But the line has every second turn, whatever comes; what its texts leave is claimed in the other.
    """
    with a_world(tmp_path) as world:
        now_s, ran = 0.0, []

        def take(name: str) -> Any:
            def job() -> None:
                nonlocal now_s
                now_s += 0.6 * _BULK_S
                ran.append(name)

            return job

        async def play() -> None:
            writer = Writer(world.store, last=lambda: ran.append("|"), after=print, clock=lambda: now_s)

            def reply(left: int) -> None:
                if left:
                    writer.submit(take("reply"), lambda *_: reply(left - 1))

            writer.submit_bulk(take("a"), lambda *_: reply(3))
            writer.submit_bulk(take("b"), lambda *_: None)
            await writer.run(take("c"), bulk=True)
            await writer.run(lambda: None)

        asyncio.run(play())

        assert ran[:7] == ["a", "b", "reply", "|", "reply", "c", "reply"]


def test_texts_of_a_reply_wait_for_one_transaction_of_bulk(tmp_path: Path) -> None:
    """Some come while a long line is carried out, and nobody after them: what they leave is claimed."""
    with a_world(tmp_path) as world:
        now_s, ran = 0.0, []

        def take(name: str) -> None:
            nonlocal now_s
            now_s += _BULK_S
            ran.append(name)

        async def play() -> None:
            writer = Writer(world.store, last=lambda: ran.append("|"), after=print, clock=lambda: now_s)
            line = [asyncio.ensure_future(writer.run(partial(take, "bulk"), bulk=True)) for _ in range(9)]
            await asyncio.sleep(0)
            for _ in range(3):  # the first and the last with bulk
                await writer.run(partial(take, "reply"))
            await asyncio.gather(*line)

        asyncio.run(play())

        last = len(ran) - ran[::-1].index("reply")
        assert ran[last : last + 2] == ["bulk", "|"]


def test_texts_of_the_last_bulk_are_claimed(tmp_path: Path) -> None:
    """In a transaction of its own, though nothing else comes."""
    with a_world(tmp_path) as world:
        ran: list[str] = []

        async def play() -> None:
            writer = Writer(world.store, last=lambda: ran.append("|"), after=print)
            await writer.run(lambda: ran.append("bulk"), bulk=True)
            for _ in range(3):
                await asyncio.sleep(0)

        asyncio.run(play())

        assert ran == ["bulk", "|"]


def test_texts_are_claimed_where_a_job_of_every_transaction_fails(tmp_path: Path) -> None:
    """Also after a transaction that took bulk, after which there was none that went well."""
    with a_world(tmp_path) as world:
        ran: list[str] = []

        def fail() -> None:
            raise LookupError("a bug")

        async def play() -> None:
            writer = Writer(world.store, last=lambda: ran.append("|"), after=print)

            def again(left: int) -> None:
                if left:
                    writer.submit(fail, lambda *_: again(left - 1))

            writer.submit_bulk(lambda: ran.append("bulk"), lambda *_: again(2))
            for _ in range(3):
                await asyncio.sleep(0)

        asyncio.run(play())

        assert ran == ["bulk", "|", "|"]


def test_bulk_is_told_when_the_disk_refuses(tmp_path: Path) -> None:
    """All of the line, also what no transaction had time for; nobody waits, and nothing runs in circles."""
    with a_world(tmp_path) as world:
        execute, begun = world.store._execute, []

        def refuse(statement: str, *arguments: Any) -> Any:
            if statement == "BEGIN IMMEDIATE":
                begun.append(statement)
                raise sqlite3.OperationalError("disk I/O error")
            return execute(statement, *arguments)

        async def play() -> None:
            writer = writer_of(world)
            world.store._execute = refuse  # type: ignore[method-assign, assignment]
            jobs = [writer.run(flag(world, name), bulk=True) for name in "abc"]
            results = await asyncio.wait_for(asyncio.gather(*jobs, return_exceptions=True), 5)
            world.store._execute = execute
            assert [type(result) for result in results] == [StoreError] * 3

        asyncio.run(play())

        assert len(begun) == 1
        assert world.flags() == []


def test_savepoints_are_for_groups_in_which_a_job_fails(tmp_path: Path) -> None:
    """A group that goes well is BEGIN, its writes, COMMIT; one that does not is run again, job by job."""
    with a_world(tmp_path) as world:
        statements: list[str] = []
        world.store._connection.set_trace_callback(statements.append)
        ran: list[str] = []

        def refuse() -> None:
            ran.append("refused")
            raise LookupError("no such case")

        async def play() -> None:
            writer = writer_of(world)
            await asyncio.gather(*(writer.run(flag(world, name)) for name in "ab"))
            assert [words for words in statements if "job" in words] == []
            await asyncio.gather(writer.run(flag(world, "c")), writer.run(refuse), return_exceptions=True)

        asyncio.run(play())

        assert statements.count("SAVEPOINT job") == 2
        assert statements.count("ROLLBACK") == 1
        assert ran == ["refused", "refused"]
        assert world.flags() == ["a", "b", "c"]


def test_job_that_fails_costs_the_others_nothing(tmp_path: Path) -> None:
    """Its own writes are rolled back, its caller is told, the rest is kept."""
    with a_world(tmp_path) as world:

        def fail() -> None:
            world.store.flags.add(None, "half", NOON)
            raise LookupError("a bug")

        async def play() -> list[Any]:
            writer = writer_of(world)
            jobs = (flag(world, "before"), fail, flag(world, "after"))
            return await asyncio.gather(*(writer.run(job) for job in jobs), return_exceptions=True)

        results = asyncio.run(play())

        assert isinstance(results[1], LookupError)
        assert world.flags() == ["before", "after"]


def test_row_that_cannot_be_written_costs_the_others_nothing(tmp_path: Path) -> None:
    """Rows are written after their jobs, many at a time: the job that put it down is told, and leaves nothing."""
    with a_world(tmp_path) as world:
        told: list[tuple[str, Exception | None]] = []

        def put() -> None:
            world.store.flags.add(None, "half", NOON)
            world.replies.keep_repeated(an_inbound(world)._replace(text="\ud800"))  # no text that SQLite takes

        async def play() -> None:
            writer = writer_of(world)
            for name, job in (("before", flag(world, "before")), ("bad", put), ("after", flag(world, "after"))):
                writer.submit(job, lambda _, error, name=name: told.append((name, error)))
            await writer.run(lambda: None)
            assert writer.failing is None

        asyncio.run(play())

        assert [(name, type(error).__name__) for name, error in told] == [
            ("before", "NoneType"), ("bad", "UnicodeEncodeError"), ("after", "NoneType"),
        ]  # fmt: skip
        assert world.flags() == ["before", "after"]


def test_commit_that_fails_fails_everybody_and_is_remembered(tmp_path: Path) -> None:
    """Nothing has happened; health tells why until a commit succeeds again."""
    with a_world(tmp_path) as world:
        world.store._connection.execute(f"PRAGMA max_page_count={pages(world)}")

        async def play() -> None:
            writer = writer_of(world)
            jobs = [writer.run(flag(world, f"{number}" * 500)) for number in range(50)]
            results = await asyncio.gather(*jobs, return_exceptions=True)
            assert all(isinstance(result, StoreError) for result in results)
            assert "full" in str(writer.failing)
            world.store._connection.execute("PRAGMA max_page_count=100000")
            await writer.run(flag(world, "later"))
            assert writer.failing is None

        asyncio.run(play())

        assert world.flags() == ["later"]


def test_transaction_that_writes_nothing_does_not_make_a_full_disk_well(tmp_path: Path) -> None:
    """Health must not say that all is well because nothing was due; when there is room again, it must."""
    with small_disk(tmp_path / "disk", 8) as disk, a_world(disk.folder) as world:

        async def play() -> None:
            writer = writer_of(world)
            disk.fill()
            for job in (flag(world, "lost"), lambda: None, lambda: None):
                with pytest.raises(StoreError, match=r"the disk .*full"):
                    await writer.run(job)
                assert "full" in str(writer.failing)
            disk.free()
            await writer.run(lambda: None)
            assert writer.failing is None

        asyncio.run(play())

        assert world.flags() == []


def pages(world: World) -> int:
    count: int = world.store._connection.execute("PRAGMA page_count").fetchone()[0]
    return count


def test_texts_are_claimed_in_the_transaction_that_made_them(tmp_path: Path) -> None:
    """`last` sees what the jobs wrote, `after` comes when it is on the disk."""
    with a_world(tmp_path) as world:
        seen: list[Any] = []

        def claim() -> tuple[str, ...]:
            return tuple(text.text for text in world.store.outbox.claim("main", 10, NOON))

        def after(texts: tuple[str, ...]) -> None:
            seen.append((texts, world.store._connection.in_transaction))

        async def play() -> None:
            writer = Writer(world.store, last=claim, after=after)
            await writer.run(lambda: world.replies.take_reply(an_inbound(world)))

        asyncio.run(play())

        assert seen == [(("unknown",), False)]


def test_claim_that_fails_leaves_nobody_waiting(tmp_path: Path) -> None:
    """A bug in the outbox fails the group, and is seen in the health; a job is never forgotten."""
    with a_world(tmp_path) as world:

        def claim() -> None:
            raise LookupError("a bug")

        async def play() -> None:
            writer = Writer(world.store, last=claim, after=lambda claimed: None)
            with pytest.raises(LookupError):
                await asyncio.wait_for(writer.run(flag(world, "a")), 5)
            assert isinstance(writer.failing, LookupError)

        asyncio.run(play())

        assert world.flags() == []


def test_nobody_is_told_before_the_commit(tmp_path: Path) -> None:
    """Commit first, then acknowledge: what `done` promises is on the disk."""
    with a_world(tmp_path) as world:
        seen: list[bool] = []

        async def play() -> None:
            writer = writer_of(world)
            writer.submit(flag(world, "a"), lambda *_: seen.append(world.store._connection.in_transaction))
            await writer.run(flag(world, "b"))

        asyncio.run(play())

        assert seen == [False]


def test_commit_itself_may_fail(tmp_path: Path) -> None:
    """Everybody is told once, and nothing that was claimed goes out."""
    with a_world(tmp_path) as world:
        execute, sent, told = world.store._execute, [], []

        def refuse(statement: str, *arguments: Any) -> Any:
            if statement == "COMMIT":
                raise sqlite3.OperationalError("disk I/O error")
            return execute(statement, *arguments)

        async def play() -> None:
            writer = Writer(world.store, last=lambda: ["a text"], after=sent.append)
            writer.submit(flag(world, "a"), lambda _, error: told.append(error))
            world.store._execute = refuse  # type: ignore[method-assign, assignment]
            with pytest.raises(StoreError):
                await asyncio.wait_for(writer.run(flag(world, "b")), 5)
            world.store._execute = execute

        asyncio.run(play())

        assert [type(error) for error in told] == [StoreError]
        assert sent == []
        assert world.flags() == []


def an_inbound(world: World) -> Any:
    from smsflow.store.inbound import Inbound

    return Inbound(world.now, "main", "one", 1, "77011234567", "1414", 0, b"hi", "hi")


def test_cancelled_caller_does_not_break_the_group(tmp_path: Path) -> None:
    """A client that has gone away is nobody else's trouble."""
    with a_world(tmp_path) as world:

        async def play() -> None:
            writer = writer_of(world)
            task = asyncio.ensure_future(writer.run(flag(world, "a")))
            await asyncio.sleep(0)
            task.cancel()
            await writer.run(flag(world, "b"))
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(play())

        assert world.flags() == ["a", "b"]
