"""The control requests about faults, and what is answered to them."""

import msgspec

from mxlab_services.control.requests import Request
from mxlab_services.faults.kinds import AnyFault

Pem = tuple[str, str]
"""A certificate, and its key."""


class FaultState(msgspec.Struct, frozen=True):
    """A fault that is set: on how many occasions it fitted so far, and how often it struck.

    What `refuse` keeps out never reaches the node: it counts nothing.
    """

    id: str
    fault: AnyFault
    met: int = 0
    struck: int = 0


class FaultSet(Request[FaultState], frozen=True):
    """Set a fault under an id of the caller's choice; answered once the fault is in force.

    To set the same again under the same id changes nothing. Faults end with the node's life. Peers
    are told by their addresses. `pem` is for a TLS that breaks by its certificate.
    """

    method = "fault.set"
    reply = FaultState
    id: str
    fault: AnyFault
    pem: Pem | None = None


class FaultClear(Request[list[str]], frozen=True):
    """Clear the fault with this id, or `all`; answered, with their ids, once all is as before."""

    method = "fault.clear"
    reply = list[str]
    id: str | None = None
    all: bool = False


class FaultList(Request[list[FaultState]], frozen=True):
    """The faults that are set, in the order in which they were."""

    method = "fault.list"
    reply = list[FaultState]
