"""What a relay takes, and from whom; and what is wrong with domains, aliases and relays.

Paths of problems begin in the topology.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from mxlab.model.reference import Place
from mxlab.model.scenario import Problem
from mxlab.model.topology import (
    LONGEST_NAME,
    Exchange,
    MailDomain,
    RelayHost,
    Topology,
    is_reserved,
)
from mxlab.plan.space import Space
from mxlab.visible import visible
from mxlab_services.address import canonical, domain_of, problem_of
from mxlab_services.directory import Directory
from mxlab_services.domain import DomainError, checked, fold_domain


def relay_mail(topology: Topology, relay: RelayHost, space: Space) -> dict[str, Any]:
    """The part of a relay's configuration that says what mail it takes. Nobody but its postmaster
    has a mailbox there."""
    return {
        "local_domains": [relay.domain],
        "recipients": [],
        "submission_networks": [
            network for host in dict.fromkeys(relay.takes_from) for network in space.only(host)
        ],
        "smarthost": smarthost_name(topology, relay.host),
    }


def smarthost_name(topology: Topology, host: str) -> str:
    """The whole name of the relay to which a host hands its mail; empty where there is none."""
    relay = topology.smarthost_of(host)
    return f"{relay}.{topology.home(relay)}" if relay else ""


def domain_problems(place: Place, domain: str, hosts: Sequence[str]) -> Iterator[Problem]:
    """What is wrong with a domain in which these hosts are to be."""
    try:
        folded = checked(domain.removesuffix("."), genuine=True)
    except DomainError as error:
        yield Problem(place, f"no domain for mail: {error}")
        return
    if not is_reserved(folded):
        hint = "use a reserved name: one under .test or .example, or example.com/net/org"
        yield Problem(place, f"{domain!r} may belong to somebody", hint=hint)
    for name in (f"{host}.{folded}" for host in hosts):
        if len(name) > LONGEST_NAME:
            text = f"with it a host is called {name[:40]}..., {len(name)} characters long"
            hint = f"a name has at most {LONGEST_NAME} (RFC 1035 §2.3.4)"
            yield Problem(place, text, hint=hint)


def mail_problems(topology: Topology) -> Iterator[Problem]:
    """Domains that are none, are real or there twice; what is said of their exchanges and
    recipients; relays that cannot be."""
    taken: dict[str, str] = {fold_domain(topology.domain): "the first of the lab's"}
    taken |= {fold_domain(own): f"{host}'s" for host, own in topology.sender_domains.items()}
    taken[fold_domain(topology.client_domain)] = "the client's"
    yield from _recipient_problems(topology, ("recipients",), topology.mail_domains[0])
    yield from _alias_problems(topology)
    for number, domain in enumerate(topology.domains):
        place: Place = ("domains", number)
        own = [e.host for e in domain.mx if topology.home(e.host) == domain.domain]
        yield from domain_problems((*place, "domain"), domain.domain, own)
        folded = fold_domain(domain.domain)
        if folded in taken:
            text = f"{domain.domain!r} is {taken[folded]} already"
            yield Problem((*place, "domain"), text, hint="give each domain its own name")
        taken.setdefault(folded, f"domain {number + 1} of `domains`")
        yield from _exchange_problems(topology, (*place, "mx"), domain)
        yield from _recipient_problems(topology, (*place, "recipients"), domain)
    for number, relay in enumerate(topology.relays):
        yield from domain_problems(("relays", number, "domain"), relay.domain, [relay.host])
        if (folded := fold_domain(relay.domain)) in taken:
            text = f"{relay.domain!r} is {taken[folded]} already"
            yield Problem(("relays", number, "domain"), text, hint="a relay has its own domain")
        yield from _sources(topology, ("relays", number, "for"), relay)
        yield from _smarthost(topology, ("relays", number, "smarthost"), relay.host)
    yield from _smarthost(topology, ("smarthost",), topology.client)
    for number, client in enumerate(topology.clients):
        yield from _smarthost(topology, ("clients", number, "smarthost"), client.host)


def _exchange_problems(topology: Topology, place: Place, domain: MailDomain) -> Iterator[Problem]:
    others = dict.fromkeys(topology.dns_hosts, "a name server")
    others |= {relay.host: "a relay" for relay in topology.relays} | dict.fromkeys(
        topology.sender_domains, "a client"
    )
    others[topology.client] = "the client"
    first = {exchange.host: exchange for exchange in topology.exchanges}
    seen: set[str] = set()
    for number, exchange in enumerate(domain.mx):
        host, at = exchange.host, (*place, number, "host")
        if host in others:
            hint = f"exchanges here: {', '.join(e for e in first if e not in others)}; or a new one"
            yield Problem(at, f"{host!r} is {others[host]}, and no exchange", hint=hint)
        if host in seen:
            yield Problem(at, f"{host!r} is an exchange of {domain.domain} already")
        seen.add(host)
        if exchange is not first[host] and _more(exchange):
            text = f"what {host!r} is stands where it is named first"
            yield Problem((*place, number), text, hint="here: host, preference and role")


def _more(exchange: Exchange) -> bool:
    """Whether it says more than which place its host has in a domain."""
    return exchange != Exchange(exchange.host, exchange.preference, exchange.role)


def _recipient_problems(topology: Topology, place: Place, domain: MailDomain) -> Iterator[Problem]:
    domains = {fold_domain(one.domain) for one in topology.mail_domains}
    for number, address in enumerate(domain.recipients or ()):
        # Control characters are told where the file is read.
        if not address.isprintable():
            continue
        if wrong := problem_of(address):
            text = f"{address[:80]!r} is no mail address: {wrong.text}"
            yield Problem((*place, number), text)
        elif (theirs := domain_of(address)) != fold_domain(domain.domain) and (
            theirs in domains or place[0] == "domains"
        ):
            text = f"{visible(address[:80])!r} is no address at {domain.domain}"
            yield Problem((*place, number), text, hint="each domain has its own `recipients`")


def _alias_problems(topology: Topology) -> Iterator[Problem]:
    """Aliases that are no addresses of their domain, or lead to nobody, or back to themselves."""
    every = {
        canonical(alias): list(map(canonical, to))
        for domain in topology.mail_domains
        for alias, to in domain.alias_members.items()
    }
    for number, domain in enumerate(topology.mail_domains):
        place: Place = ("aliases",) if not number else ("domains", number - 1, "aliases")
        for alias, given in domain.aliases.items():
            name, at = domain.whole(alias), (*place, alias)
            if wrong := problem_of(name):
                text = f"{visible(alias[:80])!r} can be no alias: {wrong.text}"
                yield Problem(at, text)
                continue
            if domain_of(name) != fold_domain(domain.domain):
                text = f"{visible(alias[:80])!r} is no address at {domain.domain}"
                yield Problem(at, text, hint="each domain has its own `aliases`")
            for index, member in enumerate((given,) if isinstance(given, str) else given):
                where = at if isinstance(given, str) else (*at, index)
                yield from _member_problems(topology, where, domain.whole(member), every)
            if circle := _circle(canonical(name), every):
                yield Problem(at, f"mail would go in a circle: {', '.join(circle)}")


def _member_problems(
    topology: Topology, place: Place, member: str, aliases: dict[str, list[str]]
) -> Iterator[Problem]:
    if wrong := problem_of(member):
        text = f"{visible(member[:80])!r} is no mail address: {wrong.text}"
        yield Problem(place, text)
        return
    theirs = next((d for d in topology.mail_domains if d.domain == domain_of(member)), None)
    if theirs is None or theirs.recipients is None:
        return
    there = [*theirs.recipients, *theirs.alias_members, f"postmaster@{theirs.domain}"]
    if not Directory(there).exists(member) and canonical(member) not in aliases:
        yield Problem(place, "nobody has that address", visible(member[:80]), tuple(there))


def _circle(name: str, aliases: dict[str, list[str]]) -> list[str]:
    """The way from an alias back to it, where there is one; one that names itself ends there."""
    ways = [[name]]
    seen = {name}
    while ways:
        way = ways.pop()
        for member in aliases.get(way[-1], ()):
            if member == name and len(way) > 1:
                return [*way, member]
            if member not in seen:
                seen.add(member)
                ways.append([*way, member])
    return []


def _sources(topology: Topology, place: Place, relay: RelayHost) -> Iterator[Problem]:
    known = tuple(host for host in topology.hosts if host not in (relay.host, *topology.dns_hosts))
    for number, host in enumerate(relay.takes_from):
        if host not in known:
            text = "no host from which a relay could take mail"
            yield Problem((*place, number), text, host, known)


def _smarthost(topology: Topology, place: Place, host: str) -> Iterator[Problem]:
    relays = {relay.host: relay for relay in topology.relays}
    name = topology.smarthost_of(host)
    if name is None:
        return
    if name not in relays:
        yield Problem(place, "there is no such relay", name, tuple(relays))
        return
    if host not in relays[name].takes_from:
        has = ", ".join(relays[name].takes_from)
        text = f"{name} takes no mail from {host}, only from {has}"
        yield Problem(place, text, hint=f"add {host} to its `for`")
    way = [host]
    while (onward := topology.smarthost_of(way[-1])) and onward not in way:
        way.append(onward)
    if onward == host:
        yield Problem(place, f"mail would go in a circle: {', '.join([*way, host])}")
