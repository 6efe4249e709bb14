"""A running lab for automated tests.

It is driven by an event loop in a thread of its own, so that plain tests and tests with a loop of
their own can use it alike.
"""

import asyncio
import itertools
import threading
import time as host
from collections.abc import Coroutine
from typing import Any, TypeVar

from mxlab.backends.base import Backend, Lab, Order
from mxlab.model.topology import Topology
from mxlab.runner.runner import silent
from mxlab.runner.watch import Watch, watching
from mxlab_services.config import TimeConfig

R = TypeVar("R")


class RunningLab:
    """A lab that is up between `start` and `stop`. Its methods wait, from any other thread."""

    def __init__(
        self,
        backend: Backend,
        name: str,
        topology: Topology | None = None,
        time_scale: float = 1.0,
    ) -> None:
        self.name = name
        self._backend = backend
        self._topology = topology or Topology()
        self._time_scale = time_scale
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._end = asyncio.Event()
        self.numbers = itertools.count(1)  # of the tests that use it
        self.watch: Watch

    def start(self) -> None:
        """Bring it up. Raises what a deployment may."""
        self._thread.start()
        up: asyncio.Future[Watch] = self._loop.create_future()
        self._life = asyncio.run_coroutine_threadsafe(self._live(up), self._loop)

        async def ready() -> Watch:
            return await up

        try:
            self.watch = self.call(ready())
        except BaseException:
            self._close()
            raise

    def stop(self) -> None:
        """Remove it. Raises EnvironmentProblem if something is left."""
        self._loop.call_soon_threadsafe(self._end.set)
        try:
            self._life.result()
        finally:
            self._close()

    def call(self, work: Coroutine[Any, Any, R]) -> R:
        """Run it on the lab's loop, and wait; an interrupt ends it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    @property
    def lab(self) -> Lab:
        return self.watch.lab

    async def _live(self, up: "asyncio.Future[Watch]") -> None:
        time = TimeConfig(self._time_scale, host.time())  # noqa: TID251 - when this lab's time begins
        order = Order(self.name, self.name, self._topology, time, publish=True)
        try:
            async with self._backend.deploy(order, silent) as lab, watching(lab) as watch:
                up.set_result(watch)
                await self._end.wait()
        except BaseException as error:
            if not up.done():
                up.set_exception(error)
                return
            raise

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()
