"""What a picture shows of a topology."""

from mxlab.model.topology import Exchange, MailDomain, NameServer, RelayHost, Topology
from mxlab.picture.diagram import Copying, Diagram, Rank, diagram_of, planned, shown_domain


def of(topology: Topology) -> Diagram:
    return diagram_of(topology, "a lab", planned(topology, "10.0.0.0/24"))


def test_a_host_may_be_primary_here_and_backup_there() -> None:
    second = MailDomain("two.test", (Exchange("mx2", 10), Exchange("mx1", 20)))
    found = of(Topology(domains=(second,)))
    assert found.domains[1].ranks == (Rank("mx2", 10, "primary"), Rank("mx1", 20, "backup"))
    assert [place.name for place in found.of("exchange")] == ["mx1", "mx2"]


def test_who_has_a_smarthost_looks_up_no_exchanges() -> None:
    relays = (RelayHost("out", "relay.test", ("client",)),)
    found = of(Topology(smarthost="out", relays=relays))
    assert [place.name for place in found.by_mx] == ["out"]
    assert found.place("client").smarthost == "out"


def test_which_name_server_copies_what_from_which() -> None:
    found = of(Topology(dns=(NameServer("ns1", ("example.test",)), "ns2"), resolver="stub"))
    assert found.copies == (Copying("ns1", "ns2", ("example.test", "client.test")),)
    assert found.asks == "every mail host asks ns1"


def test_senders_that_walk_begin_at_the_root() -> None:
    found = of(Topology(dns=("ns1", "ns2")))
    assert found.asks == "every mail host begins at the root: ns1 or ns2"


def test_an_address_at_which_nobody_is_is_told() -> None:
    found = of(Topology(mx=(Exchange("mx1", 10, unreachable=(6,)),), ip=(4,)))
    assert found.place("mx1").notes == ("IPv6 in DNS, where nobody is",)


def test_a_domain_beyond_ascii_is_shown_in_both_forms() -> None:
    assert shown_domain("xn--bcher-kva.example") == "bücher.example (xn--bcher-kva.example)"
    assert shown_domain("xn--a.example") == "xn--a.example"  # no label that anybody could read
