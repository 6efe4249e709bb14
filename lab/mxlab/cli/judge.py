"""judge: the checks, applied to all that has happened in a lab that is up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, note, say, say_json, say_line, table
from mxlab.cli.running import attached, work

if TYPE_CHECKING:
    from mxlab.history.ledger import Unit
    from mxlab.runner.now import Inspection

MOST = 20  # units that the table shows, unless all are asked for


def register(app: typer.Typer) -> None:
    app.command()(judge)


def judge(
    checks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CHECK...]", help="Which checks (what holds in every lab)."),
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="The ledger whole, however long.")] = False,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Judge what has happened in a running lab so far, by hand or by a program under test.

    The ledger says of each message and recipient what became of it. Exit codes are those of a run:
    0 pass, 1 a promise was broken, 4 inconclusive.
    """
    work(_judge(checks or [], all_, lab, json))


async def _judge(names: list[str], everything: bool, lab_name: str, json: bool) -> None:
    from mxlab.model.finding import Verdict, overall
    from mxlab.runner.now import inspect
    from mxlab.runner.result import EXIT_CODES

    async with attached(lab_name) as lab:
        with Waiting() as progress:
            progress("reading events, queues and mailboxes")
            found = await inspect(lab, names)
    verdict = Verdict.UNKNOWN if found.moving else overall(found.findings)
    if json:
        rows = [_row(unit) for unit in found.units]
        say_json({"verdict": verdict, "findings": list(found.findings), "ledger": rows})
    else:
        _tell(found, everything)
    raise typer.Exit(EXIT_CODES[verdict])


def _tell(found: "Inspection", everything: bool) -> None:
    from mxlab.report.text import finding_lines

    for finding in found.findings:
        for line in finding_lines(finding):
            say_line(line, hang=10)
    if found.units:
        say()
        _show_ledger(found.units if everything else found.units[:MOST])
    if not everything and (more := len(found.units) - MOST) > 0:
        note(f"mxlab: and {more} more: `mxlab judge --all`")
    if found.moving:
        note("mxlab: mail is on its way: judge again when it rests (`mxlab queue`)")


def _show_ledger(units: "Sequence[Unit]") -> None:
    rows = [(unit.message, unit.recipient, unit.state, _where(unit)) for unit in units]
    table(("message", "recipient", "state", "where"), rows)


def _where(unit: "Unit") -> str:
    match unit.state:
        case "delivered":
            return ", ".join(node for node, _ in unit.copies)
        case "queued":
            return ", ".join(unit.queued)
        case "bounced":
            return unit.bounced[0]
        case "lost":
            return f"owed by {unit.owed[-1]}"
        case "expanded":
            return ", ".join(sorted(unit.members))
        case _:
            return ""


def _row(unit: "Unit") -> dict[str, object]:
    return {
        "message": unit.message, "recipient": unit.recipient, "state": unit.state,
        "where": _where(unit), "copies": unit.deliveries, "owed": unit.owed,
        "lost_acknowledgements": unit.unknowns,
    }  # fmt: skip
