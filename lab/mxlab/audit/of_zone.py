"""A zone file of the user's own, as it is judged: by its text alone, nothing is asked. Pure."""

from mxlab.audit.reading import SeenDns, mail_names, seen_domain
from mxlab.audit.setup import AuditSetup
from mxlab.scenario.zones import read_zone
from mxlab_services.dns.names import name_text, parse_name
from mxlab_services.dns.records import Record, read_records


def setup_of_zone(text: str, origin: str, file: str) -> AuditSetup:
    """Every domain of that zone that takes mail, the zone's own first. Raises ScenarioError with
    every wrong line."""
    zone = read_zone(origin, text, file, strict=False)
    placed, _ = read_records(text, parse_name(origin))
    places = {one.record.key(): f"{file}:{one.at.line}:{one.at.column}" for one in placed}

    def place(record: Record) -> str:
        return places.get(record.key(), file)  # of a wildcard's, the owner is another

    known = SeenDns({zone.origin: zone}, place)
    domains = tuple(seen_domain(name, zone, known) for name in mail_names(zone))
    what = f"the zone {name_text(zone.origin)} of {file}"
    beside = [line for line in (*zone.problems, *zone.warnings) if " MX " not in line]
    return AuditSetup("zone", what, domains, notes=tuple(beside))  # those on MX have rules
