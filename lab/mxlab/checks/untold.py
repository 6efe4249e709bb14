"""What the mail servers of a lab do not tell, where a check or a condition would rest on it. Pure.

Products tell less than our own servers: by their log. Whoever needs what is not told says UNKNOWN.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal

from mxlab.model.software import SOFTWARE
from mxlab.model.topology import Topology

Whose = Literal["all", "clients", "backups", "primaries"]
Needs = Mapping[str, Whose]
"""What is needed (see `SoftwareEntry.tells`), and of which mail hosts."""


def hosts_of(topology: Topology, whose: Whose) -> tuple[str, ...]:
    """The mail hosts that are meant."""
    match whose:
        case "all":
            return tuple(topology.software)
        case "clients":
            return tuple(topology.sender_domains)
        case "backups":
            return tuple(dict.fromkeys(h for one in topology.mail_domains for h in one.backups))
        case "primaries":
            return topology.mailbox_hosts


def untold(topology: Topology, needs: Needs) -> tuple[str, ...]:
    """What is needed and not told, in words."""
    pairs = ((host, what) for what, whose in needs.items() for host in hosts_of(topology, whose))
    return untold_by(topology, pairs)


def untold_by(topology: Topology, pairs: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """The same, of pairs of a host and what is needed of it."""
    return tuple(dict.fromkeys(_texts(topology, pairs)))


def _texts(topology: Topology, pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    for host, what in pairs:
        if not topology.tells(host, what):
            entry = SOFTWARE[topology.software[host]]
            yield f"{host} is {entry.title}, which does not tell {entry.untold[what]}"
