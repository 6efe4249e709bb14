"""graph: the shape of a lab as a picture, for a page, a slide or a terminal."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mxlab.cli.completion import scenario_names
from mxlab.cli.layout import hanging
from mxlab.cli.options import DEFAULT_LAB, AsJson, ScenarioFolder, lab_option
from mxlab.cli.output import note, say, say_json, width
from mxlab.cli.reports import check_writable
from mxlab.cli.running import HANDS, attached, is_up, work
from mxlab.errors import EnvironmentProblem, UsageError

if TYPE_CHECKING:
    from mxlab.model.topology import Topology
    from mxlab.picture.diagram import Diagram

Form = Literal["svg", "mermaid", "text"]
SUFFIXES: dict[str, Form] = {".svg": "svg", ".mmd": "mermaid", ".mermaid": "mermaid"}
_WHAT = typer.Argument(
    metavar="[FILE|SCENARIO]",
    help="YAML with a topology, or a scenario. None: the lab that is up, else what `up` starts.",
    autocompletion=scenario_names,
)


def register(app: typer.Typer) -> None:
    app.command()(graph)


def graph(
    what: Annotated[Path | None, _WHAT] = None,
    form: Annotated[
        Form | None,
        typer.Option("--as", help="What to make. Default: as the file's name ends, else text."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write it there, not to the terminal."),
    ] = None,
    scenarios: ScenarioFolder = None,
    lab: Annotated[str | None, lab_option("Of this running lab.")] = None,
    json: AsJson = False,
) -> None:
    """Draw a lab: its hosts, who sends to whom in which order, its name servers.

    Addresses are those of a lab that is up, else those that it would have in the simulation.
    """  # fmt: skip
    if json and form is not None:
        raise UsageError("--json and --as both say what to make", "give one")
    diagram = _of_lab(lab) if what is None else _of_file(what, scenarios)
    if json:
        say_json(diagram)
        return
    if form is None:
        form = SUFFIXES.get(output.suffix.lower(), "text") if output else "text"
    if output is None:
        _show(diagram, form)
    else:
        _write(output, _drawn(diagram, form))


def _of_file(what: Path, folder: Path | None) -> "Diagram":
    from mxlab.cli.given import GivenZone, given_setup
    from mxlab.scenario.load import load_topology

    if str(what) == "-" or (what.is_file() and what.suffix not in (".yaml", ".yml")):
        hint = "name one, or a scenario; `mxlab audit` and `mxlab what-if` read zone files"
        raise UsageError(f"{what} is no YAML with a topology", hint)
    given = given_setup(what, None, folder)
    assert not isinstance(given, GivenZone)
    named = given.path if given.path.is_dir() else given.path.parent
    is_story = given.path.is_dir() or given.path.name == "scenario.yaml"
    return _planned(load_topology(given.path), named.name if is_story else given.path.name)


def _of_lab(name: str | None) -> "Diagram":
    """Of the lab of that name, which is to be up; of none, of the one that is up, or a plan."""
    return work(_seen(name))


async def _seen(name: str | None) -> "Diagram":
    from mxlab.model.topology import Topology
    from mxlab.picture.of_lab import diagram_of_lab

    if name is None and HANDS.get() is None and not await is_up(DEFAULT_LAB):
        note("mxlab: no lab is up; this is the one that `mxlab up` starts")
        return _planned(Topology(), "what `mxlab up` starts")
    async with attached(name or DEFAULT_LAB) as lab:
        return await diagram_of_lab(lab)


def _planned(topology: "Topology", name: str) -> "Diagram":
    from mxlab.backends.sim.backend import SUBNET
    from mxlab.picture.diagram import diagram_of, planned

    return diagram_of(topology, f"mxlab: {name}", planned(topology, SUBNET))


def _show(diagram: "Diagram", form: Form) -> None:
    """At the terminal: text is broken at its width, all else stays whole."""
    if form != "text":
        say(_drawn(diagram, form).rstrip("\n"))
        return
    from mxlab.picture.text import text_picture

    for text, hang in text_picture(diagram):
        for line in hanging(text, width(sys.stdout), hang):
            say(line)


def _drawn(diagram: "Diagram", form: Form) -> str:
    if form == "svg":
        from mxlab.picture.svg import svg

        return svg(diagram)
    if form == "mermaid":
        from mxlab.picture.mermaid import mermaid

        return mermaid(diagram)
    from mxlab.picture.text import text_picture

    return "".join(f"{line.text}\n" for line in text_picture(diagram))


def _write(file: Path, text: str) -> None:
    check_writable(file)
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"{file} cannot be written: {error.strerror}") from error
    note(f"mxlab: written to {file}")
