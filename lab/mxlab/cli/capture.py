"""capture: a lab's conversations and questions as a packet capture, from the record or live."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.options import DEFAULT_LAB, AsJson, LabName
from mxlab.cli.output import Waiting, note, say, say_json
from mxlab.cli.reports import check_writable
from mxlab.cli.running import attached, work
from mxlab.errors import EXIT_INCONCLUSIVE, UnknownName, UsageError

if TYPE_CHECKING:
    from mxlab.packets.live import LiveCapture
    from mxlab.packets.made import Capture

BUNDLE = b"PK"  # how a zip file begins
MIB = 1 << 20
MOST = 64  # MiB of live packets, unless said otherwise
LONGEST = 24 * 3600.0  # real seconds of a live capture


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
    live: Annotated[
        bool, typer.Option("--live", help="Real packets, from now on (Docker only).")
    ] = False,
    nodes: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="NODE", help="With --live: at this node (all). Repeatable."),
    ] = None,
    seconds: Annotated[
        str, typer.Option("--for", metavar="TIME", help="With --live: how long; Ctrl-C ends it.")
    ] = "30s",
    most: Annotated[
        int, typer.Option("--most", metavar="MIB", min=1, max=1024, help="With --live: MiB of it.")
    ] = MOST,
    lab: LabName = DEFAULT_LAB,
    json: AsJson = False,
) -> None:
    """Write conversations and DNS questions as packets, for Wireshark.

    From the record, in every world, without any privilege: an interface a node, in lab time. What
    the record does not have is marked as made up. From a damaged record what is left (exit 4).
    With --live, what goes over the wire: a helper listens in the network of each container.
    """
    _check(run, live, nodes)
    if json and str(output) == "-":
        raise UsageError("--json and -o - both want standard output", "give a file to one of them")
    if output is None:
        raise UsageError("where to write it is not said", "-o run.pcapng")
    if str(output) != "-":
        check_writable(output)
    from mxlab.packets.saving import save

    if live:
        heard = work(_heard(lab, tuple(nodes or ()), _length(seconds), most * MIB))
        save(output, heard.blocks())
        _tell_live(heard, output, json=json)
        return
    made = _of_run(run) if run is not None else work(_of_lab(lab))
    save(output, made.blocks())
    _tell(made, output, json=json)
    if made.made.damage:
        raise typer.Exit(EXIT_INCONCLUSIVE)


def _check(run: Path | None, live: bool, nodes: list[str] | None) -> None:
    if live and run is not None:
        raise UsageError(
            f"{run} is a record, and --live is of a lab that is up", "leave one of them out"
        )
    if nodes and not live:
        raise UsageError(
            "--node is for --live: a record has all nodes",
            'in Wireshark, frame.interface_name == "mx1" shows one',
        )


def _length(text: str) -> float:
    from mxlab.model.duration import parse_duration

    try:
        found = parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--for: {error}") from error
    if not 0 < found <= LONGEST:
        raise UsageError(f"--for: {text} is not between nothing and a day")
    return found


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


async def _heard(name: str, nodes: tuple[str, ...], seconds: float, most: int) -> "LiveCapture":
    """The real packets of a lab from now on, until its time is over or somebody ends it."""
    from mxlab.packets.live import listen

    async with attached(name) as lab:
        for node in nodes:
            if node not in lab.nodes:
                raise UnknownName("node", node, lab.nodes)
        wanted = tuple(dict.fromkeys(nodes))
        if not wanted:
            states = {node: await lab.nodes[node].state() for node in lab.nodes}
            wanted = tuple(node for node, state in states.items() if state != "stopped")
            if down := [node for node in states if node not in wanted]:
                note(f"mxlab: stopped, and so not listened at: {', '.join(down)}")

        def begun() -> None:
            note(f"mxlab: listening at {', '.join(wanted)}; Ctrl-C ends it")

        return await listen(lab, wanted, seconds, most, begun)


def _tell_live(heard: "LiveCapture", output: Path, *, json: bool) -> None:
    count = len(heard.packets)
    if json:
        say_json(
            {
                "packets": count, "lost": heard.lost, "full": heard.full,
                "interrupted": heard.interrupted, "file": str(output), "made_from": "wire",
            }
        )  # fmt: skip
    else:
        (note if str(output) == "-" else say)(f"{output}: {count} packets, from the wire")
    if heard.full:
        note("mxlab: it ended since there was as much as --most allows")
    if heard.lost:
        note(f"mxlab: {heard.lost} packets came too fast and are missing")


def _tell(capture: "Capture", output: Path, *, json: bool) -> None:
    made = capture.made
    words = f"{made.conversations} conversations, {made.questions} questions"
    if json:
        say_json({**made._asdict(), "file": str(output), "made_from": "record"})
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
