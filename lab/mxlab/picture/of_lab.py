"""The diagram of a lab that is up: its hosts as they are now."""

from mxlab.backends.base import Lab
from mxlab.operate.describe import LabView, describe
from mxlab.picture.diagram import Diagram, HostNow, diagram_of


async def diagram_of_lab(lab: Lab) -> Diagram:
    """Asks every host how it is."""
    return diagram_of_view(lab, await describe(lab))


def diagram_of_view(lab: Lab, view: LabView) -> Diagram:
    """Of a lab that was asked already."""
    now = {n.node: HostNow(n.state, n.queued, n.software) for n in view.nodes}
    now |= {server.node: HostNow(server.state) for server in view.imap}
    addresses = {name: tuple(node.config.addresses) for name, node in lab.nodes.items()}
    addresses |= {server.node: (server.address,) for server in view.imap}
    return diagram_of(lab.topology, f"mxlab: lab {view.lab} ({view.backend})", addresses, now)
