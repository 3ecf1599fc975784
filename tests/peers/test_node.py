"""Against the npm package `smpp`, which nobody here wrote: as a message centre, with all of its own reading."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from peers.node import NodeCentre, a_node_centre
from peers.stack import Stack, a_daemon, run

LONG_LATIN = "Congratulations on the birth of your child! [€uro] " * 5
LONG_KAZAKH = "Сәбиіңіз құтты болсын! 👶 " * 8
Scene = Callable[[NodeCentre, Stack], Awaitable[None]]


@asynccontextmanager
async def both(folder: Path, modules: Path, *tls: Path, **link: object) -> AsyncIterator[tuple[NodeCentre, Stack]]:
    async with a_node_centre(modules, *tls) as centre, a_daemon(folder, centre.port, **link) as stack:  # type: ignore[arg-type]
        yield centre, stack


def play(folder: Path, modules: Path, scene: Scene, *tls: Path, **link: object) -> None:
    async def whole() -> None:
        async with both(folder, modules, *tls, **link) as (centre, stack):
            await scene(centre, stack)

    run(whole())


def test_bind_says_who_we_are(tmp_path: Path, node_modules: Path) -> None:
    """system_id, version 3.4 as 0x34, and what the operator asked for."""

    async def scene(centre: NodeCentre, _: Stack) -> None:
        bind = await centre.next("bind")
        assert bind["mode"] == "transceiver"
        assert (bind["system_id"], bind["interface_version"], bind["system_type"]) == ("smsflow", 0x34, "VMA")

    play(tmp_path, node_modules, scene, system_type="VMA")


def test_receiver_and_transmitter(tmp_path: Path, node_modules: Path) -> None:
    """Two binds: replies by one, texts by the other, receipts of these by the first."""

    async def scene(centre: NodeCentre, stack: Stack) -> None:
        assert {(await centre.next("bind"))["mode"] for _ in range(2)} == {"receiver", "transmitter"}
        assert (await centre.deliver("R 1 1 2"))["status"] == 0
        stack.say("hello", to="77019999999")
        await stack.until(lambda: set(stack.statuses()) == {"delivered"})
        assert stack.texts_in() == ["R 1 1 2"]

    play(tmp_path, node_modules, scene, bind="receiver+transmitter")


@pytest.mark.parametrize(
    ("text", "coding"),
    [("hello @£$ {[€]}", 0), ("Сәбиіңіз құтты болсын", 8), ("👶", 8), (LONG_LATIN, 0), (LONG_KAZAKH, 8)],
)
def test_text_goes_out_as_it_was_written(tmp_path: Path, node_modules: Path, text: str, coding: int) -> None:
    """Node's decoder reads what ours wrote, the parts in order; its receipts make the text delivered."""

    async def scene(centre: NodeCentre, stack: Stack) -> None:
        stack.say(text)
        await stack.until(lambda: stack.statuses() == ["delivered"])
        parts = [each for each in centre.told if each["event"] == "submit"]
        assert "".join(part["text"] for part in parts) == text
        assert {(p["source"], p["destination"], p["registered_delivery"]) for p in parts} == {
            ("1414", "77011234567", 1)
        }
        assert {part["data_coding"] for part in parts} == {coding}
        if len(parts) > 1:
            assert {part["esm_class"] for part in parts} == {0x40}
            assert [part["udh"][0][-4:] for part in parts] == [
                f"{len(parts):02x}{number:02x}" for number in range(1, len(parts) + 1)
            ]
            assert len({part["udh"][0][:6] for part in parts}) == 1

    play(tmp_path, node_modules, scene)


@pytest.mark.parametrize(("text", "coding"), [("R 1 1 2", 1), ("@ {[€]}", 0), ("R 1 1 2 Нұрлан 👶", 8), ("Zoë", 3)])
def test_text_comes_in_as_it_was_written(tmp_path: Path, node_modules: Path, text: str, coding: int) -> None:
    """Node's encoder, our decoder."""

    async def scene(centre: NodeCentre, stack: Stack) -> None:
        await centre.next("bind")
        assert await centre.deliver(text, data_coding=coding) == {
            "event": "answered", "status": 0, "command": "deliver_sm_resp",
        }  # fmt: skip
        assert stack.texts_in() == [text]

    play(tmp_path, node_modules, scene)


def test_long_texts_come_in_by_every_way(tmp_path: Path, node_modules: Path) -> None:
    """8-bit and 16-bit headers, sar parameters, message_payload, data_sm."""

    async def scene(centre: NodeCentre, stack: Stack) -> None:
        await centre.next("bind")
        for number in (2, 1):
            await centre.deliver(f"a{number}", udh=f"0500030902{number:02}", esm_class=0x40, data_coding=0)
        for number in (1, 2):
            await centre.deliver(f"b{number}", udh=f"060804123402{number:02}", esm_class=0x40, data_coding=0)
        for number in (1, 2):
            sar = {"sar_msg_ref_num": 7, "sar_total_segments": 2, "sar_segment_seqnum": number}
            await centre.deliver(f"c{number}", data_coding=0, **sar)
        await centre.deliver("", message_payload={"message": "Қ" * 300}, data_coding=8)
        centre.order(
            "data",
            source_addr="77011234567",
            destination_addr="1414",
            data_coding=0,
            message_payload={"message": "e"},
        )
        assert await centre.next("answered") == {"event": "answered", "status": 0, "command": "data_sm_resp"}
        assert stack.texts_in() == ["a1a2", "b1b2", "c1c2", "Қ" * 300, "e"]

    play(tmp_path, node_modules, scene)


def test_enquire_link_both_ways_and_a_command_of_no_use(tmp_path: Path, node_modules: Path) -> None:
    """What node asks is answered; query_sm, which only an ESME sends, is refused."""

    async def scene(centre: NodeCentre, _: Stack) -> None:
        await centre.next("bind")
        centre.order("enquire")
        assert (await centre.next("answered"))["status"] == 0
        centre.order("query")
        assert (await centre.next("answered"))["status"] == 0x03

    play(tmp_path, node_modules, scene, enquire_s=0.05)


def test_unbind_by_the_centre(tmp_path: Path, node_modules: Path) -> None:
    """It is answered, and a new connection binds."""

    async def scene(centre: NodeCentre, _: Stack) -> None:
        await centre.next("bind")
        centre.order("unbind")
        assert (await centre.next("answered"))["status"] == 0
        await centre.next("close")
        await centre.next("bind")

    play(tmp_path, node_modules, scene)


def test_unbind_by_us(tmp_path: Path, node_modules: Path) -> None:
    """When the daemon stops, node is told before the connection closes."""

    async def whole() -> None:
        async with a_node_centre(node_modules) as centre:
            async with a_daemon(tmp_path, centre.port):
                await centre.next("bind")
            await centre.next("close")
            assert [each["event"] for each in centre.told] == ["listening", "bind", "unbind", "close"]

    run(whole())


def test_wrong_password_is_told(tmp_path: Path, node_modules: Path) -> None:
    """`health` names the status."""

    async def scene(centre: NodeCentre, stack: Stack) -> None:
        assert (await centre.next("bind"))["command_status"] == 0x0E
        await stack.until(lambda: "ESME_RINVPASWD" in stack.daemon.find_health().links[0].trouble)

    play(tmp_path, node_modules, scene, password="wrong")


def test_tls(tmp_path: Path, node_modules: Path, certificate: tuple[Path, Path]) -> None:
    """Over TLS, the certificate verified."""

    async def scene(centre: NodeCentre, stack: Stack) -> None:
        await centre.next("bind")
        stack.say(LONG_KAZAKH)
        await stack.until(lambda: stack.statuses() == ["delivered"])

    play(tmp_path, node_modules, scene, *certificate, host="localhost", tls=f"{{ca: {certificate[1]}}}")


def test_tls_with_a_certificate_that_nobody_vouches_for(
    tmp_path: Path, node_modules: Path, certificate: tuple[Path, Path]
) -> None:
    """No bind, no password on the wire, and the reason in `health`."""

    async def whole() -> None:
        async with (
            a_node_centre(node_modules, *certificate) as centre,
            a_daemon(tmp_path, centre.port, host="localhost", tls="true") as stack,
        ):
            await stack.until(lambda: "certificate" in stack.daemon.find_health().links[0].trouble)
            assert [each for each in centre.told if each["event"] == "bind"] == []

    run(whole())
