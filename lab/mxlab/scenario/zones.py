"""What a scenario's `dns` steps and DNS faults would come to: its zones, changed step by step by
the code that the DNS server runs, so that what `lint` passes, runs. Pure.
"""

from collections.abc import Iterator

from mxlab.errors import UsageError
from mxlab.faults.inner import to_service
from mxlab.model.mechanism import inner
from mxlab.model.scenario import Problem, Scenario, steps_path, walk
from mxlab.model.step import AnyStep, Dns, Fault, Python
from mxlab.plan.plan import name_zones, plain_topology

Place = tuple[str | int, ...]
_SOMEWHERE = "192.0.2.1"  # the addresses of hosts are a backend's choice (RFC 5737)


def zone_problems(scenario: Scenario) -> list[Problem]:
    """What would be refused in each `dns` step, with its place and the reason.

    After a `python` step or beside other steps a zone may be another: there, records are only read.
    """
    steps = [(path, step) for path, step in walk(scenario.steps) if _concerns(step)]
    if not steps:
        return []
    from mxlab_services.errors import ZoneError

    try:
        zones: _Zones | None = _Zones(scenario)
    except ZoneError as error:
        return [Problem(("topology",), f"no zones can be made of it: {error}")]
    found: list[Problem] = []
    for path, step in steps:
        where = steps_path(path)
        if isinstance(step, Python) or len(path) > 1:
            zones = None
        if isinstance(step, Dns):
            reader = zones or _Zones(scenario)
            found += reader.changed(step, (*where, "dns"), alone=zones is not None)
        elif isinstance(step, Fault) and zones is not None:
            found += zones.struck(step, where)
    return found


def _concerns(step: AnyStep) -> bool:
    if isinstance(step, Fault):
        return isinstance(step.mechanism, inner.DnsMechanism)
    return isinstance(step, Dns | Python)


class _Zones:
    """The zones of a scenario's lab as the steps so far have left them."""

    def __init__(self, scenario: Scenario) -> None:
        from mxlab_services.dns.zone import Zones  # a scenario without such steps loads no DNS

        topology = plain_topology(scenario.topology)
        self._domain = topology.domain
        self._zones = Zones()
        addresses = dict.fromkeys(topology.hosts, _SOMEWHERE)
        for origin, text in name_zones(topology, addresses).items():
            self._zones.replace(origin, text)

    def struck(self, step: Fault, where: Place) -> Iterator[Problem]:
        """Why a DNS fault would have nothing to strike."""
        from mxlab_services.dns.faults import DnsFaults
        from mxlab_services.errors import ControlError
        from mxlab_services.faults.injector import Board

        faults = DnsFaults(Board(lambda body, message=None: None), self._zones)
        try:
            faults.check(to_service(step.mechanism))
        except UsageError:
            pass  # wrong whatever the zones hold: told of all faults alike
        except ControlError as error:
            yield Problem((*where, "fault", step.mechanism.kind), str(error))

    def changed(self, step: Dns, place: Place, *, alone: bool) -> Iterator[Problem]:
        """What is wrong with `step`; where it is `alone` in what it changes, it is made."""
        from mxlab_services.dns.names import fold, parse_name
        from mxlab_services.errors import ZoneError

        origin = step.origin or self._domain
        try:
            name = fold(parse_name(origin))
        except ZoneError:
            return  # no domain: told of all domains alike
        if step.zone is not None:
            try:
                self._zones.replace(origin, step.zone)
            except ZoneError as error:
                yield Problem((*place, "zone"), str(error))
            return
        wrong = list(self._lines(step, origin, place))
        yield from wrong
        known = {zone.origin for zone in self._zones.all()}
        if name not in known:
            # A zone of addresses lies where the backend has its networks.
            if alone and name[-1:] != (b"arpa",):
                yield Problem(
                    (*place, "origin") if step.origin else place, f"no zone {origin} here"
                )
            return
        if alone and not wrong:
            try:
                self._zones.update(origin, step.add, step.remove)
            except ZoneError as error:
                yield Problem((*place, "add") if step.add else (*place, "remove"), str(error))

    def _lines(self, step: Dns, origin: str, place: Place) -> Iterator[Problem]:
        """Each line on its own, so that a wrong one is told by its place."""
        from mxlab_services.dns.names import fold, is_below, name_text, parse_name
        from mxlab_services.dns.records import parse_pattern, parse_records
        from mxlab_services.errors import ZoneError

        name = parse_name(origin)
        for number, line in enumerate(step.remove):
            try:
                parse_pattern(line, name)
            except ZoneError as error:
                yield Problem((*place, "remove", number), _plain(error))
        for number, line in enumerate(step.add):
            try:
                records = parse_records(line, name, 0)
            except ZoneError as error:
                yield Problem((*place, "add", number), _plain(error))
                continue
            for record in records:
                if not is_below(record.owner, fold(name)):
                    text = f"{name_text(record.owner)} lies outside the zone {name_text(name)}"
                    yield Problem((*place, "add", number), text)


def _plain(error: Exception) -> str:
    """The reason, without the number of the only line there is."""
    return str(error).removeprefix("line 1: ")
