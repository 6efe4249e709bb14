"""board: a lab over HTTP, for people and for programs in any language."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, BackendName, ExerciseFolder, LabName
from mxlab.cli.output import note, say, say_json
from mxlab.cli.running import attached, work
from mxlab.errors import UsageError

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab.board.serve import Served
    from mxlab.board.terminals import Terminals
    from mxlab.operate.hands import Typed

PORT = 8025
GIVES_WAY = 5  # levels of niceness
LOOPBACK = "127.0.0.1"


def register(app: typer.Typer) -> None:
    app.command()(board)


def board(
    lab: LabName = DEFAULT_LAB,
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Where (8025; 0: any).")
    ] = PORT,
    address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Of this machine (127.0.0.1).")
    ] = LOOPBACK,
    token: Annotated[
        str,
        typer.Option(envvar="MXLAB_TOKEN", metavar="WORD", help="Who knows it may ask (random)."),
    ] = "",
    base_path: Annotated[
        str, typer.Option(metavar="PATH", help="Below which a proxy has it: /seat/7 (none).")
    ] = "",
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another name by which it is called, with its port."),
    ] = None,
    terminal: Annotated[
        bool, typer.Option("--terminal", help="With shells of this machine, for the lab.")
    ] = False,
    exercises: ExerciseFolder = None,
    backend: BackendName = "auto",
    openapi: Annotated[
        bool, typer.Option("--openapi", help="Print the API's OpenAPI document.")
    ] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/api.md.")] = False,
    json: AsJson = False,
) -> None:
    """Serve a lab over HTTP until Ctrl-C: an API, events as they come, figures for Prometheus.

    The lab may come up later, go down, and come up again. For example: mxlab board --port 0 --json;
    curl -H "Authorization: Bearer TOKEN" http://127.0.0.1:8025/api/v1/lab.
    """
    if openapi or markdown:
        _documents(openapi, markdown)
        return
    if token and (len(token) < 8 or not token.isascii() or not token.isprintable()):
        raise UsageError("--token: at least eight letters, digits or signs", "or leave it out")
    place = BoardPlace(port, address, token, _base(base_path), _names(allow_host or []))
    work(_serve(lab, place, json, exercises, backend, terminal=terminal))


class BoardPlace(NamedTuple):
    """Where a board is served, and by which names."""

    port: int
    address: str
    token: str
    base: str
    hosts: list[str]


def _base(path: str) -> str:
    """The path without its last slash. Raises UsageError."""
    bare = path.rstrip("/")
    if path and (not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", bare) or path[0] != "/"):
        raise UsageError(f"--base-path: {path[:80]!r} is no path", "one like /seat/7")
    return bare


def _names(names: list[str]) -> list[str]:
    """Raises UsageError for what cannot stand in a Host field."""
    for name in names:
        if not re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", name):
            raise UsageError(
                f"--allow-host: {name[:80]!r} is no host", "lab.example, or [::1]:8025"
            )
    return names


def _documents(openapi: bool, markdown: bool) -> None:
    from mxlab.board.openapi import openapi as document
    from mxlab.board.openapi import page

    if openapi and markdown:
        raise UsageError("--openapi and --markdown are two documents", "give one of them")
    if markdown:
        say(page().rstrip("\n"))
    else:
        say_json(document())


async def _serve(
    name: str,
    place: BoardPlace,
    json: bool,
    exercises: Path | None,
    backend: str,
    *,
    terminal: bool,
) -> None:
    import asyncio

    from mxlab.board.board import Board
    from mxlab.board.desk import Desk
    from mxlab.board.serve import listen, serving

    desk = Desk(_typed, exercises, backend)
    board = Board(name, lambda: attached(name), desk, _terminals(name, exercises, terminal))
    listener = listen(place.address, place.port)
    os.nice(GIVES_WAY)  # to the lab, on a machine that has more to do than it can
    async with serving(board, listener, place.token, place.base, place.hosts) as served:
        _tell(served, name, json, terminal)
        await asyncio.Event().wait()


def _terminals(lab: str, exercises: Path | None, wanted: bool) -> "Terminals | None":
    """Raises EnvironmentProblem where they are wanted, and what they need is not here."""
    if not wanted:
        return None
    from mxlab.board.terminals import Terminals, xterm

    xterm()
    folder = {} if exercises is None else {"MXLAB_SCENARIOS": str(exercises.resolve())}
    return Terminals(lab, folder)


async def _typed(lab: "Lab", line: str) -> "Typed":
    """Every command is loaded only once one is to be typed for somebody."""
    from mxlab.cli.hands import type_command

    return await type_command(lab, line)


def _tell(served: "Served", lab: str, json: bool, terminals: bool) -> None:
    if json:
        say_json({"lab": lab, "url": served.root, "token": served.token})
        return
    say(f"The lab {lab!r} is served at {served.root}{served.base}/api/v1 until Ctrl-C.")
    say(f"In a browser: {served.url}")
    say(f"For programs: Authorization: Bearer {served.token}")
    if served.address not in (LOOPBACK, "::1"):
        note("mxlab: whoever reaches this address and knows the token can break the lab")
    if terminals:
        note("mxlab: whoever has the token has a shell of yours on this machine")
