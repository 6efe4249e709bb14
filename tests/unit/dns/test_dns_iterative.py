"""The resolver that walks from the root, over a small tree of simulated name servers."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from mxlab.backends.sim.backend import simulate
from mxlab_services.config import DnsConfig
from mxlab_services.control.requests import ZoneReplace, ZoneUpdate
from mxlab_services.dns.iterative import MAX_QUESTIONS, IterativeResolver
from mxlab_services.errors import ControlError
from mxlab_services.events import DnsQuery
from tests.support.dns_lab import Emitted
from tests.support.dns_world import DnsWorld, dns_world, server

SOA = "$TTL {ttl}\n@ SOA . . 1 3600 600 86400 30\n"
ROOT_ZONE = "@ NS a.root.\na.root. A 10.0.0.10\ntest. NS ns.test.\nns.test. A 10.0.0.11\n"
ROOT_ZONE += "example. NS ns.test.\n"  # without glue: it lies elsewhere
TEST_ZONE = """@ NS ns
ns A 10.0.0.11
example NS ns1.example
example NS ns2.example
ns1.example A 10.0.0.1
ns2.example A 10.0.0.2
"""
EXAMPLE_ZONE = """@ NS ns1
@ NS ns2
ns1 A 10.0.0.1
ns2 A 10.0.0.2
@ MX 10 mx1
@ MX 20 mx2
mx1 A 10.0.0.3
mx2 A 10.0.0.4
alias CNAME www.other.example.
"""
OTHER_ZONE = "@ NS ns.test.\nwww A 10.0.0.20\n"


def zone(text: str, ttl: int = 60) -> str:
    return SOA.format(ttl=ttl) + text


def tree(test: str = "", example: str = "", root: str = "", ttl: int = 60) -> tuple[DnsConfig, ...]:
    """The root at .10, test. and example. at .11, example.test at .1 and .2; with more records."""
    below = {"example.test": zone(EXAMPLE_ZONE + example)}
    tops = {
        "test": zone(TEST_ZONE + test, ttl),
        "example": zone("@ NS ns.test.\nother NS ns.test.\n"),
        "other.example": zone(OTHER_ZONE),
    }
    return (
        server("root", 10, zones={".": zone(ROOT_ZONE + root, 600)}),
        server("tld", 11, zones=tops),
        server("ns1", 1, zones=below),
        server("ns2", 2, zones=below),
    )


class Asker:
    """The resolver at work in the world."""

    def __init__(self, world: DnsWorld) -> None:
        self.world = world
        self.looked = Emitted()
        self.resolver = IterativeResolver(
            ["10.0.0.10"], 53, world.clock, random.Random(1), self.looked, ["10.0.0.0/24"]
        )

    async def mx(self, name: str) -> Any:
        return await self.world.inside(self.resolver.mx(name))

    async def addresses(self, name: str) -> Any:
        return await self.world.inside(self.resolver.addresses(name))

    async def asked(self) -> list[str]:
        """The questions so far, by the server that got them."""
        return [
            f"{node} {query.name} {query.type}"
            for node in self.world.nodes
            for query in await self.world.told(node, DnsQuery)
        ]


Story = Callable[[Asker], Coroutine[Any, Any, None]]


def play(story: Story, *configs: DnsConfig) -> None:
    async def main() -> None:
        async with dns_world(*(configs or tree())) as world:
            await story(Asker(world))

    simulate(main)


# --- the way down ---------------------------------------------------------------------------------


def test_the_usual_tree_takes_three_questions_and_then_none() -> None:
    async def story(asker: Asker) -> None:
        answer = await asker.mx("example.test")
        assert (answer.status, len(answer.mx), answer.cached) == ("ok", 2, False)
        assert await asker.asked() == [
            "root example.test. MX", "tld example.test. MX", "ns1 example.test. MX",
        ]  # fmt: skip
        assert (await asker.mx("EXAMPLE.test.")).cached
        assert (await asker.addresses("mx1.example.test")).addresses == ("10.0.0.3",)
        assert len(await asker.asked()) == 5  # A and AAAA, of the zone's own server
        assert [lookup.status for lookup in asker.looked.lookups()] == ["ok"] * 3

    play(story)


def test_equal_questions_at_a_time_are_one() -> None:
    async def story(asker: Asker) -> None:
        await asyncio.gather(*(asker.mx("example.test") for _ in range(20)))
        assert len(await asker.asked()) == 3

    play(story)


def test_answers_and_delegations_are_kept_for_their_ttl() -> None:
    async def story(asker: Asker) -> None:
        await asker.mx("example.test")
        await asyncio.sleep(59)
        assert (await asker.mx("example.test")).cached
        await asyncio.sleep(2)
        assert not (await asker.mx("example.test")).cached
        # The delegation of example.test was kept as long; that of test. for 600 s.
        assert (await asker.asked())[:1] == ["root example.test. MX"]
        assert [one.split()[0] for one in await asker.asked()].count("tld") == 2

    play(story)


def test_what_does_not_exist_is_kept_as_long_as_the_soa_says() -> None:
    async def story(asker: Asker) -> None:
        for name, status in (("no.example.test", "nxdomain"), ("mx1.example.test", "nodata")):
            assert (await asker.mx(name)).status == status
            before = len(await asker.asked())
            await asyncio.sleep(29)  # MINIMUM is 30
            assert (await asker.mx(name)).cached
            assert len(await asker.asked()) == before
            await asyncio.sleep(2)
            assert not (await asker.mx(name)).cached
        assert (await asker.mx("nowhere.test")).status == "nxdomain"
        assert (await asker.mx("nowhere")).status == "nxdomain"

    play(story)


def test_an_alias_into_another_zone_is_asked_for_there() -> None:
    async def story(asker: Asker) -> None:
        answer = await asker.addresses("alias.example.test")
        assert (answer.canonical, answer.addresses) == ("www.other.example", ("10.0.0.20",))

    play(story)


def test_a_long_answer_comes_by_tcp() -> None:
    many = "".join(f"many MX {n} a-host-with-a-long-name-{n:04}\n" for n in range(60))

    async def story(asker: Asker) -> None:
        assert len((await asker.mx("many.example.test")).mx) == 60

    play(story, *tree(example=many))


# --- servers that do not help ---------------------------------------------------------------------


def test_with_one_server_dead_the_next_is_asked_and_then_first() -> None:
    async def story(asker: Asker) -> None:
        await asker.world.nodes["ns1"].kill()
        began = asker.world.loop.time()
        assert (await asker.mx("example.test")).status == "ok"
        assert asker.world.loop.time() - began == pytest.approx(1, abs=0.1)
        assert (await asker.addresses("mx1.example.test")).status == "ok"
        assert asker.world.loop.time() - began == pytest.approx(1, abs=0.1)
        await asyncio.sleep(61)  # by now it has another chance
        await asker.mx("example.test")
        assert asker.world.loop.time() - began == pytest.approx(63, abs=0.2)

    play(story)


def test_with_all_servers_dead_it_ends_in_time_with_the_reason() -> None:
    async def story(asker: Asker) -> None:
        for node in ("ns1", "ns2"):
            await asker.world.nodes[node].kill()
        began = asker.world.loop.time()
        answer = await asker.mx("example.test")
        assert answer.status == "timeout"
        assert answer.why == (
            "no server of example.test. knows: ns1.example.test. (10.0.0.1): no answer; "
            "ns2.example.test. (10.0.0.2): no answer"
        )
        assert asker.world.loop.time() - began == pytest.approx(6, abs=0.1)

    play(story)


def test_a_lame_server_is_passed_by() -> None:
    async def story(asker: Asker) -> None:
        assert (await asker.mx("example.test")).status == "ok"
        assert "ns1 example.test. MX" in await asker.asked()

    root, tld, _, ns2 = tree()
    play(story, root, tld, server("ns1", 1, zones={"elsewhere.test": zone("@ NS ns1\n")}), ns2)


@pytest.mark.parametrize(
    ("zones", "reason"),
    [
        ({"elsewhere.test": zone("@ NS ns1\n")}, "says REFUSED"),
        ({"test": zone(TEST_ZONE)}, "example.test. is delegated to"),  # to itself, it says
        ({".": zone(ROOT_ZONE)}, "test. is delegated to ns.test., says its own server"),  # upwards
    ],
)
def test_where_all_servers_are_lame_that_is_the_reason(zones: dict[str, str], reason: str) -> None:
    async def story(asker: Asker) -> None:
        answer = await asker.mx("example.test")
        assert answer.temporary
        assert answer.why.startswith("no server of example.test. knows: ns1.example.test.")
        assert reason in answer.why

    root, tld, *_ = tree()
    play(story, root, tld, server("ns1", 1, zones=zones), server("ns2", 2, zones=zones))


def test_a_delegation_that_moved_is_found_when_the_old_servers_are_gone() -> None:
    async def story(asker: Asker) -> None:
        await asker.mx("example.test")
        await asker.world.nodes["tld"].request(
            ZoneUpdate(
                "test",
                ["example NS ns9.example", "ns9.example A 10.0.0.9"],
                ["example NS", "ns1.example A", "ns2.example A"],
            )
        )
        for node in ("ns1", "ns2"):  # they do not serve it any more
            gone = ZoneReplace("example.test", zone("@ NS ns1\n"), strict=False)
            await asker.world.nodes[node].request(gone)
            await asker.world.nodes[node].kill()
        answer = await asker.addresses("new.example.test")
        assert answer.addresses == ("10.0.0.77",)

    moved = {"example.test": zone(EXAMPLE_ZONE + "new A 10.0.0.77\n")}
    play(story, *tree(ttl=86400), server("ns9", 9, zones=moved))


# --- whom it believes -----------------------------------------------------------------------------


def test_glue_of_others_names_is_not_believed() -> None:
    """The server of test. says where ns.other.example is, which is not its to say."""

    async def story(asker: Asker) -> None:
        answer = await asker.addresses("host.sub.test")
        assert answer.addresses == ("10.0.0.21",)

    _, _, ns1, ns2 = tree()
    tops = {"test": zone(TEST_ZONE + "sub NS ns.other.example.\n"), "other.example": zone(
        "@ NS ns.test.\nns A 10.0.0.66\n"  # glue that this server would give, and is wrong
    )}  # fmt: skip
    true = {"other.example": zone("@ NS ns.example.\nns A 10.0.0.9\n")}
    play(
        story,
        server("root", 10, zones={".": zone(
            "@ NS a.root.\na.root. A 10.0.0.10\ntest. NS ns.test.\nns.test. A 10.0.0.11\n"
            "example. NS ns.example.\nns.example. A 10.0.0.12\n"
        )}),
        server("tld", 11, zones=tops),
        server("other", 12, zones={"example": zone("@ NS ns\nns A 10.0.0.12\n"
                                                   "other NS ns\n"), **true}),
        server("sub", 9, zones={"sub.test": zone("@ NS ns.other.example.\nhost A 10.0.0.21\n")}),
        server("liar", 66, zones={"sub.test": zone("@ NS ns.other.example.\nhost A 10.0.0.66\n")}),
        ns1,
        ns2,
    )  # fmt: skip


def test_what_a_server_says_of_others_zones_is_not_believed() -> None:
    """ns1 has a zone other.example of its own, with a wrong address, and follows the alias."""

    async def story(asker: Asker) -> None:
        answer = await asker.addresses("alias.example.test")
        assert answer.addresses == ("10.0.0.20",)

    root, tld, _, ns2 = tree()
    zones = {
        "example.test": zone(EXAMPLE_ZONE),
        "other.example": zone("@ NS ns1.example.test.\nwww A 10.0.0.66\n"),
    }
    play(story, root, tld, server("ns1", 1, zones=zones), ns2)


def test_nobody_outside_the_lab_is_asked() -> None:
    async def story(asker: Asker) -> None:
        answer = await asker.mx("out.test")
        assert answer.status == "servfail"
        assert "ns.out.test. (192.0.2.1): not in the lab, so it is not asked" in answer.why
        answer = await asker.mx("far.test")
        assert "ns.far.example.: 192.0.2.2 is not in the lab" in answer.why
        with pytest.raises(ControlError, match=r"192\.0\.2\.9 is not in the lab"):
            await asker.world.inside(asker.resolver.dig("x.test", server="192.0.2.9"))

    root, _, ns1, ns2 = tree()
    tops = {
        "test": zone(TEST_ZONE + "out NS ns.out\nns.out A 192.0.2.1\nfar NS ns.far.example.\n"),
        "example": zone("@ NS ns.test.\nns.far A 192.0.2.2\n"),
    }
    play(story, root, server("tld", 11, zones=tops), ns1, ns2)


# --- loops ----------------------------------------------------------------------------------------


LOOPS = """bare NS ns.bare
left NS ns.right
right NS ns.left
self NS ns.self
l1 CNAME l2.example
"""


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("bare.test", "ns.bare.test.: no glue, and it lies in the zone itself"),
        ("left.test", "a loop"),
        ("one.example.test", "is an alias of itself"),
        ("l1.test", "more than 8 aliases, or a loop of them"),
    ],
)
def test_a_loop_ends_with_the_reason(name: str, reason: str) -> None:
    async def story(asker: Asker) -> None:
        answer = await asker.mx(name)
        assert answer.status == "servfail"
        assert reason in answer.why
        assert len(await asker.asked()) <= MAX_QUESTIONS
        assert (await asker.mx(name)).cached  # RFC 9520: for a moment

    more = "one CNAME two\ntwo CNAME one\nl2 CNAME l1.test.\n"
    play(story, *tree(test=LOOPS, example=more))


def test_a_tree_without_end_is_given_up() -> None:
    """Each server's name lies in a zone of whose servers one has to find the names first."""
    lines = "".join(f"z{n} NS ns{m}.z{n + 1}.test.\n" for n in range(60) for m in range(2))

    async def story(asker: Asker) -> None:
        answer = await asker.mx("z0.test")
        assert answer.status == "servfail"
        assert len(await asker.asked()) <= MAX_QUESTIONS

    play(story, *tree(test=lines))


# --- dig ------------------------------------------------------------------------------------------


def test_a_trace_shows_the_walk_past_the_cache() -> None:
    async def story(asker: Asker) -> None:
        await asker.mx("example.test")
        await asker.world.nodes["ns1"].kill()
        report = await asker.world.inside(asker.resolver.dig("example.test", "MX", trace=True))
        lines = [line for line in report.text.splitlines() if line.startswith(";; example.test")]
        assert [
            (": no answer" in line, line.partition(" in ")[0].split()[-1]) for line in lines
        ] == [
            (False, "10.0.0.10#53(.)"),
            (False, "10.0.0.11#53(ns.test.)"),
            (True, "10.0.0.1#53(ns1.example.test.)"),
            (False, "10.0.0.2#53(ns2.example.test.)"),
        ]
        assert report.rcode == "NOERROR"
        assert report.answers[0] == "example.test. 60 IN MX 10 mx1.example.test."

    play(story)


def test_a_trace_that_leads_nowhere_says_why() -> None:
    async def story(asker: Asker) -> None:
        await asker.world.nodes["root"].kill()
        report = await asker.world.inside(asker.resolver.dig("example.test", "MX", trace=True))
        assert report.rcode == "TIMEOUT"
        assert "no server of . knows: 10.0.0.10: no answer" in report.text

    play(story)


def test_dig_asks_who_knows_or_whom_one_names() -> None:
    async def story(asker: Asker) -> None:
        dig = asker.resolver.dig
        report = await asker.world.inside(dig("example.test", "MX"))
        assert (len(report.answers), "SERVER: 10.0.0.1#53" in report.text) == (2, True)
        report = await asker.world.inside(dig("example.test", "MX", server="10.0.0.11"))
        assert (report.answers, len(report.authority)) == ([], 2)
        report = await asker.world.inside(dig("example.test", "MX", tcp=True))
        assert "(TCP)" in report.text

    play(story)
