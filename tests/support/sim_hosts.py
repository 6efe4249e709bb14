"""Two hosts on a simulated network."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from mxlab.backends.sim.loop import HostLife, SimLoop
from mxlab.backends.sim.network import Network

A, B = "10.0.0.1", "10.0.0.2"


class World:
    """Two hosts on one network."""

    def __init__(self, seed: int = 1) -> None:
        self.loop = SimLoop()
        self.network = Network(self.loop, seed)
        self.hosts = {
            name: self.network.add_host(name, address) for name, address in (("a", A), ("b", B))
        }
        for name in self.hosts:
            self.boot(name)

    def boot(self, name: str) -> None:
        self.hosts[name].life = HostLife(name, self.loop)

    def on(self, name: str, work: Callable[[], Awaitable[Any]]) -> asyncio.Task[Any]:
        life = self.hosts[name].life
        assert life is not None

        async def run() -> Any:
            return await work()

        return self.loop.create_task(run(), context=life.context)

    def run(self, main: Callable[[], Awaitable[Any]]) -> Any:
        async def outer() -> Any:
            return await main()

        try:
            return self.loop.run_until_complete(outer())
        finally:
            self.close()

    def close(self) -> None:
        """End every host, let what is left be cancelled, and close the loop."""
        for host in self.hosts.values():
            if host.life is not None:
                self.network.power_off(host)
                host.life.end()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        if left:
            self.loop.run_until_complete(asyncio.wait(left))
        self.loop.close()
