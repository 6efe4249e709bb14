"""Shapes the links of a lab of containers, by rules in the nodes' own network namespaces.

A node never has the right to do that. A short-lived helper container does it, which shares the
node's network namespace and has NET_ADMIN there and nowhere else; `nft` and `tc` are in the lab's
image.

Guarantee: a fault is on record before it is in force. The record is the helper's container itself,
with labels that say what it does; it is created before it runs, removed after the rules are, and
swept away with the lab, so that a fresh process can undo what a dead one began. A node that starts
again gets the rules of its records before it is back on the network, as its namespace is a new one.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mxlab.backends.base import Shape
from mxlab.backends.docker import network
from mxlab.backends.docker.engine import Engine, EngineRefused
from mxlab.backends.docker.make import helper_maker
from mxlab.backends.docker.nft import apply_script, remove_script, ruleset, table_name
from mxlab.backends.docker.shape import LAB, LINK, LINK_ROLE, NODE, lab_labels
from mxlab.backends.docker.sweep import (
    CONFLICT,
    Thing,
    labelled_containers,
    state_of,
    uninterrupted,
)
from mxlab.backends.docker.tc import MOST_SLOTS, limit_script, unlimit_script
from mxlab.errors import EnvironmentProblem, UsageError

SECONDS = 60  # for a helper to end: it takes a fraction of a second, but for a busy machine


class _Record(msgspec.Struct, frozen=True):
    """A fault of the links, as a helper's label has it."""

    name: str
    host: str
    peers: tuple[str, ...]
    shape: Shape
    slot: int  # see mxlab.backends.docker.tc


@dataclass(frozen=True, slots=True)
class _Helper:
    """A helper's container: what it does, and in which node's namespace."""

    id: str
    node: str
    record: _Record


class Links:
    """The links of one lab. `nodes`: the containers by node; `addresses` likewise."""

    def __init__(
        self,
        engine: Engine,
        lab: tuple[str, str],
        nodes: Mapping[str, str],
        addresses: Mapping[str, Sequence[str]],
        endpoints: Mapping[str, dict[str, str]],
    ) -> None:
        """`lab`: its name and its run. `endpoints`: see `shape.endpoint`, by node."""
        self._engine = engine
        self._lab, self._run = lab
        self._nodes = nodes
        self._addresses = addresses
        self._endpoints = endpoints

    async def shape(self, name: str, host: str, peers: tuple[str, ...], shape: Shape) -> None:
        """As CanShape.shape. Raises UsageError for a name that is taken."""
        records = {helper.record.name: helper.record for helper in await self._helpers()}
        if name in records:
            raise UsageError(f"a fault called {name!r} is set already", "`mxlab heal` it first")
        others = peers or tuple(node for node in self._addresses if node != host)
        slot = min(set(range(MOST_SLOTS)) - {record.slot for record in records.values()})
        await uninterrupted(self._put(_Record(name, host, others, shape, slot)))

    async def unshape(self, name: str) -> None:
        """As CanShape.unshape."""
        helpers = [helper for helper in await self._helpers() if helper.record.name == name]
        await uninterrupted(_all(self._lift(helper) for helper in helpers))

    async def shapes(self) -> Mapping[str, tuple[str, Shape]]:
        """As CanShape.shapes."""
        return {h.record.name: (h.record.host, h.record.shape) for h in await self._helpers()}

    @contextlib.asynccontextmanager
    async def kept(self, node: str) -> AsyncIterator[None]:
        """Around the start of a container: it is on the network once its rules hold again."""
        helpers = [helper for helper in await self._helpers() if helper.node == node]
        rules = [helper for helper in helpers if helper.record.shape.rate is None]
        container = self._nodes[node]
        if not helpers or not await network.is_connected(self._engine, self._lab, container):
            yield
            await _all(self._apply(helper) for helper in rules)
            return
        await network.disconnect(self._engine, self._lab, container)
        try:
            yield
            await _all(self._apply(helper) for helper in rules)
        finally:
            await uninterrupted(self.reconnect(node))

    async def reconnect(self, node: str) -> None:
        """Put a node back on the network, its rates limited as they were: the interface is new."""
        container, endpoint = self._nodes[node], self._endpoints[node]
        await network.reconnect(self._engine, self._lab, container, endpoint)
        limits = [h for h in await self._helpers() if h.node == node and h.record.shape.rate]
        await _all(self._apply(helper) for helper in limits)

    # --- helpers -----------------------------------------------------------------------------

    async def _put(self, record: _Record) -> None:
        scripts = {node: self._script(record, node) for node in (record.host, *record.peers)}
        helpers = await _all(
            self._create(record, node, script) for node, script in scripts.items() if script
        )
        try:
            await _all(self._apply(helper) for helper in helpers)
        except BaseException:
            await self.unshape(record.name)
            raise

    def _others(self, record: _Record, node: str) -> list[str]:
        """The addresses at the other ends of a node's links."""
        return self._at(record.peers if node == record.host else (record.host,))

    def _script(self, record: _Record, node: str) -> str:
        """What has to be done at this end of the links; empty where that is nothing."""
        others = self._others(record, node)
        if record.shape.rate is not None:
            return limit_script(record.slot, self._own(node), others, record.shape.rate)
        rules = ruleset(record.shape, others, inward=node == record.host)
        return apply_script(record.name, rules) if rules else ""

    def _unscript(self, record: _Record, node: str) -> str:
        if record.shape.rate is not None:
            return unlimit_script(record.slot, self._own(node), self._others(record, node))
        return remove_script(record.name)

    def _at(self, nodes: tuple[str, ...]) -> list[str]:
        return [address for node in nodes for address in self._addresses[node]]

    def _own(self, node: str) -> str:
        """An address that tells the node's interface."""
        return self._endpoints[node]["ipv4_address"]

    async def _create(self, record: _Record, node: str, script: str) -> _Helper:
        labels = {
            **lab_labels(self._lab, self._run, LINK_ROLE),
            LINK: msgspec.json.encode(record).decode(),
            NODE: node,
        }
        name = f"mxlab-{self._lab}-{node}-{table_name(record.name)}"
        try:
            made = await self._engine.call(
                f"create a helper for {node}", self._maker(node, script, labels, name)
            )
        except EngineRefused as error:
            if error.status != CONFLICT:
                raise
            raise UsageError(f"a fault called {record.name!r} is being set already") from error
        return _Helper(made, node, record)

    def _maker(self, node: str, script: str, labels: dict[str, str], name: str) -> Any:
        return helper_maker(
            self._nodes[node], ["sh", "-euc", script], name, labels, "NET_ADMIN", mem_limit="64m"
        )

    async def _apply(self, helper: _Helper) -> None:
        """Put its rules in force, where its node runs; a node that is down has no namespace."""
        if await self._is_up(helper.node):
            await self._run_to_its_end(helper.id, helper.node)

    async def _lift(self, helper: _Helper) -> None:
        """Take its rules away, and see that they are gone; then the record."""
        if await self._is_up(helper.node):
            labels = lab_labels(self._lab, self._run, LINK_ROLE)
            script = self._unscript(helper.record, helper.node)
            name = f"mxlab-{self._lab}-{helper.node}-un{table_name(helper.record.name)}"
            await self._remove(name)  # of somebody who was stopped in mid-work
            undo = await self._engine.call(
                f"create a helper for {helper.node}",
                self._maker(helper.node, script, labels, name),
            )
            try:
                await self._run_to_its_end(undo, helper.node)
            finally:
                await self._remove(undo)
        await self._remove(helper.id)

    async def _is_up(self, node: str) -> bool:
        container = self._nodes[node]
        found = await self._engine.call(
            f"inspect {node}", lambda api: api.inspect_container(container)
        )
        return state_of(str(found["State"]["Status"])) != "stopped"

    async def _run_to_its_end(self, helper: str, node: str) -> None:
        def work(api: Any) -> tuple[int, str]:
            api.start(helper)
            code = int(api.wait(helper, timeout=SECONDS)["StatusCode"])
            said = api.logs(helper, tail=5).decode(errors="replace").strip() if code else ""
            return code, said

        code, said = await self._engine.call(f"shape the links of {node}", work)
        if code:
            raise EnvironmentProblem(
                f"the links of {node} could not be shaped: {said or f'exit code {code}'}",
                "`mxlab doctor --faults` tells what this engine's kernel can do",
            )

    async def _remove(self, container: str) -> None:
        def work(api: Any) -> None:
            api.remove_container(container, force=True)

        try:
            await self._engine.call("remove a helper", work)
        except EngineRefused as error:
            if error.status != 404:
                raise

    async def _helpers(self) -> list[_Helper]:
        things = await labelled_containers(self._engine, f"{LAB}={self._lab}", LINK)
        return [_helper(thing) for thing in things]


def _helper(thing: Thing) -> _Helper:
    record = msgspec.json.decode(thing.labels[LINK], type=_Record)
    return _Helper(thing.id, thing.labels[NODE], record)


async def _all(works: Any) -> list[Any]:
    """Await all of them, whatever happens to one; then raise the first error there was."""
    results = await asyncio.gather(*works, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
