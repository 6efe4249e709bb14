"""Options that several commands share."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from mxlab.backends.registry import LASTING
from mxlab.cli.completion import lab_names, software_words
from mxlab.errors import UsageError

DEFAULT_LAB = "lab"


def a_lab(context: typer.Context, parameter: typer.CallbackParam, name: str | None) -> str | None:
    """What the option or the variable says, if it can be a lab's name. Raises UsageError."""
    from mxlab.names import check_lab_name

    if context.resilient_parsing:  # of a line that is being written
        return name
    source = context.get_parameter_source(parameter.name or "")
    where = parameter.opts[-1]
    if isinstance(parameter.envvar, str):
        if source is not None and source.name == "ENVIRONMENT":
            where = parameter.envvar
        elif source is None or source.name != "COMMANDLINE":
            given = os.environ.get(parameter.envvar)  # an empty one is as none to click, not to us
            if given is not None:
                check_lab_name(given, where=parameter.envvar)
    return name if name is None else check_lab_name(name, where=where)


def not_blank(
    context: typer.Context, parameter: typer.CallbackParam, word: str | None
) -> str | None:
    """The word. Raises UsageError for an empty one: it is never the same as none."""
    if word is not None and not word.strip() and not context.resilient_parsing:
        raise UsageError(
            f"{parameter.opts[-1]}: an empty word is no name", "give one, or leave it out"
        )
    return word


def lab_option(told: str) -> Any:
    """`--lab NAME`, with that help."""
    return typer.Option(
        "--lab",
        envvar="MXLAB_LAB",
        metavar="NAME",
        help=told,
        callback=a_lab,
        autocompletion=lab_names,
    )


LabName = Annotated[str, lab_option("Which lab (default: lab).")]
ExerciseFolder = Annotated[
    Path | None,
    typer.Option(
        "--exercises",
        envvar="MXLAB_SCENARIOS",
        metavar="DIR",
        help="A folder of your own exercises, beside those that ship with mxlab.",
    ),
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
        metavar="|".join(("auto", *LASTING)),
        help="Real containers, or local processes. auto: docker where it works.",
    ),
]
TimeScale = Annotated[
    float | None,
    typer.Option(
        "--time-scale", metavar="N", help="Seconds of lab time in a real one (1, or a story's)."
    ),
]
WithSoftware = Annotated[
    list[str] | None,
    typer.Option(
        "--with",
        metavar="HOST=SOFTWARE",
        help="Whose mail server a host is: postfix, exim, opensmtpd (docker only). Repeatable.",
        autocompletion=software_words,
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="What decides the lab's chances.")]
