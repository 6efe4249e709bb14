"""Shapes the links of a simulated lab: several faults on one link add up, and each can be undone.

Guarantee: a link with no shape left is as it was at the start, and what TCP held back goes on.
"""

import itertools
from collections.abc import Iterator, Mapping

from mxlab.backends.base import Shape
from mxlab.backends.sim.network import Link, Network

_OFF = "disconnected:"  # the ids of those that stand for a node without a network
Pair = tuple[str, str]


class Shaping:
    """All shapes of one lab. `addresses`: by node."""

    def __init__(self, network: Network, addresses: Mapping[str, str]) -> None:
        self._network = network
        self._addresses = addresses
        self._set: dict[str, tuple[str, tuple[str, ...], Shape]] = {}
        self._cut: dict[str, tuple[str, tuple[str, ...], int]] = {}

    async def shape(self, name: str, host: str, peers: tuple[str, ...], shape: Shape) -> None:
        others = peers or tuple(name for name in self._addresses if name != host)
        self._set[name] = (host, others, shape)
        self._renew(host, others)
        if shape.cut_after is not None:
            for source, target in self._inward(host, others):
                self._network.link(source, target).cut_after = shape.cut_after

    async def unshape(self, name: str) -> None:
        if name in self._set:
            host, others, shape = self._set.pop(name)
            self._renew(host, others)
            if shape.cut_after is not None:
                for source, target in self._inward(host, others):
                    self._network.link(source, target).cut_after = None

    async def shapes(self) -> Mapping[str, tuple[str, Shape]]:
        return {
            name: (host, shape)
            for name, (host, _, shape) in self._set.items()
            if not name.startswith(_OFF)
        }

    async def segment(self, name: str, host: str, peers: tuple[str, ...], most: int) -> None:
        others = peers or tuple(name for name in self._addresses if name != host)
        self._cut[name] = (host, others, most)
        self._renew_cuts()

    async def unsegment(self, name: str) -> None:
        if self._cut.pop(name, None) is not None:
            self._renew_cuts()

    async def segmented(self) -> Mapping[str, str]:
        return {name: host for name, (host, _, _) in self._cut.items()}

    async def disconnect(self, host: str) -> None:
        await self.shape(_OFF + host, host, (), Shape(drop=True))

    async def reconnect(self, host: str) -> None:
        await self.unshape(_OFF + host)

    async def is_connected(self, host: str) -> bool:
        return _OFF + host not in self._set

    def _renew_cuts(self) -> None:
        """The finest cut counts, on each link."""
        pairs = itertools.permutations(self._addresses.values(), 2)
        finest: dict[Pair, int] = dict.fromkeys(pairs, 0)
        for host, others, most in self._cut.values():
            for source, target in self._inward(host, others):
                for pair in ((source, target), (target, source)):
                    finest[pair] = min(most, finest[pair] or most)
        for pair, most in finest.items():
            self._network.link(*pair).segments = most

    def _inward(self, host: str, others: tuple[str, ...]) -> Iterator[Pair]:
        for name in others:
            yield self._addresses[name], self._addresses[host]

    def _renew(self, host: str, others: tuple[str, ...]) -> None:
        """Make the links between these what all shapes together say."""
        for source, target in self._inward(host, others):
            for pair in ((source, target), (target, source)):
                self._apply(pair)

    def _apply(self, pair: Pair) -> None:
        link, plain = self._network.link(*pair), Link()
        here = list(self._on(pair))
        link.latency = plain.latency + sum(shape.latency for _, shape in here)
        link.rate = min((s.rate for _, s in here if s.rate is not None), default=plain.rate)
        link.loss = max((shape.loss for _, shape in here), default=plain.loss)
        link.reject = next((s.reject for inward, s in here if inward and s.reject), plain.reject)
        if any(shape.drop for _, shape in here):
            link.drop = True
        elif link.drop:
            self._network.unblock(*pair)

    def _on(self, pair: Pair) -> Iterator[tuple[bool, Shape]]:
        """The shapes on a link, each with whether the link leads to the shape's host."""
        for host, others, shape in self._set.values():
            for source, target in self._inward(host, others):
                if pair in ((source, target), (target, source)):
                    yield pair == (source, target), shape
