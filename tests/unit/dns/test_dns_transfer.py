"""Primaries and secondaries in the simulation: AXFR, NOTIFY, refresh, retry, expire."""

import asyncio
import random
import struct
from collections.abc import Callable, Coroutine
from typing import Any

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxlab.backends.sim.backend import simulate
from mxlab.errors import Refused
from mxlab_services.control.requests import ZoneReplace, ZoneUpdate
from mxlab_services.dns.names import parse_name
from mxlab_services.dns.secondary import Secondary
from mxlab_services.dns.serial import following, newer
from mxlab_services.dns.transfer import TransferError, fetch, read_message
from mxlab_services.dns.unpack import unpack
from mxlab_services.dns.zone import load_zone
from mxlab_services.events import (
    DnsExpired,
    DnsNotified,
    DnsQuery,
    DnsTransfer,
    DnsTransferFailed,
)
from tests.support.dns_world import DnsWorld, dns_world, pair, server, zone
from tests.support.record_lines import HEAD, LINES

ORIGIN = parse_name("example.test")
Story = Callable[[DnsWorld], Coroutine[Any, Any, None]]


def play(story: Story, *configs: Any) -> None:
    async def main() -> None:
        async with dns_world(*configs) as world:
            await asyncio.sleep(20)  # what the start had to tell is told
            await story(world)

    simulate(main)


async def changed(world: DnsWorld, line: str) -> None:
    await world.nodes["ns1"].request(ZoneUpdate("example.test", [line]))


# --- serials --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("serial", "than", "is_newer"),
    [
        (2, 1, True),
        (1, 2, False),
        (1, 1, False),
        (0, 2**32 - 1, True),
        (2**32 - 1, 0, False),
        (2**31 - 1, 0, True),
        (2**31, 0, False),  # half the circle: neither is
        (0, 2**31, False),
    ],
)
def test_serials_go_round(serial: int, than: int, is_newer: bool) -> None:
    assert newer(serial, than) is is_newer
    assert newer(following(serial), serial)


# --- the way of a zone ----------------------------------------------------------------------------


def test_a_secondary_has_the_zone_when_it_is_ready() -> None:
    async def story(world: DnsWorld) -> None:
        assert await world.ask(2, "example.test", "NS") == "ns1.example.test. ns2.example.test."
        (taken,) = await world.told("ns2", DnsTransfer)
        assert (taken.primary, taken.serial, taken.records, taken.why) == (
            "10.0.0.1",
            1,
            5,
            "start",
        )

    play(story, *pair(zone()))


def test_a_secondary_that_starts_first_gets_the_zone_when_its_primary_comes() -> None:
    async def story(world: DnsWorld) -> None:
        await world.until(lambda: has(world, 2, "ns2.example.test"), 1)

    first, second = pair(zone())
    play(story, second, first)


async def has(world: DnsWorld, number: int, name: str) -> bool:
    return await world.ask(number, name) not in ("SERVFAIL", "NXDOMAIN", "silence")


def test_a_change_is_told_and_taken_at_once() -> None:
    async def story(world: DnsWorld) -> None:
        await changed(world, "new A 10.0.0.7")
        took = await world.until(lambda: has(world, 2, "new.example.test"), 1)
        assert took < 1  # the refresh is an hour
        told = await world.told("ns1", DnsNotified)
        assert [(one.serial, one.secondary, one.reply) for one in told] == [
            (1, "10.0.0.2", "NOERROR"),
            (2, "10.0.0.2", "NOERROR"),
        ]
        assert [one.why for one in await world.told("ns2", DnsTransfer)] == ["start", "notify"]

    play(story, *pair(zone()))


def test_many_changes_end_in_the_last_one() -> None:
    async def story(world: DnsWorld) -> None:
        for number in range(30):
            await changed(world, f"h{number} A 10.0.0.7")
        await world.until(lambda: has(world, 2, "h29.example.test"), 5)
        for number in (1, 2):
            assert "31 3600" in await world.ask(number, "example.test", "SOA")

    play(story, *pair(zone()))


def test_without_notify_the_refresh_brings_the_change() -> None:
    async def story(world: DnsWorld) -> None:
        world.network.link("10.0.0.1", "10.0.0.2").drop = True
        await changed(world, "new A 10.0.0.7")
        await asyncio.sleep(100)
        world.network.unblock("10.0.0.1", "10.0.0.2")
        assert not await has(world, 2, "new.example.test")
        assert [one.reply for one in await world.told("ns1", DnsNotified)][-1] == "no answer"
        took = await world.until(lambda: has(world, 2, "new.example.test"), 4000)
        assert took == pytest.approx(3480, abs=60)
        assert (await world.told("ns2", DnsTransfer))[-1].why == "refresh"

    play(story, *pair(zone()))


def test_with_its_primary_dead_it_serves_until_the_zone_expires() -> None:
    async def story(world: DnsWorld) -> None:
        await world.nodes["ns1"].kill()
        await asyncio.sleep(86000)
        assert await has(world, 2, "ns2.example.test")
        await asyncio.sleep(4200)  # the last refresh was after an hour at most
        assert await world.ask(2, "ns2.example.test") == "SERVFAIL"
        assert await world.ask(2, "example.test", "AXFR", tcp=True) == "REFUSED"
        (expired,) = await world.told("ns2", DnsExpired)
        assert (expired.origin, expired.serial) == ("example.test.", 1)
        failed = await world.told("ns2", DnsTransferFailed)
        assert {one.reason for one in failed} == {"no answer to the question for the SOA"}
        assert len(failed) == pytest.approx(86400 / 603, abs=10)  # each retry
        await world.nodes["ns1"].start()  # and tells of its zones
        took = await world.until(lambda: has(world, 2, "ns2.example.test"), 700)
        assert took < 5

    play(story, *pair(zone()))


def test_a_copy_whose_time_is_over_is_not_served_by_a_host_that_stood_still() -> None:
    """It answered from its copy until it had asked the primary again, in vain."""

    async def story(world: DnsWorld) -> None:
        await world.nodes["ns2"].pause()
        await world.nodes["ns1"].kill()
        await asyncio.sleep(200)
        await world.nodes["ns2"].resume()
        assert await world.ask(2, "ns2.example.test") == "SERVFAIL"
        await asyncio.sleep(200)
        assert len(await world.told("ns2", DnsExpired)) == 1

    play(story, *pair(zone(times=(50, 20, 100))))


def test_a_secondary_that_never_had_the_zone_says_servfail() -> None:
    async def story(world: DnsWorld) -> None:
        await asyncio.sleep(5)
        assert await world.ask(2, "example.test", "MX") == "SERVFAIL"
        assert await world.ask(2, "other.test", "MX") == "REFUSED"
        failed = (await world.told("ns2", DnsTransferFailed))[0]
        assert failed.expires is None

    play(story, pair(zone())[1])


def test_an_older_serial_is_not_taken() -> None:
    async def story(world: DnsWorld) -> None:
        text = zone(serial=4, more="old A 10.0.0.8\n")
        await world.nodes["ns1"].request(ZoneReplace("example.test", text))
        await asyncio.sleep(10_000)
        assert await world.ask(2, "old.example.test") == "NXDOMAIN"
        around = zone(serial=5 + 2**31 - 1, more="new A 10.0.0.9\n")
        await world.nodes["ns1"].request(ZoneReplace("example.test", around))
        await world.until(lambda: has(world, 2, "new.example.test"), 5)

    play(story, *pair(zone(serial=5)))


NOTHING = "$TTL 60\n@ SOA ns1 h 9 3600 600 86400 60\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (NOTHING + "@ NS ns1.other.test.\n", "nothing is left of 2 records but SOA and NS"),
        (NOTHING + "a A 10.0.0.8\n", "the zone has no NS record"),
    ],
)
def test_a_zone_that_nobody_can_mean_is_refused_and_told(text: str, reason: str) -> None:
    async def story(world: DnsWorld) -> None:
        await world.nodes["ns1"].request(ZoneReplace("example.test", text))
        await asyncio.sleep(10)
        failed = (await world.told("ns2", DnsTransferFailed))[-1]
        assert reason in failed.reason
        assert failed.expires is not None
        assert await has(world, 2, "ns2.example.test")  # the copy from before is served

    play(story, *pair(zone()))


# --- who may --------------------------------------------------------------------------------------


def test_strangers_get_no_zone() -> None:
    async def story(world: DnsWorld) -> None:
        for number, tcp in ((1, True), (1, False), (2, True)):
            for kind in ("AXFR", "IXFR"):
                assert await world.ask(number, "example.test", kind, tcp) == "REFUSED"
        assert await world.ask(1, "nowhere.test", "AXFR", tcp=True) == "REFUSED"
        asked = [one for one in await world.told("ns1", DnsQuery) if one.type == "AXFR"]
        assert [(one.peer, one.rcode) for one in asked][-1] == ("10.0.0.99", "REFUSED")

    play(story, *pair(zone()))


def test_a_notify_from_a_stranger_has_no_effect() -> None:
    async def story(world: DnsWorld) -> None:
        from mxlab_services.dns.query import DnsClient, rcode_text
        from mxlab_services.dns.wire import NOTIFY

        before = len(await world.told("ns1", DnsQuery))
        for number, name, said in ((2, "example.test", "REFUSED"), (1, "example.test", "NOTAUTH")):
            exchange = DnsClient((f"10.0.0.{number}", 53), random.Random(1), (1.0,), opcode=NOTIFY)
            reply = await world.inside(exchange.ask(parse_name(name), "SOA"))
            assert reply is not None
            assert rcode_text(reply.message) == said
        await asyncio.sleep(5)
        asked = [one for one in (await world.told("ns1", DnsQuery))[before:] if one.type == "SOA"]
        assert asked == []

    play(story, *pair(zone()))


def test_a_copy_is_not_changed_by_hand() -> None:
    async def story(world: DnsWorld) -> None:
        for request in (
            ZoneUpdate("example.test", ["a A 10.0.0.1"]),
            ZoneReplace("Example.Test", ""),
        ):
            with pytest.raises(
                Refused, match=r"a copy here: change it at its primary, 10\.0\.0\.1"
            ):
                await world.nodes["ns2"].request(request)

    play(story, *pair(zone()))


# --- the messages ---------------------------------------------------------------------------------


def test_every_type_and_a_zone_of_many_messages_arrive_whole() -> None:
    many = [f"h{number} A 10.1.{number // 250}.{number % 250 + 1}" for number in range(3000)]
    text = HEAD + "\n".join([*LINES, *many])

    async def story(world: DnsWorld) -> None:
        records = await world.inside(
            fetch(("10.0.0.1", 53), parse_name("x.test"), random.Random(1), None, 60)
        )
        wanted = load_zone("x.test", text).text()
        assert sorted(str(record) for record in records) == sorted(wanted)

    play(story, server("ns1", 1, zones={"x.test": text}, secondaries={"x.test": ["10.0.0.99"]}))


def answer(hexadecimal: str) -> bytes:
    return bytes.fromhex(hexadecimal)


NAME = "076578616d706c65047465737400"
QUESTION = f"{NAME} 00fc 0001"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("", "cannot be read"),
        ("0001 8400 0000 0000 0000 0000", "without records"),
        ("0002 8400 0000 0000 0000 0000", "no answer to the question"),
        ("0001 0400 0000 0000 0000 0000", "no answer to the question"),
        ("0001 8405 0000 0000 0000 0000", "the server says REFUSED"),
        (f"0001 8400 0001 0000 0000 0000 {QUESTION.replace('fc', 'fb')}", "no answer"),
        (
            "0001 8400 0000 0001 0000 0000 01610178 00 0001 0001 0000003c 0004 0a000001",
            "not the zone",
        ),
        (
            f"0001 8400 0000 0001 0000 0000 {NAME} 0001 0003 0000003c 0004 0a000001",
            "not the zone",
        ),
        (f"0001 8400 0000 0001 0000 0000 {NAME} 0001 0001 0000003c 0009", "cannot be read"),
        (
            f"0001 8400 0000 0001 0000 0000 {NAME} 0035 0001 0000003c 0002 0301",
            "SMIMEA: the data end within a field",
        ),
    ],
)  # fmt: skip
def test_a_message_that_is_no_part_of_the_zone_ends_the_transfer(message: str, reason: str) -> None:
    with pytest.raises(TransferError, match=reason):
        read_message(answer(message), 1, ORIGIN)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ([b""], "ended within the zone"),
        (["a"], "does not begin with its SOA"),
        (["soa", "a"], "ended within the zone"),
        (["soa", "a", "other"], "changed while it was sent"),
        (["soa", "silence"], "no whole zone within 2 s"),
    ],
)
async def test_a_primary_that_misbehaves_is_a_transfer_error(sent: list[Any], reason: str) -> None:
    parts = {
        "soa": dns.rrset.from_text("example.test.", 60, "IN", "SOA", "ns. h. 1 1 1 1 1"),
        "other": dns.rrset.from_text("example.test.", 60, "IN", "SOA", "ns. h. 2 1 1 1 1"),
        "a": dns.rrset.from_text("a.example.test.", 60, "IN", "A", "10.0.0.1"),
    }

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        packet = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        for part in sent:
            if part == "silence":
                await reader.read()
            elif part:
                message = dns.message.QueryMessage(int.from_bytes(packet[:2]))
                message.flags = dns.flags.QR | dns.flags.AA
                message.answer = [parts[part]]
                data = message.to_wire()
                writer.write(len(data).to_bytes(2) + data)
        writer.close()
        served.set()

    served = asyncio.Event()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        with pytest.raises(TransferError, match=reason):
            await fetch(("127.0.0.1", port), ORIGIN, random.Random(1), None, 2)
        await served.wait()


def test_nobody_there_is_a_transfer_error() -> None:
    async def story(world: DnsWorld) -> None:
        with pytest.raises(TransferError, match="no connection: "):
            await world.inside(fetch(("10.0.0.50", 53), ORIGIN, random.Random(1), None, 60))

    play(story, server("ns1", 1, zones={"example.test": zone()}))


def test_the_least_wait_is_a_second() -> None:
    """An SOA of zeros would ask without end."""
    found = load_zone("example.test", "@ 0 SOA ns h 1 0 0 0 0\n@ NS ns\n")
    assert Secondary._times(found) == (1.0, 1.0, 1.0)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 3), st.integers(0, 3))
def test_any_octets_are_a_message_or_a_value_error(rest: bytes, asked: int, answered: int) -> None:
    packet = struct.pack("!HHHHHH", 1, 0x8400, asked, answered, 0, 0) + rest
    try:
        message = unpack(packet)
    except ValueError:
        return
    assert (len(message.questions), len(message.answers)) == (asked, answered)


@pytest.mark.parametrize(
    "name",
    [
        b"\xc0\x0c",
        b"\1a\xc0\x0c",
        b"\xc0\x0e\xc0\x0c",
        b"\x40a\0",
        (b"\x3f" + b"a" * 63) * 4 + b"\0",
    ],
)
def test_a_name_without_end_is_no_message(name: bytes) -> None:
    packet = struct.pack("!HHHHHH", 1, 0x8400, 1, 0, 0, 0) + name + b"\0\1\0\1"
    with pytest.raises(ValueError, match=r"pointer|no name"):
        unpack(packet)
