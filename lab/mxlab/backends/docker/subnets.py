"""Which subnet a lab may have: pure, apart from one look at this host's routes.

Guarantee: no subnet is chosen that overlaps with what is known to be taken, and what is in the way
has a name.
"""

import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mxlab.errors import SubnetClash, UsageError

Network = ipaddress.IPv4Network

CANDIDATES: tuple[Network, ...] = (
    *(Network(f"10.83.{n}.0/24") for n in range(64)),
    *(Network(f"172.29.{n}.0/24") for n in range(64)),
    *(Network(f"192.168.{n}.0/24") for n in range(192, 256)),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """A range of addresses that somebody has, and who."""

    network: Network
    owner: str


def free_subnets(taken: Iterable[Taken], asked: str | None = None) -> Iterator[str]:
    """The candidates (or the one that was asked for) that overlap with nothing, best first.

    Raises SubnetClash, which names what is in the way, when there is none; UsageError when what was
    asked for is no IPv4 network.
    """
    known = list(taken)
    candidates = CANDIDATES if asked is None else (_parse(asked),)
    found = False
    in_the_way: list[str] = []
    for candidate in candidates:
        clash = next((other for other in known if other.network.overlaps(candidate)), None)
        if clash is None:
            found = True
            yield str(candidate)
        else:
            in_the_way.append(f"{candidate} overlaps with {clash.owner} ({clash.network})")
    if not found:
        raise clash_error(in_the_way)


def clash_error(in_the_way: list[str]) -> SubnetClash:
    """The error that names what is in the way, in full for a few and by count for many."""
    shown = list(dict.fromkeys(in_the_way))
    rest = f"; and {len(shown) - 3} more" if len(shown) > 3 else ""
    return SubnetClash(
        "no subnet is free for the lab: " + "; ".join(shown[:3]) + rest,
        "remove a network that you no longer need (`docker network ls`, `docker network prune`)",
    )


def _parse(text: str) -> Network:
    try:
        return Network(text)
    except ValueError as error:
        raise UsageError(f"no IPv4 network: {error}", "write it as 10.83.0.0/24") from error


def host_routes(table: Path = Path("/proc/net/route")) -> list[Taken]:
    """This host's routes except the default one; none where the system has no such table."""
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return []
    routes = []
    for line in lines:
        device, destination, _, _, _, _, _, mask = line.split()[:8]
        network = Network(f"{_dotted(destination)}/{_dotted(mask)}")
        if network.prefixlen > 0:
            routes.append(Taken(network, f"the route through {device}"))
    return routes


def _dotted(word: str) -> str:
    """An address as the kernel prints it there: hexadecimal, in the host's byte order."""
    return socket.inet_ntoa(struct.pack("=L", int(word, 16)))
