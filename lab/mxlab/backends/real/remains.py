"""What a node that is down had in its queue and its mailboxes: read from a copy of its disk."""

import contextlib
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mxlab.backends.base import CanCopyDisk, Node
from mxlab.errors import EnvironmentProblem, Refused
from mxlab_services.clock import Clock
from mxlab_services.config import AnyConfig, MtaConfig
from mxlab_services.control.requests import Request
from mxlab_services.control.rpc import Controls
from mxlab_services.errors import ServiceError, SpoolError

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Source:
    """Answers requests to a node: the node itself, or what it left. `ended`: when it told its last
    event (lab time), where it is down; None where it runs, or never told any."""

    node: Node
    left: Controls | None = None
    ended: float | None = None

    @property
    def config(self) -> AnyConfig:
        return self.node.config

    @property
    def is_down(self) -> bool:
        return self.left is not None

    async def request(self, request: Request[R]) -> R:
        """The reply. Raises as a node's `request` does; Refused for what only a node can do."""
        if self.left is None:
            return await self.node.request(request)
        try:
            return await self.left(request)
        except ServiceError as error:
            raise Refused(f"{self.config.node}: {error}") from error


@contextlib.asynccontextmanager
async def source_of(node: Node, clock: Clock, *parts: str) -> AsyncIterator[Source]:
    """The node, or, where it is stopped, these parts of its disk (see `roles.remains`)."""
    config = node.config
    if (
        not isinstance(node, CanCopyDisk)
        or not isinstance(config, MtaConfig)
        or await node.state() != "stopped"
    ):
        yield Source(node)
        return
    from mxlab_services.roles.remains import remains

    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mxlab-")))
        await node.copy_disk(parts, folder)
        if await node.state() != "stopped":  # it came back, and what was copied may be torn
            yield Source(node)
            return
        try:
            left = await stack.enter_async_context(remains(folder, clock, config))
        except SpoolError as error:
            raise EnvironmentProblem(
                f"{node.config.node} is stopped, and its disk cannot be read: {error}"
            ) from error
        yield Source(node, left, await _last_word(node))


async def _last_word(node: Node) -> float | None:
    at = None
    async with aclosing(node.events(follow=False)) as stream:  # type: ignore[type-var]
        async for event in stream:
            at = event.at
    return at
