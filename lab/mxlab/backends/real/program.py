"""A real program of a lab, in a container or a process: a node, or what stands beside one.

Guarantee: `start` returns once it is ready in this life; what runs is left alone.
"""

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator

from mxlab.backends.base import State
from mxlab.backends.liveness import not_running
from mxlab.errors import NodeUnreachable

READY_SECONDS = 60.0  # for it to be ready
STOP_SECONDS = 10  # for it to stop in good order; then SIGKILL
LAST_LINES = 12  # of its log, told when it fails


class RealProgram(ABC):
    """What has a life that can be begun."""

    @property
    @abstractmethod
    def name(self) -> str: ...

    @abstractmethod
    async def state(self) -> State: ...

    @abstractmethod
    async def _start_stopped(self) -> None:
        """Begin a life, from stopped, and wait until it is ready. Raises NodeFailed."""
        ...

    async def start(self) -> None:
        match await self.state():
            case "running":
                return
            case "paused":
                raise not_running(self.name, "paused")
            case "stopped":
                await self._start_stopped()

    def _removed(self) -> NodeUnreachable:
        """What `state` raises where nothing is left of it."""
        return NodeUnreachable(
            f"{self.name} has been removed", "`mxlab down`, then `mxlab up` makes it anew"
        )


async def with_last_lines(problem: str, written: AsyncGenerator[str, None]) -> str:
    """`problem`, and the end of what the program wrote to its log."""
    last = [line async for line in written if line][-LAST_LINES:]
    if not last:
        return f"{problem}, and its log is empty"
    return "\n  ".join([f"{problem}; its last lines:", *last])
