"""What a scenario's `dns` steps and DNS faults would come to: its zones, changed step by step by
the code that the DNS server runs, so that what `lint` passes, runs; and zone files of people. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import msgspec

from mxlab.errors import Mistakes, ScenarioError, UsageError
from mxlab.model.scenario import Problem, Scenario, steps_path, walk
from mxlab.model.step import AnyStep, Dns, Fault, Python
from mxlab.plan.addresses import with_addresses
from mxlab.plan.checked import plain_topology
from mxlab.plan.space import Space
from mxlab.plan.zones import name_zones, zone_primary, zone_servers
from mxlab_services.domain import fold_domain
from mxlab_services.faults.base import Mechanism
from mxlab_services.faults.kinds import AnyFault, DnsFault, ZoneFault

if TYPE_CHECKING:
    from mxlab_services.dns.zone import Zone

Place = tuple[str | int, ...]
_Hosts = Mapping[str, list[str]]
_SOMEWHERE = "198.18.0.0/15"  # where a lab lies is a backend's choice (RFC 2544)


def read_zone(origin: str, text: str, file: str, *, strict: bool = True) -> "Zone":
    """A zone file. Raises ScenarioError with every mistake in its place, UsageError for what is
    wrong with the whole; `strict` as `load_zone` has it."""
    from mxlab_services.dns.zone import load_zone
    from mxlab_services.errors import ZoneError, ZoneTextError

    mistakes = Mistakes()
    try:
        return load_zone(origin, text, strict=strict)
    except ZoneTextError as error:
        for line, column, wrong in error.mistakes:
            mistakes.add(ScenarioError(wrong, file=file, line=line, column=column))
    except ZoneError as error:
        raise UsageError(f"{file}: {error}") from error
    mistakes.check()
    raise AssertionError("a zone that cannot be read has mistakes")


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
        elif isinstance(step, Fault) and step.mechanism.host in scenario.topology.dns_hosts:
            found += _struck(step.mechanism, (*where, "fault", step.mechanism.kind), zones)
    return found


def _concerns(step: AnyStep) -> bool:
    if isinstance(step, Fault):
        return isinstance(step.mechanism, DnsFault)
    return isinstance(step, Dns | Python)


def _struck(fault: Mechanism, place: Place, zones: "_Zones | None") -> Iterator[Problem]:
    """Why the DNS server would refuse a fault; where no zones are known, by its words alone."""
    from mxlab_services.dns.faults import check_names
    from mxlab_services.errors import ControlError, ZoneError

    assert isinstance(fault, ZoneFault)
    try:
        check_names(fault) if zones is None else zones.check(fault)
    except ZoneError as error:
        yield Problem(place, str(error))
    except ControlError as error:
        yield Problem(place, str(error))


class _Zones:
    """The zones of a scenario's lab as the steps so far have left them."""

    def __init__(self, scenario: Scenario) -> None:
        from mxlab_services.dns.zones import Zones  # a scenario without such steps loads no DNS

        topology = plain_topology(scenario.topology)
        self._topology, self._domain = topology, topology.domain
        self._zones = Zones()
        self._elsewhere: dict[str, Zones] = {}  # name server -> what it has beside them
        space = Space(topology, _SOMEWHERE)
        listed = {host: space.listed(host) for host in space.hosts}
        self._hosts = {host: space.own(host) for host in topology.hosts}
        for origin, text in name_zones(topology, listed).items():
            self._zones.replace(origin, text)

    def check(self, fault: AnyFault) -> None:
        """Raise ControlError for a DNS fault that would have nothing to strike."""
        from mxlab_services.dns.faults import DnsFaults
        from mxlab_services.faults.injector import NodeInjector

        DnsFaults(NodeInjector(lambda body, message=None: None), self._zones).check(fault)

    def changed(self, step: Dns, place: Place, *, alone: bool) -> Iterator[Problem]:
        """What is wrong with `step`; where it is `alone` in what it changes, it is made."""
        from mxlab_services.dns.names import fold, parse_name
        from mxlab_services.dns.zones import Zones
        from mxlab_services.errors import ZoneError, ZoneTextError

        unfit = list(_unfit(step, self._hosts, place))
        yield from unfit
        if unfit:
            return
        step = _with_addresses(step, self._hosts)
        origin = step.origin or self._domain
        zones = self._zones
        if step.server not in (None, zone_primary(self._topology, fold_domain(origin))):
            if step.server in zone_servers(self._topology).get(fold_domain(origin), ()):
                text = f"{step.server} has a copy of {origin}: change it at its primary"
                yield Problem((*place, "server"), text, hint="leave `server` out")
                return
            zones = self._elsewhere.setdefault(str(step.server), Zones())
        try:
            name = fold(parse_name(origin))
        except ZoneError:
            return  # no domain: told of all domains alike
        if step.zone is not None:
            try:
                zones.replace(origin, step.zone)
            except ZoneTextError as error:
                for mistake in error.mistakes:
                    yield Problem((*place, "zone"), str(mistake))
            except ZoneError as error:
                yield Problem((*place, "zone"), str(error))
            return
        wrong = list(self._lines(step, origin, place))
        yield from wrong
        known = {zone.origin for zone in zones.all()}
        if name not in known:
            # A zone of addresses lies where the backend has its networks.
            if alone and name[-1:] != (b"arpa",):
                yield Problem(
                    (*place, "origin") if step.origin else place, f"no zone {origin} here"
                )
            return
        if alone and not wrong:
            try:
                ttl = None if step.ttl is None else int(step.ttl)
                zones.update(origin, step.add, step.remove, ttl=ttl)
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


def _unfit(step: Dns, hosts: _Hosts, place: Place) -> Iterator[Problem]:
    """A TTL that cannot be, and each `{host}` that has no address here, with its place."""
    if wrong := step.misfit():
        yield Problem((*place, "ttl"), wrong)
    lines: list[tuple[Place, str]] = [((*place, "add", n), text) for n, text in enumerate(step.add)]
    lines += [((*place, "remove", n), text) for n, text in enumerate(step.remove)]
    lines += [((*place, "zone"), step.zone)] if step.zone is not None else []
    for where, text in lines:
        try:
            with_addresses(text, hosts)
        except UsageError as error:
            yield Problem(where, str(error), hint=error.hint)


def _with_addresses(step: Dns, hosts: _Hosts) -> Dns:
    return msgspec.structs.replace(
        step,
        add=tuple(with_addresses(line, hosts) for line in step.add),
        remove=tuple(with_addresses(line, hosts) for line in step.remove),
        zone=None if step.zone is None else with_addresses(step.zone, hosts),
    )


def _plain(error: Exception) -> str:
    """The reasons, without the places in the only line there is."""
    mistakes = getattr(error, "mistakes", ())
    return "; ".join(mistake.text for mistake in mistakes) or str(error)
