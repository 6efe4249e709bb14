"""The life of a container on an engine: its state, how it is begun, ended, frozen and thawed; what
is published of it, and commands inside.

Guarantee: `stop`, `kill`, `pause` and `resume` return once the engine shows it.
"""

from collections.abc import Callable, Mapping

from docker import APIClient

from mxlab.backends.base import State
from mxlab.backends.docker.engine import Engine, EngineRefused
from mxlab.backends.docker.logs import life_of
from mxlab.backends.liveness import not_running
from mxlab.backends.real.program import STOP_SECONDS, RealProgram
from mxlab.errors import NodeFailed, NodeUnreachable


class LivingContainer(RealProgram):
    """Of a node, or of what stands beside one. It has `_engine` and `_container`, the engine's id
    for it."""

    _engine: Engine
    _container: str

    async def state(self) -> State:
        life = await life_of(self._engine, self._container)
        if life is None:
            raise self._removed()
        return life.state

    async def _start_container(self) -> None:
        """Raises NodeFailed where the engine does not start it."""
        try:
            await self._engine.call(f"start {self.name}", lambda api: api.start(self._container))
        except EngineRefused as error:
            raise _not_started(error, self._container) from error

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

    async def _open_here(self, services: Mapping[str, str]) -> dict[str, tuple[str, int]]:
        """Service -> address and port here, of those (service -> the container's port, `53/udp`)
        that are published; whether it runs or not."""
        found = await self._engine.call(
            f"inspect {self.name}", lambda api: api.inspect_container(self._container)
        )
        bindings = found["HostConfig"]["PortBindings"] or {}
        return {
            service: (str(binding["HostIp"]), int(binding["HostPort"]))
            for service, port in services.items()
            for binding in bindings.get(port) or ()
        }

    def exec_command(self, command: tuple[str, ...], *, interactive: bool) -> list[str]:
        flags = "-it" if interactive else "-i"
        return [
            "docker", *self._engine.endpoint.arguments, "exec", flags, self._container, *command,
        ]  # fmt: skip


def _not_started(error: EngineRefused, container: str) -> NodeFailed:
    """Why the engine did not start it; where a port is taken that was to be published, that too."""
    words = error.explanation.lower()
    if "already allocated" in words or "address already in use" in words:
        hint = "another program took that port: end it (`ss -ltnup` names it), and try again"
        return NodeFailed(str(error), hint)
    return NodeFailed(str(error), f"`docker inspect {container[:12]}`")
