"""The faults by name: what each needs, does, and how it is undone and seen. One entry per fault.

An undo may run whenever the fault may have been injected, and more than once: it looks first.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from mxlab.backends.base import Backend, CanPause, HasNodeType, Lab, Node
from mxlab.errors import NodeUnreachable, UnknownName, Unsupported
from mxlab.model.mechanism import Kill, Mechanism, Pause, Stop
from mxlab_services.control import Ping


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One fault. `capability` is the protocol that a node must have, None if every node has it.

    `inject` and `undo` return when done; `seen` answers whether the fault is in effect.
    """

    mechanism: type[Mechanism]
    summary: str
    capability: type | None
    inject: Callable[[Node], Awaitable[None]]
    undo: Callable[[Node], Awaitable[None]]
    seen: Callable[[Node], Awaitable[bool]]

    @property
    def name(self) -> str:
        return self.mechanism.kind


async def _kill(node: Node) -> None:
    await node.kill()


async def _stop(node: Node) -> None:
    await node.stop()


async def _start(node: Node) -> None:
    if await node.state() == "stopped":
        await node.start()


async def _is_stopped(node: Node) -> bool:
    return await node.state() == "stopped"


async def _pause(node: Node) -> None:
    await _pausable(node).pause()


async def _resume(node: Node) -> None:
    if await node.state() == "paused":
        await _pausable(node).resume()


async def _is_paused(node: Node) -> bool:
    return await node.state() == "paused"


def _pausable(node: Node) -> CanPause:
    if not isinstance(node, CanPause):
        raise Unsupported(f"{node.config.node} cannot be paused in this world")
    return node


FAULTS: Mapping[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind(
            Kill, "the node ends at once, as in a power failure",
            None, _kill, _start, _is_stopped,
        ),
        FaultKind(
            Stop, "the node stops in good order",
            None, _stop, _start, _is_stopped,
        ),
        FaultKind(
            Pause, "the node freezes: it accepts connections and never answers",
            CanPause, _pause, _resume, _is_paused,
        ),
    )
}  # fmt: skip


def fault_called(name: str) -> FaultKind:
    """The fault of that name. Raises UnknownName."""
    if name not in FAULTS:
        raise UnknownName("fault", name, FAULTS)
    return FAULTS[name]


def refuse_unsupported(backend: Backend, kinds: tuple[str, ...]) -> None:
    """Raise Unsupported for what the backend says, before anything starts, that it cannot do."""
    if isinstance(backend, HasNodeType):
        _refuse(backend.name, kinds, lambda capability: issubclass(backend.node_type, capability))


def refuse_unsupported_here(lab: Lab, kinds: tuple[str, ...]) -> None:
    """Raise Unsupported for what the nodes of a lab that is up cannot do."""
    nodes = lab.nodes.values()
    _refuse(lab.backend, kinds, lambda capability: all(isinstance(n, capability) for n in nodes))


def _refuse(backend: str, kinds: tuple[str, ...], can: Callable[[type], bool]) -> None:
    for name in kinds:
        capability = fault_called(name).capability
        if capability is not None and not can(capability):
            raise Unsupported(f"the {backend} backend cannot {name} a node", "try another backend")


async def inject(kind: FaultKind, node: Node) -> None:
    """Do it, and see that it took effect. Raises NodeUnreachable if it did not."""
    await kind.inject(node)
    if not await kind.seen(node):
        raise NodeUnreachable(f"{kind.name} {node.config.node} took no effect")


async def undo(kind: FaultKind, node: Node) -> None:
    """Undo it, and see that the fault is gone. Raises NodeUnreachable if it is not.

    A node that is running answers then; one that another fault still holds need not.
    """
    await kind.undo(node)
    if await kind.seen(node):
        raise NodeUnreachable(f"{kind.name} {node.config.node} could not be undone")
    if await node.state() == "running":
        await node.request(Ping())
