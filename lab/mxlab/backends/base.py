"""What every world can do (Backend, Lab, Node), and what only some can (the Can... protocols).

Orchestration stands above this seam and is written once. Everything is asynchronous; every
failure is a LabError.

Long: the whole seam on one page, protocols nearly without code; who adds a backend reads this only.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeVar, runtime_checkable

from mxlab.errors import Unsupported
from mxlab.model.software import OURS, SOFTWARE
from mxlab.model.topology import Topology
from mxlab_services.clock import Clock
from mxlab_services.config import AnyConfig, TimeConfig
from mxlab_services.control.requests import Request
from mxlab_services.events import Event

R = TypeVar("R")
State = Literal["running", "paused", "stopped"]
Progress = Callable[[str], None]  # told, in a few words, what is being done now


@dataclass(frozen=True, slots=True)
class Order:
    """What to bring up. `run` is unique to this run; `publish` opens SMTP and DNS on 127.0.0.1.
    Of the exchanges, `peers` are scripted servers (see `PeerScript`)."""

    lab: str
    run: str
    topology: Topology = field(default_factory=Topology)
    time: TimeConfig = field(default_factory=TimeConfig)
    seed: int = 0
    publish: bool = False
    peers: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Found:
    """A lab, or what is left of one, as discovered. `nodes` maps a name to its state."""

    backend: str
    lab: str
    run: str
    nodes: Mapping[str, State]


@dataclass(frozen=True, slots=True)
class Removal:
    """What `remove` took away, by kind (container, network, volume, process, folder)."""

    items: tuple[tuple[str, str], ...]


class Node(Protocol):
    """One node. `start`, `stop` and `kill` return when the world shows that it is so."""

    @property
    def config(self) -> AnyConfig: ...

    async def state(self) -> State: ...

    async def start(self) -> None:
        """Start a stopped node and wait until it is ready.

        Raises NodeFailed with its last lines.
        """
        ...

    async def stop(self) -> None:
        """Ask the node to stop in good order (SIGTERM), and see that it did."""
        ...

    async def kill(self) -> None:
        """End the node at once, as a power failure would (SIGKILL)."""
        ...

    async def request(self, request: Request[R]) -> R:
        """Put a request to the node's control interface.

        Raises Refused when the node says no, NodeUnreachable when it does not answer.
        """
        ...

    def events(self, *, follow: bool = True) -> AsyncIterator[Event]:
        """The node's events since the lab came up, across restarts, in the order written.

        With `follow`, go on with new ones until the iterator is closed; without, end where the
        node's output ends now.
        """
        ...


@runtime_checkable
class CanPause(Protocol):
    """The node can be frozen: its kernel accepts connections, nothing answers."""

    async def pause(self) -> None: ...

    async def resume(self) -> None: ...


@runtime_checkable
class CanCopyDisk(Protocol):
    """What a node has on its disk can be had from outside, also when it is down."""

    async def copy_disk(self, parts: tuple[str, ...], to: Path) -> None:
        """Copy these folders of the node's data, those that are there, into the folder `to`.

        Whole only of a stopped node. Nothing is changed where the node keeps it.
        """
        ...


@runtime_checkable
class CanExec(Protocol):
    """A command can be run inside the node, as the user at the terminal would."""

    def exec_command(self, command: tuple[str, ...], *, interactive: bool) -> list[str]:
        """The argument vector of a local program that does it."""
        ...


@runtime_checkable
class CanPublish(Protocol):
    """The node may be reachable from this machine, where the order asked for it."""

    async def published(self) -> Mapping[str, tuple[str, int]]:
        """Service (smtp, submission, submissions, dns) -> address and port here; empty where
        nothing is published."""
        ...


@runtime_checkable
class TellsEngine(Protocol):
    """A backend whose labs stand on a program of other people's, which has a version."""

    async def engine_version(self) -> str:
        """Its name and version. Raises NoEngine."""
        ...


class ImapServer(Protocol):
    """A server of IMAP and POP3 beside the nodes: other people's program, which shows the mailboxes
    of `primary` to mail programs. `start`, `stop` and `kill` are as a node's."""

    @property
    def name(self) -> str: ...

    @property
    def primary(self) -> str: ...

    @property
    def address(self) -> str: ...

    async def state(self) -> State: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def kill(self) -> None: ...

    async def published(self) -> Mapping[str, tuple[str, int]]:
        """As `CanPublish` has it: imap and pop3, and with certificates imaps and pop3s."""
        ...

    def logs(self, *, follow: bool) -> AsyncIterator[str]:
        """Its log since the lab came up, across restarts, a line each."""
        ...

    def exec_command(self, command: tuple[str, ...], *, interactive: bool) -> list[str]:
        """As `CanExec` has it."""
        ...


@runtime_checkable
class HasImap(Protocol):
    """A lab whose mailboxes can be read with a mail program, where its topology says so."""

    @property
    def imap(self) -> Mapping[str, ImapServer]:
        """By name."""
        ...


def refuse_imap(topology: Topology, backend: str) -> None:
    """Raise Unsupported where the topology wants IMAP servers. For backends that have none."""
    if topology.imap:
        raise Unsupported(
            f"IMAP and POP3 are Dovecot's, in a container: the {backend} backend has none",
            "use `--backend docker`; `mxlab mailbox` reads the mailboxes in every world",
        )


@runtime_checkable
class RunsProducts(Protocol):
    """A backend whose nodes may be other people's mail servers, too."""

    @property
    def products(self) -> tuple[str, ...]:
        """Which, as a topology's `software` names them."""
        ...


def refuse_products(topology: Topology, backend: "Backend") -> None:
    """Raise Unsupported where the topology wants a mail server that the backend has not."""
    wanted = {host: software for host, software in topology.software.items() if software != OURS}
    has = backend.products if wanted and isinstance(backend, RunsProducts) else ()
    for host, software in wanted.items():
        if software not in has:
            title, where = SOFTWARE[software].title, backend.name
            raise Unsupported(
                f"{host} is to be {title}, which runs in a container: the {where} backend has none",
                f"use `--backend docker`; or leave {host} to mxlab's own mail server",
            )


class Lab(Protocol):
    """A lab that is up."""

    @property
    def name(self) -> str: ...

    @property
    def backend(self) -> str: ...

    @property
    def run(self) -> str:
        """What tells this life of the lab from every other."""
        ...

    @property
    def clock(self) -> Clock:
        """Lab time, as the nodes have it."""
        ...

    @property
    def topology(self) -> Topology: ...

    @property
    def nodes(self) -> Mapping[str, Node]:
        """By name, in the topology's order."""
        ...

    def logs(self, node: str, *, follow: bool) -> AsyncIterator[str]:
        """What the node wrote to standard error: its log, a line each. Raises UnknownName."""
        ...


class Backend(Protocol):
    """A world. Made without contact to it; every method may raise NoEngine."""

    @property
    def name(self) -> str: ...

    async def prepare(self, progress: Progress) -> None:
        """Make ready what every lab needs, and see that one can be had on this machine.

        Raises EnvironmentProblem, with the reason.
        """
        ...

    def deploy(
        self, order: Order, progress: Progress, *, keep: bool = False
    ) -> AbstractAsyncContextManager[Lab]:
        """Bring a lab up, all nodes ready, and remove it on leaving (not with `keep`).

        When it fails or is cancelled on the way, whatever this call created is removed first.
        Raises AlreadyUp, NoImage, SubnetClash, NodeFailed.
        """
        ...

    def attach(self, lab: str) -> AbstractAsyncContextManager[Lab]:
        """A lab that is up already; leaving only lets go of it. Raises NotUp."""
        ...

    async def find(self) -> list[Found]:
        """All labs of this world on this machine, whole or in part."""
        ...

    async def remove(self, lab: str) -> Removal:
        """Remove all that bears the lab's label. Idempotent; says what it removed.

        Raises EnvironmentProblem when something would not go, after trying everything.
        """
        ...


@runtime_checkable
class HasNodeType(Protocol):
    """A backend that can say before anything starts what its nodes can do: they are all of
    `node_type`, whose Can... protocols are what is probed."""

    @property
    def node_type(self) -> type[Node]: ...


@runtime_checkable
class HasLabType(Protocol):
    """Likewise for what its labs can do as a whole."""

    @property
    def lab_type(self) -> type[Lab]: ...


@dataclass(frozen=True, slots=True)
class Shape:
    """What happens on the links between a host and its peers. Real seconds, a share, bytes.

    `drop`: packets vanish both ways. `reject`: the peers' new connections to the host are refused.
    `rate`: so many bytes a second pass between the host and a peer, each way. `cut_after`: the
    first connection that brings the host more than so many bytes is reset.
    """

    drop: bool = False
    reject: Literal["", "reset", "prohibited"] = ""
    latency: float = 0.0
    loss: float = 0.0
    rate: int | None = None
    cut_after: int | None = None

    def __str__(self) -> str:
        """The faults that it stands for, as one would set them."""
        words = {
            "drop": self.drop,
            f"reject how={self.reject}": self.reject,
            f"slow-link seconds={self.latency:g}": self.latency,
            f"loss share={self.loss:g}": self.loss,
            f"limit-rate rate={self.rate}": self.rate is not None,
            f"cut-link after={self.cut_after}": self.cut_after is not None,
        }
        return ", ".join(word for word, holds in words.items() if holds)


@runtime_checkable
class CanShape(Protocol):
    """A lab whose links can be shaped. Shapes under several names add up."""

    async def shape(self, name: str, host: str, peers: tuple[str, ...], shape: Shape) -> None:
        """Shape the links between `host` and `peers` (none: all others), in force on return."""
        ...

    async def unshape(self, name: str) -> None:
        """Undo it; nothing where there is no shape of that name."""
        ...

    async def shapes(self) -> Mapping[str, tuple[str, Shape]]:
        """What is in force: name -> host and shape."""
        ...


@runtime_checkable
class CanDelay(CanShape, Protocol):
    """A lab whose links can be made slow, too."""

    async def delay(self, name: str, host: str, peers: tuple[str, ...], seconds: float) -> None:
        """Packets between `host` and `peers` take so many real seconds more, until `unshape`."""
        ...


@dataclass(frozen=True, slots=True)
class WirePacket:
    """A packet as it was on the wire: at which node, when (nanoseconds of this machine's Unix
    time), whether it left there or came in, its size, and its bytes."""

    node: str
    at: int
    outbound: bool
    size: int
    data: bytes


class WirePackets(Protocol):
    """The packets of a wire as they come. `lost`: how many went by unseen, at the end."""

    lost: int

    def __aiter__(self) -> AsyncIterator[WirePacket]: ...


@runtime_checkable
class CanSniff(Protocol):
    """A lab whose packets can be seen as they are, where somebody asks for it."""

    def sniff(
        self, nodes: tuple[str, ...], seconds: float, most: int
    ) -> AbstractAsyncContextManager[WirePackets]:
        """See what leaves these nodes, and what comes in from others: each packet once, for so many
        real seconds, and at each node about so many bytes. Entered once all of it is seen; nothing
        of it is left on leaving. Raises NodeUnreachable for one that is down."""
        ...


@runtime_checkable
class CanSegment(Protocol):
    """A lab that can say where TCP cuts and joins its byte streams."""

    async def segment(self, name: str, host: str, peers: tuple[str, ...], most: int) -> None:
        """From now on, what goes either way between `host` and `peers` (none: all others) comes in
        pieces of 1 to `most` bytes. Of several on a link the finest counts."""
        ...

    async def unsegment(self, name: str) -> None:
        """Undo it; nothing where there is none of that name."""
        ...

    async def segmented(self) -> Mapping[str, str]:
        """What is in force: name -> host."""
        ...


@runtime_checkable
class CanDisconnect(Protocol):
    """A lab whose nodes can be taken off its network, and put back with their addresses."""

    async def disconnect(self, host: str) -> None: ...

    async def reconnect(self, host: str) -> None: ...

    async def is_connected(self, host: str) -> bool: ...
