"""What a lab looks like to who has to do with it, so that two can be compared: how its nodes are,
what waits, what lies in mailboxes, zones, settings, what is broken. No ids, no times."""

from collections.abc import Iterator

from mxlab.backends.base import Lab, Node
from mxlab.faults.open import open_faults
from mxlab.operate.queues import entries
from mxlab_services.config import DnsConfig, MtaConfig
from mxlab_services.control.requests import ConfigList, MailboxList, ZoneList

Likeness = dict[str, tuple[str, ...]]  # what it is of -> what there is, in order
MOST = 3  # differences that are told


async def likeness(lab: Lab) -> Likeness:
    """The lab as it is now. Raises LabError."""
    found = {
        "what is broken": tuple(sorted(f"{b.kind} at {b.host}" for b in await open_faults(lab)))
    }
    for name, node in lab.nodes.items():
        found[f"the state of {name}"] = (await node.state(),)
        if await node.state() == "running":
            found |= await _inside(name, node)
    return found


async def _inside(name: str, node: Node) -> Likeness:
    found: Likeness = {}
    if isinstance(node.config, MtaConfig):
        waiting = [
            f"{one.sender} to {', '.join(sorted(r.address for r in one.recipients))}"
            for one in await entries(node)
        ]
        mail = [
            f"{one.reverse_path} to {one.address}: {one.subject}"
            for one in await node.request(MailboxList())
        ]
        settings = [f"{one.key} {one.value}" for one in await node.request(ConfigList())]
        found[f"the queue of {name}"] = tuple(sorted(waiting))
        found[f"the mailboxes of {name}"] = tuple(sorted(mail))
        found[f"the settings of {name}"] = tuple(settings)
    elif isinstance(node.config, DnsConfig):
        for zone in await node.request(ZoneList()):
            records = sorted(line for line in zone.records if " SOA " not in line)
            found[f"the zone {zone.origin} at {name}"] = tuple(records)
    return found


def unlike(one: Likeness, other: Likeness) -> str:
    """How the other differs, in a few words; nothing where it does not."""
    said = list(_differences(one, other))
    more = f"; and {len(said) - MOST} more" if len(said) > MOST else ""
    return "; ".join(said[:MOST]) + more


def _differences(one: Likeness, other: Likeness) -> Iterator[str]:
    for what in dict.fromkeys((*one, *other)):
        here, there = one.get(what, ()), other.get(what, ())
        if here != there:
            gone = [text for text in here if text not in there] or [f"{len(here)} in all"]
            new = [text for text in there if text not in here] or [f"{len(there)} in all"]
            yield f"{what}: {_some(new)}, not {_some(gone)}"


def _some(texts: list[str]) -> str:
    return ", ".join(texts[:2]) + (" ..." if len(texts) > 2 else "")
