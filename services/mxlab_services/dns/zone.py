"""What a zone is: read from its text, checked, written out (RFC 1034 §4.2). Pure.

A zone is a value; `zones` answers from those of a server.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

from collections.abc import Iterable
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from mxlab_services.dns.names import Name, fold, is_below, name_text, parse_name
from mxlab_services.dns.records import (
    Placed,
    Record,
    read_records,
)
from mxlab_services.dns.zone_check import Node, check
from mxlab_services.errors import ZoneError, ZoneMistake, ZoneTextError


class Zone(Struct, frozen=True):
    """One zone. `problems` are violations it was loaded with (`strict=False`).

    `warnings` are legal or tolerated, and worth a word. `nodes` holds empty non-terminals too;
    `lines` are the records as zone text.
    """

    origin: Name
    soa: Record
    records: tuple[Record, ...]
    nodes: dict[Name, Node]
    lines: tuple[str, ...]
    problems: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def serial(self) -> int:
        """The SOA's serial number."""
        return int(self.soa.data.times[0])

    def text(self) -> list[str]:
        """The records, a line of zone text each."""
        return list(self.lines)

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
    return Zone(
        origin, soas[0], tuple(kept.values()), nodes,
        lines=tuple(map(str, kept.values())),
        problems=tuple(line for _, _, line in problems),
        warnings=tuple(warnings),
    )  # fmt: skip


@lru_cache(maxsize=256)  # a zone never changes, and labs of one shape have the same
def load_zone(origin: str, text: str, strict: bool = True) -> Zone:
    """The zone in `text` (RFC 1035 §5). Raises ZoneTextError with every wrong line; with
    `strict=False` only where no zone can be made of it, so that a lab can serve a wrong one on
    purpose.
    """
    name = parse_name(origin)
    found, mistakes = read_records(text, name)
    outside = [one for one in found if not is_below(one.record.owner, fold(name))]
    mistakes += [
        one.at.wrong(f"{one.record}: outside the zone {name_text(name)}") for one in outside
    ]
    if mistakes:
        raise ZoneTextError(mistakes)
    zone = make_zone(fold(name), [one.record for one in found])
    if strict and zone.problems:
        raise ZoneTextError(_placed(zone, found))
    return zone


def _placed(zone: Zone, found: list[Placed]) -> list[ZoneMistake]:
    """The problems of a zone where they arise: at the last record of that name and type."""
    places = {(one.record.owner, one.record.type): one.at for one in found}
    problems, _ = check(zone.origin, zone.nodes)
    return [places[name, kind].wrong(line) for name, kind, line in problems]
