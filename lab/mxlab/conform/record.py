"""What the server under test told the scripted peers: conversations and transactions, as they come.

Guarantee: nothing is missed between a look and a wait; a wait ends when something happens, or when
its time is up.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from mxlab.backends.base import Node
from mxlab_services.control.peers import PeerEvent, PeerRead

R = TypeVar("R")
PATIENCE = 20.0  # real seconds of one question to a peer


@dataclass
class Visit:
    """One connection to a peer. `lines` are the commands, without their ends; `early`: whether
    something came before the reply to MAIL that it should have waited for; `cut`: whether the peer
    closed it by its script."""

    peer: str
    at: float
    lines: list[str] = field(default_factory=list)
    early: bool = False
    cut: bool = False
    closed: bool = False


@dataclass
class Handover:
    """One transaction with a peer: MAIL and RCPT as they stand, the replies to them (codes), and
    what came after 354. `at`: lab time of MAIL. `dot`: the code said to the final dot."""

    conversation: Visit
    at: float
    mail: str
    rcpts: list[str] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    content: bytes | None = None
    dot: str = ""

    @property
    def peer(self) -> str:
        return self.conversation.peer

    @property
    def taken(self) -> bool:
        return self.dot.startswith("2")

    def has(self, word: str) -> bool:
        """Whether the word stands in the envelope or in the content."""
        lines = (self.mail, *self.rcpts)
        return any(word in line for line in lines) or word.encode() in (self.content or b"")

    @property
    def plain(self) -> bytes:
        """The content, its dots unstuffed."""
        content = b"\r\n" + (self.content or b"")
        return content.replace(b"\r\n.", b"\r\n")[2:]


class PeerLog:
    """All of it, from all peers. `pace`: real seconds for each of those that bound a wait."""

    def __init__(self, pace: float = 1.0) -> None:
        self._pace = pace
        self.conversations: list[Visit] = []
        self.handovers: list[Handover] = []
        self._open: dict[tuple[str, int], Visit] = {}
        self._current: dict[tuple[str, int], Handover] = {}
        self._stage: dict[tuple[str, int], str] = {}
        self._news = asyncio.Condition()

    @asynccontextmanager
    async def following(self, peers: Mapping[str, Node]) -> AsyncIterator[None]:
        """Follow these peers. An error of one of them comes out here."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._follow(name, node)) for name, node in peers.items()]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()

    async def _follow(self, name: str, node: Node) -> None:
        after = 0
        while True:
            found = await node.request(PeerRead(after, PATIENCE))
            for event in found:
                self.add(name, event)
                after = event.number
            if found:
                async with self._news:
                    self._news.notify_all()

    async def until(self, look: Callable[[], R], seconds: float) -> R:
        """The first look that finds something; the last one when the time (real) is up."""
        try:
            async with asyncio.timeout(seconds * self._pace), self._news:
                while not (found := look()):
                    await self._news.wait()
                return found
        except TimeoutError:
            return look()

    def add(self, peer: str, event: PeerEvent) -> None:
        """Take in one event; those of a peer come in their order."""
        key = (peer, event.session)
        if event.word == "open":
            self._open[key] = Visit(peer, event.at)
            self.conversations.append(self._open[key])
            return
        now, handover = self._open[key], self._current.get(key)
        match event.word:
            case "line":
                self._line(key, now, event)
            case "early":
                now.early = True
            case "content" if handover is not None:
                handover.content = event.text.encode("latin-1")
                self._stage[key] = "DOT"
            case "reply" if handover is not None:
                self._reply(self._stage.get(key, ""), handover, event.text[:3])
            case "cut":
                now.cut = True
            case "close":
                now.closed = True
            case _:
                pass  # a reply to what is no transaction

    def _line(self, key: tuple[str, int], now: Visit, event: PeerEvent) -> None:
        line = event.text.rstrip("\r\n").encode("latin-1").decode("utf-8", "replace")
        now.lines.append(line)
        self._stage[key] = line.split(" ", 1)[0].upper()
        if self._stage[key] == "MAIL":
            self._current[key] = Handover(now, event.at, line)
            self.handovers.append(self._current[key])
        elif self._stage[key] == "RCPT" and key in self._current:
            self._current[key].rcpts.append(line)

    @staticmethod
    def _reply(stage: str, handover: Handover, code: str) -> None:
        if stage == "DOT":
            handover.dot = code
        elif stage == "RCPT":
            handover.codes.append(code)

    # --- looking ----------------------------------------------------------------------------------

    def with_word(self, word: str, *, at: str | None = None) -> list[Handover]:
        """The transactions in which a word stands (at one peer), in their order; no bounces."""
        return [
            one
            for one in self.handovers
            if one.has(word) and "<>" not in one.mail and at in (None, one.peer)
        ]

    def taken(self, word: str, *, at: str | None = None) -> list[Handover]:
        """Those that were taken by the peer."""
        return [one for one in self.with_word(word, at=at) if one.taken]

    def reports(self, sender: str) -> list[Handover]:
        """What was told to that sender: mail to the address."""
        return [
            one
            for one in self.handovers
            if one.taken and any(f"<{sender}>" in line for line in one.rcpts)
        ]


def spacing(attempts: Sequence[Handover]) -> list[float]:
    """Lab seconds between one attempt and the next."""
    return [round(later.at - earlier.at, 1) for earlier, later in itertools.pairwise(attempts)]
