"""Real packets of a lab of containers, on request only.

A node never has the right to see them. A helper container does, which shares the node's network
namespace, has NET_RAW there and nothing else, and sends on what it sees. The kernel's packet
sockets are enough for that: no tool is needed in the image.

Guarantee: no helper outlives its use. Each ends by itself after its time, is removed by the engine
when it ends and by us when we leave, and bears the lab's label, so that `mxlab down` finds it.
"""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from docker import APIClient

from mxlab.backends.base import WirePacket
from mxlab.backends.docker.engine import Engine, EngineRefused
from mxlab.backends.docker.make import helper_maker
from mxlab.backends.docker.shape import NODE, SNIFF_ROLE, lab_labels
from mxlab.backends.docker.streams import Stream
from mxlab.backends.docker.sweep import CONFLICT, GONE, uninterrupted
from mxlab.errors import EnvironmentProblem, NodeUnreachable

_RECORD = struct.Struct(">QBII")  # time, what it is, size of the packet, bytes of it that follow
_READY, _ALIVE, _OUT, _IN, _END = range(5)
READY_SECONDS = 30.0

# Each packet once: where it leaves a node, or where it comes in from one that nobody watches.
_HELPER = """
import select, socket, struct, sys, time
seconds, most = float(sys.argv[1]), int(sys.argv[2])
watched = {bytes.fromhex(mac.replace(":", "")) for mac in sys.argv[3:]}
record, out = struct.Struct(">QBII"), sys.stdout.buffer
sniffer = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
sniffer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
sniffer.setsockopt(socket.SOL_SOCKET, 35, 1)  # SO_TIMESTAMPNS
def say(at, kind, size=0, data=b""):
    out.write(record.pack(at, kind, size, len(data)) + data)
    out.flush()
say(0, 0)
end, sent = time.monotonic() + seconds, 0
while (left := end - time.monotonic()) > 0 and sent < most:
    if not select.select([sniffer], [], [], min(left, 5.0))[0]:
        say(0, 1)
        continue
    data, more, _, place = sniffer.recvmsg(65536, 64)
    outward = place[2] == socket.PACKET_OUTGOING
    if not outward and (place[0] == "lo" or data[6:12] in watched):
        continue
    stamps = [struct.unpack("qq", value) for _, kind, value in more if kind == 35]
    at = stamps[0][0] * 10**9 + stamps[0][1] if stamps else time.time_ns()
    say(at, 2 if outward else 3, len(data), data)
    sent += len(data)
say(0, 4, struct.unpack("II", sniffer.getsockopt(263, 6, 8))[1])  # PACKET_STATISTICS: lost
"""


class Sniffed:
    """What the helpers see, as it comes: iterate over it. `lost`: packets that came faster than the
    kernel could keep them; known of a helper once it has ended."""

    def __init__(self, helpers: int) -> None:
        self.lost = 0
        self._left = helpers
        self._unready = helpers
        self._ready = asyncio.Event()
        self._news: asyncio.Queue[WirePacket | BaseException | None] = asyncio.Queue()

    def ready(self) -> None:
        """One more of them listens."""
        self._unready -= 1
        if not self._unready:
            self._ready.set()

    def put(self, news: WirePacket | BaseException | None) -> None:
        """A packet; what went wrong; or that one of them has ended."""
        self._news.put_nowait(news)
        if isinstance(news, BaseException):
            self._ready.set()

    async def all_ready(self) -> None:
        """Returns once all of them listen, or something went wrong."""
        await self._ready.wait()

    def __aiter__(self) -> "Sniffed":
        return self

    async def __anext__(self) -> WirePacket:
        while self._left:
            match await self._news.get():
                case None:
                    self._left -= 1
                case BaseException() as error:
                    raise error
                case packet:
                    return packet
        raise StopAsyncIteration


class Sniffer:
    """Sees what goes over the network of a lab. `nodes`: the containers by node."""

    def __init__(self, engine: Engine, lab: tuple[str, str], nodes: Mapping[str, str]) -> None:
        """`lab`: its name and its run."""
        self._engine = engine
        self._lab, self._run = lab
        self._nodes = nodes

    @contextlib.asynccontextmanager
    async def sniff(
        self, nodes: tuple[str, ...], seconds: float, most: int
    ) -> AsyncIterator[Sniffed]:
        """As CanSniff.sniff."""
        macs = {name: await self._mac(name) for name in nodes}
        async with contextlib.AsyncExitStack() as stack:
            tasks, sniffed = list[asyncio.Task[None]](), Sniffed(len(nodes))
            for name in nodes:
                others = [mac for other, mac in macs.items() if other != name]
                command = [str(seconds), str(most), *others]
                stream = await stack.enter_async_context(self._helper(name, command))
                tasks.append(asyncio.create_task(_listen(name, stream, sniffed)))
            stack.push_async_callback(_end, tasks)
            try:
                async with asyncio.timeout(READY_SECONDS):
                    await sniffed.all_ready()
            except TimeoutError as error:
                raise EnvironmentProblem(
                    f"no helper began to listen within {READY_SECONDS:g} s", "see `docker ps`"
                ) from error
            yield sniffed

    @contextlib.asynccontextmanager
    async def _helper(self, node: str, command: list[str]) -> AsyncIterator[Stream[Any]]:
        """A helper that listens at a node, and its output; gone on leaving."""
        name = f"mxlab-{self._lab}-{node}-sniff"
        await self._remove(name)  # of somebody who was stopped in mid-work
        made = await self._create(node, name, command)
        try:
            async with self._engine.stream(
                f"listen at {node}", lambda api: api.attach(made, stdout=True, stream=True)
            ) as stream:
                await self._engine.call(f"listen at {node}", lambda api: api.start(made))
                yield stream
        finally:
            await uninterrupted(self._remove(made))

    async def _create(self, node: str, name: str, command: list[str]) -> str:
        labels = {**lab_labels(self._lab, self._run, SNIFF_ROLE), NODE: node}
        work = helper_maker(
            self._nodes[node], ["python3", "-S", "-P", "-c", _HELPER, *command], name, labels,
            "NET_RAW", mem_limit="128m", auto_remove=True, log_config={"Type": "none"},
        )  # fmt: skip
        return await self._engine.call(f"listen at {node}", work)

    async def _mac(self, node: str) -> str:
        """The hardware address of a node. Raises NodeUnreachable where it is on no network."""
        container = self._nodes[node]
        found = await self._engine.call(
            f"inspect {node}", lambda api: api.inspect_container(container)
        )
        networks = (found["NetworkSettings"]["Networks"] or {}).values()
        macs = [str(network.get("MacAddress") or "") for network in networks]
        if not found["State"]["Running"] or not any(macs):
            raise NodeUnreachable(
                f"{node} is not on the network: there is nothing to see at it",
                f"`mxlab start {node}`, or leave it out with --node",
            )
        return next(filter(None, macs))

    async def _remove(self, container: str) -> None:
        def work(api: APIClient) -> None:
            api.remove_container(container, force=True)

        def gone(api: APIClient) -> None:
            api.wait(container, timeout=30, condition="removed")

        for attempt in (work, gone):
            try:
                await self._engine.call("remove a helper", attempt)
                return
            except EngineRefused as error:
                if error.status == GONE:
                    return
                if error.status != CONFLICT:  # the engine removes it right now
                    raise


async def _listen(node: str, stream: Stream[Any], sniffed: Sniffed) -> None:
    """Pass on what one helper sees, and at last that it has ended, or why."""
    reader, ended = _SniffedRecords(), False
    try:
        async for piece in stream:
            for at, kind, size, data in reader.records(bytes(piece)):
                if kind == _READY:
                    sniffed.ready()
                elif kind == _END:
                    ended = True
                    sniffed.lost += size
                elif kind in (_OUT, _IN):
                    sniffed.put(WirePacket(node, at, kind == _OUT, size, data))
    except BaseException as error:
        sniffed.put(error)
        raise
    if not ended:
        why = f"what listens at {node} ended early: the node was stopped, or its kernel has no way"
        sniffed.put(EnvironmentProblem(why, "see `mxlab status`"))
        return
    sniffed.put(None)


class _SniffedRecords:
    """Cuts a stream of bytes into records."""

    def __init__(self) -> None:
        self._left = b""

    def records(self, piece: bytes) -> Iterator[tuple[int, int, int, bytes]]:
        self._left += piece
        begin = 0
        while len(self._left) - begin >= _RECORD.size:
            at, kind, size, length = _RECORD.unpack_from(self._left, begin)
            end = begin + _RECORD.size + length
            if len(self._left) < end:
                break
            yield at, kind, size, self._left[begin + _RECORD.size : end]
            begin = end
        self._left = self._left[begin:]


async def _end(tasks: list["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
