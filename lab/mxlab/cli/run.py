"""run: play scenarios and judge them."""

import contextlib
import os
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mxlab.backends.registry import BACKENDS, LASTING, first_here, known, told_in
from mxlab.cli.completion import scenario_names
from mxlab.cli.options import AsJson, ScenarioFolder, WithSoftware, a_lab
from mxlab.cli.output import complain, note, say_json, say_json_text
from mxlab.cli.reports import (
    BundleFile,
    HtmlFile,
    JunitFile,
    RecordFile,
    ReportFile,
    Reports,
    as_json,
    say_report,
)
from mxlab.cli.running import is_up, tell_choice, work
from mxlab.cli.stories import story_file
from mxlab.errors import (
    EXIT_ENVIRONMENT,
    EXIT_FAILED,
    EXIT_INCONCLUSIVE,
    EXIT_OK,
    EnvironmentProblem,
    Mistakes,
    UsageError,
)

if TYPE_CHECKING:
    from mxlab.backends.base import Backend
    from mxlab.bundle.gather import ForBundle
    from mxlab.cli.live import Live
    from mxlab.model.scenario import Scenario
    from mxlab.runner.progress import Report
    from mxlab.runner.result import RunResult
    from mxlab.runner.steps import Asker, Gate
    from mxlab_services.config import TimeConfig

WORST_FIRST = (EXIT_FAILED, EXIT_ENVIRONMENT, EXIT_INCONCLUSIVE)
Scenarios = Annotated[
    list[str],
    typer.Argument(
        metavar="SCENARIO...", help="Ids, files or folders.", autocompletion=scenario_names
    ),
]
AnyBackend = Annotated[
    str | None,
    typer.Option(
        "--backend",
        envvar="MXLAB_BACKEND",
        metavar="|".join(("auto", *BACKENDS)),
        help="In which world (the scenario's wish; else Docker where it works).",
    ),
]
NewLab = Annotated[
    str | None,
    typer.Option("--lab", metavar="NAME", help="The lab's name (a new one).", callback=a_lab),
]
Seed = Annotated[int | None, typer.Option(metavar="N", help="The scenario's, unless given.")]
Scale = Annotated[float | None, typer.Option(metavar="N", help="The scenario's, unless given.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the lab up afterwards.")]
Stepwise = Annotated[bool, typer.Option("--step", help="Pause before each step, until Enter.")]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Print the plan and what each world can do of it.")
]


def register(app: typer.Typer) -> None:
    app.command()(run)


def run(
    scenarios: Scenarios,
    backend: AnyBackend = None,
    lab: NewLab = None,
    seed: Seed = None,
    time_scale: Scale = None,
    junit: JunitFile = None,
    report: ReportFile = None,
    html: HtmlFile = None,
    record: RecordFile = None,
    bundle: BundleFile = None,
    folder: ScenarioFolder = None,
    keep: Keep = False,
    step: Stepwise = False,
    dry_run: DryRun = False,
    software: WithSoftware = None,
    json: AsJson = False,
) -> None:
    """Run scenarios, each in a lab of its own, and judge what became of every message.

    For example: mxlab run primary-outage; mxlab run primary-outage --backend sim --bundle run.zip
    """
    from mxlab.cli.live import can_ask

    wishes = Wishes(backend, lab, seed, time_scale, keep, step)
    wishes.check(len(scenarios))
    stories = _stories(scenarios, folder, software or [])
    for option, file in (("--record records", record), ("--bundle keeps", bundle)):
        if file is not None and len(stories) > 1:
            raise UsageError(f"{option} one run", "run the scenarios one by one")
    reports = Reports(junit, report, html, record, bundle)
    if dry_run:
        raise typer.Exit(_dry_run(stories, backend, json))
    if step and not can_ask():
        raise UsageError("--step waits for somebody at a terminal", "leave it out")
    with contextlib.ExitStack() as stack:
        if bundle is not None:
            from mxlab.bundle.gather import for_bundle

            kept = for_bundle(stories[0])
            stack.enter_context(kept.contents)
            wishes = replace(wishes, evidence=kept)
        results, codes = played(stories, wishes, say=not json)
        reports.write(results, wishes.evidence)
    if json:
        say_json_text(as_json(results))
    raise typer.Exit(next((code for code in WORST_FIRST if code in codes), EXIT_OK))


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody wants of a run, whatever the scenario says."""

    backend: str | None
    lab: str | None
    seed: int | None
    time_scale: float | None
    keep: bool
    step: bool
    evidence: "ForBundle | None" = None

    def check(self, count: int) -> None:
        """Raise UsageError for what cannot be, with so many scenarios."""
        from mxlab.cli.up import make_time

        if self.backend not in (None, "auto"):
            known(self.backend, ("auto", *BACKENDS))
        if self.time_scale is not None:
            make_time(self.time_scale)
        if self.lab is not None and count > 1:
            raise UsageError("--lab names one lab; several scenarios need several", "leave it out")


def _stories(names: list[str], folder: Path | None, software: list[str]) -> "list[Scenario]":
    """The scenarios, their hosts with that software: all is right before anything starts."""
    from mxlab.model.scenario import Scenario
    from mxlab.plan.software import parse_software
    from mxlab.scenario.load import load_file

    wanted = parse_software(software)
    stories, mistakes = list[Scenario](), Mistakes()
    for name in names:
        with mistakes.noted():
            stories.append(load_file(story_file(name, folder)))
    mistakes.check()
    return [_with_software(story, wanted) for story in stories]


def _with_software(story: "Scenario", wanted: dict[str, str]) -> "Scenario":
    from msgspec.structs import replace as replaced

    from mxlab.plan.software import with_software

    return replaced(story, topology=with_software(story.topology, wanted))


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


def played(
    stories: "list[Scenario]", wishes: Wishes, *, say: bool
) -> "tuple[list[RunResult], set[int]]":
    """What came of each, and the exit codes. Where there are several, what one machine cannot do
    does not keep it from the others."""
    results: list[RunResult] = []
    codes: set[int] = set()
    for story in stories:
        try:
            result = _Play(story, wishes).result()
        except EnvironmentProblem as error:
            if len(stories) == 1:
                raise
            complain(error)
            codes.add(error.exit_code)
            continue
        results.append(result)
        codes.add(result.exit_code)
        if say:
            say_report(result)
    return results, codes


class _Play:
    """One scenario, played as somebody wishes."""

    def __init__(self, story: "Scenario", wishes: Wishes) -> None:
        import secrets

        self._story, self._wishes = story, wishes
        self._run_id = secrets.token_hex(4)
        self._lab = f"run-{self._run_id}" if wishes.lab is None else wishes.lab
        self._scale = wishes.time_scale or story.time_scale

    def result(self) -> "RunResult":
        """What came of it, in the first of its backends that can be had here. Raises whatever keeps
        it from being judged."""
        from mxlab.cli.live import Live
        from mxlab.runner.progress import Phase

        began = perf_counter()
        live = Live()
        note(f"{self._story.id}: {self._story.title}", hang=2)
        try:
            names = told_in(self._story, self._wishes.backend)
            backend, reason = work(first_here(names, lambda text: live(Phase(text))))
            live.close()
            tell_choice(backend, reason)
            lasting = backend.name in LASTING
            result = work(self._deployed(backend, live)) if lasting else self._simulated(backend)
        finally:
            live.close()
        if self._wishes.keep:
            lab = self._lab
            note(f"mxlab: the lab {lab!r} is still up; `mxlab down {lab}` removes it")
        return replace(result, real_seconds=perf_counter() - began)

    def _simulated(self, backend: "Backend") -> "RunResult":
        from mxlab.backends.sim.backend import simulate
        from mxlab.cli.live import ask_at_once, enter_at_once, tell
        from mxlab_services.config import TimeConfig

        if self._wishes.keep:
            raise UsageError("a simulated lab ends with the run", "leave --keep out")
        time = TimeConfig(self._scale)
        return simulate(lambda: self._run(backend, time, tell, ask_at_once, enter_at_once))

    async def _deployed(self, backend: "Backend", live: "Live") -> "RunResult":
        from mxlab.cli.live import ask, enter
        from mxlab.cli.up import make_time

        if self._wishes.lab is None and (name := os.environ.get("MXLAB_LAB")):
            if await is_up(name):
                note(f"mxlab: a lab {name!r} (MXLAB_LAB) is up; this run has its own")
            else:
                self._lab = name
        lab = self._lab
        note(f"lab {lab} ({backend.name}); to look into it meanwhile: export MXLAB_LAB={lab}")
        return await self._run(backend, make_time(self._scale), live, ask, enter)

    def _run(
        self,
        backend: "Backend",
        time: "TimeConfig",
        progress: "Report",
        asker: "Asker",
        gate: "Gate",
    ) -> "Coroutine[Any, Any, RunResult]":
        from mxlab.cli.live import can_ask
        from mxlab.runner import runner

        evidence = self._wishes.evidence
        if evidence is not None:
            evidence.contents.backend = backend
        return runner.run(
            self._story,
            backend,
            lab=self._lab,
            run_id=self._run_id,
            seed=self._wishes.seed,
            time=time,
            progress=progress,
            asker=asker if can_ask() else None,
            gate=gate if self._wishes.step else None,
            witness=evidence.contents if evidence is not None else None,
            keep=self._wishes.keep,
        )
