"""What a fault does to a host: one struct per mechanism, named in a scenario by its `kind`.

Those of a node's life and of its links are declared here; those that strike inside a node stand in
`mxlab_services.faults.kinds`. How each is done, undone and confirmed stands in `mxlab.faults`.
"""

from typing import Annotated, Literal, get_args

import msgspec

from mxlab_services.faults.base import Host, Mechanism, NodeFault, Seconds
from mxlab_services.faults.kinds import AnyFault, Refuse

Share = Annotated[float, msgspec.Meta(gt=0, lt=1)]
Bytes = Annotated[int, msgspec.Meta(ge=0)]


# --- a node's life -------------------------------------------------------------------------------


class Kill(Mechanism, frozen=True, tag="kill"):
    """The node ends at once, as in a power failure, and comes back when healed."""


class Stop(Mechanism, frozen=True, tag="stop"):
    """The node stops in good order, and comes back when healed."""


class Pause(Mechanism, frozen=True, tag="pause"):
    """The node freezes: connections are accepted, nothing answers."""


# --- the network ---------------------------------------------------------------------------------


class Disconnect(Mechanism, frozen=True, tag="disconnect"):
    """The node is taken off the network; it comes back with the address that it had."""


class OnLinks(Mechanism, frozen=True, kw_only=True):
    """Base of what befalls the links between the host and `peers` (none named: all others)."""

    peers: tuple[Host, ...] = ()


class Drop(OnLinks, frozen=True, tag="drop"):
    """Packets between the host and its peers vanish, both ways: connections time out."""


class Partition(Mechanism, frozen=True, kw_only=True, tag="partition"):
    """The network falls apart between the host and these peers: as a drop, between them only."""

    peers: Annotated[tuple[Host, ...], msgspec.Meta(min_length=1)]


class Reject(OnLinks, frozen=True, kw_only=True, tag="reject"):
    """A firewall refuses the peers' new connections to the host: with a reset, or as prohibited
    (the peer sees no route to the host)."""

    how: Literal["reset", "prohibited"] = "reset"


class SlowLink(OnLinks, frozen=True, kw_only=True, tag="slow-link"):
    """Packets take so many real seconds more, each way."""

    seconds: Seconds


class Loss(OnLinks, frozen=True, kw_only=True, tag="loss"):
    """A share of the packets is lost, each way; TCP sends them again, later."""

    share: Share


class Segments(OnLinks, frozen=True, kw_only=True, tag="segments"):
    """What is sent over TCP comes in pieces of 1 to `most` bytes, cut and joined anywhere, both
    ways: no read is a line, a reply or a command."""

    most: Annotated[int, msgspec.Meta(ge=1)] = 20


class LimitRate(OnLinks, frozen=True, kw_only=True, tag="limit-rate"):
    """No more than `rate` bytes a second pass between the host and each of its peers, each way."""

    rate: Annotated[int, msgspec.Meta(gt=0)]


class CutLink(OnLinks, frozen=True, kw_only=True, tag="cut-link"):
    """The first connection that brings the host more than `after` bytes is reset, once."""

    after: Bytes


MECHANISMS: dict[str, type[Mechanism]] = {
    kind.kind: kind
    for kind in (
        Kill, Stop, Pause, Disconnect, Drop, Partition, Reject, SlowLink, Loss, LimitRate, CutLink,
        Segments, *get_args(AnyFault),
    )
}  # fmt: skip
STRIKING: frozenset[str] = frozenset(  # those of which a node tells whenever they strike
    name
    for name, kind in MECHANISMS.items()
    if issubclass(kind, NodeFault) and kind is not Refuse  # which nobody sees
)
