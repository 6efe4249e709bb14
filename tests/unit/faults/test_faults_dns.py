"""DNS faults over UDP and TCP: what each does, on which questions, and that clearing ends it."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.rcode
import pytest

from mxlab_services.dns.faults import DnsFaults
from mxlab_services.dns.resolver import StubResolver
from mxlab_services.dns.server import DnsServer
from mxlab_services.errors import ControlError
from mxlab_services.faults.injector import NodeInjector
from mxlab_services.faults.kinds import (
    AnyFault,
    DnsDelay,
    DnsMxWithoutAddress,
    DnsNullMx,
    DnsNxdomain,
    DnsRefused,
    DnsServfail,
    DnsStale,
    DnsSwappedMx,
    DnsTimeout,
    DnsTruncate,
    DnsWrongMx,
    Refuse,
)
from mxlab_services.faults.requests import FaultList
from tests.support.dns_lab import Emitted, zones
from tests.support.fakes import StillClock
from tests.support.fault_lab import Faulty

HOME = "example.test"
MX1, MX2 = "mx1.example.test.", "mx2.example.test."
BOTH = [f"10 {MX1}", f"20 {MX2}"]


class Asked(Faulty):
    """A DNS server under faults, asked by dnspython."""

    def __init__(self) -> None:
        super().__init__()
        self.zones = zones()
        injector = NodeInjector(self.emit)
        faults = DnsFaults(injector, self.zones)
        injector.answer(self.controls, faults)
        self.server = DnsServer(self.zones, self.emit, faults=faults)

    async def ask(
        self, name: str = HOME, kind: str = "MX", *, tcp: bool = False
    ) -> dns.message.Message:
        """The reply. Raises dns.exception.Timeout after a short while."""
        query = dns.message.make_query(name, kind)
        by = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await by(query, "127.0.0.1", timeout=0.3, port=self.server.port)

    async def says(self, name: str = HOME, kind: str = "MX", *, tcp: bool = False) -> list[str]:
        """The answers, or the rcode where it is none of success, or `timeout`."""
        try:
            reply = await self.ask(name, kind, tcp=tcp)
        except dns.exception.Timeout:
            return ["timeout"]
        if reply.rcode() != dns.rcode.NOERROR:
            return [dns.rcode.to_text(reply.rcode())]
        return [str(item) for rrset in reply.answer for item in rrset]

    def resolver(self) -> StubResolver:
        """One that has nothing in its cache, and asks up to three times."""
        server = ("127.0.0.1", self.server.port)
        times = (0.1, 0.1, 0.1)
        return StubResolver(server, StillClock(), random.Random(1), Emitted(), times)


@asynccontextmanager
async def asked() -> AsyncIterator[Asked]:
    made = Asked()
    await made.server.start("127.0.0.1", 0)
    try:
        assert await made.says() == BOTH  # now in the server's cache, and out of it with a fault
        yield made
        for name in [one.id for one in await made.controls(FaultList())]:
            await made.clear(name)
        assert await made.says() == BOTH
        assert await made.says(MX1, "A") == ["10.0.0.3"]
    finally:
        await made.server.close()


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (DnsNxdomain(name=HOME, type="MX"), ["NXDOMAIN"]),
        (DnsServfail(name=HOME, type="mx"), ["SERVFAIL"]),
        (DnsRefused(name="EXAMPLE.test."), ["REFUSED"]),
        (DnsTimeout(name=HOME), ["timeout"]),
        (
            DnsSwappedMx(name=HOME, exchanges=("mx1.example.test", "mx2.example.test")),
            [f"20 {MX1}", f"10 {MX2}"],
        ),
        (
            DnsWrongMx(name=HOME, exchange="gone.example.test"),
            ["10 gone.example.test.", "20 gone.example.test."],
        ),
        (
            DnsWrongMx(name=HOME, exchange="gone.test", instead_of="mx1.example.test"),
            ["10 gone.test.", f"20 {MX2}"],
        ),
        (DnsNullMx(name=HOME), ["0 ."]),
    ],
)
async def test_a_fault_strikes_its_question_and_no_other(
    fault: AnyFault, said: list[str], tcp: bool
) -> None:
    async with asked() as dns_node:
        await dns_node.put(fault)
        assert await dns_node.says(tcp=tcp) == said
        assert await dns_node.says(MX1, "A", tcp=tcp) == ["10.0.0.3"]
        assert await dns_node.says("null.example.test", tcp=tcp) == ["0 ."]
        assert dns_node.struck() == [("f", fault.kind, "example.test. MX")]
        await dns_node.clear()
        assert await dns_node.says(tcp=tcp) == BOTH


async def test_the_first_and_the_nth_question_and_one_peer() -> None:
    async with asked() as dns_node:
        await dns_node.put(DnsServfail(name=HOME, type="MX", first=2))
        assert [await dns_node.says() for _ in range(3)] == [["SERVFAIL"], ["SERVFAIL"], BOTH]
        await dns_node.put(DnsRefused(name=HOME, nth=2), "second")
        assert [await dns_node.says() for _ in range(3)] == [BOTH, ["REFUSED"], BOTH]
        await dns_node.put(DnsNxdomain(name=HOME, peer="10.0.0.0/8"), "others")
        assert await dns_node.says() == BOTH
        state = await dns_node.state("others")
        assert (state.met, state.struck) == (0, 0)


async def test_a_suffix_and_any_type() -> None:
    async with asked() as dns_node:
        await dns_node.put(DnsServfail(name=HOME, subdomains=True))
        assert await dns_node.says(MX1, "A") == ["SERVFAIL"]
        assert await dns_node.says() == ["SERVFAIL"]
        assert await dns_node.says("mail.other.test", "A") == ["10.0.0.9"]


async def test_nxdomain_says_for_how_long() -> None:
    async with asked() as dns_node:
        await dns_node.put(DnsNxdomain(name=HOME, type="MX"))
        reply = await dns_node.ask()
        assert [rrset.ttl for rrset in reply.authority] == [60]  # the SOA's minimum


async def test_a_resolver_asks_again_after_a_lost_answer() -> None:
    async with asked() as dns_node:
        await dns_node.put(DnsTimeout(name=HOME, type="MX", first=2))
        answer = await dns_node.resolver().mx(HOME)
        assert (answer.status, len(answer.mx)) == ("ok", 2)
        assert (await dns_node.state()).struck == 2
        await dns_node.put(DnsTimeout(name=HOME, type="MX"), "for good")
        assert (await dns_node.resolver().mx(HOME)).status == "timeout"


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_delay_is_before_the_answer(tcp: bool) -> None:
    async with asked() as dns_node:
        await dns_node.put(DnsDelay(name=HOME, seconds=0.1))
        began = asyncio.get_running_loop().time()
        assert await dns_node.says(tcp=tcp) == BOTH
        assert asyncio.get_running_loop().time() - began >= 0.1
        await dns_node.put(DnsDelay(name=HOME, seconds=5), "long")
        assert await dns_node.says(tcp=tcp) == ["timeout"]


async def test_truncation_is_by_udp_only_and_a_resolver_goes_on_by_tcp() -> None:
    async with asked() as dns_node:
        await dns_node.put(DnsTruncate(name=HOME, type="MX"))
        reply = await dns_node.ask()
        assert reply.flags & dns.flags.TC
        assert (reply.answer, reply.additional) == ([], [])
        assert await dns_node.says(tcp=True) == BOTH
        assert len((await dns_node.resolver().mx(HOME)).mx) == 2
        assert (await dns_node.state()).met == 2


async def test_stale_answers_are_those_of_the_zone_when_it_was_set() -> None:
    async with asked() as dns_node:
        await dns_node.put(DnsStale(name=HOME, subdomains=True))
        dns_node.zones.update(HOME, ["mx1 A 10.9.9.9"], ["mx1 A", "@ MX"])
        assert await dns_node.says() == BOTH
        assert await dns_node.says(MX1, "A") == ["10.0.0.3"]
        await dns_node.clear()
        assert await dns_node.says() == []
        assert await dns_node.says(MX1, "A") == ["10.9.9.9"]
        dns_node.zones.update(HOME, ["mx1 A 10.0.0.3", *(f"@ MX {one}" for one in BOTH)], ["mx1 A"])


async def test_an_exchange_without_address_is_there_all_the_same() -> None:
    async with asked() as dns_node:
        before = await dns_node.ask()
        await dns_node.put(DnsMxWithoutAddress(name="mx1.example.test"))
        for kind in ("A", "AAAA"):
            reply = await dns_node.ask(MX1, kind)
            assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
            assert reply.authority
        reply = await dns_node.ask()
        assert reply.answer == before.answer
        assert {str(rrset.name) for rrset in before.additional} == {MX1, MX2}
        assert {str(rrset.name) for rrset in reply.additional} == {MX2}
        assert await dns_node.says(MX2, "A") == ["10.0.0.4"]


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (Refuse("mx1"), "set it at an MTA"),
        (DnsNxdomain(name="a..b"), "empty label"),
        (DnsServfail(name=HOME, type="MXX"), "no such record type"),
        (DnsSwappedMx(name=HOME, exchanges=("mx1.example.test", "mx9.example.test")), "no MX mx9"),
        (DnsSwappedMx(name=HOME, exchanges=("mx1.example.test", "MX1.example.test")), "not one"),
        (DnsWrongMx(name="mx1.example.test", exchange="gone.test"), "no MX records"),
        (DnsMxWithoutAddress(name="gone.example.test"), "no address to lose"),
    ],
)
async def test_what_cannot_strike_is_refused(fault: AnyFault, text: str) -> None:
    async with asked() as dns_node:
        with pytest.raises(ControlError, match=text) as caught:
            await dns_node.put(fault)
        assert caught.value.code == -32602
