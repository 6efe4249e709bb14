"""How faults are done, undone and seen: a node's life, its network, and what strikes inside it.

An undo may run whenever the fault may have been injected, and more than once: it looks first.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

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
from mxlab.model.mechanism import Segments, SlowLink
from mxlab_services.faults.base import FromPeer, Mechanism
from mxlab_services.faults.kinds import AnyFault, Greylist, TlsBroken
from mxlab_services.faults.requests import FaultClear, FaultList, FaultSet, Pem


class Injector(Protocol):
    """`inject` and `undo` return when done; `seen` returns whether the fault is in effect."""

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None: ...

    async def undo(self, lab: Lab, name: str, mechanism: Mechanism) -> None: ...

    async def seen(self, lab: Lab, name: str, mechanism: Mechanism) -> bool: ...


@dataclass(frozen=True, slots=True)
class LifeInjector:
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
class LinkInjector(_OnLinks):
    """What shapes the links of a node; `shape` returns how."""

    shape: Callable[[Mechanism], tuple[tuple[str, ...], Shape]]

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        peers, shape = self.shape(mechanism)
        await _shapable(lab).shape(name, mechanism.host, peers, shape)


class DelayInjector(_OnLinks):
    """What makes the links of a node slow."""

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        if not isinstance(lab, CanDelay) or not isinstance(mechanism, SlowLink):
            raise Unsupported("the links of this lab cannot be made slow")
        await lab.delay(name, mechanism.host, mechanism.peers, mechanism.seconds)


def _shapable(lab: Lab) -> CanShape:
    if not isinstance(lab, CanShape):
        raise Unsupported("the links of this lab cannot be shaped")
    return lab


class StreamInjector:
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


class NetworkInjector:
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


class InsideInjector:
    """What a node does to itself when it is told to. It ends with the node's life."""

    async def inject(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        if not isinstance(mechanism, AnyFault):
            raise TypeError(f"{mechanism.kind} does not strike inside a node")
        addresses = {host: node.config.address for host, node in lab.nodes.items()}
        request = FaultSet(name, _by_address(mechanism, addresses), _certificate(mechanism))
        await lab.nodes[mechanism.host].request(request)

    async def undo(self, lab: Lab, name: str, mechanism: Mechanism) -> None:
        if await self.seen(lab, name, mechanism):
            await lab.nodes[mechanism.host].request(FaultClear(name))

    async def seen(self, lab: Lab, name: str, mechanism: Mechanism) -> bool:
        node = lab.nodes[mechanism.host]
        if await node.state() == "stopped":
            return False
        return any(one.id == name for one in await node.request(FaultList()))


def _by_address(fault: AnyFault, addresses: Mapping[str, str]) -> AnyFault:
    """The fault with addresses in the place of the hosts that it names as peers."""
    given: dict[str, object] = {}
    if isinstance(fault, FromPeer) and fault.peer is not None:
        given["peer"] = addresses.get(fault.peer, fault.peer)
    if isinstance(fault, Greylist):
        given["exempt"] = tuple(addresses.get(peer, peer) for peer in fault.exempt)
    return msgspec.structs.replace(fault, **given)


def _certificate(fault: AnyFault) -> Pem | None:
    if isinstance(fault, TlsBroken) and fault.how != "handshake-cut":
        from mxlab.faults.certificates import broken_certificate

        return broken_certificate(fault.how)
    return None
