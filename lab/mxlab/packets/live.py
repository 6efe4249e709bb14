"""A capture of real packets: what went over the wire of a lab while somebody listened.

What was seen is kept in memory until listening ends, within its bounds, and then written in order
of time: helpers tell of their packets one by one, and not in the same order.
"""

import asyncio
from collections.abc import Callable, Generator
from importlib.metadata import version

from mxlab.backends.base import CanSniff, Lab, WirePacket
from mxlab.errors import Unsupported
from mxlab.packets import pcapng
from mxlab.visible import visible

_MADE = (
    "Captured by mxlab from the wire of a lab: real packets, in the time of the machine that it "
    "runs on. Each stands once, at the node that sent it where that one was listened at. Checksums "
    "may be wrong where a kernel leaves them to hardware that is not there."
)


class LiveCapture:
    """The packets that were seen. `full`: it ended since there were enough of them; `interrupted`:
    somebody ended it; `lost`: how many the kernel could not keep."""

    def __init__(self, lab: Lab, nodes: tuple[str, ...]) -> None:
        self.nodes = nodes
        self.packets: list[WirePacket] = []
        self.lost = 0
        self.full = self.interrupted = False
        self._title = f"lab {lab.name}, run {lab.run}"
        self._scale = next(iter(lab.nodes.values())).config.time.scale
        self._names = {
            address: list(dict.fromkeys((getattr(node.config, "hostname", name), name)))
            for name, node in lab.nodes.items()
            for address in node.config.addresses
        }

    def blocks(self) -> Generator[bytes, None, None]:
        """The file, block by block."""
        yield pcapng.section(f"mxlab {version('mxlab')}", visible(self._comment()))
        for node in self.nodes:
            yield pcapng.interface(node, f"{node}, on its wire")
        yield pcapng.name_resolution(self._names)
        numbers = {node: number for number, node in enumerate(self.nodes)}
        for one in sorted(self.packets, key=lambda packet: packet.at):
            number = numbers[one.node]
            yield pcapng.packet(number, one.at, one.data, one.size, outbound=one.outbound)

    def _comment(self) -> str:
        text = f"{_MADE} Of {self._title}."
        if self._scale != 1:
            text += f" Lab time goes {self._scale:g} times as fast."
        if self.lost:
            text += f" {self.lost} packets came too fast and are missing."
        return text


async def listen(
    lab: Lab, nodes: tuple[str, ...], seconds: float, most: int, begun: Callable[[], None]
) -> LiveCapture:
    """Listen for so many real seconds, until there are `most` bytes, or until the task is
    cancelled: then what was seen so far is the answer. `begun` is called once all is seen.

    Raises Unsupported in a world that has no wire of its own.
    """
    if not isinstance(lab, CanSniff):
        raise Unsupported(
            f"a lab of the {lab.backend} backend has no wire of its own: its packets go over this "
            "machine's loopback, with everybody's",
            "without --live, `mxlab capture` makes packets from the record; or use Docker",
        )
    found, ready = LiveCapture(lab, nodes), False
    try:
        async with lab.sniff(nodes, seconds, most) as seen:
            begun()
            ready, room = True, most
            async for one in seen:
                found.packets.append(one)
                room -= len(one.data)
                if room <= 0:
                    found.full = True
                    break
            found.lost = seen.lost
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if not ready or task is None:
            raise
        task.uncancel()
        found.interrupted = True
    return found
