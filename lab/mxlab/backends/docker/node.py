"""One node of a lab as a container: its life, its events and its control interface.

Guarantee: `start` returns once the node said node.ready in this life; `stop`, `kill`, `pause` and
`resume` return once the engine shows it.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from functools import partial
from pathlib import Path

from docker import APIClient

from mxlab.backends.base import State
from mxlab.backends.docker import network
from mxlab.backends.docker.archive import unpack
from mxlab.backends.docker.channel import open_channel
from mxlab.backends.docker.engine import Engine, EngineRefused
from mxlab.backends.docker.links import Links
from mxlab.backends.docker.logs import Position, last_position, life_of, lines, read
from mxlab.backends.docker.shape import DATA, service_ports
from mxlab.backends.liveness import not_running
from mxlab.backends.real.rpc import (
    READY_SECONDS,
    STOP_SECONDS,
    Channel,
    Conversing,
    event_of,
    with_last_lines,
)
from mxlab.errors import NodeFailed, NodeUnreachable
from mxlab_services.config import AnyConfig
from mxlab_services.events import Event, NodeReady

NOT_FOUND = 404  # HTTP


class DockerNode(Conversing):
    """A node of a lab. `container` is the engine's id."""

    def __init__(self, engine: Engine, container: str, config: AnyConfig) -> None:
        super().__init__(config)
        self._engine = engine
        self._container = container
        self.links: Links | None = None  # what a start has to put in force again

    @property
    def container(self) -> str:
        return self._container

    async def state(self) -> State:
        life = await life_of(self._engine, self._container)
        if life is None:
            raise NodeUnreachable(
                f"{self.name} has been removed", "`mxlab down`, then `mxlab up` makes it anew"
            )
        return life.state

    # --- its life ----------------------------------------------------------------------------

    async def start(self) -> None:
        match await self.state():
            case "running":
                return
            case "paused":
                raise not_running(self.name, "paused")
            case "stopped":
                before = await last_position(self._engine, self._container)
                async with self.links.kept(self.name) if self.links else contextlib.nullcontext():
                    await self._launch()
                await self._get_ready(before)

    async def first_start(self) -> None:
        """Start the container and wait for node.ready. Raises NodeFailed."""
        await self._launch()
        await self._get_ready(Position())

    async def _launch(self) -> None:
        try:
            await self._engine.call(f"start {self.name}", lambda api: api.start(self._container))
        except EngineRefused as error:
            raise NodeFailed(str(error), f"`docker inspect {self._container[:12]}`") from error

    async def _get_ready(self, before: Position) -> None:
        """Wait for node.ready behind `before`. Raises NodeFailed."""
        complaints = Position(before.stamp, before.repeats)
        try:
            async with asyncio.timeout(READY_SECONDS):
                ready = await self._ready(before)
        except TimeoutError:
            problem = f"{self.name} was not ready within {READY_SECONDS:g} s"
        else:
            if ready:
                return
            life = await life_of(self._engine, self._container)
            code = life.exit_code if life else "unknown"
            problem = f"{self.name} died while starting (exit code {code})"
        raise NodeFailed(await self._with_last_lines(problem, complaints))

    async def _ready(self, position: Position) -> bool:
        """True once the node is ready; False when its output ends before."""
        async with aclosing(
            read(self._engine, self._container, "stdout", position, follow=True)
        ) as output:
            async for line in output:
                event = event_of(line)
                if event is not None and isinstance(event.body, NodeReady):
                    return True
        return False

    async def _with_last_lines(self, problem: str, position: Position) -> str:
        """`problem` and what the node wrote to its log behind `position`."""
        written = [
            line
            async for line in read(self._engine, self._container, "stderr", position, follow=False)
        ]
        return with_last_lines(problem, written)

    async def stop(self) -> None:
        await self._act("stop", lambda api: api.stop(self._container, timeout=STOP_SECONDS))
        await self._ended()

    async def kill(self) -> None:
        try:
            await self._act("kill", lambda api: api.kill(self._container, "SIGKILL"))
        except NodeUnreachable:
            if await self.state() != "stopped":
                raise
        await self._ended()

    async def pause(self) -> None:
        if await self._living() != "paused":
            await self._act("pause", lambda api: api.pause(self._container))
        await self._must_be("paused")

    async def resume(self) -> None:
        if await self._living() == "paused":
            await self._act("resume", lambda api: api.unpause(self._container))
        await self._must_be("running")

    async def _living(self) -> State:
        """Its state. Raises NodeUnreachable where it is stopped."""
        if (seen := await self.state()) == "stopped":
            raise not_running(self.name, seen)
        return seen

    async def _ended(self) -> None:
        await self._act("wait for", lambda api: api.wait(self._container, condition="not-running"))
        await self._must_be("stopped")
        await self.let_go()

    async def _must_be(self, wanted: State) -> None:
        seen = await self.state()
        if seen != wanted:
            raise NodeUnreachable(f"{self.name} should be {wanted} and is {seen}")

    async def _act(self, verb: str, function: Callable[[APIClient], object]) -> None:
        try:
            await self._engine.call(f"{verb} {self.name}", function)
        except EngineRefused as error:
            if await self.state() == "stopped":  # it ended meanwhile
                raise not_running(self.name, "stopped") from None
            raise NodeUnreachable(str(error), "see `mxlab status`") from error

    # --- its network -------------------------------------------------------------------------

    async def disconnect(self, lab: str) -> None:
        await network.disconnect(self._engine, lab, self._container)

    async def is_connected(self, lab: str) -> bool:
        return await network.is_connected(self._engine, lab, self._container)

    # --- what it says ------------------------------------------------------------------------

    async def events(self, *, follow: bool = True) -> AsyncIterator[Event]:
        async with aclosing(
            lines(self._engine, self._container, "stdout", follow=follow)
        ) as output:
            async for line in output:
                event = event_of(line)
                if event is not None:
                    yield event

    async def logs(self, *, follow: bool) -> AsyncIterator[str]:
        """What it wrote to standard error, a line each."""
        async with aclosing(
            lines(self._engine, self._container, "stderr", follow=follow)
        ) as output:
            async for line in output:
                yield line

    async def copy_disk(self, parts: tuple[str, ...], to: Path) -> None:
        for part in parts:
            try:
                await self._engine.call(
                    f"copy {part} from {self.name}", partial(self._copy, part, to)
                )
            except EngineRefused as error:
                if error.status != NOT_FOUND:
                    raise

    def _copy(self, part: str, to: Path, api: APIClient) -> None:
        stream, _ = api.get_archive(self._container, f"{DATA}/{part}")
        unpack(stream, to)

    # --- its control interface ---------------------------------------------------------------

    async def _connect(self) -> Channel:
        try:
            return await open_channel(
                self._engine, self._container, self.name, self._config.control
            )
        except EngineRefused as error:
            raise NodeUnreachable(str(error)) from error

    # --- the rest ----------------------------------------------------------------------------

    def exec_command(self, command: tuple[str, ...], *, interactive: bool) -> list[str]:
        flags = "-it" if interactive else "-i"
        return [
            "docker", *self._engine.endpoint.arguments, "exec", flags, self._container, *command,
        ]  # fmt: skip

    async def published(self) -> Mapping[str, tuple[str, int]]:
        found = await self._engine.call(
            f"inspect {self.name}", lambda api: api.inspect_container(self._container)
        )
        bindings = found["HostConfig"]["PortBindings"] or {}  # whether it runs or not
        published = {}
        for service, ports in service_ports(self._config).items():
            for binding in bindings.get(ports[0]) or ():
                published[service] = (str(binding["HostIp"]), int(binding["HostPort"]))
        return published
