"""What befalls a node as a whole, or its links: the mechanisms outside it, and the base of all.

Only the parameters stand here; how each is done, undone and confirmed stands in `mxlab.faults`.
"""

import functools
from typing import Annotated, ClassVar, Literal

import msgspec

from mxlab.model.topology import Host

Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
RealSeconds = Annotated[float, msgspec.Meta(gt=0, le=604_800)]
Bytes = Annotated[int, msgspec.Meta(ge=0)]


_fields = functools.cache(msgspec.structs.fields)


class Mechanism(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all mechanisms. `host` is the node that it befalls; `short` names the field that a
    plain string gives."""

    kind: ClassVar[str]
    short: ClassVar[str] = "host"
    host: Host

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every node that it names."""
        return (self.host, *getattr(self, "peers", ()))

    def __str__(self) -> str:
        given = [
            f"{field.name}={getattr(self, field.name)}"
            for field in _fields(type(self))
            if field.name != "host" and getattr(self, field.name) != field.default
        ]
        return " ".join([self.kind, self.host, *given])


# --- a node's life -------------------------------------------------------------------------------


class Kill(Mechanism, frozen=True):
    """The node ends at once, as in a power failure, and comes back when healed."""

    kind = "kill"


class Stop(Mechanism, frozen=True):
    """The node stops in good order, and comes back when healed."""

    kind = "stop"


class Pause(Mechanism, frozen=True):
    """The node freezes: connections are accepted, nothing answers."""

    kind = "pause"


# --- the network ---------------------------------------------------------------------------------


class Disconnect(Mechanism, frozen=True):
    """The node is taken off the network; it comes back with the address that it had."""

    kind = "disconnect"


class OnLinks(Mechanism, frozen=True, kw_only=True):
    """Base of what befalls the links between the host and `peers` (none named: all others)."""

    peers: tuple[Host, ...] = ()


class Drop(OnLinks, frozen=True):
    """Packets between the host and its peers vanish, both ways: connections time out."""

    kind = "drop"


class Partition(Mechanism, frozen=True, kw_only=True):
    """The network falls apart between the host and these peers: as a drop, between them only."""

    kind = "partition"
    peers: Annotated[tuple[Host, ...], msgspec.Meta(min_length=1)]


class Reject(OnLinks, frozen=True, kw_only=True):
    """A firewall refuses the peers' new connections to the host: with a reset, or as prohibited
    (the peer sees no route to the host)."""

    kind = "reject"
    how: Literal["reset", "prohibited"] = "reset"


class SlowLink(OnLinks, frozen=True, kw_only=True):
    """Packets take so many real seconds more, each way."""

    kind = "slow-link"
    seconds: RealSeconds


class Loss(OnLinks, frozen=True, kw_only=True):
    """A share of the packets is lost, each way; TCP sends them again, later."""

    kind = "loss"
    share: Share


class Segments(OnLinks, frozen=True, kw_only=True):
    """What is sent over TCP comes in pieces of 1 to `most` bytes, cut and joined anywhere, both
    ways: no read is a line, a reply or a command."""

    kind = "segments"
    most: Annotated[int, msgspec.Meta(ge=1)] = 20


class LimitRate(OnLinks, frozen=True, kw_only=True):
    """No more than `rate` bytes a second pass between the host and each of its peers, each way."""

    kind = "limit-rate"
    rate: Annotated[int, msgspec.Meta(gt=0)]


class CutLink(OnLinks, frozen=True, kw_only=True):
    """The first connection that brings the host more than `after` bytes is reset, once."""

    kind = "cut-link"
    after: Bytes
