"""The judges of the DNS: name servers, delegation, the SOA's times, how long answers live. Pure."""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

from collections.abc import Iterator

from mxlab.audit.exchanges import network_of
from mxlab.audit.judging import Flaw, Seen, Sound, Unseen, judges
from mxlab.audit.reading import address_text
from mxlab.audit.setup import AuditSetup, SeenDomain, SeenServer
from mxlab.model.duration import format_duration
from mxlab_services.dns.records import Record

HOUR, DAY, WEEK = 3600, 86400, 604800
LEAST_TTL, MOST_TTL = 30, DAY  # seconds, of what mail is found by
LEAST_EXPIRE = WEEK  # RFC 1912 §2.2 advises two to four
_ONLY_ASKED = "nobody asks the name servers here"


def _served(setup: AuditSetup) -> list[SeenDomain]:
    """The domains with name servers of their own."""
    return [domain for domain in setup.domains if domain.apex]


def _here(domain: SeenDomain) -> list[SeenServer]:
    return [server for server in domain.servers if server.named_here]


@judges("two-name-servers")
def two_name_servers(setup: AuditSetup) -> Iterator[Seen]:
    for domain in _served(setup):
        servers = _here(domain)
        names = ", ".join(server.text for server in servers)
        if len(servers) > 1:
            yield Sound(f"{domain.text} has {len(servers)}: {names}")
        elif servers:
            yield Flaw(servers[0].place, f"{names} is the only name server of {domain.text}")
        else:
            yield Flaw(domain.place(domain.zone.soa), f"{domain.text} names no name server")


@judges("name-servers-apart")
def name_servers_apart(setup: AuditSetup) -> Iterator[Seen]:
    if setup.source != "zone":
        yield Unseen("a lab is one network, whatever it stands for")
        return
    for domain in _served(setup):
        servers = _here(domain)
        if len(servers) < 2:
            continue
        hidden = [server.text for server in servers if not server.addresses]
        networks = {
            network_of(record)
            for server in servers
            for record in server.addresses or ()
            if record.type == "A"
        }
        text = f"the name servers of {domain.text} are in {', '.join(sorted(networks))}"
        if len(networks) > 1:
            yield Sound(text)
        elif hidden:
            yield Unseen(f"where {', '.join(hidden)} is: its address is not in this zone")
        elif networks:
            yield Flaw(servers[0].place, f"{text} alone")


@judges("name-servers-answer")
def name_servers_answer(setup: AuditSetup) -> Iterator[Seen]:
    for domain in setup.domains:
        if domain.problem:
            yield Flaw(domain.place(domain.zone.soa), f"{domain.text}: {domain.problem}")
    for domain in _served(setup):
        for server in domain.servers:
            if server.addresses == () and not server.glue:
                yield Flaw(server.place, f"the name server {server.text} has no address")
            elif server.answers is None:
                yield Unseen(_ONLY_ASKED)
            for address, answer in (server.answers or {}).items():
                if answer.serial is None:
                    text = f"{server.text} ({address}) does not serve {domain.text}"
                    yield Flaw(server.place, f"{text}: {answer.problem}")
                else:
                    yield Sound(f"{server.text} serves {domain.text}")


@judges("same-serial")
def same_serial(setup: AuditSetup) -> Iterator[Seen]:
    for domain in _served(setup):
        serials: dict[int, list[str]] = {}
        for server in domain.servers:
            if server.answers is None:
                yield Unseen(_ONLY_ASKED)
            for answer in (server.answers or {}).values():
                if answer.serial is not None:
                    serials.setdefault(answer.serial, []).append(server.text)
        told = "; ".join(f"{', '.join(dict.fromkeys(o))}: {n}" for n, o in serials.items())
        if len(serials) > 1:
            place = domain.place(domain.zone.soa)
            yield Flaw(place, f"the serial of {domain.text} is not the same everywhere ({told})")
        elif serials:
            yield Sound(f"{domain.text}: {told}")


@judges("delegation-agrees")
def delegation_agrees(setup: AuditSetup) -> Iterator[Seen]:
    for domain in _served(setup):
        for server in domain.servers:
            if server.named_above is None:
                yield Unseen(f"the zone above {domain.text}, which delegates it")
            elif not server.named_above:
                text = f"{server.text} serves {domain.text}, and the zone above does not name it"
                yield Flaw(server.place, text)
            elif not server.named_here:
                text = f"the zone above {domain.text} names {server.text}, and the zone does not"
                yield Flaw(server.place, text)
            else:
                yield from _glue(domain, server)


def _glue(domain: SeenDomain, server: SeenServer) -> Iterator[Seen]:
    own, glue = _addresses(server.addresses), _addresses(server.glue)
    inside = server.name[len(server.name) - len(domain.name) :] == domain.name
    if inside and own and not glue:
        yield Flaw(server.place, f"the zone above has no address (glue) for {server.text}")
    elif glue and own and glue != own:
        text = f"the zone above has {', '.join(sorted(glue))} for {server.text}, "
        yield Flaw(server.place, f"{text}and the zone {', '.join(sorted(own))}")
    else:
        yield Sound(f"{server.text} is named above and here")


def _addresses(records: tuple[Record, ...] | None) -> set[str]:
    return set(map(address_text, records or ()))


@judges("soa-times")
def soa_times(setup: AuditSetup) -> Iterator[Seen]:
    for domain in _served(setup):
        if len(domain.servers) < 2 and setup.source != "zone":
            yield Unseen(f"nobody takes copies of {domain.text}")
            continue
        place = domain.place(domain.zone.soa)
        _, refresh, retry, expire, _ = domain.zone.soa.data.times
        wrong = []
        if expire < LEAST_EXPIRE:
            wrong.append(f"copies of {domain.text} are good for {format_duration(expire)} (expire)")
        if expire <= refresh + retry:
            wrong.append(f"{domain.text}: expire ({expire}) is not longer than refresh and retry")
        if retry >= refresh:
            wrong.append(f"{domain.text}: retry ({retry}) is not shorter than refresh ({refresh})")
        for text in wrong:
            yield Flaw(place, text)
        if not wrong:
            yield Sound(f"copies of {domain.text} are good for {format_duration(expire)}")


@judges("ttl-fits")
def ttl_fits(setup: AuditSetup) -> Iterator[Seen]:
    for domain in setup.domains:
        found = [(f"the MX records of {domain.text}", domain.records)]
        found += [(f"the addresses of {e.text}", e.addresses or ()) for e in domain.exchanges]
        for what, records in found:
            ttls = sorted({record.ttl for record in records})
            if not ttls:
                continue
            place = domain.place(records[0])
            kinds = {record.type for record in records}
            if len(ttls) > 1 and len(kinds) == 1:
                yield Flaw(place, f"{what} have several TTLs, {', '.join(map(str, ttls))}")
            elif ttls[-1] > MOST_TTL:
                yield Flaw(place, f"{what} are kept for {format_duration(ttls[-1])}")
            elif ttls[0] < LEAST_TTL:
                yield Flaw(place, f"{what} are kept for {format_duration(ttls[0])} only")
            else:
                yield Sound(f"{what} are kept for {format_duration(ttls[0])}")
