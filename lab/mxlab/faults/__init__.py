"""The faults by name: what each needs, does, and how it is undone and seen.

Each is confirmed when it is injected and when it is undone: what befalls a whole node by the node's
state, what strikes inside a node or on a link by what that lists as set. Whether a fault is felt by
what nodes do, `mxlab.doctor.faults` tries.
"""

import functools
from collections.abc import Callable, Iterable, Iterator

from mxlab.backends.base import Backend, HasLabType, HasNodeType, Lab
from mxlab.errors import NodeUnreachable, Unsupported
from mxlab.faults.catalogue import CATALOGUE, FAULTS, FaultKind, fault_called
from mxlab.model.scenario import Scenario, walk
from mxlab.model.software import OURS, SOFTWARE
from mxlab.model.step import Config, Etrn, Fault
from mxlab_services.control.requests import Ping
from mxlab_services.faults.base import Mechanism

__all__ = [
    "CATALOGUE", "FAULTS", "FaultKind", "able", "fault_called", "inject",
    "refuse_for_products", "refuse_unsupported", "refuse_unsupported_here", "undo",
]  # fmt: skip


def able(kind: FaultKind, backend: Backend) -> bool:
    """Whether the backend can do it, by what it says before anything starts."""
    of_node, of_lab = kind.of_node, kind.of_lab
    if of_node is not None and isinstance(backend, HasNodeType):
        return _does(backend.node_type, of_node)
    if of_lab is not None and isinstance(backend, HasLabType):
        return _does(backend.lab_type, of_lab)
    return True


@functools.cache
def _does(kind: type, protocol: type) -> bool:
    """`issubclass` of a protocol, which takes its time; these are few."""
    return issubclass(kind, protocol)


def refuse_unsupported(backend: Backend, kinds: Iterable[str]) -> None:
    """Raise Unsupported for what the backend says, before anything starts, that it cannot do."""
    _refuse(backend.name, kinds, lambda kind: able(kind, backend))


def refuse_for_products(scenario: Scenario) -> None:
    """Raise Unsupported for a fault, or a step, at a host whose mail server cannot have it."""
    software = scenario.topology.software
    for host, kind in _of_hosts(scenario):
        entry = SOFTWARE[software.get(host, OURS)]
        if (why := entry.unable.get(kind)) is not None:
            raise Unsupported(
                f"{entry.title} on {host} cannot have {kind}: {why}",
                f"leave {host} to mxlab's own mail server in this story",
            )


def _of_hosts(scenario: Scenario) -> Iterator[tuple[str, str]]:
    """Whom faults and steps concern that not every mail server can have, and what they are."""
    for _, step in walk(scenario.steps):
        match step:
            case Fault(mechanism=mechanism):
                yield mechanism.host, mechanism.kind
            case Etrn(asks=host) | Config(host=host):
                yield host, step.key
            case _:
                pass


def refuse_unsupported_here(lab: Lab, kinds: Iterable[str]) -> None:
    """Raise Unsupported for what a lab that is up, or its nodes, cannot do."""

    def can(kind: FaultKind) -> bool:
        of_node, of_lab = kind.of_node, kind.of_lab
        return (of_lab is None or _does(type(lab), of_lab)) and (
            of_node is None or all(_does(type(node), of_node) for node in lab.nodes.values())
        )

    _refuse(lab.backend, kinds, can)


def _refuse(backend: str, kinds: Iterable[str], can: Callable[[FaultKind], bool]) -> None:
    for name in kinds:
        if not can(fault_called(name)):
            raise Unsupported(f"the {backend} backend cannot {name} a node", "try another backend")


async def inject(lab: Lab, name: str, mechanism: Mechanism) -> None:
    """Do it, and see that it took effect. Raises NodeUnreachable if it did not."""
    kind = fault_called(mechanism.kind)
    await kind.injector.inject(lab, name, mechanism)
    if not await kind.injector.seen(lab, name, mechanism):
        raise NodeUnreachable(f"{kind.name} {mechanism.host} took no effect")


async def undo(lab: Lab, name: str, mechanism: Mechanism) -> None:
    """Undo it, and see that the fault is gone. Raises NodeUnreachable if it is not.

    A node that is running answers then; one that another fault still holds need not.
    """
    kind, node = fault_called(mechanism.kind), lab.nodes[mechanism.host]
    await kind.injector.undo(lab, name, mechanism)
    if await kind.injector.seen(lab, name, mechanism):
        raise NodeUnreachable(f"{kind.name} {mechanism.host} could not be undone")
    if await node.state() == "running":
        await node.request(Ping())
