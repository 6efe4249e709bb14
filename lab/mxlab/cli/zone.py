"""zone: the lab's DNS zones, seen and changed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import note, say, say_json
from mxlab.cli.running import attached, work
from mxlab.errors import LabError, UnknownName, UsageError

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab_services.control.replies import ZoneReport

app = typer.Typer(
    help="See and change the lab's DNS zones.", no_args_is_help=True, rich_markup_mode=None
)


def register(top: typer.Typer) -> None:
    top.add_typer(app, name="zone")


@app.command("list")
def list_zones(
    origin: Annotated[str | None, typer.Argument(metavar="[ORIGIN]")] = None,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Show the zones, or one of them."""
    work(_list(origin, lab, json))


async def _list(origin: str | None, lab_name: str, json: bool) -> None:
    from mxlab.operate.zones import folded_origin

    async with attached(lab_name) as lab:
        found = await _served(lab)
        several = len(lab.topology.dns_hosts) > 1
    if origin is not None:
        wanted = folded_origin(origin)
        known = {report.origin for _, report in found}
        found = [(node, report) for node, report in found if folded_origin(report.origin) == wanted]
        if not found:
            raise UnknownName("zone", origin, known)
    if json:
        say_json([report for _, report in found])
        return
    for node, report in found:
        _show(report, node if several else "")


@app.command("set")
def set_zone(
    origin: Annotated[str, typer.Argument(metavar="ORIGIN")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Zone text; - is standard input.")],
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Put zone text (RFC 1035 §5) in the place of a zone, or add the zone."""
    import sys

    from mxlab.scenario.zones import read_zone

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    read_zone(origin, text, "standard input" if str(file) == "-" else str(file))
    work(_set(origin, text, lab, json))


async def _set(origin: str, text: str, lab_name: str, json: bool) -> None:
    from mxlab.operate.zones import replace_zone

    async with attached(lab_name) as lab:
        report = await replace_zone(lab, origin, text)
    _tell(report, json)


Record = Annotated[
    list[str], typer.Argument(metavar="RECORD...", help="A line of zone text, quoted or not.")
]


@app.command("add")
def add(record: Record, lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """Add a record: `mxlab zone add example.test. 60 IN MX 30 mx3.example.test.`"""
    work(_update(" ".join(record), True, lab, json))


@app.command("remove")
def remove(record: Record, lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """Remove a record, or, without its data, all of that name and type: `example.test. MX`."""
    work(_update(" ".join(record), False, lab, json))


async def _update(record: str, adding: bool, lab_name: str, json: bool) -> None:
    from mxlab.operate.zones import change_record

    async with attached(lab_name) as lab:
        report, silent = await change_record(lab, record, adding=adding)
    _note_silent(silent)
    _tell(report, json)


async def _served(lab: "Lab") -> "list[tuple[str, ZoneReport]]":
    from mxlab.operate.zones import zones_served

    found, silent = await zones_served(lab)
    _note_silent(silent)
    return found


def _note_silent(silent: "list[LabError]") -> None:
    for problem in silent:
        note(str(problem))


def _tell(report: "ZoneReport", json: bool) -> None:
    if json:
        say_json(report)
    else:
        _show(report)


def _show(report: "ZoneReport", node: str = "") -> None:
    at = f", at {node}" if node else ""
    if report.copy_of and not report.records:
        say(f"; zone {report.origin}, no copy{at}")
        return
    say(f"; zone {report.origin}, serial {report.serial}{', a copy' * bool(report.copy_of)}{at}")
    for record in report.records:
        say(record)
    for warning in report.warnings:
        say(f"; warning: {warning}")
