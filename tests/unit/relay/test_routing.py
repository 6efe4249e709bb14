"""MAIL-RULES A1-A9: where mail for a domain goes, and why."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxlab_services import events
from mxlab_services.dns.answers import Status
from mxlab_services.queue.ports import Deferred, Failed
from mxlab_services.relay.routing import ADDRESS_LIMIT, report
from tests.support.routing_lab import (
    HOSTS,
    SELF,
    SELF_ADDRESS,
    D,
    Seen,
    Table,
    hosts,
    reply,
    router,
    said,
    zone,
)


async def test_a1_alias_at_the_domain_is_followed() -> None:
    table = Table({"real.test": [(10, "mx1.example.test")]}, HOSTS, {"alias.test": "real.test"})
    route = await router(table).route("alias.test")
    assert hosts(route) == ["mx1.example.test"]
    assert said(route, "alias.test is an alias") == "RFC 5321 §5.1"


async def test_a1_nonexistent_domain_fails() -> None:
    route = await router(Table({D: "nxdomain"})).route(D)
    assert isinstance(route.failure, Failed)
    assert reply(route) == "550 5.1.2 Domain example.test does not exist"


@pytest.mark.parametrize("status", ["servfail", "timeout", "refused"])
async def test_a1_temporary_dns_failure_waits(status: Status) -> None:
    route = await router(Table({D: status})).route(D)
    assert isinstance(route.failure, Deferred)
    assert not route.failure.dead
    assert reply(route).startswith("451 4.4.3 ")


async def test_a2_without_mx_the_domain_itself_is_the_host() -> None:
    route = await router(Table({}, {D: ["10.0.0.9"]})).route(D)
    [target] = route.targets
    assert (target.host, target.preference, target.addresses) == (D, 0, ("10.0.0.9",))
    assert said(route, "implicit MX") == "RFC 5321 §5.1"


async def test_a2_implicit_mx_of_an_alias_is_the_canonical_name() -> None:
    table = Table({}, {"real.test": ["10.0.0.9"]}, {"alias.test": "real.test"})
    assert hosts(await router(table).route("alias.test")) == ["real.test"]


async def test_a2_without_mx_and_address_the_domain_fails() -> None:
    route = await router(Table({}, {D: "nodata"})).route(D)
    assert isinstance(route.failure, Failed)
    assert reply(route).startswith("550 5.4.4 ")


async def test_a2_without_mx_a_temporary_address_failure_waits() -> None:
    route = await router(Table({}, {D: "servfail"})).route(D)
    assert isinstance(route.failure, Deferred)
    assert reply(route).startswith("451 4.4.3 ")


async def test_a2_unusable_mx_never_falls_back_to_the_domains_address() -> None:
    table = Table(
        {D: [(10, "gone.example.test")]}, {D: ["10.0.0.9"], "gone.example.test": "nxdomain"}
    )
    route = await router(table).route(D)
    assert isinstance(route.failure, Failed)
    assert reply(route).startswith("550 5.4.4 ")
    assert (D, "A") not in table.asked


async def test_a2_a_missing_target_is_passed_over() -> None:
    route = await router(zone((10, f"gone.{D}"), (20, f"mx1.{D}"), gone="nodata")).route(D)
    assert hosts(route) == [f"mx1.{D}"]
    assert route.discarded == (f"gone.{D}: the name has no address",)


async def test_a2_all_targets_temporarily_unknown_waits() -> None:
    route = await router(zone((10, f"mx1.{D}"), mx1="timeout")).route(D)
    assert isinstance(route.failure, Deferred)
    assert reply(route).startswith("451 4.4.3 ")


async def test_a3_lower_preference_first() -> None:
    route = await router(zone((30, f"mx4.{D}"), (5, f"mx3.{D}"), (10, f"mx1.{D}"))).route(D)
    assert hosts(route) == [f"mx3.{D}", f"mx1.{D}", f"mx4.{D}"]
    assert [target.preference for target in route.targets] == [5, 10, 30]


async def test_a3_equal_preferences_are_randomised() -> None:
    table = zone((10, f"mx1.{D}"), (10, f"mx3.{D}"), (10, f"mx4.{D}"))
    orders = {tuple(hosts(await router(table, seed=seed).route(D))) for seed in range(60)}
    assert len(orders) == 6
    again = [hosts(await router(table, seed=7).route(D)) for _ in range(2)]
    assert again[0] == again[1]
    route = await router(table).route(D)
    assert said(route, "equal preference 10, shuffled") == "RFC 5321 §5.1"


async def test_a3_addresses_keep_their_order() -> None:
    given = ["10.0.0.9", "10.0.0.7", "10.0.0.8"]
    [target] = (await router(zone((10, f"mx1.{D}"), mx1=given)).route(D)).targets
    assert target.addresses == tuple(given)


async def test_a4_addresses_per_host_are_limited() -> None:
    given = [f"10.0.0.{number}" for number in range(10, 20)]
    route = await router(zone((10, f"mx1.{D}"), mx1=given)).route(D)
    assert route.targets[0].addresses == tuple(given[:ADDRESS_LIMIT])
    assert said(route, "the first 5 are tried") == "RFC 5321 §5.1"


async def test_a5_null_mx_fails_at_once() -> None:
    table = Table({D: [(0, "")]}, {D: ["10.0.0.9"]})
    route = await router(table).route(D)
    assert isinstance(route.failure, Failed)
    assert reply(route) == "556 5.1.10 Domain example.test does not accept mail (null MX)"
    assert route.decisions[-1].section == "RFC 7505 §3"
    assert table.asked == [(D, "MX")]


async def test_a5_null_mx_beside_others_is_ignored_with_a_warning() -> None:
    route = await router(zone((0, ""), (10, f"mx1.{D}"))).route(D)
    assert hosts(route) == [f"mx1.{D}"]
    assert said(route, "a null MX must be the only MX record") == "RFC 7505 §3"


async def test_a6_alias_as_target_is_followed_with_a_warning() -> None:
    table = Table({D: [(10, "www.example.test")]}, HOSTS, {"www.example.test": "mx1.example.test"})
    route = await router(table).route(D)
    assert [(t.host, t.addresses) for t in route.targets] == [("www.example.test", ("10.0.0.2",))]
    assert said(route, "an MX must not name one") == "RFC 2181 §10.3"


async def test_a7_self_in_the_middle_keeps_only_better_hosts() -> None:
    table = zone((10, f"mx1.{D}"), (20, "MX2.Example.Test."), (30, f"mx3.{D}"))
    route = await router(table).route(D)
    assert hosts(route) == [f"mx1.{D}"]
    assert said(route, "it is this host, known by its name") == "RFC 5321 §5.1"
    assert f"mx3.{D}: preference 30 is not better than ours" in route.discarded
    assert (f"mx3.{D}", "A") not in table.asked


async def test_a7_self_tied_discards_its_equals() -> None:
    for seed in range(4):
        table = zone((10, f"mx1.{D}"), (20, f"mx3.{D}"), (20, SELF))
        route = await router(table, seed=seed).route(D)
        assert hosts(route) == [f"mx1.{D}"]
        assert f"mx3.{D}: preference 20 is not better than ours" in route.discarded


async def test_a7_self_is_best_loops_back() -> None:
    route = await router(zone((10, SELF), (20, f"mx1.{D}"))).route(D)
    assert isinstance(route.failure, Failed)
    assert reply(route) == "554 5.4.6 mail for example.test loops back to myself"


async def test_a7_self_is_found_by_its_address() -> None:
    route = await router(zone((10, f"mx1.{D}"), (20, f"other.{D}"), other=[SELF_ADDRESS])).route(D)
    assert hosts(route) == [f"mx1.{D}"]
    assert said(route, "known by its address")


async def test_a7_an_alias_of_self_is_self() -> None:
    table = Table(
        {D: [(10, "www.example.test")]}, {SELF: ["10.0.0.77"]}, {"www.example.test": SELF}
    )
    assert reply(await router(table).route(D)).startswith("554 5.4.6 ")


async def test_a7_implicit_mx_that_is_self_loops_back() -> None:
    assert reply(await router(Table({}, {D: [SELF_ADDRESS]})).route(D)).startswith("554 5.4.6 ")


@pytest.mark.parametrize("status", ["nxdomain", "nodata", "servfail"])
async def test_a8_better_mx_without_address_then_self_waits(status: Status) -> None:
    route = await router(zone((10, f"mx1.{D}"), (20, SELF), mx1=status)).route(D)
    assert isinstance(route.failure, Deferred)
    assert reply(route).startswith("451 4.4.4 unable to find primary relay")


async def test_a8_an_equal_mx_without_address_is_still_a_loop() -> None:
    route = await router(zone((20, f"mx1.{D}"), (20, SELF), mx1="nodata")).route(D)
    assert reply(route).startswith("554 5.4.6 ")


async def test_a9_loopback_target_is_dropped() -> None:
    route = await router(zone((10, f"bad.{D}"), (20, f"mx1.{D}"), bad=["127.0.0.1"])).route(D)
    assert hosts(route) == [f"mx1.{D}"]
    assert said(route, "a loopback address is no mail exchanger")


async def test_a9_loopback_alone_fails() -> None:
    route = await router(zone((10, f"bad.{D}"), bad=["127.0.0.1", "::1"])).route(D)
    assert reply(route).startswith("550 5.4.4 ")


async def test_a9_a_lab_on_loopback_networks_may_use_them() -> None:
    table = zone((10, f"mx1.{D}"), mx1=["127.34.0.2", "127.0.0.1"])
    route = await router(table, networks=["127.34.0.0/24"]).route(D)
    assert route.targets[0].addresses == ("127.34.0.2",)


async def test_targets_outside_the_lab_are_dropped() -> None:
    route = await router(zone((10, f"out.{D}"), (20, f"mx1.{D}"), out=["192.0.2.1"])).route(D)
    assert hosts(route) == [f"mx1.{D}"]
    assert said(route, "outside the lab's networks") == "the lab's own rule"


async def test_the_same_host_twice_counts_once_at_its_best() -> None:
    route = await router(zone((20, f"MX1.{D}"), (10, f"mx1.{D}"), (15, f"mx3.{D}"))).route(D)
    assert hosts(route) == [f"mx1.{D}", f"mx3.{D}"]
    assert said(route, "listed more than once")


@pytest.mark.parametrize(
    ("literal", "address"), [("[10.0.0.9]", "10.0.0.9"), ("[IPv6:fd00::9]", "fd00::9")]
)
async def test_address_literals_need_no_lookup(literal: str, address: str) -> None:
    table = Table()
    both = ["10.0.0.0/24", "fd00::/64"]
    route = await router(table, networks=both, own=[SELF_ADDRESS, "fd00::3"]).route(literal)
    assert [t.addresses for t in route.targets] == [(address,)]
    assert hosts(route) == [literal.lower()]
    assert table.asked == []


@pytest.mark.parametrize(
    ("literal", "expected"),
    [
        ("[10.0.0.3]", "554 5.4.6 "),
        ("[192.0.2.1]", "550 5.4.4 "),
        ("[127.0.0.1]", "550 5.4.4 "),
        ("[nonsense]", "550 5.1.2 "),
    ],
)
async def test_address_literals_that_lead_nowhere_fail(literal: str, expected: str) -> None:
    assert reply(await router(Table()).route(literal)).startswith(expected)


async def test_the_route_is_told_as_an_event_of_the_message() -> None:
    seen = Seen()
    await router(zone((10, f"mx1.{D}"), (20, SELF)), seen=seen).route("EXAMPLE.test.", "<m@x>")
    [(body, message)] = seen.events
    assert isinstance(body, events.Routed)
    assert message == "<m@x>"
    assert (body.domain, body.targets) == (D, [f"mx1.{D}"])
    assert body.discarded == [f"{SELF}: it is this host, known by its name, at preference 20"]
    assert (body.reason, body.section) == (f"mail for {D} goes to mx1.{D}", "RFC 5321 §5.1")


async def test_report_explains_a_relay() -> None:
    found = await report(router(zone((10, f"mx1.{D}"), (20, SELF))), f"bob@{D}", lambda _: False)
    assert (found.status, found.reply) == ("relay", "")
    assert found.targets == ["10 mx1.example.test [10.0.0.2]"]
    assert found.decisions[0] == (
        "MX records of example.test: 10 mx1.example.test, 20 mx2.example.test (RFC 5321 §5.1)"
    )


async def test_report_tells_local_waiting_and_failing_apart() -> None:
    local = await report(router(Table()), f"bob@{D}", lambda domain: domain == D)
    assert (local.status, len(local.decisions)) == ("local", 1)
    waits = await report(router(Table({D: "servfail"})), f"bob@{D}", lambda _: False)
    assert (waits.status, waits.reply[:9]) == ("defer", "451 4.4.3")
    fails = await report(router(Table({D: "nxdomain"})), D, lambda _: False)
    assert (fails.status, fails.reply[:9]) == ("fail", "550 5.1.2")


_NAMES = [f"{name}.{D}" for name in ("mx1", "mx2", "mx3", "mx4", "out", "loop", "gone", "slow")]
_KNOWN: dict[str, list[str] | Status] = HOSTS | {
    f"out.{D}": ["192.0.2.1"],
    f"loop.{D}": ["127.0.0.1"],
    f"gone.{D}": "nxdomain",
    f"slow.{D}": "timeout",
}


@given(
    st.lists(st.tuples(st.sampled_from([0, 5, 10, 20]), st.sampled_from(["", *_NAMES]))),
    st.integers(0, 9),
)
def test_any_zone_gives_only_hosts_better_than_self_or_a_failure(
    mx: list[tuple[int, str]], seed: int
) -> None:
    table = Table({D: mx or "nodata"}, _KNOWN)
    route = asyncio.run(router(table, seed=seed).route(D))
    preferences = [target.preference for target in route.targets]
    own = min((preference for preference, name in mx if name == SELF), default=1000)
    assert preferences == sorted(preferences)
    assert all(preference < own for preference in preferences)
    assert len(set(hosts(route))) == len(hosts(route))
    usable = {f"mx1.{D}", f"mx3.{D}", f"mx4.{D}"}
    assert set(hosts(route)) == {name for preference, name in mx if preference < own} & usable
    assert (route.failure is None) == bool(route.targets)
    assert all(decision.text and decision.section for decision in route.decisions)
