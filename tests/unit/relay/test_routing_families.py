"""Addresses of both families at an exchange: which are tried, and in which order (RFC 6724)."""

from tests.support.routing_lab import SELF_ADDRESS, D, hosts, router, said, zone

FOUR, SIX = "10.0.0.0/24", "2001:db8::/64"
BOTH = [SELF_ADDRESS, "2001:db8::3"]


async def test_ipv6_comes_first_whatever_the_order_in_dns() -> None:
    table = zone((10, f"mx1.{D}"), mx1=["10.0.0.2", "2001:db8::2", "10.0.0.9", "2001:db8::9"])
    route = await router(table, networks=[FOUR, SIX], own=BOTH).route(D)
    tried = ("2001:db8::2", "2001:db8::9", "10.0.0.2", "10.0.0.9")
    assert [target.addresses for target in route.targets] == [tried]
    assert said(route, "IPv6 is tried first") == "RFC 6724 §6"


async def test_who_has_no_ipv6_passes_over_such_addresses() -> None:
    table = zone((10, f"mx1.{D}"), (20, f"mx3.{D}"), mx1=["2001:db8::2"])
    route = await router(table, networks=[FOUR, SIX]).route(D)
    assert hosts(route) == [f"mx3.{D}"]
    assert said(route, "no IPv6 address to send from") == "RFC 6724 §6"


async def test_who_has_no_ipv4_passes_over_such_addresses() -> None:
    table = zone((10, f"mx1.{D}"), mx1=["10.0.0.2", "2001:db8::2"])
    route = await router(table, networks=[FOUR, SIX], own=["2001:db8::3"]).route(D)
    assert [target.addresses for target in route.targets] == [("2001:db8::2",)]


async def test_the_other_family_is_among_the_few_that_are_tried() -> None:
    six = [f"2001:db8::{n}" for n in range(10, 18)]
    table = zone((10, f"mx1.{D}"), mx1=["10.0.0.2", *six])
    route = await router(table, networks=[FOUR, SIX], own=BOTH).route(D)
    assert [target.addresses for target in route.targets] == [(*six[:4], "10.0.0.2")]
    assert said(route, "10.0.0.2 takes the place of the last of them") == "RFC 6724 §6"


async def test_it_finds_itself_by_either_of_its_addresses() -> None:
    table = zone((10, f"mx1.{D}"), (20, f"other.{D}"), other=["2001:db8::3"])
    route = await router(table, networks=[FOUR, SIX], own=BOTH).route(D)
    assert hosts(route) == [f"mx1.{D}"]
    assert said(route, "known by its address")
