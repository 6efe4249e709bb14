"""The tree of names that a lab keeps: what is not there does not exist, what is elsewhere is not
denied, and mail to a mistyped domain comes back."""

import dns.flags
import dns.message
import dns.rcode
import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab.model.topology import RESERVED_DOMAINS, Topology
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab.plan.zones import KEPT
from mxlab_services.config import DnsConfig
from mxlab_services.dns.server import DnsServer
from mxlab_services.dns.zones import Zones
from tests.support.dns_lab import Emitted
from tests.support.stories import ALICE, MINUTE, in_lab, queue, reports, send


def server(topology: Topology) -> DnsServer:
    config = make_plan("lab", "run", topology, AddressPlan("10.0.0.0/24")).nodes[0]
    assert isinstance(config, DnsConfig)
    zones = Zones()
    for origin, text in config.zones.items():
        change = zones.replace(origin, text)
        assert not change.zone.warnings, change.zone.warnings
    return DnsServer(zones, Emitted())


def ask(ours: DnsServer, name: str, kind: str = "MX") -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    return dns.message.from_wire(ours.respond(query.to_wire(), "udp", "192.0.2.1"))


SHAPES = {
    "default": Topology(),
    "example.com": Topology(domain="example.com"),
    "deep": Topology(domain="a.b.example"),
    "nested": Topology(domain="example.test", client_domain="client.example.test"),
    "turned": Topology(domain="mail.client.test", client_domain="client.test"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_lab_answers_for_its_domains_and_denies_what_its_tree_has_not(shape: str) -> None:
    topology = SHAPES[shape]
    ours = server(topology)
    for domain in (topology.domain, topology.client_domain):
        found = ask(ours, domain)
        assert (found.rcode(), bool(found.answer)) == (dns.rcode.NOERROR, True)
        assert found.flags & dns.flags.AA
        above = ask(ours, domain, "DS")  # asked of the zone above, where it is the lab's
        assert (above.rcode(), above.answer) == (dns.rcode.NOERROR, [])
    for name in ("nonexist.test", "exmaple.test", "a.b.nonexist.test", "x.example", "y.invalid"):
        reply = ask(ours, name)
        assert reply.rcode() == dns.rcode.NXDOMAIN
        assert reply.flags & dns.flags.AA
        (soa,) = reply.authority
        assert str(soa.name) == f"{name.rpartition('.')[2]}."


@pytest.mark.parametrize("name", ["gmail.com", "com", ".", "1.0.0.172.in-addr.arpa", "test.com"])
def test_what_lies_elsewhere_is_refused(name: str) -> None:
    assert ask(server(Topology()), name).rcode() == dns.rcode.REFUSED


def test_the_documentations_domains_exist_in_the_world_and_are_not_denied() -> None:
    assert set(RESERVED_DOMAINS) - set(KEPT) == {"example.com", "example.net", "example.org"}
    ours = server(Topology(domain="mail.example.com"))
    assert ask(ours, "mail.example.com").answer
    assert ask(ours, "www.example.com").rcode() == dns.rcode.REFUSED


def test_a_mistyped_domain_bounces_at_once() -> None:
    """As it does in the world: 5.1.2, and no five days in the queue."""

    async def story(lab: SimLab) -> None:
        for typo in ("nonexist.test", "example.tset", "exmaple.test"):
            await send(lab, f"a@{typo}")
        await lab.clock.sleep(MINUTE)
        found = await reports(lab, ALICE)
        assert [report.status for report in found] == ["5.1.2", "5.1.2"]
        (waiting,) = await queue(lab, "client")  # .tset is nobody's here: not the lab's to deny
        assert waiting.recipients[0].address == "a@example.tset"

    in_lab(story)
