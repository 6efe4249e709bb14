"""Labs with several name servers: who serves what, and mail that finds its way from the root."""

import asyncio
from typing import Any

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab.errors import UsageError
from mxlab.model.topology import NameServer, Topology
from mxlab.plan.checked import topology_problems
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab.plan.zones import zone_primary, zone_servers
from mxlab.scenario.load import loads
from mxlab_services.config import DnsConfig, MtaConfig
from mxlab_services.control.requests import Dig, ZoneList, ZoneUpdate
from mxlab_services.dns.zone import load_zone
from mxlab_services.events import MailboxDelivered
from tests.support.stories import MINUTE, happened, in_lab, send

PAIR = Topology(dns=("ns1", "ns2"))
TREE = Topology(
    dns=(
        NameServer("root", (".",)),
        NameServer("tld", ("test",)),
        NameServer("ns1", ("example.test", "client.test")),
        NameServer("ns2", (), ("example.test", "client.test")),
    )
)


def plan(topology: Topology) -> dict[str, Any]:
    made = make_plan("lab", "run", topology, AddressPlan("10.0.0.0/24"))
    return {config.node: config for config in made.nodes}


# --- what each of them gets -----------------------------------------------------------------------


def test_one_server_has_all_and_no_root() -> None:
    nodes = plan(Topology())
    assert list(nodes) == ["dns", "mx1", "mx2", "client"]
    dns = nodes["dns"]
    assert (dns.secondaries, dns.primaries) == ({}, {})
    assert "." not in dns.zones
    assert nodes["client"].roots == []


def test_a_pair_is_primary_and_secondary_of_every_zone() -> None:
    nodes = plan(PAIR)
    zones = {"example.test", "client.test", "test", "example", "invalid", "localhost", "."}
    assert set(nodes["ns1"].zones) == zones | {"0.0.10.in-addr.arpa"}
    assert nodes["ns1"].secondaries == {zone: ["10.0.0.3"] for zone in zones}
    assert nodes["ns2"].primaries == {zone: ["10.0.0.2"] for zone in zones}
    assert nodes["ns2"].zones == {}
    assert nodes["client"].roots == ["10.0.0.2", "10.0.0.3"]


def test_a_tree_has_a_server_for_each_level() -> None:
    nodes = plan(TREE)
    assert set(nodes["root"].zones) == {
        ".", "example", "invalid", "localhost", "0.0.10.in-addr.arpa",
    }  # fmt: skip
    assert set(nodes["tld"].zones) == {"test"}
    assert set(nodes["ns1"].zones) == {"example.test", "client.test"}
    assert set(nodes["ns2"].primaries) == {"example.test", "client.test"}
    assert nodes["client"].dns == nodes["ns1"].address
    assert zone_primary(TREE, "example.test") == "ns1"
    assert zone_primary(TREE, "deeper.test") == "tld"
    assert zone_primary(TREE, "example.com") == "root"
    assert zone_servers(TREE)["example.test"] == ("ns1", "ns2")


@pytest.mark.parametrize("topology", [PAIR, TREE, Topology(domain="example.com", dns=("a", "b"))])
def test_the_zones_are_sound(topology: Topology) -> None:
    for config in plan(topology).values():
        if isinstance(config, DnsConfig):
            for origin, text in config.zones.items():
                assert load_zone(origin, text).warnings == ()


def test_a_stub_among_several_asks_the_domains_primary() -> None:
    nodes = plan(Topology(dns=("ns1", "ns2"), resolver="stub"))
    assert "." not in nodes["ns1"].zones
    assert isinstance(nodes["client"], MtaConfig)
    assert nodes["client"].roots == []
    assert plan(Topology(resolver="iterative"))["client"].roots == ["10.0.0.2"]


@pytest.mark.parametrize(
    ("servers", "reason"),
    [
        ((NameServer("a", ("exmple.test",)),), "the lab has no such zone"),
        ((NameServer("a", ("test",)), NameServer("b", ("test",))), "a is its primary already"),
        ((NameServer("a", ("test",), ("test",)),), "a is its primary"),
        (("a", "a"), "two nodes are called 'a'"),
    ],
)
def test_what_no_name_server_can_be_is_told(servers: Any, reason: str) -> None:
    problems = list(topology_problems(Topology(dns=servers)))
    assert [problem for problem in problems if reason in problem.text]
    with pytest.raises(UsageError, match=reason):
        make_plan("lab", "run", Topology(dns=servers), AddressPlan("10.0.0.0/24"))


def test_a_root_that_nobody_asks_is_told() -> None:
    topology = Topology(dns=(NameServer("a", (".",)),), resolver="stub")
    assert [p.text for p in topology_problems(topology)] == [
        "nobody asks the root, since `resolver` is stub"
    ]


FILE = """mxlab: 1
title: t
topology:
  dns: {dns}
steps:
  - send: {{id: a, from: alice@client.test, to: bob@example.test}}
expect: [all-delivered]
"""


def test_a_file_says_it_in_three_ways() -> None:
    assert loads(FILE.format(dns="ns1")).topology == Topology(dns="ns1")
    assert loads(FILE.format(dns="[ns1, ns2]")).topology == Topology(dns=("ns1", "ns2"))
    servers = "[{host: ns1, primary: [., test]}, {host: b, secondary: [example.test]}]"
    assert loads(FILE.format(dns=servers)).topology.name_servers == (
        NameServer("ns1", (".", "test")), NameServer("b", (), ("example.test",)),
    )  # fmt: skip


def test_a_misspelt_zone_is_told_with_its_place_and_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        loads(FILE.format(dns="[{host: ns1, primary: [exampel.test]}]"))
    assert "4:" in str(caught.value)
    assert "did you mean 'example.test'" in caught.value.hint


# --- mail -----------------------------------------------------------------------------------------


async def delivered(lab: SimLab) -> None:
    """A message sent now is in the mailbox within a minute, whoever is silent on the way."""
    before = len(await happened(lab, "mx1", MailboxDelivered))
    await send(lab)
    await asyncio.sleep(MINUTE)
    assert len(await happened(lab, "mx1", MailboxDelivered)) == before + 1


def test_with_either_name_server_dead_mail_goes_through() -> None:
    async def story(lab: SimLab) -> None:
        for node in ("ns1", "ns2"):
            await lab.nodes[node].kill()
            await delivered(lab)
            await lab.nodes[node].start()

    in_lab(story, topology=PAIR)


def test_a_tree_is_walked_and_a_change_reaches_the_secondary() -> None:
    async def story(lab: SimLab) -> None:
        report = await lab.nodes["client"].request(Dig("example.test", "MX", trace=True))
        places = [line.split("(")[1].split(")")[0] for line in report.text.splitlines()
                  if " from " in line]  # fmt: skip
        assert places == [".", "tld.example.test.", "ns1.example.test."]
        await lab.nodes["ns1"].request(ZoneUpdate("example.test", ["new A 10.53.25.9"]))
        await asyncio.sleep(1)
        (copy,) = [one for one in await lab.nodes["ns2"].request(ZoneList())
                   if one.origin == "example.test."]  # fmt: skip
        assert (copy.serial, len(copy.copy_of)) == (2, 1)
        await delivered(lab)

    in_lab(story, topology=TREE)
