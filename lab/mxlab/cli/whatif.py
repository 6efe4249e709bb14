"""what-if: each outage of a set-up of one's own, rehearsed in the simulation."""

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import AsJson
from mxlab.cli.output import note, say, say_json, say_line, table
from mxlab.errors import EXIT_FAILED, UnknownName, UsageError

if TYPE_CHECKING:
    from mxlab.whatif.site import Site
    from mxlab.whatif.table import FateTable

_FILE = typer.Argument(
    metavar="FILE", help="A zone file (- is one, too), YAML with a topology, or a scenario."
)
Origin = Annotated[
    str | None,
    typer.Option("--origin", metavar="DOMAIN", help="The zone's (default: its SOA's)."),
]
Lasts = Annotated[
    list[str] | None,
    typer.Option("--lasts", metavar="1h", help="How long each outage lasts (1h, 1d and 6d)."),
]
Schedules = Annotated[
    list[str] | None,
    typer.Option("--schedule", metavar="NAME", help="Retry schedule (postfix, exim, opensmtpd)."),
]
Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Write the tables as a page too.")
]


def register(app: typer.Typer) -> None:
    app.command("what-if")(what_if)


def what_if(
    file: Annotated[Path, _FILE],
    origin: Origin = None,
    lasts: Lasts = None,
    schedule: Schedules = None,
    html: Html = None,
    json: AsJson = False,
) -> None:
    """Play each outage of your own set-up, and show what becomes of the mail.

    Each exchange, each pair of them, each name server and the network between them fails, for an
    hour, a day and six days, all in the simulation: nothing is asked of the real DNS, and names
    become reserved ones. Exit code 1 where mail was lost.
    """
    from mxlab.chaos.jobs import cores
    from mxlab.cli.reports import check_writable
    from mxlab.whatif.outage import DURATIONS
    from mxlab.whatif.page import page
    from mxlab.whatif.plan import SCHEDULES, cases, fates
    from mxlab.whatif.table import broken, table_of

    durations = [_seconds(one) for one in lasts] if lasts else list(DURATIONS)
    names = _known(schedule) if schedule else list(SCHEDULES)
    if html is not None:
        check_writable(html)
    site = _site(file, origin)
    for warning in site.warnings:
        note(f"mxlab: {file}: {warning}")
    wanted = cases(site, durations, names)
    found, tables = [], []
    note(f"mxlab: playing {len(wanted)} outages; Ctrl-C ends it")
    for _, group in groupby(fates(site, wanted, cores()), lambda fate: fate.schedule):
        own = list(group)
        found += own
        tables.append(table_of(own))
        if not json:
            _tell(tables[-1])
    if json:
        say_json({"names": site.names, "fates": found})
    if html is not None:
        html.write_text(page(str(file), tables, site.names), encoding="utf-8")
        note(f"mxlab: written to {html}")
    if wrong := broken(found):
        for line in wrong:
            note(f"mxlab: {line}")
        raise typer.Exit(EXIT_FAILED)


def _tell(shown: "FateTable") -> None:
    say(f"Retry schedule: {shown.schedule}")
    if shown.rows:
        table(shown.headings, shown.rows)
    if shown.harmless:
        say_line(f"No mail has to wait when one of these fails: {'; '.join(shown.harmless)}")
    say()


def _site(file: Path, origin: str | None) -> "Site":
    from mxlab.cli.given import GivenZone, given_setup
    from mxlab.plan.checked import checked_topology
    from mxlab.scenario.load import load_topology
    from mxlab.whatif.site import site_of_topology, site_of_zone

    given = given_setup(file, origin)
    if isinstance(given, GivenZone):
        return site_of_zone(given.text, given.origin, given.file)
    return site_of_topology(checked_topology(load_topology(given.path)))


def _seconds(text: str) -> float:
    from mxlab.model.duration import parse_duration

    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--lasts: {error}") from error
    if not 1.0 <= seconds <= 3650 * 86400.0:
        raise UsageError(f"--lasts: {text} is no length of an outage", "write 90m, 1d or 6d")
    return seconds


def _known(names: list[str]) -> list[str]:
    from mxlab_services.queue.retry import SCHEDULES

    for name in names:
        if name not in SCHEDULES:
            raise UnknownName("schedule", name, SCHEDULES)
    return list(dict.fromkeys(names))
