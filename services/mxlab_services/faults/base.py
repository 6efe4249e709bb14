"""What befalls a host, as values: the base of all faults, and of those that strike inside a node.

A value says which host it befalls, what happens there and, where it strikes inside a node, on which
occasions. `problem` in `kinds` says what is wrong with one before anything is done. Pure.
"""

import functools
import ipaddress
import random
import re
from typing import Annotated, ClassVar

import msgspec

from mxlab_services.address import canonical, domain_of

HOST_NAME = msgspec.Meta(
    pattern=r"^[a-z]([a-z0-9-]{0,29}[a-z0-9])?$",
    description="a host's name: at most 31 of a-z, 0-9 and hyphens, a letter first, no hyphen last",
)
Host = Annotated[str, HOST_NAME]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=604_800)]  # real ones, but for a greylist's
Chance = Annotated[float, msgspec.Meta(gt=0, lt=1)]

COUNTS = frozenset({"first", "nth", "chance"})
SELECTORS = COUNTS | {"peer", "sender", "recipient"}

_fields = functools.cache(msgspec.structs.fields)


class _Kind:
    """The name of a fault, of its class as of its values."""

    def __get__(self, value: object, owner: type[msgspec.Struct]) -> str:
        return str(owner.__struct_config__.tag)


class Mechanism(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind"):
    """Base of all mechanisms. `host` is the node that it befalls; `short` names the field that a
    plain string gives."""

    kind: ClassVar[_Kind] = _Kind()
    short: ClassVar[str] = "host"
    host: Host

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every node that it names."""
        return (self.host, *getattr(self, "peers", ()))

    def given(self) -> dict[str, object]:
        """The parameters that are not at their defaults, beside the host."""
        return {
            field.name: getattr(self, field.name)
            for field in _fields(type(self))
            if field.name != "host" and getattr(self, field.name) != field.default
        }

    def __str__(self) -> str:
        return " ".join([self.kind, self.host, *(f"{k}={v}" for k, v in self.given().items())])


class NodeFault(Mechanism, frozen=True):
    """Base of what strikes inside a node; on every occasion, unless it has a selector.

    Of the occasions that fit its `peer`, `sender` and `recipient`, counted from 1 since it was set,
    it strikes on the `first` so many, or exactly on the `nth`, or on each with a `chance` that the
    lab's seed decides.
    """

    @property
    def hosts(self) -> tuple[str, ...]:
        named = (getattr(self, "peer", None), *getattr(self, "exempt", ()))
        return (self.host, *(peer for peer in named if peer is not None and is_host(peer)))

    def selectors(self) -> frozenset[str]:
        """The selectors that mean something to it."""
        return SELECTORS & frozenset(self.__struct_fields__)

    def fits(self, peer: str, sender: str | None, recipients: tuple[str, ...]) -> bool:
        """Whether an occasion is of the kind that is to be counted; `sender`: None if unknown."""
        return True

    def strikes_on(self, number: int, rng: random.Random) -> bool:
        """Whether it strikes on the occasion of that number."""
        return True


class Counted(NodeFault, frozen=True, kw_only=True):
    """Strikes on the `first` so many occasions, or on the `nth`, or on each with a `chance`."""

    first: Count | None = None
    nth: Count | None = None
    chance: Chance | None = None

    def strikes_on(self, number: int, rng: random.Random) -> bool:
        if self.first is not None:
            return number <= self.first
        if self.nth is not None:
            return number == self.nth
        return self.chance is None or rng.random() < self.chance


class FromPeer(Counted, frozen=True, kw_only=True):
    """Strikes for a `peer` (an address or a network; a scenario may name a host), or for all."""

    peer: str | None = None

    def fits(self, peer: str, sender: str | None, recipients: tuple[str, ...]) -> bool:
        return self.peer is None or in_networks(peer, (self.peer,))


class OfMail(FromPeer, frozen=True, kw_only=True):
    """Strikes for a `sender` ("" is the null reverse-path) or a `recipient`, or for all: a whole
    address, or @domain, in any case."""

    sender: str | None = None
    recipient: str | None = None

    def fits(self, peer: str, sender: str | None, recipients: tuple[str, ...]) -> bool:
        if not super().fits(peer, sender, recipients):
            return False
        if self.sender is not None and not (
            sender == "" if self.sender == "" else sender and same_address(self.sender, sender)
        ):
            return False
        wanted = self.recipient
        return wanted is None or any(same_address(wanted, one) for one in recipients)


def is_host(peer: str) -> bool:
    """Whether a peer is told by its node's name; else it is an address or a network."""
    return re.fullmatch(r"[a-z][a-z0-9-]*", peer) is not None


def same_address(wanted: str, address: str) -> bool:
    """Whether `address` is `wanted`, or is at the domain that `wanted` (`@domain`) names."""
    if wanted.startswith("@"):
        return domain_of(address) == domain_of(wanted)
    return canonical(address) == canonical(wanted)


def in_networks(address: str, networks: tuple[str, ...]) -> bool:
    """Whether an IP address lies in one of the networks; what is no address lies in none."""
    try:
        here = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(here in ipaddress.ip_network(network) for network in networks)
