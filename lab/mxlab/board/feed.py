"""The events of a lab as they come, for those who look: a ring of the last, running figures, and
the list of what was delivered.

Each event has a number. Who has fallen behind what is kept is told of the gap and goes on from
there; nobody holds up anybody else.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from mxlab.board.figures import Figures
from mxlab.board.mailbag import Mailbag
from mxlab.history.biography import describe
from mxlab.visible import visible
from mxlab_services.events import Event, encode

KEPT = 20_000  # events


@dataclass(frozen=True, slots=True)
class FeedItem:
    """One thing to tell: an event's JSON with the same in words as `text`, or of the lab itself.
    `number` counts all that is told since the board began."""

    number: int
    kind: str
    data: bytes


@dataclass(frozen=True, slots=True)
class FeedPart:
    """What came after a number. `missed`: so many are not kept any more."""

    missed: int
    told: tuple[FeedItem, ...]


class Feed:
    """All that is told, in order."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.mailbag = Mailbag()
        self._ring: deque[FeedItem] = deque(maxlen=KEPT)
        self._next = 1
        self._pulse: asyncio.Future[None] | None = None

    @property
    def last(self) -> int:
        """The number of what was told last; 0: nothing yet."""
        return self._next - 1

    def begin(self, run: str, nodes: tuple[str, ...]) -> None:
        """A life of the lab begins."""
        self.figures, self.mailbag = Figures(nodes), Mailbag()
        self._tell("lab.up", msgspec.json.encode({"run": run}))

    def end(self) -> None:
        """The lab went down."""
        self._tell("lab.down", b"{}")

    def broke(self, node: str, why: str) -> None:
        """A node's events cannot be read any more."""
        self._tell("lab.broken", msgspec.json.encode({"node": node, "why": why}))

    def add(self, event: Event) -> None:
        """Take the next event of its node."""
        self.figures.add(event)
        self.mailbag.add(event)
        words = msgspec.json.encode(visible(describe(event)))
        self._tell(
            event.kind, b'%s,"text":%s}' % (encode(event).rstrip().removesuffix(b"}"), words)
        )

    def after(self, number: int, most: int) -> FeedPart:
        """What was told after that number, so much at a time."""
        first = self._next - len(self._ring)
        begin = max(number + 1, first)
        skip = begin - first
        told = tuple(self._ring[n] for n in range(skip, min(skip + most, len(self._ring))))
        return FeedPart(max(0, first - number - 1), told)

    async def more(self, number: int) -> None:
        """Wait until something was told after that number."""
        while self.last <= number:
            if self._pulse is None or self._pulse.done():
                self._pulse = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._pulse)

    def _tell(self, kind: str, data: bytes) -> None:
        self._ring.append(FeedItem(self._next, kind, data))
        self._next += 1
        if self._pulse is not None and not self._pulse.done():
            self._pulse.set_result(None)

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Look now and after whatever is told, until it holds or so many real seconds are over."""
        try:
            async with asyncio.timeout(seconds):
                while not holds():
                    await self.more(self.last)
        except TimeoutError:
            return holds()
        return True
