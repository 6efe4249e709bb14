"""The faults by name: what each needs, does, and how it is undone and seen.

Each is confirmed when it is injected and when it is undone: what befalls a whole node by the node's
state, what strikes inside a node or on a link by what that lists as set. Whether a fault is felt by
what nodes do, `mxlab.doctor.faults` tries.
"""

from collections.abc import Callable, Iterable

from mxlab.backends.base import Backend, HasLabType, HasNodeType, Lab
from mxlab.errors import NodeUnreachable, Unsupported
from mxlab.faults.catalogue import CATALOGUE, FAULTS, FaultKind, fault_called
from mxlab.faults.inner import problem_of
from mxlab.model.mechanism import Mechanism
from mxlab_services.control.requests import Ping

__all__ = [
    "CATALOGUE", "FAULTS", "FaultKind", "able", "fault_called", "inject", "problem_of",
    "refuse_unsupported", "refuse_unsupported_here", "undo",
]  # fmt: skip


def able(kind: FaultKind, backend: Backend) -> bool:
    """Whether the backend can do it, by what it says before anything starts."""
    of_node, of_lab = kind.of_node, kind.of_lab
    if of_node is not None and isinstance(backend, HasNodeType):
        return issubclass(backend.node_type, of_node)
    if of_lab is not None and isinstance(backend, HasLabType):
        return issubclass(backend.lab_type, of_lab)
    return True


def refuse_unsupported(backend: Backend, kinds: Iterable[str]) -> None:
    """Raise Unsupported for what the backend says, before anything starts, that it cannot do."""
    _refuse(backend.name, kinds, lambda kind: able(kind, backend))


def refuse_unsupported_here(lab: Lab, kinds: Iterable[str]) -> None:
    """Raise Unsupported for what a lab that is up, or its nodes, cannot do."""

    def can(kind: FaultKind) -> bool:
        of_node, of_lab = kind.of_node, kind.of_lab
        return (of_lab is None or isinstance(lab, of_lab)) and (
            of_node is None or all(isinstance(node, of_node) for node in lab.nodes.values())
        )

    _refuse(lab.backend, kinds, can)


def _refuse(backend: str, kinds: Iterable[str], can: Callable[[FaultKind], bool]) -> None:
    for name in kinds:
        if not can(fault_called(name)):
            raise Unsupported(f"the {backend} backend cannot {name} a node", "try another backend")


async def inject(lab: Lab, name: str, mechanism: Mechanism) -> None:
    """Do it, and see that it took effect. Raises NodeUnreachable if it did not."""
    kind = fault_called(mechanism.kind)
    await kind.means.inject(lab, name, mechanism)
    if not await kind.means.seen(lab, name, mechanism):
        raise NodeUnreachable(f"{kind.name} {mechanism.host} took no effect")


async def undo(lab: Lab, name: str, mechanism: Mechanism) -> None:
    """Undo it, and see that the fault is gone. Raises NodeUnreachable if it is not.

    A node that is running answers then; one that another fault still holds need not.
    """
    kind, node = fault_called(mechanism.kind), lab.nodes[mechanism.host]
    await kind.means.undo(lab, name, mechanism)
    if await kind.means.seen(lab, name, mechanism):
        raise NodeUnreachable(f"{kind.name} {mechanism.host} could not be undone")
    if await node.state() == "running":
        await node.request(Ping())
