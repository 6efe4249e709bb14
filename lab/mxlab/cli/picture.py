"""A lab as a picture in plain text: who hands mail to whom, in which order, how they are. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mxlab.cli.layout import hanging, width_of

GAP = "  "
INDENT = 2


def picture(
    domain: str,
    nodes: Sequence[Mapping[str, Any]],
    width: int | None,
    beside: Sequence[Mapping[str, Any]] = (),
) -> list[str]:
    """The lab of these nodes, as `mxlab status --json` has them, in lines of at most `width`.

    An arrow is broken (`--x`) where the host at its end does not run. Exchanges stand in the order
    of their preference (RFC 5321 §5.1), and a backup says for whom it keeps mail; where there are
    several domains, below each of them. A relay stands behind who hands it all mail. `beside`: the
    IMAP servers, as `mxlab status --json` has them.
    """
    lines: list[str] = []
    for role, does in (("client", ""), ("relay", "; takes mail for anywhere")):
        for node in (node for node in nodes if node.get("role") == role):
            goes = f"; all goes to {node['smarthost']}" if "smarthost" in node else ""
            whose = f" ({node['software']})" if "software" in node else ""
            lines += hanging(f"{node['node']}{whose}: {_state(node)}{does}{goes}", width, INDENT)
    several = [place["domain"] for node in nodes for place in node.get("domains", ())]
    for name in dict.fromkeys(several or [domain]):
        if several:
            lines += hanging(f"  | {name}", width, INDENT)
        lines += _exchanges(name, nodes, width)
    for reader in beside:
        does = f"shows the mailboxes of {reader['for']}"
        lines += hanging(f"{reader['node']}: {_state(reader)}; {does}", width, INDENT)
    for server in (node for node in nodes if node.get("role") == "dns"):
        lines += hanging(
            f"{server['node']}: {_state(server)}; tells all where to go", width, INDENT
        )
    return lines


def _exchanges(domain: str, nodes: Sequence[Mapping[str, Any]], width: int | None) -> Iterator[str]:
    """The exchanges of one domain, a line each."""
    kinds = [(node, *_role(node, domain).rpartition(" MX ")[::2]) for node in nodes]
    exchanges = [(int(number), kind, node) for node, kind, number in kinds if kind]
    exchanges.sort(key=lambda one: one[0])
    primaries = [str(node["node"]) for _, kind, node in exchanges if kind == "primary"]
    names = max((width_of(str(node["node"])) for _, _, node in exchanges), default=0)
    digits = max((len(str(number)) for number, _, _ in exchanges), default=0)
    for number, kind, node in exchanges:
        arrow = "-->" if node["state"] == "running" else "--x"
        name = str(node["node"])
        head = f"  |-- {number:>{digits}} {arrow} {name}{' ' * (names - width_of(name))}"
        does = (
            f"delivers for {domain}"
            if kind == "primary"
            else f"keeps mail for {' and '.join(primaries) or domain}"
        )
        whose = f" with {node['software']}" if "software" in node else ""
        yield from hanging(f"{head}{GAP}{_state(node)}; {does}{whose}", width, len(head) + len(GAP))


def _role(node: Mapping[str, Any], domain: str) -> str:
    """What a node is in a domain, empty where it is nothing there."""
    places = node.get("domains")
    if places is None:
        return str(node.get("role", ""))
    return next((str(one["role"]) for one in places if one["domain"] == domain), "")


def _state(node: Mapping[str, Any]) -> str:
    queued = node.get("queued")
    return str(node["state"]) + ("" if queued is None else f", {queued} queued")
