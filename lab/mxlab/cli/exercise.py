"""exercise new, lint, show, schema, prove: for who writes exercises."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxlab.cli.completion import exercise_names
from mxlab.cli.options import AsJson, ScenarioFolder
from mxlab.cli.output import note, say, say_json, say_line
from mxlab.cli.remarks import row_of, tell_remarks
from mxlab.cli.stories import lesson_text, story_file, write_files
from mxlab.errors import UsageError

if TYPE_CHECKING:
    from mxlab.model.exercise import Exercise

app = typer.Typer(
    help="Write exercises: labs that a student mends, and that the lab itself checks.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(top: typer.Typer) -> None:
    top.add_typer(app, name="exercise")


Seat = Annotated[int, typer.Option("--seed", metavar="N", help="The seat whose names are drawn.")]


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its id and its folder: my-lab.")],
    title: Annotated[str, typer.Option(metavar="TEXT")] = "",
    scenarios: ScenarioFolder = None,
) -> None:
    """Write the first draft of an exercise, proven as it is: NAME/exercise.yaml, NAME/README.md.

    The folder is --scenarios DIR, or this one. A folder that has a scenario gets an exercise too.
    """
    from mxlab.exercise.draft import draft_exercise, draft_lesson
    from mxlab.exercise.load import FILE

    files = {FILE: draft_exercise(name, title)}
    folder = (scenarios or Path()) / name
    path = folder / FILE
    if path.exists():
        raise UsageError(f"{path} is there already", "choose another name")
    if not folder.joinpath("README.md").exists():
        files["README.md"] = draft_lesson(name, title)
    write_files(folder, files)
    say(f"wrote {' and '.join(str(folder / file) for file in files)}")
    called = name if scenarios else str(path)
    option = f" --scenarios {scenarios}" if scenarios else ""
    note("next: edit them, then")
    for command in ("lint", "show", "prove"):
        note(f"       mxlab exercise {command} {called}{option}")


@app.command()
def lint(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Files, folders or ids.", autocompletion=exercise_names
        ),
    ],
    scenarios: ScenarioFolder = None,
    json: AsJson = False,
) -> None:
    """Find what is wrong in exercises' files, without a lab.

    Exit code 2 if anything is to be mended. What only a lab can show is found by `exercise prove`.
    """
    found = [row for name in files for row in _lint(_file(name, scenarios))]
    tell_remarks(found, len(files), json)


def _lint(path: Path) -> list[dict[str, Any]]:
    from mxlab.backends.registry import BACKENDS, backend_named
    from mxlab.cli.hands import command_problem
    from mxlab.exercise.lint import lint_exercise
    from mxlab.glossary.entry import entries, own_folder

    worlds = [backend_named(name) for name in BACKENDS]
    found = lint_exercise(path, entries(own_folder()), command_problem, worlds)
    return [row_of(noted.error, noted.level) for noted in found]


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="EXERCISE", help="Its id, its file or folder.", autocompletion=exercise_names
        ),
    ],
    seed: Seat = 0,
    scenarios: ScenarioFolder = None,
    json: AsJson = False,
) -> None:
    """Tell an exercise as one seat has it, with its hints and solutions, and its lesson."""
    from mxlab.exercise.load import load_exercise_file
    from mxlab.exercise.show import describe_exercise

    path = _file(name, scenarios)
    exercise = load_exercise_file(path, seed)
    lesson = lesson_text(path.with_name("README.md"))
    if json:
        say_json(_data(exercise, lesson))
        return
    for line in describe_exercise(exercise):
        say_line(line, hang=len(line) - len(line.lstrip()) + 4)
    if lesson:
        say(f"\n{lesson.rstrip()}")


def _data(exercise: "Exercise", lesson: str) -> dict[str, object]:
    return {
        "id": exercise.id,
        "title": exercise.title,
        "track": exercise.track,
        "part": exercise.part,
        "minutes": exercise.minutes,
        "terms": exercise.terms,
        "seed": exercise.seed,
        "values": exercise.values,
        "topology": exercise.topology,
        "tasks": [
            {
                "id": task.id,
                "kind": task.judged.key,
                "text": task.text,
                "hints": [hint.text for hint in task.hints],
                "solution": task.solution,
            }
            for task in exercise.tasks
        ],
        "lesson": lesson,
    }


@app.command()
def prove(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[EXERCISE...]", help="Ids, files or folders.", autocompletion=exercise_names
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="All that ship with mxlab, and those in --scenarios.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option("--seeds", metavar="N", min=1, help="So many seats (10; in a real world 1)."),
    ] = None,
    first: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="The first seat's seed.")
    ] = 0,
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            metavar="sim|process|docker",
            help="Where: in virtual time, or in labs that are brought up for it.",
        ),
    ] = "sim",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", metavar="N", min=1, help="Processes at work (default: one for each core)."
        ),
    ] = None,
    scenarios: ScenarioFolder = None,
    json: AsJson = False,
) -> None:
    """Prove that exercises hold what they promise, in labs in which they are walked through.

    In every seat: no task is done when it begins, wrong answers and ways are told to be wrong by
    the author's words, the solution leads through, `learn skip` leads to the same lab, and a proof
    fails before the repair. Over all seats: answers vary, every hint fits once. Exit codes: 0
    proven, 1 refused (with file, line and column), 2 no exercise, 3 not in this world.
    """
    from mxlab.cli.proving import ProofOrder, prove_all

    if bool(names) == every:
        raise UsageError("name exercises, or say --all", "`mxlab exercise prove my-lab`")
    if every:
        from mxlab.exercise.load import exercise_ids

        names = exercise_ids(scenarios)
    files = list(dict.fromkeys(_file(name, scenarios) for name in names or []))
    order = ProofOrder(backend, first, seeds, jobs, every)
    raise typer.Exit(prove_all(files, order, json))


@app.command()
def schema() -> None:
    """Print the JSON Schema of exercises' files, for editors to complete and check them."""
    from mxlab.exercise.schema import exercise_schema

    say_json(exercise_schema())


def _file(name: str, folder: Path | None) -> Path:
    from mxlab.exercise.load import FILE

    return story_file(name, folder, FILE)
