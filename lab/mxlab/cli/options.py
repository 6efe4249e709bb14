"""Options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_LAB = "lab"

LabName = Annotated[
    str,
    typer.Option("--lab", envvar="MXLAB_LAB", metavar="NAME", help="Which lab (default: lab)."),
]
ScenarioFolder = Annotated[
    Path | None,
    typer.Option(
        "--scenarios",
        envvar="MXLAB_SCENARIOS",
        metavar="DIR",
        help="A folder of your own scenarios, beside those that ship with mxlab.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
BackendName = Annotated[
    str,
    typer.Option(
        "--backend",
        envvar="MXLAB_BACKEND",
        metavar="auto|docker|process",
        help="Real containers, or local processes. auto: docker where it works.",
    ),
]
TimeScale = Annotated[
    float,
    typer.Option("--time-scale", metavar="N", help="Seconds of lab time that pass in a real one."),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="What decides the lab's chances.")]
