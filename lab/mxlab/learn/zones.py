"""What the lab's name servers have now, as records: what goals and questions about DNS look at."""

from collections.abc import Iterator
from dataclasses import dataclass

from mxlab.backends.base import Lab
from mxlab.errors import EnvironmentProblem
from mxlab.operate.zones import zones_served
from mxlab.plan.zones import zone_primary
from mxlab_services.control.replies import ZoneReport
from mxlab_services.control.requests import ZoneList
from mxlab_services.domain import fold_domain


@dataclass(frozen=True, slots=True)
class ZoneLine:
    """One record: names without the last dot, as they are compared; `ttl` in seconds."""

    name: str
    ttl: int
    type: str
    data: str


async def records_at(lab: Lab, name: str, kind: str, server: str | None = None) -> list[ZoneLine]:
    """The records of that name and type in the zone that holds the name: at `server`, or where the
    zone's data is. Raises NodeUnreachable."""
    wanted = fold_domain(name)
    at = server or zone_primary(lab.topology, wanted)
    lines = _of_zone(await lab.nodes[at].request(ZoneList()), wanted)
    return [line for line in lines if line.name == wanted and line.type == kind.upper()]


async def records_anywhere(lab: Lab, name: str, kind: str) -> list[ZoneLine]:
    """The same where the zone's data is, or, where that server is down, in a copy of it. Raises
    EnvironmentProblem where nobody has one."""
    try:
        return await records_at(lab, name, kind)
    except EnvironmentProblem:
        served, _ = await zones_served(lab)
        wanted = fold_domain(name)
        lines = _of_zone([report for _, report in served], wanted)
        return [line for line in lines if line.name == wanted and line.type == kind.upper()]


def same_data(kind: str, one: str, other: str) -> bool:
    """Whether the data of two records of a type is the same: blanks, case of names and the last dot
    tell nothing; text does."""
    return _plain(kind, one) == _plain(kind, other)


def _plain(kind: str, data: str) -> list[str]:
    words = data.split()
    return words if kind.upper() == "TXT" else [fold_domain(word) or word for word in words]


def _of_zone(reports: list[ZoneReport], name: str) -> list[ZoneLine]:
    """The records of the zone that is nearest above the name, or is it; each server's once."""
    holding = [r for r in reports if r.records and _holds(fold_domain(r.origin), name)]
    if not holding:
        return []
    nearest = max(len(fold_domain(report.origin)) for report in holding)
    first = next(one for one in holding if len(fold_domain(one.origin)) == nearest)
    return list(_lines(first))


def _holds(origin: str, name: str) -> bool:
    return not origin or name == origin or name.endswith(f".{origin}")


def _lines(report: ZoneReport) -> Iterator[ZoneLine]:
    for text in report.records:  # example.test. 60 IN MX 10 mx1.example.test.
        name, ttl, _, kind, data = text.split(maxsplit=4)
        yield ZoneLine(fold_domain(name), int(ttl), kind, data)
