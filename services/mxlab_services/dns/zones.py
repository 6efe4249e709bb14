"""The zones of one server, and what it answers from them (RFC 1034 §4.3.2). Pure.

Each change is whole or is not made at all.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

from collections.abc import Callable, Sequence

from dnslib import SOA
from msgspec import Struct
from msgspec.structs import replace

from mxlab_services.dns.fields import read_name
from mxlab_services.dns.names import Name, fold, name_text, parse_name
from mxlab_services.dns.records import Pattern, Record, parse_pattern, parse_records
from mxlab_services.dns.serial import following
from mxlab_services.dns.zone import Zone, load_zone, make_zone
from mxlab_services.dns.zone_check import Node
from mxlab_services.errors import ZoneError

MAX_CHAIN = 16  # CNAMEs followed within one answer


class Result(Struct, frozen=True):
    """One answer. `rcode` is NOERROR, NXDOMAIN, SERVFAIL (a zone of ours without data) or REFUSED
    (no zone of ours). `transfer`: a whole zone, its SOA first and last, for more than one message.

    Not `authoritative`: a referral, with the NS records of a zone cut in the authority section and
    the addresses of its servers beside them.
    """

    rcode: str
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authoritative: bool = True
    transfer: tuple[Record, ...] = ()


class Change(Struct, frozen=True):
    """What a replace or an update did to a zone."""

    zone: Zone
    added: tuple[str, ...]
    removed: tuple[str, ...]


class Zones:
    """The zones of one server. Each change is whole, and told to `watch`ers after it is made."""

    def __init__(self) -> None:
        self._zones: dict[Name, Zone] = {}
        self._missing: set[Name] = set()  # ours to serve, without data
        self._watchers: list[Callable[[Change], None]] = []

    def watch(self, watcher: Callable[[Change], None]) -> None:
        """Call `watcher` after each change."""
        self._watchers.append(watcher)

    def snapshot(self) -> "Zones":
        """The zones as they are now, which no change will reach."""
        copy = Zones()
        copy._zones = dict(self._zones)
        copy._missing = set(self._missing)
        return copy

    def all(self) -> list[Zone]:
        """The zones, in the order they came."""
        return list(self._zones.values())

    def find(self, name: Name) -> Zone | None:
        """The zone with the longest origin that the folded `name` lies in; None where there is
        none, or no data for it."""
        for depth in range(len(name) + 1):
            zone = self._zones.get(name[depth:])
            if zone is not None or name[depth:] in self._missing:
                return zone
        return None

    def has(self, origin: Name) -> bool:
        """Whether there are data for the zone of that folded origin."""
        return origin in self._zones

    def _lacks(self, name: Name) -> bool:
        """Whether the zone of the folded `name` is ours, and has no data."""
        above = (name[depth:] for depth in range(len(name) + 1))
        nearest = next((one for one in above if one in self._zones or one in self._missing), None)
        return nearest in self._missing

    def lose(self, origin: Name) -> None:
        """The folded `origin` is ours to serve, and there are no data for it (yet, or any more):
        SERVFAIL."""
        self._missing.add(origin)
        old = self._zones.pop(origin, None)
        if old is not None:
            self._tell(Change(old, (), tuple(old.text())))

    def put(self, zone: Zone) -> Change:
        """Put a zone in the place of the one with its origin, or add it."""
        return self._put(self._zones.get(zone.origin), zone)

    def replace(self, origin: str, text: str, strict: bool = True) -> Change:
        """Put `text` in the place of the zone `origin`, or add it. Raises ZoneError."""
        zone = load_zone(origin, text, strict)
        return self._put(self._zones.get(zone.origin), zone)

    def update(
        self,
        origin: str,
        add: Sequence[str],
        remove: Sequence[str],
        strict: bool = True,
        ttl: int | None = None,
    ) -> Change:
        """Remove, then add records; the serial goes up by one if that changes anything. `ttl` is
        for those added, where they state none; with nothing to add or to remove, for all.

        Raises ZoneError where the zone is unknown, a line is wrong, the SOA is touched, or (when
        `strict`) the update brings in a problem that the zone did not have.
        """
        name = parse_name(origin)
        old = self._zones.get(fold(name))
        if old is None:
            raise ZoneError(f"no zone {name_text(name)} here")
        patterns = [parse_pattern(line, name) for line in remove]
        default = old.soa.ttl if ttl is None else ttl
        added = [record for line in add for record in parse_records(line, name, default)]
        touched = [pattern.type for pattern in patterns] + [record.type for record in added]
        if "SOA" in touched:
            raise ZoneError("the SOA is changed by replacing the zone, not by an update")
        kept = [
            record
            for record in old.records
            if not any(_matches(pattern, record) for pattern in patterns)
        ]
        if ttl is not None and not (add or remove):
            kept = [replace(record, ttl=ttl) for record in kept]
        new = make_zone(old.origin, _renewed(kept, added))
        fresh = [problem for problem in new.problems if problem not in old.problems]
        if strict and fresh:
            raise ZoneError(f"zone {name_text(old.origin)}: {'; '.join(fresh)}")
        if set(new.text()) == set(old.text()):
            return Change(old, (), ())
        return self._put(old, make_zone(old.origin, _with_next_serial(new)))

    def lookup(self, name: Name, kind: str) -> Result:
        """The answer to a question; `kind` is a record type or ANY. CNAMEs are followed within
        our zones, and the rcode is that of the last name (RFC 6604 §3). At or below a zone cut the
        answer is a referral, unless we have the zone that begins there (RFC 1034 §4.3.2).
        """
        current = fold(name)
        answers: list[Record] = []
        for _ in range(MAX_CHAIN):
            zone = self._asked(current, kind)
            if zone is None:
                if self._lacks(current):
                    return Result("SERVFAIL", tuple(answers))
                break
            cut = zone.cut(current)
            if cut is not None and not (kind == "DS" and cut == current):
                servers = zone.nodes[cut]["NS"]
                glue = self._additional(servers, zone)
                # AA is the first owner's (RFC 1035 §4.1.1): that of an alias that led here is ours.
                return Result("NOERROR", tuple(answers), servers, glue, bool(answers))
            node = zone.node(current)
            if node is None:
                return Result("NXDOMAIN", tuple(answers), (zone.negative(),))
            if kind == "ANY":
                found = tuple(record for rrset in node.values() for record in rrset)
            else:
                found = node.get(kind, ())
            if found:
                answers += found
                return Result("NOERROR", tuple(answers), (), self._additional(found))
            if "CNAME" not in node:
                return Result("NOERROR", tuple(answers), (zone.negative(),))
            answers += node["CNAME"][:1]
            current = fold(node["CNAME"][0].data.label.label)
            if any(record.owner == current for record in answers):
                break  # a loop: tell it once
        return Result("NOERROR" if answers else "REFUSED", tuple(answers))

    def _asked(self, name: Name, kind: str) -> Zone | None:
        """The zone that is to answer; for a DS at a zone's top that is the zone above, where it
        is ours and has the cut (RFC 4035 §3.1.4.1)."""
        zone = self.find(name)
        if kind == "DS" and zone is not None and name == zone.origin and name:
            above = self.find(name[1:])
            if above is not None and above.cut(name) == name:
                return above
        return zone

    def _additional(
        self, found: tuple[Record, ...], referring: Zone | None = None
    ) -> tuple[Record, ...]:
        """Addresses of the hosts that MX, NS and SRV records name (RFC 1035 §3.3.9, §3.3.11, RFC
        2782).

        What a zone says below its cuts is glue, and only of use to a referral (RFC 1034 §4.2.1).
        """
        targets = dict.fromkeys(
            fold(read_name(record.data.data[6:]))
            if record.type == "SRV"
            else fold(record.data.label.label)
            for record in found
            if record.type in ("MX", "NS", "SRV")
        )
        records: list[Record] = []
        for target in targets:
            zone = self.find(target)
            node: Node | None = None
            if zone is not None and zone.cut(target) is None:
                node = zone.node(target)
            elif referring is not None:
                node = referring.nodes.get(target)
            records += (record for kind in ("A", "AAAA") for record in (node or {}).get(kind, ()))
        return tuple(records)

    def _put(self, old: Zone | None, new: Zone) -> Change:
        before = dict.fromkeys(old.text() if old is not None else [])
        after = dict.fromkeys(new.text())
        change = Change(
            new,
            tuple(line for line in after if line not in before),
            tuple(line for line in before if line not in after),
        )
        self._zones[new.origin] = new
        self._missing.discard(new.origin)
        self._tell(change)
        return change

    def _tell(self, change: Change) -> None:
        for watcher in self._watchers:
            watcher(change)


def _matches(pattern: Pattern, record: Record) -> bool:
    if pattern.record is not None:
        return pattern.record.key() == record.key()
    return (pattern.owner, pattern.type) == (record.owner, record.type)


def _renewed(kept: list[Record], added: list[Record]) -> list[Record]:
    """`kept` and `added`, where a record that is added again takes its new TTL."""
    renewed = {record.key() for record in added}
    return [record for record in kept if record.key() not in renewed] + added


def _with_next_serial(zone: Zone) -> list[Record]:
    serial, *times = zone.soa.data.times
    data = SOA(zone.soa.data.mname, zone.soa.data.rname, (following(serial), *times))
    return [
        replace(zone.soa, data=data) if record is zone.soa else record for record in zone.records
    ]
