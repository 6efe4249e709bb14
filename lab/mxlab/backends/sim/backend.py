"""The `sim` backend: a lab inside this process, in virtual time.

It has to run on a SimLoop; `simulate` provides one. Nodes are the unmodified services, started in
the context of their host; a crash loses what their disk had not synced. Nothing outlives the run.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from mxlab.backends.base import Found, Lab, Node, Order, Progress, Removed, Shape, State
from mxlab.backends.liveness import not_running
from mxlab.backends.sim.guard import guarded
from mxlab.backends.sim.loop import LIFE, Life, SimLoop
from mxlab.backends.sim.network import Host, Network
from mxlab.backends.sim.shaping import Shaping
from mxlab.errors import AlreadyUp, NodeFailed, NodeUnreachable, NotUp, Refused, UnknownName
from mxlab.names import check_lab_name
from mxlab.plan.plan import Plan, World, make_plan
from mxlab_services.config import AnyConfig, TimeConfig
from mxlab_services.control.requests import Request
from mxlab_services.errors import ServiceError
from mxlab_services.events import Emitter, Event
from mxlab_services.ids import SeededIds
from mxlab_services.node import start_node
from mxlab_services.runtime import Parts, RunningNode
from mxlab_services.storage.memory import MemoryStorage
from mxlab_services.storage.memory_disk import MemoryDisk

R = TypeVar("R")
EPOCH = 1_893_456_000.0  # lab time at the start: 2030-01-01 00:00 UTC
SUBNET = "10.53.25.0/24"
SYNC_SECONDS = 0.002  # what a sync of the disk takes, in virtual seconds
CONTROL_SECONDS = 5.0  # virtual seconds without an answer until a paused node counts as silent
log = logging.getLogger(__name__)


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


class SimClock:
    """Lab time in the simulation: `scale` lab seconds pass in a virtual one."""

    def __init__(self, loop: SimLoop, scale: float) -> None:
        self._loop, self._scale = loop, scale

    def time(self) -> float:
        return EPOCH + self._loop.time() * self._scale

    def real(self, seconds: float) -> float:
        return seconds / self._scale

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, self.real(seconds)))


class SimNode:
    """One node. It is running while its host has a life."""

    def __init__(self, config: AnyConfig, clock: SimClock, network: Network) -> None:
        self.config = config
        self._clock = clock
        self._network = network
        self._loop = network.loop
        self._host: Host = network.add_host(config.node, config.address)
        self._disk = MemoryDisk(delay=self._sync)
        self._lives = 0
        self._running: RunningNode | None = None
        self._events: list[Event] = []
        self._log: list[str] = []
        self._news = asyncio.Event()

    async def state(self) -> State:
        life = self._host.life
        if life is None:
            return "stopped"
        return "paused" if life.paused else "running"

    async def start(self) -> None:
        if self._host.life is not None:
            if self._host.life.paused:
                raise not_running(self.config.node, "paused")
            return
        life = Life(self.config.node, self._loop)
        self._host.life = life
        self._lives += 1
        ids = SeededIds(
            self._clock, random.Random(f"{self.config.seed}/{self.config.node}/disk/{self._lives}")
        )
        emit = Emitter(self.config.node, self._clock, lambda event: self._hear(life, event))
        parts = Parts(self._clock, emit, MemoryStorage(self._disk, self._clock, ids))
        try:
            self._running = await self._inside(life, start_node(self.config, parts))
        except Exception as error:
            self._power_off(life)
            raise NodeFailed(f"{self.config.node} did not start: {error}") from error

    async def stop(self) -> None:
        life, running = self._host.life, self._running
        if life is None or running is None:
            return
        life.resume()
        await self._inside(life, running.stop("asked to stop"))
        self._power_off(life)

    async def kill(self) -> None:
        life = self._host.life
        if life is not None:
            self._power_off(life)
            self._disk.crash()
            # What the dying life may still write goes to a disk that nobody reads.
            kept = self._disk
            self._disk = MemoryDisk(
                dict(kept.messages),
                {address: list(stored) for address, stored in kept.mailboxes.items()},
                list(kept.record),
                kept.full,
                kept.read_only,
                self._sync,
            )

    async def pause(self) -> None:
        self._living().pause()

    async def resume(self) -> None:
        self._living().resume()

    def _living(self) -> Life:
        if self._host.life is None:
            raise not_running(self.config.node, "stopped")
        return self._host.life

    async def request(self, request: Request[R]) -> R:
        life, running = self._host.life, self._running
        if life is None or running is None:
            raise not_running(self.config.node, "stopped")
        task = self._loop.create_task(running.controls(request), context=life.context)
        try:
            while not (await asyncio.wait([task], timeout=CONTROL_SECONDS))[0]:
                if life.paused:
                    raise not_running(self.config.node, "paused")
            return _result(task, life)
        except ServiceError as error:
            raise Refused(str(error)) from error
        finally:
            task.cancel()

    async def events(self, *, follow: bool = True) -> AsyncIterator[Event]:
        position = 0
        while True:
            while position < len(self._events):
                yield self._events[position]
                position += 1
            if not follow:
                return
            self._news.clear()
            await self._news.wait()

    async def log_lines(self, *, follow: bool) -> AsyncIterator[str]:
        position = 0
        while True:
            while position < len(self._log):
                yield self._log[position]
                position += 1
            if not follow:
                return
            self._news.clear()
            await self._news.wait()

    def write_log(self, line: str) -> None:
        self._log.append(line)
        self._news.set()

    # --- inner ------------------------------------------------------------------------------------

    async def _sync(self) -> None:
        await asyncio.sleep(SYNC_SECONDS)

    def _hear(self, life: Life, event: Event) -> None:
        if not life.over:
            self._events.append(event)
            self._news.set()

    async def _inside(self, life: Life, work: Coroutine[Any, Any, R]) -> R:
        """Run `work` as a task of the host; the host's end is NodeUnreachable."""
        task = self._loop.create_task(work, context=life.context)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise
        return _result(task, life)

    def _power_off(self, life: Life) -> None:
        self._host.life = None
        self._running = None
        self._network.power_off(self._host)
        for task in life.end():
            task.cancel()


def _result(task: "asyncio.Task[R]", life: Life) -> R:
    """What a task of the host came to; the host's end is NodeUnreachable."""
    if task.cancelled():
        raise NodeUnreachable(f"{life.host} went down before it answered")
    return task.result()


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

    async def logs(self, node: str, *, follow: bool) -> AsyncIterator[str]:
        if node not in self._nodes:
            raise UnknownName("node", node, self._nodes)
        async for line in self._nodes[node].log_lines(follow=follow):
            yield line

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
        if order.lab in self._labs:
            raise AlreadyUp(f"a simulated lab {order.lab!r} is up", "give it another name")
        world = World(SUBNET, time=TimeConfig(order.time.scale, EPOCH), seed=order.seed)
        lab = SimLab(make_plan(order.lab, order.run, order.topology, world), order, loop)
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

    async def remove(self, lab: str) -> Removed:
        check_lab_name(lab)
        found = self._labs.pop(lab, None)
        if found is None:
            return Removed(())
        for node in found.nodes.values():
            await node.kill()
        return Removed(tuple(("node", name) for name in found.nodes))


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
