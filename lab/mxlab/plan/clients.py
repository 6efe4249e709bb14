"""What is a client's own beside the lab's, and what is wrong with the further clients.

Paths of problems begin in the topology.
"""

from collections.abc import Iterator

import msgspec

from mxlab.model.reference import Place
from mxlab.model.scenario import Problem
from mxlab.model.topology import Client, Topology
from mxlab.plan.mail import domain_problems
from mxlab_services.config import ClientConfig


def as_wished(config: ClientConfig, sender: Client) -> ClientConfig:
    """A client's configuration with as many connections at a time as its own entry says."""
    if sender.concurrency is None:
        return config
    most = sender.concurrency
    limits = msgspec.structs.replace(config.limits, destination_concurrency=most)
    return msgspec.structs.replace(config, limits=limits)


def client_problems(topology: Topology, plain: Topology) -> Iterator[Problem]:
    """Further clients whose domain is none, real, or another's. `plain` has the domains as they
    are compared."""
    taken = {plain.domain: "the exchanges", plain.client_domain: topology.client}
    for number, (client, folded) in enumerate(zip(topology.clients, plain.clients, strict=True)):
        place: Place = ("clients", number)
        yield from domain_problems((*place, "domain"), client.domain, [client.host])
        whose = taken.setdefault(folded.domain, client.host)
        if whose != client.host:
            text = f"{client.domain!r} is the domain of {whose} already"
            yield Problem((*place, "domain"), text, hint="give each client its own domain")


def host_place(topology: Topology, host: str) -> Place:
    """Where a host stands that is there twice, if it is a further client's."""
    found = (number for number, one in enumerate(topology.clients) if one.host == host)
    return next((("clients", number, "host") for number in found), ())
