"""reset: a lab that is up, brought back to its first state."""

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, say, say_json
from mxlab.cli.running import attached, work


def register(app: typer.Typer) -> None:
    app.command()(reset)


def reset(lab: LabName = DEFAULT_LAB, json: AsJson = False) -> None:
    """Bring a lab back to its first state: mail, zones, faults and settings.

    Faults are undone and hosts that are down are started; then every host loses what it has, and
    begins anew. The lab's address and its time stay.
    """
    work(_reset(lab, json))


async def _reset(lab_name: str, json: bool) -> None:
    from mxlab.runner.reset import reset as begin_anew

    async with attached(lab_name) as lab:
        with Waiting() as progress:
            progress("emptying every host")
            await begin_anew(lab)
    if json:
        say_json({"lab": lab_name, "nodes": list(lab.nodes)})
    else:
        say(f"The lab {lab_name!r} is as it was when it came up.")
