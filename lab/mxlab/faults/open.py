"""What is broken in a lab now, as the lab itself shows it, and how each is made good again.

Nothing is kept here: whoever asks, from whichever process, sees the same.
"""

from dataclasses import dataclass, field

from mxlab.backends.base import CanDisconnect, CanPause, CanSegment, CanShape, Lab, Node
from mxlab.errors import Unsupported
from mxlab_services.faults.requests import FaultClear, FaultList, FaultState


@dataclass(frozen=True, slots=True)
class OpenFault:
    """One thing that is broken. `name` heals it: the fault's, or the node's where all of the node
    is concerned. `struck`: how often, where that is counted."""

    name: str
    host: str
    kind: str
    parameters: dict[str, object] = field(default_factory=dict)
    struck: int | None = None


async def open_faults(lab: Lab) -> list[OpenFault]:
    """All that is broken, node by node. Raises NodeUnreachable where a running node is silent."""
    found: list[OpenFault] = []
    for host, node in lab.nodes.items():
        state = await node.state()
        if state != "running":
            found.append(OpenFault(host, host, state))
        if isinstance(lab, CanDisconnect) and not await lab.is_connected(host):
            found.append(OpenFault(host, host, "disconnect"))
        if state == "running":
            found += [_inner(host, one) for one in await node.request(FaultList())]
    if isinstance(lab, CanShape):
        for name, (host, shape) in (await lab.shapes()).items():
            found.append(OpenFault(name, host, str(shape)))
    if isinstance(lab, CanSegment):
        for name, host in (await lab.segmented()).items():
            found.append(OpenFault(name, host, "segments"))
    return found


def _inner(host: str, state: FaultState) -> OpenFault:
    return OpenFault(state.id, host, state.fault.kind, state.fault.given(), state.struck)


async def heal(lab: Lab, broken: OpenFault) -> None:
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
