"""Zones: what an authoritative server knows, and what it answers (RFC 1034 §4.3.2). Pure.

A zone is a value; `Zones` holds the server's and changes them whole or not at all.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

from collections.abc import Callable, Iterable
from functools import lru_cache

from dnslib import SOA
from msgspec import Struct
from msgspec.structs import replace

from mxlab_services.dns.names import Name, fold, is_below, name_text, parse_name
from mxlab_services.dns.rdata import read_name
from mxlab_services.dns.records import Pattern, Record, parse_pattern, parse_records
from mxlab_services.dns.zone_check import Node, check
from mxlab_services.errors import ZoneError

MAX_CHAIN = 16  # CNAMEs followed within one answer


class Result(Struct, frozen=True):
    """One answer. `rcode` is NOERROR, NXDOMAIN or REFUSED (no zone of ours).

    Not `authoritative`: a referral, with the NS records of a zone cut in the authority section and
    the addresses of its servers beside them.
    """

    rcode: str
    answers: tuple[Record, ...] = ()
    authority: tuple[Record, ...] = ()
    additional: tuple[Record, ...] = ()
    authoritative: bool = True


class Zone(Struct, frozen=True):
    """One zone. `problems` are violations it was loaded with (`strict=False`).

    `warnings` are legal or tolerated, and worth a word. `nodes` holds empty non-terminals too.
    """

    origin: Name
    soa: Record
    records: tuple[Record, ...]
    nodes: dict[Name, Node]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def serial(self) -> int:
        """The SOA's serial number."""
        return int(self.soa.data.times[0])

    def text(self) -> list[str]:
        """The records, a line of zone text each."""
        return [str(record) for record in self.records]

    def negative(self) -> Record:
        """The SOA for a negative answer, its TTL min(SOA TTL, MINIMUM) (RFC 2308 §3)."""
        return replace(self.soa, ttl=min(self.soa.ttl, self.soa.data.times[4]))

    def cut(self, name: Name) -> Name | None:
        """The highest zone cut at or above the folded `name`: where another zone begins
        (RFC 1034 §4.2.1). What lies below is not ours to answer for, glue neither."""
        for depth in range(len(name) - len(self.origin) - 1, -1, -1):
            if "NS" in self.nodes.get(name[depth:], ()):
                return name[depth:]
        return None

    def node(self, name: Name) -> Node | None:
        """The RRsets at the folded `name`, from a wildcard if need be (RFC 4592 §3.3).

        An empty node is an empty non-terminal; None means that the name does not exist.
        """
        found = self.nodes.get(name)
        if found is not None:
            return found
        encloser = name[1:]
        while encloser not in self.nodes:
            encloser = encloser[1:]
        source = self.nodes.get((b"*", *encloser))
        if source is None:
            return None
        return {
            kind: tuple(replace(record, owner=name) for record in rrset)
            for kind, rrset in source.items()
        }


def make_zone(origin: Name, records: Iterable[Record]) -> Zone:
    """The zone of these records, its problems noted. Raises ZoneError where it is none at all."""
    kept: dict[tuple[Name, str, str], Record] = {}
    for record in records:
        if not is_below(record.owner, origin):
            raise ZoneError(f"{record}: outside the zone {name_text(origin)}")
        kept.setdefault(record.key(), record)
    nodes: dict[Name, Node] = {origin: {}}
    for record in kept.values():
        for depth in range(len(record.owner) - len(origin)):  # the name, and all above it
            nodes.setdefault(record.owner[depth:], {})
        node = nodes[record.owner]
        node[record.type] = (*node.get(record.type, ()), record)
    soas = [record for record in kept.values() if record.type == "SOA"]
    if len(soas) != 1 or soas[0].owner != origin:
        raise ZoneError(f"zone {name_text(origin)} needs exactly one SOA, at its top")
    problems, warnings = check(origin, nodes)
    return Zone(origin, soas[0], tuple(kept.values()), nodes, tuple(problems), tuple(warnings))


@lru_cache(maxsize=64)  # a zone never changes, and labs of one shape have the same
def load_zone(origin: str, text: str, strict: bool = True) -> Zone:
    """The zone in `text` (RFC 1035 §5). Raises ZoneError; with `strict=False` only where no
    zone can be made of it, so that a lab can serve a wrong one on purpose.
    """
    name = parse_name(origin)
    zone = make_zone(fold(name), parse_records(text, name))
    if strict and zone.problems:
        raise ZoneError(f"zone {name_text(zone.origin)}: {'; '.join(zone.problems)}")
    return zone


class Change(Struct, frozen=True):
    """What a replace or an update did to a zone."""

    zone: Zone
    added: tuple[str, ...]
    removed: tuple[str, ...]


class Zones:
    """The zones of one server. Each change is whole, and told to `watch`ers after it is made."""

    def __init__(self) -> None:
        self._zones: dict[Name, Zone] = {}
        self._watchers: list[Callable[[Change], None]] = []

    def watch(self, watcher: Callable[[Change], None]) -> None:
        """Call `watcher` after each change."""
        self._watchers.append(watcher)

    def snapshot(self) -> "Zones":
        """The zones as they are now, which no change will reach."""
        copy = Zones()
        copy._zones = dict(self._zones)
        return copy

    def all(self) -> list[Zone]:
        """The zones, in the order they came."""
        return list(self._zones.values())

    def find(self, name: Name) -> Zone | None:
        """The zone with the longest origin that the folded `name` lies in."""
        for depth in range(len(name) + 1):
            zone = self._zones.get(name[depth:])
            if zone is not None:
                return zone
        return None

    def replace(self, origin: str, text: str, strict: bool = True) -> Change:
        """Put `text` in the place of the zone `origin`, or add it. Raises ZoneError."""
        zone = load_zone(origin, text, strict)
        return self._put(self._zones.get(zone.origin), zone)

    def update(
        self, origin: str, add: Iterable[str], remove: Iterable[str], strict: bool = True
    ) -> Change:
        """Remove, then add records; the serial goes up by one if that changes anything.

        Raises ZoneError where the zone is unknown, a line is wrong, the SOA is touched, or (when
        `strict`) the update brings in a problem that the zone did not have.
        """
        name = parse_name(origin)
        old = self._zones.get(fold(name))
        if old is None:
            raise ZoneError(f"no zone {name_text(name)} here")
        patterns = [parse_pattern(line, name) for line in remove]
        added = [record for line in add for record in parse_records(line, name, old.soa.ttl)]
        touched = [pattern.type for pattern in patterns] + [record.type for record in added]
        if "SOA" in touched:
            raise ZoneError("the SOA is changed by replacing the zone, not by an update")
        kept = [
            record
            for record in old.records
            if not any(_matches(pattern, record) for pattern in patterns)
        ]
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
        for watcher in self._watchers:
            watcher(change)
        return change


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
    following = (serial + 1) % 2**32  # RFC 1982 §3.1
    data = SOA(zone.soa.data.mname, zone.soa.data.rname, (following, *times))
    return [
        replace(zone.soa, data=data) if record is zone.soa else record for record in zone.records
    ]
