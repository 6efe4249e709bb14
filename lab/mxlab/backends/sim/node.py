"""One node of a simulated lab: the unmodified services, in the life of their host, in virtual time.

Guarantee: it runs while its host has a life; a crash loses what its disk had not synced.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

from mxlab.backends.base import State
from mxlab.backends.liveness import not_running
from mxlab.backends.sim.loop import HostLife, SimLoop
from mxlab.backends.sim.network import Host, Network
from mxlab.errors import NodeFailed, NodeUnreachable, Refused
from mxlab_services.config import AnyConfig
from mxlab_services.control.requests import Begin, Erase, Request
from mxlab_services.errors import ServiceError
from mxlab_services.events import Emitter, Event, NodeErased
from mxlab_services.ids import SeededIds
from mxlab_services.node import start_node
from mxlab_services.runtime import Parts, RunningNode
from mxlab_services.storage.memory import MemoryStorage
from mxlab_services.storage.memory_disk import MemoryDisk

R = TypeVar("R")
EPOCH = 1_893_456_000.0  # lab time at the start: 2030-01-01 00:00 UTC
SYNC_SECONDS = 0.002  # what a sync of the disk takes, in virtual seconds
CONTROL_SECONDS = 5.0  # virtual seconds without an answer until a paused node counts as silent


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
        self._host: Host = network.add_host(config.node, *config.addresses)
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
        life = HostLife(self.config.node, self._loop)
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
                settings=dict(kept.settings),
            )

    async def pause(self) -> None:
        self._living().pause()

    async def resume(self) -> None:
        self._living().resume()

    def _living(self) -> HostLife:
        if self._host.life is None:
            raise not_running(self.config.node, "stopped")
        return self._host.life

    async def request(self, request: Request[R]) -> R:
        if isinstance(request, Begin):
            await self.start()
            return True  # type: ignore[return-value]
        life, running = self._host.life, self._running
        if life is None or running is None:
            raise not_running(self.config.node, "stopped")
        if isinstance(request, Erase):
            self._erase(life)
            return True  # type: ignore[return-value]
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

    def events(self, *, follow: bool = True) -> AsyncIterator[Event]:
        """Those since the node was last emptied; who follows it across that misses none."""
        return self._told(lambda: self._events, follow=follow)

    def log_lines(self, *, follow: bool) -> AsyncIterator[str]:
        return self._told(lambda: self._log, follow=follow)

    async def _told(self, now: Callable[[], list[R]], *, follow: bool) -> AsyncIterator[R]:
        told, position = now(), 0
        while True:
            while position < len(told):
                yield told[position]
                position += 1
            if told is not now():
                told, position = now(), 0
                continue
            if not follow:
                return
            self._news.clear()
            await self._news.wait()

    def write_log(self, line: str) -> None:
        self._log.append(line)
        self._news.set()

    # --- inner ------------------------------------------------------------------------------------

    def _erase(self, life: HostLife) -> None:
        self._power_off(life)
        self._disk = MemoryDisk(delay=self._sync)  # the dying life keeps the old one
        self._events = []  # who follows the old ones goes on with these
        Emitter(self.config.node, self._clock, self._events.append)(NodeErased())
        self._news.set()

    async def _sync(self) -> None:
        await asyncio.sleep(SYNC_SECONDS)

    def _hear(self, life: HostLife, event: Event) -> None:
        if not life.over:
            self._events.append(event)
            self._news.set()

    async def _inside(self, life: HostLife, work: Coroutine[Any, Any, R]) -> R:
        """Run `work` as a task of the host; the host's end is NodeUnreachable."""
        task = self._loop.create_task(work, context=life.context)
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()
            raise
        return _result(task, life)

    def _power_off(self, life: HostLife) -> None:
        self._host.life = None
        self._running = None
        self._network.power_off(self._host)
        for task in life.end():
            task.cancel()


def _result(task: "asyncio.Task[R]", life: HostLife) -> R:
    """What a task of the host came to; the host's end is NodeUnreachable."""
    if task.cancelled():
        raise NodeUnreachable(f"{life.host} went down before it answered")
    return task.result()
