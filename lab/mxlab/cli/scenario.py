"""scenario list and show."""

from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import AsJson
from mxlab.cli.output import complain, say, say_json, table
from mxlab.errors import LabError

if TYPE_CHECKING:
    from mxlab.model.scenario import Scenario

app = typer.Typer(
    help="The scenarios: stories of outages, each with a lesson.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def list_scenarios(json: AsJson = False) -> None:
    """List the scenarios that ship with mxlab."""
    from mxlab.loader import load, scenario_ids

    found: list[Scenario] = []
    broken: list[LabError] = []
    for name in scenario_ids():
        try:
            found.append(load(name))
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
    name: Annotated[str, typer.Argument(metavar="SCENARIO", help="Its id, or its file.")],
    json: AsJson = False,
) -> None:
    """Tell a scenario's story before it runs, and its lesson."""
    from mxlab.loader import find, load

    scenario = load(name)
    lesson = find(name).with_name("README.md")
    text = lesson.read_text(encoding="utf-8") if lesson.is_file() else ""
    if json:
        say_json(_data(scenario, text))
        return
    say(f"{scenario.id}: {scenario.title}")
    if scenario.summary:
        say(f"\n{scenario.summary.strip()}")
    exchanges = ", ".join(f"{e.host} ({e.preference})" for e in scenario.topology.mx)
    say(f"\nExchanges of {scenario.topology.domain}: {exchanges}\n")
    for number, step in enumerate(scenario.steps, 1):
        say(f"{number:>3}. {step}")
    say("\nIn the end: " + ", ".join(str(item) for item in scenario.expect))
    if text:
        say(f"\n{text.rstrip()}")


def _data(scenario: "Scenario", lesson: str) -> dict[str, object]:
    return {
        "id": scenario.id,
        "title": scenario.title,
        "summary": scenario.summary,
        "needs": scenario.needs,
        "topology": scenario.topology,
        "steps": [str(step) for step in scenario.steps],
        "expect": [str(item) for item in scenario.expect],
        "lesson": lesson,
    }
