"""A lab that is served: it may go down and come up again while somebody looks at it.

Guarantee: what is kept is bounded, however much mail passes and however slowly it is read.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager

from mxlab.backends.base import Lab, Node
from mxlab.backends.real.remains import source_of
from mxlab.board.desk import Desk
from mxlab.board.endpoint import BoardKind
from mxlab.board.feed import Feed
from mxlab.board.mailbag import MessageView
from mxlab.board.terminals import Terminals
from mxlab.errors import LabError, NotUp, Refused, UnknownName, Unsupported
from mxlab.faults.open import OpenFault, open_faults
from mxlab.history.trace import Trace
from mxlab.operate.nodes import node_called
from mxlab.runner.now import Inspection, inspect, read_trace
from mxlab_services.control.requests import MailboxRead

LOOK = 1.0  # real seconds between two looks whether the lab is up
Attach = Callable[[], AbstractAsyncContextManager[Lab]]


class Board:
    """The lab of that name, whenever it is up. `attach` opens it; raises NotUp where it is not.
    `desk`: of the student at it; without one no exercise can be done here. `terminals`: where it
    has any."""

    kind: BoardKind = "lab"

    def __init__(
        self,
        name: str,
        attach: Attach,
        desk: Desk | None = None,
        terminals: Terminals | None = None,
    ) -> None:
        self.name, self.terminals = name, terminals
        self.feed = Feed()
        self._attach = attach
        self._lab: Lab | None = None
        self._changed = asyncio.Event()
        self._desk = desk
        self._is_aside, self._woken = False, asyncio.Event()

    @property
    def desk(self) -> Desk:
        """Raises Unsupported where no exercise can be done on this board."""
        if self._desk is None:
            raise Unsupported("no exercise can be done on this board", "`mxlab board` has a desk")
        return self._desk

    @property
    def is_up(self) -> bool:
        return self._lab is not None

    @property
    def lab(self) -> Lab:
        """The lab. Raises NotUp while it is down."""
        if self._lab is None:
            raise NotUp(f"the lab {self.name!r} is down", "`mxlab up` brings one up")
        return self._lab

    def node(self, name: str) -> Node:
        """A node of the lab. Raises NotUp, UnknownName."""
        return node_called(self.lab, name)

    async def faults(self) -> list[OpenFault]:
        """What is broken now. Raises NodeUnreachable where a running node is silent."""
        return await open_faults(self.lab)

    async def trace(self) -> Trace:
        """All that happened so far, or since the lab was reset."""
        return await read_trace(self.lab)

    async def inspected(self, checks: Sequence[str]) -> Inspection:
        """All that happened so far, judged. Raises UnknownName."""
        return await inspect(self.lab, checks)

    async def content(self, one: MessageView) -> bytes:
        """A delivered message whole. Raises UnknownName where a reader deleted it meanwhile."""
        async with source_of(self.node(one.node), self.lab.clock, "mailboxes") as source:
            try:
                return await source.request(MailboxRead(one.mailbox, one.name))
            except Refused as error:
                self.feed.mailbag.remove(one.id)
                raise UnknownName("message", one.id, ()) from error

    async def until_up(self, seconds: float) -> bool:
        """Wait for the lab, so many real seconds at most. False if it did not come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._lab is None:
                    self._changed.clear()
                    await self._changed.wait()
        return self._lab is not None

    async def live(self) -> None:
        """Look for the lab and follow it, life after life, until cancelled."""
        while True:
            if not self._is_aside:
                with contextlib.suppress(LabError):
                    async with self._attach() as lab:
                        await self._one_life(lab)
            await self._moment()

    @contextlib.asynccontextmanager
    async def aside(self) -> AsyncIterator[None]:
        """A block in which the lab is taken down and brought up: nobody looks at half of one."""
        self._is_aside = True
        self._woken.set()
        try:
            while self._lab is not None:
                self._changed.clear()
                await self._changed.wait()
            yield
        finally:
            self._is_aside = False
            self._woken.set()

    async def _moment(self) -> None:
        """Until it is time to look again."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK):
                await self._woken.wait()
        self._woken.clear()

    async def _one_life(self, lab: Lab) -> None:
        async with self._followed(lab):
            while await self._same_life(lab):
                await self._moment()

    async def _same_life(self, lab: Lab) -> bool:
        """Whether this life of the lab goes on."""
        if self._is_aside:
            return False
        try:
            async with self._attach() as now:
                return now.run == lab.run
        except LabError:
            return False

    @contextlib.asynccontextmanager
    async def _followed(self, lab: Lab) -> AsyncIterator[None]:
        self.feed.begin(lab.run, tuple(lab.nodes))
        self._lab = lab
        self._changed.set()
        tasks = [asyncio.create_task(self._follow(node)) for node in lab.nodes.values()]
        try:
            yield
        finally:
            self._lab = None
            self._changed.set()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.feed.end()

    async def _follow(self, node: Node) -> None:
        try:
            async for event in node.events(follow=True):
                self.feed.add(event)
        except (LabError, ValueError) as error:
            self.feed.broke(node.config.node, str(error))
