"""Other mail servers in a topology: hosts given another software than they have."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from mxlab.errors import UnknownName, UsageError
from mxlab.model.scenario import Problem
from mxlab.model.software import OURS, SOFTWARE
from mxlab.model.topology import Client, Exchange, RelayHost, Topology
from mxlab_services.products.own_settings import problem_of_setting

S = TypeVar("S", Exchange, RelayHost, Client)


def with_software(topology: Topology, wanted: Mapping[str, str]) -> Topology:
    """The topology in which each host of `wanted` runs the software that is named for it.

    Raises UnknownName for a host that is not there and for a software that nobody knows, UsageError
    for a name server, and for a host of whose present product something is set.
    """
    if not wanted:
        return topology
    known = topology.software
    for host, name in wanted.items():
        if host in topology.dns_hosts:
            text = f"{host} is a name server, and no mail server: it cannot be {name}"
            raise UsageError(text, f"mail servers here: {', '.join(known)}")
        if host not in known:
            raise UnknownName("mail server", host, known)
        if name not in SOFTWARE:
            raise UnknownName("software", name, SOFTWARE)
        own = topology.product_settings.get(host)
        if own and name != known[host]:
            told = f"{host} has settings of {SOFTWARE[known[host]].title}'s own: {', '.join(own)}"
            raise UsageError(f"{told}; it cannot be {name}", "give another host that software")
    said: set[str] = set()  # exchanges of which all is said: where they are named first
    mx = _mended(topology.mx, wanted, said)
    domains = [
        msgspec.structs.replace(domain, mx=_mended(domain.mx, wanted, said))
        for domain in topology.domains
    ]
    return msgspec.structs.replace(
        topology,
        mx=mx,
        domains=tuple(domains),
        relays=_mended(topology.relays, wanted),
        clients=_mended(topology.clients, wanted),
        client_software=wanted.get(topology.client, topology.client_software),
    )


def setting_problems(topology: Topology) -> Iterator[Problem]:
    """What is set in a product's own words and cannot be."""
    places = [((), topology.mx), *((("domains", n), d.mx) for n, d in enumerate(topology.domains))]
    for place, exchanges in places:
        for number, exchange in enumerate(exchanges):
            at = (*place, "mx", number, "product_settings")
            for name, value in exchange.product_settings.items():
                if wrong := problem_of_setting(exchange.software, name, value):
                    yield Problem((*at, name), f"{exchange.host}: {wrong}")


def product_problems(topology: Topology) -> Iterator[Problem]:
    """What a host of another product cannot be in this lab. Paths begin in the topology."""
    software = topology.software
    if topology.submission is not None and topology.client_software != OURS:
        text = f"{topology.client} takes submissions only where it is {OURS}"
        yield Problem(("client_software",), text, hint="leave one of the two out")
    # What a mail program put into another server's mailboxes could not be told from what was
    # delivered, as their files have names of their own.
    for host in topology.mailbox_hosts if topology.imap else ():
        if (name := software[host]) != OURS:
            text = f"a mail program reads mailboxes of {OURS} only, and {host} runs {name}"
            yield Problem(("imap",), text, hint="leave one of the two out")
    others = [host for host, name in software.items() if name != OURS]
    if topology.walks_from_root and others:
        host = others[0]
        text = f"{host} runs {software[host]}, which asks one DNS server, and here each host begins"
        hint = f"write `resolver: stub`, or leave {host} to {OURS}"
        yield Problem(("resolver",), f"{text} at the root (iterative)", hint=hint)


def parse_software(words: Iterable[str]) -> dict[str, str]:
    """Host -> software, of words like `mx2=postfix`. Raises UsageError for another form, and for a
    host of which two things are said."""
    wanted: dict[str, str] = {}
    for word in words:
        host, equals, name = word.partition("=")
        if not (host and equals and name):
            raise UsageError(f"--with: {word!r} is not HOST=SOFTWARE", "as in --with mx2=postfix")
        if wanted.setdefault(host, name) != name:
            raise UsageError(f"--with: {host} cannot be both {wanted[host]} and {name}")
    return wanted


def _mended(
    parts: tuple[S, ...], wanted: Mapping[str, str], said: set[str] | None = None
) -> tuple[S, ...]:
    """The parts with the software that is wanted, but for those of which all is `said` already."""
    fixed: list[S] = []
    for part in parts:
        host = part.host
        again = said is not None and host in said
        if said is not None:
            said.add(host)
        other = host in wanted and not again
        fixed.append(msgspec.structs.replace(part, software=wanted[host]) if other else part)
    return tuple(fixed)
