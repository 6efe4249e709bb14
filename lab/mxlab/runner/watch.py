"""Follows the nodes' event streams into one trace, and lets others wait for what it will say.

Nothing here polls: a wait is woken by the next event, or by its deadline in lab time.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from mxlab.backends.base import Lab, Node
from mxlab.errors import LabError
from mxlab.history.trace import LAB, Trace
from mxlab_services.control.requests import Stats
from mxlab_services.events import KINDS, Body, Emitter, Event

STREAM_LAG = 5.0  # real seconds that a stream may lag behind its node in the end


class Watch:
    """The trace of a lab that is up, as it grows."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.trace = Trace()
        self._version = 0
        self._pulse: asyncio.Future[None] | None = None
        self._emit = Emitter(LAB, lab.clock, self._add)

    def emit(self, body: Body, message: str | None = None) -> None:
        """Write an event of the runner's own into the trace."""
        self._emit(body, message)

    def wake(self) -> None:
        """Make all that wait look again."""
        self._version += 1
        if self._pulse is not None and not self._pulse.done():
            self._pulse.set_result(None)

    @property
    def version(self) -> int:
        """Grows with each event."""
        return self._version

    async def changed_since(self, version: int) -> None:
        """Wait for an event after that version."""
        while self._version == version:
            await self.changed()

    async def changed(self) -> None:
        """Wait for the next event."""
        if self._pulse is None or self._pulse.done():
            self._pulse = asyncio.get_running_loop().create_future()
        await asyncio.shield(self._pulse)

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float) -> bool:
        """Ask `holds` now and after each event, until it says yes or `seconds` of lab time have
        passed; then ask once more. False if it never said yes."""
        try:
            async with asyncio.timeout(self.lab.clock.real(seconds)):
                while True:
                    version = self._version
                    if await holds():
                        return True
                    if version == self._version:  # else something came while it was asked
                        await self.changed()
        except TimeoutError:
            return await holds()

    async def finish(self) -> None:
        """Take in what the nodes have written and the streams have not brought yet.

        A node that answers says how many events it has emitted; what does not come stands in
        `trace.damage`.
        """
        for name, node in self.lab.nodes.items():
            try:
                await self._catch_up(name, node)
            except (LabError, ValueError) as error:
                self.trace.damage.setdefault(name, str(error))

    async def _catch_up(self, name: str, node: Node) -> None:
        if await node.state() == "running":
            counts = await node.request(Stats())
            emitted = sum(counts.get(kind, 0) for kind in KINDS)

            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STREAM_LAG):
                    while self.trace.emitted(name) < emitted and name not in self.trace.damage:
                        await self.changed()
            if (seen := self.trace.emitted(name)) < emitted:
                problem = f"{emitted} events were written, {seen} were read"
                self.trace.damage.setdefault(name, problem)

    async def follow(self, name: str, node: Node) -> None:
        """Take events until cancelled. A stream that breaks is noted, and ends."""
        stream = node.events(follow=True)
        try:
            async for event in stream:
                self._add(event)
            self.trace.damage.setdefault(name, "the event stream ended while the lab was up")
        except (LabError, ValueError) as error:
            self.trace.damage.setdefault(name, f"the event stream broke: {error}")
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()
        self.wake()

    def _add(self, event: Event) -> None:
        self.trace.add(event)
        self.wake()


@asynccontextmanager
async def watching(lab: Lab) -> AsyncIterator[Watch]:
    """Follow every node of `lab` until the end of the block."""
    watch = Watch(lab)
    tasks = [
        asyncio.create_task(watch.follow(name, node), name=f"events of {name}")
        for name, node in lab.nodes.items()
    ]
    try:
        yield watch
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
