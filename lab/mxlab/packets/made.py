"""A whole capture from the record of a lab: one file, an interface a node, in lab time.

Each packet stands once, at the interface of the node that sent it. What the record does not have is
not invented in silence: a comment at the packet says what is made up.
"""

import heapq
from collections.abc import Callable, Generator, Iterator
from importlib.metadata import version
from typing import NamedTuple

from mxlab.history.trace import Trace
from mxlab.packets import pcapng
from mxlab.packets.addresses import LabAddresses
from mxlab.packets.dns import NameWire, exchanges, questions
from mxlab.packets.inside import TlsKeys
from mxlab.packets.remarks import FaultsTold
from mxlab.packets.smtp import conversations, untold
from mxlab.packets.stream import Frame
from mxlab.packets.telling import MailWire
from mxlab.visible import visible

_MADE = (
    "Made by mxlab from the record of a lab, not captured from a wire. Conversations and questions "
    "are as senders and name servers told of them, in lab time; TCP around them is made up, and "
    "packets say what else is. Each packet is at the interface of the node that sent it."
)


class Made(NamedTuple):
    """What a record came to. `conversations` and `questions` that are in it; `untold`: tries that
    are not, as only a log told of them; `damage`: what could not be read of the record."""

    conversations: int
    questions: int
    untold: int
    damage: str


class Capture:
    """The packets of a trace. `scale`: lab seconds in a real one; `world`: the backend's name;
    `title`: of which run or lab."""

    def __init__(self, trace: Trace, scale: float, world: str, title: str) -> None:
        self._title = title
        self._scale, self._world = scale, world
        self._addresses = LabAddresses(trace)
        self._faults = FaultsTold(trace)
        self._told = conversations(trace, scale, self._addresses)
        self._asked = exchanges(questions(trace, self._faults), scale)
        damage = "; ".join(f"{name}: {why}" for name, why in trace.damage.items())
        asked = sum(map(len, self._asked))
        self.made = Made(len(self._told), asked, untold(trace), damage)

    def blocks(self) -> Generator[bytes, None, None]:
        """The file, block by block. Costs memory for what happened at one time only."""
        yield pcapng.section(f"mxlab {version('mxlab')}", visible(self._comment()))
        numbers = {node: number for number, node in enumerate(self._addresses.nodes)}
        for node in numbers:
            yield pcapng.interface(node, f"{node}, as it told of itself")
        yield pcapng.name_resolution(self._addresses.names())
        with TlsKeys() as keys:
            for item in self._in_order(keys):
                if isinstance(item, bytes):
                    yield pcapng.tls_secrets(item)
                    continue
                if item.node not in numbers:
                    numbers[item.node] = len(numbers)
                    yield pcapng.interface(item.node, "at addresses that are no node's")
                yield pcapng.packet(
                    numbers[item.node], item.at, item.data, item.size, map(visible, item.comments)
                )

    def _in_order(self, keys: TlsKeys) -> Iterator[Frame | bytes]:
        """All frames by time, and keys before what they open."""
        waiting: list[tuple[int, int, Frame]] = []
        count = 0
        for begin, frames in self._jobs(keys):
            while waiting and waiting[0][0] < begin:
                yield heapq.heappop(waiting)[2]
            for frame in frames():
                count += 1
                heapq.heappush(waiting, (frame.at, count, frame))
            if fresh := keys.fresh():
                yield fresh
        while waiting:
            yield heapq.heappop(waiting)[2]

    def _jobs(self, keys: TlsKeys) -> Iterator[tuple[int, Callable[[], list[Frame]]]]:
        """What is to be told, by its beginning in nanoseconds."""
        mail = MailWire(
            self._addresses, self._faults, keys, self._scale, abort=self._world == "sim"
        )
        names = NameWire(self._addresses, self._faults, self._scale)
        talks = [
            (round(told.begin * 1e9), lambda told=told: mail.frames(told)) for told in self._told
        ]
        asked = [
            (round(group[0].at * 1e9), lambda group=group: names.frames(group))
            for group in self._asked
        ]
        return heapq.merge(asked, talks, key=lambda job: job[0])

    def _comment(self) -> str:
        text = f"{_MADE} Of {self._title}."
        if self.made.untold:
            text += f" Not in it: {self.made.untold} tries that only a product's log told of."
        if self.made.damage:
            text += f" The record is damaged, so something may be missing: {self.made.damage}."
        return text
