"""The zones of a lab's name servers, seen and changed at the server that has each."""

from mxlab.backends.base import Lab
from mxlab.errors import EnvironmentProblem, LabError, UsageError
from mxlab.model.topology import ROOT_ZONE
from mxlab.operate.nodes import node_called
from mxlab.plan.zones import zone_primary
from mxlab_services.control.replies import ZoneReport
from mxlab_services.control.requests import ZoneList, ZoneReplace, ZoneUpdate
from mxlab_services.domain import fold_domain

Served = list[tuple[str, ZoneReport]]  # a name server's node and a zone there


async def zones_served(lab: Lab) -> tuple[Served, list[LabError]]:
    """The zones of every name server that answers, and what the others say. Raises what the last
    one says where none answers."""
    found: Served = []
    silent: list[LabError] = []
    for node in lab.topology.dns_hosts:
        try:
            reports = await node_called(lab, node).request(ZoneList())
        except EnvironmentProblem as error:
            silent.append(error)
        else:
            found += [(node, report) for report in reports]
    if len(silent) == len(lab.topology.dns_hosts):
        raise silent[-1]
    return found, silent


async def replace_zone(lab: Lab, origin: str, text: str) -> ZoneReport:
    """Put zone text in the place of a zone, or add the zone."""
    node = zone_primary(lab.topology, folded_origin(origin))
    return await node_called(lab, node).request(ZoneReplace(origin, text))


async def change_record(
    lab: Lab, record: str, *, adding: bool
) -> tuple[ZoneReport, list[LabError]]:
    """Add or remove a line of zone text in the zone that holds its name; what name servers said
    that were silent. Raises UsageError where no zone does."""
    name = record.split(maxsplit=1)[0] if record.split() else ""
    found, silent = await zones_served(lab)
    served = {report.origin: node for node, report in found if not report.copy_of}
    origin = _holding(name, list(dict.fromkeys(report.origin for _, report in found)))
    node = served.get(origin) or zone_primary(lab.topology, folded_origin(origin))
    request = ZoneUpdate(origin, [record], []) if adding else ZoneUpdate(origin, [], [record])
    return await node_called(lab, node).request(request), silent


def _holding(name: str, origins: list[str]) -> str:
    """The longest origin that the name lies in. Raises UsageError."""
    wanted = folded_origin(name)
    holding = [
        o for o in origins
        if o == ROOT_ZONE
        or wanted == folded_origin(o)
        or wanted.endswith("." + folded_origin(o))
    ]  # fmt: skip
    if not holding:
        raise UsageError(f"{name!r} lies in no zone of the lab", f"zones: {', '.join(origins)}")
    return max(holding, key=len)


def folded_origin(name: str) -> str:
    """The name of a zone as zones are compared."""
    return name if name == ROOT_ZONE else fold_domain(name)
