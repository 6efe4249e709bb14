"""Changes of a domain's zone: each by its name, all of MX records only, so that they fit every lab.
Pure."""

from collections.abc import Callable, Mapping

from mxlab.model.step import Dns
from mxlab.model.topology import Exchange

ASTRAY = "astray"  # a host that has no address
OWN_ADDRESS = "10.53.25.3"  # the first exchange's in the simulation; elsewhere nobody's


def _records(exchanges: tuple[Exchange, ...], *others: str) -> Dns:
    """These MX records of the domain, and no others."""
    listed = [f"@ MX {e.preference} {e.host}" for e in exchanges]
    return Dns(remove=("@ MX", "@ A"), add=(*listed, *others))


def _restored(mx: tuple[Exchange, ...], number: int) -> Dns:
    return _records(mx)


def _swapped(mx: tuple[Exchange, ...], number: int) -> Dns:
    turned = zip(mx, reversed(mx), strict=True)
    return _records(tuple(Exchange(one.host, other.preference) for one, other in turned))


def _equal(mx: tuple[Exchange, ...], number: int) -> Dns:
    return _records(tuple(Exchange(e.host, 10) for e in mx))


def _without(mx: tuple[Exchange, ...], number: int) -> Dns:
    rest = tuple(e for n, e in enumerate(mx) if n != number)
    return _records(rest or mx)


def _astray(mx: tuple[Exchange, ...], number: int) -> Dns:
    return _records(
        tuple(Exchange(ASTRAY, e.preference) if n == number else e for n, e in enumerate(mx))
    )


def _none_usable(mx: tuple[Exchange, ...], number: int) -> Dns:
    """All exchanges lead nowhere, but the domain itself has an address (never to be used)."""
    return _records((Exchange(ASTRAY, 10),), f"@ A {OWN_ADDRESS}")


def _null(mx: tuple[Exchange, ...], number: int) -> Dns:
    return _records((), "@ MX 0 .")


ZONES: Mapping[str, Callable[[tuple[Exchange, ...], int], Dns]] = {
    "restored": _restored,
    "swapped": _swapped,
    "without": _without,
    "astray": _astray,
    "equal": _equal,
    "none usable": _none_usable,
    "null": _null,
}
