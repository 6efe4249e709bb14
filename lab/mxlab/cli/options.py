"""Options that several commands share."""

from typing import Annotated

import typer

DEFAULT_LAB = "lab"

LabName = Annotated[
    str,
    typer.Option("--lab", envvar="MXLAB_LAB", metavar="NAME", help="Which lab (default: lab)."),
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
