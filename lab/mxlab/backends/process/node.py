"""One node of a lab as a local process: its life, its events and its control interface.

Guarantee: `start` returns once the node said node.ready in this life; `stop`, `kill`, `pause` and
`resume` return once the kernel shows it.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from pathlib import Path

from mxlab.backends.base import State
from mxlab.backends.liveness import not_running
from mxlab.backends.process.channel import open_channel
from mxlab.backends.process.folder import NodeFolder
from mxlab.backends.process.follow import lines
from mxlab.backends.process.inside import inside
from mxlab.backends.process.life import ProcessLife, exit_code, life_of, spawn
from mxlab.backends.real.node import Launch, Output, RealNode, is_ready
from mxlab.backends.real.program import STOP_SECONDS
from mxlab.backends.real.rpc import Channel
from mxlab.errors import EnvironmentProblem, NodeFailed, Unsupported
from mxlab_services.config import AnyConfig, DnsConfig, MtaConfig, PeerConfig


class ProcessNode(RealNode):
    """A node of a lab."""

    def __init__(self, folder: NodeFolder, config: AnyConfig, search: Sequence[str]) -> None:
        super().__init__(config)
        self._search = search
        self._folder = folder

    async def state(self) -> State:
        if not self._folder.path.is_dir():
            raise self._removed()
        life = life_of(self._folder)
        return life.state if life else "stopped"

    # --- its life ----------------------------------------------------------------------------

    async def _launch(self) -> Launch:
        events, log = (
            path.stat().st_size if path.exists() else 0
            for path in (self._folder.events, self._folder.log)
        )
        try:
            life = spawn(self._folder, dict(os.environ))
        except OSError as error:
            raise NodeFailed(f"{self.name} could not be started: {error}") from error
        return Launch(
            _ready(life, lines(self._folder.events, follow=True, offset=events)),
            partial(exit_code, life),
            partial(lines, self._folder.log, follow=False, offset=log),
        )

    async def stop(self) -> None:
        life = self._living()
        if life is None:
            return
        life.send(signal.SIGTERM)
        life.send(signal.SIGCONT)  # one that is paused would not hear it
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await life.ended()
        except TimeoutError:
            await self.kill()
        await self.let_go()

    async def kill(self) -> None:
        life = self._living()
        if life is not None:
            life.send(signal.SIGKILL)
            await life.ended()
        await self.let_go()

    async def pause(self) -> None:
        await self._signalled(signal.SIGSTOP, "paused")

    async def resume(self) -> None:
        await self._signalled(signal.SIGCONT, "running")

    async def _signalled(self, number: signal.Signals, wanted: State) -> None:
        life = self._living()
        if life is None:
            raise not_running(self.name, "stopped")
        life.send(number)
        await life.shows(wanted)

    def _living(self) -> ProcessLife | None:
        life = life_of(self._folder)
        return life if life is not None and life.state != "stopped" else None

    # --- what it says ------------------------------------------------------------------------

    def _lines(self, output: Output, *, follow: bool) -> AsyncGenerator[str, None]:
        path = self._folder.events if output == "stdout" else self._folder.log
        return lines(path, follow=follow)

    async def copy_disk(self, parts: tuple[str, ...], to: Path) -> None:
        def copy() -> None:
            for part in parts:
                if (self._folder.data / part).is_dir():
                    shutil.copytree(self._folder.data / part, to / part)

        try:
            await asyncio.to_thread(copy)
        except (OSError, shutil.Error) as error:
            raise EnvironmentProblem(f"the disk of {self.name} cannot be read: {error}") from error

    # --- its control interface ---------------------------------------------------------------

    async def _connect(self) -> Channel:
        await self._must_answer()
        return await open_channel(self.name, self._config.control)

    # --- the rest ----------------------------------------------------------------------------

    def exec_command(self, command: tuple[str, ...], *, interactive: bool) -> list[str]:
        """Run it on this machine, in the node's folder, with the lab's resolver; variables tell
        where the lab is. Raises Unsupported where the resolver cannot be the lab's.
        """
        config = self._config
        server: tuple[str, int]
        variables = {"MXLAB_NODE": config.node, "MXLAB_ADDRESS": config.address}
        match config:
            case DnsConfig():
                server = config.address, config.port
            case MtaConfig():
                server = config.dns, config.dns_port
                variables["MXLAB_SMTP_PORT"] = str(config.smtp_port)
            case PeerConfig():
                raise Unsupported(f"{config.node} is a scripted server: it has no inside")
        variables |= {"MXLAB_DNS": server[0], "MXLAB_DNS_PORT": str(server[1])}
        assignments = [f"{name}={value}" for name, value in variables.items()]
        run = inside(self._folder.path, command, server, self._search)
        return ["env", *assignments, *run]

    async def published(self) -> Mapping[str, tuple[str, int]]:
        """A local process is always reachable from here, at its own address."""
        match self._config:
            case DnsConfig(address=address, port=port):
                return {"dns": (address, port)}
            case MtaConfig(address=address, ports=ports):
                return {service: (address, port) for service, port in ports.items()}
            case PeerConfig():
                return {}


async def _ready(life: ProcessLife, output: AsyncGenerator[str, None]) -> bool:
    """True once node.ready is in the output; False when the process, or the output, ends before."""
    ready = asyncio.create_task(is_ready(output))
    ended = asyncio.create_task(life.ended(reap=False))
    try:
        await asyncio.wait([ready, ended], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (ready, ended):
            task.cancel()
        await asyncio.wait([ready, ended])
    return not ready.cancelled() and ready.result()
