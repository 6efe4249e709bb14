"""The stub resolver: answers, failures as values, the cache in lab time (rule A10), dig."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mxlab_services.dns.answers import Mx
from mxlab_services.dns.query import read_reply
from mxlab_services.dns.resolver import StubResolver
from mxlab_services.errors import ControlError
from tests.support.dns_lab import DnsLab, Emitted, dns_lab
from tests.support.fakes import StillClock

Answerer = Callable[[dns.message.Message], list[bytes]]


@pytest.fixture
async def lab() -> AsyncIterator[DnsLab]:
    async with dns_lab() as made:
        yield made


async def test_mx_records_come_in_the_order_given(lab: DnsLab) -> None:
    answer = await lab.resolver.mx("Example.TEST", "m1")
    assert (answer.status, answer.canonical, answer.cached) == ("ok", "example.test", False)
    assert answer.mx == (Mx(10, "mx1.example.test"), Mx(20, "mx2.example.test"))
    assert (await lab.resolver.mx("null.example.test")).mx == (Mx(0, ""),)
    lookup = lab.looked.lookups()[0]
    assert (lookup.name, lookup.type, lookup.status) == ("Example.TEST", "MX", "ok")
    assert lookup.answers == ["10 mx1.example.test", "20 mx2.example.test"]


async def test_addresses_are_a_before_aaaa(lab: DnsLab) -> None:
    answer = await lab.resolver.addresses("www.example.test")
    assert answer.addresses == ("10.0.0.3", "2001:db8::3")
    assert answer.canonical == "mx1.example.test"
    assert len(lab.looked.lookups()) == 1


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("nobody.example.test", "nxdomain"),
        ("lost.example.test", "nxdomain"),
        ("deep.example.test", "nodata"),
        ("example.org", "refused"),
        ("loop1.example.test", "servfail"),
        ("a..b", "nxdomain"),
        (f"{'x' * 64}.test", "nxdomain"),
    ],
)
async def test_a1_failures_are_values(lab: DnsLab, name: str, status: str) -> None:
    answer = await lab.resolver.mx(name)
    assert (answer.status, answer.mx) == (status, ())
    assert answer.temporary == (status in ("refused", "servfail"))


async def test_a10_an_answer_lives_for_its_ttl(lab: DnsLab) -> None:
    await lab.resolver.addresses("mx1.example.test")  # TTL 300
    lab.zones.update("example.test", ["mx1 300 A 10.0.0.99"], ["mx1 A"])
    lab.clock.advance(299)
    stale = await lab.resolver.addresses("MX1.example.test")
    assert (stale.addresses, stale.cached) == (("10.0.0.3", "2001:db8::3"), True)
    assert len(lab.asked()) == 2
    lab.clock.advance(1)
    fresh = await lab.resolver.addresses("mx1.example.test")
    assert (fresh.addresses[0], fresh.cached) == ("10.0.0.99", False)
    assert [lookup.cached for lookup in lab.looked.lookups()] == [False, True, False]


async def test_a10_a_chain_lives_as_long_as_its_shortest_ttl(lab: DnsLab) -> None:
    await lab.resolver.addresses("away.example.test")  # CNAME 3600, its target 60
    lab.clock.advance(60)
    assert not (await lab.resolver.addresses("away.example.test")).cached


@pytest.mark.parametrize("name", ["nobody.example.test", "ns.example.test"])
async def test_a10_negative_answers_live_for_the_smaller_of_soa_ttl_and_minimum(
    lab: DnsLab, name: str
) -> None:
    first = await lab.resolver.mx(name)
    lab.clock.advance(59)
    again = await lab.resolver.mx(name)
    assert (again.status, again.cached) == (first.status, True)
    lab.clock.advance(1)
    assert not (await lab.resolver.mx(name)).cached


async def test_equal_questions_share_one_query(lab: DnsLab) -> None:
    names = ("example.test", "EXAMPLE.test", "example.test.")
    answers = await asyncio.gather(*(lab.resolver.mx(name) for name in names))
    assert {answer.mx for answer in answers} == {answers[0].mx}
    assert len(lab.asked()) == 1


async def test_who_gives_up_does_not_take_the_answer_from_the_others(lab: DnsLab) -> None:
    impatient = asyncio.create_task(lab.resolver.mx("example.test"))
    patient = asyncio.create_task(lab.resolver.mx("example.test"))
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient).status == "ok"


async def test_the_cache_is_bounded() -> None:
    async with dns_lab(size=2) as lab:
        for name in ("example.test", "null.example.test", "x.wild.example.test"):
            await lab.resolver.mx(name)
        assert (await lab.resolver.mx("null.example.test")).cached
        assert not (await lab.resolver.mx("example.test")).cached


async def test_a_truncated_answer_is_had_by_tcp(lab: DnsLab) -> None:
    lines = [f"many.example.test. MX {n} a-host-with-a-long-name-{n:04}" for n in range(60)]
    lab.zones.update("example.test", lines, [])
    answer = await lab.resolver.mx("many.example.test")
    assert len(answer.mx) == 60
    assert [query.transport for query in lab.served.queries()] == ["udp", "tcp"]


class Scripted(asyncio.DatagramProtocol):
    """A server that answers by UDP what a function says, and counts the queries."""

    def __init__(self, answerer: Answerer) -> None:
        self.asked: list[dns.message.Message] = []
        self._answerer = answerer
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self.asked.append(query)
        for packet in self._answerer(query):
            self._transport.sendto(packet, addr)


@asynccontextmanager
async def scripted(
    answerer: Answerer,
) -> AsyncIterator[tuple[Scripted, StubResolver, StillClock]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(
        lambda: Scripted(answerer), local_addr=("127.0.0.1", 0)
    )
    address: tuple[str, int] = transport.get_extra_info("sockname")
    clock = StillClock()
    resolver = StubResolver(address, clock, random.Random(1), Emitted(), (0.5, 2.0))
    try:
        yield server, resolver, clock
    finally:
        transport.close()


def reply_to(query: dns.message.Message, *records: str) -> dns.message.Message:
    reply = dns.message.make_response(query)
    for record in records:
        owner, ttl, kind, data = record.split(" ", 3)
        reply.answer.append(dns.rrset.from_text(owner, int(ttl), "IN", kind, data))
    return reply


async def test_a10_servfail_is_kept_briefly() -> None:
    def servfail(query: dns.message.Message) -> list[bytes]:
        reply = dns.message.make_response(query)
        reply.set_rcode(dns.rcode.SERVFAIL)
        return [reply.to_wire()]

    async with scripted(servfail) as (server, resolver, clock):
        for cached in (False, True):
            answer = await resolver.mx("example.test")
            assert (answer.status, answer.cached) == ("servfail", cached)
        assert len(server.asked) == 1
        clock.advance(300)  # the most that RFC 9520 grants
        assert not (await resolver.mx("example.test")).cached


async def test_a_negative_answer_without_soa_is_not_kept() -> None:
    async with scripted(lambda query: [reply_to(query).to_wire()]) as (server, resolver, _):
        for _round in range(2):
            assert (await resolver.mx("example.test")).status == "nodata"
        assert len(server.asked) == 2


async def test_an_answer_must_match_id_and_question() -> None:
    def misleading(query: dns.message.Message) -> list[bytes]:
        name = query.question[0].name.to_text()
        good = reply_to(query, f"{name} 60 MX 5 right.test.").to_wire()
        wrong_id = bytes([good[0] ^ 1]) + good[1:]
        other = dns.message.make_query("other.test", "MX", id=query.id)
        wrong_question = reply_to(other, "other.test. 60 MX 5 wrong.test.").to_wire()
        return [b"", b"junk", good[:20], query.to_wire(), wrong_id, wrong_question, good]

    async with scripted(misleading) as (server, resolver, _):
        assert (await resolver.mx("example.test")).mx == (Mx(5, "right.test"),)
        assert len(server.asked) == 1


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 120), st.binary(min_size=1, max_size=6), st.booleans())
def test_any_damage_to_an_answer_is_an_answer_or_passed_by(
    at: int, damage: bytes, cut: bool
) -> None:
    query = dns.message.make_query("a.test", "MX", id=7)
    good = reply_to(query, "a.test. 60 CNAME b.test.", "b.test. 60 MX 5 mx.b.test.").to_wire()
    packet = good[:at] + damage + (b"" if cut else good[at + len(damage) :])
    message = read_reply(packet, 7, (b"a", b"test"), "MX")
    assert message is None or (message.header.qr and packet[:2] == good[:2])


async def test_a_lost_query_is_asked_again_with_a_new_id() -> None:
    seen: list[int] = []

    def second_time(query: dns.message.Message) -> list[bytes]:
        seen.append(query.id)
        name = query.question[0].name.to_text()
        return [reply_to(query, f"{name} 60 MX 5 mx.test.").to_wire()] if len(seen) > 1 else []

    async with scripted(second_time) as (_, resolver, _clock):
        assert (await resolver.mx("example.test")).status == "ok"
    assert len(set(seen)) == 2


async def test_a_cname_that_the_server_does_not_follow_is_asked_for() -> None:
    def one_step(query: dns.message.Message) -> list[bytes]:
        name = query.question[0].name.to_text()
        record = "b.test. 60 MX 5 mx.test." if name == "b.test." else f"{name} 60 CNAME b.test."
        return [reply_to(query, record).to_wire()]

    async with scripted(one_step) as (server, resolver, _):
        answer = await resolver.mx("a.test")
        assert (answer.canonical, answer.mx) == ("b.test", (Mx(5, "mx.test"),))
        assert len(server.asked) == 2


async def test_an_endless_cname_chain_is_a_servfail() -> None:
    def deeper(query: dns.message.Message) -> list[bytes]:
        name = query.question[0].name.to_text()
        return [reply_to(query, f"{name} 60 CNAME x.{name}").to_wire()]

    async with scripted(deeper) as (server, resolver, _):
        assert (await resolver.mx("a.test")).status == "servfail"
        assert len(server.asked) < 20


async def test_no_server_is_a_timeout(lab: DnsLab) -> None:
    await lab.server.close()
    answer = await lab.resolver.addresses("example.test")
    assert (answer.status, answer.temporary) == ("timeout", True)
    report = await lab.resolver.dig("example.test", "MX")
    assert report.rcode == "TIMEOUT"


async def test_dig_asks_past_the_cache_and_prints_as_dig_does(lab: DnsLab) -> None:
    await lab.resolver.mx("example.test")
    for tcp in (False, True):
        report = await lab.resolver.dig("example.test", "mx", tcp)
        assert report.rcode == "NOERROR"
        assert report.answers[0] == "example.test. 3600 IN MX 10 mx1.example.test."
        assert ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: " in report.text
        assert ";; flags: qr aa rd; QUERY: 1, ANSWER: 2, AUTHORITY: 0, ADDITIONAL: 4" in report.text
        assert (
            ";; ANSWER SECTION:\nexample.test.\t3600\tIN\tMX\t10 mx1.example.test." in report.text
        )
        assert f"({'TCP' if tcp else 'UDP'})" in report.text
    assert len(lab.asked()) == 3
    missing = await lab.resolver.dig("nobody.example.test")
    assert (missing.rcode, missing.answers, len(missing.authority)) == ("NXDOMAIN", [], 1)
    for name, kind in (("example.test", "NOPE"), ("a..b", "A")):
        with pytest.raises(ControlError):
            await lab.resolver.dig(name, kind)


@pytest.mark.parametrize(
    ("sources", "peer"),
    [
        (("127.0.0.77",), "127.0.0.77"),
        (("2001:db8::1", "127.0.0.78"), "127.0.0.78"),
        (("2001:db8::1", "0.0.0.0"), "127.0.0.1"),
    ],
)
async def test_it_asks_from_its_own_address_of_the_servers_family(
    lab: DnsLab, sources: tuple[str, ...], peer: str
) -> None:
    server, looked = ("127.0.0.1", lab.server.port), Emitted()
    resolver = StubResolver(server, lab.clock, random.Random(1), looked, sources=sources)
    assert (await resolver.mx("example.test")).status == "ok"
    assert {query.peer for query in lab.served.queries()} == {peer}
