"""A recorded lab, as far as it can be asked: what it was at the moment to which a replay has come.

Guarantee: it answers from the recording or refuses; nothing in it can be changed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import NoReturn, TypeVar

from mxlab.backends.base import Node, State
from mxlab.board.endpoint import BoardKind
from mxlab.board.feed import Feed
from mxlab.board.moment import Moment
from mxlab.board.recorded import RecordedRun
from mxlab.errors import NodeUnreachable, Refused
from mxlab.model.topology import Topology
from mxlab.operate.nodes import node_called
from mxlab_services.clock import Clock
from mxlab_services.config import AnyConfig, DnsConfig
from mxlab_services.control.replies import Pong
from mxlab_services.control.requests import MailboxList, Ping, QueueList, Request
from mxlab_services.events import Event

R = TypeVar("R")
OVER = "this is a replay of a run that is over: nothing in it can be changed, or asked anything new"
INSTEAD = "`mxlab up` brings a lab up that can be; `mxlab board` shows it"


def refuse() -> NoReturn:
    """Raise Refused: it cannot be done in a replay."""
    raise Refused(OVER, INSTEAD)


def not_of(kind: BoardKind) -> Refused:
    """What is said to who asks for what a board of that kind has not."""
    if kind == "replay":
        return Refused(OVER, INSTEAD)
    text = "this is a lab that is up: its time is not ours to stop"
    return Refused(text, "record a run and replay it: `mxlab board RUN.jsonl`")


class ReplayNode:
    """One node of a replay. `moment`: that of now."""

    def __init__(
        self, config: AnyConfig, own: list[Event], moment: Callable[[], Moment], feed: Feed
    ) -> None:
        self.config = config
        self._own, self._moment, self._feed = own, moment, feed

    async def state(self) -> State:
        return self._moment().states.get(self.config.node, "stopped")

    async def start(self) -> None:
        refuse()

    async def stop(self) -> None:
        refuse()

    async def kill(self) -> None:
        refuse()

    async def request(self, request: Request[R]) -> R:
        """What the recording can answer. Raises Refused for all else."""
        match request:
            case Ping():
                return await self._pong()  # type: ignore[return-value]
            case QueueList(after=after, limit=limit):
                queue = self._moment().queue(self.config.node)
                page = [entry for entry in queue if entry.queue_id > after]
                return page[:limit]
            case MailboxList(address=address):
                return self._moment().mailbox(self.config.node, address)
            case _:
                refuse()

    async def _pong(self) -> Pong:
        name, moment = self.config.node, self._moment()
        if await self.state() != "running":
            raise NodeUnreachable(f"{name} does not answer")
        role = "dns" if isinstance(self.config, DnsConfig) else "mx"
        queued = len(moment.queue(name))
        return Pong(name, role, 0.0, queued, moment.software.get(name, ""))

    async def events(self, *, follow: bool = True) -> AsyncIterator[Event]:
        """Those up to now; with `follow`, later ones as the replay comes to them. What was told
        once is not told again where the replay goes back."""
        told = 0
        while True:
            last = self._feed.last
            upto = self._moment().seen[self.config.node]
            while told < upto:
                told += 1
                yield self._own[told - 1]
            if not follow:
                return
            if last == self._feed.last:
                await self._feed.more(last)


class ReplayLab:
    """The lab of a recorded run; a Lab."""

    def __init__(
        self, run: RecordedRun, clock: Clock, moment: Callable[[], Moment], feed: Feed
    ) -> None:
        result = run.result
        self.name, self.backend = result.scenario.id or "scenario", result.backend
        self.run, self.clock = result.run_id, clock
        self.topology: Topology = result.evidence.topology
        by_node: dict[str, list[Event]] = {}
        for event in run.events:
            by_node.setdefault(event.node, []).append(event)
        self.nodes: Mapping[str, Node] = {
            name: ReplayNode(config, by_node.get(name, []), moment, feed)
            for name, config in run.configs.items()
        }

    async def logs(self, node: str, *, follow: bool) -> AsyncIterator[str]:
        """None: a recording has what nodes told, not what they logged."""
        node_called(self, node)
        if follow:
            await asyncio.Event().wait()
        nothing: tuple[str, ...] = ()
        for line in nothing:
            yield line
