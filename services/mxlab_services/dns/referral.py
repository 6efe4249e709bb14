"""Referrals: what a message says of the servers that know more (RFC 1034 §4.3.2 3b). Pure."""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import ipaddress
from collections.abc import Sequence

from dnslib import QTYPE, DNSRecord
from msgspec import Struct

from mxlab_services.dns.names import Name, fold, is_below, name_text
from mxlab_services.dns.records import data_text
from mxlab_services.errors import ControlError
from mxlab_services.ip import ip_address

Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
_ADDRESSES = (QTYPE.A, QTYPE.AAAA)


def in_networks(address: str, networks: Networks) -> bool:
    """Whether an address lies in one of the networks."""
    return any(ip_address(address) in network for network in networks)


def allowed(address: str, networks: Networks) -> str:
    """The address, which an operator names. Raises ControlError where it may not be asked."""
    try:
        if in_networks(address, networks):
            return address
    except ValueError as error:
        raise ControlError(str(error), -32602) from error
    raise ControlError(f"{address} is not in the lab, so it is not asked", -32602)


class Referral(Struct, frozen=True):
    """The zone that begins at `cut`, its servers, and the addresses that came along for each."""

    cut: Name
    servers: dict[Name, tuple[str, ...]]
    ttl: int = 0  # lab seconds for which it holds

    def addresses(self, networks: Networks) -> list[str]:
        """The addresses that lie in `networks`: nobody else is asked."""
        return [
            address
            for known in self.servers.values()
            for address in known
            if in_networks(address, networks)
        ]

    def unknown(self) -> list[Name]:
        """The servers without an address that somebody else may know: those below the cut can be
        found by glue alone."""
        return [
            server
            for server, known in self.servers.items()
            if not known and not is_below(server, self.cut)
        ]

    def __str__(self) -> str:
        names = ", ".join(name_text(server) for server in self.servers)
        return f"{name_text(self.cut)} is delegated to {names}"


def read_referral(message: DNSRecord, name: Name) -> Referral | None:
    """The referral that `message`, an answer about `name`, is; None if it is none.

    It has no authority and no answer, but NS records of `name` or of a name above it; with an SOA
    it would be a negative answer (RFC 2308 §2.2).
    """
    found = [record for record in message.auth if record.rtype == QTYPE.NS]
    negative = any(record.rtype == QTYPE.SOA for record in message.auth)
    if message.header.aa or message.header.rcode or message.rr or negative or not found:
        return None
    cut = fold(found[0].rname.label)
    if not is_below(name, cut):
        return None
    servers: dict[Name, tuple[str, ...]] = {}
    ttl = min(record.ttl for record in found)
    for record in found:
        if fold(record.rname.label) == cut:
            server = fold(record.rdata.label.label)
            servers[server] = tuple(
                data_text(glue.rdata)
                for glue in message.ar
                if glue.rtype in _ADDRESSES and fold(glue.rname.label) == server
            )
    return Referral(cut, servers, ttl)
