"""capture: a lab's conversations and questions as a packet capture, from the record or live."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, note, say, say_json
from mxlab.cli.reports import check_writable
from mxlab.cli.running import attached, work
from mxlab.errors import EXIT_INCONCLUSIVE, UsageError

if TYPE_CHECKING:
    from mxlab.packets.made import Capture

BUNDLE = b"PK"  # how a zip file begins


def register(app: typer.Typer) -> None:
    app.command()(capture)


def capture(
    run: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN]",
            help="What `mxlab run --record` or --bundle wrote; or a lab that is up.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The pcapng file; - for a pipe."),
    ] = None,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Write conversations and DNS questions as packets, for Wireshark.

    From the record, in every world, without any privilege: an interface a node, in lab time. What
    the record does not have is marked as made up. From a damaged record what is left (exit 4).
    """
    if json and str(output) == "-":
        raise UsageError("--json and -o - both want standard output", "give a file to one of them")
    if output is None:
        raise UsageError("where to write it is not said", "-o run.pcapng")
    if str(output) != "-":
        check_writable(output)
    made = _of_run(run) if run is not None else work(_of_lab(lab))
    from mxlab.packets.saving import save

    save(output, made.blocks())
    _tell(made, output, json=json)
    if made.made.damage:
        raise typer.Exit(EXIT_INCONCLUSIVE)


def _of_run(path: Path) -> "Capture":
    """The packets of a recorded run. Raises UsageError, Damaged."""
    from mxlab.packets.made import Capture
    from mxlab.report.recording import judge_again

    result = judge_again(_recording(path), str(path))
    title = f"run {result.run_id} on {result.backend}: {result.scenario.title}"
    return Capture(result.trace, result.time_scale, result.backend, title)


def _recording(path: Path) -> bytes:
    """The recording in a file: the file itself, or a part of a bundle."""
    try:
        with path.open("rb") as file:
            data = file.read(len(BUNDLE))
            if data != BUNDLE:
                return data + file.read()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    from mxlab.bundle.parts import RUN
    from mxlab.bundle.unpack import unpacked
    from mxlab.errors import Damaged

    with unpacked(path) as bundle:
        if RUN not in bundle:
            raise Damaged(f"{path} has no {RUN}", "`mxlab check` tells what else is wrong with it")
        return bundle.read(RUN)


async def _of_lab(name: str) -> "Capture":
    """The packets of a lab that is up, so far."""
    from mxlab.packets.made import Capture
    from mxlab.runner.now import read_trace

    async with attached(name) as lab:
        with Waiting() as progress:
            progress("reading the events")
            trace = await read_trace(lab)
        scale = next(iter(lab.nodes.values())).config.time.scale
        return Capture(trace, scale, lab.backend, f"lab {lab.name}, run {lab.run}, as it is now")


def _tell(capture: "Capture", output: Path, *, json: bool) -> None:
    made = capture.made
    words = f"{made.conversations} conversations, {made.questions} questions"
    if json:
        told = {**made._asdict(), "file": str(output), "made_from": "record"}
        say_json(told)
    elif str(output) == "-":
        note(f"mxlab: {words}, from the record")
    else:
        say(f"{output}: {words}, from the record")
    if made.untold:
        note(
            f"mxlab: {made.untold} tries are not in it: only the log of a product told of them, "
            "and no log has what was said"
        )
    if made.damage:
        note(f"mxlab: the record is damaged, so something may be missing: {made.damage}")
