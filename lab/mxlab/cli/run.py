"""run: play scenarios and judge them."""

import os
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from mxlab.cli.completion import scenario_names
from mxlab.cli.options import AsJson, ScenarioFolder, a_lab
from mxlab.cli.output import complain, note, say_json, say_json_text
from mxlab.cli.reports import (
    HtmlFile,
    JunitFile,
    RecordFile,
    ReportFile,
    Reports,
    as_json,
    say_report,
)
from mxlab.cli.running import BACKENDS, choose_backend, is_up, work
from mxlab.cli.stories import story_file
from mxlab.errors import (
    EXIT_ENVIRONMENT,
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_OK,
    EnvironmentProblem,
    Mistakes,
    UnknownName,
    UsageError,
)

if TYPE_CHECKING:
    from mxlab.model.scenario import Scenario
    from mxlab.runner.result import RunResult

WORST_FIRST = (EXIT_FAILED, EXIT_ENVIRONMENT, EXIT_INCONCLUSIVE)


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(
    scenarios: Annotated[
        list[str],
        typer.Argument(
            metavar="SCENARIO...", help="Ids, files or folders.", autocompletion=scenario_names
        ),
    ],
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            envvar="MXLAB_BACKEND",
            metavar="auto|docker|process|sim",
            help="In which world (the scenario's wish; else Docker where it works).",
        ),
    ] = None,
    lab: Annotated[
        str | None,
        typer.Option("--lab", metavar="NAME", help="The lab's name (a new one).", callback=a_lab),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="The scenario's, unless given.")
    ] = None,
    time_scale: Annotated[
        float | None, typer.Option(metavar="N", help="The scenario's, unless given.")
    ] = None,
    junit: JunitFile = None,
    report: ReportFile = None,
    html: HtmlFile = None,
    record: RecordFile = None,
    folder: ScenarioFolder = None,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the lab up afterwards.")] = False,
    step: Annotated[
        bool, typer.Option("--step", help="Pause before each step, until Enter.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and what each world can do of it.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Run scenarios, each in a lab of its own, and judge what became of every message."""
    from mxlab.cli.live import can_ask
    from mxlab.cli.up import make_time
    from mxlab.model.scenario import Scenario, told_in
    from mxlab.scenario.load import load_file

    if backend not in (None, "auto", *BACKENDS, "sim"):
        raise UnknownName("backend", str(backend), ("auto", *BACKENDS, "sim"))
    if time_scale is not None:
        make_time(time_scale)
    if lab is not None and len(scenarios) > 1:
        raise UsageError("--lab names one lab; several scenarios need several", "leave it out")
    # Every file is right before anything starts.
    stories, mistakes = list[Scenario](), Mistakes()
    for name in scenarios:
        with mistakes.noted():
            stories.append(load_file(story_file(name, folder)))
    mistakes.check()
    if record is not None and len(stories) > 1:
        raise UsageError("--record records one run", "run the scenarios one by one")
    reports = Reports(junit, report, html, record)
    if dry_run:
        raise typer.Exit(_dry_run(stories, backend, json))
    if step and not can_ask():
        raise UsageError("--step waits for somebody at a terminal", "leave it out")
    results: list[RunResult] = []
    codes: set[int] = set()
    for story in stories:
        try:
            began = perf_counter()
            world = told_in(story, backend)
            result = _one(story, world, lab, seed, time_scale, keep, step)
            result = replace(result, real_seconds=perf_counter() - began)
        except EnvironmentProblem as error:
            if len(stories) == 1:
                raise
            complain(error)
            codes.add(error.exit_code)
            continue
        results.append(result)
        codes.add(result.exit_code)
        if not json:
            say_report(result)
    reports.write(results)
    if json:
        say_json_text(as_json(results))
    raise typer.Exit(next((code for code in WORST_FIRST if code in codes), EXIT_OK))


def _dry_run(stories: "list[Scenario]", backend: str | None, json: bool) -> int:
    from mxlab.cli.dryrun import code_of, plans, show_plan
    from mxlab.cli.scenario import tell

    found = work(plans(stories, backend))
    if json:
        say_json(found)
    else:
        for story, plan in zip(stories, found, strict=True):
            tell(story)
            show_plan(plan)
    return code_of(found)


def _one(
    story: "Scenario",
    backend: str,
    lab: str | None,
    seed: int | None,
    time_scale: float | None,
    keep: bool,
    step: bool,
) -> "RunResult":
    """One run, in the world of that name. Raises whatever keeps it from being judged."""
    import secrets

    from mxlab.cli.live import Live, ask, ask_at_once, can_ask, enter, enter_at_once, tell
    from mxlab.cli.up import make_time
    from mxlab.runner import runner
    from mxlab_services.config import TimeConfig

    run_id = secrets.token_hex(4)
    scale = time_scale or story.time_scale
    name = f"run-{run_id}" if lab is None else lab
    live = Live()
    note(f"{story.id}: {story.title}", hang=2)
    try:
        if backend == "sim":
            from mxlab.backends.sim.backend import SimBackend, simulate

            if keep:
                raise UsageError("a simulated lab ends with the run", "leave --keep out")
            return simulate(
                lambda: runner.run(
                    story,
                    SimBackend(),
                    lab=name,
                    run_id=run_id,
                    seed=seed,
                    time=TimeConfig(scale),
                    progress=tell,
                    asker=ask_at_once if can_ask() else None,
                    gate=enter_at_once if step else None,
                )
            )

        from mxlab.runner.progress import Phase

        async def real() -> "RunResult":
            world, reason = await choose_backend(backend, lambda text: live(Phase(text)))
            if reason:
                note(f"mxlab: local processes, because {reason}")
            nonlocal name
            if lab is None and (wanted := os.environ.get("MXLAB_LAB")):
                if await is_up(wanted):
                    note(f"mxlab: a lab {wanted!r} (MXLAB_LAB) is up; this run has its own")
                else:
                    name = wanted
            note(f"lab {name} ({world.name}); to look into it meanwhile: export MXLAB_LAB={name}")
            return await runner.run(
                story,
                world,
                lab=name,
                run_id=run_id,
                seed=seed,
                time=make_time(scale),
                progress=live,
                asker=ask if can_ask() else None,
                gate=enter if step else None,
                keep=keep,
            )

        result = work(real())
    finally:
        live.close()
    if keep:
        note(f"mxlab: the lab {name!r} is still up; `mxlab down {name}` removes it")
    return result
