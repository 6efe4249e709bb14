"""status: the labs of this machine, and how their nodes are."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxlab.backends.registry import backend_named, find_labs
from mxlab.cli.layout import hanging
from mxlab.cli.mailprogram import settings
from mxlab.cli.options import DEFAULT_LAB, AsJson, lab_option
from mxlab.cli.output import complain, note, say, say_json, table, width
from mxlab.cli.running import HANDS, attached, work
from mxlab.cli.submission import submission_lines
from mxlab.errors import LabError

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab.operate.describe import LabView
    from mxlab.picture.diagram import Diagram


def register(app: typer.Typer) -> None:
    app.command()(status)


def status(
    lab: Annotated[str | None, lab_option("Which lab.")] = None,
    json: AsJson = False,
) -> None:
    """Show the labs of this machine, and how their nodes are."""
    work(_status(lab, json))


async def _status(name: str | None, json: bool) -> None:
    if name is not None or HANDS.get() is not None:
        async with attached(name or DEFAULT_LAB) as lab:
            shown: list[tuple[dict[str, Any], Diagram | None]] = [await _seen(lab)]
    else:
        labs, unseen = await find_labs()
        if unseen and not json:
            note(f"mxlab: only local processes are shown: {unseen}")
        shown = [await _describe_found(found) for found in labs]
    if json:
        say_json([plain for plain, _ in shown])
        return
    if not shown:
        say("No lab is up.")
    for number, (one, diagram) in enumerate(shown):
        if number:
            say()
        say(f"lab {one['lab']} ({one['backend']}, run {one['run'] or 'unknown'})")
        show(one)
        if diagram is not None:  # all of it could be seen
            for line in (*settings(one), *submission_lines(one)):
                say(line)
            say()
            _draw(diagram)


def _draw(diagram: "Diagram") -> None:
    from mxlab.picture.text import text_picture

    for text, hang in text_picture(diagram, addresses=False):
        for line in hanging(text, width(sys.stdout), hang):
            say(line)


async def _describe_found(found: Any) -> "tuple[dict[str, Any], Diagram | None]":
    try:
        async with backend_named(found.backend).attach(found.lab) as lab:
            return await _seen(lab)
    except LabError as error:
        complain(error)
        nodes = [{"node": node, "state": state} for node, state in found.nodes.items()]
        return {"lab": found.lab, "backend": found.backend, "run": found.run, "nodes": nodes}, None


async def _seen(lab: "Lab") -> "tuple[dict[str, Any], Diagram]":
    """All that is said of a lab that is up, as plain data, and what its picture shows."""
    from mxlab.operate.describe import describe
    from mxlab.picture.of_lab import diagram_of_view

    view = await describe(lab)
    return _plain(view), diagram_of_view(lab, view)


def _plain(view: "LabView") -> dict[str, Any]:
    import msgspec

    plain: dict[str, Any] = msgspec.to_builtins(view)
    return plain


async def described(lab: "Lab") -> dict[str, Any]:
    """All that is said of a lab that is up, as plain data."""
    from mxlab.operate.describe import describe

    return _plain(await describe(lab))


def _shown_role(node: dict[str, Any]) -> str:
    """What it is, and whose mail server, where it is not ours."""
    role = str(node.get("role", ""))
    return f"{role}, {node['software']}" if "software" in node else role


def show(lab: dict[str, Any]) -> None:
    """The same as a table."""
    rows = [
        (
            node["node"],
            _shown_role(node),
            node.get("address", ""),
            node["state"],
            "-" if node.get("queued") is None else node["queued"],
            node.get("problem") or "  ".join((node.get("published") or {}).values()),
        )
        for node in (*lab["nodes"], *lab.get("imap", ()))
    ]
    table(("NODE", "ROLE", "ADDRESS", "STATE", "QUEUED", "OPEN HERE AT"), rows)
