"""The events of a lab as they come, for those who look: a ring of the last, what each node did
last, running figures, and the list of what was delivered.

Each event has a number. Nothing is kept for a viewer but the number up to which it was told: who
has fallen behind what is kept is told of the gap and goes on from there, and nobody holds up
anybody else.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from mxlab.board.figures import Figures
from mxlab.board.mailbag import Mailbag
from mxlab.history.biography import describe
from mxlab.visible import visible
from mxlab_services import events
from mxlab_services.events import Event, encode

KEPT = 20_000  # events at most, and of them
KEPT_BYTES = 32 << 20  # so many bytes
RECENT = 1000  # events of each node, and of all together, that can be asked for in words


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


class ToldView(msgspec.Struct, frozen=True):
    """One event in words. `number` is that in the stream of events, 0 for one that was not told
    there; `at`: lab time."""

    number: int
    at: float
    node: str
    kind: str
    text: str


class Feed:
    """All that is told, in order."""

    def __init__(self) -> None:
        self.figures = Figures()
        self.mailbag = Mailbag()
        self._ring: deque[FeedItem] = deque()
        self._bytes = 0
        self._next = 1
        self._recent: dict[str, deque[ToldView]] = {}  # by node; "": of all
        self._broken: set[str] = set()
        self._pulse: asyncio.Future[None] | None = None

    @property
    def last(self) -> int:
        """The number of what was told last; 0: nothing yet."""
        return self._next - 1

    def begin(self, run: str, nodes: tuple[str, ...]) -> None:
        """A life of the lab begins."""
        self._forget(nodes)
        self._tell("lab.up", msgspec.json.encode({"run": run}))

    def end(self) -> None:
        """The lab went down."""
        self._tell("lab.down", b"{}")

    def _forget(self, nodes: tuple[str, ...]) -> None:
        self.figures, self.mailbag = Figures(nodes), Mailbag()
        self._recent.clear()
        self._broken.clear()

    def set_back(self, nodes: tuple[str, ...], told: Sequence[Event]) -> None:
        """As if just these events had come so far: nobody is told of them one by one."""
        self._forget(nodes)
        self.skip(told)

    def skip(self, told: Sequence[Event]) -> None:
        """Take events of which nobody is told one by one."""
        for event in told:
            self.figures.add(event)
            self.mailbag.add(event)
        by_node: dict[str, list[Event]] = {}
        for event in told:
            by_node.setdefault(event.node, []).append(event)
        wanted = {id(e) for own in (told, *by_node.values()) for e in own[-RECENT:]}
        for event in told:
            if id(event) in wanted:
                self._remember(event, 0, visible(describe(event)))

    def note(self, kind: str, data: bytes) -> None:
        """Tell of something that is no node's: its kind, and JSON."""
        self._tell(kind, data)

    def recent(self, most: int, node: str = "") -> list[ToldView]:
        """What was done last, by a node or by all, the oldest first: RECENT at most."""
        return list(self._recent.get(node, ()))[-most:]

    def is_whole(self, node: str) -> bool:
        """Whether the node's events can be read."""
        return node not in self._broken

    def _remember(self, event: Event, number: int, text: str) -> None:
        view = ToldView(number, event.at, event.node, event.kind, text)
        if isinstance(event.body, events.NodeErased):  # what it told before is another story
            self._recent.pop(event.node, None)
        for name in (event.node, ""):
            self._recent.setdefault(name, deque(maxlen=RECENT)).append(view)

    def broke(self, node: str, why: str) -> None:
        """A node's events cannot be read any more."""
        self._broken.add(node)
        self._tell("lab.broken", msgspec.json.encode({"node": node, "why": why}))

    def add(self, event: Event) -> None:
        """Take the next event of its node."""
        self.figures.add(event)
        self.mailbag.add(event)
        text = visible(describe(event))
        self._remember(event, self._next, text)
        words = msgspec.json.encode(text)
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
        self._bytes += len(data)
        while len(self._ring) > KEPT or (self._bytes > KEPT_BYTES and len(self._ring) > 1):
            self._bytes -= len(self._ring.popleft().data)
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
