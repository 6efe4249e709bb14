"""The faults by name: what each needs of a world, and by which means it is done.

`CATALOGUE` holds all; `FAULTS` those that take nothing but a host and end or freeze it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mxlab.backends.base import CanDelay, CanDisconnect, CanPause, CanSegment, CanShape, Shape
from mxlab.errors import UnknownName
from mxlab.faults import injectors as means
from mxlab.faults.injectors import (
    Inside,
    Means,
    OffTheNetwork,
    OfLife,
    OfLinks,
    OfStreams,
    SlowLinks,
)
from mxlab.model import inner, outer
from mxlab.model.mechanism import MECHANISMS, Mechanism


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One fault. `of_node` and `of_lab` are the capabilities that it needs, None where all have
    what it takes."""

    mechanism: type[Mechanism]
    means: Means
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
        return isinstance(self.means, Inside)


def _shape(mechanism: Mechanism) -> tuple[tuple[str, ...], Shape]:
    match mechanism:
        case outer.Drop(peers=peers) | outer.Partition(peers=peers):
            return peers, Shape(drop=True)
        case outer.Reject(peers=peers, how=how):
            return peers, Shape(reject=how)
        case outer.Loss(peers=peers, share=share):
            return peers, Shape(loss=share)
        case outer.LimitRate(peers=peers, rate=rate):
            return peers, Shape(rate=rate)
        case outer.CutLink(peers=peers, after=after):
            return peers, Shape(cut_after=after)
        case _:
            raise TypeError(f"{mechanism.kind} is no fault of the links")


def _kind(mechanism: type[Mechanism]) -> FaultKind:
    if issubclass(mechanism, inner.InnerFault):
        return FaultKind(mechanism, Inside())
    if issubclass(mechanism, outer.Disconnect):
        return FaultKind(mechanism, OffTheNetwork(), of_lab=CanDisconnect)
    if issubclass(mechanism, outer.SlowLink):
        return FaultKind(mechanism, SlowLinks(), of_lab=CanDelay)
    if issubclass(mechanism, outer.Segments):
        return FaultKind(mechanism, OfStreams(), of_lab=CanSegment)
    return FaultKind(mechanism, OfLinks(_shape), of_lab=CanShape)


FAULTS: Mapping[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind(outer.Kill, OfLife(means.kill, "stopped")),
        FaultKind(outer.Stop, OfLife(means.stop, "stopped")),
        FaultKind(outer.Pause, OfLife(means.pause, "paused"), of_node=CanPause),
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
