"""Operations on DNS, and on what follows from it for mail."""

from mxlab.board.board import Board
from mxlab.board.endpoint import Nothing, OperationGroup
from mxlab.board.views import ZoneAt, ZonesView
from mxlab.board.wishes import DigWish, RecordWish, RouteWish, ZoneWish
from mxlab.errors import UsageError
from mxlab.operate.nodes import mtas, node_called
from mxlab.operate.zones import change_record, replace_zone, zones_served
from mxlab.scenario.zones import read_zone
from mxlab_services.address import problem_of
from mxlab_services.control.replies import DigReport, RouteReport, ZoneReport
from mxlab_services.control.requests import Dig, RouteRead

DNS = OperationGroup("dns", "Zones, questions to name servers, and the way that mail would go.")


@DNS.operation("GET", "/zones", Nothing, ZonesView)
async def show_zones(board: Board, asked: Nothing) -> ZonesView:
    """Every zone at every name server that answers."""
    found, silent = await zones_served(board.lab)
    return ZonesView([ZoneAt(node, zone) for node, zone in found], [str(one) for one in silent])


@DNS.operation("PUT", "/zones/{origin}", ZoneWish, ZoneReport)
async def put_zone(board: Board, asked: ZoneWish) -> ZoneReport:
    """Put zone text in the place of a zone, or add the zone."""
    read_zone(asked.origin, asked.text, "text")
    return await replace_zone(board.lab, asked.origin, asked.text)


@DNS.operation("POST", "/zones/records", RecordWish, ZoneReport)
async def edit_record(board: Board, asked: RecordWish) -> ZoneReport:
    """Add a record, or remove one; without its data, all of that name and type are removed."""
    report, _ = await change_record(board.lab, asked.record, adding=asked.action == "add")
    return report


@DNS.operation("GET", "/dig", DigWish, DigReport)
async def dig_name(board: Board, asked: DigWish) -> DigReport:
    """Ask DNS, as the client would or one name server alone."""
    lab = board.lab
    server = node_called(lab, asked.server).config.address if asked.server else ""
    if server and asked.trace:
        raise UsageError("a trace begins at the root, so no server is named")
    request = Dig(asked.name, asked.type.upper(), asked.tcp, server, asked.trace)
    return await node_called(lab, lab.topology.client).request(request)


@DNS.operation("GET", "/route", RouteWish, RouteReport)
async def show_route(board: Board, asked: RouteWish) -> RouteReport:
    """Where a message to an address would go, and why."""
    lab = board.lab
    if wrong := problem_of(asked.address):
        raise UsageError(f"{asked.address[:80]!r} is no mail address: {wrong.text}")
    node = mtas(lab, [asked.node or lab.topology.client])[0]
    return await node.request(RouteRead(asked.address))
