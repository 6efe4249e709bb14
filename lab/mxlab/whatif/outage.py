"""What can fail at a site: exchanges one by one, in pairs and all; name servers; the network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from mxlab.model.mechanism import Kill, Partition
from mxlab.whatif.site import Site
from mxlab_services.faults.base import Mechanism

HOUR, DAY = 3600.0, 86400.0
DURATIONS = (HOUR, DAY, 6 * DAY)  # seconds


@dataclass(frozen=True, slots=True)
class Outage:
    """What fails, in the user's names, and the faults that do it in the lab."""

    name: str
    faults: tuple[Mechanism, ...]


def outages(site: Site) -> Iterator[Outage]:
    """Every one, the smallest first; none twice."""
    topology = site.topology
    exchanges = [exchange.host for exchange in topology.exchanges]
    for host in exchanges:
        yield _dead(site, [host])
    for pair in combinations(exchanges, 2):
        yield _dead(site, pair)
    if len(exchanges) > 2:
        yield _dead(site, exchanges, "all exchanges")
    for server in site.servers:
        yield _dead(site, [server])
    if len(site.servers) > 1:
        yield _dead(site, site.servers, "all name servers")
    for primary in topology.primaries:
        for backup in topology.backups:
            yield _apart(site, primary, [backup])
        yield _apart(site, primary, list(topology.sender_domains), "the senders")


def _dead(site: Site, hosts: Sequence[str], name: str = "") -> Outage:
    faults = tuple(Kill(host=host) for host in hosts)
    return Outage(name or " and ".join(map(site.called, hosts)), faults)


def _apart(site: Site, host: str, peers: Sequence[str], name: str = "") -> Outage:
    others = name or " and ".join(map(site.called, peers))
    words = f"the network between {site.called(host)} and {others}"
    return Outage(words, (Partition(host=host, peers=tuple(peers)),))
