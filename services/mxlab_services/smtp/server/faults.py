"""What faults do to SMTP sessions: the edge asks here before it answers, and does as it is told.

Guarantee: without a fault that strikes, every answer here is "go on"; what strikes is on record.
"""

import ipaddress
import ssl

from msgspec import Struct, field

from mxlab_services.address import canonical
from mxlab_services.clock import Clock
from mxlab_services.faults.base import NodeFault, in_networks
from mxlab_services.faults.injector import ActiveFault, NodeInjector, Occasion, Wait
from mxlab_services.faults.kinds import (
    Delay,
    Greylist,
    Latency,
    LoseAck,
    ReplyWith,
    Reset,
    SlowClose,
    Tarpit,
    TlsBroken,
)
from mxlab_services.message import message_key
from mxlab_services.reply import Reply

_PREFIXES = {4: 24, 6: 64}  # what counts as one peer to a greylist (RFC 6647 §2.3)
_TRIPLETS = 100_000  # that a greylist remembers


class Instead(Struct, frozen=True):
    """In the place of a positive reply: a reply, after which the session may end, or a reset."""

    reply: str = ""
    ends: bool = False
    reset: bool = False


class Greybook:
    """What one greylist remembers: when each triplet was first seen, in lab time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first: dict[tuple[str, str, str], float] = {}

    def passes(self, fault: Greylist, peer: str, sender: str, recipient: str) -> bool:
        """Whether this try is late enough; the first one is put down."""
        if in_networks(peer, fault.exempt):
            return True
        key = (_network(peer), canonical(sender), canonical(recipient))
        now = self._clock.time()
        if key not in self._first and len(self._first) >= _TRIPLETS:
            self._first.pop(next(iter(self._first)))
        return now - self._first.setdefault(key, now) >= fault.seconds


class EdgeFaults(Struct):
    """The faults of one edge, and what some of them keep, by the fault's id."""

    injector: NodeInjector
    greybooks: dict[str, Greybook] = field(default_factory=dict)
    certificates: dict[str, ssl.SSLContext] = field(default_factory=dict)


class SessionFaults:
    """The faults as one session meets them. `at` says where it is; all else is asked there."""

    def __init__(self, faults: EdgeFaults) -> None:
        self._faults = faults
        self.injector = faults.injector
        self._peer = ""
        self._occasion = Occasion("CONNECT")

    def begin(self, peer: str) -> None:
        """The connection is there."""
        self._peer = peer
        self.at("CONNECT")

    @property
    def place(self) -> str:
        """The verb where the session is."""
        return self._occasion.place

    def at(
        self,
        verb: str,
        sender: str | None = None,
        recipients: tuple[str, ...] = (),
        content: bytes | None = None,
    ) -> None:
        """The session has come to this verb (HELO is EHLO's other name), with what is known."""
        message = message_key(content) if content is not None and self.injector else None
        place = "EHLO" if verb == "HELO" else verb
        self._occasion = Occasion(place, self._peer, sender, recipients, message)

    def instead(self) -> Instead | None:
        """What takes the place of the positive reply that the command here would get."""
        here = self._occasion
        for active in self.injector.of(ReplyWith, Reset, Greylist):
            match active.fault:
                case ReplyWith(_, verb, code, enhanced, text):
                    if verb == here.place and self.injector.strikes(active, here):
                        if not enhanced and verb not in ("CONNECT", "EHLO"):  # RFC 2034 §4
                            enhanced = f"{code // 100}.0.0"
                        reply = str(Reply(code, enhanced, text))
                        return Instead(reply, ends=code == 421 or verb == "CONNECT")
                case Reset(verb=verb):
                    if verb == here.place and self.injector.strikes(active, here):
                        return Instead(ends=True, reset=True)
                case Greylist() as fault:
                    if here.place == "RCPT" and self._greylisted(active, fault):
                        return Instead("451 4.7.1 greylisted: try again later")
        return None

    def delays(self) -> list[Wait]:
        """What delays the reply."""
        here = self._occasion
        waits: list[Wait] = []
        for active in self.injector.of(Delay, Tarpit, Latency):
            match active.fault:
                case Delay(verb=verb, seconds=seconds) if verb == here.place:
                    pass
                case Tarpit(seconds=seconds) | Latency(seconds=seconds):
                    pass
                case _:
                    continue
            if self.injector.strikes(active, here):
                waits.append((active, seconds))
        return waits

    def loses_ack(self) -> bool:
        """Whether the message, which is durable now, goes without its reply."""
        return any(self.injector.strikes(one, self._occasion) for one in self.injector.of(LoseAck))

    def lingers(self) -> list[Wait]:
        """What keeps the connection open after the reply to QUIT."""
        slow = self.injector.of(SlowClose)
        return [
            (one, one.fault.seconds) for one in slow if self.injector.strikes(one, self._occasion)
        ]

    def tls(self, context: ssl.SSLContext | None) -> ssl.SSLContext | None:
        """The context for the handshake that begins, None where it is cut."""
        for active in self.injector.of(TlsBroken):
            if self.injector.strikes(active, self._occasion):
                return self._faults.certificates.get(active.id)
        return context

    def _greylisted(self, active: ActiveFault[NodeFault], fault: Greylist) -> bool:
        here = self._occasion
        book = self._faults.greybooks.get(active.id)
        if book is None or not self.injector.meets(active, here):
            return False
        if book.passes(fault, here.peer, here.sender or "", here.recipients[0]):
            return False
        self.injector.strike(active, here)
        return True


def _network(peer: str) -> str:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    return str(ipaddress.ip_network((address, _PREFIXES[address.version]), strict=False))
