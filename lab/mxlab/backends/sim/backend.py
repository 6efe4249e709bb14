"""The `sim` backend: a lab inside this process, in virtual time.

It has to run on a SimLoop; `simulate` provides one. Nothing outlives the run.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from mxlab.backends.base import (
    Found,
    Lab,
    Node,
    Order,
    Progress,
    Removal,
    Shape,
    refuse_imap,
    refuse_products,
)
from mxlab.backends.sim.guard import guarded
from mxlab.backends.sim.loop import LIFE, SimLoop
from mxlab.backends.sim.network import Network
from mxlab.backends.sim.node import EPOCH, SimClock, SimNode
from mxlab.backends.sim.shaping import Shaping
from mxlab.errors import AlreadyUp, NotUp, UnknownName
from mxlab.names import check_lab_name
from mxlab.plan.plan import AddressPlan, Plan, make_plan
from mxlab_services.config import TimeConfig

R = TypeVar("R")
SUBNET = "10.53.25.0/24"


def simulate(main: Callable[[], Coroutine[Any, Any, R]], most_turns: int | None = None) -> R:
    """Run `main` to its end on a fresh virtual-time loop, out of reach of the real world.

    Raises Deadlock when nothing can happen any more, Runaway when the loop has made `most_turns`,
    SimLeak when a service reached outside.
    """
    with guarded(), asyncio.Runner(loop_factory=SimLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, SimLoop)
        loop.most_turns = most_turns
        return runner.run(main())


class SimLab:
    """A simulated lab that is up. `network` is where network faults are set."""

    backend = "sim"

    def __init__(self, plan: Plan, order: Order, loop: SimLoop) -> None:
        self.name, self.run, self.topology = plan.lab, plan.run, plan.topology
        self.network = Network(loop, order.seed)
        self.clock = SimClock(loop, order.time.scale)
        self._nodes = {
            config.node: SimNode(config, self.clock, self.network) for config in plan.nodes
        }
        self._shaping = Shaping(self.network, {c.node: c.address for c in plan.nodes})

    @property
    def nodes(self) -> Mapping[str, SimNode]:
        return self._nodes

    def logs(self, node: str, *, follow: bool) -> AsyncIterator[str]:
        if node not in self._nodes:
            raise UnknownName("node", node, self._nodes)
        return self._nodes[node].log_lines(follow=follow)

    async def shape(self, name: str, host: str, peers: tuple[str, ...], shape: Shape) -> None:
        await self._shaping.shape(name, host, peers, shape)

    async def delay(self, name: str, host: str, peers: tuple[str, ...], seconds: float) -> None:
        await self.shape(name, host, peers, Shape(latency=seconds))

    async def unshape(self, name: str) -> None:
        await self._shaping.unshape(name)

    async def shapes(self) -> Mapping[str, tuple[str, Shape]]:
        return await self._shaping.shapes()

    async def segment(self, name: str, host: str, peers: tuple[str, ...], most: int) -> None:
        await self._shaping.segment(name, host, peers, most)

    async def unsegment(self, name: str) -> None:
        await self._shaping.unsegment(name)

    async def segmented(self) -> Mapping[str, str]:
        return await self._shaping.segmented()

    async def disconnect(self, host: str) -> None:
        await self._shaping.disconnect(host)

    async def reconnect(self, host: str) -> None:
        await self._shaping.reconnect(host)

    async def is_connected(self, host: str) -> bool:
        return await self._shaping.is_connected(host)


class SimBackend:
    """A world of labs that live in this process only."""

    name = "sim"

    def __init__(self) -> None:
        self._labs: dict[str, SimLab] = {}

    async def prepare(self, progress: Progress) -> None:
        """Nothing is needed but this process."""

    @property
    def node_type(self) -> type[Node]:
        return SimNode

    @property
    def lab_type(self) -> type[Lab]:
        return SimLab

    @asynccontextmanager
    async def deploy(
        self, order: Order, progress: Progress, *, keep: bool = False
    ) -> AsyncIterator[SimLab]:
        loop = asyncio.get_running_loop()
        if not isinstance(loop, SimLoop):
            raise TypeError("the sim backend runs on a SimLoop; see simulate()")
        check_lab_name(order.lab)
        refuse_imap(order.topology, self.name)
        refuse_products(order.topology, self)
        if order.lab in self._labs:
            raise AlreadyUp(f"a simulated lab {order.lab!r} is up", "give it another name")
        world = AddressPlan(SUBNET, time=TimeConfig(order.time.scale, EPOCH), seed=order.seed)
        lab = SimLab(
            make_plan(order.lab, order.run, order.topology, world, order.peers), order, loop
        )
        self._labs[order.lab] = lab
        with _service_logs(lab):
            try:
                progress("starting the simulated nodes")
                for node in lab.nodes.values():
                    await node.start()
                yield lab
                if loop.leaks:
                    raise loop.leaks[0]
            finally:
                if not keep:
                    await self.remove(order.lab)

    @asynccontextmanager
    async def attach(self, lab: str) -> AsyncIterator[SimLab]:
        check_lab_name(lab)
        if lab not in self._labs:
            raise NotUp(f"no simulated lab {lab!r} is up in this process")
        yield self._labs[lab]

    async def find(self) -> list[Found]:
        return [
            Found(self.name, lab.name, lab.run, {n: await v.state() for n, v in lab.nodes.items()})
            for lab in self._labs.values()
        ]

    async def remove(self, lab: str) -> Removal:
        check_lab_name(lab)
        found = self._labs.pop(lab, None)
        if found is None:
            return Removal(())
        for node in found.nodes.values():
            await node.kill()
        return Removal(tuple(("node", name) for name in found.nodes))


class _ServiceLog(logging.Handler):
    """Hands what a simulated service logs to its node."""

    def __init__(self, nodes: Mapping[str, SimNode]) -> None:
        super().__init__()
        self._nodes = nodes

    def emit(self, record: logging.LogRecord) -> None:
        life = LIFE.get()
        if life is not None and not life.over and life.host in self._nodes:
            self._nodes[life.host].write_log(f"{record.levelname}: {record.getMessage()}")


@contextlib.contextmanager
def _service_logs(lab: SimLab) -> Any:
    handler, logger = _ServiceLog(lab.nodes), logging.getLogger("mxlab_services")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
