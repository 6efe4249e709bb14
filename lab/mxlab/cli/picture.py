"""A lab as a picture in plain text: who hands mail to whom, in which order, how they are. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from mxlab.cli.layout import hanging, width_of

GAP = "  "
INDENT = 2


def picture(domain: str, nodes: Sequence[Mapping[str, Any]], width: int | None) -> list[str]:
    """The lab of these nodes, as `mxlab status --json` has them, in lines of at most `width`.

    An arrow is broken (`--x`) where the host at its end does not run. Exchanges stand in the order
    of their preference (RFC 5321 §5.1), and a backup says for whom it keeps mail.
    """
    kinds = [(node, *str(node.get("role", "")).rpartition(" MX ")[::2]) for node in nodes]
    exchanges = [(int(number), kind, node) for node, kind, number in kinds if kind]
    exchanges.sort(key=lambda one: one[0])
    primaries = [str(node["node"]) for _, kind, node in exchanges if kind == "primary"]
    names = max((width_of(str(node["node"])) for _, _, node in exchanges), default=0)
    digits = max((len(str(number)) for number, _, _ in exchanges), default=0)
    lines: list[str] = []
    for client in (node for node, _, role in kinds if role == "client"):
        lines += hanging(f"{client['node']}: {_state(client)}", width, INDENT)
    for number, kind, node in exchanges:
        arrow = "-->" if node["state"] == "running" else "--x"
        name = str(node["node"])
        head = f"  |-- {number:>{digits}} {arrow} {name}{' ' * (names - width_of(name))}"
        does = (
            f"delivers for {domain}"
            if kind == "primary"
            else f"keeps mail for {' and '.join(primaries) or domain}"
        )
        lines += hanging(f"{head}{GAP}{_state(node)}; {does}", width, len(head) + len(GAP))
    for server in (node for node, _, role in kinds if role == "dns"):
        lines += hanging(
            f"{server['node']}: {_state(server)}; tells all where to go", width, INDENT
        )
    return lines


def _state(node: Mapping[str, Any]) -> str:
    queued = node.get("queued")
    return str(node["state"]) + ("" if queued is None else f", {queued} queued")
