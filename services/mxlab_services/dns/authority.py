"""What a name server decides: answers, transfers, notifications, and changes by hand.

Whoever asks gets what the zones say; a whole zone goes to its secondaries only, a notification is
believed from a primary only, and a copy is changed by its primary only.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Literal

from mxlab_services.control.replies import ZoneReport
from mxlab_services.control.requests import ZoneList, ZoneReplace, ZoneUpdate
from mxlab_services.control.rpc import Controls
from mxlab_services.dns.names import Name, fold, name_text, parse_name
from mxlab_services.dns.wire import ANY_CLASS, IN, NOTIFY, TRANSFERS, Query
from mxlab_services.dns.zone import Zone
from mxlab_services.dns.zones import Result, Zones
from mxlab_services.errors import ZoneError

if TYPE_CHECKING:
    from mxlab_services.dns.secondary import Secondary  # most servers have no copies

Transport = Literal["udp", "tcp"]


class Authoritative:
    """Over `zones`. `secondaries`: the addresses that may take a zone, by its folded origin;
    `copies`: the zones that are taken from elsewhere."""

    def __init__(
        self,
        zones: Zones,
        secondaries: Mapping[Name, Collection[str]],
        copies: "Iterable[Secondary]",
    ) -> None:
        self._zones = zones
        self._may_transfer = secondaries
        self._copies = {copy.origin: copy for copy in copies}

    def decide(self, query: Query, transport: Transport, peer: str) -> Result:
        """What to answer: the one place where the server makes up its mind about a question."""
        if query.edns is not None and query.edns.version:  # RFC 6891 §6.1.3: we know 0 only
            return Result("BADVERS")
        if query.cls not in (IN, ANY_CLASS):
            return Result("REFUSED")
        for copy in self._copies.values():
            copy.serve_no_longer_than_good()
        if query.opcode == NOTIFY:
            return self._notified(fold(query.name), peer)
        if query.type_name in TRANSFERS:
            return self._transfer(query, transport, peer)
        return self._zones.lookup(query.name, query.type_name)

    def _notified(self, origin: Name, peer: str) -> Result:
        """A NOTIFY: from a primary of a zone that we have from there, to nobody else's effect."""
        copy = self._copies.get(origin)
        if copy is None:
            return Result("NOTAUTH")
        if peer not in copy.primaries:
            return Result("REFUSED")
        copy.notified()
        return Result("NOERROR")

    def _transfer(self, query: Query, transport: Transport, peer: str) -> Result:
        """The whole zone, by TCP, to its secondaries only. An incremental transfer is answered with
        the whole zone too, and by UDP with the SOA alone (RFC 1995 §2, §4)."""
        origin = fold(query.name)
        zone = self._zones.find(origin)
        if zone is None or zone.origin != origin or peer not in self._may_transfer.get(origin, ()):
            return Result("REFUSED")
        if transport == "udp":
            return (
                Result("NOERROR", (zone.soa,)) if query.type_name == "IXFR" else Result("REFUSED")
            )
        others = (record for record in zone.records if record is not zone.soa)
        return Result("NOERROR", (zone.soa,), transfer=(zone.soa, *others, zone.soa))

    # --- by hand ----------------------------------------------------------------------------------

    def controls(self, controls: Controls) -> None:
        """Answer the requests about zones."""
        controls.add(ZoneList, self._list)
        controls.add(ZoneReplace, self._replace)
        controls.add(ZoneUpdate, self._update)

    async def _list(self, _: ZoneList) -> list[ZoneReport]:
        reports = [self._report(zone) for zone in self._zones.all()]
        return reports + [
            ZoneReport(name_text(origin), 0, [], copy_of=list(copy.primaries))
            for origin, copy in self._copies.items()
            if not self._zones.has(origin)
        ]

    async def _replace(self, request: ZoneReplace) -> ZoneReport:
        self._check_ours(request.origin)
        return self._report(self._zones.replace(request.origin, request.text, request.strict).zone)

    async def _update(self, request: ZoneUpdate) -> ZoneReport:
        self._check_ours(request.origin)
        change = self._zones.update(
            request.origin, request.add, request.remove, request.strict, request.ttl
        )
        return self._report(change.zone)

    def _report(self, zone: Zone) -> ZoneReport:
        warnings = [*zone.problems, *zone.warnings]
        copy = self._copies.get(zone.origin)
        taken = list(copy.primaries) if copy is not None else []
        return ZoneReport(name_text(zone.origin), zone.serial, zone.text(), warnings, taken)

    def _check_ours(self, origin: str) -> None:
        """Raise ZoneError for a zone of which only a copy is here."""
        copy = self._copies.get(fold(parse_name(origin)))
        if copy is not None:
            at = ", ".join(copy.primaries)
            raise ZoneError(
                f"{name_text(copy.origin)} is a copy here: change it at its primary, {at}"
            )
