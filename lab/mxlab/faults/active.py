"""What is broken in a lab now, as the lab itself shows it, and how each is made good again.

Nothing is kept here: whoever asks, from whichever process, sees the same.
"""

from dataclasses import dataclass, field

import msgspec

from mxlab.backends.base import CanDisconnect, CanPause, CanSegment, CanShape, Lab, Node
from mxlab.errors import Unsupported
from mxlab_services.faults.requests import FaultClear, FaultList, FaultState


@dataclass(frozen=True, slots=True)
class Standing:
    """One thing that is broken. `name` heals it: the fault's, or the node's where all of the node
    is concerned. `struck`: how often, where that is counted."""

    name: str
    host: str
    kind: str
    parameters: dict[str, object] = field(default_factory=dict)
    struck: int | None = None


async def standing(lab: Lab) -> list[Standing]:
    """All that is broken, node by node. Raises NodeUnreachable where a running node is silent."""
    found: list[Standing] = []
    for host, node in lab.nodes.items():
        state = await node.state()
        if state != "running":
            found.append(Standing(host, host, state))
        if isinstance(lab, CanDisconnect) and not await lab.is_connected(host):
            found.append(Standing(host, host, "disconnect"))
        if state == "running":
            found += [_inner(host, one) for one in await node.request(FaultList())]
    if isinstance(lab, CanShape):
        for name, (host, shape) in (await lab.shapes()).items():
            found.append(Standing(name, host, str(shape)))
    if isinstance(lab, CanSegment):
        for name, host in (await lab.segmented()).items():
            found.append(Standing(name, host, "segments"))
    return found


def _inner(host: str, state: FaultState) -> Standing:
    parameters = {
        one.name: getattr(state.fault, one.name)
        for one in msgspec.structs.fields(state.fault)
        if one.name not in ("select", "certificate", "key")
        and getattr(state.fault, one.name) != one.default
    }
    select = state.fault.selected
    chosen = {name: getattr(select, name) for name in sorted(select.used())}
    return Standing(state.id, host, state.fault.kind, parameters | chosen, state.struck)


async def heal(lab: Lab, broken: Standing) -> None:
    """Make it good again, and return when it is."""
    node = lab.nodes[broken.host]
    match broken.kind:
        case "stopped":
            await node.start()
        case "paused":
            await _pausable(node).resume()
        case "disconnect" if isinstance(lab, CanDisconnect):
            await lab.reconnect(broken.host)
        case _ if isinstance(lab, CanShape) and broken.name in await lab.shapes():
            await lab.unshape(broken.name)
        case "segments" if isinstance(lab, CanSegment):
            await lab.unsegment(broken.name)
        case _:
            await node.request(FaultClear(broken.name))


def _pausable(node: Node) -> CanPause:
    if not isinstance(node, CanPause):
        raise Unsupported(f"{node.config.node} cannot be resumed in this world")
    return node
