"""scenario list, show, new, lint, schema."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxlab.cli.completion import scenario_names
from mxlab.cli.options import AsJson, ScenarioFolder
from mxlab.cli.output import at_terminal, complain, note, say, say_json, say_line, table
from mxlab.cli.remarks import row_of, tell_remarks
from mxlab.cli.stories import lesson_text, story_file, write_files
from mxlab.errors import LabError, ScenarioError, UsageError

if TYPE_CHECKING:
    from mxlab.model.scenario import Scenario
    from mxlab.scenario.draft import Draft

app = typer.Typer(
    help="The scenarios: stories of outages, each with a lesson.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


def register(top: typer.Typer) -> None:
    top.add_typer(app, name="scenario")


MOST_EXCHANGES = 16


@app.command("list")
def list_scenarios(scenarios: ScenarioFolder = None, json: AsJson = False) -> None:
    """List the scenarios that ship with mxlab, and your own."""
    from mxlab.scenario.load import load, scenario_ids

    found: list[Scenario] = []
    broken: list[LabError] = []
    for name in scenario_ids(scenarios):
        try:
            found.append(load(name, scenarios))
        except LabError as error:
            broken.append(error)
    if json:
        say_json(
            [{"id": s.id, "title": s.title, "summary": s.summary, "needs": s.needs} for s in found]
        )
    else:
        table(("SCENARIO", "TITLE"), [(s.id, s.title) for s in found])
    for problem in broken:
        complain(problem)
    if broken:
        raise typer.Exit(broken[0].exit_code)


@app.command()
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SCENARIO", help="Its id, its file or folder.", autocompletion=scenario_names
        ),
    ],
    scenarios: ScenarioFolder = None,
    json: AsJson = False,
) -> None:
    """Tell a scenario's story before it runs, and its lesson."""
    from mxlab.scenario.load import load_file

    path = story_file(name, scenarios)
    scenario = load_file(path)
    text = lesson_text(path.with_name("README.md"))
    if json:
        say_json(_data(scenario, text))
        return
    tell(scenario)
    if text:
        say(f"\n{text.rstrip()}")


def tell(scenario: "Scenario") -> None:
    """Print the story in plain words."""
    from mxlab.scenario.describe import expectations, lab_of, story

    say(f"{scenario.id}: {scenario.title}")
    if scenario.summary:
        say(f"\n{scenario.summary.strip()}")
    say(f"\n{lab_of(scenario)}\n")
    number = 0
    for line in story(scenario):
        number += not line.startswith(" ")
        say_line(f"     {line}" if line.startswith(" ") else f"{number:>3}. {line}", hang=7)
    say("\nIn the end:")
    for line in expectations(scenario):
        say_line(f"  - {line}")


def _data(scenario: "Scenario", lesson: str) -> dict[str, object]:
    from mxlab.scenario.describe import story

    return {
        "id": scenario.id,
        "title": scenario.title,
        "summary": scenario.summary,
        "needs": scenario.needs,
        "topology": scenario.topology,
        "steps": [str(step) for step in scenario.steps],
        "story": story(scenario),
        "expect": [str(item) for item in scenario.expect],
        "lesson": lesson,
    }


@app.command()
def schema() -> None:
    """Print the JSON Schema of scenario files, for editors to complete and check them."""
    from mxlab.scenario.schema import scenario_schema

    say_json(scenario_schema())


@app.command()
def lint(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...", help="Files, folders or ids.", autocompletion=scenario_names
        ),
    ],
    scenarios: ScenarioFolder = None,
    json: AsJson = False,
) -> None:
    """Find what is wrong in scenario files, and what can never happen or prove anything.

    Exit code 2 if anything is to be mended; what may turn out otherwise than it is meant is only a
    warning, what a world cannot do a note.
    """
    found = [row for name in files for row in _lint(name, scenarios)]
    tell_remarks(found, len(files), json)


def _lint(name: str, folder: Path | None) -> list[dict[str, Any]]:
    from mxlab.backends.registry import BACKENDS, backend_named
    from mxlab.scenario.lint import survey_remarks
    from mxlab.scenario.load import problem_at, survey_file

    path = story_file(name, folder)
    try:
        found = survey_file(path)
    except ScenarioError as error:
        return [row_of(one, "error") for one in error.every]
    rows = [row_of(error, "error") for error in found.mistakes.found]
    for remark in survey_remarks(found, tuple(map(backend_named, BACKENDS))):
        rows.append(row_of(problem_at(found.tree, remark.problem), remark.level))
    return sorted(rows, key=lambda row: (row["line"], row["column"]))


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its id and its folder: my-outage.")],
    title: Annotated[str | None, typer.Option(metavar="TEXT")] = None,
    summary: Annotated[str | None, typer.Option(metavar="TEXT", help="One sentence.")] = None,
    fault: Annotated[
        str | None, typer.Option(metavar="KIND", help="What befalls a host (kill).")
    ] = None,
    host: Annotated[str | None, typer.Option(metavar="HOST", help="Which (mx1).")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A parameter of the fault."),
    ] = None,
    mx: Annotated[
        int | None, typer.Option("--mx", metavar="N", help="How many mail exchangers (2).")
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", help="How many messages.")] = 5,
    scenarios: ScenarioFolder = None,
) -> None:
    """Write the first draft of a scenario: NAME/scenario.yaml and NAME/README.md.

    At a terminal it asks for what is not given. The folder is --scenarios DIR, or this one.
    """
    from mxlab.scenario.draft import Draft
    from mxlab.scenario.load import FILE, loads

    if mx is not None and not 1 <= mx <= MOST_EXCHANGES:
        raise UsageError(f"--mx: 1 to {MOST_EXCHANGES} exchanges, not {mx}")
    if count < 1:
        raise UsageError("--count must be above 0")
    given = {
        "title": title, "summary": summary, "fault": fault, "host": host, "exchanges": mx,
    }  # fmt: skip
    draft = Draft(
        name,
        count=count,
        parameters=dict(_parameter(text) for text in parameters or []),
        **_asked(name, given),
    )
    draft.check()
    folder = (scenarios or Path()) / name
    if folder.exists():
        raise UsageError(f"{folder} is there already", "choose another name")
    text = draft.scenario()
    loads(text, str(folder / FILE), name)  # what cannot be loaded is not written
    write_files(folder, {FILE: text, "README.md": draft.lesson()})
    _next(draft, folder / FILE, scenarios)


def _asked(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """What was given, and at a terminal the answers for what was not."""
    from mxlab.errors import UnknownName
    from mxlab.model.mechanism import MECHANISMS
    from mxlab.scenario.draft import usual_host

    found = {key: value for key, value in given.items() if value is not None}
    if not at_terminal():
        return found

    def ask(key: str, question: str, default: Any) -> None:
        if key not in found:
            found[key] = typer.prompt(question, default=default, err=True, type=type(default))

    ask("title", "Title", name.replace("-", " ").capitalize())
    if "fault" not in found:
        note(f"What can break: {', '.join(MECHANISMS)}.", hang=2)
    ask("fault", "What breaks", "kill")
    if found["fault"] not in MECHANISMS:
        raise UnknownName("fault", found["fault"], MECHANISMS)
    ask("host", "Which host", usual_host(found["fault"]))
    ask("exchanges", "How many mail exchangers", 2)
    return found


def _parameter(text: str) -> tuple[str, Any]:
    from mxlab.scenario.yaml import parse

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--set: KEY=VALUE, not {text!r}")
    return key, parse(value, "--set").plain() if value else ""


def _next(draft: "Draft", path: Path, scenarios: Path | None) -> None:
    say(f"wrote {path} and {path.with_name('README.md')}")
    called = draft.name if scenarios else str(path)
    option = f" --scenarios {scenarios}" if scenarios else ""
    note("next: edit them, then")
    for command in ("scenario lint", "scenario show", "run --backend sim"):
        note(f"       mxlab {command} {called}{option}")
