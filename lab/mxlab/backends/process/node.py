"""One node of a lab as a local process: its life, its events and its control interface.

Guarantee: `start` returns once the node said node.ready in this life; `stop`, `kill`, `pause` and
`resume` return once the kernel shows it.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from pathlib import Path

from mxlab.backends.base import State
from mxlab.backends.liveness import not_running
from mxlab.backends.process.channel import open_channel
from mxlab.backends.process.folder import NodeFolder
from mxlab.backends.process.follow import lines
from mxlab.backends.process.inside import inside
from mxlab.backends.process.life import Life, exit_code, life_of, spawn
from mxlab.backends.real.rpc import (
    READY_SECONDS,
    STOP_SECONDS,
    Channel,
    Conversing,
    event_of,
    with_last_lines,
)
from mxlab.errors import EnvironmentProblem, NodeFailed, NodeUnreachable
from mxlab_services.config import AnyConfig, DnsConfig, MtaConfig
from mxlab_services.events import Event, NodeReady


class ProcessNode(Conversing):
    """A node of a lab."""

    def __init__(self, folder: NodeFolder, config: AnyConfig, search: Sequence[str]) -> None:
        super().__init__(config)
        self._search = search
        self._folder = folder

    async def state(self) -> State:
        if not self._folder.path.is_dir():
            raise NodeUnreachable(
                f"{self.name} has been removed", "`mxlab down`, then `mxlab up` makes it anew"
            )
        life = life_of(self._folder)
        return life.state if life else "stopped"

    # --- its life ----------------------------------------------------------------------------

    async def start(self) -> None:
        match await self.state():
            case "running":
                return
            case "paused":
                raise not_running(self.name, "paused")
            case "stopped":
                await self._start()

    async def _start(self) -> None:
        events_before, log_before = (
            path.stat().st_size if path.exists() else 0
            for path in (self._folder.events, self._folder.log)
        )
        try:
            life = spawn(self._folder, dict(os.environ))
        except OSError as error:
            raise NodeFailed(f"{self.name} could not be started: {error}") from error
        ready = asyncio.create_task(self._ready(events_before))
        ended = asyncio.create_task(_exit(life))
        try:
            await asyncio.wait(
                [ready, ended], timeout=READY_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (ready, ended):
                task.cancel()
            await asyncio.wait([ready, ended])
        if not ready.cancelled() and ready.result():
            return
        if ended.cancelled():
            problem = f"{self.name} was not ready within {READY_SECONDS:g} s"
        else:
            code = ended.result()
            problem = f"{self.name} died while starting (exit code {code})"
        raise NodeFailed(self._with_last_lines(problem, log_before))

    async def _ready(self, offset: int) -> bool:
        """True once the node is ready; False when its output is taken away before."""
        async with aclosing(lines(self._folder.events, follow=True, offset=offset)) as output:
            async for line in output:
                event = event_of(line)
                if event is not None and isinstance(event.body, NodeReady):
                    return True
        return False

    def _with_last_lines(self, problem: str, offset: int) -> str:
        """`problem` and what the node wrote to its log behind `offset`."""
        try:
            written = self._folder.log.read_bytes()[offset:].decode("utf-8", "replace").split("\n")
        except OSError:
            return f"{problem}, and its folder is gone"
        return with_last_lines(problem, written)

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
        life = self._living()
        if life is None:
            raise not_running(self.name, "stopped")
        life.send(signal.SIGSTOP)
        await life.shows("paused")

    async def resume(self) -> None:
        life = self._living()
        if life is None:
            raise not_running(self.name, "stopped")
        life.send(signal.SIGCONT)
        await life.shows("running")

    def _living(self) -> Life | None:
        life = life_of(self._folder)
        return life if life is not None and life.state != "stopped" else None

    # --- what it says ------------------------------------------------------------------------

    async def events(self, *, follow: bool = True) -> AsyncIterator[Event]:
        async with aclosing(lines(self._folder.events, follow=follow)) as output:
            async for line in output:
                event = event_of(line)
                if event is not None:
                    yield event

    async def logs(self, *, follow: bool) -> AsyncIterator[str]:
        """What it wrote to standard error, a line each."""
        async with aclosing(lines(self._folder.log, follow=follow)) as output:
            async for line in output:
                yield line

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
        variables |= {"MXLAB_DNS": server[0], "MXLAB_DNS_PORT": str(server[1])}
        assignments = [f"{name}={value}" for name, value in variables.items()]
        run = inside(self._folder.path, command, server, self._search)
        return ["env", *assignments, *run]

    async def published(self) -> Mapping[str, tuple[str, int]]:
        """A local process is always reachable from here, at its own address."""
        match self._config:
            case DnsConfig(address=address, port=port):
                return {"dns": (address, port)}
            case MtaConfig(address=address, smtp_port=port):
                return {"smtp": (address, port)}


async def _exit(life: Life) -> int | None:
    await life.ended(reap=False)
    return exit_code(life)
