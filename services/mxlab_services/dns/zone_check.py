"""What is wrong with a zone's data, and what is allowed and seldom meant. Pure."""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

from mxlab_services.dns.names import Name, fold, is_below, name_text
from mxlab_services.dns.records import Record

Node = dict[str, tuple[Record, ...]]  # the RRsets of one name, by type
_ADDRESSES = frozenset(("A", "AAAA"))
_AT_ALIAS = frozenset(("CNAME", "NSEC", "RRSIG"))  # RFC 4035 §2.5
_AT_CUT = frozenset(("NS", "DS", "NSEC", "RRSIG"))  # RFC 4035 §2.6: what a parent has there


def check(origin: Name, nodes: dict[Name, Node]) -> tuple[list[tuple[Name, str, str]], list[str]]:
    """Problems, which a zone must not have, each with the name and type that has it, and warnings;
    each a line."""
    problems: list[tuple[Name, str, str]] = []
    warnings: list[str] = []
    if "NS" not in nodes[origin]:
        warnings.append(f"{name_text(origin)} has no NS record")
    for name, node in nodes.items():
        text = name_text(name)
        if "CNAME" in node and (node.keys() - _AT_ALIAS or len(node["CNAME"]) > 1):
            line = f"{text} has a CNAME beside other data (RFC 1034 §3.6.2)"
            problems.append((name, "CNAME", line))
        exchanges = [fold(record.data.label.label) for record in node.get("MX", ())]
        if () in exchanges and len(exchanges) > 1:
            line = f"{text} has a null MX beside other MX records (RFC 7505 §3)"
            problems.append((name, "MX", line))
        if name[:1] == (b"*",) and "NS" in node:
            line = f"{text} has an NS record: no wildcard delegates (RFC 4592 §4.2)"
            problems.append((name, "NS", line))
        if "DS" in node and (name == origin or "NS" not in node):
            warnings.append(f"{text} has a DS record, and is no zone cut (RFC 4035 §2.4)")
        servers = [fold(record.data.label.label) for record in node.get("NS", ())]
        warnings += [
            f"{text} {kind} {name_text(target)} is a CNAME (RFC 2181 §10.3)"
            for kind, targets in (("MX", exchanges), ("NS", servers))
            for target in targets
            if "CNAME" in nodes.get(target, {})
        ]
    return problems, warnings + _cut_warnings(origin, nodes)


def _cut_warnings(origin: Name, nodes: dict[Name, Node]) -> list[str]:
    """What is strange about the zone cuts, and what lies below them."""
    warnings: list[str] = []
    cuts = {name for name, node in nodes.items() if "NS" in node and name != origin}
    servers = {fold(one.data.label.label) for cut in cuts for one in nodes[cut]["NS"]}
    for name, node in nodes.items():
        text = name_text(name)
        highest = next((name[n:] for n in _depths(name, origin) if name[n:] in cuts), None)
        if highest is None:
            continue
        if highest == name:
            warnings += [
                f"{text} NS {name_text(target)} has no address here, so nobody can find it "
                "(RFC 1034 §4.2.1)"
                for target in (fold(record.data.label.label) for record in node["NS"])
                if is_below(target, name) and not _ADDRESSES.intersection(nodes.get(target, ()))
            ]
        seen = (_AT_CUT if highest == name else frozenset()) | (
            _ADDRESSES if name in servers else frozenset()
        )
        hidden = [kind for kind in node if kind not in seen]
        if hidden:
            warnings.append(
                f"{text} {' and '.join(hidden)}: never answered, since {name_text(highest)} is "
                "another zone's (RFC 1034 §4.2.1)"
            )
    return warnings


def _depths(name: Name, origin: Name) -> range:
    """How many labels to leave out of `name`, to go from below the origin down to it."""
    return range(len(name) - len(origin) - 1, -1, -1)
