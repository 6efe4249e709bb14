"""dig, route and zone: what DNS says, what follows from it for mail, and changing it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.completion import node_names
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import say, say_json, say_line
from mxlab.cli.running import attached, check_address, mtas, node_called, work
from mxlab.errors import EXIT_ENVIRONMENT, UnknownName, UsageError

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab_services.control.replies import ZoneReport

TYPES = (
    "A", "AAAA", "ANY", "CAA", "CERT", "CNAME", "DNSKEY", "DS", "HINFO", "MX", "NAPTR", "NS", "PTR",
    "SOA", "SPF", "SRV", "SSHFP", "TLSA", "TXT", "URI",
)  # fmt: skip

zones = typer.Typer(
    help="See and change the lab's DNS zones.", no_args_is_help=True, rich_markup_mode=None
)


def register(app: typer.Typer) -> None:
    app.command()(dig)
    app.command()(route)


def dig(
    words: Annotated[
        list[str], typer.Argument(metavar="NAME [TYPE]", help="In either order, as dig takes them.")
    ],
    tcp: Annotated[bool, typer.Option("--tcp", help="Ask over TCP.")] = False,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Ask the lab's DNS server. Exit code 3 where it does not answer."""
    name, kind = question(words)
    work(_dig(name, kind, tcp, lab, json))


def question(words: list[str]) -> tuple[str, str]:
    """Name and type from dig's words. Raises UsageError."""
    types = [word.upper() for word in words if _is_type(word)]
    names = [word for word in words if not _is_type(word)]
    if len(names) == 2 and not types:
        raise UnknownName("record type", names[1].upper(), TYPES)
    if len(names) != 1 or len(types) > 1:
        raise UsageError("give one name, and at most one type", "`mxlab dig example.test MX`")
    return names[0], types[0] if types else "A"


def _is_type(word: str) -> bool:
    """Whether dig would take `word` for a type: a mnemonic, or TYPE1234 (RFC 3597 §5)."""
    upper = word.upper()
    return upper in TYPES or (upper.startswith("TYPE") and upper[4:].isdecimal())


async def _dig(name: str, kind: str, tcp: bool, lab_name: str, json: bool) -> None:
    from mxlab_services.control.requests import Dig

    async with attached(lab_name) as lab:
        answer = await node_called(lab, lab.topology.client).request(Dig(name, kind, tcp))
    if json:
        say_json(answer)
    else:
        say(answer.text.rstrip("\n"))
    if answer.rcode == "TIMEOUT":
        raise typer.Exit(EXIT_ENVIRONMENT)


def route(
    address: Annotated[str, typer.Argument(metavar="ADDRESS")],
    node: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="NODE", help="From this node (the client).", autocompletion=node_names
        ),
    ] = None,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Where a message to ADDRESS would go, and why."""
    check_address(address)
    work(_route(address, node, lab, json))


async def _route(address: str, node: str | None, lab_name: str, json: bool) -> None:
    from mxlab_services.control.requests import Route

    async with attached(lab_name) as lab:
        start = mtas(lab, [lab.topology.client if node is None else node])[0]
        report = await start.request(Route(address))
    if json:
        say_json(report)
        return
    say(f"{report.address} from {start.config.node}: {report.status}")
    for number, decision in enumerate(report.decisions, 1):
        say_line(f"{number:>3}. {decision}", hang=5)
    for target in report.targets:
        say(f"  -> {target}")
    if report.reply:
        say_line(f"  {report.reply}")


@zones.command("list")
def list_zones(
    origin: Annotated[str | None, typer.Argument(metavar="[ORIGIN]")] = None,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Show the zones, or one of them."""
    work(_list(origin, lab, json))


async def _list(origin: str | None, lab_name: str, json: bool) -> None:
    async with attached(lab_name) as lab:
        reports = await _reports(lab)
    if origin is not None:
        wanted = _origin(origin)
        known = [report.origin for report in reports]
        reports = [report for report in reports if _origin(report.origin) == wanted]
        if not reports:
            raise UnknownName("zone", origin, known)
    if json:
        say_json(reports)
        return
    for report in reports:
        _show(report)


@zones.command("set")
def set_zone(
    origin: Annotated[str, typer.Argument(metavar="ORIGIN")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Zone text; - is standard input.")],
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Put zone text (RFC 1035 §5) in the place of a zone, or add the zone."""
    import sys

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    work(_set(origin, text, lab, json))


async def _set(origin: str, text: str, lab_name: str, json: bool) -> None:
    from mxlab_services.control.requests import ZoneReplace

    async with attached(lab_name) as lab:
        report = await node_called(lab, lab.topology.dns).request(ZoneReplace(origin, text))
    _tell(report, json)


Record = Annotated[
    list[str], typer.Argument(metavar="RECORD...", help="A line of zone text, quoted or not.")
]


@zones.command("add")
def add(record: Record, lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """Add a record: `mxlab zone add example.test. 60 IN MX 30 mx3.example.test.`"""
    work(_update(" ".join(record), True, lab, json))


@zones.command("remove")
def remove(record: Record, lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """Remove a record, or, without its data, all of that name and type: `example.test. MX`."""
    work(_update(" ".join(record), False, lab, json))


async def _update(record: str, adding: bool, lab_name: str, json: bool) -> None:
    from mxlab_services.control.requests import ZoneUpdate

    name = record.split(maxsplit=1)[0] if record.split() else ""
    async with attached(lab_name) as lab:
        known = [report.origin for report in await _reports(lab)]
        origin = _holding(name, known)
        request = ZoneUpdate(origin, [record], []) if adding else ZoneUpdate(origin, [], [record])
        report = await node_called(lab, lab.topology.dns).request(request)
    _tell(report, json)


def _holding(name: str, origins: list[str]) -> str:
    """The longest origin that the name lies in. Raises UsageError."""
    wanted = _origin(name)
    holding = [o for o in origins if wanted == _origin(o) or wanted.endswith("." + _origin(o))]
    if not holding:
        raise UsageError(f"{name!r} lies in no zone of the lab", f"zones: {', '.join(origins)}")
    return max(holding, key=len)


async def _reports(lab: "Lab") -> "list[ZoneReport]":
    from mxlab_services.control.requests import ZoneList

    return await node_called(lab, lab.topology.dns).request(ZoneList())


def _tell(report: "ZoneReport", json: bool) -> None:
    if json:
        say_json(report)
    else:
        _show(report)


def _show(report: "ZoneReport") -> None:
    say(f"; zone {report.origin}, serial {report.serial}")
    for record in report.records:
        say(record)
    for warning in report.warnings:
        say(f"; warning: {warning}")


def _origin(name: str) -> str:
    from mxlab_services.domain import fold_domain

    return fold_domain(name)
