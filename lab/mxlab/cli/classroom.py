"""class: a seat with a whole lab for each student, and the teacher's side of it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.classup import add_commands
from mxlab.cli.options import AsJson
from mxlab.cli.output import note, say, say_json, say_line
from mxlab.cli.running import work
from mxlab.errors import EXIT_FAILED, UsageError

if TYPE_CHECKING:
    from mxlab.classroom.asking import Asker
    from mxlab.classroom.rehearse import RehearsalReport

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
LOOPBACK = "127.0.0.1"
SEAT_URL = "http://seat-{number}:8025"
ServerUrl = Annotated[
    str,
    typer.Option(
        "--server", envvar="MXLAB_CLASS", metavar="URL", help="Of the class server, to its port."
    ),
]
Token = Annotated[
    str,
    typer.Option("--token", envvar="MXLAB_CLASS_TOKEN", metavar="WORD", help="The teacher's."),
]
SeatNumber = Annotated[int, typer.Argument(metavar="SEAT", min=1, help="Its number.")]


def register(top: typer.Typer) -> None:
    add_commands(app)
    top.add_typer(app, name="class", help="A seat with a whole lab for each student of a class.")


@app.callback()
def classroom() -> None:
    """A seat with a whole lab for each student of a class."""


@app.command()
def serve(
    config: Annotated[Path, typer.Option("--config", metavar="FILE", help="The class.")],
    data: Annotated[Path, typer.Option("--data", metavar="DIR", help="Where progress is kept.")],
    address: Annotated[
        str, typer.Option("--address", metavar="ADDRESS", help="Of this machine (127.0.0.1).")
    ] = LOOPBACK,
    port: Annotated[
        int | None,
        typer.Option("--port", metavar="PORT", min=0, max=65535, help="Where (the class's)."),
    ] = None,
    seat_url: Annotated[
        str,
        typer.Option("--seat-url", metavar="URL", help="A seat's board: {number}, {port} in it."),
    ] = SEAT_URL,
    host: Annotated[
        list[str] | None,
        typer.Option("--host", metavar="NAME", help="By which students may call it; repeatable."),
    ] = None,
) -> None:
    """Serve a class until Ctrl-C: the instructor's view, progress, and the way to the seats.

    `mxlab class up` starts it by itself, in a container.
    """
    from mxlab.classroom.plan import read_plan
    from mxlab.classroom.server import serve_class

    _check_seat_url(seat_url)
    plan = read_plan(config)
    where = plan.port if port is None else port

    def told(root: str) -> None:
        say(f"The class {plan.name!r} is served at {root} until Ctrl-C.")

    work(serve_class(plan, data, address, where, seat_url, host or (), told))


def _check_seat_url(url: str) -> None:
    import string

    try:
        names = {name for _, name, _, _ in string.Formatter().parse(url) if name is not None}
    except ValueError:
        names = {"?"}
    if not names <= {"number", "port"} or not names or not url.startswith("http://"):
        raise UsageError(
            f"--seat-url {url!r} leads to no seat", f"write it as {SEAT_URL} is written"
        )


@app.command()
def skip(
    seat: SeatNumber,
    task: Annotated[str, typer.Argument(metavar="TASK", help="Its id, as the page shows it.")],
    server: ServerUrl = "",
    token: Token = "",
) -> None:
    """Pass a task of a seat over, with all before it: its lab is brought to where they lead."""
    with _asker(server, token) as ask:
        ask.post(f"/api/class/seats/{seat}/skip", {"task": task})
    say_line(f"Seat {seat} goes on after {task}.")


@app.command()
def message(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to say.")],
    seat: Annotated[
        int, typer.Option("--seat", metavar="SEAT", min=0, help="To that seat only.")
    ] = 0,
    server: ServerUrl = "",
    token: Token = "",
) -> None:
    """Say something to all students, or to one."""
    with _asker(server, token) as ask:
        ask.post("/api/class/message", {"text": text, "seat": seat})


@app.command()
def ask(
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="To all.")],
    choice: Annotated[
        list[str] | None,
        typer.Option("--choice", metavar="TEXT", help="One answer to choose; repeatable."),
    ] = None,
    server: ServerUrl = "",
    token: Token = "",
) -> None:
    """Ask all students something; the instructor's view shows how the answers are distributed."""
    with _asker(server, token) as asker:
        asker.post("/api/class/question", {"text": question, "choices": choice or []})


@app.command()
def export(
    csv: Annotated[bool, typer.Option("--csv", help="As CSV, for spreadsheets.")] = False,
    json: AsJson = False,
    server: ServerUrl = "",
    token: Token = "",
) -> None:
    """Print what all students did: seat, exercise, task, result, tries, hints, time."""
    if csv and json:
        raise UsageError("--csv and --json are two forms", "give one of them")
    with _asker(server, token) as ask:
        if csv:
            say(ask.text("/api/class/export.csv").rstrip("\n"))
        else:
            say_json(ask.get("/api/class/export.json"))


@app.command()
def rehearse(
    seats: Annotated[
        int, typer.Option("--seats", metavar="N", min=1, max=200, help="How many (30).")
    ] = 30,
    track: Annotated[
        str, typer.Option("--track", metavar="TRACK", help="Which exercises they work through.")
    ] = "store-and-forward",
    exercises: Annotated[
        int,
        typer.Option("--exercises", metavar="N", min=1, help="Only the first of the track (all)."),
    ] = 100,
    pace: Annotated[
        float,
        typer.Option("--pace", metavar="SECONDS", min=0, max=600, help="Thought before each act."),
    ] = 5.0,
    local: Annotated[
        bool, typer.Option("--local", help="Seats in processes of this machine, ended at the end.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE", help="The class that is up (with --server)."),
    ] = None,
    server: ServerUrl = "",
    json: AsJson = False,
) -> None:
    """Play a class: simulated students work through a track, and a table says what limits.

    Each thinks, errs, takes hints and checks by the page's API; what is to be done by hand is done
    by the page's skip. Either with --local, or at a class that is up. Exit code 1: this machine
    will not do.
    """
    from mxlab.classroom.rehearse import as_lines, track_exercises

    if local == (config is not None) or (not local and not server):
        raise UsageError(
            "rehearse where?", "with --local, or with --config FILE and --server URL of a class"
        )
    ids = track_exercises(track)[:exercises]
    report = work(_rehearse(seats, track, ids, pace, config, server))
    if json:
        say_json(report)
    else:
        for line in as_lines(report):
            say_line(line)
    if not report.will_do:
        raise typer.Exit(EXIT_FAILED)


async def _rehearse(
    seats: int, track: str, ids: list[str], pace: float, config: Path | None, server: str
) -> "RehearsalReport":
    from mxlab.classroom.plan import make_plan, read_plan
    from mxlab.classroom.rehearse import memory_left, rehearse

    def tell(seat: int, exercise: str) -> None:
        note(f"seat {seat}: {exercise} is done")

    if config is not None:
        return await rehearse(
            read_plan(config), server, ids, pace=pace, memory_before=0.0, tell=tell
        )
    from mxlab.classroom.local_seats import local_class

    before = memory_left()
    plan = make_plan("rehearsal", track, seats)
    async with local_class(plan) as root:
        return await rehearse(plan, root, ids, pace=pace, memory_before=before, tell=tell)


def _asker(server: str, token: str) -> "Asker":
    from mxlab.classroom.asking import Asker

    if not server or not token:
        hint = "`mxlab class up` prints them; MXLAB_CLASS and MXLAB_CLASS_TOKEN keep them"
        raise UsageError("which class? give --server URL and --token WORD", hint)
    return Asker(server, token)
