"""export compose: the same lab for plain Compose."""

from pathlib import Path
from typing import Annotated

import typer

from mxlab.cli.options import DEFAULT_LAB, LabName, WithSoftware
from mxlab.cli.output import say

app = typer.Typer(
    help="Write the lab down for other tools.", no_args_is_help=True, rich_markup_mode=None
)


def register(top: typer.Typer) -> None:
    top.add_typer(app, name="export")


@app.callback()
def _group() -> None:
    pass


@app.command()
def compose(
    lab: LabName = DEFAULT_LAB,
    mx: Annotated[
        int | None, typer.Option("--mx", metavar="N", help="How many mail exchangers (2).")
    ] = None,
    topology: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A YAML file with the lab's shape.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="The mail domain (example.test).")
    ] = None,
    schedule: Annotated[str | None, typer.Option(metavar="NAME", help="Retry schedule.")] = None,
    software: WithSoftware = None,
) -> None:
    """Print a Compose file that brings the lab up without mxlab."""
    from mxlab.backends.docker.compose import export_compose
    from mxlab.cli.up import make_topology

    shape = make_topology(topology, mx, domain, schedule, software=software or ())
    say(export_compose(shape, lab).rstrip("\n"))
