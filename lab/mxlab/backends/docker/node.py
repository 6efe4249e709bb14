"""One node of a lab as a container: its life, its events and its control interface.

Guarantee: `start` returns once the node said node.ready in this life; `stop`, `kill`, `pause` and
`resume` return once the engine shows it.
"""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from pathlib import Path

from docker import APIClient

from mxlab.backends.docker import network
from mxlab.backends.docker.archive import unpack
from mxlab.backends.docker.channel import open_channel
from mxlab.backends.docker.engine import Engine, EngineRefused
from mxlab.backends.docker.life import LivingContainer
from mxlab.backends.docker.links import Links
from mxlab.backends.docker.logs import Position, last_position, life_of, lines, read
from mxlab.backends.docker.shape import DATA, service_ports
from mxlab.backends.real.node import Launch, Output, RealNode, is_ready
from mxlab.backends.real.rpc import Channel
from mxlab.errors import NodeUnreachable
from mxlab_services.config import AnyConfig

NOT_FOUND = 404  # HTTP


class DockerNode(LivingContainer, RealNode):
    """A node of a lab. `container` is the engine's id."""

    def __init__(self, engine: Engine, container: str, config: AnyConfig) -> None:
        super().__init__(config)
        self._engine = engine
        self._container = container
        self.links: Links | None = None  # what a start has to put in force again

    @property
    def container(self) -> str:
        return self._container

    # --- its life ----------------------------------------------------------------------------

    async def begin(self) -> None:
        """Its first life, in a container made a moment ago, which has no state nor log to look at.
        Raises NodeFailed."""
        await self._get_ready(await self._launch_behind(Position()))

    async def _launch(self) -> Launch:
        return await self._launch_behind(await last_position(self._engine, self._container))

    async def _launch_behind(self, before: Position) -> Launch:
        behind = Position(before.stamp, before.repeats)  # `read` moves the one that it is given
        async with self.links.kept(self.name) if self.links else contextlib.nullcontext():
            await self._start_container()
        output = partial(read, self._engine, self._container)
        return Launch(
            is_ready(output("stdout", before, follow=True)),
            self._exit_code,
            partial(output, "stderr", behind, follow=False),
        )

    async def _exit_code(self) -> int | None:
        life = await life_of(self._engine, self._container)
        return life.exit_code if life else None

    async def _ended(self) -> None:
        await super()._ended()
        await self.let_go()

    # --- its network -------------------------------------------------------------------------

    async def disconnect(self, lab: str) -> None:
        await network.disconnect(self._engine, lab, self._container)

    async def is_connected(self, lab: str) -> bool:
        return await network.is_connected(self._engine, lab, self._container)

    # --- what it says ------------------------------------------------------------------------

    def _lines(self, output: Output, *, follow: bool) -> AsyncGenerator[str, None]:
        return lines(self._engine, self._container, output, follow=follow)

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

    async def published(self) -> Mapping[str, tuple[str, int]]:
        ports = service_ports(self._config)
        return await self._open_here({service: listed[0] for service, listed in ports.items()})
