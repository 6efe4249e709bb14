"""learn: exercises, done on a lab that is up.

Long: a command for each thing that a student does, over one sitting.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxlab.backends.registry import backend_named, find_labs
from mxlab.cli.learning import (
    TaskList,
    show_beginning,
    show_came,
    show_end,
    show_solution,
    show_task,
    show_tracks,
)
from mxlab.cli.options import DEFAULT_LAB, BackendName, ExerciseFolder, LabName
from mxlab.cli.output import Waiting, at_terminal, note, say, say_json, say_line
from mxlab.cli.running import attached, work
from mxlab.errors import (
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_OK,
    EnvironmentProblem,
    LabError,
    NotUp,
    UsageError,
)

if TYPE_CHECKING:
    from mxlab.backends.base import Lab
    from mxlab.learn.progress import ExerciseRecord, ProgressFile
    from mxlab.learn.sitting import Came, Sitting
    from mxlab.model.exercise import Exercise
    from mxlab.runner.watch import Watch

EXITS = {
    "done": EXIT_OK, "recorded": EXIT_OK, "not yet": EXIT_FAILED, "wrong": EXIT_FAILED,
    "not understood": EXIT_FAILED, "wrecked": EXIT_FAILED, "unknown": EXIT_INCONCLUSIVE,
}  # fmt: skip
TICK = 1.0  # real seconds after which `watch` looks at what no event tells
HOW_TO_GO_ON = "`mxlab learn reset` brings it up again, and begins the exercise anew"
app = typer.Typer(
    help="Exercises: a lab that is broken for you, tasks, and checks of what you did.",
    rich_markup_mode=None,
)


def register(top: typer.Typer) -> None:
    top.add_typer(app, name="learn")


@app.callback(invoke_without_command=True)
def learn(context: typer.Context, exercises: ExerciseFolder = None) -> None:
    """Exercises: a lab that is broken for you, tasks, and checks of what you did.

    Alone, it shows the tracks, and where you are. What you did is kept in a file of your own
    (MXLAB_LEARN names another folder for it).
    """
    if context.invoked_subcommand is None:
        with _store() as store:
            show_tracks(_every(exercises), store.read())


@app.command()
def start(
    exercise: Annotated[str, typer.Argument(metavar="ID", help="Which, or its file.")],
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="Your seat: names and numbers differ (any)."),
    ] = None,
    backend: BackendName = "auto",
    lab: LabName = DEFAULT_LAB,
    exercises: ExerciseFolder = None,
) -> None:
    """Begin an exercise: bring its lab up, and break what is to be broken.

    It takes the place of a lab in which an earlier exercise was begun, and of no other.
    """
    with _store() as store:
        work(_start(_new(store, exercise, seed, lab, exercises), backend))


@app.command()
def task() -> None:
    """Show the task that is to be done now."""
    with _store() as store:
        show_task(_sitting(store))


@app.command()
def check() -> None:
    """Check the present task: what the lab shows decides.

    Exit code 0: done; 1: not yet, or wrong; 4: it cannot be judged now, which costs no try.
    """
    with _store() as store:
        work(_check(_sitting(store), None))


@app.command(context_settings={"ignore_unknown_options": True})
def answer(
    text: Annotated[list[str], typer.Argument(metavar="TEXT...", help="In words of your own.")],
) -> None:
    """Answer the present task, where it is a question.

    Exit codes are those of `check`. What is not understood costs no try.
    """
    with _store() as store:
        sitting = _sitting(store)
        _must_ask(sitting)
        work(_check(sitting, " ".join(text)))


@app.command()
def hint() -> None:
    """Give a hint: first what fits the lab as it is now; one at a time."""
    with _store() as store:
        work(_hint(_sitting(store)))


@app.command()
def solution(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask whether to show it.")] = False,
) -> None:
    """Show how the present task is done. That it was shown goes on record."""
    with _store() as store:
        sitting = _sitting(store)
        one = sitting.must_be_at()
        if not yes and not (at_terminal() and typer.confirm(f"{one.id}: show it?")):
            note("mxlab: not shown; `mxlab learn solution --yes` shows it without asking")
            raise typer.Exit(EXIT_FAILED)
        work(_solution(sitting))


@app.command()
def skip() -> None:
    """Pass the present task over: the lab is brought to the next one's beginning."""
    with _store() as store:
        work(_skip(_sitting(store)))


@app.command()
def reset(
    only: Annotated[
        bool, typer.Option("--task", help="Begin the present task anew; those before stay done.")
    ] = False,
) -> None:
    """Begin the exercise anew, from its first task, in a lab as it was at first."""
    with _store() as store:
        work(_reset(_sitting(store), only))


@app.command("next")
def next_(backend: BackendName = "auto", exercises: ExerciseFolder = None) -> None:
    """Go on: the task to do now, or, where all are done, the next exercise of the track."""
    from mxlab.learn.starting import next_of_track

    with _store() as store:
        sitting = _sitting(store)
        if sitting.present is not None:
            show_task(sitting)
            raise typer.Exit(EXIT_FAILED)
        if not sitting.record.finished:
            work(_judge_all(sitting))
        later = next_of_track(sitting.exercise, _every(exercises))
        if later is None:
            say_line(
                "No exercise of a track comes after it. `mxlab learn` shows all that there are."
            )
            return
        world = backend if backend != "auto" else sitting.record.backend
        lab = sitting.record.lab
        work(_start(_new(store, later.id, None, lab, exercises), world))


@app.command()
def watch() -> None:
    """Show the tasks, and how they turn green as the lab comes to be so; ends when all are done.

    Questions are answered, and proofs begun, in another terminal. Ctrl-C ends it.
    """
    with _store() as store:
        work(_watch(store))


@app.command()
def export(
    csv: Annotated[bool, typer.Option("--csv", help="As CSV, for spreadsheets.")] = False,
    json: Annotated[bool, typer.Option("--json", help="As JSON (that is so anyway).")] = False,
) -> None:
    """Print what you did: exercise, task, result, tries, hints, time."""
    from mxlab.learn.export import as_csv, rows

    if csv and json:
        raise UsageError("--csv and --json are two forms", "give one of them")
    with _store() as store:
        found = rows(store.read())
        if csv:
            say(as_csv(found).rstrip("\n"))
        else:
            say_json(found)


@app.command()
def stop() -> None:
    """Take the lab of the exercise down. What you did stays on record."""
    with _store() as store:
        work(_stop(_sitting(store)))


@contextlib.contextmanager
def _store() -> Any:
    """The student's own file; a word where it was damaged."""
    from mxlab.learn.progress import ProgressFile, folder

    told: list[str] = []
    try:
        yield ProgressFile(folder(), told)
    finally:
        for text in told:
            note(f"mxlab: {text}")


def _sitting(store: "ProgressFile") -> "Sitting":
    from mxlab.learn.sitting import sitting_at

    return sitting_at(store)


def _every(folder: Path | None) -> "list[Exercise]":
    from mxlab.learn.starting import every_exercise

    return list(every_exercise(folder, _tell))


def _tell(text: str) -> None:
    note(f"mxlab: {text}")


def _must_ask(sitting: "Sitting") -> None:
    from mxlab.learn.progress import asks

    if not asks(sitting.must_be_at()):
        raise UsageError("the present task is no question", "`mxlab learn check` checks it")


async def _start(sitting: "Sitting", backend: str) -> None:
    from mxlab.learn.starting import begin

    with Waiting() as progress:
        await begin(sitting, backend, progress, _tell)
    show_beginning(sitting)


def _new(
    store: "ProgressFile", name: str, seed: int | None, lab: str, folder: Path | None
) -> "Sitting":
    from mxlab.learn.starting import sit_down

    return sit_down(store, name, seed, lab, folder)


@contextlib.asynccontextmanager
async def _at_lab(record: "ExerciseRecord") -> AsyncIterator["Lab"]:
    """The lab of the exercise. Raises NotUp, with what to do."""
    try:
        async with attached(record.lab) as lab:
            yield lab
    except NotUp as error:
        raise NotUp(f"the lab of the exercise is down: {error}", HOW_TO_GO_ON) from error


async def _check(sitting: "Sitting", text: str | None) -> None:
    async with _at_lab(sitting.record) as lab:
        if sitting.present is None:
            findings = await sitting.judge_all(lab)
            show_end(sitting, findings)
            return
        with Waiting() as progress:
            progress("looking at what is on its way")
            came = await sitting.check(lab, text, progress=_tell_step)
    show_came(sitting, came)
    raise typer.Exit(_exit_code(came))


def _exit_code(came: "Came") -> int:
    if came.broken or (came.ended is not None and not came.finished):
        return EXIT_FAILED
    return EXITS[came.checked.verdict]


def _tell_step(update: Any) -> None:
    """The steps of a proof: it takes a while."""
    from mxlab.cli.live import tell

    tell(update)


async def _hint(sitting: "Sitting") -> None:
    try:
        async with attached(sitting.record.lab) as lab:
            found, number = await sitting.hint(lab)
    except EnvironmentProblem:  # hints for any state can be given without one
        found, number = await sitting.hint(None)
    if found is None:
        say_line("There is no more hint." if number else "There is no hint for this.")
        say_line("`mxlab learn solution` shows how it is done.")
    else:
        say_line(f"Hint {number}: {found.text.strip()}", hang=8)


async def _solution(sitting: "Sitting") -> None:
    try:
        async with attached(sitting.record.lab) as lab:
            one, text = await sitting.solution(lab)
    except EnvironmentProblem:  # the commands can be shown without one
        one, text = await sitting.solution(None)
    show_solution(one, text)


async def _skip(sitting: "Sitting") -> None:
    from mxlab.cli.hands import type_command

    async with _at_lab(sitting.record) as lab:
        with Waiting() as progress:
            progress("doing it for you")
            one = await sitting.skip(lab, type_command)
    say_line(f"- {one.id}: passed over")
    show_task(sitting)


async def _reset(sitting: "Sitting", only: bool) -> None:
    from mxlab.cli.hands import type_command
    from mxlab.learn.starting import begin

    record = sitting.record
    with Waiting() as progress:
        progress("beginning anew")
        try:
            async with attached(record.lab) as lab:
                await sitting.look(lab)
                await sitting.reset(lab, type_command if only else None)
        except LabError as error:
            _tell(f"a new lab is brought up, because {error}")
            await begin(sitting, record.backend or "auto", progress, _tell)
    show_beginning(sitting)


async def _judge_all(sitting: "Sitting") -> None:
    """Judge the whole again; raises Exit where it is not as it should be."""
    async with _at_lab(sitting.record) as lab:
        findings = await sitting.judge_all(lab)
    if not sitting.record.finished:
        show_end(sitting, findings)
        raise typer.Exit(EXIT_FAILED)


async def _watch(store: "ProgressFile") -> None:
    from mxlab.runner.watch import watching

    sitting = _sitting(store)
    tasks = TaskList(sitting.exercise)
    async with _at_lab(sitting.record) as lab, watching(lab) as events:
        while True:
            version = events.version
            sitting = _sitting(store)  # another terminal may have gone on
            done = await _look_on(sitting, lab)
            tasks.show(sitting)
            if sitting.present is None:
                break
            if not done:
                await _next_event(events, version, lab)
        findings = await sitting.judge_all(lab)
    show_end(sitting, findings)


async def _look_on(sitting: "Sitting", lab: "Lab") -> bool:
    """Check the present task, where the lab alone decides; whether it is done now."""
    from mxlab.model.exercise import DoneTask

    one = sitting.present
    if one is None or not isinstance(one.judged, DoneTask):
        return False
    return (await sitting.check(lab, patience=0)).checked.verdict == "done"


async def _next_event(events: "Watch", version: int, lab: "Lab") -> None:
    """Wait for one, or for a moment: what a student notes elsewhere, no event tells. Raises NotUp
    once the lab is gone."""
    import asyncio

    try:
        async with asyncio.timeout(TICK):
            await events.changed_since(version)
    except TimeoutError:
        labs, _ = await find_labs()
        if not any((found.lab, found.run) == (lab.name, lab.run) for found in labs):
            raise NotUp(f"the lab {lab.name!r} was taken down", HOW_TO_GO_ON) from None


async def _stop(sitting: "Sitting") -> None:
    labs, _ = await find_labs()
    record = sitting.record
    for found in labs:
        if found.lab == record.lab and found.run == record.run:
            await backend_named(found.backend).remove(found.lab)
            say_line(f"The lab {record.lab!r} is gone; `mxlab learn reset` brings it up again.")
            return
    raise NotUp(f"the lab of {sitting.name}, {record.lab!r}, is not up", "see `mxlab status`")
