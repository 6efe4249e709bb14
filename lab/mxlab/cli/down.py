"""down."""

from typing import Annotated

import typer

from mxlab.backends.registry import QUICK_FIRST, backend_named
from mxlab.cli.completion import lab_names
from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName, a_lab
from mxlab.cli.output import Waiting, note, say, say_json
from mxlab.cli.running import work
from mxlab.errors import LabError, NoEngine, UsageError


def register(app: typer.Typer) -> None:
    app.command()(down)


def down(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[LAB]", help="Which lab.", callback=a_lab, autocompletion=lab_names
        ),
    ] = None,
    lab: LabName = DEFAULT_LAB,
    every: Annotated[bool, typer.Option("--all", help="Every lab of this machine.")] = False,
    json: AsJson = False,
) -> None:
    """Remove a lab, or what is left of one; says what it removed."""
    source = context.get_parameter_source("lab")
    named = source is not None and source.name == "COMMANDLINE"
    if every and (named or name is not None):
        raise UsageError("--all removes every lab; a name, one", "give one of them")
    if named and name is not None and name != lab:
        raise UsageError(f"two names of one lab: {name!r} and {lab!r}", "give one of them")
    work(_down(None if every else lab if name is None else name, json))


async def _down(name: str | None, json: bool) -> None:
    """Remove the lab of that name; every lab where it is None."""
    removed: list[dict[str, str]] = []
    unseen: LabError | None = None
    with Waiting() as progress:
        for backend in map(backend_named, QUICK_FIRST):
            try:
                found = await backend.find() if name is None else []
                names = sorted({one.lab for one in found}) if name is None else [name]
                for lab in names:
                    progress(f"removing the lab {lab!r}")
                    gone = await backend.remove(lab)
                    removed += [{"lab": lab, "kind": k, "name": n} for k, n in gone.items]
            except NoEngine as error:
                unseen = error
    whole = f"of the lab {name!r}" if name is not None else "of any lab"
    if json:
        say_json({"removed": removed, "unseen": str(unseen) if unseen else None})
    else:
        for item in removed:
            say(f"removed {item['kind']} {item['name']}")
        place = "" if unseen is None else " here"
        said = "Nothing" if removed else "Nothing was there, and nothing"
        say(f"{said} {whole} is left{place}.")
    if unseen is not None and not json:
        note(f"mxlab: Docker was not asked: {unseen}")
