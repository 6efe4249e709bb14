"""The faults by name: what each needs of a world, and which injector does it.

`CATALOGUE` holds all; `FAULTS` those that take nothing but a host and end or freeze it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mxlab.backends.base import CanDelay, CanDisconnect, CanPause, CanSegment, CanShape, Shape
from mxlab.errors import UnknownName
from mxlab.faults.injectors import (
    DelayInjector,
    Injector,
    InsideInjector,
    LifeInjector,
    LinkInjector,
    NetworkInjector,
    StreamInjector,
    kill,
    pause,
    stop,
)
from mxlab.model.mechanism import (
    MECHANISMS,
    CutLink,
    Disconnect,
    Drop,
    Kill,
    LimitRate,
    Loss,
    Partition,
    Pause,
    Reject,
    Segments,
    SlowLink,
    Stop,
)
from mxlab_services.faults.base import Mechanism, NodeFault


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One fault. `of_node` and `of_lab` are the capabilities that it needs, None where all have
    what it takes."""

    mechanism: type[Mechanism]
    injector: Injector
    of_node: type | None = None
    of_lab: type | None = None

    @property
    def name(self) -> str:
        return self.mechanism.kind

    @property
    def summary(self) -> str:
        """What it does, in a sentence."""
        return " ".join((self.mechanism.__doc__ or "").split())

    @property
    def ends_with_life(self) -> bool:
        """Whether a restart of the node takes it away."""
        return isinstance(self.injector, InsideInjector)


def _shape(mechanism: Mechanism) -> tuple[tuple[str, ...], Shape]:
    match mechanism:
        case Drop(peers=peers) | Partition(peers=peers):
            return peers, Shape(drop=True)
        case Reject(peers=peers, how=how):
            return peers, Shape(reject=how)
        case Loss(peers=peers, share=share):
            return peers, Shape(loss=share)
        case LimitRate(peers=peers, rate=rate):
            return peers, Shape(rate=rate)
        case CutLink(peers=peers, after=after):
            return peers, Shape(cut_after=after)
        case _:
            raise TypeError(f"{mechanism.kind} is no fault of the links")


def _kind(mechanism: type[Mechanism]) -> FaultKind:
    if issubclass(mechanism, NodeFault):
        return FaultKind(mechanism, InsideInjector())
    if issubclass(mechanism, Disconnect):
        return FaultKind(mechanism, NetworkInjector(), of_lab=CanDisconnect)
    if issubclass(mechanism, SlowLink):
        return FaultKind(mechanism, DelayInjector(), of_lab=CanDelay)
    if issubclass(mechanism, Segments):
        return FaultKind(mechanism, StreamInjector(), of_lab=CanSegment)
    return FaultKind(mechanism, LinkInjector(_shape), of_lab=CanShape)


FAULTS: Mapping[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind(Kill, LifeInjector(kill, "stopped")),
        FaultKind(Stop, LifeInjector(stop, "stopped")),
        FaultKind(Pause, LifeInjector(pause, "paused"), of_node=CanPause),
    )
}
CATALOGUE: Mapping[str, FaultKind] = {
    name: FAULTS.get(name) or _kind(mechanism) for name, mechanism in MECHANISMS.items()
}


def fault_called(name: str) -> FaultKind:
    """The fault of that name. Raises UnknownName."""
    if name not in CATALOGUE:
        raise UnknownName("fault", name, CATALOGUE)
    return CATALOGUE[name]
