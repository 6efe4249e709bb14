"""Labs of every shape, for tests that draw them."""

from functools import cache

from mxlab.assets import assets
from mxlab.model.topology import (
    Client,
    Exchange,
    MailDomain,
    NameServer,
    RelayHost,
    Submitters,
    Topology,
)
from mxlab.picture.diagram import Diagram, HostNow, diagram_of, planned
from mxlab.scenario.load import load_topology, scenario_ids

SUBNET = "10.53.25.0/24"
LONG = "this-is-a-label-of-sixty-characters-that-nobody-would-choose.example"
ODD = Topology(
    domain="xn--bcher-kva.example",
    mx=(
        Exchange("mx1", 10),
        Exchange("mx2", 20, software="postfix"),
        Exchange("a-host-name-of-thirty-one-chars", 65535, ip=(6,), unreachable=(4,)),
    ),
    domains=(
        MailDomain(LONG, (Exchange("mx2", 5), Exchange("mx1", 15))),
        MailDomain("xn--r8jz45g.test", (Exchange("mx4", 0), Exchange("mx5", 0))),
    ),
    smarthost="out",
    relays=(
        RelayHost("out", "relay.test", ("client",), "out2"),
        RelayHost("out2", "relay.test", ("out",)),
    ),
    clients=(Client("second", "second.test"), Client("third", "third.test", software="exim")),
    dns=(NameServer("ns1", (".",)), NameServer("ns2", ("xn--bcher-kva.example",)), "ns3"),
    ip=(4, 6),
    imap=True,
    submission=Submitters({"alice": "x"}),
)
THIRTY = Topology(
    mx=tuple(Exchange(f"mx{n}", 10 * n) for n in range(1, 17)),
    clients=tuple(Client(f"c{n}", f"c{n}.test") for n in range(1, 13)),
)
SHAPES = {"default": Topology(), "odd": ODD, "thirty": THIRTY}
NAMES = (*SHAPES, "down", *scenario_ids())


@cache
def pictured(name: str) -> Diagram:
    """The diagram of one of these shapes, or of a scenario that ships."""
    if name == "down":
        now = {"mx1": HostNow("stopped"), "client": HostNow("running", 1234)}
        return diagram_of(Topology(), "a lab", planned(Topology(), SUBNET), now)
    shape = SHAPES.get(name) or load_topology(assets("scenarios") / name)
    return diagram_of(shape, f"mxlab: {name}", planned(shape, SUBNET))
