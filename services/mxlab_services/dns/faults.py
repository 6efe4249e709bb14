"""What faults do to DNS answers, by name and type: the effects of the server's injector.

Guarantee: without a fault that strikes, an answer is what the zones say; every fault works on what
the zones say at that time, except `stale`, which keeps them as they were when it was set.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import math
from typing import Literal

from dnslib import MX
from dnslib.label import DNSLabel
from msgspec import Struct
from msgspec.structs import replace

from mxlab_services.dns.names import ROOT, Name, fold, is_below, name_text, parse_name
from mxlab_services.dns.records import Record
from mxlab_services.dns.rtypes import type_number
from mxlab_services.dns.wire import Query
from mxlab_services.dns.zones import Result, Zones
from mxlab_services.errors import ControlError, ZoneError
from mxlab_services.faults.injector import INVALID, ActiveFault, NodeInjector, Occasion
from mxlab_services.faults.kinds import (
    AnyFault,
    DnsDelay,
    DnsFault,
    DnsMxWithoutAddress,
    DnsNullMx,
    DnsNxdomain,
    DnsRefused,
    DnsServfail,
    DnsStale,
    DnsSwappedMx,
    DnsTimeout,
    DnsTruncate,
    DnsWrongMx,
    ForType,
    misplaced,
)

NEVER = math.inf  # the delay of an answer that does not come
_TTL = 60  # lab seconds, of a made-up record where the zone has none to take it from
_ADDRESSES = ("A", "AAAA")


class Treated(Struct, frozen=True):
    """What to answer, after how many real seconds, and whether with nothing but TC."""

    result: Result
    delay: float = 0.0
    truncated: bool = False


class DnsFaults:
    """The faults of the server that serves `zones`."""

    def __init__(self, injector: NodeInjector, zones: Zones) -> None:
        self.injector = injector
        self._zones = zones
        self._kept: dict[str, Zones] = {}  # the zones as they were, by a stale fault's id

    def treat(
        self, query: Query, transport: Literal["udp", "tcp"], peer: str, result: Result
    ) -> Treated:
        """What becomes of `result`, the zones' answer to `query`."""
        treated = Treated(result)
        name, kind = fold(query.name), query.type_name
        occasion = Occasion(f"{name_text(query.name)} {kind}", peer)
        for active in self.injector.of(DnsFault):
            fault = active.fault
            if isinstance(fault, DnsTruncate) and transport != "udp":
                continue
            if _concerns(fault, name, kind) and self.injector.strikes(active, occasion):
                treated = self._treat(active, treated, name, kind)
        return replace(treated, result=self._without_addresses(treated.result))

    def _treat(self, active: ActiveFault[DnsFault], now: Treated, name: Name, kind: str) -> Treated:
        result = now.result
        match active.fault:
            case DnsNxdomain():
                return replace(now, result=self._negative("NXDOMAIN", name))
            case DnsMxWithoutAddress():
                return replace(now, result=self._negative("NOERROR", name))
            case DnsServfail():
                return replace(now, result=Result("SERVFAIL"))
            case DnsRefused():
                return replace(now, result=Result("REFUSED"))
            case DnsTimeout():
                return replace(now, delay=NEVER)
            case DnsDelay(seconds=seconds):
                return replace(now, delay=now.delay + seconds)
            case DnsTruncate():
                return replace(now, truncated=True)
            case DnsStale():
                return replace(now, result=self._kept[active.id].lookup(name, kind))
            case DnsSwappedMx(exchanges=exchanges):
                return replace(now, result=_swapped(result, *map(_name, exchanges)))
            case DnsWrongMx(exchange=exchange, instead_of=instead_of):
                wanted = _name(instead_of) if instead_of else None
                return replace(now, result=_renamed(result, _name(exchange), wanted))
            case DnsNullMx():
                ttl = next((one.ttl for one in result.answers if one.type == "MX"), _TTL)
                return replace(now, result=Result("NOERROR", (_mx(name, ttl, 0, ROOT),)))
        return now

    def _negative(self, rcode: str, name: Name) -> Result:
        """A negative answer, with the SOA that says for how long (RFC 2308 §3)."""
        zone = self._zones.find(name)
        return Result(rcode, (), () if zone is None else (zone.negative(),))

    def _without_addresses(self, result: Result) -> Result:
        """Nor may an MX answer bring along the addresses that an exchange has not."""
        bare = {_name(one.fault.name) for one in self.injector.of(DnsMxWithoutAddress)}
        if not bare:
            return result
        kept = tuple(
            one for one in result.additional if one.owner not in bare or one.type not in _ADDRESSES
        )
        return replace(result, additional=kept)

    # --- effects ----------------------------------------------------------------------------------

    def check(self, fault: AnyFault) -> None:
        """Raise ControlError for what is no DNS fault, or has nothing to strike."""
        if wrong := misplaced(fault, fault.host, None, tls=False):
            raise ControlError(wrong, INVALID)
        assert isinstance(fault, DnsFault)  # misplaced says so of any other
        try:
            check_names(fault)
            self._check(fault)
        except ZoneError as error:
            raise ControlError(f"{fault.kind}: {error}", INVALID) from error

    def _check(self, fault: DnsFault) -> None:
        name = parse_name(fault.name)
        match fault:
            case DnsSwappedMx(exchanges=exchanges):
                self._need(name, *map(parse_name, exchanges))
            case DnsWrongMx(instead_of=instead_of):
                self._need(name, *([parse_name(instead_of)] if instead_of else []))
            case DnsMxWithoutAddress():
                found = [self._zones.lookup(name, kind).answers for kind in _ADDRESSES]
                if not any(found):
                    raise ZoneError(f"{name_text(name)} has no address to lose")

    def _need(self, name: Name, *exchanges: Name) -> None:
        """Raise ZoneError unless `name` has MX records, and one for each of the exchanges."""
        found = [
            fold(record.data.label.label)
            for record in self._zones.lookup(name, "MX").answers
            if record.type == "MX"
        ]
        if not found:
            raise ZoneError(f"{name_text(name)} has no MX records")
        for exchange in exchanges:
            if fold(exchange) not in found:
                there = ", ".join(map(name_text, found))
                text = f"{name_text(name)} has no MX {name_text(exchange)}, only {there}"
                raise ZoneError(text)

    async def begin(self, active: ActiveFault[AnyFault]) -> None:
        """In force with the next answer; a stale fault keeps the zones as they are now."""
        if isinstance(active.fault, DnsStale):
            self._kept[active.id] = self._zones.snapshot()

    async def end(self, active: ActiveFault[AnyFault]) -> None:
        self._kept.pop(active.id, None)


def check_names(fault: DnsFault) -> None:
    """Raise ZoneError for names and types that can be none, whatever the zones hold."""
    parse_name(fault.name)
    match fault:
        case ForType(type=kind) if kind and type_number(kind) is None:
            raise ZoneError(f"no such record type: {kind!r}")
        case DnsSwappedMx(exchanges=(one, other)) if _name(one) == _name(other):
            raise ZoneError("two exchanges, not one, are swapped")
        case DnsWrongMx(exchange=exchange):
            parse_name(exchange)


def _concerns(fault: DnsFault, name: Name, kind: str) -> bool:
    """Whether a question for `name` (folded) and `kind` is one of the fault's."""
    match fault:
        case ForType(name=wanted, type=types, subdomains=subdomains):
            if types and type_number(types) != type_number(kind):
                return False
            return is_below(name, _name(wanted)) if subdomains else name == _name(wanted)
        case DnsMxWithoutAddress(name=wanted):
            return kind in _ADDRESSES and name == _name(wanted)
        case _:
            return kind == "MX" and name == _name(fault.name)


def _name(text: str) -> Name:
    return fold(parse_name(text))


def _exchange(record: Record) -> Name:
    return fold(record.data.label.label)


def _mx(owner: Name, ttl: int, preference: int, exchange: Name) -> Record:
    return Record(owner, "MX", ttl, MX(DNSLabel(exchange), preference))


def _swapped(result: Result, first: Name, second: Name) -> Result:
    preferences = {
        _exchange(record): record.data.preference
        for record in result.answers
        if record.type == "MX" and _exchange(record) in (first, second)
    }
    if len(preferences) < 2:  # the zone was changed meanwhile
        return result
    other = {first: preferences[second], second: preferences[first]}
    answers = tuple(
        _mx(record.owner, record.ttl, other[_exchange(record)], record.data.label.label)
        if record.type == "MX" and _exchange(record) in other
        else record
        for record in result.answers
    )
    return replace(result, answers=answers)


def _renamed(result: Result, exchange: Name, wanted: Name | None) -> Result:
    """The MX records with another exchange, without the addresses of those that were there."""
    answers = tuple(
        _mx(record.owner, record.ttl, record.data.preference, exchange)
        if record.type == "MX" and wanted in (None, _exchange(record))
        else record
        for record in result.answers
    )
    return replace(result, answers=answers, additional=())
