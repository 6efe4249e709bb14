"""compare: one story with several mail servers or retry schedules, side by side."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import AsJson, ScenarioFolder
from mxlab.cli.output import note, say_json, table
from mxlab.cli.reports import HtmlFile, Reports
from mxlab.cli.run import WORST_FIRST, AnyBackend, Scale, Seed, Wishes, played
from mxlab.cli.stories import story_file
from mxlab.errors import EXIT_OK

if TYPE_CHECKING:
    from mxlab.compare.measures import Measures
    from mxlab.compare.variants import Variant
    from mxlab.runner.result import RunResult

Choices = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="HOST=SOFTWARE,...",
        help="Mail servers to try at a host: mxlab, postfix, exim, opensmtpd. Repeatable.",
    ),
]
Schedules = Annotated[
    list[str] | None,
    typer.Option("--schedule", metavar="NAME,...", help="Retry schedules to try. Repeatable."),
]


def register(app: typer.Typer) -> None:
    app.command()(compare)


def compare(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="Id, file or folder.")],
    choices: Choices = None,
    schedule: Schedules = None,
    backend: AnyBackend = None,
    seed: Seed = None,
    time_scale: Scale = None,
    folder: ScenarioFolder = None,
    html: HtmlFile = None,
    json: AsJson = False,
) -> None:
    """Play one story with each mail server and each retry schedule, and show them side by side.

    For example: mxlab compare primary-outage --with mx2=mxlab,postfix,exim; mxlab compare
    five-day-outage --schedule postfix,exim,opensmtpd --backend sim. The exit code is that of the
    worst run.
    """
    from mxlab.compare.measures import measure
    from mxlab.compare.table import rows
    from mxlab.compare.variants import parse_choices, variants
    from mxlab.scenario.load import load_file

    wishes = Wishes(backend, None, seed, time_scale, keep=False, step=False)
    wishes.check(1)
    story = load_file(story_file(scenario, folder))
    names = [name for word in schedule or () for name in word.split(",") if name]
    found = variants(story, parse_choices(choices or ()), names)
    reports = Reports(None, None, html)
    measured: list[Measures] = []
    results: list[RunResult] = []
    codes: set[int] = set()
    for variant in found:
        note(f"mxlab: {variant.label}")
        own, code = played([variant.scenario], wishes, say=False)
        codes |= code
        for result in own:
            measured.append(measure(variant.label, result))
            results.append(_labelled(result, variant))
    reports.write(results)
    if json:
        say_json(measured)
    else:
        table(*rows(measured))
    raise typer.Exit(next((code for code in WORST_FIRST if code in codes), EXIT_OK))


def _labelled(result: "RunResult", variant: "Variant") -> "RunResult":
    """The result under the variant's name, for a page on which several stand."""
    import msgspec

    title = f"{variant.scenario.title} ({variant.label})"
    return replace(result, scenario=msgspec.structs.replace(result.scenario, title=title))
