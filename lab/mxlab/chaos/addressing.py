"""The addresses of a lab that chaos makes up, apart from how many exchanges it has. Pure."""

from dataclasses import dataclass
from itertools import cycle
from typing import Any

import msgspec

from mxlab.model.topology import Exchange, Families, Family, Topology


@dataclass(frozen=True, slots=True)
class Place:
    """Where one exchange has addresses: as `Exchange` has it."""

    ip: Families | None = None
    unreachable: tuple[Family, ...] = ()


@dataclass(frozen=True, slots=True)
class Addressing:
    """The families of IP of a lab, of its client (None: the same), and of its exchanges in turn."""

    ip: Families = (4,)
    client: Families | None = None
    mx: tuple[Place, ...] = (Place(),)

    def lab(self, mx: tuple[Exchange, ...], **others: Any) -> Topology:
        """A topology of these exchanges with these addresses."""
        placed = tuple(
            msgspec.structs.replace(exchange, ip=place.ip, unreachable=place.unreachable)
            for exchange, place in zip(mx, cycle(self.mx), strict=False)
        )
        return Topology(mx=placed, ip=self.ip, client_ip=self.client, **others)
