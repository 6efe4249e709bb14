"""class up, status, reset, down, seat: a class on the Docker engine, and what runs in a seat."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import AsJson
from mxlab.cli.output import Waiting, note, say, say_json, table
from mxlab.cli.running import attached, work

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab.classroom.plan import ClassPlan
    from mxlab.operate.hands import Typed

NAME = "class"
ClassName = Annotated[str, typer.Argument(metavar="NAME", help="Of the class (class).")]
OfClass = Annotated[str, typer.Option("--name", metavar="NAME", help="Of the class (class).")]


def add_commands(app: typer.Typer) -> None:
    """Add these to the group."""
    app.command()(up)
    app.command()(status)
    app.command()(reset)
    app.command()(down)
    app.command()(seat)


def up(
    seats: Annotated[int, typer.Option("--seats", metavar="N", help="How many students.")],
    track: Annotated[str, typer.Option("--track", metavar="TRACK", help="Of exercises.")],
    name: OfClass = NAME,
    port: Annotated[
        int, typer.Option("--port", metavar="PORT", min=1, max=65535, help="Of the server (8000).")
    ] = 8000,
    address: Annotated[
        str, typer.Option("--address", metavar="HOST", help="By which students reach this machine.")
    ] = "",
    handout: Annotated[
        Path, typer.Option("--handout", metavar="FILE", help="Cards to print (NAME-handout.html).")
    ] = Path(),
    json: AsJson = False,
) -> None:
    """Bring a class up on the Docker engine: a seat for each student, and the server that leads
    there; write the cards to print."""
    from mxlab.classroom.plan import make_plan

    plan = make_plan(name, track, seats, port)
    where = handout if handout != Path() else Path(f"{name}-handout.html")
    root = work(_up(plan, address, where))
    from mxlab.classroom.handout import join_url

    teacher = join_url(root, plan.teacher_token)
    if json:
        say_json({"name": name, "url": root, "teacher": teacher, "handout": str(where)})
        return
    say(f"The class {name!r} is up: {seats} seats. Cards to print: {where}")
    say(f"The instructor's view: {teacher}")


async def _up(plan: "ClassPlan", address: str, handout: Path) -> str:
    from mxlab.classroom.raising import raise_class

    with Waiting() as progress:
        return await raise_class(plan, address, handout, progress, note)


def status(name: ClassName = NAME, json: AsJson = False) -> None:
    """Show each seat: whether it runs, what its student is at, and the memory that it uses."""
    from mxlab.classroom.raising import status_of

    rows = work(status_of(name))
    if json:
        say_json([row.as_dict() for row in rows])
        return
    heading = ("SEAT", "STATE", "JOINED", "EXERCISE", "TASK", "DONE", "MB")
    table(heading, [row.as_cells() for row in rows])


def reset(
    seat: Annotated[int, typer.Argument(metavar="SEAT", min=1, help="Its number.")],
    name: OfClass = NAME,
) -> None:
    """End a seat with all that runs in it, and start it anew, at the task at which it was."""
    from mxlab.classroom.raising import reset_seat

    work(reset_seat(name, seat))
    say(f"Seat {seat} is ready again.")


def down(name: ClassName = NAME, json: AsJson = False) -> None:
    """Remove a class: its seats, its server, its networks, and what was kept of its progress."""
    removal = work(_down(name))
    if json:
        say_json([{"kind": kind, "name": one} for kind, one in removal])
    elif not removal:
        say(f"There was nothing of a class {name!r}.")
    else:
        kinds = [kind for kind, _ in removal]
        counts = ", ".join(f"{kinds.count(kind)} {kind}s" for kind in dict.fromkeys(kinds))
        say(f"The class {name!r} is gone: {counts}.")


async def _down(name: str) -> Sequence[tuple[str, str]]:
    from mxlab.classroom.docker import class_engine

    async with class_engine() as engine:
        return (await engine.down(name)).items


def seat() -> None:
    """Be a seat, in a container that `mxlab class up` made."""
    import os

    from mxlab.classroom.seat import LAB, seat_environment, sit

    env = seat_environment(os.environ)
    work(sit(env, lambda: attached(LAB), _typed, say))


async def _typed(lab: "Lab", line: str) -> "Typed":
    """Every command is loaded only once one is to be typed for somebody."""
    from mxlab.cli.hands import type_command

    return await type_command(lab, line)
