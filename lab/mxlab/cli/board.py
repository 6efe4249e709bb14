"""board: a lab, or a run that is over, over HTTP, for people and for programs in any language."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, BackendName, ExerciseFolder, LabName
from mxlab.cli.output import note, say, say_json
from mxlab.cli.running import attached, work
from mxlab.errors import UsageError

if TYPE_CHECKING:
    from socket import socket

    from mxlab.backends.base import Lab
    from mxlab.board.board import Board
    from mxlab.board.recorded import RecordedRun
    from mxlab.board.serve import Served
    from mxlab.board.terminals import Terminals
    from mxlab.operate.hands import Typed

PORT = 8025
GIVES_WAY = 5  # levels of niceness
LOOPBACK = "127.0.0.1"
Announce = Callable[["Served"], None]  # says where it is served


def register(app: typer.Typer) -> None:
    app.command()(board)


def board(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="Replay: what `mxlab run --record` or --bundle wrote; or a scenario to be "
            "simulated first.",
        ),
    ] = None,
    lab: LabName = DEFAULT_LAB,
    speed: Annotated[
        float | None,
        typer.Option(metavar="N", help="Of a replay: lab seconds in a real one."),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option("--in", metavar="TIME", help="Of a replay: all of it in so long (60s)."),
    ] = None,
    paused: Annotated[
        bool, typer.Option("--paused", help="A replay stands at its beginning until it is played.")
    ] = False,
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

    The lab may come up later, go down, and come up again. With RUN a run that is over is replayed
    in its place, by the same page and the same API, as far as they only read.

    For example: mxlab board --port 0 --json; mxlab board run.jsonl --speed 7200; mxlab board
    five-day-outage --in 60s.
    """
    if openapi or markdown:
        _documents(openapi, markdown)
        return
    if token and (len(token) < 8 or not token.isascii() or not token.isprintable()):
        raise UsageError("--token: at least eight letters, digits or signs", "or leave it out")
    place = BoardPlace(port, address, token, _base(base_path), _names(allow_host or []))
    if run is None and (speed is not None or within is not None or paused):
        raise UsageError(
            "--speed, --in and --paused are of a replay",
            "name a run: `mxlab board RUN.jsonl`; a lab that is up has its own time",
        )
    if run is not None and terminal:
        raise UsageError("--terminal is of a lab that is up", "leave it out")
    if run is None:
        work(_live(lab, place, json, exercises, backend, terminal=terminal))
        return
    seconds = _seconds(within, speed)
    recorded = _recorded(run, exercises)
    work(_replay(recorded, speed, seconds, paused, place, json))


class BoardPlace(NamedTuple):
    """Where a board is served, and by which names."""

    port: int = PORT
    address: str = LOOPBACK
    token: str = ""
    base: str = ""
    hosts: tuple[str, ...] = ()


def _base(path: str) -> str:
    """The path without its last slash. Raises UsageError."""
    bare = path.rstrip("/")
    if path and (not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", bare) or path[0] != "/"):
        raise UsageError(f"--base-path: {path[:80]!r} is no path", "one like /seat/7")
    return bare


def _names(names: list[str]) -> tuple[str, ...]:
    """Raises UsageError for what cannot stand in a Host field."""
    for name in names:
        if not re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", name):
            raise UsageError(
                f"--allow-host: {name[:80]!r} is no host", "lab.example, or [::1]:8025"
            )
    return tuple(names)


def _documents(openapi: bool, markdown: bool) -> None:
    from mxlab.board.openapi import openapi as document
    from mxlab.board.openapi import page

    if openapi and markdown:
        raise UsageError("--openapi and --markdown are two documents", "give one of them")
    if markdown:
        say(page().rstrip("\n"))
    else:
        say_json(document())


def _seconds(within: str | None, speed: float | None) -> float | None:
    """The real seconds of --in. Raises UsageError, for a speed too."""
    from mxlab.board.wishes import FASTEST, SLOWEST
    from mxlab.model.duration import parse_duration

    if within is not None and speed is not None:
        raise UsageError("--speed and --in both say how fast", "give one of them")
    if speed is not None and not SLOWEST <= speed <= FASTEST:
        raise UsageError(f"--speed: {SLOWEST:g} to {FASTEST:.0f} lab seconds in a real one")
    if within is None:
        return None
    try:
        seconds = parse_duration(within)
    except ValueError as error:
        raise UsageError(f"--in: {error}") from error
    if not 0 < seconds <= 86_400:
        raise UsageError("--in: more than no time, and a day at most")
    return seconds


def _recorded(name: str, folder: Path | None) -> "RecordedRun":
    """The run of that name: a file that has one, or a story, simulated now."""
    path = Path(name)
    if path.suffix in (".jsonl", ".zip") or (
        path.is_file() and path.suffix not in (".yaml", ".yml")
    ):
        from mxlab.cli.recordings import recorded_in

        return recorded_in(path)
    from mxlab.cli.recordings import simulated

    return simulated(name, folder)


async def _replay(
    run: "RecordedRun",
    speed: float | None,
    seconds: float | None,
    paused: bool,
    place: BoardPlace,
    json: bool,
) -> None:
    from mxlab.board.replay import ReplayBoard
    from mxlab.board.serve import listen

    board = ReplayBoard(run, speed, playing=not paused)
    if seconds is not None:
        board.replay.speed = board.replay.speed_for(seconds)
    listener = listen(place.address, place.port)
    await _serving(board, listener, place, lambda served: _tell_replay(served, board, json))


async def _live(
    lab: str,
    place: BoardPlace,
    json: bool,
    exercises: Path | None,
    backend: str,
    *,
    terminal: bool,
) -> None:
    from mxlab.board.serve import listen

    terminals = _terminals(lab, exercises, terminal)
    listener = listen(place.address, place.port)
    board = _board_of(lab, exercises, backend, terminals)
    await _serving(board, listener, place, lambda served: _tell(served, lab, json, terminal))


async def serve(name: str, listener: "socket", backend: str, announce: Announce) -> None:
    """Serve the lab of that name until cancelled, under a new token."""
    await _serving(_board_of(name, None, backend, None), listener, BoardPlace(), announce)


def _board_of(
    name: str, exercises: Path | None, backend: str, terminals: "Terminals | None"
) -> "Board":
    from mxlab.board.board import Board
    from mxlab.board.desk import Desk

    return Board(name, lambda: attached(name), Desk(_typed, exercises, backend), terminals)


async def _serving(
    board: "Board", listener: "socket", place: BoardPlace, announce: Announce
) -> None:
    import asyncio

    from mxlab.board.serve import serving

    os.nice(GIVES_WAY)  # to the lab, on a machine that has more to do than it can
    async with serving(board, listener, place.token, place.base, place.hosts) as served:
        announce(served)
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
        say_json({"lab": lab, **where_served(served)})
        return
    say(f"The lab {lab!r} is served at {served.root}{served.base}/api/v1 until Ctrl-C.")
    tell_where(served, "break the lab")
    if terminals:
        note("mxlab: whoever has the token has a shell of yours on this machine")


def _tell_replay(served: "Served", board: "Board", json: bool) -> None:
    if json:
        say_json({"replay": board.name, **where_served(served)})
        return
    say(f"The run of {board.name!r} is replayed at {served.root}{served.base}/api/v1 until Ctrl-C.")
    tell_where(served, "read the run")


def where_served(served: "Served") -> dict[str, str]:
    """Where a board is and who may ask, for programs."""
    return {"url": served.root, "token": served.token}


def tell_where(served: "Served", harm: str) -> None:
    """Where a board is and who may ask, for people; `harm`: what others could do there."""
    say(f"In a browser: {served.url}")
    say(f"For programs: Authorization: Bearer {served.token}")
    if served.address not in (LOOPBACK, "::1"):
        note(f"mxlab: whoever reaches this address and knows the token can {harm}")
