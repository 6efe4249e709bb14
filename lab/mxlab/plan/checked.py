"""Whether a lab can be at all: every mistake in a topology, and its plain form."""

from collections.abc import Iterator

import msgspec

from mxlab.errors import UsageError
from mxlab.model.reference import Place
from mxlab.model.scenario import Problem
from mxlab.model.topology import ROOT_ZONE, NameServer, Submitters, Topology
from mxlab.plan.clients import client_problems, host_place
from mxlab.plan.limits import patience_problems
from mxlab.plan.mail import domain_problems, mail_problems
from mxlab.plan.retries import retry_problems
from mxlab.plan.software import product_problems, setting_problems
from mxlab.plan.space import MOST_HOSTS, family_problems
from mxlab.plan.zones import KEPT, own_domains
from mxlab.typed import misfit
from mxlab.visible import visible
from mxlab_services.address import problem_of
from mxlab_services.domain import fold_domain


def checked_topology(topology: Topology) -> Topology:
    """The topology with its domains as A-labels. Raises UsageError for a name that cannot be, as
    one made in Python may be, and for the first of `topology_problems`."""
    if wrong := misfit(topology):
        key, text, hint = wrong
        raise UsageError(f"{key}: {text}", hint)
    for problem in topology_problems(topology):
        raise UsageError(problem.text, problem.hint)
    return plain_topology(topology)


def plain_topology(topology: Topology) -> Topology:
    """The topology with its domains in the form in which they are compared."""
    dns = topology.dns
    if not isinstance(dns, str):
        dns = tuple(server if isinstance(server, str) else _plain_server(server) for server in dns)
    return msgspec.structs.replace(
        topology,
        domain=fold_domain(topology.domain),
        client_domain=fold_domain(topology.client_domain),
        clients=tuple(
            msgspec.structs.replace(one, domain=fold_domain(one.domain)) for one in topology.clients
        ),
        domains=tuple(
            msgspec.structs.replace(domain, domain=fold_domain(domain.domain))
            for domain in topology.domains
        ),
        relays=tuple(
            msgspec.structs.replace(relay, domain=fold_domain(relay.domain))
            for relay in topology.relays
        ),
        dns=dns,
    )


def _plain_server(server: NameServer) -> NameServer:
    def folded(zones: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(zone if zone == ROOT_ZONE else fold_domain(zone) for zone in zones)

    return NameServer(server.host, folded(server.primary), folded(server.secondary))


def topology_problems(topology: Topology) -> Iterator[Problem]:
    """Hosts that repeat, are too many, or can ask no DNS server; zones of name servers that are
    none, or two servers'; domains that are none, cannot be told apart or are real; names that are
    too long; recipients that are no addresses; relays and users that cannot be; other servers where
    they cannot be; timeouts and a schedule that there are not. Paths begin in the topology."""
    more = {e.host for d in topology.domains for e in d.mx}
    first = (exchange.host for exchange in topology.mx)
    relays = (relay.host for relay in topology.relays)
    hosts = [*topology.dns_hosts, *first, *relays, *(c.host for c in topology.senders)]
    hosts += topology.imap_servers
    for host in sorted({host for host in hosts if hosts.count(host) > 1}):
        text = f"two nodes are called {host!r}"
        yield Problem(host_place(topology, host), text, hint="give each host its own name")
    if (number := len(more.union(hosts))) > MOST_HOSTS:
        text = f"it has {number} nodes, and its network addresses for {MOST_HOSTS}"
        yield Problem((), text, hint="let hosts be exchanges of several domains")
    own = [host for host in hosts if topology.home(host) == topology.domain]
    yield from domain_problems(("domain",), topology.domain, own)
    yield from domain_problems(("client_domain",), topology.client_domain, [topology.client])
    plain = plain_topology(topology)
    yield from _server_problems(plain)
    if plain.domain == plain.client_domain:
        yield Problem((), f"the client cannot have the domain {topology.domain!r} too")
    yield from mail_problems(plain)
    yield from _user_problems(topology)
    yield from patience_problems(topology)
    yield from retry_problems(topology)
    yield from product_problems(topology)
    yield from setting_problems(topology)
    yield from client_problems(topology, plain)
    yield from family_problems(topology)


def _user_problems(topology: Topology) -> Iterator[Problem]:
    """Names and passwords that no client could give, and names that are one; tells no password."""
    if topology.submission is None:
        return
    from mxlab_services.smtp.sasl import prepared  # seldom wanted

    seen: dict[str, str] = {}
    for number, (name, password) in enumerate(topology.submission.users.items(), 1):
        place, shown = ("submission", "users", name), visible(name[:80])
        try:
            same = seen.setdefault(prepared(name), name)
        except ValueError as error:
            yield Problem(("submission", "users"), f"the name of user {number} {error}")
            continue
        if same != name:
            yield Problem(place, f"{shown!r} and {visible(same[:80])!r} are one name (RFC 4013)")
        try:
            prepared(password)
        except ValueError as error:
            yield Problem(place, f"the password of {shown!r} {error}")
    yield from _sender_problems(topology.submission)


def _sender_problems(submission: Submitters) -> Iterator[Problem]:
    """Addresses that are none, or nobody's who may submit."""
    for user, given in submission.senders.items():
        place: Place = ("submission", "senders", user)
        if user not in submission.users:
            text = "nobody of that name may submit"
            yield Problem(place, text, visible(user[:80]), tuple(submission.users))
        for number, address in enumerate((given,) if isinstance(given, str) else given):
            at = place if isinstance(given, str) else (*place, number)
            whole = f"anybody{address}" if address.startswith("@") else address
            if address.isprintable() and (wrong := problem_of(whole)):
                text = f"{visible(address[:80])!r} is no mail address, nor @domain: {wrong.text}"
                yield Problem(at, text)


def _server_problems(topology: Topology) -> Iterator[Problem]:
    """What is wrong with the zones that name servers are named for."""
    if isinstance(topology.dns, str):
        return
    known = (*own_domains(topology), *KEPT, ROOT_ZONE)
    primaries: dict[str, str] = {}
    for number, server in enumerate(topology.dns):
        if isinstance(server, str):
            continue
        for key, zones in (("primary", server.primary), ("secondary", server.secondary)):
            for place, zone in enumerate(zones):
                path = ("dns", number, key, place)
                if zone not in known:
                    yield Problem(path, "the lab has no such zone", zone, known)
                elif key == "primary" and zone in primaries:
                    text = f"{primaries[zone]} is its primary already"
                    yield Problem(path, f"{zone}: {text}", hint="a zone has one primary")
                elif key == "secondary" and zone in server.primary:
                    yield Problem(path, f"{zone}: {server.host} is its primary")
                elif key == "primary":
                    primaries[zone] = server.host
    if topology.resolver == "stub" and ROOT_ZONE in primaries:
        text = "nobody asks the root, since `resolver` is stub"
        yield Problem(("resolver",), text, hint="leave it out, or write iterative")
