"""How faults are done, undone and seen: a node's life, its network, and what strikes inside it.

An undo may run whenever the fault may have been injected, and more than once: it looks first.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from mxlab.backends.base import (
    CanDelay,
    CanDisconnect,
    CanPause,
    CanSegment,
    CanShape,
    Lab,
    Node,
    Shape,
    State,
)
from mxlab.errors import Unsupported
from mxlab.faults.inner import to_service
from mxlab.model.mechanism import Mechanism, outer
from mxlab.model.outer import Segments
from mxlab_services.faults.requests import FaultClear, FaultList, FaultSet


class Means(Protocol):
    """`inject` and `undo` return when done; `seen` answers whether the fault is in effect."""

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None: ...

    async def undo(self, lab: Lab, name: str, mechanism: Mechanism) -> None: ...

    async def seen(self, lab: Lab, name: str, mechanism: Mechanism) -> bool: ...


@dataclass(frozen=True, slots=True)
class OfLife:
    """What changes the state of a node to `state`."""

    act: Callable[[Node], Awaitable[None]]
    state: State

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        await self.act(lab.nodes[mechanism.host])

    async def undo(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        node = lab.nodes[mechanism.host]
        if await node.state() == self.state:
            await (_pausable(node).resume() if self.state == "paused" else node.start())

    async def seen(self, lab: Lab, name: str, mechanism: Mechanism) -> bool:
        return await lab.nodes[mechanism.host].state() == self.state


async def kill(node: Node) -> None:
    await node.kill()


async def stop(node: Node) -> None:
    await node.stop()


async def pause(node: Node) -> None:
    await _pausable(node).pause()


def _pausable(node: Node) -> CanPause:
    if not isinstance(node, CanPause):
        raise Unsupported(f"{node.config.node} cannot be paused in this world")
    return node


class _OnLinks:
    """Base of what is in force as a shape of a node's links."""

    async def undo(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        await _shapable(lab).unshape(name)

    async def seen(self, lab: Lab, name: str, mechanism: Mechanism) -> bool:
        return name in await _shapable(lab).shapes()


@dataclass(frozen=True)
class OfLinks(_OnLinks):
    """What shapes the links of a node; `shape` returns how."""

    shape: Callable[[Mechanism], tuple[tuple[str, ...], Shape]]

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        peers, shape = self.shape(mechanism)
        await _shapable(lab).shape(name, mechanism.host, peers, shape)


class SlowLinks(_OnLinks):
    """What makes the links of a node slow."""

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        if not isinstance(lab, CanDelay) or not isinstance(mechanism, outer.SlowLink):
            raise Unsupported("the links of this lab cannot be made slow")
        await lab.delay(name, mechanism.host, mechanism.peers, mechanism.seconds)


def _shapable(lab: Lab) -> CanShape:
    if not isinstance(lab, CanShape):
        raise Unsupported("the links of this lab cannot be shaped")
    return lab


class OfStreams:
    """Where TCP cuts what it brings."""

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        if not isinstance(mechanism, Segments):
            raise TypeError(f"{mechanism.kind} does not cut streams")
        await _segmentable(lab).segment(name, mechanism.host, mechanism.peers, mechanism.most)

    async def undo(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        await _segmentable(lab).unsegment(name)

    async def seen(self, lab: Lab, name: str, mechanism: Mechanism) -> bool:
        return name in await _segmentable(lab).segmented()


def _segmentable(lab: Lab) -> CanSegment:
    if not isinstance(lab, CanSegment):
        raise Unsupported("nobody can say here where TCP cuts a stream", "try the sim backend")
    return lab


class OffTheNetwork:
    """A node without a network."""

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        await _with_network(lab).disconnect(mechanism.host)

    async def undo(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        await _with_network(lab).reconnect(mechanism.host)

    async def seen(self, lab: Lab, name: str, mechanism: Mechanism) -> bool:
        return not await _with_network(lab).is_connected(mechanism.host)


def _with_network(lab: Lab) -> CanDisconnect:
    if not isinstance(lab, CanDisconnect):
        raise Unsupported("nodes of this lab cannot be taken off its network")
    return lab


class Inside:
    """What a node does to itself when it is told to. It ends with the node's life."""

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        addresses = {host: node.config.address for host, node in lab.nodes.items()}
        fault = to_service(mechanism, addresses)
        await lab.nodes[mechanism.host].request(FaultSet(name, fault))

    async def undo(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        if await self.seen(lab, name, mechanism):
            await lab.nodes[mechanism.host].request(FaultClear(name))

    async def seen(self, lab: Lab, name: str, mechanism: Mechanism) -> bool:
        node = lab.nodes[mechanism.host]
        if await node.state() == "stopped":
            return False
        return any(one.id == name for one in await node.request(FaultList()))
