"""doctor: what works on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.backends.registry import LASTING, backend_named, known
from mxlab.cli.options import AsJson, BackendName
from mxlab.cli.output import Waiting, say, say_json, say_line, table
from mxlab.cli.running import work
from mxlab.errors import EXIT_ENVIRONMENT, EXIT_OK, LabError

if TYPE_CHECKING:
    from mxlab.backends.base import Progress
    from mxlab.doctor.faults import Probe

MARKS = {"ok": "ok  ", "warning": "note", "problem": "NO  "}


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    backend: BackendName = "auto",
    faults: Annotated[
        bool, typer.Option("--faults", help="Try every fault, in labs of its own.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Probe what works here, and say what to do about the rest.

    Exit code 0 where a lab can be brought up (in the world asked for), else 3. With --faults each
    fault is done and undone, in every world that works (or the one asked for); 3 if one fails.
    """
    if backend != "auto":
        known(backend, ("auto", *LASTING))
    raise typer.Exit(work(_doctor(backend, faults, json)))


async def _doctor(backend: str, faults: bool, json: bool) -> int:
    import asyncio

    from mxlab.doctor.machine import examine, works

    probes: list[Probe] = []
    with Waiting() as progress:
        progress("probing")
        checks = await examine()
        worlds = {name: works(checks, name) for name in LASTING}
        for world, good in worlds.items():
            if faults and good and backend in ("auto", world):
                probes += await _probed(world, progress)
        if faults and backend == "auto":
            probes += await asyncio.to_thread(_simulated)
    if json:
        say_json({"checks": checks, **worlds, **({"faults": probes} if faults else {})})
    else:
        for check in checks:
            _say(check.result, f"{check.name}: {check.found}")
            if check.hint and check.result != "ok":
                say_line(f"      -> {check.hint}", hang=9)
        for world, good in worlds.items():
            works_here = "works" if good else "does not work"
            _say("ok" if good else "problem", f"`--backend {world}` {works_here} here")
        _show(probes)
    if any(probe.result == "failed" for probe in probes):
        return EXIT_ENVIRONMENT
    good = any(worlds.values()) if backend == "auto" else worlds[backend]
    return EXIT_OK if good else EXIT_ENVIRONMENT


async def _probed(world: str, progress: "Progress") -> "list[Probe]":
    from mxlab.doctor.faults import Probe, probe_faults
    from mxlab.faults import CATALOGUE

    try:
        return await probe_faults(backend_named(world), progress)
    except LabError as error:
        return [Probe(name, world, "failed", f"no lab: {error}") for name in CATALOGUE]


def _simulated() -> "list[Probe]":
    from mxlab.backends.sim.backend import SimBackend, simulate
    from mxlab.doctor.faults import probe_faults

    return simulate(lambda: probe_faults(SimBackend(), lambda _: None))


def _say(result: str, text: str) -> None:
    mark = MARKS[result]
    say_line(f"{mark}  {text}", hang=6, mark=mark.strip())


def _show(probes: "list[Probe]") -> None:
    """A row for each fault, a column for each world, and what was wrong."""
    if not probes:
        _say("warning", "faults: `mxlab doctor --faults` tries each of them")
        return
    worlds = list(dict.fromkeys(probe.world for probe in probes))
    results = {(probe.fault, probe.world): probe.result for probe in probes}
    faults = dict.fromkeys(probe.fault for probe in probes)
    say()
    table(
        ["FAULT", *(world.upper() for world in worlds)],
        [[fault, *(results[fault, world] for world in worlds)] for fault in faults],
    )
    for probe in probes:
        if probe.result == "failed":
            _say("problem", f"{probe.fault} ({probe.world}): {probe.found}")
