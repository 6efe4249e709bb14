"""The judges of the exchanges: which there are, where they are, who is there. Pure."""

import ipaddress
from collections.abc import Iterable, Iterator

from mxlab.audit.judging import Flaw, Seen, Sound, Unseen, judges
from mxlab.audit.products import local_domains, relay_domains
from mxlab.audit.reading import address_text
from mxlab.audit.setup import AuditSetup, SeenDomain, SeenExchange
from mxlab_services.dns.records import Record

ONLY_NAMES = "a zone says nothing of what a host is told to do"
_PREFIX = {4: 24, 6: 48}  # bits of an address that one network has, as far as can be guessed


@judges("two-exchanges")
def two_exchanges(setup: AuditSetup) -> Iterator[Seen]:
    for domain in setup.domains:
        if domain.null:
            continue
        names = [one.text for one in domain.exchanges]
        if len(names) > 1:
            yield Sound(f"{domain.text} has {len(names)}: {', '.join(names)}")
        elif domain.implicit:
            text = f"{domain.text} has no MX record: its own address is its only exchange"
            yield Flaw(domain.exchanges[0].place, text)
        elif names:
            yield Flaw(
                domain.exchanges[0].place, f"{names[0]} is the only exchange of {domain.text}"
            )
        elif domain.alias:
            yield Unseen(f"{domain.text} is an alias: what mail for it does is the other name's")
        else:
            yield Unseen(f"{domain.text} has neither an MX record nor an address: it takes no mail")


@judges("exchanges-apart")
def exchanges_apart(setup: AuditSetup) -> Iterator[Seen]:
    if setup.source != "zone":
        yield Unseen("a lab is one network, whatever it stands for")
        return
    for domain in setup.domains:
        if len(domain.exchanges) > 1:
            which = f"the exchanges of {domain.text}"
            yield from apart(which, domain.exchanges[0].place, domain.exchanges)


def apart(which: str, place: str, named: Iterable[SeenExchange]) -> Iterator[Seen]:
    """Whether these hosts are not all in one network."""
    networks: set[str] = set()
    for one in named:
        if not one.addresses:
            text = f"where {one.text} is: its address is not in this zone"
            yield Unseen(text)
            return
        networks |= {network_of(record) for record in one.addresses}
    fours = {network for network in networks if ":" not in network}
    found = fours or networks
    if len(found) > 1:
        yield Sound(f"{which} are in {len(found)} networks: {', '.join(sorted(found))}")
    else:
        yield Flaw(place, f"{which} are all in {', '.join(found)}")


def network_of(record: Record) -> str:
    """The network, /24 or /48, in which an address record's address lies."""
    address = ipaddress.ip_address(address_text(record))
    return str(ipaddress.ip_network((address, _PREFIX[address.version]), strict=False))


@judges("exchange-no-alias")
def exchange_no_alias(setup: AuditSetup) -> Iterator[Seen]:
    for domain in setup.domains:
        if domain.alias:
            text = f"{domain.text} is an alias (CNAME): it can have no MX record of its own"
            yield Flaw(domain.alias, text)
        for one in _named(domain):
            if one.alias:
                yield Flaw(one.place, f"the exchange {one.text} is an alias (CNAME)")
            elif one.addresses is None:
                yield Unseen(f"{one.text}: it lies in another zone")
            else:
                yield Sound(f"{one.text} is no alias")


@judges("exchange-has-address")
def exchange_has_address(setup: AuditSetup) -> Iterator[Seen]:
    for domain in setup.domains:
        for one in _named(domain):
            if one.addresses is None:
                yield Unseen(f"{one.text}: it lies in another zone")
            elif one.addresses:
                yield Sound(f"{one.text}: {', '.join(map(address_text, one.addresses))}")
            elif not is_literal(one):
                yield Flaw(one.place, f"the exchange {one.text} has no address")


@judges("exchange-by-name")
def exchange_by_name(setup: AuditSetup) -> Iterator[Seen]:
    for domain in setup.domains:
        for one in _named(domain):
            if is_literal(one):
                text = f"the exchange of {domain.text} is an address, read as the name {one.text}."
                yield Flaw(one.place, text)
            else:
                yield Sound(f"{one.text} is a name")


def is_literal(one: SeenExchange) -> bool:
    """Whether an exchange's name begins with an address."""
    labels = [label.decode("ascii", "replace").strip("[]") for label in one.name]
    for first in (".".join(labels[:4]), labels[0].removeprefix("ipv6:") if labels else ""):
        try:
            ipaddress.ip_address(first)
        except ValueError:
            continue
        return True
    return False


@judges("null-mx-alone")
def null_mx_alone(setup: AuditSetup) -> Iterator[Seen]:
    for domain in setup.domains:
        if domain.null and domain.exchanges:
            text = f"{domain.text} has a null MX, and {domain.exchanges[0].text} beside it"
            yield Flaw(domain.null, text)
        elif domain.null and (having := _having(setup, domain)):
            text = f"{domain.text} has a null MX, and {', '.join(having)} its mailboxes"
            yield Flaw(domain.null, text)
        elif domain.null:
            yield Sound(f"{domain.text} takes no mail, and says so by a null MX alone")
        elif domain.exchanges:
            yield Sound(f"{domain.text} has no null MX")


@judges("exchange-agreed")
def exchange_agreed(setup: AuditSetup) -> Iterator[Seen]:
    if setup.source == "zone":
        yield Unseen(ONLY_NAMES)
        return
    for domain in setup.domains:
        for one in domain.exchanges:
            for host in one.hosts or ():
                if domain.text in local_domains(host) | relay_domains(host):
                    yield Sound(f"{host.name} takes mail for {domain.text}")
                else:
                    text = (
                        f"{host.name} was not told to take mail for {domain.text}, and refuses it"
                    )
                    yield Flaw(one.place, text)


@judges("best-exchange-delivers")
def best_exchange_delivers(setup: AuditSetup) -> Iterator[Seen]:
    if setup.source == "zone":
        yield Unseen(ONLY_NAMES)
        return
    for domain in setup.domains:
        for one in domain.best:
            for host in one.hosts or ():
                if domain.text in local_domains(host):
                    yield Sound(f"{host.name} delivers to the mailboxes of {domain.text}")
                elif domain.text in relay_domains(host):
                    text = (
                        f"{host.name} has the best preference for {domain.text}, {one.preference}, "
                        "and believes to be a backup"
                    )
                    yield Flaw(one.place, text)


@judges("order-is-meant")
def order_is_meant(setup: AuditSetup) -> Iterator[Seen]:
    for domain in setup.domains:
        by_rank: dict[int, list[SeenExchange]] = {}
        for one in domain.exchanges:
            by_rank.setdefault(one.preference, []).append(one)
        for rank, those in by_rank.items():
            names = " and ".join(one.text for one in those)
            if len(those) > 1:
                yield Flaw(those[-1].place, f"{names} have the same preference, {rank}")
        if len(domain.exchanges) > 1 and len(by_rank) == len(domain.exchanges):
            yield Sound(f"{domain.text}: {', '.join(map(str, by_rank))}")


@judges("address-answers")
def address_answers(setup: AuditSetup) -> Iterator[Seen]:
    if setup.source == "zone":
        yield Unseen("nobody connects to an address of a zone file")
        return
    for domain in setup.domains:
        for one in domain.exchanges:
            for address in one.nobody:
                yield Flaw(one.place, f"{one.text} has the address {address}, where no host is")
            if one.addresses and not one.nobody:
                yield Sound(f"{one.text} is at each of its addresses")


@judges("ipv4-too")
def ipv4_too(setup: AuditSetup) -> Iterator[Seen]:
    for domain in setup.domains:
        for one in domain.exchanges:
            if one.addresses is None:
                yield Unseen(f"{one.text}: it lies in another zone")
            elif any(record.type == "A" for record in one.addresses):
                yield Sound(f"{one.text} has an IPv4 address")
            elif one.addresses:
                yield Flaw(one.place, f"{one.text} has IPv6 addresses alone")


def _having(setup: AuditSetup, domain: SeenDomain) -> list[str]:
    """The hosts with mailboxes of a domain."""
    return [host.name for host in setup.hosts if domain.text in local_domains(host)]


def _named(domain: SeenDomain) -> tuple[SeenExchange, ...]:
    """The exchanges that MX records name."""
    return () if domain.implicit else domain.exchanges
