"""One TCP connection as frames: who sent what, in order, with the numbers that TCP gives it.

Guarantee: the frames of a connection are in order of time, each acknowledged by the next ones of
the other end, unless it says that nobody was there.
"""

from typing import Literal, NamedTuple

from mxlab.packets.frames import ACK, FIN, PSH, RST, SEGMENT, SYN, Port, tcp_frame
from mxlab.packets.inside import InsideTls

Side = Literal["client", "server"]
OTHER: dict[Side, Side] = {"client": "server", "server": "client"}
STEP = 1_000  # nanoseconds between frames that happened at one recorded moment
FLIGHT = 40  # segments until they are acknowledged
_FIRST: dict[Side, int] = {
    "client": 1_000_000_000,
    "server": 2_000_000_000,
}  # sequence numbers: any will do


class Frame(NamedTuple):
    """A frame on the wire: when (nanoseconds of Unix time), from whose interface, its first bytes,
    its size, and what there is to say of it."""

    at: int
    node: str
    data: bytes
    size: int
    comments: tuple[str, ...] = ()


class End(NamedTuple):
    """One end of a connection, and the node that it is on."""

    node: str
    port: Port


class TcpStream:
    """A connection from `client` to `server`. Its frames gather in `frames`, until they are taken.

    Every method takes the moment from which on it may happen, in nanoseconds, and gives the frame
    the first one after all before.
    """

    def __init__(self, client: End, server: End) -> None:
        self._ends: dict[Side, End] = {"client": client, "server": server}
        self._next = dict(_FIRST)
        self._last = 0
        self.frames: list[Frame] = []
        self.tls: InsideTls | None = None
        self.messages = 0  # transactions that went over it
        self.over = False

    def take(self) -> list[Frame]:
        """The frames since the last time."""
        taken, self.frames = self.frames, []
        return taken

    def open(self, at: int, *comments: str) -> None:
        """The three segments of a connection that comes to be (RFC 9293 §3.5)."""
        self._segment("client", at, SYN, comments)
        self._segment("server", at, SYN | ACK)
        self._segment("client", at, ACK)

    def refused(self, at: int, *comments: str) -> None:
        """Nobody listens: the SYN is answered by a reset."""
        self._segment("client", at, SYN, comments)
        self._segment("server", at, RST | ACK)
        self.over = True

    def unanswered(self, at: int, until: int, scale: float, *comments: str) -> None:
        """The SYN, and again after 1, 3, 7 ... real seconds, as kernels do, till `until`."""
        moment, pause = at, 1.0
        while True:
            before = self._next["client"]
            self._segment("client", moment, SYN, comments)
            self._next["client"] = before
            moment, pause, comments = moment + round(pause * scale * 1e9), pause * 2, ("again",)
            if moment >= until:
                break
        self.over = True

    def send(self, side: Side, at: int, data: bytes, *comments: str) -> None:
        """Data, in as many segments as it takes, acknowledged."""
        if self.tls is not None:
            data = self.tls.wrap(side, data)
        self.raw(side, at, data, *comments)

    def raw(self, side: Side, at: int, data: bytes, *comments: str) -> None:
        """Bytes as they are on the wire."""
        for number, start in enumerate(range(0, len(data), SEGMENT)):
            piece = data[start : start + SEGMENT]
            self._segment(side, at, PSH | ACK, comments, piece)
            comments = ()
            if number % FLIGHT == FLIGHT - 1:
                self._segment(OTHER[side], at, ACK)
        self._segment(OTHER[side], at, ACK)

    def elided(self, side: Side, at: int, size: int, *comments: str) -> None:
        """So many bytes of which only that is known how many they were: segments without them."""
        for number, start in enumerate(range(0, size, SEGMENT)):
            self._segment(side, at, PSH | ACK, comments, b"", min(SEGMENT, size - start))
            comments = ()
            if number % FLIGHT == FLIGHT - 1:
                self._segment(OTHER[side], at, ACK)

    def close(self, side: Side, at: int, *comments: str, answered: bool = True) -> None:
        """One end closes in good order, and the other too where it is there to do so."""
        if self.over:
            return
        self._segment(side, at, FIN | ACK, comments)
        if answered:
            self._segment(OTHER[side], at, FIN | ACK)
            self._segment(side, at, ACK)
        self.over = True

    def reset(self, side: Side, at: int, *comments: str) -> None:
        """One end drops it at once."""
        if not self.over:
            self._segment(side, at, RST | ACK, comments)
        self.over = True

    def _segment(
        self,
        side: Side,
        at: int,
        flags: int,
        comments: tuple[str, ...] = (),
        data: bytes = b"",
        elided: int | None = None,
    ) -> None:
        source, target = self._ends[side], self._ends[OTHER[side]]
        theirs = self._next[OTHER[side]] if flags & ACK else 0
        numbers = self._next[side], theirs
        frame, size = tcp_frame(source.port, target.port, flags, numbers, data, elided)
        self._last = max(at, self._last + STEP)
        self.frames.append(Frame(self._last, source.node, frame, size, comments))
        self._next[side] += (len(data) if elided is None else elided) + bool(flags & (SYN | FIN))
